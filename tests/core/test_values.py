"""What each kind of attribute takes, at its boundaries, and what YAML 1.1 makes of innocent words."""

from __future__ import annotations

import pytest
from fsm_texts import VALID, machine_of, one_state, problems, with_transition

from fantasm_gcp.core.attributes import MAX_DURATION_SECONDS, MAX_FAN_IN_SECONDS, MAX_INT32


@pytest.mark.fantasm(41)
@pytest.mark.parametrize(
    ("written", "expected"),
    [("3", 3), ("'3'", 3), ("0.5", 0.5), ("'0.5'", 0.5), ("1_000", 1000), ("0x10", 16)],
)
def test_numbers_may_be_written_as_numbers_or_digits_in_quotes(written, expected):
    """Fantasm took digits in quotes for numbers, so its files keep working."""
    machine = machine_of(one_state(f"fan_in: {written}"))
    assert expected == machine.states[1].fan_in


@pytest.mark.parametrize(
    ("name", "most"), [("task_retry_limit", MAX_INT32 - 1), ("max_doublings", MAX_INT32)]
)
def test_counts_end_where_cloud_tasks_cannot_hold_them(name, most):
    """The largest count is taken, one more is not."""
    assert most == getattr(machine_of(one_state("initial: no", f"{name}: {most}")).retry, name)
    expected = [f"3:{5 + len(name)}: error: {name} {most + 1} is too large; the most is {most}"]
    assert expected == problems(one_state("initial: no", f"{name}: {most + 1}"))


@pytest.mark.parametrize("name", ["task_age_limit", "min_backoff_seconds", "max_backoff_seconds"])
def test_times_end_where_a_duration_ends(name):
    """The longest time is that of the protocol's type, and no time is negative."""
    assert getattr(machine_of(one_state("initial: no", f"{name}: 0")).retry, name) == 0
    assert problems(one_state("initial: no", f"{name}: {MAX_DURATION_SECONDS + 1}"))
    assert [f"3:{5 + len(name)}: error: {name} -1 must be 0 or more"] == problems(
        one_state("initial: no", f"{name}: -1")
    )


def test_a_fan_in_lasts_at_most_as_long_as_a_task_can_wait():
    """Thirty days are taken, a second more is not."""
    assert machine_of(one_state(f"fan_in: {MAX_FAN_IN_SECONDS}")).states[1].fan_in == MAX_FAN_IN_SECONDS
    assert problems(one_state("fan_in: 2592001")) == [
        "6:13: error: fan_in 2592001 is too large; the most is 2592000"
    ]


@pytest.mark.fantasm(42)
@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("0", "fan_in 0 must be more than 0; it is a number of seconds"),
        ("-5", "fan_in -5 must be more than 0; it is a number of seconds"),
        ("true", "fan_in must be a number, not the boolean true; write it in digits, like 30"),
        ("abc", "fan_in must be a number, not the text 'abc'; write it in digits, like 30"),
        ("1e3", "fan_in must be a number, not the text '1e3'; write it in digits, like 30"),
        ("'010'", "fan_in must be a number, not the text '010'; write it in digits, like 30"),
        ("'٣'", "fan_in must be a number, not the text '٣'; write it in digits, like 30"),
        ("2026-01-01", "fan_in must be a number, not a date; write it in digits, like 30"),
        (".inf", "fan_in .inf is not a finite number"),
        ("-.inf", "fan_in -.inf is not a finite number"),
        (".nan", "fan_in .nan is not a finite number"),
        (
            "010",
            "fan_in is ambiguous: YAML reads 010 as the number 8; "
            "write it in digits, without a leading zero or a colon",
        ),
        (
            "1:30",
            "fan_in is ambiguous: YAML reads 1:30 as the number 90; "
            "write it in digits, without a leading zero or a colon",
        ),
        ("[3]", "fan_in must be a single value, not a list"),
        ("{a: 3}", "fan_in must be a single value, not a mapping"),
        (
            "null",
            'fan_in has no value: YAML reads null as null; write "null" for the text, or remove the line',
        ),
    ],
)
def test_a_fan_in_is_a_positive_number_of_seconds(written, message):
    """What is no number, or one that was hardly meant, is refused with the reason."""
    assert [f"6:13: error: {message}"] == problems(one_state(f"fan_in: {written}"))


def test_a_count_is_a_whole_number():
    """Half a retry is none."""
    text = one_state("initial: no", "task_retry_limit: 1.5")
    assert problems(text) == ["3:21: error: task_retry_limit 1.5 must be a whole number"]


@pytest.mark.fantasm(30)
@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('"no"', "initial must be true or false, not the text 'no'; write false, without quotes"),
        ("'True'", "initial must be true or false, not the text 'True'; write true, without quotes"),
        ("1", "initial must be true or false, not the number 1; write true, without quotes"),
        ("y", "initial must be true or false, not the text 'y'; write true, without quotes"),
        ("maybe", "initial must be true or false, not the text 'maybe'; write true or false"),
        ("[]", "initial must be a single value, not a list"),
    ],
)
def test_a_flag_is_a_boolean_and_nothing_that_resembles_one(written, message):
    """Fantasm took any text for true, ``"no"`` as well."""
    assert [f"6:14: error: {message}"] == problems(one_state(f"initial: {written}"))


