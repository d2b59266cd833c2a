"""Types of arguments: from their names to what casts a text."""

from __future__ import annotations

import json

import pytest

from fantasm_gcp.core.casts import ALIASES, BUILT_IN
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import load_casts, parse_text, resolve_cast
from fantasm_gcp.loader.modules import unplaced

OWN = """\
import pickle
from pickle import loads as from_text
class Money:
    def __init__(self, text):
        self.pence = int(text)
def shout(text):
    return text.upper()
NUMBER = 3
"""


def machine(types: str, namespace: str = "nonesuch") -> str:
    """A machine whose context_types stand at line 4, column 18."""
    return (
        f"state_machines:\n- name: M\n  namespace: {namespace}\n  context_types: {types}\n"
        "  states: [{name: S, initial: on, final: on}]\n"
    )


def told(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        load_casts(parse_text(text, "f"))
    return [str(each).splitlines()[0].removeprefix("f:") for each in caught.value.problems]


@pytest.mark.fantasm(22)
def test_built_in_types_need_no_import():
    """Whatever the namespace has under the same name."""
    casts = load_casts(parse_text(machine("{a: int, b: types.IntType, c: long, d: json}"), "f"))
    assert {"M"} == set(casts)
    assert [7, 7, 7, {"x": [1]}] == [
        cast(text) for cast, text in zip(casts["M"].values(), ["7", "7", "7", '{"x": [1]}'], strict=True)
    ]


def test_every_built_in_name_and_alias_resolves_without_a_namespace():
    """The other tables of types agree with what can be written."""
    for name, cast in BUILT_IN.items():
        assert cast is resolve_cast(name, unplaced(name))
    for name in ALIASES:
        assert callable(resolve_cast(name, unplaced(name)))
    types = ", ".join(f"a{n}: {name}" for n, name in enumerate([*BUILT_IN, *ALIASES]))
    text = machine(f"{{{types}}}").replace("  namespace: nonesuch\n", "")
    assert () == parse_text(text, "f").warnings


def test_own_types_are_callables_of_any_module(package):
    """A bare name is one of the machine's namespace."""
    name = package(types=OWN)
    text = machine("{a: Money, b: shout, c: json.loads, d: builtins.int}", f"{name}.types")
    casts = load_casts(parse_text(text, "f"))["M"]
    assert (3, "AB") == (casts["a"]("3").pence, casts["b"]("ab"))
    assert [1, 5] == [casts["c"]("[1]")[0], casts["d"]("5")]


def test_a_machine_without_types_casts_nothing():
    """It is there all the same."""
    assert {"M": {}} == {
        name: dict(casts) for name, casts in load_casts(parse_text(machine("{}"), "f")).items()
    }


@pytest.mark.fantasm(23)
@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("nonesuch_module.Type", "4:22: error: there is no module 'nonesuch_module'"),
        ("{own}.Mony", "4:22: error: module '{own}' has no callable 'Mony'; did you mean 'Money'?"),
        ("Shout", "4:22: error: module '{own}' has no callable 'Shout'; did you mean 'shout'?"),
        ("NUMBER", "4:22: error: type '{own}.NUMBER' is not callable: it is an object of type 'int'"),
        ("{own}.json", "4:22: error: module '{own}' has no callable 'json'"),
        ("from_text", "4:22: error: type '{own}.from_text' is refused; "),
    ],
)
def test_a_type_of_no_use_is_told_at_its_place(package, written, message):
    """Missing, no callable, or pickle under another name."""
    own = f"{package(types=OWN)}.types"
    (problem,) = told(machine(f"{{a: {written.replace('{own}', own)}}}", own))
    assert problem.startswith(message.replace("{own}", own))


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)\n", "raise BaseException\n", "def __getattr__(n): raise OSError\n"]
)
def test_a_module_of_types_may_raise_anything(package, code):
    """It becomes a problem."""
    name = package(types=code)
    (problem,) = told(machine("{a: T}", f"{name}.types"))
    assert problem.startswith("4:22: error: ")


def test_every_problem_of_every_type_is_told():
    """In the order of the file."""
    found = told(machine("{b: nonesuch_one.T, a: int, c: nonesuch_two.T}"))
    assert ["4:22", "4:49"] == [":".join(each.split(":")[:2]) for each in found]


def test_definitions_without_places_have_loadable_types():
    """Definitions that were made by hand come from no file."""
    by_hand = Definitions(parse_text(machine("{a: json.loads}"), "f").machines)
    assert json.loads("[1]") == load_casts(by_hand)["M"]["a"]("[1]")
    wrong = Definitions(parse_text(machine("{a: nonesuch_one.T}"), "f").machines)
    with pytest.raises(DefinitionError, match="there is no module"):
        load_casts(wrong)
