"""The attributes that Fantasm's users know beside the first few: paths, services, countdowns, old names."""

from __future__ import annotations

import pytest
from fsm_texts import EVERYTHING, machine_of, one_state, problems, with_transition

from fantasm_gcp.core.attributes import ATTRIBUTES
from fantasm_gcp.core.definition import Countdown, RetryPolicy, State, Transition
from fantasm_gcp.loader import parse_text

SMALL = "state_machines: [{name: M, states: [{name: S, initial: true, final: true}]}]\n"


@pytest.mark.fantasm(7, 8, 9, 11, 13, 16, 17, 18, 19, 21, 51, 55, 57, 64, 66)
def test_every_attribute_arrives():
    """One file with every attribute there is, at every level, and what it comes to."""
    machine = parse_text(EVERYTHING, "f").machine("Report")
    retry = RetryPolicy(3, 86400, 1, 60, 4)
    assert (machine.queue, machine.target, machine.retry) == ("reports", "v2.worker", retry)
    assert machine.context_types == (
        ("since", "datetime"),
        ("pages", "int"),
        ("owner", "shop.owners.parse"),
    )
    assert machine.persistent_logging
    assert (machine.on_complete, machine.on_failure, machine.pin_version) == (
        ("Report-2", "https://hooks.example/reports?of=all"),
        ("http://localhost:8080/failed",),
        True,
    )
    opened, empty = machine.states[0].transitions
    assert (
        Transition(
            "opened",
            "Page",
            queue="fast",
            target="default",
            countdown=Countdown(0, 0),
            retry=RetryPolicy(7, 86400, 1, 60, 1),
        )
        == opened
    )
    assert (
        Transition("empty", "Done", "shop.notes.note", "reports", "v2.worker", Countdown(3600, 3600), retry)
        == empty
    )
    page, collect, check, close, done = machine.states[1:]
    assert (page.entry, page.continuation_countdown) == ("shop.pages.turn", 2.5)
    assert (collect.fan_in, collect.fan_in_group, collect.transactional) == (30, "owner", True)
    assert (check.join, check.fan_in_max, check.on_error) == (True, 50, "doubtful")
    assert [False, False, True, True, False, False] == [each.collects for each in machine.states]
    assert Countdown(1.5, 30) == close.transitions[0].countdown
    assert "shop.reports.count_down" == close.transitions[0].action
    assert State("Done", entry="shop.reports.ring", exit="shop.reports.leave", final=True) == done
    assert "/office/flows" == parse_text(EVERYTHING, "f").root


def test_the_example_has_every_attribute_of_the_table():
    """So that the test above, and those that change this text at random, leave none out."""
    left_out = {"import", "states"}  # these are of files of their own
    assert [] == [
        each.name for each in ATTRIBUTES if f"{each.name}:" not in EVERYTHING and each.name not in left_out
    ]


# root_url


@pytest.mark.fantasm(69)
@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("/fantasm/", "/fantasm"),
        ("/fantasm", "/fantasm"),
        ("fantasm", "/fantasm"),
        ("a/b-c/~d.e_f/", "/a/b-c/~d.e_f"),
        ("'8'", "/8"),
    ],
)
def test_a_root_begins_with_a_slash_and_ends_without_one(written, root):
    """Fantasm added the trailing slash; both spellings mean the same."""
    assert root == parse_text(f"root_url: {written}\n{SMALL}", "f").root


@pytest.mark.fantasm(69)
def test_the_default_root_is_fantasm():
    """As it always was."""
    assert "/fantasm" == parse_text(SMALL, "f").root


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("/", "everything else of the application is under / as well; write /fantasm"),
        ("''", "everything else of the application is under / as well; write /fantasm"),
        ("//", "everything else of the application is under / as well; write /fantasm"),
        ("///", "write a path like /fantasm: letters, digits and -._~ between single slashes"),
        ("/a//b", "write a path like /fantasm: letters, digits and -._~ between single slashes"),
        ("/a b", "write a path like /fantasm: letters, digits and -._~ between single slashes"),
        ("/a?b=c", "write a path like /fantasm: letters, digits and -._~ between single slashes"),
        ("/<a>", "write a path like /fantasm: letters, digits and -._~ between single slashes"),
        ("/a%2f", "write a path like /fantasm: letters, digits and -._~ between single slashes"),
        ("http://x/a", "write a path like /fantasm: letters, digits and -._~ between single slashes"),
        ("/ä", "write a path like /fantasm: letters, digits and -._~ between single slashes"),
        ("/a/../b", "segments of dots stand for other paths"),
        ("/.", "segments of dots stand for other paths"),
        ("/" + "a" * 200, "it is longer than 200 characters"),
    ],
)
def test_a_root_that_is_no_path_is_refused(written, hint):
    """A root stands in every URL and in every task."""
    (problem,) = problems(f"root_url: {written}\n{SMALL}")
    assert problem.startswith("1:1" if written == "''" else "1:11")
    assert problem.endswith(f" is not allowed; {hint}")


