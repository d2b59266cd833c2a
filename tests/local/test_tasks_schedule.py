"""When attempts begin and what their ends do, under a clock that the test moves."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration
from tasks_support import LOCATION, QUEUE, START, Client, Clock, http_task, refusal, task_name

from fantasm_gcp.local.tasks import Attempt, Response, TasksServer

FAILED = Response(500)
DONE = Response(204)


def create(client: Client, *task_ids: str, queue: str = QUEUE, **fields: Any) -> None:
    for task_id in task_ids:
        client.create_task(parent=queue, task={**http_task(**fields), "name": task_name(task_id, queue)})


def lease(server: TasksServer, name: str | None = None, force: bool = False) -> Attempt:
    attempt = server.lease(name, force)
    assert attempt is not None
    return attempt


def begin_times(server: TasksServer, clock: Clock, response: Response | None = FAILED) -> list[float]:
    """Runs all there is to its end; when each attempt began, counted from the start of the clock."""
    times = []
    while (moment := server.next_time()) is not None:
        clock.now = moment
        times.append(round(moment - START, 6))
        server.finish(lease(server), response)
    return times


def test_a_task_runs_at_its_time_and_not_before(client: Client, server: TasksServer, clock: Clock) -> None:
    """To the microsecond."""
    create(client, "one", schedule_time=datetime.fromtimestamp(START + 30, UTC))
    due = START + 30

    clock.now = due - 0.000_001
    assert (due, [], None, None) == (
        server.next_time(),
        server.due(),
        server.lease(),
        server.lease(task_name("one")),
    )
    clock.now = due
    assert [task_name("one")] == server.due()
    assert server.finish(lease(server), DONE).result == "succeeded"

    assert (server.next_time(), server.depth()) == (None, 0)


def test_tasks_run_in_the_order_of_their_times_across_queues(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """Equal times go by creation."""
    other = f"{LOCATION}/queues/other"
    create(client, "late", schedule_time=datetime.fromtimestamp(START + 2, UTC))
    create(client, "early", queue=other, schedule_time=datetime.fromtimestamp(START + 1, UTC))
    create(client, "first", "second")
    clock.advance(5)
    expected = [task_name("first"), task_name("second"), task_name("early", other), task_name("late")]

    assert (expected, expected[:2], []) == (server.due(), server.due(limit=2), server.due(limit=0))
    assert expected == [lease(server).task for _ in expected]
    assert (server.lease(), server.in_flight()) == (None, 4)


def test_a_failing_task_follows_its_queues_law_and_is_deleted_at_the_end(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """The reference's example: 10, 20, 40, 80, then by 80, then 300 at most; the name stays taken."""
    law = {
        "max_attempts": 9,
        "min_backoff": Duration(seconds=10),
        "max_backoff": Duration(seconds=300),
        "max_doublings": 3,
    }
    client.create_queue(parent=LOCATION, queue={"name": QUEUE, "retry_config": law})
    create(client, "one")

    assert begin_times(server, clock) == [0, 10, 30, 70, 150, 310, 550, 850, 1150]
    assert server.depth() == 0
    assert refusal(lambda: create(client, "one"))[0] == "ALREADY_EXISTS"


def test_a_tasks_own_law_overrides_its_queues(client: Client, server: TasksServer, clock: Clock) -> None:
    """What the task leaves open is the queue's; a bound that would contradict it gives way."""
    queue_law = {"max_attempts": 3, "min_backoff": Duration(seconds=1), "max_backoff": Duration(seconds=2)}
    client.create_queue(parent=LOCATION, queue={"name": QUEUE, "retry_config": queue_law})
    create(client, "one", retry_config={"min_backoff": Duration(seconds=5)})

    assert begin_times(server, clock) == [0, 5, 10]


