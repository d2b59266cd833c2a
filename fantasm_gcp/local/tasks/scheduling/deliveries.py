"""A delivery: the request that one attempt sends, with exactly the headers that the real service sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fantasm_gcp.local.tasks.configuration.http_target import resolve_call
from fantasm_gcp.local.tasks.configuration.request_rules import METHODS
from fantasm_gcp.local.tasks.configuration.tokens import Token
from fantasm_gcp.local.tasks.messages import AppEngineRouting
from fantasm_gcp.local.tasks.scheduling.faults import Fault
from fantasm_gcp.local.tasks.storage.store import NO_ANSWER, UNANSWERED, TaskRow
from fantasm_gcp.local.tasks.times import render_eta


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request to a worker.

    ``service`` is None for an HTTP target, whose ``url`` is whole. For an App Engine target it is the service
    ("default" when the task names none), ``url`` is the URL from its path on, and whoever delivers knows the
    base; ``version`` and ``instance`` are empty unless the task is for a certain one, and ``host`` is the
    host it has on App Engine. ``deadline`` is in seconds. ``token`` is what the header Authorization is to
    prove: it is valid for an hour only, so whoever delivers has it signed then.
    """

    task: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    deadline: float
    service: str | None = None
    host: str = ""
    version: str = ""
    instance: str = ""
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What a worker answered; 200 to 299 is success, anything else a failure."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Deliver: TypeAlias = Callable[[Delivery], Response | None]
"""Sends a delivery; None means that there was no answer in time, an exception that it did not get through."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a task, in flight from ``lease`` to ``finish``.

    ``id`` is its own among all attempts of a server, ``seq`` the task's among all tasks of its file.
    ``number`` counts the task's attempts from 0, and ``begun`` is when it began, in seconds. ``forced`` says
    that it did not wait for its time: RunTask, or a lease by force. ``fault`` is how it fails on purpose:
    ``finish`` sees to the answer, whoever delivers only leaves out a delivery that ``calls_worker`` denies.
    """

    id: int
    seq: int
    task: str
    number: int
    begun: float
    forced: bool
    delivery: Delivery
    fault: Fault | None = None

    @property
    def calls_worker(self) -> bool:
        """Whether the delivery is sent at all: a fault may say that it does not reach the worker."""
        return self.fault is None or self.fault.reach


def build_delivery(row: TaskRow, task: Any, queue: Any) -> Delivery:
    """The delivery of the attempt that follows what ``row`` has seen; ``task`` is its stored message."""
    deadline = task.dispatch_deadline.seconds + task.dispatch_deadline.nanos / 1e9
    if task.WhichOneof("message_type") == "http_request":
        call = resolve_call(task.http_request, queue)
        return Delivery(
            task=row.name,
            method=call.method,
            url=call.url,
            headers={**call.headers, **_task_headers("X-CloudTasks-", row, "504", "", "")},
            body=call.body,
            deadline=deadline,
            token=call.token,
        )
    request = task.app_engine_http_request
    routing = _routing(request, queue)
    reasons = ("0", "Instance Unavailable", "App Error")
    return Delivery(
        task=row.name,
        method=METHODS[request.http_method],
        url=request.relative_uri,
        headers={**dict(sorted(request.headers.items())), **_task_headers("X-AppEngine-", row, *reasons)},
        body=request.body,
        deadline=deadline,
        service=routing.service or "default",
        host=routing.host,
        version=routing.version,
        instance=routing.instance,
    )


def count_execution(executions: int, status: int, app_engine: bool) -> int:
    """The count of the header TaskExecutionCount after one more failed attempt.

    App Engine targets count every answer; HTTP targets leave out 5xx. No answer counts in neither.
    """
    counts = status not in UNANSWERED and (app_engine or not 500 <= status <= 599)
    return executions + counts


def _routing(request: Any, queue: Any) -> Any:
    if queue.HasField("app_engine_routing_override"):
        return queue.app_engine_routing_override
    return request.app_engine_routing if request.HasField("app_engine_routing") else AppEngineRouting()


def _task_headers(
    prefix: str, row: TaskRow, unanswered: str, unanswered_reason: str, answered_reason: str
) -> dict[str, str]:
    queue, _, task = row.name.rpartition("/tasks/")
    headers = {
        f"{prefix}QueueName": queue.rpartition("/")[2],
        f"{prefix}TaskName": task,
        f"{prefix}TaskRetryCount": str(row.dispatches),
        f"{prefix}TaskExecutionCount": str(row.executions),
        f"{prefix}TaskETA": render_eta(row.due),
    }
    if row.previous is not None:
        late, unheard = row.previous == NO_ANSWER, row.previous in UNANSWERED
        headers[f"{prefix}TaskPreviousResponse"] = unanswered if late else str(row.previous)
        headers[f"{prefix}TaskRetryReason"] = unanswered_reason if unheard else answered_reason
    return headers
