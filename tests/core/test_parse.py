"""What a definition file means as a whole, and every way to get it wrong."""

from __future__ import annotations

import pytest
from fsm_texts import VALID, machine_of, one_state, problems, with_transition

from fantasm_gcp.core.attributes import (
    ATTRIBUTES,
    RETRY_ATTRIBUTES,
)
from fantasm_gcp.core.definition import Machine, RetryPolicy, State, Transition
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader import parse_text


@pytest.mark.fantasm(1, 6, 9, 25, 30, 41, 49, 50)
def test_a_file_becomes_machines_in_its_order():
    """Everything that is written arrives, and what is not has its default."""
    expected = Machine(
        name="Mail",
        queue="mails",
        states=(
            State(
                "Send",
                "shop.mail.Send",
                initial=True,
                continuation=True,
                transitions=(Transition("ok", "Count", queue="mails"),),
            ),
            State("Count", "shop.mail.Count", final=True, fan_in=3),
        ),
    )
    assert expected == machine_of(VALID)


@pytest.mark.fantasm(6)
def test_the_default_queue_is_called_default():
    """A machine that names no queue uses Cloud Tasks' usual one, and so do its transitions."""
    machine = machine_of(VALID.replace("  queue: mails\n", ""))
    assert (machine.queue, machine.states[0].transitions[0].queue) == ("default", "default")


@pytest.mark.fantasm(71)
def test_several_machines_keep_their_order():
    """Machines come in the order of the file."""
    second = VALID.removeprefix("state_machines:\n").replace("Mail", "Another")
    assert list(parse_text(VALID + second, "f").machines) == ["Mail", "Another"]


@pytest.mark.fantasm(29, 34)
def test_one_state_may_be_initial_and_final_and_need_no_action():
    """The smallest machine there is."""
    text = "state_machines: [{name: M, states: [{name: S, initial: yes, final: on}]}]"
    assert Machine("M", (State("S", initial=True, final=True),)) == machine_of(text)


@pytest.mark.fantasm(9, 32, 33)
@pytest.mark.parametrize(
    ("machine", "state", "action", "expected"),
    [
        ("namespace: a.b", "fan_in: 3", "C", "a.b.C"),
        ("namespace: a.b", "namespace: x.y", "C", "x.y.C"),
        ("namespace: a.b", "namespace: x.y", "other.C", "other.C"),
        ("queue: q", "namespace: x", "C", "x.C"),
    ],
)
def test_a_bare_action_gets_the_nearest_namespace(machine, state, action, expected):
    """The state's namespace goes before the machine's; a dotted action needs none."""
    text = (
        f"state_machines:\n- name: M\n  {machine}\n  states:\n"
        f"  - name: S\n    initial: true\n    {state}\n    action: {action}\n    final: true\n"
    )
    assert expected == machine_of(text).states[0].action


def test_a_bare_action_without_a_namespace_is_an_error():
    """There is no module to take it from."""
    text = VALID.replace("namespace: shop.mail", "guarantee: exactly_once").replace(
        "action: Send", "action: a.Send"
    )
    expected = (
        "14:13: error: action 'Count' names no module; "
        "write it like package.module.Count, or give the machine a line 'namespace: your_module'"
    )
    assert [expected] == problems(text)


@pytest.mark.fantasm(54, 55)
@pytest.mark.parametrize("name", RETRY_ATTRIBUTES)
def test_a_transition_inherits_each_retry_attribute_alone(name):
    """What a transition does not say about retries is the machine's, field by field."""
    every = ", ".join(f"{each}: 7" for each in RETRY_ATTRIBUTES)
    text = (
        f"state_machines: [{{name: M, {every}, states: [{{name: S, action: a.B, initial: true, final: true, "
        f"transitions: [{{event: e, to: S, {name}: 7}}, {{event: f, to: S, {name}: {OTHER[name]}}}]}}]}}]"
    )
    machine = machine_of(text)
    same, other = machine.states[0].transitions
    assert machine.retry == same.retry == RetryPolicy(7, 7, 7, 7, 7)
    assert OTHER[name] == getattr(other.retry, name)
    assert {7} == {getattr(other.retry, each) for each in RETRY_ATTRIBUTES if each != name}


OTHER = dict.fromkeys(RETRY_ATTRIBUTES, 0) | {"max_backoff_seconds": 8}


@pytest.mark.fantasm(56)
def test_a_transition_may_have_its_own_queue():
    """An own queue goes before the machine's."""
    assert machine_of(with_transition("event: e\n      queue: slow")).states[0].transitions[0].queue == "slow"