def test_both_limits_must_be_spent(client: Client, server: TasksServer, clock: Clock) -> None:
    """Two attempts, but 35 s too: the first failure after 35 s is the last."""
    law = {
        "max_attempts": 2,
        "max_retry_duration": Duration(seconds=35),
        "min_backoff": Duration(seconds=10),
        "max_backoff": Duration(seconds=10),
    }
    create(client, "one", retry_config=law)

    assert begin_times(server, clock) == [0, 10, 20, 30, 40]


def test_a_task_without_limits_is_tried_until_it_is_too_old(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """Thirty-one days after its creation."""
    day = Duration(seconds=86_400)
    create(client, "one", retry_config={"max_attempts": -1, "min_backoff": day, "max_backoff": day})

    assert [86_400 * n for n in range(31)] == begin_times(server, clock)


def test_a_task_that_is_never_dispatched_is_deleted_when_too_old(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """A paused queue does not keep its tasks for ever."""
    create(client, "one")
    client.pause_queue(name=QUEUE)
    clock.advance(31 * 86_400 + 1)

    client.resume_queue(name=QUEUE)

    assert (server.next_time(), server.depth()) == (None, 0)


def test_a_task_that_waited_too_long_is_not_leased(client: Client, server: TasksServer, clock: Clock) -> None:
    """Also when no request comes in that would have it deleted."""
    create(client, "one")
    clock.advance(31 * 86_400 + 1)

    assert (None, None, 0) == (server.lease(), server.next_time(), server.depth())


def test_a_retry_is_counted_from_the_end_of_the_attempt(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """A worker that takes long to fail does not shorten the wait."""
    create(client, "one", retry_config={"min_backoff": Duration(seconds=10)})
    attempt = lease(server)
    clock.advance(100)

    outcome = server.finish(attempt, None)

    assert (outcome.result, outcome.next_time) == ("retry", START + 110)
    assert outcome.next_time == server.next_time()


@pytest.mark.parametrize(
    ("status", "result"), [(200, "succeeded"), (299, "succeeded"), (199, "retry"), (300, "retry")]
)
def test_success_is_200_to_299(client: Client, server: TasksServer, status: int, result: str) -> None:
    """A redirect is a failure."""
    create(client, "one")

    assert result == server.finish(lease(server), Response(status)).result


def test_a_task_in_flight_is_not_leased_again(client: Client, server: TasksServer) -> None:
    """Neither by turn nor by name, unless by force."""
    create(client, "one")
    lease(server)

    assert (
        server.lease(),
        server.lease(task_name("one")),
        server.due(),
        server.next_time(),
    ) == (None, None, [], None)
    assert server.lease(task_name("none"), force=True) is None
    with pytest.raises(ValueError, match="takes the name"):
        server.lease(force=True)


def test_an_attempt_that_is_finished_twice_counts_once(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """The second end is ignored, even when it says the opposite and the task is in flight again."""
    create(client, "one")
    first = lease(server)
    server.finish(first, FAILED)
    clock.advance(1)
    second = lease(server)

    assert server.finish(first, DONE).result == "ignored"
    assert client.get_task(name=task_name("one")).response_count == 1
    assert server.finish(second, DONE).result == "succeeded"
    assert server.finish(second, DONE).result == "ignored"


@pytest.mark.parametrize("winner", [0, 1])
def test_of_two_deliveries_one_success_is_enough(client: Client, server: TasksServer, winner: int) -> None:
    """Whichever succeeds deletes the task; the other one's failure comes too late."""
    create(client, "one")
    attempts = [lease(server), lease(server, task_name("one"), force=True)]

    assert [attempt.number for attempt in attempts] == [0, 1]
    assert server.finish(attempts[winner], DONE).result == "succeeded"
    assert server.finish(attempts[1 - winner], FAILED).result == "ignored"
    assert (server.depth(), server.in_flight(), server.next_time()) == (0, 0, None)


def test_of_two_failing_deliveries_the_last_schedules_the_retry(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """Until then the task is in flight; both count as attempts."""
    create(client, "one", retry_config={"min_backoff": Duration(seconds=10)})
    attempts = [lease(server), lease(server, task_name("one"), force=True)]

    assert server.finish(attempts[1], FAILED).result == "overlapped"
    assert (server.next_time(), server.lease()) == (None, None)
    clock.advance(3)
    assert server.finish(attempts[0], FAILED).next_time == START + 23
    task = client.get_task(name=task_name("one"))
    assert (task.dispatch_count, task.response_count) == (2, 2)


def test_a_forced_lease_disregards_schedule_and_pause(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """An adversary may deliver anything at any time; the retry counts from the beginning of the attempt."""
    create(client, "one", schedule_time=datetime.fromtimestamp(START + 1000, UTC))
    client.pause_queue(name=QUEUE)
    attempt = lease(server, task_name("one"), force=True)
    clock.advance(5)

    assert server.finish(attempt, FAILED).next_time == START + 0.1


def test_a_queue_begins_no_more_than_its_rate(client: Client, server: TasksServer, clock: Clock) -> None:
    """At 10 per second: a burst of ten, then one each tenth of a second, successes and failures alike."""
    limits = {"max_dispatches_per_second": 10}
    client.create_queue(parent=LOCATION, queue={"name": QUEUE, "rate_limits": limits})
    create(client, *"abcdefghijklm")

    assert begin_times(server, clock, DONE) == [0] * 10 + [0.1, 0.2, 0.3]


def test_a_queue_without_tokens_holds_back_no_other(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """The other queue's later task goes first, and by name the same law holds."""
    slow = f"{LOCATION}/queues/slow"
    limits = {"max_dispatches_per_second": 1, "max_burst_size": 1}
    server.declare_queue(tasks_v2.Queue(name=slow, rate_limits=limits))
    create(client, "a", "b", queue=slow)
    clock.advance(1)
    create(client, "c")
    lease(server, task_name("a", slow))

    assert [task_name("c")] == server.due()
    assert server.lease(task_name("b", slow)) is None
    assert task_name("c") == lease(server).task
    assert server.next_time() == START + 2


def test_a_queue_has_no_more_in_flight_than_it_may(client: Client, server: TasksServer) -> None:
    """The end of one attempt lets another begin."""
    limits = {"max_concurrent_dispatches": 2}
    client.create_queue(parent=LOCATION, queue={"name": QUEUE, "rate_limits": limits})
    create(client, "a", "b", "c")
    first, _ = lease(server), lease(server)

    assert (server.lease(), server.due(), server.next_time()) == (None, [], None)
    server.finish(first, DONE)
    assert task_name("c") == lease(server).task


def test_deleting_tasks_in_flight_does_not_use_up_concurrency(client: Client, server: TasksServer) -> None:
    """Their attempts end like others."""
    limits = {"max_concurrent_dispatches": 1}
    client.create_queue(parent=LOCATION, queue={"name": QUEUE, "rate_limits": limits})
    create(client, "a", "b")
    attempt = lease(server)
    client.delete_task(name=task_name("a"))
    assert server.lease() is None

    server.finish(attempt, DONE)

    assert task_name("b") == lease(server).task


def test_raising_a_limit_lets_attempts_begin(client: Client, server: TasksServer) -> None:
    """An update takes effect at once."""
    limits = {"max_concurrent_dispatches": 1}
    client.create_queue(parent=LOCATION, queue={"name": QUEUE, "rate_limits": limits})
    create(client, "a", "b")
    lease(server)
    client.update_queue(queue={"name": QUEUE})

    assert task_name("b") == lease(server).task


def test_running_a_task_disregards_schedule_limits_and_pause(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """The answer shows the attempt begun; its failure counts from when it was asked for."""
    create(client, "one", schedule_time=datetime.fromtimestamp(START + 1000, UTC))
    client.pause_queue(name=QUEUE)

    shown = client.run_task(name=task_name("one"))
    clock.advance(1)

    assert (
        shown.dispatch_count,
        shown.response_count,
        shown.last_attempt.dispatch_time.timestamp(),
    ) == (1, 0, START)
    assert ([task_name("one")], clock.now) == (server.due(), server.next_time())
    attempt = lease(server)
    assert (server.lease(), server.due(), server.next_time()) == (None, [], None)
    clock.advance(5)
    assert server.finish(attempt, FAILED).next_time == START + 0.1


def test_a_task_that_is_run_and_deleted_is_not_delivered(client: Client, server: TasksServer) -> None:
    """The attempt that had begun is dropped, and takes no place in the queue."""
    create(client, "one")
    client.run_task(name=task_name("one"))
    client.delete_task(name=task_name("one"))

    assert (server.lease(), server.in_flight()) == (None, 0)


def test_the_last_attempt_is_shown_as_it_went(client: Client, server: TasksServer, clock: Clock) -> None:
    """First and last dispatch, the answer as a status, and none while the next is in flight."""
    create(client, "one", retry_config={"min_backoff": Duration(seconds=10)})
    attempt = lease(server)
    clock.advance(2)
    server.finish(attempt, Response(503))
    task = client.get_task(name=task_name("one"))
    assert (
        task.last_attempt.response_status.code,
        task.last_attempt.response_status.message,
    ) == (14, "UNAVAILABLE(14): HTTP status code 503")
    assert task.last_attempt.response_time.timestamp() == START + 2

    clock.advance(10)
    attempt = lease(server)
    task = client.get_task(name=task_name("one"))
    assert (
        task.first_attempt.dispatch_time.timestamp(),
        task.last_attempt.schedule_time.timestamp(),
        task.last_attempt.dispatch_time.timestamp(),
    ) == (START, START + 12, START + 12)
    assert (task.dispatch_count, task.response_count, "response_time" in task.last_attempt) == (2, 1, False)
    server.finish(attempt, None)
    task = client.get_task(name=task_name("one"))
    assert (task.last_attempt.response_status.code, task.response_count) == (4, 1)


@pytest.mark.parametrize(
    ("response", "reason", "code", "message", "responses"),
    [
        (None, "", 4, "DEADLINE_EXCEEDED(4): HTTP status code 504", 0),
        (None, "nobody listens", 2, "UNKNOWN(2): HTTP status code 0", 0),
        (Response(302), "", 2, "UNKNOWN(2): HTTP status code 302", 1),
        (Response(400), "", 3, "INVALID_ARGUMENT(3): HTTP status code 400", 1),
        (Response(405), "", 9, "FAILED_PRECONDITION(9): HTTP status code 405", 1),
        (Response(409), "", 10, "ABORTED(10): HTTP status code 409", 1),
        (Response(500), "", 13, "INTERNAL(13): HTTP status code 500", 1),
        (Response(502), "", 13, "INTERNAL(13): HTTP status code 502", 1),
        (Response(504), "", 4, "DEADLINE_EXCEEDED(4): HTTP status code 504", 1),
    ],
)
def test_a_failure_has_the_code_of_its_status(
    client: Client,
    server: TasksServer,
    response: Response | None,
    reason: str,
    code: int,
    message: str,
    responses: int,
) -> None:
    """As recordings show those of 0, 405, 500 and 504; what does not get through is no response."""
    create(client, "one")
    server.finish(lease(server), response, reason)

    task = client.get_task(name=task_name("one"))
    status = task.last_attempt.response_status
    assert (code, message, responses) == (status.code, status.message, task.response_count)


@pytest.mark.parametrize(
    ("asked", "begins"),
    [({}, 2), ({"max_retry_duration": Duration(seconds=1, nanos=999_999_999)}, 2)],
)
def test_a_retry_duration_counts_in_whole_seconds(
    client: Client, server: TasksServer, clock: Clock, asked: dict[str, Any], begins: int
) -> None:
    """Of a queue and of a task: a second, reached by the second attempt, and not almost two."""
    retry = {"max_attempts": 1, "min_backoff": Duration(seconds=1), "max_backoff": Duration(seconds=1)}
    of_queue = {**retry, "max_retry_duration": Duration(seconds=1, nanos=500_000_000)}
    client.create_queue(parent=LOCATION, queue={"name": QUEUE, "retry_config": of_queue})
    create(client, "one", **({"retry_config": asked} if asked else {}))

    shown = client.get_queue(name=QUEUE).retry_config.max_retry_duration
    assert (1, begins) == (shown.total_seconds(), len(begin_times(server, clock)))


def test_a_reset_forgets_everything(client: Client, server: TasksServer) -> None:
    """Queues, tasks, tombstones and attempts: names are free, and old attempts end ignored."""
    create(client, "one", "two")
    attempt = lease(server)
    client.run_task(name=task_name("two"))
    client.delete_task(name=task_name("two"))

    server.reset()

    assert (server.depth(), server.in_flight(), server.next_time(), list_queues(client)) == (0, 0, None, [])
    create(client, "one", "two")
    assert server.finish(attempt, DONE).result == "ignored"
    assert server.depth(QUEUE) == 2


def list_queues(client: Client) -> list[str]:
    return [queue.name for queue in client.list_queues(parent=LOCATION)]


def test_depth_counts_by_queue_and_in_all(client: Client, server: TasksServer) -> None:
    """Tasks in flight included; a queue that is not there has none."""
    create(client, "one", "two")
    create(client, "three", queue=f"{QUEUE}2")
    lease(server)

    assert (
        server.depth(),
        server.depth(QUEUE),
        server.depth(f"{QUEUE}2"),
        server.depth("none"),
    ) == (3, 2, 1, 0)


def test_a_wait_ends_with_a_task_coming_due(client: Client, server: TasksServer) -> None:
    """A thread that waits without end is woken by a creation."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(server.wait()))
    thread.start()
    create(client, "one")
    thread.join(timeout=30)

    assert (answers, server.wait(timeout=0)) == ([True], True)


def test_a_wait_ends_with_its_time_its_stop_and_the_close(server: TasksServer) -> None:
    """Nothing is due in any of the three."""
    stop = threading.Event()
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(server.wait(stop=stop))),
        threading.Thread(target=lambda: answers.append(server.wait())),
    ]
    assert server.wait(timeout=0) is False
    for thread in threads:
        thread.start()
    stop.set()
    server.wake()
    threads[0].join(timeout=30)
    assert answers == [False]
    server.close()
    threads[1].join(timeout=30)

    assert answers == [False, False]


def test_a_closed_server_answers_that_it_is_closed(client: Client, server: TasksServer) -> None:
    """Calls are UNAVAILABLE, which a client may try again; the rest is empty; closing again is harmless."""
    create(client, "one")
    attempt = lease(server)
    server.close()
    server.close()

    assert refusal(lambda: create(client, "two"))[0] == "UNAVAILABLE"
    assert (server.next_time(), server.due(), server.lease(), server.depth()) == (None, [], None, 0)
    assert server.finish(attempt, DONE).result == "ignored"


def test_hourly_sweeping_keeps_what_is_still_needed(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """Tombstones within their time, and waiting tasks, outlast any number of sweeps."""
    create(client, "gone")
    server.finish(lease(server), DONE)
    create(client, "later", schedule_time=datetime.fromtimestamp(START + 80_000, UTC))
    for _ in range(23):
        clock.advance(3600)
        assert refusal(lambda: create(client, "gone"))[0] == "ALREADY_EXISTS"

    clock.advance(3600)
    create(client, "gone")

    assert [task_name("later"), task_name("gone")] == server.due()
