"""Events and arguments that are names of constants in users' modules."""

from __future__ import annotations

import sys

import pytest

from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import load_definitions, parse_text

CONSTANTS = """\
from enum import Enum

EVENT = "ok"
ARGUMENT = "start_date"
NUMBER = 3
send = lambda context, obj: "sent"
BAD = "not a name"
EMPTY = ""
RESERVED = "pseudo-final"

class Events:
    OK = "fine"
    NUMBER = 3
    class Inner:
        DEEP = "deep"

class Texts(str, Enum):
    SENT = "sent"

class Numbers(Enum):
    ONE = 1

class Odd(type):
    @property
    def EVENT(cls):
        raise OSError("no")

class Failing(metaclass=Odd):
    pass
"""


def machine(*events: str, namespace: str = "", state: str = "", transition: str = "") -> str:
    """A machine with a transition for each event; the first event stands at line 10, column 14."""
    lines = [
        "state_machines:",
        "- name: M",
        f"  namespace: {namespace}" if namespace else "  queue: q",
        "  states:",
    ]
    lines += [
        "  - name: S",
        "    action: x.y",
        "    initial: on",
        f"    {state or 'final: on'}",
        "    transitions:",
    ]
    for event in events:
        lines += [f"    - event: {event}", f"      {transition or 'queue: q'}", "      to: S"]
    lines += ["    final: on"] if state else []
    return "\n".join(lines) + "\n"


def events(text: str) -> list[str]:
    (found,) = parse_text(text, "f")
    return [each.event for each in found.states[0].transitions]


def told(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        parse_text(text, "f")
    return [str(each).splitlines()[0].removeprefix("f:") for each in caught.value.problems]


@pytest.fixture
def names(package):
    """The name of a module of constants."""
    return package(names=CONSTANTS, other='EVENT = "other"\nclass Events:\n    OK = "otherwise"\n') + ".names"


@pytest.mark.fantasm(83, 84)
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("EVENT", "ok"),
        ("Events.OK", "fine"),
        ("Events.Inner.DEEP", "deep"),
        ("{package}.other.EVENT", "other"),
        ("{package}.other.Events.OK", "otherwise"),
        ("{package}.names.EVENT", "ok"),
        ("Texts.SENT", "sent"),
    ],
)
def test_an_event_is_what_its_constant_holds(names, written, expected):
    """Of the namespace's module, of a class in it, or of any module by its full name."""
    written = written.replace("{package}", names.partition(".")[0])
    assert [expected] == events(machine(written, namespace=names))


@pytest.mark.fantasm(84)
def test_a_full_name_needs_no_namespace(names):
    """Nor does it look into the namespace's module first for what is not there."""
    other = names.replace(".names", ".other")
    assert ["otherwise"] == events(machine(f"{other}.Events.OK"))
    assert ["otherwise"] == events(machine(f"{other}.Events.OK", namespace="nonesuch_module"))


@pytest.mark.parametrize(
    ("state", "transition", "expected"),
    [("", "", "ok"), ("namespace: {other}", "", "ok"), ("", "namespace: {other}", "ok"),
     ("namespace: {other}", "namespace: {names}", "ok")],
)  # fmt: skip
def test_the_machines_namespace_goes_first(names, state, transition, expected):
    """Then the transition's, then the state's."""
    other = names.replace(".names", ".other")
    text = machine("EVENT", namespace=names, state=state, transition=transition)
    assert [expected] == events(text.replace("{other}", other).replace("{names}", names))


def test_what_the_machines_namespace_lacks_is_found_in_a_nearer_one(names):
    """An app that keeps a state's events beside its action."""
    assert ["ok"] == events(machine("EVENT", state=f"namespace: {names}"))
    assert ["ok"] == events(machine("EVENT", transition=f"namespace: {names}"))


@pytest.mark.fantasm(86)
@pytest.mark.parametrize(
    "written", ["send", "NUMBER", "plain", "Events", "os", "some-event", "import", "__len__"[2:5]]
)
def test_an_undotted_name_of_anything_else_stays_what_it_is(names, written):
    """Actions and events often share a name, and most events are no names of anything."""
    assert [written] == events(machine(written, namespace=names))


@pytest.mark.fantasm(86)
def test_without_a_namespace_an_undotted_name_stays_what_it_is():
    """There is no module to look into."""
    assert ["EVENT"] == events(machine("EVENT"))


def test_the_place_of_an_event_is_that_of_its_name(names):
    """In messages; the key is what the constant holds."""
    places = parse_text(machine("EVENT", namespace=names), "f").places
    assert (10, 14) == ((place := places["M", "states", "S", "transitions", "ok"]).line, place.column)


