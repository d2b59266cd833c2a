"""The HTTP face of a step: the URL, headers and body of its Cloud Tasks task.

The step's row is the truth; what a task shows of the context is for people who read logs and the Cloud
Console, up to a limit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from fantasm_gcp.core.carried import carry
from fantasm_gcp.core.definition import AT_LEAST_ONCE, RetryPolicy
from fantasm_gcp.core.names import task_name
from fantasm_gcp.core.records import Role, Task
from fantasm_gcp.core.traces import headers_of

STEP_HEADER = "X-Fantasm-Step"
EPOCH_HEADER = "X-Fantasm-Epoch"
INSTANCE_HEADER = "X-Fantasm-Instance"
PENDING_HEADER = "X-Fantasm-Pending"

PENDING_WAIT = 1.0
"""Seconds that the task of a transactional start waits at least: most transactions have committed by then."""

URL_LIMIT = 2000
"""Longest URL made for a GET task; Cloud Tasks takes 2,083 characters with the host."""


@dataclass(frozen=True, slots=True)
class Callback:
    """One task to be created: its short name, queue, and the request it makes. ``due``: epoch seconds."""

    name: str
    queue: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    due: float | None
    retry: RetryPolicy
    target: str | None = None
    """An App Engine service, as ``core.definition.Transition`` has it."""
    queue_gives_up: bool = False
    """Whether the queue counts the attempts; else the engine does, and the queue goes on for ever."""


def callback_of(
    task: Task, retry: RetryPolicy, guarantee: str, root: str, inline_limit: int, now: float
) -> Callback:
    """The task of a step. ``root`` is the URL prefix that the steps are served under.

    Raises ``ContextTooLargeError`` where the task has to carry its context and it does not fit.
    """
    step = task.step
    url = f"{root}/fsm/{step.machine}/{step.state}/{step.event}/{step.target}/"
    own = {INSTANCE_HEADER: step.instance, STEP_HEADER: step.name, EPOCH_HEADER: str(task.epoch)}
    headers = dict(task.headers) | own | headers_of(task.trace)
    context = task.context if task.role is Role.ACTION and len(task.context) <= inline_limit else b"{}"
    body = b""
    if task.method == "POST":
        headers["Content-Type"] = "application/json"
        body = context
    else:
        url = _with_context(url, context)
    if guarantee == AT_LEAST_ONCE:
        carrying, body = carry(task)
        headers |= carrying
    return Callback(
        name=task_name(step.name, task.epoch),
        queue=task.queue,
        method=task.method,
        url=url,
        headers=headers,
        body=body,
        due=task.due if task.due > now else None,
        retry=retry,
        target=_routing(task),
        queue_gives_up=guarantee == AT_LEAST_ONCE,
    )


def _routing(task: Task) -> str | None:
    """Where a task goes: to the version that its instance is pinned to, but for those of other services."""
    if task.pinned is None:
        return task.target
    service = task.pinned.partition(".")[2]
    return task.pinned if task.target in (None, service) else task.target


def waiting_for_commit(callback: Callback, pending: float) -> Callback:
    """The task of a step that is there once its starter's transaction commits: by ``pending``, or never."""
    return replace(callback, headers={**callback.headers, PENDING_HEADER: f"{pending:.0f}"})


def _with_context(url: str, context: bytes) -> str:
    """A URL that shows the context, where that does not make it too long."""
    if len(context) > URL_LIMIT:
        return url
    query = query_of(json.loads(context))
    return f"{url}?{query}" if query and len(url) + len(query) < URL_LIMIT else url


def query_of(context: Mapping[str, Any]) -> str:
    """A context, as the JSON that it lies in, as a query string to read: text as it is, the rest as JSON."""
    shown = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in context.items()
    }
    return urlencode(shown, quote_via=quote, errors="replace")
