"""The engine's queue on the local Cloud Tasks: what is created, what is left alone, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fantasm_gcp.core.callback import Callback
from fantasm_gcp.core.definition import RetryPolicy
from fantasm_gcp.errors import RefusedError, UnavailableError
from fantasm_gcp.gateways.clients import Channels, tasks_api
from fantasm_gcp.gateways.cloud_tasks import CloudTasksQueue
from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.testing import Rpc, VirtualClock, intercepted

CALLBACK = Callback(
    name="hash-step",
    queue="default",
    method="POST",
    url="/fantasm/fsm/M/a/e/b/",
    headers={"X-Fantasm-Step": "hash-step"},
    body=b"{}",
    due=None,
    retry=RetryPolicy(),
)


class Local:
    """A queue on a server of its own, and the requests that reached it."""

    def __init__(self, **options):
        self.clock = VirtualClock()
        self.server = TasksServer(clock=self.clock, **options)
        self.seen: list[Rpc] = []
        service = intercepted(self.server.service, lambda rpc, carry_out: self._around(rpc, carry_out))
        api = tasks_api(Channels(tasks=lambda: LocalChannel(service)))
        self.api = api
        self.queue = CloudTasksQueue("p", "l", lambda: api, sleep=self.clock.sleep)

    def _around(self, rpc, carry_out):
        self.seen.append(rpc)
        return carry_out()

    def task(self, name="hash-step", queue="default"):
        return self.api.get_task(name=f"projects/p/locations/l/queues/{queue}/tasks/{name}", retry=None)


@pytest.fixture
def local():
    made = Local()
    yield made
    made.server.close()


@pytest.mark.fantasm(136)
def test_a_task_is_an_app_engine_request_with_its_own_retry_policy(local):
    """The engine gives up, so the queue never does; backoff is the transition's."""
    retry = RetryPolicy(task_retry_limit=3, min_backoff_seconds=10, max_backoff_seconds=300, max_doublings=3)
    local.queue.create([replace(CALLBACK, retry=retry, due=local.clock.now + 90.5)])
    task = local.task()
    assert "/fantasm/fsm/M/a/e/b/" == task.app_engine_http_request.relative_uri
    assert "hash-step" == task.app_engine_http_request.headers["X-Fantasm-Step"]
    assert -1 == task.retry_config.max_attempts
    assert (10, 300, 3) == (
        task.retry_config.min_backoff.total_seconds(),
        task.retry_config.max_backoff.total_seconds(),
        task.retry_config.max_doublings,
    )
    assert local.clock.now + 90.5 == task.schedule_time.timestamp()


@pytest.mark.fantasm(136)
def test_a_step_without_records_is_given_up_by_the_queue(local):
    """A limit of three retries is four attempts there."""
    retry = RetryPolicy(task_retry_limit=3, task_age_limit=60)
    local.queue.create([replace(CALLBACK, retry=retry, queue_gives_up=True)])
    config = local.task().retry_config
    assert (4, 60) == (config.max_attempts, config.max_retry_duration.total_seconds())


def test_creating_again_is_creating_once(local):
    """Alone and among others; a name stays taken after its task has run."""
    local.queue.create([CALLBACK])
    local.queue.create([CALLBACK])
    local.server.finish(local.server.lease(), None)
    local.queue.create([CALLBACK, replace(CALLBACK, name="other")])
    assert 2 == local.server.depth()


def test_many_tasks_are_created_in_batches_by_queue(local):
    """A hundred to a request; each to its queue."""
    callbacks = [replace(CALLBACK, name=f"n{i}", queue=("a", "b")[i % 2]) for i in range(250)]
    local.queue.create(callbacks)
    queues = (f"projects/p/locations/l/queues/{each}" for each in "ab")
    assert [125, 125] == [local.server.depth(each) for each in queues]
    assert [100, 25] * 2 == [len(each.request.requests) for each in local.seen]


def test_a_batch_that_is_not_done_is_not_taken_for_created(local):
    """Whoever answers 2xx has seen every next task created."""
    around = local._around

    def undone(rpc, carry_out):
        response = around(rpc, carry_out)
        response.done = False
        return response

    local._around = undone
    with pytest.raises(UnavailableError, match="not known"):
        local.queue.create([CALLBACK, replace(CALLBACK, name="other")])


def test_nothing_to_create_is_no_request(local):
    """An end of a branch enqueues nothing."""
    local.queue.create([])
    assert [] == local.seen


def test_a_missing_queue_says_how_to_make_it():
    """Alone and in a batch."""
    local = Local(create_queues=False)
    for callbacks in ([CALLBACK], [CALLBACK, replace(CALLBACK, name="other")]):
        with pytest.raises(RefusedError, match="gcloud tasks queues create default"):
            local.queue.create(callbacks)
    local.server.close()
