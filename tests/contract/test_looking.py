"""Looking at queues and tasks on the local Cloud Tasks: what has become of them, in the service's words."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest
from google.cloud.tasks_v2 import types

from fantasm_gcp.core.callback import Callback
from fantasm_gcp.core.definition import RetryPolicy
from fantasm_gcp.engine.ports import QueueState, TaskState
from fantasm_gcp.errors import RefusedError, UnavailableError
from fantasm_gcp.gateways.clients import Channels, tasks_api
from fantasm_gcp.gateways.cloud_tasks import CloudTasksQueue
from fantasm_gcp.local.rpc import LocalChannel, RpcError
from fantasm_gcp.local.tasks import Response, TasksServer
from fantasm_gcp.testing import VirtualClock, intercepted

QUEUE = "projects/p/locations/l/queues/default"
NAME = "hash-step"
CALLBACK = Callback(
    name=NAME,
    queue="default",
    method="POST",
    url="/fantasm/fsm/M/a/e/b/",
    headers={},
    body=b"{}" * 1000,
    due=None,
    retry=RetryPolicy(),
)


class Local:
    """A queue on a server of its own, and what may come in between."""

    def __init__(self):
        self.clock = VirtualClock()
        self.server = TasksServer(clock=self.clock)
        self.requests, self.errors = [], []
        service = intercepted(self.server.service, self._around)
        self.api = tasks_api(Channels(tasks=lambda: LocalChannel(service)))
        self.queue = CloudTasksQueue("p", "l", lambda: self.api, sleep=self.clock.sleep)

    def _around(self, rpc, carry_out):
        self.requests.append(rpc)
        if self.errors:
            raise RpcError(self.errors.pop(), "injected")
        return carry_out()

    def look(self):
        return self.queue.look_at("default", NAME)


@pytest.fixture
def local():
    made = Local()
    yield made
    made.server.close()


def test_a_queue_runs_is_paused_or_is_missing(local):
    """By one request each time."""
    assert QueueState.MISSING is local.queue.state("default")
    local.queue.create([CALLBACK])
    assert QueueState.RUNNING is local.queue.state("default")
    local.api.pause_queue(name=QUEUE)
    assert QueueState.PAUSED is local.queue.state("default")
    local.api.resume_queue(name=QUEUE)
    assert QueueState.RUNNING is local.queue.state("default")
    assert 4 == sum(each.method == "GetQueue" for each in local.requests)


def test_a_disabled_queue_is_told():
    """Google disables queues, no method of the API does: the answer is made up."""
    server = TasksServer(clock=VirtualClock())

    def disabled(rpc, carry_out):
        response = carry_out()
        if rpc.method == "GetQueue":
            response.state = types.Queue.State.DISABLED
        return response

    api = tasks_api(Channels(tasks=lambda: LocalChannel(intercepted(server.service, disabled))))
    queue = CloudTasksQueue("p", "l", lambda: api)
    queue.create([CALLBACK])
    assert QueueState.DISABLED is queue.state("default")
    server.close()


def test_a_task_waits_runs_and_fails(local):
    """Not dispatched; dispatched and not answered; answered with an error; dispatched again."""
    local.queue.create([CALLBACK])
    assert TaskState.WAITING is local.look()
    attempt = local.server.lease()
    assert TaskState.RUNNING is local.look()
    local.server.finish(attempt, Response(500))
    assert TaskState.FAILING is local.look()
    local.clock.sleep(3600)
    local.server.lease()
    assert TaskState.FAILING is local.look()


def test_attempts_without_an_answer_are_failures(local):
    """From the second on: what was never answered counts no response."""
    local.queue.create([CALLBACK])
    for _ in range(2):
        local.clock.sleep(3600)
        local.server.finish(local.server.lease(), None)
    assert TaskState.FAILING is local.look()


def test_a_task_that_is_scheduled_waits(local):
    """Its time has not come."""
    local.queue.create([replace(CALLBACK, due=local.clock.now + 3600)])
    assert TaskState.WAITING is local.look()


@pytest.mark.parametrize("end", ["success", "delete", "purge"])
def test_a_task_is_gone_while_its_name_is_taken_and_absent_after_that(local, end):
    """Cloud Tasks remembers for a day that there was one."""
    local.queue.create([CALLBACK])
    if end == "success":
        local.server.finish(local.server.lease(), Response(200))
    elif end == "delete":
        local.api.delete_task(name=f"{QUEUE}/tasks/{NAME}")
    else:
        local.api.purge_queue(name=QUEUE)
    assert TaskState.GONE is local.look()
    local.clock.sleep(24 * 3600 + 1)
    assert TaskState.ABSENT is local.look()


def test_a_task_that_never_was_is_absent(local):
    """On a queue that is there, and on one that is not."""
    assert TaskState.ABSENT is local.look()
    local.queue.create([CALLBACK])
    assert TaskState.ABSENT is local.queue.look_at("default", "another")


def test_the_body_of_a_task_is_not_asked_for(local):
    """It may be large."""
    local.queue.create([CALLBACK])
    local.look()
    request = local.requests[-1].request
    assert ("GetTask", types.Task.View.BASIC) == (local.requests[-1].method, request.response_view)


def test_what_is_unavailable_is_asked_for_again(local):
    """A few times, and then it is an error; it never looks like a task that is not there."""
    local.queue.create([CALLBACK])
    local.errors = [grpc.StatusCode.UNAVAILABLE] * 2
    assert TaskState.WAITING is local.look()
    local.errors = [grpc.StatusCode.UNAVAILABLE] * 10
    with pytest.raises(UnavailableError):
        local.look()
    local.errors = [grpc.StatusCode.UNAVAILABLE] * 10
    with pytest.raises(UnavailableError):
        local.queue.state("default")


@pytest.mark.parametrize("code", [grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION])
def test_only_not_found_means_that_nothing_is_there(local, code):
    """An answer that is none must not make a step run twice."""
    local.queue.create([CALLBACK])
    for look in (local.look, lambda: local.queue.state("default")):
        local.errors = [code]
        with pytest.raises(UnavailableError):
            look()


def test_what_is_not_permitted_is_refused(local):
    """With the words of the service."""
    local.queue.create([CALLBACK])
    for look in (local.look, lambda: local.queue.state("default")):
        local.errors = [grpc.StatusCode.PERMISSION_DENIED]
        with pytest.raises(RefusedError, match="injected"):
            look()
    with pytest.raises(RefusedError):
        local.queue.state("no/queue")
