"""Who is told of the end of an instance: machines that there are, and URLs."""

from __future__ import annotations

import re

import pytest
from fsm_texts import machine_of, problems

from fantasm_gcp.loader import parse_text

STATES = "states: [{name: S, initial: on, final: on}]"


def machines(**told: str) -> str:
    """Machines of these names with attributes in braces, one a line from the second on."""
    lines = (f"- {{name: {name}, {attributes}{STATES}}}\n" for name, attributes in told.items())
    return "state_machines:\n" + "".join(lines)


@pytest.mark.parametrize("attribute", ["on_complete", "on_failure"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("B", ("B",)),
        ("[B]", ("B",)),
        ("https://example.com/x?y", ("https://example.com/x?y",)),
        ("[C, https://example.com, B]", ("C", "https://example.com", "B")),
        ("http://localhost:8080", ("http://localhost:8080",)),
    ],
)
def test_receivers_are_one_or_a_list(attribute, written, expected):
    """In the order of the file; the other attribute has none."""
    text = machines(A=f"{attribute}: {written}, ", B="", C="")
    assert [] == problems(text)
    machine = parse_text(text, "f").machine("A")
    assert expected == getattr(machine, attribute)
    assert {expected, ()} == {machine.on_complete, machine.on_failure}


def test_nobody_is_told_and_nothing_pinned_by_default():
    """As in Fantasm."""
    machine = machine_of(machines(A=""))
    assert ((), (), False) == (machine.on_complete, machine.on_failure, machine.pin_version)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Bb", ["2:26: error: there is no machine 'Bb'; did you mean 'B'?"]),
        ("Xyz", ["2:26: error: there is no machine 'Xyz'; the machines are: 'A', 'B'"]),
        ("FantasmScrubber", ["2:26: error: machine 'FantasmScrubber' is built in; name one of your own"]),
        ("[B, B]", ["2:30: error: 'B' is written twice in on_complete; the first is at line 2, column 27"]),
        ("[B, B, B]", ["2:30: error: 'B' is written twice in on_complete; the first is at line 2, column 27",
                       "2:33: error: 'B' is written twice in on_complete; the first is at line 2, column 27"]),
        ("[B, X, Y]", ["2:30: error: there is no machine 'X'; the machines are: 'A', 'B'",
                       "2:33: error: there is no machine 'Y'; the machines are: 'A', 'B'"]),
        ("[https://h/, https://h/]",
         ["2:39: error: 'https://h/' is written twice in on_complete; the first is at line 2, column 27"]),
        ("http://example.com/x",
         ["2:26: error: on_complete 'http://example.com/x' is not allowed; "
          "http:// is for this machine alone, in local mode: write https://"]),
        ("[B, b_]", ["2:30: error: on_complete 'b_' is not allowed; "
                     "write the name of a machine, or a URL that begins with https://"]),
        ("[b_, X, B, B]", ["2:27: error: on_complete 'b_' is not allowed; "
                           "write the name of a machine, or a URL that begins with https://",
                           "2:31: error: there is no machine 'X'; the machines are: 'A', 'B'",
                           "2:37: error: 'B' is written twice in on_complete; the first is at line 2, column 34"]),
        ("[]", ["2:26: error: on_complete is empty; write a machine's name or a URL, or remove the line"]),
        ("''", ["2:13: error: on_complete is empty; write some text, or remove the line"]),
        ("", ["2:13: error: on_complete has no value; write one, or remove the line"]),
        ("~", ["2:26: error: on_complete has no value: YAML reads ~ as null; write \"~\" for the text, or remove the line"]),
        ("[~]", ["2:27: error: on_complete has no value: YAML reads ~ as null; write \"~\" for the text, or remove the line"]),
        ("{B: C}", ["2:26: error: on_complete must be a machine's name or a URL or a list of them, not a mapping"]),
        ("[[B]]", ["2:27: error: on_complete must be a single value, not a list"]),
        ("[{B: C}]", ["2:27: error: on_complete must be a single value, not a mapping"]),
        ("7", ["2:26: error: on_complete must be text, but YAML reads 7 as the number 7; write \"7\""]),
        ("no", ["2:26: error: on_complete must be text, but YAML reads no as the boolean false; write \"no\""]),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_a_problem_at_its_place(written, expected):
    """Each once, with what to write instead; for the two attributes alike."""
    text = machines(A=f"on_complete: {written}, ", B="")
    assert expected == problems(text)
    one_less = re.sub(r"(?<=:)\d+|(?<=column )\d+", "", "\n".join(expected)).replace(
        "on_complete", "on_failure"
    )
    found = "\n".join(problems(text.replace("on_complete", "on_failure")))
    assert one_less == re.sub(r"(?<=:)\d+|(?<=column )\d+", "", found)


