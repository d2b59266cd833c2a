"""The clock of the local Cloud Tasks server: moved ahead, kept over a restart, set right by a reset."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.api_core import exceptions
from tasks_support import QUEUE, START, Client, Clock, client_of, http_task, refusal, task_name

from fantasm_gcp.local.tasks import Response, TasksServer
from fantasm_gcp.local.tasks import messages as raw

PATIENCE = 30.0
DAY = 86_400.0

FORMAT_1 = """
CREATE TABLE queues (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, queue BLOB NOT NULL);
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, queue INTEGER NOT NULL,
    due INTEGER NOT NULL, created INTEGER NOT NULL, leased INTEGER NOT NULL DEFAULT 0,
    dispatches INTEGER NOT NULL DEFAULT 0, responses INTEGER NOT NULL DEFAULT 0,
    executions INTEGER NOT NULL DEFAULT 0, previous INTEGER, first_dispatch INTEGER, last_schedule INTEGER,
    last_dispatch INTEGER, last_response INTEGER, task BLOB NOT NULL
);
CREATE INDEX waiting ON tasks (queue, leased, due);
CREATE TABLE tombstones (name TEXT PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_what_is_scheduled_comes_due_when_the_clock_is_moved_to_it(
    client: Client, server: TasksServer
) -> None:
    """To the microsecond, and in the order of its times."""
    client.create_task(parent=QUEUE, task=http_task("late", schedule_time=at(START + 20)))
    client.create_task(parent=QUEUE, task=http_task("soon", schedule_time=at(START + 10)))

    server.advance(9.999_999)
    assert [] == server.due()
    server.advance(0.000_001)
    assert [task_name("soon")] == server.due()
    server.advance(DAY)
    assert [task_name("soon"), task_name("late")] == server.due()


def test_the_clock_that_was_given_goes_on_under_the_shift(server: TasksServer, clock: Clock) -> None:
    """The two add up, and spans add up among themselves."""
    server.advance(60)
    clock.advance(5)
    server.advance(0.5)

    assert (START + 65.5, 60.5) == (server.clock().now, server.clock().shift)


def test_everything_that_is_dated_has_the_moved_clock(client: Client, server: TasksServer) -> None:
    """Creation, dispatch, backoff and the header TaskETA."""
    server.advance(3600)
    client.create_task(parent=QUEUE, task=http_task("one"))
    attempt = server.lease()
    assert attempt is not None
    outcome = server.finish(attempt, Response(500))
    task = client.get_task(name=task_name("one"))

    now = START + 3600
    assert (int(now), now, now + 0.1) == (
        int(task.create_time.timestamp()),
        task.last_attempt.dispatch_time.timestamp(),
        outcome.next_time,
    )
    assert f"{now:.6f}" == attempt.delivery.headers["X-CloudTasks-TaskETA"]


def test_the_shift_outlives_a_restart_and_not_a_reset(tmp_path: Path, clock: Clock) -> None:
    """What was made under the moved clock must not come to lie in the future."""
    path = tmp_path / "tasks.db"
    server = TasksServer(path, clock=clock)
    server.advance(DAY)
    client_of(server).create_task(parent=QUEUE, task=http_task("one"))
    server.close()

    server = TasksServer(path, clock=clock)
    assert (DAY, [task_name("one")]) == (server.clock().shift, server.due())
    server.reset()
    assert (START, 0.0) == (server.clock().now, server.clock().shift)
    server.close()

    server = TasksServer(path, clock=clock)
    assert server.clock().shift == 0.0
    server.close()


@pytest.mark.parametrize("span", [-1, -0.000_001, math.nan, math.inf, -math.inf, 1e12, 1e300])
def test_a_span_that_is_none_moves_nothing(client: Client, server: TasksServer, span: float) -> None:
    """Not backward, not to nowhere, not out of the calendar; the server goes on as before."""
    with pytest.raises(ValueError, match="clock"):
        server.advance(span)

    client.create_task(parent=QUEUE, task=http_task("one"))
    assert (0.0, [task_name("one")]) == (server.clock().shift, server.due())


def test_at_the_end_of_the_calendar_tasks_can_still_be_tried(client: Client, server: TasksServer) -> None:
    """The furthest there is: retries and views have times that a Timestamp holds."""
    span = 253_402_300_799 - 400 * DAY - START
    server.advance(span - 1)
    with pytest.raises(ValueError, match="9998"):
        server.advance(2)
    client.create_task(parent=QUEUE, task=http_task("one", schedule_time=at(START)))
    attempt = server.lease()
    assert attempt is not None

    assert server.finish(attempt, Response(500)).result == "retry"
    assert client.get_task(name=task_name("one")).schedule_time.year == 9998


def test_names_become_free_and_old_tasks_go_when_the_clock_passes_their_time(
    client: Client, server: TasksServer
) -> None:
    """Tombstones of a day, retention of 31: at once, without waiting for the hourly sweep of requests."""
    client.create_task(parent=QUEUE, task=http_task("one"))
    client.create_task(parent=QUEUE, task=http_task("two"))
    client.delete_task(name=task_name("one"))
    server.advance(DAY - 1)
    assert refusal(lambda: client.create_task(parent=QUEUE, task=http_task("one")))[0] == "ALREADY_EXISTS"
    server.advance(1)
    client.create_task(parent=QUEUE, task=http_task("one"))

    server.advance(30 * DAY + 1)

    assert server.depth() == 1


def test_moving_the_clock_wakes_who_waits(client: Client, server: TasksServer) -> None:
    """A dispatcher need not be told: what became due is leased."""
    client.create_task(parent=QUEUE, task=http_task("one", schedule_time=at(START + 3600)))
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(server.wait(PATIENCE)))
    waiter.start()
    server.advance(3600)
    waiter.join(PATIENCE)

    assert [True] == answers


