"""What actions, countdowns and reserved names exclude: Fantasm's restrictions, with place and hint."""

from __future__ import annotations

import pytest
from fsm_texts import machine_of, problems

HEAD = "state_machines:\n- name: M\n  namespace: n\n  states:\n"
PLAIN = "  - {name: B, action: B, final: on}\n"
FAN_IN = "  - {name: B, action: B, final: on, fan_in: 3}\n"
CONTINUATION = "  - {name: B, action: B, final: on, continuation: on}\n"


def first_state(state: str = "", transition: str = "") -> str:
    """A state A at line 5 that leads to B by an event at line 9; further attributes stand at 6 and 11."""
    return (
        f"  - name: A\n    {state or 'final: off'}\n    action: A\n    transitions:\n"
        f"    - event: e\n      to: B\n      {transition or 'queue: q'}\n    initial: true\n"
    )


@pytest.mark.fantasm(29, 31, 33, 34)
def test_entry_and_exit_get_the_same_namespace_as_the_action():
    """A final state may have them without an action."""
    text = HEAD + "  - {name: A, initial: on, final: on, namespace: x.y, entry: In, exit: other.Out}\n"
    (state,) = machine_of(text).states
    assert (None, "x.y.In", "other.Out") == (state.action, state.entry, state.exit)
    assert [] == problems(text)


@pytest.mark.fantasm(51)
@pytest.mark.parametrize(
    ("state", "transition", "expected"),
    [
        ("", "action: Go", "n.Go"),
        ("namespace: s", "action: Go", "n.Go"),
        ("namespace: s", "action: Go\n      namespace: t", "t.Go"),
        ("namespace: s", "action: x.Go\n      namespace: t", "x.Go"),
        ("", "namespace: t", None),
    ],
)
def test_a_transition_action_gets_the_nearest_namespace(state, transition, expected):
    """The transition's own, otherwise the machine's: that of the state it leaves is the state's alone."""
    text = HEAD + first_state(state, transition) + PLAIN
    assert expected == machine_of(text).states[0].transitions[0].action


@pytest.mark.parametrize("attribute", ["entry: Go", "exit: Go"])
def test_an_entry_or_exit_without_a_module_is_told(attribute):
    """As an action without one is."""
    text = (HEAD + first_state(attribute).replace("action: A", "action: n.A") + PLAIN).replace(
        "  namespace: n\n", "  queue: q\n"
    )
    name = attribute.partition(":")[0]
    assert f"error: {name} 'Go' names no module; write it like package.module.Go" in problems(text)[0]


def test_a_transition_action_without_a_module_is_told():
    """The place is the transition's."""
    text = (HEAD + first_state("", "action: Go").replace("action: A", "action: n.A") + PLAIN).replace(
        "  namespace: n\n", "  queue: q\n"
    )
    assert problems(text)[0].startswith("11:15: error: action 'Go' names no module")


@pytest.mark.fantasm(43)
def test_a_fan_in_group_needs_a_fan_in():
    """There is nothing to tell apart otherwise."""
    text = HEAD + first_state("fan_in_group: owner") + PLAIN
    assert problems(text) == [
        "6:19: error: state 'A' has a fan_in_group, but neither fan_in nor join; "
        "write how contexts are collected, like 'fan_in: 30' or 'join: true', or remove the group"
    ]
    assert 1 == len(problems(text.replace("owner", "owner\n    fan_in: soon")))


def test_a_continuation_countdown_needs_a_continuation():
    """It is the wait before each further page."""
    text = HEAD + first_state("continuation_countdown: 3") + PLAIN
    assert problems(text) == [
        "6:29: error: state 'A' has a continuation_countdown, but is no continuation; "
        "write 'continuation: true', or remove the countdown"
    ]
    assert 1 == len(problems(text.replace("down: 3", "down: 3\n    continuation: maybe")))


@pytest.mark.fantasm(45)
def test_a_continuation_has_no_exit():
    """Its branches leave it one by one."""
    assert problems(HEAD + first_state("exit: Out\n    continuation: true") + PLAIN) == [
        "6:11: error: state 'A' is a continuation, and such a state cannot have an exit; "
        "do it in the action, or in a state of its own behind"
    ]


