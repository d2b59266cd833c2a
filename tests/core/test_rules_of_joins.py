"""What a join excludes and needs, what is said of the transitions to it, and what needs records."""

from __future__ import annotations

import pytest
from fsm_texts import machine_of, one_state, problems

from fantasm_gcp.core.definition import RetryPolicy, State

HEAD = "state_machines:\n- name: M\n  namespace: n\n  states:\n"
JOIN = "  - {name: B, action: B, final: on, join: on}\n"


def first_state(state: str = "", transition: str = "") -> str:
    """A state A at line 5 that leads to B by an event at line 9; further attributes stand at 6 and 11."""
    return (
        f"  - name: A\n    {state or 'final: off'}\n    action: A\n    transitions:\n"
        f"    - event: e\n      to: B\n      {transition or 'queue: q'}\n    initial: true\n"
    )


def test_a_state_joins_where_the_file_says_so():
    """Without a period, in groups or not, with as many contexts as it says."""
    plain = machine_of(HEAD + first_state() + JOIN).states[1]
    assert State("B", "n.B", final=True, join=True) == plain
    assert (True, None, None, None) == (plain.collects, plain.fan_in, plain.fan_in_group, plain.fan_in_max)
    grouped = machine_of(
        one_state("{join: on, fan_in_group: region, fan_in_max: 1}".strip("{}").replace(", ", "\n    "))
    )
    assert (True, "region", 1) == (
        grouped.states[1].join,
        grouped.states[1].fan_in_group,
        grouped.states[1].fan_in_max,
    )
    assert [] == problems(one_state("join: off\n    continuation: on"))
    assert [] == problems(one_state("join: on\n    transactional: on\n    entry: a.In"))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (
            "fan_in: 3",
            "6:11: error: state 'S' has both fan_in and join; "
            "a fan_in waits for a number of seconds, a join for every other branch: keep one of the two",
        ),
        (
            "continuation: true",
            "6:11: error: state 'S' has both join and continuation; "
            "collect in one state and continue in another",
        ),
        (
            "exit: a.Out",
            "7:11: error: state 'S' collects contexts, and such a state cannot have an exit; "
            "do it in the action, or in a state of its own behind",
        ),
    ],
)
def test_a_join_is_nothing_else(other, expected):
    """One mistake makes one problem; a join that is switched off excludes nothing."""
    text = one_state(f"join: true\n    {other}")
    assert [expected] == problems(text)
    assert [] == problems(text.replace("join: true", "join: false"))
    assert 1 == len(problems(text.replace("join: true", "join: maybe")))
    assert 1 == len(problems(text.replace(other, other.partition(":")[0] + ": {}")))


def test_an_initial_state_is_no_join():
    """There is nothing yet that it could wait for."""
    text = "state_machines: [{name: M, states: [{name: S, join: on, initial: on, final: on}]}]"
    assert problems(text) == [
        "1:53: error: state 'S' is initial, so it cannot be a join: at its start an instance has nothing to "
        "wait for; begin in another state that leads to it"
    ]


def test_a_join_that_is_not_final_needs_an_action():
    """As any state does."""
    text = HEAD + first_state() + "  - {name: B, join: on}\n  - {name: C, final: on}\n"
    assert ["13:12: error: state 'B' has no action; "
            "only a final state may lack one; add 'action:' or 'final: true'"] == [
        each for each in problems(text) if "error" in each
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0", "6:17: error: fan_in_max 0 must be 1 or more"),
        ("-1", "6:17: error: fan_in_max -1 must be 1 or more"),
        ("501", "6:17: error: fan_in_max 501 is too large; the most is 500"),
        ("1.5", "6:17: error: fan_in_max 1.5 must be a whole number"),
        ("2.0", "6:17: error: fan_in_max 2.0 must be a whole number"),
        (".inf", "6:17: error: fan_in_max .inf is not a finite number"),
        ("all", "6:17: error: fan_in_max must be a number, not the text 'all'; write it in digits, like 30"),
        ("on", "6:17: error: fan_in_max must be a number, not the boolean true; write it in digits, like 30"),
        ("", "6:5: error: fan_in_max has no value; write one, or remove the line"),
    ],
)
@pytest.mark.parametrize("collecting", ["join: true", "fan_in: 3"])
def test_a_fan_in_max_is_a_whole_number_from_1_to_500(written, expected, collecting):
    """A batch's entries are deleted in the commit of its step, which takes no more."""
    assert [expected] == problems(one_state(f"fan_in_max: {written}\n    {collecting}"))
    for number in (1, 500):
        assert number == machine_of(one_state(f"fan_in_max: {number}\n    {collecting}")).states[1].fan_in_max


