"""Creating tasks in Cloud Tasks."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from google.cloud.tasks_v2 import BatchCreateTasksMetadata, BatchDeleteTasksMetadata, CloudTasksClient, types
from google.rpc.code_pb2 import ALREADY_EXISTS, NOT_FOUND

from fantasm_gcp.core.callback import Callback
from fantasm_gcp.core.definition import DEFAULT_QUEUE, RetryPolicy
from fantasm_gcp.engine.ports import QueueState, TaskState
from fantasm_gcp.errors import (
    AlreadyExistsError,
    ConflictError,
    RefusedError,
    SettingsError,
    UnavailableError,
)
from fantasm_gcp.gateways.looking import queue_state, task_state
from fantasm_gcp.gateways.vendor_errors import Sleep, repeat
from fantasm_gcp.settings import Settings

TaskPb = types.Task.pb()
CreateRequest = types.CreateTaskRequest.pb()
BatchRequest = types.BatchCreateTasksRequest.pb()
DeleteRequest = types.DeleteTaskRequest.pb()
BatchDeleteRequest = types.BatchDeleteTasksRequest.pb()

BATCH = 100
"""Most tasks that one request creates."""

DELETED = 1000
"""Most tasks that one request deletes."""

TIMEOUT = 20.0
UNLIMITED = -1
_METHODS = {"GET": types.HttpMethod.GET, "POST": types.HttpMethod.POST}
DEFAULT_MIN_BACKOFF = 0.1
DEFAULT_MAX_BACKOFF = 3600.0
DEFAULT_MAX_DOUBLINGS = 16

URL_LIMIT = 2083
"""Longest URL of an HTTP target, in characters (``HttpRequest.url`` in the API reference)."""

HTTP_DEADLINE = 30 * 60
"""Seconds that a URL has to answer: the most there is. What serves the URL has a limit of its own, which the
step is to have in full; without this it would be cut off after ten minutes."""


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """Where tasks go that App Engine does not deliver: to paths under ``url``, which ends without a slash.

    Cloud Tasks shows an ID token of ``service_account`` for ``audience``; without an account it shows none,
    which is for local servers.
    """

    url: str
    service_account: str = ""
    audience: str = ""

    @classmethod
    def of(cls, settings: Settings) -> HttpTarget | None:
        """The target that completed settings name; None where App Engine delivers.

        Raises ``SettingsError`` where the tasks would prove nothing and be refused.
        """
        if settings.has_app_engine_target:
            return None
        if not settings.service_account and not settings.is_local:
            raise SettingsError(
                f"tasks go to {settings.target}, which takes only those that prove who sends them: "
                "set FANTASM_SERVICE_ACCOUNT to the account they come from"
            )
        return cls(settings.target, settings.service_account, settings.audience)


class CloudTasksQueue:
    """Implements ``engine.ports.Queue``, with App Engine targets or an HTTP target.

    ``default`` is the queue that is used in the place of the one called default, ``service`` the App Engine
    service of tasks that name none; empty is App Engine's own default.
    """

    def __init__(
        self,
        project: str,
        location: str,
        api: Callable[[], CloudTasksClient],
        sleep: Sleep = time.sleep,
        target: HttpTarget | None = None,
        default: str = DEFAULT_QUEUE,
        service: str = "",
    ) -> None:
        self._parent = f"projects/{project}/locations/{location}/queues"
        self._default = default
        self._service = service
        self._api = api
        self._sleep = sleep
        self._target = target

    def _path(self, queue: str) -> str:
        return f"{self._parent}/{self._default if queue == DEFAULT_QUEUE else queue}"

    def create(self, callbacks: Sequence[Callback]) -> None:
        queues = defaultdict(list)
        for each in callbacks:
            queues[each.queue].append(each)
        for queue, tasks in queues.items():
            parent = self._path(queue)
            if len(tasks) == 1:
                self._create_one(parent, tasks[0])
            else:
                for i in range(0, len(tasks), BATCH):
                    self._create_batch(parent, tasks[i : i + BATCH])

    def delete(self, queue: str, names: Sequence[str]) -> None:
        parent = self._path(queue)
        for i in range(0, len(names), DELETED):
            full = [f"{parent}/tasks/{name}" for name in names[i : i + DELETED]]
            if len(full) == 1:
                self._delete_one(full[0])
            else:
                self._delete_batch(parent, full)

    def _delete_one(self, name: str) -> None:
        request = types.DeleteTaskRequest.wrap(DeleteRequest(name=name))
        with suppress(ConflictError):  # it is not there: what was wanted
            repeat(lambda: self._api().delete_task(request=request, retry=None, timeout=TIMEOUT), self._sleep)

    def _delete_batch(self, parent: str, names: Sequence[str]) -> None:
        request = types.BatchDeleteTasksRequest.wrap(BatchDeleteRequest(parent=parent, names=names))
        operation = self._send(
            parent, lambda: self._api().batch_delete_tasks(request=request, retry=None, timeout=TIMEOUT)
        )
        metadata = BatchDeleteTasksMetadata.pb(operation.metadata)
        for index, status in metadata.failed_requests.items():
            if status.code != NOT_FOUND:
                raise UnavailableError(f"task {names[index]} was not deleted: {status.message}")

    def state(self, queue: str) -> QueueState:
        return queue_state(self._api(), self._path(queue), self._sleep)

    def look_at(self, queue: str, name: str) -> TaskState:
        return task_state(self._api(), f"{self._path(queue)}/tasks/{name}", self._sleep)

    def _task(self, parent: str, callback: Callback) -> Any:
        return task_pb(parent, callback, self._target, self._service)

    def _create_one(self, parent: str, callback: Callback) -> None:
        request = CreateRequest(parent=parent, task=self._task(parent, callback))
        wrapped = types.CreateTaskRequest.wrap(request)
        try:
            self._send(parent, lambda: self._api().create_task(request=wrapped, retry=None, timeout=TIMEOUT))
        except AlreadyExistsError:
            return  # created before, by an earlier attempt or another delivery: what was wanted

    def _create_batch(self, parent: str, callbacks: Sequence[Callback]) -> None:
        requests = [CreateRequest(parent=parent, task=self._task(parent, each)) for each in callbacks]
        wrapped = types.BatchCreateTasksRequest.wrap(BatchRequest(parent=parent, requests=requests))
        operation = self._send(
            parent, lambda: self._api().batch_create_tasks(request=wrapped, retry=None, timeout=TIMEOUT)
        )
        metadata = BatchCreateTasksMetadata.pb(operation.metadata)
        for index, status in metadata.failed_requests.items():
            if status.code != ALREADY_EXISTS:
                raise UnavailableError(f"task {callbacks[index].name} was not created: {status.message}")
        answer = operation.operation
        if not answer.done or (answer.HasField("error") and not metadata.failed_requests):
            raise UnavailableError(f"it is not known whether {len(callbacks)} tasks were created")

    def _send(self, parent: str, request: Callable[[], Any]) -> Any:
        try:
            return repeat(request, self._sleep)
        except ConflictError as error:
            queue = parent.rpartition("/")[2]
            raise RefusedError(
                f"queue {queue!r} is not there or not ready ({error}); "
                f"make it with: gcloud tasks queues create {queue}"
            ) from error


def task_pb(parent: str, callback: Callback, target: HttpTarget | None = None, service: str = "") -> Any:
    """The task message of a callback."""
    task = TaskPb(name=f"{parent}/tasks/{callback.name}")
    if target is None:
        request = task.app_engine_http_request
        request.relative_uri = callback.url
        if callback.target or service:
            _fill_routing(request.app_engine_routing, callback.target or service)
    else:
        request = task.http_request
        request.url = _url(target, callback)
        if target.service_account:
            request.oidc_token.service_account_email = target.service_account
            request.oidc_token.audience = target.audience
        _fill_seconds(task.dispatch_deadline, HTTP_DEADLINE)
    request.http_method = _METHODS[callback.method]
    request.headers.update(callback.headers)
    request.body = callback.body
    if callback.due is not None:
        _fill_seconds(task.schedule_time, callback.due)
    _fill_retry(task.retry_config, callback.retry, callback.queue_gives_up)
    return task


def _url(target: HttpTarget, callback: Callback) -> str:
    """The whole URL; without its query, which only shows the context to people, where it is too long."""
    url = target.url + callback.url
    return url if len(url) <= URL_LIMIT else url.partition("?")[0]


def _fill_routing(routing: Any, target: str) -> None:
    """``service``, ``version.service`` or ``instance.version.service``."""
    service, *narrower = reversed(target.split("."))
    routing.service = service
    for name, value in zip(("version", "instance"), narrower, strict=False):
        setattr(routing, name, value)


def _fill_retry(config: Any, retry: RetryPolicy, queue_gives_up: bool) -> None:
    """Where the engine gives up, attempts are unlimited in the queue, whatever the queue's own limit is."""
    config.max_attempts = UNLIMITED
    if queue_gives_up:
        if retry.task_retry_limit is not None:
            config.max_attempts = retry.task_retry_limit + 1
        if retry.task_age_limit is not None:
            _fill_seconds(config.max_retry_duration, retry.task_age_limit)
    low = DEFAULT_MIN_BACKOFF if retry.min_backoff_seconds is None else retry.min_backoff_seconds
    high = DEFAULT_MAX_BACKOFF if retry.max_backoff_seconds is None else retry.max_backoff_seconds
    _fill_seconds(config.min_backoff, min(low, high))
    _fill_seconds(config.max_backoff, max(low, high))
    config.max_doublings = DEFAULT_MAX_DOUBLINGS if retry.max_doublings is None else retry.max_doublings


def _fill_seconds(message: Any, seconds: float) -> None:
    whole = math.floor(seconds)
    message.seconds = whole
    message.nanos = min(round((seconds - whole) * 1e6), 999_999) * 1000