@pytest.mark.fantasm(46)
def test_a_fan_in_has_no_exit():
    """Many contexts leave it as one."""
    assert problems(HEAD + first_state("exit: Out\n    fan_in: 3") + PLAIN) == [
        "6:11: error: state 'A' collects contexts, and such a state cannot have an exit; "
        "do it in the action, or in a state of its own behind"
    ]


@pytest.mark.fantasm(59, 60)
@pytest.mark.parametrize(
    ("state", "target", "told"),
    [
        ("continuation: true", PLAIN, "from state 'A', which is a continuation"),
        ("fan_in: 3", PLAIN, "from state 'A', which collects contexts"),
        ("", CONTINUATION, "to state 'B', which is a continuation"),
        ("", FAN_IN, "to state 'B', which collects contexts"),
        ("continuation: true", FAN_IN, "from state 'A', which is a continuation"),
    ],
)
def test_a_transition_action_lies_between_plain_states(state, target, told):
    """One problem, even where both ends are in the way."""
    text = HEAD + first_state(state, "action: Go") + target
    assert problems(text) == [
        f"11:15: error: a transition {told}, cannot have an action; do it in the action of a state"
    ]
    assert [] == problems(HEAD + first_state("", "action: Go") + PLAIN)


@pytest.mark.fantasm(61, 62)
@pytest.mark.parametrize(
    ("target", "told"), [(CONTINUATION, "is a continuation"), (FAN_IN, "collects contexts")]
)
def test_a_state_with_an_exit_leads_to_plain_states(target, told):
    """The place is the transition's."""
    assert problems(HEAD + first_state("exit: Out") + target) == [
        f"10:11: error: state 'A' has an exit, so it cannot lead to state 'B', which {told}; "
        "do it in the action, or put a state between the two"
    ]
    assert [] == problems(HEAD + first_state("exit: Out") + PLAIN)


@pytest.mark.fantasm(63)
@pytest.mark.parametrize("countdown", ["5", "{minimum: 0, maximum: 1}"])
def test_a_transition_to_a_fan_in_has_no_countdown(countdown):
    """The fan-in's own period is the wait."""
    text = HEAD + first_state("", f"countdown: {countdown}") + FAN_IN
    assert problems(text) == [
        "11:18: error: a transition to state 'B', which collects contexts, cannot have a countdown; "
        "its fan_in says how long contexts wait"
    ]


def test_a_machines_countdown_leaves_its_fan_ins_alone():
    """In Fantasm it made every fan-in of the machine an error; a countdown of 0 was the way out, and stays."""
    text = (
        HEAD.replace("namespace: n", "namespace: n\n  countdown: 9")
        + first_state("", "countdown: 0")
        + FAN_IN
    )
    assert [] == problems(text)
    assert machine_of(text).states[0].transitions[0].countdown is None
    text = text.replace("countdown: 0", "queue: q")
    assert [] == problems(text)
    assert machine_of(text).states[0].transitions[0].countdown is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pseudo-init", "it stands for the start of an instance"),
        ("pseudo-final", "it stands for the end of a branch"),
        ("pseudo-operator", "it stands for an operator's command"),
    ],
)
def test_names_of_the_engine_are_reserved(name, why):
    """For states and for events."""
    text = HEAD + first_state() + PLAIN
    assert problems(text.replace("event: e", f"event: {name}")) == [
        f"9:14: error: the event '{name}' is reserved; {why}"
    ]
    assert problems(text.replace("name: A", f"name: {name}")) == [
        f"5:11: error: the name '{name}' is reserved; {why}"
    ]


@pytest.mark.fantasm(75)
def test_the_built_in_machine_cannot_be_defined_again():
    """Its name is taken before any file is read."""
    text = HEAD.replace("name: M", "name: FantasmScrubber") + first_state() + PLAIN
    assert problems(text) == [
        "2:9: error: machine 'FantasmScrubber' is built in; choose another name",
    ]


def test_rules_of_ways_are_silent_about_states_that_are_not_there():
    """The unknown state is the one problem."""
    text = HEAD + first_state("exit: Out", "action: Go\n      countdown: 3").replace("to: B", "to: C") + PLAIN
    (problem,) = [each for each in problems(text) if "error" in each]
    assert "there is no state 'C'" in problem
