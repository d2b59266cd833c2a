"""The transition that a state takes instead of failing."""

from __future__ import annotations

import pytest
from fsm_texts import machine_of, problems

from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import parse_text

HEAD = "state_machines:\n- name: M\n  namespace: n\n  states:\n"
TAIL = "  - {name: B, action: B, final: on}\n"


def text(on_error: str = "on_error: broken", transitions: str = "") -> str:
    """A state A with what stands at line 6, and with transitions on ok and broken at lines 10 and 11."""
    ways = transitions or "    transitions:\n    - {event: ok, to: B}\n    - {event: broken, to: B}\n"
    return f"{HEAD}  - name: A\n    {on_error}\n    action: A\n    initial: on\n{ways}{TAIL}"


def test_a_state_has_an_event_for_errors_or_none():
    """It is one of its own events."""
    assert "broken" == machine_of(text()).states[0].on_error
    assert machine_of(text("final: off")).states[0].on_error is None
    assert [] == problems(text())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("borken", "state 'A' has no transition on 'borken', which is its on_error; did you mean 'broken'?"),
        ("x", "state 'A' has no transition on 'x', which is its on_error; its events are: 'ok', 'broken'"),
        ("OK", "state 'A' has no transition on 'OK', which is its on_error; did you mean 'ok'?"),
        (
            "n.x",
            "state 'A' has no transition on 'n.x', which is its on_error; its events are: 'ok', 'broken'",
        ),
        (
            "B-2",
            "state 'A' has no transition on 'B-2', which is its on_error; its events are: 'ok', 'broken'",
        ),
        ("[ok]", "on_error must be a single value, not a list"),
        (
            "'o k'",
            "on_error 'o k' is not allowed; a name is 1 to 50 letters, digits and dashes, for example o-k",
        ),
        ("on", 'on_error must be text, but YAML reads on as the boolean true; write "on"'),
    ],
)
def test_an_event_that_leads_nowhere_is_told(written, expected):
    """At its place, with the event that was probably meant; names of constants stand for themselves here."""
    with pytest.raises(DefinitionError) as caught:
        parse_text(text(f"on_error: {written}"), "f", resolve_names=False)
    (problem,) = caught.value.problems
    told = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    assert (6, 15, expected) == (problem.line, problem.column, told)


@pytest.mark.parametrize("transitions", ["    final: off\n", "    transitions: []\n"])
def test_a_state_without_transitions_has_none(transitions):
    """There is nowhere to go."""
    (problem,) = [each for each in problems(text(transitions=transitions)) if "error:" in each]
    assert problem == (
        "6:15: error: state 'A' has an on_error, but no transitions; "
        "write the transition that a failed step takes, or remove the on_error"
    )


@pytest.mark.parametrize(
    "transitions",
    [
        "    transitions: B\n",
        "    transistions: [{event: broken, to: B}]\n",
        "    transitions: [B]\n",
        "    transitions: [{event: br_oken, to: B}]\n",
        "    transitions: [{evnt: broken, to: B}]\n",
        "    transitions: [{event: ok, to: B}, {event: [], to: B}]\n",
    ],
)
def test_where_a_transition_cannot_be_read_that_is_the_one_problem(transitions):
    """It may be the one that is meant."""
    assert 1 == len([each for each in problems(text(transitions=transitions)) if "error:" in each])


def test_it_may_lead_wherever_a_transition_may():
    """Back to the state itself, to a join, from a join or a continuation."""
    assert [] == problems(text(transitions="    transitions: [{event: ok, to: B}, {event: broken, to: A}]\n"))
    assert [] == problems(text().replace(TAIL, TAIL.replace("final: on", "final: on, join: on")))
    assert [] == problems(text("on_error: broken\n    continuation: on"))
    joined = text().replace("initial: on", "join: on")
    start = "  - {name: S, action: S, initial: on, transitions: [{event: go, to: A}]}\n"
    assert [] == problems(joined.replace(HEAD, HEAD + start))


def test_the_transition_of_an_error_is_alive_in_a_state_without_an_action():
    """Its entry may fail; no other event can happen there."""
    state = text("on_error: broken\n    final: on").replace("    action: A\n", "    entry: A\n")
    assert problems(state) == [
        "11:15: warning: event 'ok' cannot happen: state 'A' has no action; add an action, or remove the "
        "transition"
    ]
    only = text("on_error: broken\n    final: on", "    transitions: [{event: broken, to: B}]\n")
    assert [] == problems(only.replace("    action: A\n", "    entry: A\n"))