# target


@pytest.mark.fantasm(8)
@pytest.mark.parametrize("target", ["worker", "v2.worker", "'0.v2.worker'", "a" * 63, "A-1"])
def test_a_target_is_a_service_with_its_version_and_instance(target):
    """One to three ids, as App Engine allows them."""
    assert target.strip("'") == machine_of(one_state("initial: no", f"target: {target}")).target


@pytest.mark.parametrize(
    "target", ["a.b.c.d", "a..b", ".a", "a.", "a_b", "a" * 64, "ä", "a/b", "'a '", '"a\\n"']
)
def test_a_target_of_another_form_is_refused(target):
    """No service can have such a name."""
    (problem,) = problems(one_state("initial: no", f"target: {target}"))
    assert problem.startswith("3:11: error: target ")
    assert problem.endswith("write service, version.service or instance.version.service, each of 1 to 63 "
                            "letters, digits and dashes")  # fmt: skip


def test_a_target_that_yaml_reads_as_a_number_must_be_quoted():
    """Version 1 of a service 5 is a number to YAML."""
    assert problems(one_state("initial: no", "target: 1.5")) == [
        '3:11: error: target must be text, but YAML reads 1.5 as the number 1.5; write "1.5"'
    ]


@pytest.mark.fantasm(8, 57)
def test_a_target_is_inherited_and_none_by_default():
    """A transition's own goes before the machine's."""
    inherited = machine_of(with_transition("event: e", "target: worker"))
    assert "worker" == inherited.states[0].transitions[0].target
    own = machine_of(with_transition("event: e\n      target: v1.other", "target: worker"))
    assert "v1.other" == own.states[0].transitions[0].target
    none = machine_of(with_transition("event: e"))
    assert (None, None) == (none.target, none.states[0].transitions[0].target)


# countdown


@pytest.mark.fantasm(64, 66)
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("30", Countdown(30, 30)),
        ("0", Countdown(0, 0)),
        ("'30'", Countdown(30, 30)),
        ("0.25", Countdown(0.25, 0.25)),
        ("2592000", Countdown(2592000, 2592000)),
        ("{minimum: 30, maximum: 60}", Countdown(30, 60)),
        ("{maximum: 60, minimum: 60}", Countdown(60, 60)),
        ("{minimum: '0', maximum: 0.5}", Countdown(0, 0.5)),
    ],
)
def test_a_countdown_is_a_number_or_what_it_is_drawn_from(written, expected):
    """On a transition, and inherited from the machine."""
    own = machine_of(with_transition(f"event: e\n      countdown: {written}", "countdown: 7"))
    assert expected == own.states[0].transitions[0].countdown
    inherited = machine_of(with_transition("event: e", f"countdown: {written}"))
    assert expected == inherited.states[0].transitions[0].countdown


@pytest.mark.fantasm(7)
def test_there_is_no_countdown_by_default():
    """A step runs at once."""
    assert machine_of(with_transition("event: e")).states[0].transitions[0].countdown is None