@pytest.mark.parametrize(("attribute", "value"), [("fan_in_max", "3"), ("fan_in_group", "owner")])
def test_what_tells_how_contexts_are_collected_needs_a_state_that_collects(attribute, value):
    """A fan-in or a join; where one of them cannot be read, that is the problem."""
    text = one_state(f"{attribute}: {value}")
    (problem,) = problems(text)
    assert problem.endswith(
        f"error: state 'S' has a {attribute}, but neither fan_in nor join; write how contexts are collected, "
        f"like 'fan_in: 30' or 'join: true', or remove the {attribute.removeprefix('fan_in_').replace('max', 'fan_in_max')}"
    )
    assert [] == problems(one_state(f"{attribute}: {value}\n    join: on"))
    assert [] == problems(one_state(f"{attribute}: {value}\n    fan_in: 3"))
    assert 1 == len(problems(one_state(f"{attribute}: {value}\n    join: off")))
    assert 1 == len(problems(one_state(f"{attribute}: {value}\n    join: maybe")))
    assert 1 == len(problems(one_state(f"{attribute}: {value}\n    fan_in: soon")))


def test_no_action_no_exit_and_no_countdown_lie_on_the_way_to_a_join():
    """Nobody could say whose they are; and it waits for others, not for a time."""
    assert problems(HEAD + first_state("", "action: Go") + JOIN) == [
        "11:15: error: a transition to state 'B', which collects contexts, cannot have an action; "
        "do it in the action of a state"
    ]
    assert problems(HEAD + first_state("exit: Out") + JOIN) == [
        "10:11: error: state 'A' has an exit, so it cannot lead to state 'B', which collects contexts; "
        "do it in the action, or put a state between the two"
    ]
    assert problems(HEAD + first_state("", "countdown: {minimum: 0, maximum: 0.5}") + JOIN) == [
        "11:18: error: a transition to state 'B', which collects contexts, cannot have a countdown; "
        "it waits for every other branch, however long they take"
    ]
    assert [] == problems(HEAD + first_state("", "countdown: 0") + JOIN)


def test_an_exit_that_may_not_be_there_at_all_is_told_once():
    """Not again for the ways that lead from it."""
    (problem,) = problems(HEAD + first_state("exit: Out\n    continuation: true") + JOIN)
    assert "is a continuation, and such a state cannot have an exit" in problem


def test_no_action_lies_on_the_way_from_a_join():
    """Many contexts leave it as one."""
    text = HEAD + first_state() + (
        "  - {name: B, action: B, join: on, transitions: [{event: e, to: C, action: Go}]}\n"
        "  - {name: C, action: C, final: on}\n"
    )  # fmt: skip
    assert problems(text) == [
        "13:76: error: a transition from state 'B', which collects contexts, cannot have an action; "
        "do it in the action of a state"
    ]


def test_a_machines_countdown_leaves_its_joins_alone():
    """As it does fan-ins."""
    text = HEAD.replace("namespace: n", "namespace: n\n  countdown: 9") + first_state() + JOIN
    assert [] == problems(text)
    assert machine_of(text).states[0].transitions[0].countdown is None


WAYS = (
    "state_machines:\n- name: M\n  namespace: n\n  queue: slow\n  states:\n"
    "  - name: A\n    action: A\n    initial: on\n    transitions:\n"
    "    - {event: e, to: J, task_retry_limit: 5}\n"
    "    - {event: f, to: J, FURTHER}\n"
    "  - {name: J, action: J, join: on, final: on}\n"
)