def test_a_namespace_that_cannot_be_used_does_not_make_actions_wrong():
    """One mistake, one problem."""
    expected = [
        "3:14: error: namespace 'shop/mail' is not a dotted Python name; write it like package.module"
    ]
    assert expected == problems(VALID.replace("shop.mail", "shop/mail"))


def test_a_guarantee_is_one_of_two():
    """A misspelt one is guessed, another is told what there is."""
    assert machine_of(one_state("initial: no", "guarantee: at_least_once")).guarantee == "at_least_once"
    assert problems(one_state("initial: no", "guarantee: exactly-once")) == [
        "3:14: error: guarantee 'exactly-once' is not known; did you mean 'exactly_once'?"
    ]
    assert problems(one_state("initial: no", "guarantee: none")) == [
        "3:14: error: guarantee 'none' is not known; write exactly_once or at_least_once"
    ]


def test_at_least_once_refuses_a_fan_in_and_allows_a_continuation():
    """Collecting needs records, continuing does not."""
    expected = (
        "6:13: error: fan_in needs records, and a machine with guarantee at_least_once keeps none; "
        "remove one of the two"
    )
    assert [expected] == problems(one_state("fan_in: 3", "guarantee: at_least_once"))
    assert problems(one_state("continuation: true", "guarantee: at_least_once")) == []


@pytest.mark.fantasm(44)
def test_a_state_does_not_both_collect_and_continue():
    """A fan-in cannot be a continuation."""
    expected = (
        "6:13: error: state 'S' has both fan_in and continuation; "
        "collect in one state and continue in another"
    )
    assert [expected] == problems(one_state("fan_in: 3\n    continuation: true"))
    assert problems(one_state("fan_in: 3\n    continuation: false")) == []


def test_the_name_of_the_start_is_reserved():
    """An instance starts from a state of that name, which no file defines."""
    text = VALID.replace("name: Count", "name: pseudo-init").replace("to: Count", "to: pseudo-init")
    assert problems(text) == [
        "13:11: error: the name 'pseudo-init' is reserved; it stands for the start of an instance"
    ]


@pytest.mark.fantasm(2, 20, 25, 28, 37, 48, 50, 53, 72, 73, 74)
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "    initial: true\n",
            "",
            "2:9: error: machine 'Mail' has no initial state; write 'initial: true' on one state",
        ),
        (
            "    final: true\n",
            "    initial: true\n    final: true\n",
            "15:14: error: state 'Count' is a second initial state; the first is at line 8, column 14",
        ),
        (
            "    action: Send\n",
            "",
            "6:11: error: state 'Send' has no action; "
            "only a final state may lack one; add 'action:' or 'final: true'",
        ),
        ("to: Count", "to: Cuont", "12:11: error: there is no state 'Cuont'; did you mean 'Count'?"),
        (
            "to: Count",
            "to: Elsewhere",
            "12:11: error: there is no state 'Elsewhere'; the states are: 'Send', 'Count'",
        ),
        (
            "      to: Count\n",
            "      to: Count\n    - event: ok\n      to: Send\n",
            "13:14: error: the event 'ok' is taken by another transition; the first is at line 11, column 14",
        ),
        (
            "    continuation: true\n",
            "    queue: q\n",
            "9:5: error: unknown attribute 'queue' on state 'Send'; it belongs to a machine or a transition",
        ),
        (
            "    continuation: true\n",
            "    continuatoin: true\n",
            "9:5: error: unknown attribute 'continuatoin' on state 'Send'; did you mean 'continuation'?",
        ),
        (
            "state_machines:\n",
            "root: /x\nstate_machines:\n",
            "1:1: error: unknown attribute 'root' on the file; did you mean 'root_url'?",
        ),
        (
            "state_machines:\n",
            "state_machine:\n",
            "1:1: error: unknown attribute 'state_machine' on the file; did you mean 'state_machines'?",
        ),
        (
            "      to: Count\n",
            "      too: Count\n",
            "12:7: error: unknown attribute 'too' on transition 'ok'; did you mean 'to'?",
        ),
        ("      to: Count\n", "", "11:7: error: transition 'ok' has no to"),
        ("    - event: ok\n      to", "    - to", "11:7: error: a transition has no event"),
        ("  - name: Send\n    action", "  - action", "6:5: error: a state has no name"),
        (
            "    final: true\n",
            "",
            "2:9: error: machine 'Mail' has no final state; "
            "write 'final: true' on each state that may end a branch",
        ),
        ("- name: Mail\n  name", "- name", "2:3: error: a machine has no name"),
        (
            "    final: true\n",
            "    final: true\n    action: a.C\n",
            "16:5: error: 'action' is written twice in state 'Count'; the first is at line 14, column 5",
        ),
    ],
)
def test_a_mistake_is_told_once_with_its_place(old, new, expected):
    """One mistake in a valid file makes one problem, at the key or value that is wrong."""
    assert old in VALID
    assert [expected] == problems(VALID.replace(old, new, 1))