@pytest.mark.parametrize(
    ("written", "reading"),
    [
        ("on", "the boolean true"),
        ("off", "the boolean false"),
        ("yes", "the boolean true"),
        ("No", "the boolean false"),
        ("TRUE", "the boolean true"),
        ("10", "the number 10"),
        ("010", "the number 8"),
        ("-1", "the number -1"),
        ("2026-01-01", "a date"),
        ("1" * 40, "a number"),
    ],
)
def test_an_event_that_yaml_does_not_read_as_text_must_be_quoted(written, reading):
    """The message says what YAML made of it and what to write; written so, it is accepted."""
    expected = [f'8:14: error: event must be text, but YAML reads {written} as {reading}; write "{written}"']
    assert expected == problems(with_transition(f"event: {written}"))
    assert written == machine_of(with_transition(f'event: "{written}"')).states[0].transitions[0].event


@pytest.mark.parametrize(("written", "reading"), [("1:30", "the number 90"), ("1.5", "the number 1.5")])
def test_quoting_is_not_advised_where_it_would_not_help(written, reading):
    """In quotes these would be no names either."""
    expected = (
        f"8:14: error: event must be text, but YAML reads {written} as {reading}; "
        "a name is 1 to 50 letters, digits and dashes"
    )
    assert [expected] == problems(with_transition(f"event: {written}"))


@pytest.mark.parametrize("written", ["y", "n", "N", "08", "1e3", "nothing", "--", "on-"])
def test_words_that_only_look_like_other_things_are_text(written):
    """YAML as PyYAML reads it leaves these alone, and so do we."""
    assert written == machine_of(with_transition(f"event: {written}")).states[0].transitions[0].event


def test_numbers_too_large_for_python_to_write_out_are_still_reported():
    """Python refuses to make text of integers of thousands of digits; a message needs none of it."""
    for written in ("0x" + "f" * 5000, "1" + ":59" * 3000, "9" * 5000, "1" + ":59" * 3000 + ".5"):
        assert len(problems(with_transition(f"event: {written}"))) == 1
        assert len(problems(one_state(f"fan_in: {written}"))) == 1


@pytest.mark.parametrize("written", ["~", "null", "Null", ""])
def test_an_attribute_without_a_value_is_an_error(written):
    """``event:`` alone is null in YAML; nothing is made of it."""
    (problem,) = problems(with_transition(f"event: {written}"))
    assert "error: event has no value" in problem
    assert problem.startswith("8:14" if written else "8:7")


@pytest.mark.fantasm(49)
@pytest.mark.parametrize(
    ("name", "accepted"),
    [("a" * 50, True), ("a" * 51, False), ("A-z-0-9", True), ("a_b", False), ("ä", False), ("a.b", False)],
)
def test_names_are_letters_digits_and_dashes_up_to_fifty(name, accepted):
    """Fantasm's rule, at its boundaries."""
    assert accepted == (problems(with_transition(f"event: {name}")) == [])


@pytest.mark.fantasm(3, 4, 26)
@pytest.mark.parametrize(
    ("name", "accepted"),
    [("a" * 50, True), ("a" * 51, False), ("A-z-0-9", True), ("a_b", False), ("ä", False), ("a.b", False)],
)
def test_machines_and_states_are_named_by_the_same_rule(name, accepted):
    """A state's name is told where it is the target of a transition, too."""
    rule = "is not allowed; a name is 1 to 50 letters, digits and dashes"
    machine = problems(with_transition("event: e").replace("name: M", f"name: {name}"))
    assert [True] * (not accepted) == [
        each.startswith(f"2:9: error: name '{name}'") and rule in each for each in machine
    ]
    state = problems(with_transition("event: e").replace(": S\n", f": {name}\n"))
    assert [True, True] * (not accepted) == [rule in each for each in state]


@pytest.mark.parametrize("name", ['"a\\n"', '" a"', '""', '"a\\0"', '"a/b"', '"٣"'])
def test_a_name_is_matched_to_its_end(name):
    """A newline at the end passed Fantasm's pattern."""
    (problem,) = problems(with_transition(f"event: {name}"))
    assert problem.startswith("8:14: error: event ") or problem.startswith("8:7: error: event ")
    assert "is not allowed; a name is 1 to 50 letters, digits and dashes" in problem


def test_a_name_that_is_nearly_right_comes_with_the_right_one():
    """Underscores are the usual mistake."""
    expected = (
        "8:14: error: event 'send_mail' is not allowed; "
        "a name is 1 to 50 letters, digits and dashes, for example send-mail"
    )
    assert [expected] == problems(with_transition("event: send_mail"))


@pytest.mark.parametrize(
    ("queue", "accepted"), [("q" * 100, True), ("q" * 101, False), ("a_b", False), ("a.b", False)]
)
def test_a_queue_is_named_as_cloud_tasks_allows(queue, accepted):
    """One more letter than a hundred, or an underscore, and no queue can have the name."""
    assert accepted == (problems(one_state("initial: no", f"queue: {queue}")) == [])


@pytest.mark.parametrize("action", ["a..B", ".B", "a.", "a b.C", "a.1B", "a/b.C", "'a.B()'"])
def test_an_action_is_a_dotted_python_name(action):
    """Anything else could not be imported."""
    text = VALID.replace("action: Send", f"action: {action}")
    (problem,) = problems(text)
    assert problem.startswith("7:13: error: action '")
    assert problem.endswith("' is not a dotted Python name; write it like package.module.Class")