@pytest.mark.fantasm(65, 67)
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("abc", ["3:14: error: countdown must be a number, not the text 'abc'; write it in digits, like 30"]),
        ("-1", ["3:14: error: countdown -1 must be 0 or more"]),
        ("2592001", ["3:14: error: countdown 2592001 is too large; the most is 2592000"]),
        ("1:30", ["3:14: error: countdown is ambiguous: YAML reads 1:30 as the number 90; "
                  "write it in digits, without a leading zero or a colon"]),
        ("true", ["3:14: error: countdown must be a number, not the boolean true; write it in digits, like 30"]),
        ("[30, 60]", ["3:14: error: countdown must be a number of seconds or a mapping, not a list; "
                      "write it like {minimum: 30, maximum: 60}"]),
        ("{}", ["3:14: error: countdown has no minimum; write both minimum and maximum",
                "3:14: error: countdown has no maximum; write both minimum and maximum"]),
        ("{maximum: 60}", ["3:14: error: countdown has no minimum; write both minimum and maximum"]),
        ("{minimum: 60}", ["3:14: error: countdown has no maximum; write both minimum and maximum"]),
        ("{minimum: 1, maximum: 2, step: 3}",
         ["3:39: error: countdown has no attribute 'step'; known here: minimum, maximum"]),
        ("{minimun: 1, maximum: 2}",
         ["3:15: error: countdown has no attribute 'minimun'; did you mean 'minimum'?"]),
        ("{minimum: x, maximum: -2}",
         ["3:24: error: minimum of countdown must be a number, not the text 'x'; write it in digits, like 30",
          "3:36: error: maximum of countdown -2 must be 0 or more"]),
        ("{minimum: 5, maximum: 4}", ["3:36: error: maximum 4 of countdown is less than its minimum 5"]),
        ("{minimum: 5, maximum: 2592001}",
         ["3:36: error: maximum of countdown 2592001 is too large; the most is 2592000"]),
        ("{minimum: 5, minimum: 6, maximum: 7}",
         ["3:27: error: 'minimum' is written twice in countdown; the first is at line 3, column 15"]),
        ("{minimum: [5], maximum: {a: b}}",
         ["3:24: error: minimum of countdown must be a single value, not a list",
          "3:38: error: maximum of countdown must be a single value, not a mapping"]),
        ("{minimum: , maximum: 7}",
         ["3:15: error: minimum of countdown has no value; write one"]),
        ("{[a]: 1, minimum: 1, maximum: 2}", ["3:15: error: a key of countdown must be text"]),
        ("{minimum: !x 1, maximum: 2}", ["3:24: error: the tag '!x' is not allowed"]),
    ],
)  # fmt: skip
def test_each_violation_of_a_countdown_has_its_own_message(written, expected):
    """Fantasm had one error for all of them."""
    assert expected == problems(one_state("initial: no", f"countdown: {written}"))


# max_retries


@pytest.mark.fantasm(11, 12, 15)
def test_max_retries_is_the_old_name_of_task_retry_limit():
    """It counts as the new one, and one warning says what to write."""
    text = one_state("initial: no", "max_retries: '3'")
    assert problems(text) == ["3:3: warning: max_retries is an old name; write task_retry_limit"]
    machine = machine_of(text)
    assert (3, 3) == (machine.retry.task_retry_limit, machine.states[0].transitions[0].retry.task_retry_limit)
    places = parse_text(text, "f").places
    assert 16 == places["M", "task_retry_limit"].column


@pytest.mark.fantasm(58)
def test_max_retries_of_a_transition_overrides_either_name_on_the_machine():
    """One warning for each place where the old name is written."""
    text = with_transition("event: e\n      max_retries: 0", "task_retry_limit: 5")
    assert problems(text) == ["9:7: warning: max_retries is an old name; write task_retry_limit"]
    assert 0 == machine_of(text).states[0].transitions[0].retry.task_retry_limit
    text = with_transition("event: e\n      task_retry_limit: 6", "max_retries: 5")
    assert 6 == machine_of(text).states[0].transitions[0].retry.task_retry_limit


@pytest.mark.fantasm(14, 58)
@pytest.mark.parametrize("order", [("max_retries", "task_retry_limit"), ("task_retry_limit", "max_retries")])
def test_both_names_at_once_are_an_error(order):
    """Even where they agree: nobody could tell which of the two is read."""
    first, second = order
    line = 3 + order.index("max_retries")
    text = one_state("initial: no", f"{first}: 3\n  {second}: 3")
    assert problems(text) == [
        f"{line}:3: error: max_retries is the old name of task_retry_limit, and machine 'M' has both; "
        "keep task_retry_limit"
    ]
    assert 1 == len(problems(with_transition(f"event: e\n      {first}: 3\n      {second}: 3")))


@pytest.mark.fantasm(10)
def test_a_wrong_number_of_max_retries_is_told_once():
    """With the warning, because both are to be corrected."""
    assert problems(one_state("initial: no", "max_retries: abc")) == [
        "3:3: warning: max_retries is an old name; write task_retry_limit",
        "3:16: error: max_retries must be a number, not the text 'abc'; write it in digits, like 30",
    ]
    assert "written twice" in problems(one_state("initial: no", "max_retries: 1\n  max_retries: 2"))[1]


