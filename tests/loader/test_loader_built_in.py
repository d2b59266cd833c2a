"""The built-in machines: behind the user's, and of no effect on their file."""

from __future__ import annotations

import pytest

from fantasm_gcp.builtin import MACHINES
from fantasm_gcp.core.files import Source
from fantasm_gcp.core.parse import BUILT_IN_MACHINES, parse_definitions
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import BUILT_IN_FILE, load_actions, load_definitions, parse_text, parse_tree

OWN = "root_url: /own\nstate_machines: [{name: M, states: [{name: S, initial: on, final: on}]}]\n"
LIBRARY = """\
state_machines:
- name: FantasmScrubber
  namespace: scrubbing
  max_retries: 3
  states:
  - {name: init, action: Start, initial: on, final: on}
"""


@pytest.mark.fantasm(75)
def test_the_built_in_machine_is_part_of_every_definition(tmp_path):
    """It comes last, with its places, and the user's root and warnings are their own."""
    own, library = tmp_path / "fsm.yaml", tmp_path / "library.yaml"
    own.write_text(OWN)
    library.write_text(LIBRARY)
    found = load_definitions(own, built_in=library)
    assert ["M", "FantasmScrubber"] == list(found.machines)
    assert ("/own", ()) == (found.root, found.warnings)
    assert (str(own), str(library)) == (found.places["M",].file, found.places["FantasmScrubber",].file)
    assert "scrubbing.Start" == found.machines["FantasmScrubber"].states[0].action


def test_a_text_has_its_own_machines_only():
    """For tests and for what is edited."""
    assert ["M"] == list(parse_text(OWN, "f").machines)


def test_without_a_built_in_file_there_are_the_users_machines(tmp_path):
    """It can be left out."""
    (tmp_path / "fsm.yaml").write_text(OWN)
    assert ["M"] == list(load_definitions(tmp_path / "fsm.yaml", built_in=None).machines)


@pytest.mark.fantasm(75)
@pytest.mark.parametrize("name", BUILT_IN_MACHINES)
def test_an_imported_file_cannot_define_it_either(name, tmp_path):
    """Its name is taken, wherever it is written."""
    (tmp_path / "fsm.yaml").write_text("import: a.yaml\n" + OWN)
    (tmp_path / "a.yaml").write_text(LIBRARY.replace("FantasmScrubber", name))
    with pytest.raises(DefinitionError, match=f"machine '{name}' is built in; choose another name"):
        load_definitions(tmp_path / "fsm.yaml")


@pytest.mark.fantasm(75)
def test_the_file_of_the_library_defines_what_is_reserved(tmp_path):
    """Neither more nor less, and each is described."""
    library = BUILT_IN_FILE.read_text(encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        parse_text(library, "f")
    assert [f"machine {name!r} is built in" for name in BUILT_IN_MACHINES] == [
        each.message for each in caught.value.problems if each.severity == "error"
    ]
    assert BUILT_IN_MACHINES == tuple(MACHINES)
    (tmp_path / "fsm.yaml").write_text(OWN)
    assert ["M", *BUILT_IN_MACHINES] == list(load_definitions(tmp_path / "fsm.yaml").machines)


def test_what_is_strange_about_the_library_is_known():
    """FantasmOperation has no actions, so no event can happen there: the engine itself runs its steps."""
    source = Source("f", "f", parse_tree(BUILT_IN_FILE.read_text(encoding="utf-8"), "f"))
    definitions = parse_definitions(source, reserved=())
    assert [
        "event 'redrive' cannot happen: state 'release' has no action",
        "state 'redrive' cannot be reached from 'release'",
    ] == [each.message for each in definitions.warnings]
    operation = definitions.machine("FantasmOperation")
    assert [("release", None, True, True), ("redrive", None, False, True)] == [
        (each.name, each.action, each.initial, each.final) for each in operation.states
    ]


def test_every_action_of_the_library_is_there(tmp_path):
    """They are resolved as those of any other machine."""
    (tmp_path / "fsm.yaml").write_text(OWN)
    actions = load_actions(load_definitions(tmp_path / "fsm.yaml"))
    assert {
        "fantasm_gcp.gateways.scrubbing.FindEnded",
        "fantasm_gcp.gateways.webhooks.DeliverWebhook",
    } <= set(actions)