def test_who_waits_sees_that_the_machine_slept(client: Client, server: TasksServer, clock: Clock) -> None:
    """Time goes on while a machine sleeps, and what threads wait by does not: it is looked at now and then."""
    client.create_task(parent=QUEUE, task=http_task(schedule_time=at(START + 3600)))
    server.look_again = 0.001

    def sleep() -> None:
        with server._state.lock:
            clock.advance(7200)

    sleeping = threading.Thread(target=sleep)
    began = time.monotonic()
    with server._state.lock:  # held until the wait lets go of it
        sleeping.start()
        assert server.wait(PATIENCE)
    assert time.monotonic() - began < PATIENCE
    sleeping.join()


def test_an_attempt_took_as_long_as_it_took(client: Client, server: TasksServer, clock: Clock) -> None:
    """Moving the clock meanwhile puts off its retry, but is not the worker's doing."""
    client.create_task(parent=QUEUE, task=http_task("one"))
    attempt = server.lease()
    assert attempt is not None
    clock.advance(2)
    server.advance(3600)
    server.finish(attempt, Response(500))

    (ended,) = server.attempts()
    assert (2.0, START, START + 3602.1) == (ended.took, ended.began, ended.next_time)


def test_a_file_of_format_1_is_brought_up_and_keeps_everything(tmp_path: Path) -> None:
    """A queue, a task in flight and a tombstone that the first version wrote; then it is a file of today."""
    path = tmp_path / "tasks.db"
    task = raw.Task(
        name=task_name("old"), http_request={"url": "http://worker.example/run", "http_method": 1}
    )
    micros = round(START * 1_000_000)
    with sqlite3.connect(path) as db:
        db.executescript(FORMAT_1)
        queue = raw.Queue(name=QUEUE, state=raw.PAUSED, rate_limits={"max_dispatches_per_second": 7})
        queue.rate_limits.max_concurrent_dispatches = 3
        db.execute("INSERT INTO queues (name, queue) VALUES (?, ?)", (QUEUE, queue.SerializeToString()))
        db.execute(
            "INSERT INTO tasks (name, queue, due, created, leased, dispatches, first_dispatch, task) "
            "VALUES (?, 1, ?, ?, 1, 1, ?, ?)",
            (task_name("old"), micros, micros, micros, task.SerializeToString()),
        )
        db.execute("INSERT INTO tombstones VALUES (?, ?)", (task_name("gone"), micros + 10**12))
    db.close()

    for _ in range(2):  # what was brought up is opened like any other
        server = TasksServer(path, clock=Clock())
        client = client_of(server)
        assert (7, raw.PAUSED) == (
            client.get_queue(name=QUEUE).rate_limits.max_dispatches_per_second,
            client.get_queue(name=QUEUE).state,
        )
        assert (1, 0.0, 86_400.0) == (server.depth(), server.clock().shift, server.queue(QUEUE).tombstone)
        with pytest.raises(exceptions.AlreadyExists):
            client.create_task(parent=QUEUE, task=http_task("gone"))
        server.close()

    server = TasksServer(path, clock=Clock())
    attempt = server.lease(task_name("old"), force=True)
    assert attempt is not None
    assert attempt.number == 1
    server.advance(5)
    server.close()