@pytest.mark.fantasm(10, 13, 16, 17, 18, 19)
@pytest.mark.parametrize(
    "name",
    ["task_retry_limit", "task_age_limit", "min_backoff_seconds", "max_backoff_seconds", "max_doublings"],
)
def test_retry_attributes_are_numbers_or_digits_in_quotes(name):
    """Fantasm's int() took the text, and no other text."""
    machine = machine_of(one_state("initial: no", f"{name}: '3'"))
    assert 3 == getattr(machine.retry, name)
    assert getattr(machine_of(one_state("initial: no")).retry, name) is None
    (problem,) = problems(one_state("initial: no", f"{name}: abc"))
    assert f"error: {name} must be a number, not the text 'abc'; write it in digits, like 30" in problem


# context_types


@pytest.mark.fantasm(21, 22)
def test_context_types_are_arguments_and_types():
    """In the order of the file; bare names that are not built in get the machine's namespace."""
    types = "{b: int, a: shop.parse, 'c-d': Custom, k: google.appengine.ext.db.Key}"
    text = one_state("initial: no", f"namespace: x.y\n  context_types: {types}")
    expected = (
        ("b", "int"),
        ("a", "shop.parse"),
        ("c-d", "x.y.Custom"),
        ("k", "google.appengine.ext.db.Key"),
    )
    assert expected == machine_of(text).context_types
    assert () == machine_of(one_state("initial: no")).context_types
    assert () == machine_of(one_state("initial: no", "context_types: {}")).context_types
    place = parse_text(text, "f").places["M", "context_types", "a"]
    assert (4, 30) == (place.line, place.column)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("int", "3:18: error: context_types must be a mapping; write each as 'argument: type'"),
        ("[a]", "3:18: error: context_types must be a mapping, not a list; write each as 'argument: type'"),
        ("", "3:3: error: context_types has no value; write one, or remove the line"),
        ("{a: [int]}", "3:22: error: type must be a single value, not a list"),
        ("{a: }", "3:19: error: type has no value; write one, or remove the line"),
        ("{a: ''}", "3:19: error: type '' is not a dotted Python name; write it like package.module.Class"),
        ("{a: 3}", "3:22: error: type must be text, but YAML reads 3 as the number 3; "
                   "write it like package.module.Class"),
        ("{a: in t}", "3:22: error: type 'in t' is not a dotted Python name; "
                      "write it like package.module.Class"),
        ("{a: itn}", "3:22: error: type 'itn' is not built in and names no module; did you mean 'int'?"),
        ("{a: Zxqv}", "3:22: error: type 'Zxqv' is not built in and names no module; "
                      "write it like package.module.Zxqv"),
        ("{on: int}", "3:19: error: the name of an argument must be text, and YAML does not read 'on' as such; "
                      'write "on"'),
        ("{a: int, a: str}", "3:27: error: 'a' is written twice in context_types; "
                             "the first is at line 3, column 19"),
        ("{a: !x int}", "3:22: error: the tag '!x' is not allowed"),
        ("{? [a] : int}", "3:21: error: a key of context_types must be text"),
    ],
)  # fmt: skip
def test_context_types_of_another_shape_are_told(written, message):
    """Each at its own place."""
    assert [message] == problems(one_state("initial: no", f"context_types: {written}"))


@pytest.mark.parametrize(
    "name", ["pickle", "fantasm.pickle", "pickle.loads", "cPickle.loads", "x.dill", "cloudpickle.loads"]
)
def test_pickle_is_refused_and_the_alternative_named(name):
    """An argument of a URL that is unpickled runs whatever it says."""
    (problem,) = problems(one_state("initial: no", f"namespace: a\n  context_types: {{p: {name}}}"))
    assert problem.startswith(f"4:22: error: type '{name}' is refused; ")
    assert "json" in problem


def test_a_namespace_that_cannot_be_used_makes_no_type_wrong():
    """One mistake, one problem."""
    text = one_state("initial: no", "namespace: a/b\n  context_types: {a: Custom}")
    assert 1 == len(problems(text))


# logging, guarantee, use_run_once_semaphore, enable_capabilities_check


def test_logging_is_persistent_or_not_there():
    """Fantasm knew one value."""
    assert machine_of(one_state("initial: no", "logging: persistent")).persistent_logging
    assert not machine_of(one_state("initial: no")).persistent_logging
    assert problems(one_state("initial: no", "logging: persistant")) == [
        "3:12: error: logging 'persistant' is not known; did you mean 'persistent'?"
    ]
    assert problems(one_state("initial: no", "logging: off")) == [
        "3:12: error: logging must be text, but YAML reads off as the boolean false; write persistent"
    ]