@pytest.mark.fantasm(68)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n", "1:1: error: the file must be a mapping; it begins with 'state_machines:'"),
        ("hello", "1:1: error: the file must be a mapping; it begins with 'state_machines:'"),
        ("{}", "1:1: error: the file has no state_machines"),
        ("state_machines: []", "1:17: error: state_machines is empty; a machine is needed"),
        ("state_machines:", "1:1: error: state_machines has no value; write one"),
        (
            "state_machines: x",
            "1:17: error: state_machines must be a list; begin each item with a dash: '- '",
        ),
        (
            "state_machines: {a: 1}",
            "1:17: error: state_machines must be a list, not a mapping; begin each item with a dash: '- '",
        ),
        (
            "state_machines: [x]",
            "1:18: error: a machine must be a mapping of attributes; write it like '- name: ...'",
        ),
        ("state_machines: [{name: M}]", "1:18: error: machine 'M' has no states"),
        ("state_machines: [{name: M, states: []}]", "1:36: error: states is empty; a state is needed"),
    ],
)
def test_a_file_of_another_shape_is_told_the_right_one(text, expected):
    """Nothing is assumed of what a file holds."""
    assert [expected] == problems(text)


def test_no_transitions_may_be_written_as_an_empty_list():
    """Unlike machines and states, transitions may be none."""
    assert machine_of(one_state("transitions: []")).states[1].transitions == ()


@pytest.mark.fantasm(27, 70)
def test_a_repeated_name_is_told_with_the_place_of_the_first():
    """Of machines and of states; a third points at the first as well."""
    machine = "- name: M\n  states: [{name: S, initial: true, final: true}]\n"
    assert problems("state_machines:\n" + machine * 3) == [
        "4:9: error: the name 'M' is taken by another machine; the first is at line 2, column 9",
        "6:9: error: the name 'M' is taken by another machine; the first is at line 2, column 9",
    ]
    states = "  - {final: true, name: S}\n" * 3
    assert problems(
        "state_machines:\n- name: M\n  states:\n" + states.replace("final", "initial: on, final", 1)
    ) == [
        "5:25: error: the name 'S' is taken by another state; the first is at line 4, column 38",
        "6:25: error: the name 'S' is taken by another state; the first is at line 4, column 38",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  - name: Count\n", "  - name: [Count]\n"),
        ("  - name: Count\n", "  - nmae: Count\n"),
        ("  - name: Count\n    action: Count\n    final: true\n    fan_in: 3\n", "  - Count\n"),
        ("    initial: true\n", "    initial: 'true'\n"),
        ("    initial: true\n", "    inital: true\n"),
        ("    final: true\n", "    finale: true\n"),
        ("    action: Send\n", "    action: S-end\n"),
        ("    action: Send\n", "    acton: Send\n"),
        ("    - event: ok\n", "    - evnt: ok\n"),
        ("    - event: ok\n", "    - event: o_k\n"),
        ("      to: Count\n", "      to: [Count]\n"),
        ("    fan_in: 3\n", "    fan_in: 3\n    continuation: 3\n"),
    ],
)
def test_what_follows_from_a_mistake_is_not_a_second_problem(old, new):
    """Who corrects the one that is told is done."""
    assert old in VALID
    assert len(problems(VALID.replace(old, new, 1))) == 1


def test_a_name_that_is_not_allowed_is_told_wherever_it_is_written():
    """Each place must be corrected, but the state is not unknown as well."""
    rule = "'Co_unt' is not allowed; a name is 1 to 50 letters, digits and dashes, for example Co-unt"
    expected = [f"12:11: error: to {rule}", f"13:11: error: name {rule}"]
    assert expected == problems(
        VALID.replace("to: Count", "to: Co_unt").replace("name: Count", "name: Co_unt")
    )


def test_backoff_times_in_the_wrong_order_are_an_error():
    """On the machine, on a transition, and across the two; equal times are fine."""
    limits = "min_backoff_seconds: 5\n  max_backoff_seconds: 4"
    assert problems(one_state("initial: no", limits)) == [
        "3:24: error: min_backoff_seconds 5 is more than max_backoff_seconds 4"
    ]
    assert problems(one_state("initial: no", limits.replace("4", "5"))) == []
    assert problems(with_transition("event: e\n      max_backoff_seconds: 4", "min_backoff_seconds: 5")) == [
        "9:28: error: min_backoff_seconds 5 is more than max_backoff_seconds 4"
    ]
    assert (
        problems(
            with_transition(
                "event: e\n      max_backoff_seconds: 4\n      min_backoff_seconds: 4",
                "min_backoff_seconds: 5",
            )
        )
        == []
    )


