"""Which machine a warning of a definition file belongs to."""

from __future__ import annotations

import pytest

from fantasm_gcp.console.wording import sorted_warnings
from fantasm_gcp.loader import load_definitions, parse_text

STATES = "states: [{name: S, initial: on, final: on}]"


def one_machine(name: str, line: str) -> str:
    return f"state_machines:\n- name: {name}\n  {line}\n  {STATES}\n"


def lines_of(text: str) -> dict[str, list[int]]:
    """The lines of the warnings, by machine; the others under an empty name."""
    found = sorted_warnings(parse_text(text, "f"))
    lines = {name: [each.line for each in problems] for name, problems in found.by_machine.items()}
    return lines | ({"": [each.line for each in found.elsewhere]} if found.elsewhere else {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"state_machines:\n- name: A\n  max_retries: 1\n  {STATES}\n- name: B\n  max_retries: 2\n  {STATES}\n",
         {"A": [3], "B": [6]}),
        (f"state_machines:\n- max_retries: 1\n  {STATES}\n  name: A\n- {STATES}\n  max_retries: 2\n  name: B\n",
         {"A": [2], "B": [6]}),
        (f"enable_capabilities_check: on\nstate_machines:\n- name: A\n  {STATES}\n", {"": [1]}),
        (f"state_machines:\n- name: A\n  {STATES}\nenable_capabilities_check: on\n", {"": [4]}),
        (f"state_machines: [{{name: A, max_retries: 1, {STATES}}}, {{name: B, {STATES}, max_retries: 1}}]\n",
         {"A": [1], "B": [1]}),
        ("state_machines:\n- name: A\n  states: &s\n  - name: S\n    initial: on\n    final: on\n    action: m.a\n"
         "    transitions: [{event: e, to: S, max_retries: 1}]\n- name: B\n  max_retries: 2\n  states: *s\n",
         {"A": [8], "B": [10]}),
        (f"state_machines:\n- name: A\n- name: B\n  max_retries: 1\n  {STATES}\n"
         "states:\n- name: S\n  initial: on\n  final: on\n  action: m.a\n"
         "  transitions: [{event: e, to: S, max_retries: 1}]\n",
         {"B": [4], "A": [6, 11]}),
    ],
)  # fmt: skip
def test_a_warning_belongs_to_the_machine_whose_lines_it_stands_in(text, expected):
    """It may stand at a key, of which no place is kept; what stands between machines is of none."""
    assert expected == lines_of(text)


def test_a_warning_of_an_imported_file_is_of_its_machine(tmp_path):
    """The same lines of another file are not."""
    (tmp_path / "a.yaml").write_text(one_machine("A", "max_retries: 1"))
    (tmp_path / "fsm.yaml").write_text("import: a.yaml\n" + one_machine("Own", "queue: x"))
    found = sorted_warnings(load_definitions(tmp_path / "fsm.yaml"))
    assert (["A"], ()) == (list(found.by_machine), found.elsewhere)
