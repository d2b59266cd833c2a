"""The two forms of the published tutorial load with a warning; what is ambiguous is not guessed."""

from __future__ import annotations

import pytest
from fsm_texts import (
    TUTORIAL_COUNT,
    TUTORIAL_FAN_IN,
    TUTORIAL_REVIEW,
    TUTORIAL_SEND,
    VALID,
    machine_of,
    problems,
)

from fantasm_gcp.core.definition import State, Transition
from fantasm_gcp.loader import parse_text

BESIDE = (
    "warning: states stand beside state_machines: they are taken for those of machine '{}'; "
    "indent 'states:' as far as the 'name:' of their machine"
)
TORN = (
    "warning: a transition is written as two items; remove the dash before this, so that it is one: "
    "{{event: {}, to: {}}}"
)


def test_the_tutorials_first_machine_loads():
    """Three states, two of them final, beside their machine."""
    machine = machine_of(TUTORIAL_REVIEW)
    assert (
        State(
            "InitialState",
            "tutorial.InitialStateClass",
            initial=True,
            transitions=(
                Transition("review", "ReviewAndRecoverState", queue="default"),
                Transition("ok", "FinalState", queue="default"),
            ),
        ),
        State(
            "ReviewAndRecoverState",
            "tutorial.ReviewAndRecoverStateClass",
            final=True,
            transitions=(Transition("ok", "FinalState", queue="default"),),
        ),
        State("FinalState", "tutorial.FinalStateClass", final=True),
    ) == machine.states
    assert [f"6:1: {BESIDE.format('MyMachine')}"] == problems(TUTORIAL_REVIEW)


def test_the_tutorials_continuation_loads():
    """One state that is everything at once."""
    expected = State("SendEmail", "tutorial.SendEmail", initial=True, final=True, continuation=True)
    assert (expected,) == machine_of(TUTORIAL_SEND).states
    assert [f"5:1: {BESIDE.format('SendSubscriberEmail')}"] == problems(TUTORIAL_SEND)


@pytest.mark.parametrize(("text", "fan_in"), [(TUTORIAL_COUNT, None), (TUTORIAL_FAN_IN, 3)])
def test_the_tutorials_torn_transition_loads(text, fan_in):
    """``- to: CountEmail`` and ``- event: ok`` are one transition."""
    send, count = machine_of(text).states
    assert (Transition("ok", "CountEmail", queue="default"),) == send.transitions
    assert State("CountEmail", "tutorial.CountEmail", final=True, fan_in=fan_in) == count
    assert problems(text) == [
        f"5:1: {BESIDE.format('SendSubscriberEmail')}",
        f"12:7: {TORN.format('ok', 'CountEmail')}",
    ]


def test_what_the_warnings_show_loads_without_one():
    """The form to write is the form that is shown."""
    head, _, states = TUTORIAL_FAN_IN.partition("\nstates:\n")
    indented = "".join(f"  {line}\n" for line in ("states:", *states.splitlines()) if line)
    right = (head + indented).replace("- to: CountEmail\n      - event: ok", "- {event: ok, to: CountEmail}")
    assert [] == problems(right)
    assert machine_of(TUTORIAL_FAN_IN) == machine_of(right)


def test_places_in_a_mended_file_are_where_the_text_stands():
    """Nothing moves but the meaning."""
    places = parse_text(TUTORIAL_FAN_IN, "f").places
    path = ("SendSubscriberEmail", "states", "SendEmail")
    assert (6, 9) == (places[path].line, places[path].column)
    event, to = places[*path, "transitions", "ok"], places[*path, "transitions", "ok", "to"]
    assert ((12, 14), (11, 11)) == ((event.line, event.column), (to.line, to.column))


# states beside state_machines

STATES = "states:\n- {name: S, initial: on, final: on}\n"
WITH_STATES = "- {name: %s, states: [{name: S, initial: on, final: on}]}\n"


def test_one_machine_of_several_may_lack_its_states():
    """The others have theirs, so it is plain whose these are; the order does not matter."""
    machines = f"state_machines:\n{WITH_STATES % 'A'}- name: B\n  queue: q\n{WITH_STATES % 'C'}"
    for text in (machines + STATES, STATES + machines):
        found = parse_text(text, "f")
        assert ["A", "B", "C"] == list(found.machines)
        assert (State("S", initial=True, final=True),) == found.machines["B"].states
        assert 1 == len(found.warnings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "state_machines:\n- name: A\n- name: B\n" + STATES,
            [
                "2:3: error: machine 'A' has no states",
                "3:3: error: machine 'B' has no states",
                "4:1: error: states belong to a machine; they could be those of machine 'A' or machine 'B': "
                "write each machine's under its 'name:'",
            ],
        ),
        (
            "state_machines:\n" + WITH_STATES % "A" + STATES,
            [
                "3:1: error: states belong to a machine; write them under the 'name:' of their machine",
            ],
        ),
        (
            STATES,
            [
                "1:1: error: states belong to a machine; write them under the 'name:' of their machine",
                "1:1: error: the file has no state_machines",
            ],
        ),
        (
            "state_machines:\n- name: A\n  queue: q\n- queue: r\n" + STATES,
            [
                "2:3: error: machine 'A' has no states",
                "4:3: error: a machine has no name",
                "4:3: error: a machine has no states",
                "5:1: error: states belong to a machine; they could be those of machine 'A' or the machine at "
                "line 4: write each machine's under its 'name:'",
            ],
        ),
    ],
)
def test_states_that_could_be_anybodys_are_an_error(text, expected):
    """Several machines without states, or none."""
    assert expected == problems(text)


