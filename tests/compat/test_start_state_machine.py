"""startStateMachine: what it creates, when, under which name, and with which transaction."""

from __future__ import annotations

import json
import logging

import pytest
from runs import Created, deliver_all, ended, path_of, queue_of, rows
from scripted import Script

from fantasm_gcp import AlreadyStartedError, StartError, UnknownMachineError, startStateMachine

MACHINES = "started.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])


@pytest.fixture
def seen(harness):
    """What the first step of each instance found, in the order in which they ran."""
    found = []
    Script.clear()
    Script.act = staticmethod(lambda context, obj: found.append(context.clone()))
    with harness.app.app_context():
        yield found
    Script.clear()


def nothing_is_there(harness):
    return [] == rows(harness, "FantasmInstance") == rows(harness, "FantasmTask")


@pytest.mark.fantasm(137, 143)
@METHODS
def test_each_context_starts_an_instance(harness, seen, method):
    """One dict or a list of them; one task for each, in order; each instance runs to its end."""
    created = Created(harness)
    (alone,) = startStateMachine("Started", {"a": 1}, method=method)
    several = startStateMachine("Started", [{"a": 2}, {"a": 3}, {"a": 3}], method=method)
    started = [alone, *several]
    instances = [task.app_engine_http_request.headers["X-Fantasm-Instance"] for task in created.tasks]
    assert [each.instance for each in started] == instances
    assert (4, [True] * 4) == (len(set(instances)), [each.created for each in started])
    deliver_all(harness)
    assert [1, 2, 3, 3] == sorted(each["a"] for each in seen)
    for each in instances:
        ended(harness, each)


@pytest.mark.parametrize(
    ("contexts", "expected"), [({}, [{}]), ([{}], [{}]), ([{}, {}], [{}, {}]), (None, []), ([], [])]
)
def test_an_empty_dict_starts_an_instance_and_none_starts_none(harness, seen, contexts, expected):
    """Fantasm took an empty dict for none."""
    startStateMachine("Started", contexts)
    deliver_all(harness)
    assert expected == seen


def test_what_was_given_stays_as_it_was(harness, seen):
    """The caller's dict is not written to, and what the caller writes to it later starts nothing else."""
    context = {"a": [1]}
    startStateMachine("Started", context)
    assert {"a": [1]} == context
    context["a"].append(2)
    deliver_all(harness)
    assert [{"a": [1]}] == seen


@pytest.mark.parametrize("contexts", ["ab", [1], [{"a": 1}, None], 7])
def test_what_is_no_context_is_refused(harness, seen, contexts):
    """Nothing is started, neither what stands before it."""
    with pytest.raises(TypeError):
        startStateMachine("Started", contexts)
    assert nothing_is_there(harness)


@pytest.mark.fantasm(89)
def test_an_unknown_machine_is_an_error(harness, seen):
    """With the names that there are."""
    with pytest.raises(UnknownMachineError, match="Started"):
        startStateMachine("Begun", {"a": 1})
    assert nothing_is_there(harness)


@pytest.mark.fantasm(102, 138)
@METHODS
def test_the_first_task_goes_where_the_machine_says(harness, seen, method):
    """To its target and its queue, under the path of the first step."""
    created = Created(harness)
    startStateMachine("Started", {"a": 1}, method=method)
    (task,) = created.tasks
    routing = task.app_engine_http_request.app_engine_routing
    assert ("backend", "v2", "plain") == (routing.service, routing.version, queue_of(task))
    assert "/fantasm/fsm/Started/pseudo-init/pseudo-init/one/" == path_of(task)


@pytest.mark.fantasm(139, 140)
@pytest.mark.parametrize(
    ("options", "method"), [({}, "POST"), ({"method": "POST"}, "POST"), ({"method": "get"}, "GET")]
)
def test_the_tasks_use_the_method_and_show_the_context(harness, seen, options, method):
    """POST where nothing is said; a GET task has the values in its URL, a POST task in its body."""
    created = Created(harness)
    startStateMachine("Started", {"a": "b c", "number": "7"}, **options)
    deliver_all(harness)
    for task in created.tasks:
        request = task.app_engine_http_request
        if method == "GET":
            assert (2, "a=b%20c&number=7") == (request.http_method, request.relative_uri.partition("?")[2])
        else:
            assert (1, {"a": "b c", "number": 7}) == (request.http_method, json.loads(request.body))
    assert [{"a": "b c", "number": 7}] == seen


@pytest.mark.fantasm(141)
@METHODS
def test_a_countdown_delays_the_first_task(harness, seen, method):
    """By exactly that many seconds: one number for all, or one for each."""
    created = Created(harness)
    now = harness.clock.now
    startStateMachine("Started", [{}, {}], countdown=20, method=method)
    startStateMachine("Started", [{}, {}], countdown=[30, 0.5], method=method)
    due = [task.schedule_time.ToNanoseconds() / 1e9 - now for task in created.tasks]
    assert [20, 20, 30, 0.5] == due
    harness.deliver(harness.next_attempt())
    assert (1, now + 0.5) == (len(seen), harness.clock.now)


@pytest.mark.parametrize(
    "options",
    [
        {"countdown": [1]},
        {"countdown": -1},
        {"countdown": 31 * 86400},
        {"method": "PUT"},
        {"queueName": "a b"},
        {"headers": {"X-Other": "x"}},
    ],
)
def test_arguments_that_cannot_be_start_nothing(harness, seen, options):
    """They are told, not left to the queue."""
    with pytest.raises(StartError):
        startStateMachine("Started", [{}, {}], **options)
    assert nothing_is_there(harness)