@pytest.mark.fantasm(87)
@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("Events.NUMBER", "an object of type 'int'"),
        ("Events.Inner", "a class"),
        ("Numbers.ONE", "an object of type 'Numbers'"),
        ("{names}.Events", "a class"),
        ("{names}", "a module"),
        ("os.path", "a module"),
    ],
)
def test_a_dotted_name_of_anything_but_text_is_an_error(names, written, why):
    """With what it is instead, at its place."""
    written = written.replace("{names}", names)
    assert told(machine(written, namespace=names)) == [
        f"10:14: error: event '{written}' is no constant that holds text: {why}"
    ]


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("Events.OKK", "'{names}.Events' has no 'OKK'; did you mean 'OK'?"),
        ("Evnts.OK", "'{names}' has no 'Evnts'; did you mean 'Events'?"),
        ("Events.OK.x", "'{names}.Events.OK' has no 'x'"),
        ("Failing.EVENT", "'EVENT' cannot be had: OSError: no"),
    ],
)
def test_a_dotted_name_of_nothing_is_an_error(names, written, why):
    """The nearest name is told as the hint of a typing mistake."""
    (problem,) = told(machine(written, namespace=names))
    expected = f"10:14: error: event '{written}' is no constant that holds text: {why}"
    assert problem.startswith(expected.replace("{names}", names))


def test_a_dotted_name_of_a_module_that_is_not_there_is_an_error():
    """The first part that is missing is named."""
    (problem,) = told(machine("nonesuch_package.EVENT"))
    assert problem.startswith("10:14: error: event 'nonesuch_package.EVENT' is no constant that holds text: ")
    assert "there is no module 'nonesuch_package'" in problem


@pytest.mark.parametrize(
    ("name", "held", "rule"),
    [
        ("BAD", "not a name", "event 'not a name' is not allowed; a name is 1 to 50 letters, digits and dashes, "
                              "for example not-a-name"),
        ("EMPTY", "", "event '' is not allowed; a name is 1 to 50 letters, digits and dashes"),
    ],
)  # fmt: skip
def test_what_a_constant_holds_must_be_allowed_as_a_name(names, name, held, rule):
    """It stands in task names and URLs."""
    expected = f"10:14: error: the constant '{name}' is '{held}': {rule}"
    assert [expected] == told(machine(name, namespace=names))


def test_what_a_constant_holds_must_not_be_reserved(names):
    """A constant is no way around it."""
    assert told(machine("RESERVED", namespace=names)) == [
        "10:14: error: the event 'pseudo-final' is reserved; it stands for the end of a branch"
    ]


def test_two_events_that_become_equal_are_told(names):
    """One by its name, one by its value."""
    assert told(machine("ok", "EVENT", namespace=names)) == [
        "13:14: error: the event 'ok' is taken by another transition; the first is at line 10, column 14"
    ]


def test_a_constant_of_a_module_that_cannot_be_imported_is_told_with_the_reason(package):
    """Without it, nobody would know why a name of a constant is taken for an event."""
    name = package(names="x = 1 / 0\n")
    (problem,) = told(machine("MY_EVENT", namespace=f"{name}.names"))
    assert problem.startswith(
        "10:14: error: event 'MY_EVENT' is not allowed; if it is the name of a constant: "
    )
    assert f"module '{name}.names' cannot be imported: ZeroDivisionError: division by zero" in problem
    assert ["EVENT"] == events(machine("EVENT", namespace=f"{name}.names"))


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(3)",
        "import sys; sys.exit()",
        "raise BaseException",
        "raise GeneratorExit",
        "class E(BaseException):\n    def __str__(self):\n        raise ValueError\nraise E",
        "x = (",
        "import nonesuch_module_here",
        "def __getattr__(name):\n    raise SystemExit(name)",
        "class T:\n    @property\n    def __class__(self):\n        raise SystemExit\nEVENT = T()",
    ],
)
def test_looking_for_a_constant_never_ends_in_a_traceback(package, code):
    """Users' modules may raise anything; a dotted name is told, an undotted one stays what it is."""
    name = package(names=code + "\n")
    assert ["EVENT"] == events(machine("EVENT", namespace=f"{name}.names"))
    (problem,) = told(machine(f"{name}.names.EVENT"))
    assert problem.startswith(f"10:14: error: event '{name}.names.EVENT' is no constant that holds text: ")


def test_an_interrupt_is_let_through(package):
    """Whoever presses the keys wants the program to end."""
    name = package(names="raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        parse_text(machine("EVENT", namespace=f"{name}.names"), "f")


def test_a_module_is_imported_once_however_many_events_name_it(package):
    """Also one that fails."""
    name = package(counted="count = 0\n", names="from . import counted\ncounted.count += 1\nraise OSError\n")
    text = machine("A", "B", f"{name}.names.C", namespace=f"{name}.names")
    assert 1 == len(told(text))
    assert 1 == sys.modules[f"{name}.counted"].count


@pytest.mark.parametrize("written", ["a..B", ".B", "a.", "a b.C", "a/b", "a.1B"])
def test_what_is_no_name_of_a_constant_is_no_event(written):
    """Nothing is looked up for it."""
    (problem,) = told(machine(written))
    assert problem.startswith(f"10:14: error: event '{written}' is not allowed; a name is 1 to 50")


# context_types


@pytest.mark.fantasm(85, 86)
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ARGUMENT", "start_date"),
        ("Events.OK", "fine"),
        ("{package}.other.EVENT", "other"),
        ("{package}.other.Events.OK", "otherwise"),
        ("plain_argument", "plain_argument"),
        ("NUMBER", "NUMBER"),
        ("send", "send"),
        ("nonesuch.NAME", "nonesuch.NAME"),
        ("'any text'", "any text"),
    ],
)
def test_an_argument_is_what_its_constant_holds(names, written, expected):
    """In the same four ways; what leads to nothing stays what it is, dotted or not."""
    written = written.replace("{package}", names.partition(".")[0])
    text = machine("ok", namespace=f"{names}\n  context_types: {{{written}: int}}")
    (found,) = parse_text(text, "f")
    assert ((expected, "int"),) == found.context_types