def test_a_machine_whose_name_is_no_name_is_not_unknown_as_well():
    """It is told where it is written, and where its name is not allowed as a receiver."""
    found = problems(machines(A="on_complete: B_b, ", B_b=""))
    assert ["2:26: error: on_complete 'B_b'", "3:10: error: name 'B_b'"] == [
        each.split(" is not allowed")[0] for each in found
    ]


@pytest.mark.parametrize(
    "further",
    [
        "- [name, B]\n",
        "- {nmae: B, states: [{name: S, initial: on, final: on}]}\n",
        "- {name: [B], states: [{name: S, initial: on, final: on}]}\n",
        "- {import: nowhere.yaml}\n",
        "import: nowhere.yaml\n",
    ],
)
def test_where_a_machine_cannot_be_read_it_may_be_the_one_that_is_named(further):
    """One mistake, one problem."""
    (problem,) = problems(machines(A="on_complete: B, ") + further)
    assert "there is no machine" not in problem


def test_a_machine_with_a_mistake_is_a_machine():
    """Its own problem is told, and nothing of who names it."""
    (problem,) = problems(machines(A="on_complete: B, ", B="colour: red, "))
    assert "unknown attribute 'colour'" in problem


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"A": "A"}, ["2:{} A"]),
        ({"A": "B", "B": "A"}, ["2:{} A by B", "3:{} B by A"]),
        ({"A": "B", "B": "C", "C": "B"}, ["3:{} B by C", "4:{} C by B"]),
        ({"A": "B", "B": "C", "C": ""}, []),
        ({"A": "[B, A]", "B": ""}, ["2:{} A"]),
        ({"A": "[B, C]", "B": "A", "C": "B"}, ["2:{} A by B", "2:{} A by C", "3:{} B by A", "4:{} C by B"]),
        ({"A": "[https://h/A, B]", "B": "https://h/B"}, []),
    ],
)
def test_machines_that_never_stop_starting_one_another_are_told(told, expected):
    """A warning: they may be meant to."""
    text = machines(**{name: f"on_complete: {to}, " if to else "" for name, to in told.items()})
    found = []
    for each in problems(text):
        place, _, message = each.partition(": warning: machine ")
        name, _, rest = message.partition(" starts itself")
        way, _, rest = rest.partition(" whenever it is completed, so it never stops; ")
        assert "an action may start it where there is a reason to" == rest
        by = f" by {way.split(chr(39))[1]}" if way else ""
        found.append(f"{place.split(':')[0]}:{{}} {name[1:-1]}{by}")
    assert expected == found


def test_a_machine_that_starts_itself_after_a_failure_may_succeed_then():
    """So nothing is said of it."""
    assert [] == problems(machines(A="on_failure: A, "))
    assert [] == problems(machines(A="on_failure: B, ", B="on_complete: A, "))


def test_long_chains_and_circles_of_machines_are_checked_at_once():
    """Three hundred machines in one circle: each is told, and the stack is no limit."""
    count = 300
    told = {f"M{n}": f"on_complete: M{(n + 1) % count}, " for n in range(count)}
    assert count == len(problems(machines(**told)))
