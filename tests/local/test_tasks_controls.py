"""What no real Cloud Tasks has: run, step, drop, pause all, wait until idle, declare, reset."""

from __future__ import annotations

import math
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration
from tasks_support import (
    LOCATION,
    QUEUE,
    START,
    Client,
    Clock,
    app_engine_task,
    client_of,
    http_task,
    refusal,
    task_name,
)

from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import Attempt, Delivery, Dispatcher, Response, TasksServer

DONE = Response(200)
FAILED = Response(500)
PATIENCE = 30.0
OTHER = f"{LOCATION}/queues/other"
DAY = 86_400.0


def create(client: Client, *task_ids: str, queue: str = QUEUE, **fields: Any) -> None:
    for task_id in task_ids:
        client.create_task(parent=queue, task={**http_task(**fields), "name": task_name(task_id, queue)})


def later(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def lease(server: TasksServer, name: str | None = None) -> Attempt:
    attempt = server.lease(name)
    assert attempt is not None
    return attempt


def retries(attempt: Attempt) -> str:
    return attempt.delivery.headers["X-CloudTasks-TaskRetryCount"]


# Run.


def test_a_task_is_run_now_whatever_stands_in_its_way(client: Client, server: TasksServer) -> None:
    """Scheduled for later, in a paused queue that may have one attempt in flight and has it."""
    limits = {"max_concurrent_dispatches": 1, "max_dispatches_per_second": 1}
    client.create_queue(parent=LOCATION, queue={"name": QUEUE, "rate_limits": limits})
    create(client, "first")
    lease(server)
    create(client, "one", schedule_time=later(1000))
    server.pause()

    server.run(task_name("one"))

    assert ([task_name("one")], task_name("one"), None) == (
        server.due(),
        lease(server).task,
        server.lease(),
    )


def test_two_deliveries_overlap(client: Client, server: TasksServer) -> None:
    """Both begin at once; the success of the first does not call off the second."""
    create(client, "one")
    server.run(task_name("one"), times=2)
    assert server.in_flight() == 2
    first = lease(server)
    assert server.finish(first, DONE).result == "succeeded"

    second = lease(server)
    assert ("0", "1", "ignored") == (retries(first), retries(second), server.finish(second, DONE).result)
    assert (None, 0, 0) == (server.lease(), server.in_flight(), server.depth())


def test_a_second_delivery_follows_a_success_with_the_same_headers(
    client: Client, server: TasksServer
) -> None:
    """What the real service does now and then: the worker has answered 200 and is called again."""
    create(client, "one")
    server.run(task_name("one"), times=3, overlapping=False)
    first = lease(server)
    assert server.lease() is None
    assert server.finish(first, DONE).result == "succeeded"
    second = lease(server)
    assert (first.delivery, True) == (second.delivery, first.id != second.id)
    assert server.lease() is None
    server.finish(second, FAILED)
    third = lease(server)
    assert server.finish(third, DONE).result == "ignored"

    assert (None, 0, 0, 3) == (server.lease(), server.in_flight(), server.depth(), len(server.attempts()))


def test_a_second_delivery_follows_a_failure_as_the_next_attempt(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """The second one decides, even that the task is out of attempts."""
    create(client, "one", retry_config={"max_attempts": 2})
    server.run(task_name("one"), times=2, overlapping=False)
    first = lease(server)
    clock.advance(5)
    assert server.finish(first, FAILED).result == "overlapped"
    second = lease(server)

    assert ("1", "500") == (
        retries(second),
        second.delivery.headers["X-CloudTasks-TaskPreviousResponse"],
    )
    assert START + 5 == second.begun
    assert server.finish(second, FAILED).result == "exhausted"


def test_a_deleted_task_is_not_delivered_again(client: Client, server: TasksServer) -> None:
    """Somebody wanted it gone: neither what waits to be handed out nor what was to follow goes out."""
    create(client, "one", "two")
    server.run(task_name("one"), times=2)
    server.drop(task_name("one"))
    server.run(task_name("two"), times=2, overlapping=False)
    attempt = lease(server)
    assert attempt.task == task_name("two")
    server.drop(task_name("two"))

    assert server.finish(attempt, DONE).result == "ignored"
    assert (None, 0) == (server.lease(), server.in_flight())


def test_a_follower_goes_out_when_another_attempt_has_succeeded(client: Client, server: TasksServer) -> None:
    """The task was deleted by its success and not by somebody."""
    create(client, "one")
    other = lease(server)
    server.run(task_name("one"), times=2, overlapping=False)
    first = lease(server)
    server.finish(other, DONE)
    assert server.finish(first, FAILED).result == "ignored"

    assert server.finish(lease(server), DONE).result == "ignored"
    assert (None, 0) == (server.lease(), server.in_flight())


@pytest.mark.parametrize("times", [0, -1, 101])
def test_a_number_of_deliveries_that_is_none_is_refused(
    client: Client, server: TasksServer, times: int
) -> None:
    """Nothing begins."""
    create(client, "one")
    with pytest.raises(ValueError, match="1 to 100 times"):
        server.run(task_name("one"), times)
    assert server.in_flight() == 0


# Step and drop.


def test_steps_take_the_task_first_due(client: Client, server: TasksServer) -> None:
    """Across queues, paused or not, before their time and beyond their limits."""
    client.create_queue(
        parent=LOCATION, queue={"name": QUEUE, "rate_limits": {"max_concurrent_dispatches": 1}}
    )
    create(client, "late", schedule_time=later(30))
    create(client, "later", schedule_time=later(40))
    create(client, "soon", queue=OTHER, schedule_time=later(20))
    server.pause(OTHER)
    expected = [task_name("soon", OTHER), task_name("late"), task_name("later"), None]

    assert expected == [server.step() for _ in expected]
    assert expected == [attempt and attempt.task for attempt in (server.lease() for _ in expected)]


def test_a_step_keeps_to_its_queue(client: Client, server: TasksServer) -> None:
    """None when there is nothing in it, NOT_FOUND when it is not there."""
    create(client, "one")
    client.create_queue(parent=LOCATION, queue={"name": OTHER})

    assert (None, task_name("one"), None) == (server.step(OTHER), server.step(QUEUE), server.step(QUEUE))
    with pytest.raises(RpcError, match="Queue does not exist"):
        server.step(f"{QUEUE}9")


def test_a_step_that_fails_is_tried_again_by_its_backoff(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """Counted from when the step was asked for, as for RunTask, not from the task's schedule."""
    create(client, "one", schedule_time=later(5000), retry_config={"min_backoff": Duration(seconds=10)})
    server.step()
    clock.advance(3)

    assert server.finish(lease(server), FAILED).next_time == START + 10


def test_a_dropped_task_leaves_its_name_taken(client: Client, server: TasksServer) -> None:
    """As DeleteTask does; a task that is not there says so."""
    create(client, "one")
    server.drop(task_name("one"))

    assert refusal(lambda: create(client, "one"))[0] == "ALREADY_EXISTS"
    with pytest.raises(RpcError, match="no longer exists"):
        server.drop(task_name("one"))
    with pytest.raises(RpcError, match="no longer exists"):
        server.run(task_name("one"))


# Pause and wait.


def test_all_queues_are_paused_and_resumed(client: Client, server: TasksServer) -> None:
    """Those that there are: one that comes later runs."""
    create(client, "a")
    create(client, "b", queue=OTHER)
    server.pause()
    create(client, "c", queue=f"{QUEUE}3")
    assert [task_name("c", f"{QUEUE}3")] == server.due()
    server.resume()
    assert len(server.due()) == 3
    server.pause(OTHER)
    assert [False, True, True] == [queue.running for queue in server.queues()]


def test_idle_is_when_nothing_is_due_and_nothing_in_flight(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """Each in turn; what is scheduled counts only when it is asked for."""
    assert (True, True) == (server.wait_idle(0), server.wait_idle(0, scheduled=True))
    create(client, "one")
    assert not server.wait_idle(0)
    attempt = lease(server)
    assert not server.wait_idle(0)
    server.finish(attempt, FAILED)
    assert (True, False) == (server.wait_idle(0), server.wait_idle(0, scheduled=True))
    clock.advance(1)
    assert not server.wait_idle(0)
    server.finish(lease(server), DONE)
    assert (True, True) == (server.wait_idle(0), server.wait_idle(0, scheduled=True))


def test_what_waits_in_a_paused_queue_is_idle_unless_all_is_asked_for(
    client: Client, server: TasksServer
) -> None:
    """Only somebody can move it; what was run by hand counts in any case."""
    create(client, "one")
    server.pause()
    assert (True, False) == (server.wait_idle(0), server.wait_idle(0, scheduled=True))
    server.run(task_name("one"))
    assert not server.wait_idle(0)


def test_a_queue_that_waits_for_its_rate_is_not_idle(client: Client, server: TasksServer) -> None:
    """Its task is due and will begin by itself."""
    limits = {"max_dispatches_per_second": 1, "max_burst_size": 1}
    server.declare_queue(tasks_v2.Queue(name=QUEUE, rate_limits=limits))
    create(client, "one", "two")
    server.finish(lease(server), DONE)

    assert (None, False) == (server.lease(), server.wait_idle(0))


def until_it_waits(thread: threading.Thread) -> None:
    """Returns once a thread waits at a condition: what would wake it has something to wake."""
    while (frame := sys._current_frames().get(thread.ident or 0)) is None or (
        frame.f_code is not threading.Condition.wait.__code__
    ):
        assert thread.is_alive()


@pytest.mark.parametrize("how", ["pause", "purge", "drop", "delete_queue", "reset", "close"])
def test_whatever_makes_it_idle_wakes_who_waits(client: Client, server: TasksServer, how: str) -> None:
    """Without a poll: the wait has no time limit. A closed server is no idle one."""
    create(client, "one")
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(server.wait_idle()), daemon=True)
    waiter.start()
    until_it_waits(waiter)
    {
        "pause": lambda: server.pause(QUEUE),
        "purge": lambda: server.purge(QUEUE),
        "drop": lambda: server.drop(task_name("one")),
        "delete_queue": lambda: client.delete_queue(name=QUEUE),
        "reset": server.reset,
        "close": server.close,
    }[how]()
    waiter.join(PATIENCE)

    assert [how != "close"] == answers


def test_a_delivery_asked_for_of_a_task_that_is_gone_wakes_who_waits(
    client: Client, server: TasksServer
) -> None:
    """It was in flight until the next lease has found that there is nothing to deliver."""
    create(client, "one")
    server.run(task_name("one"))
    server.drop(task_name("one"))
    waiter = threading.Thread(target=server.wait_idle, daemon=True)
    waiter.start()
    until_it_waits(waiter)

    assert server.lease() is None
    waiter.join(PATIENCE)

    assert not waiter.is_alive()


def test_waiting_sees_the_end_of_a_chain_that_a_dispatcher_runs() -> None:
    """Each task creates the next while it is in flight: there is no moment of idleness in between."""
    server = TasksServer()
    client = client_of(server)
    seen: list[str] = []

    def deliver(delivery: Delivery) -> Response:
        seen.append(delivery.task.rpartition("/")[2])
        if len(seen) < 20:
            create(client, f"t{len(seen)}")
        return DONE

    dispatcher = Dispatcher(server, deliver, threads=3)
    dispatcher.start()
    create(client, "t0")

    assert server.wait_idle(PATIENCE, scheduled=True)
    assert [f"t{n}" for n in range(20)] == seen
    assert dispatcher.stop(PATIENCE)
    server.close()


# Declared queues.


def test_a_declared_queue_is_created_and_then_brought_up_to_date(tmp_path: Path, clock: Clock) -> None:
    """Over restarts: tasks and the pause stay, limits and the time of names are as declared last."""
    path = tmp_path / "tasks.db"
    server = TasksServer(path, clock=clock)
    client = client_of(server)
    limits = {"max_dispatches_per_second": 5, "max_concurrent_dispatches": 2}
    server.declare_queue(tasks_v2.Queue(name=QUEUE, rate_limits=limits), tombstone_seconds=9 * DAY)
    create(client, "one")
    server.pause(QUEUE)
    server.close()

    server = TasksServer(path, clock=clock)
    assert server.queue(QUEUE).tombstone == 9 * DAY
    for _ in range(2):
        server.declare_queue(
            tasks_v2.Queue(name=QUEUE, rate_limits={"max_dispatches_per_second": 7, "max_burst_size": 40})
        )
    queue = client_of(server).get_queue(name=QUEUE)
    found = queue.rate_limits
    assert (tasks_v2.Queue.State.PAUSED, 7, 40, 1000, DAY, 1) == (
        queue.state,
        found.max_dispatches_per_second,
        found.max_burst_size,
        found.max_concurrent_dispatches,
        server.queue(QUEUE).tombstone,
        server.depth(QUEUE),
    )
    server.close()


def test_names_stay_taken_for_as_long_as_their_queue_says(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """However the tasks went: done, deleted, purged; other queues keep to the server's time."""
    server.declare_queue(tasks_v2.Queue(name=QUEUE), tombstone_seconds=9 * DAY)
    create(client, "done", "deleted", "purged")
    create(client, "other", queue=OTHER)
    server.finish(lease(server, task_name("done")), DONE)
    client.delete_task(name=task_name("deleted"))
    server.purge(QUEUE)
    server.purge(OTHER)

    clock.advance(9 * DAY - 1)
    create(client, "other", queue=OTHER)
    for name in ("done", "deleted", "purged"):
        with pytest.raises(exceptions.AlreadyExists):
            create(client, name)
    clock.advance(1)
    create(client, "done", "deleted", "purged")


def test_an_update_by_a_client_leaves_the_time_of_names(client: Client, server: TasksServer) -> None:
    """No field of a request sets it."""
    server.declare_queue(tasks_v2.Queue(name=QUEUE), tombstone_seconds=5)
    client.update_queue(queue={"name": QUEUE, "rate_limits": {"max_dispatches_per_second": 3}})
    client.pause_queue(name=QUEUE)

    assert (5.0, 3.0) == (
        server.queue(QUEUE).tombstone,
        server.queue(QUEUE).message.rate_limits.max_dispatches_per_second,
    )


def test_a_queue_that_was_deleted_just_now_is_declared_all_the_same(
    client: Client, server: TasksServer
) -> None:
    """Who starts a server says what is there; a client would have to wait for a week."""
    create(client, "one")
    client.delete_queue(name=QUEUE)
    server.declare_queue(tasks_v2.Queue(name=QUEUE))

    assert refusal(lambda: create(client, "one"))[0] == "ALREADY_EXISTS"
    create(client, "two")
    assert server.depth(QUEUE) == 1


@pytest.mark.parametrize(
    "queue",
    [
        {"name": "work"},
        {"name": QUEUE, "rate_limits": {"max_dispatches_per_second": 501}},
        {"name": QUEUE, "retry_config": {"max_attempts": -2}},
    ],
)
def test_a_queue_that_cannot_be_is_not_declared(server: TasksServer, queue: dict[str, Any]) -> None:
    """Refused as for a client; nothing is left behind, for a reset neither."""
    with pytest.raises(RpcError, match="INVALID_ARGUMENT"):
        server.declare_queue(tasks_v2.Queue(queue))
    server.reset()
    assert [] == server.queues()


@pytest.mark.parametrize("span", [-1, math.nan, math.inf])
def test_a_time_of_names_that_is_none_is_refused(server: TasksServer, span: float) -> None:
    """Nothing is declared."""
    with pytest.raises(ValueError, match="stays taken"):
        server.declare_queue(tasks_v2.Queue(name=QUEUE), tombstone_seconds=span)
    assert [] == server.queues()


def test_a_reset_leaves_what_was_declared(client: Client, server: TasksServer) -> None:
    """Empty, running, as declared: whatever was made of it since."""
    server.declare_queue(
        tasks_v2.Queue(name=QUEUE, rate_limits={"max_dispatches_per_second": 5}), tombstone_seconds=60
    )
    create(client, "one")
    create(client, "two", queue=OTHER)
    client.update_queue(queue={"name": QUEUE})
    server.pause()
    server.finish(server.lease(task_name("one"), force=True) or lease(server), FAILED)
    server.fail_next()

    server.reset()

    (queue,) = server.queues()
    assert (QUEUE, True, 0, 60.0, 5.0) == (
        queue.name,
        queue.running,
        queue.depth,
        queue.tombstone,
        queue.message.rate_limits.max_dispatches_per_second,
    )
    assert ([], [], True) == (server.attempts(), server.faults(), server.wait_idle(0, scheduled=True))
    create(client, "one")


# Looking.


def test_queues_and_tasks_are_seen_as_they_are(client: Client, server: TasksServer) -> None:
    """Depth, attempts in flight and what is due next; tasks page by page; copies that change nothing."""
    create(client, *"abc", schedule_time=later(10))
    create(client, "now")
    lease(server)

    (queue,) = server.queues()
    assert (4, 1, START + 10) == (queue.depth, queue.in_flight, queue.next_due)
    first, following = server.tasks(QUEUE, limit=2)
    assert first[-1].seq == following
    rest, following = server.tasks(QUEUE, after=following)
    assert following is None
    assert ["a", "b", "c", "now"] == [each.name.rpartition("/")[2] for each in first + rest]
    assert [False, False, False, True] == [each.in_flight for each in first + rest]
    queue.message.rate_limits.max_dispatches_per_second = 1
    assert server.queue(QUEUE).message.rate_limits.max_dispatches_per_second == 500
    assert [task_name("now")] == [each.task for each in server.attempts_in_flight()]
    with pytest.raises(RpcError, match="Queue does not exist"):
        server.tasks(OTHER)


def test_the_last_attempts_are_remembered_and_no_more(client: Client, server: TasksServer) -> None:
    """Two hundred, the last one first, with why there was no answer, at a bearable length."""
    create(client, "one", retry_config={"min_backoff": Duration(), "max_attempts": -1})
    for _ in range(205):
        attempt = server.lease(task_name("one"), force=True)
        assert attempt is not None
        server.finish(attempt, None, "x" * 10_000)

    attempts = server.attempts()
    assert [204 - n for n in range(200)] == [each.number for each in attempts]
    assert {300} == {len(each.reason) for each in attempts}


def test_a_closed_server_refuses_every_control(server: TasksServer) -> None:
    """As it refuses RPCs."""
    server.close()
    for call in (
        server.step,
        server.pause,
        server.faults,
        server.fail_next,
        server.reset,
        server.queues,
        server.attempts,
        lambda: server.advance(1),
        lambda: server.run(task_name("one")),
        lambda: server.declare_queue(tasks_v2.Queue(name=QUEUE)),
    ):
        with pytest.raises(RpcError, match="closed"):
            call()


# Retry-After.


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "120"}, 120),
        (503, {"retry-after": " 120 "}, 120),
        (503, {"Retry-After": format_datetime(later(60.75), usegmt=True)}, 60.75),
        (503, {"Retry-After": "Fri, 15 Jan 2027 08:01:01 -0000"}, 60.75),
        (503, {"Retry-After": "999999"}, 3600),
        (503, {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 3600),
        (503, {"Retry-After": "9" * 5000}, 10),
        (503, {"Retry-After": "1"}, 10),
        (503, {"Retry-After": "-5"}, 10),
        (503, {"Retry-After": "soon"}, 10),
        (503, {"Retry-After": "Mon, 99 Foo 2026 25:61:61 GMT"}, 10),
        (503, {"Retry-After": ""}, 10),
        (503, {}, 10),
        (500, {"Retry-After": "120"}, 10),
    ],
)
def test_a_busy_worker_may_ask_to_be_left_alone(
    client: Client, server: TasksServer, status: int, headers: dict[str, str], wait: float
) -> None:
    """With 429 and 503 the header puts off the retry, never beyond an hour and never before the backoff."""
    create(client, "one", retry_config={"min_backoff": Duration(seconds=10)})

    outcome = server.finish(lease(server), Response(status, headers))

    assert START + wait == outcome.next_time


def test_app_engine_is_not_asked(client: Client, server: TasksServer) -> None:
    """The reference speaks of HTTP targets alone."""
    client.create_task(parent=QUEUE, task=app_engine_task("one"))

    assert server.finish(lease(server), Response(503, {"Retry-After": "60"})).next_time == START + 0.1


def test_controls_from_many_threads_lose_no_task_and_leave_nothing_open() -> None:
    """Everything at once, while a dispatcher runs: in the end each task was delivered, and nothing hangs."""
    server = TasksServer()
    client = client_of(server)
    seen: set[str] = set()

    def deliver(delivery: Delivery) -> Response:
        seen.add(delivery.task)
        return DONE

    def meddle(seed: int) -> None:
        for n in range(40):
            name = f"t{seed}-{n}"
            create(client, name, schedule_time=datetime.fromtimestamp(server.clock().now + 60 * n, UTC))
            if n % 4 == 0:
                # By a step of another thread it may be over already.
                with suppress(RpcError):
                    server.run(task_name(name), times=1 + n % 3, overlapping=n % 8 == 0)
            fault = server.fail_next(2, status=None if n % 2 else 503, reach=n % 3 == 0)
            server.pause() if n % 5 == seed else server.resume()
            server.step(QUEUE)
            server.advance(45)
            server.cancel_fault(fault - 1)
            server.queues(), server.tasks(QUEUE), server.attempts(), server.attempts_in_flight()

    dispatcher = Dispatcher(server, deliver, threads=4)
    dispatcher.start()
    with ThreadPoolExecutor(3) as pool:
        assert [None] * 3 == list(pool.map(meddle, range(3)))
    server.resume()
    server.cancel_faults()
    for _ in range(20):
        if server.wait_idle(PATIENCE) and server.wait_idle(0, scheduled=True):
            break
        server.advance(3600)

    assert dispatcher.stop(PATIENCE)
    assert (0, 0, True) == (server.depth(), server.in_flight(), server.wait_idle(0, scheduled=True))
    assert {task_name(f"t{seed}-{n}") for seed in range(3) for n in range(40)} == seen
    server.close()
