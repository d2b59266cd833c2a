"""What static verification finds in a machine that is correct: dead events, unreachable states, traps."""

from __future__ import annotations

import random
from itertools import pairwise

from fantasm_gcp.core.check import check_machine
from fantasm_gcp.core.definition import Machine, State, Transition
from fantasm_gcp.core.node import Place


def state(
    name: str, to: str = "", *, final: bool = False, initial: bool = False, action: str | None = "a.B"
) -> State:
    """A state with a transition to each letter of ``to``, on an event of the same letter."""
    return State(
        name,
        action,
        initial=initial,
        final=final,
        transitions=tuple(Transition(each, each) for each in to),
    )


def warnings(*states: State) -> list[str]:
    """The messages about a machine of these states, with their hints; a state's line is its number."""
    places = {}
    for line, each in enumerate(states, start=1):
        places["M", "states", each.name] = Place("f", line, 1, "")
        for column, transition in enumerate(each.transitions, start=2):
            path = ("M", "states", each.name, "transitions", transition.event)
            places[path] = Place("f", line, column, "")
    found = check_machine(Machine("M", states), places)
    assert {"warning"} >= {problem.severity for problem in found}
    return [f"{p.line}:{p.column}: {p.message}" + (f"; {p.hint}" if p.hint else "") for p in found]


def test_a_machine_whose_every_state_is_reached_and_ends_has_no_warnings():
    """Loops, self-transitions and several ends are all fine."""
    assert (
        warnings(state("A", "ABC", initial=True), state("B", "A", final=True), state("C", final=True)) == []
    )


def test_a_final_state_may_have_transitions():
    """A branch may end there or go on."""
    assert warnings(state("A", "A", initial=True, final=True)) == []


def test_a_state_that_no_transition_leads_to_is_unreachable():
    """A transition from itself does not count, nor does one from another unreachable state."""
    expected = ["2:1: state 'B' cannot be reached from 'A'", "3:1: state 'C' cannot be reached from 'A'"]
    assert expected == warnings(
        state("A", initial=True, final=True), state("B", "BC", final=True), state("C", final=True)
    )


def test_an_unreachable_state_may_lead_to_reachable_ones():
    """Reachability has a direction."""
    expected = ["2:1: state 'B' cannot be reached from 'A'"]
    assert expected == warnings(state("A", initial=True, final=True), state("B", "A"))


def test_states_that_go_round_for_ever_are_a_trap():
    """Every state of the round is told, and none before it that has another way."""
    why = "its transitions lead to none"
    assert [
        f"2:1: no final state can be reached from 'B'; {why}",
        f"3:1: no final state can be reached from 'C'; {why}",
    ] == warnings(state("A", "BD", initial=True), state("B", "C"), state("C", "B"), state("D", final=True))


def test_a_state_without_transitions_that_is_not_final_is_a_trap():
    """The hint says that it has none."""
    expected = ["2:1: no final state can be reached from 'B'; it has no transitions"]
    assert expected == warnings(state("A", "BC", initial=True), state("B"), state("C", final=True))


def test_an_event_of_a_state_without_an_action_cannot_happen():
    """Nobody returns it, and what it leads to is not reached by it; the place is the event's."""
    assert warnings(state("A", "B", initial=True, final=True, action=None), state("B", final=True)) == [
        "1:2: event 'B' cannot happen: state 'A' has no action; add an action, or remove the transition",
        "2:1: state 'B' cannot be reached from 'A'",
    ]


def test_entries_and_exits_return_no_events():
    """A state that has them and no action is as silent as one without; a final one is no mistake."""
    only_hooks = State("B", entry="a.entry", exit="a.exit", final=True)
    assert warnings(state("A", "B", initial=True), only_hooks) == []
    going_on = State("B", entry="a.entry", exit="a.exit", final=True, transitions=(Transition("A", "A"),))
    assert warnings(state("A", "B", initial=True), going_on) == [
        "2:2: event 'A' cannot happen: state 'B' has no action; add an action, or remove the transition"
    ]


def test_a_long_chain_of_states_is_verified():
    """The depth of a machine is bounded by memory, not by Python's stack."""
    names = [f"S{number}" for number in range(5000)]
    states = [
        State(name, "a.B", initial=name == "S0", transitions=(Transition("go", to),))
        for name, to in pairwise(names)
    ]
    assert warnings(*states, State(names[-1], final=True)) == []


def test_warnings_agree_with_a_definition_of_reachability_by_repeated_steps():
    """On random machines, the sets found are those that a slower and simpler way finds."""
    chance = random.Random(20261122)
    for _ in range(300):
        letters = "ABCDEF"[: chance.randint(1, 6)]
        states = [
            state(
                letter,
                "".join(to for to in letters if chance.random() < 0.25),
                initial=letter == "A",
                final=chance.random() < 0.3 or letter == letters[-1],
            )
            for letter in letters
        ]
        reach = {(each.name, each.name) for each in states}
        for _ in letters:
            reach |= {
                (a, t.to) for a, b in reach for each in states if each.name == b for t in each.transitions
            }
        unreachable = {each.name for each in states if ("A", each.name) not in reach}
        trapped = {
            each.name for each in states if not any((each.name, e.name) in reach for e in states if e.final)
        }
        found = warnings(*states)
        assert unreachable == {each.split("'")[1] for each in found if "cannot be reached from 'A'" in each}
        assert trapped == {each.split("'")[1] for each in found if "no final state" in each}