@pytest.mark.parametrize(
    ("further", "told"),
    [
        ("queue: quick", ["queue"]),
        ("queue: slow", []),
        ("target: worker", ["target"]),
        ("task_retry_limit: 4", ["task_retry_limit"]),
        ("max_retries: 4", ["task_retry_limit"]),
        ("task_retry_limit: 5", []),
        ("min_backoff_seconds: 0", ["min_backoff_seconds"]),
        ("queue: quick, task_age_limit: 60", ["queue", "task_age_limit"]),
        ("namespace: x", []),
        ("countdown: 0", []),
    ],
)
def test_what_a_second_way_to_a_join_says_of_its_tasks_is_told_to_have_no_effect(further, told):
    """The first one's, or what that one inherits, is in force; to say the same again is no problem."""
    text = WAYS.replace("FURTHER", further)
    found = [each for each in problems(text) if "is an old name" not in each]
    assert [
        f"warning: {name} has no effect: the tasks of a join take it from the first way to state 'J'; "
        "that is the transition at line 10, column 7"
        for name in told
    ] == [each.split(": ", 1)[1] for each in found]
    assert all(each.startswith("11:") for each in found)
    assert [] == [each for each in problems(text.replace("join: on", "fan_in: 3")) if "no effect" in each]
    first, second = machine_of(WAYS.replace("FURTHER", "queue: quick")).states[0].transitions
    assert ("slow", "quick", RetryPolicy(5)) == (first.queue, second.queue, first.retry)


def test_a_first_way_to_a_join_that_cannot_be_read_is_the_one_problem():
    """What is said of the second one may be what was meant."""
    text = WAYS.replace("FURTHER", "task_retry_limit: 4").replace("limit: 5", "limit: five")
    assert 1 == len(problems(text))


# What needs records

RECORDED = {
    "fan_in: 3": "fan_in",
    "join: true": "join",
    "transactional: true": "transactional",
    "on_error: e\n    transitions: [{event: e, to: Other}]": "on_error",
}
TOLD = {"on_complete: Another": "on_complete", "on_failure: https://example.com": "on_failure"}
ANOTHER = "- {name: Another, states: [{name: S, initial: on, final: on}]}\n"


@pytest.mark.parametrize("written", RECORDED)
def test_at_least_once_refuses_states_that_need_records(written):
    """Nobody waits, counts or remembers there."""
    (problem,) = problems(one_state(written, "guarantee: at_least_once"))
    assert problem.startswith(
        f"6:{7 + len(RECORDED[written])}: error: {RECORDED[written]} needs records, and a "
    )
    assert problem.endswith("machine with guarantee at_least_once keeps none; remove one of the two")
    assert [] == problems(one_state(written, "guarantee: exactly_once"))


@pytest.mark.parametrize("written", TOLD)
def test_at_least_once_has_no_end_that_could_be_told(written):
    """Which of its branches is the last is not known."""
    text = one_state("entry: a.In", f"guarantee: at_least_once\n  {written}") + ANOTHER
    (problem,) = problems(text)
    assert problem.startswith(f"4:{5 + len(TOLD[written])}: error: {TOLD[written]} needs records")
    assert [] == problems(text.replace("at_least_once", "exactly_once"))


def test_at_least_once_may_pin_its_version():
    """A task knows where it goes without a record."""
    assert [] == problems(one_state("entry: a.In", "guarantee: at_least_once\n  pin_version: true"))


@pytest.mark.parametrize("written", RECORDED | TOLD)
def test_an_old_way_to_ask_for_no_records_gives_way_to_what_needs_them(written):
    """As for a fan-in: the machine stays exactly_once, and one warning says why."""
    old = "use_run_once_semaphore: no"
    text = (
        one_state(written, old) if written in RECORDED else one_state("entry: a.In", f"{old}\n  {written}")
    ) + ANOTHER
    (problem,) = problems(text)
    why = f"state 'S' has {RECORDED[written]}" if written in RECORDED else f"it has {TOLD[written]}"
    assert problem == (
        f"3:27: warning: machine 'M' keeps the guarantee exactly_once: {why}, which needs records; "
        "remove use_run_once_semaphore"
    )