def test_a_wrong_order_on_the_machine_is_not_told_again_for_its_transitions():
    """A transition that says nothing about it has nothing to correct."""
    limits = "{min_backoff_seconds: 5, max_backoff_seconds: 4}"
    text = with_transition("event: e", f"<<: {limits}")
    assert problems(text) == ["3:29: error: min_backoff_seconds 5 is more than max_backoff_seconds 4"]


def test_every_problem_is_told_at_once_in_the_order_of_the_file():
    """Errors of every kind and the warnings of machines that are fine come together."""
    text = (
        "state_machines:\n"
        "- name: A\n  states:\n  - {name: S, initial: true, final: true}\n  - {name: T, final: true}\n"
        "- name: B_\n  colour: red\n  states:\n"
        "  - name: S\n    fan_in: soon\n    initial: 'no'\n    final: true\n"
        "other: 1\n"
    )
    assert problems(text) == [
        "5:12: warning: state 'T' cannot be reached from 'S'",
        "6:9: error: name 'B_' is not allowed; a name is 1 to 50 letters, digits and dashes, for example B",
        "7:3: error: unknown attribute 'colour' on machine 'B_'; known here: name, namespace, queue, target, "
        "countdown, task_retry_limit, task_age_limit, min_backoff_seconds, max_backoff_seconds, "
        "max_doublings, context_types, logging, guarantee, on_complete, on_failure, pin_version, states",
        "10:13: error: fan_in must be a number, not the text 'soon'; write it in digits, like 30",
        "11:14: error: initial must be true or false, not the text 'no'; write false, without quotes",
        "13:1: error: unknown attribute 'other' on the file; known here: root_url, import, state_machines",
    ]


def test_a_problem_shows_the_line_and_points_at_the_column():
    """The text of an error is what a developer reads in a terminal."""
    with pytest.raises(DefinitionError) as caught:
        parse_text(VALID.replace("action: Count", "actoin: Count"), "fsm.yaml")
    assert str(caught.value) == (
        "fsm.yaml:14:5: error: unknown attribute 'actoin' on state 'Count'; did you mean 'action'?\n"
        "    14 |     actoin: Count\n"
        "       |     ^"
    )


def test_the_caret_stays_under_its_column_behind_tabs():
    """What a terminal would not show as one character is shown as one space."""
    with pytest.raises(DefinitionError) as caught:
        parse_text("state_machines:\t\t[ x ]", "f")
    line, shown, caret = str(caught.value).splitlines()
    assert line.startswith("f:1:20: error: a machine must be a mapping")
    assert shown == "    1 | state_machines:  [ x ]"
    assert shown.index("x") == caret.index("^")


def test_places_tell_where_everything_was_written():
    """By the names of machine, state and event, and of the attributes that were given."""
    places = parse_text(VALID, "fsm.yaml").places
    at = {path: (place.line, place.column) for path, place in places.items()}
    assert at["Mail",] == (2, 9)
    assert at["Mail", "queue"] == (4, 10)
    assert at["Mail", "states", "Send"] == (6, 11)
    assert at["Mail", "states", "Send", "action"] == (7, 13)
    assert at["Mail", "states", "Send", "transitions", "ok"] == (11, 14)
    assert at["Mail", "states", "Send", "transitions", "ok", "to"] == (12, 11)
    assert ("Mail", "states", "Count", "continuation") not in at
    assert {"fsm.yaml"} == {place.file for place in places.values()}


def test_files_that_say_the_same_in_other_places_are_equal():
    """Places are about the text, not about what it says."""
    assert parse_text(VALID, "a") == parse_text("# a comment\n" + VALID, "b")


def test_the_table_names_each_attribute_once_with_a_line_of_documentation():
    """Parsing, hints and the reference come from the table, so it must be in order."""
    assert len(ATTRIBUTES) == len({(each.level, each.name) for each in ATTRIBUTES})
    assert [each.name for each in ATTRIBUTES if not each.doc.endswith(".") or "\n" in each.doc] == []
    assert set(RETRY_ATTRIBUTES) == set(RetryPolicy.__dataclass_fields__)


def test_an_attribute_misspelt_beside_the_right_one_is_recognised():
    """The right one is there, so nothing is missing; the hint still tells what was meant."""
    text = VALID.replace("    final: true\n", "    final: true\n    finl: true\n")
    expected = ["16:5: error: unknown attribute 'finl' on state 'Count'; did you mean 'final'?"]
    assert expected == problems(text)