@pytest.mark.fantasm(142, 144)
@METHODS
def test_the_same_name_starts_once(harness, seen, caplog, method):
    """Each context under a number of its own: also after all is over, a second time starts nothing and says so."""
    caplog.set_level(logging.INFO)
    first = startStateMachine("Started", [{"a": 1}, {"a": 2}], taskName="foo", method=method)
    assert 2 == len({each.instance for each in first})
    again = startStateMachine("Started", [{"a": 1}, {"a": 2}], taskName="foo", method=method)
    deliver_all(harness)
    harness.clock.sleep(11 * 86400)
    late = startStateMachine("Started", {"a": 1}, taskName="foo", method=method)
    assert 0 == harness.tasks.depth()
    assert [first[0].instance, first[1].instance] == [each.instance for each in again]
    assert (first[0].instance, [False] * 3) == (late[0].instance, [each.created for each in (*again, *late)])
    assert [1, 2] == sorted(each["a"] for each in seen)
    said = [each for each in caplog.records if "'foo'" in each.getMessage()]
    assert [logging.INFO] * 3 == [each.levelno for each in said]


@pytest.mark.fantasm(142)
def test_a_longer_list_under_the_same_name_starts_what_is_new(harness, seen):
    """The third context has a number that nobody had."""
    startStateMachine("Started", [{"a": 1}, {"a": 2}], taskName="foo")
    started = startStateMachine("Started", [{"a": 1}, {"a": 2}, {"a": 3}], taskName="foo")
    assert [False, False, True] == [each.created for each in started]
    deliver_all(harness)
    assert [1, 2, 3] == sorted(each["a"] for each in seen)


@pytest.mark.fantasm(145)
def test_a_name_that_is_taken_can_be_an_error(harness, seen):
    """Only where it is asked for, and only where it is taken."""
    startStateMachine("Started", {"a": 1}, taskName="foo", raiseIfTaskExists=True)
    with pytest.raises(AlreadyStartedError, match="foo"):
        startStateMachine("Started", {"a": 1}, taskName="foo", raiseIfTaskExists=True)
    startStateMachine("Started", {"a": 1}, taskName="bar", raiseIfTaskExists=True)
    deliver_all(harness)
    assert 2 == len(seen)


@pytest.mark.fantasm(146)
@pytest.mark.parametrize("name", [None, "foo"])
@METHODS
def test_a_transactional_start_happens_with_the_transaction(harness, seen, method, name):
    """Not if it fails, nor before it commits; once if it commits, also after one that failed."""
    client = harness.datastore

    def fail():
        with client.transaction():
            startStateMachine("Started", {"a": 1}, taskName=name, transactional=True, method=method)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    deliver_all(harness)
    assert ([], True) == (seen, nothing_is_there(harness))
    with client.transaction():
        (started,) = startStateMachine("Started", {"a": 2}, taskName=name, transactional=True, method=method)
        assert nothing_is_there(harness)
    deliver_all(harness)
    ended(harness, started.instance)
    assert [{"a": 2}] == seen


@pytest.mark.fantasm(146)
def test_a_transactional_start_needs_a_transaction(harness, seen):
    """Outside of one it would be a promise that cannot be kept."""
    with pytest.raises(StartError, match="transaction"):
        startStateMachine("Started", {"a": 1}, transactional=True)
    assert nothing_is_there(harness)


@pytest.mark.fantasm(147, 217)
@METHODS
def test_a_queue_by_name_is_a_header_that_lasts(harness, seen, method):
    """On the first task and all that follow; it is the queue that they go to."""
    created = Created(harness)
    startStateMachine("Started", {}, queueName="other", method=method)
    deliver_all(harness)
    headers = [task.app_engine_http_request.headers["X-Fantasm-Queuename"] for task in created.tasks]
    assert (["other"] * 2, ["other"] * 2) == (headers, list(map(queue_of, created.tasks)))


@pytest.mark.parametrize("name", ["X-Fantasm-Queuename", "x-fantasm-queuename"])
def test_a_queue_by_name_wins_over_the_header(harness, seen, name):
    """However the header is written."""
    created = Created(harness)
    startStateMachine("Started", {}, queueName="other", headers={name: "mine"})
    assert ["other"] == list(map(queue_of, created.tasks))


@pytest.mark.fantasm(219)
@pytest.mark.parametrize(("value", "kept"), [("x", "x"), (["x"], "x"), (["x", "y z"], "x, y z")])
@METHODS
def test_headers_last_as_long_as_the_instance(harness, seen, value, kept, method):
    """With one value or several; an action finds them, by their usual names."""
    created = Created(harness)
    startStateMachine("Started", {"a": 1}, headers={"x-fantasm-reason": value}, method=method)
    deliver_all(harness)
    assert [kept] * 2 == [task.app_engine_http_request.headers["X-Fantasm-Reason"] for task in created.tasks]
    assert [{"X-Fantasm-Reason": kept}] == [dict(each.headers) for each in seen]


@pytest.mark.fantasm(217, 219)
@METHODS
def test_headers_of_a_start_by_url_last_too(harness, seen, method):
    """The queue among them."""
    created = Created(harness)
    headers = {"X-Fantasm-Queuename": "other", "X-FANTASM-REASON": "because"}
    answer = harness.start("Started/?a=1", method=method, headers=headers)
    deliver_all(harness)
    ended(harness, answer.json["instance"])
    assert ["other"] * 2 == list(map(queue_of, created.tasks))
    assert [{"X-Fantasm-Queuename": "other", "X-Fantasm-Reason": "because"}] == [
        dict(each.headers) for each in seen
    ]