@pytest.mark.fantasm(87)
def test_a_dotted_argument_of_anything_but_text_is_an_error(names):
    """With what it is instead, at its place."""
    text = machine("ok", namespace=f"{names}\n  context_types: {{Events.NUMBER: int}}")
    assert told(text) == [
        "4:19: error: argument 'Events.NUMBER' is no constant that holds text: an object of type 'int'"
    ]


def test_arguments_that_become_equal_or_empty_are_told(names):
    """One by its name, one by its value."""
    text = machine(
        "ok", namespace=f"{names}\n  context_types: {{start_date: int, ARGUMENT: str, EMPTY: str}}"
    )
    assert told(text) == [
        "4:36: error: the argument 'start_date' has a type already; the first is at line 4, column 19",
        "4:51: error: the constant 'EMPTY' is empty",
    ]


# without looking anything up


def test_names_stand_for_themselves_where_nothing_may_be_imported(package, tmp_path):
    """For drawings, and for checks where the application's packages are not installed."""
    name = package(names=CONSTANTS + "imported = True\n")
    text = machine(
        "EVENT", "Events.OK", "MY_EVENT", namespace=f"{name}.names\n  context_types: {{ARGUMENT: int}}"
    )
    path = tmp_path / "fsm.yaml"
    path.write_text(text)
    found = load_definitions(path, resolve_names=False).machines["M"]
    assert ["EVENT", "Events.OK", "MY_EVENT"] == [each.event for each in found.states[0].transitions]
    assert (("ARGUMENT", "int"),) == found.context_types
    assert f"{name}.names" not in sys.modules


def on_error(written: str, *events: str, namespace: str = "", transition: str = "") -> str:
    """The machine above, with an on_error at line 8, column 15."""
    text = machine(*events, namespace=namespace, state="final: on", transition=transition)
    return text.replace("    final: on\n", f"    on_error: {written}\n", 1)


@pytest.mark.parametrize(
    ("written", "event", "expected"),
    [
        ("Events.OK", "Events.OK", "fine"),
        ("fine", "Events.OK", "fine"),
        ("Events.OK", "fine", "fine"),
        ("EVENT", "{package}.names.EVENT", "ok"),
        ("{package}.other.EVENT", "other", "other"),
        ("EVENT", "ok", "ok"),
    ],
)
def test_an_event_on_errors_may_be_a_constant_as_any_other(names, written, event, expected):
    """However the two are written, they are the same event."""
    package = names.partition(".")[0]
    text = on_error(written, event, namespace=names).replace("{package}", package)
    (found,) = parse_text(text, "f")
    assert (expected, [expected]) == (found.states[0].on_error, events(text))


def test_an_event_on_errors_means_the_one_that_is_written_alike(names):
    """Even where that one comes from the namespace of its transition."""
    other = names.replace(".names", ".other")
    text = on_error("EVENT", "EVENT", transition=f"namespace: {other}")
    (found,) = parse_text(text, "f")
    assert ("other", ["other"]) == (found.states[0].on_error, events(text))


def test_an_event_on_errors_that_is_no_text_is_told_at_its_place(names):
    """In the words for any event."""
    (problem,) = told(on_error("Events.NUMBER", "ok", namespace=names))
    assert problem.startswith("8:15: error: on_error 'Events.NUMBER' is no constant that holds text")
    (problem,) = told(on_error("BAD", "ok", namespace=names))
    assert problem.startswith(
        "8:15: error: the constant 'BAD' is 'not a name': on_error 'not a name' is not allowed"
    )


def test_a_constant_that_cannot_be_had_is_told_once_for_an_event_and_for_errors(names):
    """Who corrects the transition corrects both; where they differ there is nothing to compare with."""
    assert 1 == len(told(on_error("Events.NONE", "Events.NONE", namespace=names)))
    assert 1 == len(told(on_error("ok", "Events.NONE", namespace=names)))
    (problem,) = told(on_error("EVENT", "fine", namespace=names))
    assert (
        "8:15: error: state 'S' has no transition on 'ok', which is its on_error; its events are: 'fine'"
        == problem
    )
