"""Failures on purpose: which attempts they befall, what the queue is told, and whether the worker is called."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from tasks_support import LOCATION, QUEUE, Client, Clock, client_of, http_task, task_name

from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import Attempt, Delivery, Dispatcher, Response, TasksServer

DONE = Response(200)
PATIENCE = 30.0
OTHER = f"{LOCATION}/queues/other"


def create(client: Client, *task_ids: str, queue: str = QUEUE) -> None:
    for task_id in task_ids:
        client.create_task(parent=queue, task={**http_task(), "name": task_name(task_id, queue)})


def lease(server: TasksServer, name: str) -> Attempt:
    attempt = server.lease(name)
    assert attempt is not None
    return attempt


@pytest.mark.parametrize(("status", "shown"), [(300, 300), (500, 500), (599, 599), (None, None)])
def test_the_next_attempt_fails_whatever_the_worker_answers(
    client: Client, server: TasksServer, status: int | None, shown: int | None
) -> None:
    """And only the next: the one after it does as its worker says."""
    create(client, "a", "b")
    server.fail_next(status=status)

    first, second = lease(server, task_name("a")), lease(server, task_name("b"))
    assert ("retry", "succeeded") == (server.finish(first, DONE).result, server.finish(second, DONE).result)
    ended = server.attempts()[-1]
    assert (task_name("a"), shown) == (ended.task, ended.status)
    task = client.get_task(name=task_name("a"))
    assert (1, 0 if status is None else 1) == (task.dispatch_count, task.response_count)
    assert [] == server.faults()


@pytest.mark.parametrize("reach", [True, False])
def test_the_attempt_says_whether_the_worker_is_to_be_called(
    client: Client, server: TasksServer, reach: bool
) -> None:
    """For whoever delivers by hand; the end of the attempt is seen to in any case."""
    create(client, "a", "b")
    server.fail_next(reach=reach)
    first, second = lease(server, task_name("a")), lease(server, task_name("b"))

    assert (reach, True) == (first.calls_worker, second.calls_worker)
    assert (True, True) == (first.fault is not None, second.fault is None)


def test_a_lost_answer_and_a_lost_request_through_the_dispatcher(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The worker sees the one and not the other, and the log says which it was."""
    server = TasksServer()
    client = client_of(server)
    law = {"min_backoff": {}, "max_backoff": {}}
    seen: list[str] = []
    done = threading.Event()

    def deliver(delivery: Delivery) -> Response:
        seen.append(delivery.headers["X-CloudTasks-TaskRetryCount"])
        if delivery.headers["X-CloudTasks-TaskRetryCount"] == "2":
            done.set()
        return DONE

    server.fail_next(status=None, reach=True)
    server.fail_next(status=503)
    client.create_task(parent=QUEUE, task=http_task("one", retry_config=law))
    dispatcher = Dispatcher(server, deliver, threads=1)
    with caplog.at_level(logging.DEBUG, "fantasm_gcp.local.tasks"):
        dispatcher.start()
        assert done.wait(PATIENCE)
        assert dispatcher.stop(PATIENCE)
    server.close()

    assert ["0", "2"] == seen
    assert [
        "work/one attempt 1: no answer (set to fail, the worker answered 200)",
        "work/one attempt 2: 503 (set to fail, the worker was not called)",
        "work/one attempt 3: 200",
    ] == [record.getMessage().partition(" in ")[0] for record in caplog.records]


def test_only_what_matches_fails(client: Client, server: TasksServer) -> None:
    """By queue and by task; others leave the count as it is; neither need be there when it is set."""
    server.fail_next(2, queue=OTHER)
    server.fail_next(task=task_name("b"))
    create(client, "a", "b")
    create(client, "c", "d", "e", queue=OTHER)
    names = [task_name("a"), task_name("b"), *(task_name(each, OTHER) for each in "cde")]

    assert [False, True, True, True, False] == [lease(server, name).fault is not None for name in names]


def test_a_queue_whose_name_begins_another_is_not_that_other(client: Client, server: TasksServer) -> None:
    """``work`` is not ``work2``."""
    server.fail_next(queue=QUEUE)
    create(client, "a", queue=f"{QUEUE}2")

    assert lease(server, task_name("a", f"{QUEUE}2")).fault is None


def test_of_several_faults_the_one_set_first_is_used_up_first(client: Client, server: TasksServer) -> None:
    """One attempt, one fault; what is left shows how many are to come."""
    server.fail_next(2, status=501)
    server.fail_next(1, status=502)
    create(client, "a", "b", "c", "d")

    faults = []
    for name in "abcd":
        faults.append(lease(server, task_name(name)).fault)
        if name == "a":
            assert [(1, 501), (1, 502)] == [(each.left, each.fault.status) for each in server.faults()]
    assert [501, 501, 502, None] == [each and each.status for each in faults]


def test_a_fault_is_taken_back(client: Client, server: TasksServer) -> None:
    """Once: the second time there is nothing to take back; an attempt in flight still fails."""
    create(client, "a", "b", "c")
    first = server.fail_next(5)
    attempt = lease(server, task_name("a"))

    assert (True, False) == (server.cancel_fault(first), server.cancel_fault(first))
    assert server.finish(attempt, DONE).result == "retry"
    assert lease(server, task_name("b")).fault is None
    server.fail_next()
    server.fail_next()
    server.cancel_faults()
    assert ([], None) == (server.faults(), lease(server, task_name("c")).fault)


def test_a_fault_ends_a_task_like_any_failure(client: Client, server: TasksServer) -> None:
    """Out of attempts means deleted, though the worker succeeded."""
    client.create_task(parent=QUEUE, task=http_task("one", retry_config={"max_attempts": 1}))
    server.fail_next()

    assert server.finish(lease(server, task_name("one")), DONE).result == "exhausted"


@pytest.mark.parametrize("status", [200, 204, 299, 100, 0, -1, 600, 10**9])
def test_a_status_that_is_no_failure_is_refused(server: TasksServer, status: int) -> None:
    """It would not do what its name says."""
    with pytest.raises(ValueError, match="not the status of a failure"):
        server.fail_next(status=status)
    assert [] == server.faults()


@pytest.mark.parametrize("count", [0, -1, 1_000_001])
def test_a_count_that_is_none_is_refused(server: TasksServer, count: int) -> None:
    """Nothing is set."""
    with pytest.raises(ValueError, match="1 to 1000000"):
        server.fail_next(count)
    assert [] == server.faults()


def test_a_fault_that_could_befall_nothing_is_refused(server: TasksServer) -> None:
    """A task of another queue, and names that can be no queue's and no task's."""
    with pytest.raises(ValueError, match="not a task of"):
        server.fail_next(queue=OTHER, task=task_name("a"))
    with pytest.raises(RpcError, match="Queue name must be formatted"):
        server.fail_next(queue="work")
    with pytest.raises(RpcError, match="Task name must be formatted"):
        server.fail_next(task="work/one")
    assert [] == server.faults()


def test_a_restart_forgets_faults_and_so_does_a_reset(tmp_path: Path) -> None:
    """A server that fails for no reason to be seen would be a riddle."""
    server = TasksServer(tmp_path / "tasks.db", clock=Clock())
    server.fail_next(3)
    server.reset()
    assert [] == server.faults()
    server.fail_next(3)
    server.close()

    server = TasksServer(tmp_path / "tasks.db", clock=Clock())
    assert [] == server.faults()
    server.close()