@pytest.mark.fantasm(5)
@pytest.mark.parametrize(
    ("machine", "state", "expected"),
    [
        ("queue: q", "initial: no", "exactly_once"),
        ("use_run_once_semaphore: true", "initial: no", "exactly_once"),
        ("use_run_once_semaphore: true", "fan_in: 3", "exactly_once"),
        ("use_run_once_semaphore: false", "initial: no", "at_least_once"),
        ("use_run_once_semaphore: false", "continuation: on", "at_least_once"),
        ("use_run_once_semaphore: false\n  guarantee: at_least_once", "initial: no", "at_least_once"),
        ("use_run_once_semaphore: true\n  guarantee: exactly_once", "initial: no", "exactly_once"),
    ],
)
def test_a_machine_without_semaphores_runs_at_least_once(machine, state, expected):
    """That is what the old attribute meant; nothing is said about it where it can be had."""
    text = one_state(state, machine)
    assert [] == problems(text)
    assert expected == machine_of(text).guarantee


@pytest.mark.fantasm(5)
@pytest.mark.parametrize("attribute", ["fan_in: 3", "transactional: true"])
def test_a_machine_that_needs_records_stays_exactly_once(attribute):
    """With a warning that says so, and why."""
    text = one_state(attribute, "use_run_once_semaphore: false")
    name = attribute.partition(":")[0]
    assert problems(text) == [
        f"3:27: warning: machine 'M' keeps the guarantee exactly_once: state 'S' has {name}, which needs "
        "records; remove use_run_once_semaphore"
    ]
    assert "exactly_once" == machine_of(text).guarantee


@pytest.mark.parametrize(("semaphore", "guarantee"), [("true", "at_least_once"), ("false", "exactly_once")])
def test_a_semaphore_must_not_contradict_the_guarantee(semaphore, guarantee):
    """One of the two would be ignored."""
    text = one_state("initial: no", f"use_run_once_semaphore: {semaphore}\n  guarantee: {guarantee}")
    expected = (
        f"3:27: error: use_run_once_semaphore {semaphore.title()} contradicts guarantee {guarantee}; "
        "keep the guarantee"
    )
    assert [expected] == problems(text)


@pytest.mark.parametrize("value", ["true", "false"])
def test_the_capabilities_check_is_ignored_with_a_warning(value):
    """There is nothing to check any more."""
    assert problems(f"enable_capabilities_check: {value}\n{SMALL}") == [
        "1:1: warning: enable_capabilities_check has no effect; remove the line"
    ]


# fan_in_group and continuation_countdown


def test_a_fan_in_group_is_any_text():
    """It is the name of something in the context."""
    assert "a b_c" == machine_of(one_state("fan_in: 3\n    fan_in_group: a b_c")).states[1].fan_in_group
    assert problems(one_state("fan_in: 3\n    fan_in_group: ''")) == [
        "7:5: error: fan_in_group is empty; write some text, or remove the line"
    ]
    assert problems(one_state("fan_in: 3\n    fan_in_group: 3")) == [
        '7:19: error: fan_in_group must be text, but YAML reads 3 as the number 3; write "3"'
    ]


@pytest.mark.parametrize("written", ["0", "30", "'0.5'", "2592000"])
def test_a_continuation_countdown_is_a_number_of_seconds(written):
    """Up to thirty days."""
    text = one_state(f"continuation: true\n    continuation_countdown: {written}")
    assert float(written.strip("'")) == machine_of(text).states[1].continuation_countdown


def test_a_continuation_countdown_ends_where_a_task_cannot_wait():
    """And never begins before now."""
    text = one_state("continuation: true\n    continuation_countdown: 2592001")
    assert problems(text) == ["7:29: error: continuation_countdown 2592001 is too large; the most is 2592000"]
    assert problems(text.replace("2592001", "-1")) == [
        "7:29: error: continuation_countdown -1 must be 0 or more"
    ]


def test_old_attributes_are_never_suggested():
    """A hint names what to write today."""
    (problem,) = problems(one_state("initial: no", "max_retrys: 3"))
    assert "max_retries" not in problem
    (problem,) = problems(one_state("states: []"))
    assert problem.endswith("it belongs to a machine")