def test_a_machine_that_stands_twice_by_an_alias_is_two_machines():
    """Which of the two lacks its states is not for us to say."""
    assert any(
        "error: states belong" in each for each in problems(f"state_machines: [&a {{name: A}}, *a]\n{STATES}")
    )


@pytest.mark.parametrize(
    "states", ["states:\n", "states: []\n", "states: x\n", "states: {a: b}\n", "states: [x]\n"]
)
def test_states_beside_their_machine_must_be_states(states):
    """What is wrong with them is told where they stand."""
    found = problems("state_machines:\n- name: A\n" + states)
    assert found[0].startswith("3:1: warning: states stand beside")
    assert ["3"] == [each.partition(":")[0] for each in found[1:]]


def test_states_that_are_written_twice_are_told():
    """The second would be lost."""
    text = "state_machines:\n- name: A\n" + STATES + STATES
    assert "5:1: error: 'states' is written twice in the file; the first is at line 3, column 1" in problems(
        text
    )


# transitions as two items


def transitions(*items: str) -> str:
    """A machine whose first state has these items as transitions, from line 12 on."""
    written = "".join(f"    - {item}\n" for item in items)
    return VALID.replace("    - event: ok\n      to: Count\n", written)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (("to: Count", "event: ok"), [("ok", "Count")]),
        (("event: ok", "to: Count"), [("ok", "Count")]),
        (("to: Count", "event: ok", "to: Send", "event: nay"), [("ok", "Count"), ("nay", "Send")]),
        (("event: ok", "to: Count", "to: Send", "event: nay"), [("ok", "Count"), ("nay", "Send")]),
        (("{event: a, to: Send}", "to: Count", "event: ok"), [("a", "Send"), ("ok", "Count")]),
        (
            ("to: Count", "event: ok", "{event: a, to: Send}", "event: b", "to: Send"),
            [("ok", "Count"), ("a", "Send"), ("b", "Send")],
        ),
    ],
)
def test_two_halves_that_follow_one_another_are_one_transition(items, expected):
    """Whichever comes first, and however many pairs there are."""
    found = machine_of(transitions(*items)).states[0].transitions
    assert expected == [(each.event, each.to) for each in found]
    warned = [each for each in problems(transitions(*items)) if "is written as two items" in each]
    assert sum(":" in each and "{" not in each for each in items) == 2 * len(warned)


def test_further_attributes_of_two_halves_are_merged():
    """They are one mapping that a dash tore."""
    (found,) = (
        machine_of(
            transitions("{to: Send, queue: a, max_retries: 2}", "{event: ok, max_doublings: 3, countdown: 4}")
        )
        .states[0]
        .transitions
    )
    assert ("ok", "Send", "a", 2, 3) == (
        found.event,
        found.to,
        found.queue,
        found.retry.task_retry_limit,
        found.retry.max_doublings,
    )
    assert found.countdown is not None


def test_attributes_that_both_halves_have_are_an_error():
    """One of the two would be lost."""
    found = problems(transitions("{to: Count, queue: a}", "{event: ok, queue: b}"))
    assert found[0].startswith("12:7: warning: a transition is written as two items")
    assert [
        "12:19: error: 'queue' is written twice in transition 'ok'; the first is at line 11, column 19"
    ] == found[1:]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (
            ("to: Count", "event: ok", "to: Send"),
            ["11:7: error: 3 items have only one of event and to, and which belong together is not clear; "
             "write both of each transition in one item"],
        ),
        (
            ("to: Count", "event: ok", "event: nay", "event: so"),
            ["11:7: error: 4 items have only one of event and to, and which belong together is not clear; "
             "write both of each transition in one item"],
        ),
        (("to: Count",), ["11:7: error: a transition has no event"]),
        (
            ("event: a", "event: b"),
            ["11:7: error: transition 'a' has no to", "12:7: error: transition 'b' has no to"],
        ),
        (
            ("to: Count", "{event: ok, to: Send}", "event: nay"),
            ["11:7: error: a transition has no event", "13:7: error: transition 'nay' has no to"],
        ),
        (
            ("{to: Count, evnt: ok}", "{event: a}"),
            ["11:19: error: unknown attribute 'evnt' on a transition; did you mean 'event'?",
             "12:7: error: transition 'a' has no to"],
        ),
    ],
)  # fmt: skip
def test_halves_that_do_not_make_pairs_are_an_error(items, expected):
    """One too many, or two of a kind: nobody could tell which belong together."""
    found = problems(transitions(*items))
    assert expected == found


def test_a_machine_torn_in_two_is_still_an_error():
    """No tutorial prints it, so it is a mistake that is told."""
    assert problems("state_machines:\n- name: A\n- states: [{name: S, initial: on, final: on}]\n") == [
        "3:3: error: a machine is written as two items; remove the dash before this"
    ]


def test_an_action_by_its_full_path_loads_wherever_it_stands_in_the_state():
    """As a user's notes about Fantasm print it, before the state's name and without a namespace."""
    text = (
        "state_machines:\n- name: Stats\n  states:\n  - action: serverside.computations.InitialClass\n"
        "    name: Initial\n    initial: True\n    final: True\n"
    )
    assert "serverside.computations.InitialClass" == machine_of(text).states[0].action
    assert [] == problems(text)
