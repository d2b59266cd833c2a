"""A stored task as the API shows it: with its attempts, and with or without its body."""

from __future__ import annotations

from typing import Any

from fantasm_gcp.local.tasks.messages import BASIC, FULL, Task
from fantasm_gcp.local.tasks.storage.store import NO_ANSWER, TaskRow
from fantasm_gcp.local.tasks.times import fill

_UNKNOWN = (2, "UNKNOWN")
_LATE = 504
"""How an attempt without an answer in time shows, for either kind of target."""

# As Google's front ends turn the status of HTTP into a code; recordings of the service have it for 0 (not
# reached), 405, 500 and 504.
_OF_CLASS = {4: (9, "FAILED_PRECONDITION"), 5: (13, "INTERNAL")}
_CODES = {
    400: (3, "INVALID_ARGUMENT"),
    401: (16, "UNAUTHENTICATED"),
    403: (7, "PERMISSION_DENIED"),
    404: (5, "NOT_FOUND"),
    409: (10, "ABORTED"),
    416: (11, "OUT_OF_RANGE"),
    429: (8, "RESOURCE_EXHAUSTED"),
    499: (1, "CANCELLED"),
    501: (12, "UNIMPLEMENTED"),
    503: (14, "UNAVAILABLE"),
    504: (4, "DEADLINE_EXCEEDED"),
}


def show_new_task(task: Any, view: int) -> Any:
    """The stored message of a task that has just been created, turned into the answer."""
    return _restrict(task, view)


def show_task(row: TaskRow, view: int) -> Any:
    """The message of a stored task; unless FULL is asked for, the view is BASIC and has no body."""
    task = Task.FromString(row.task)
    fill(task.schedule_time, row.due)
    task.dispatch_count = row.dispatches
    task.response_count = row.responses
    if row.first_dispatch is not None:
        fill(task.first_attempt.dispatch_time, row.first_dispatch)
    if row.last_schedule is not None and row.last_dispatch is not None:
        fill(task.last_attempt.schedule_time, row.last_schedule)
        fill(task.last_attempt.dispatch_time, row.last_dispatch)
    if row.last_response is not None and row.previous is not None:
        fill(task.last_attempt.response_time, row.last_response)
        _fill_status(task.last_attempt.response_status, row.previous)
    return _restrict(task, view)


def _restrict(task: Any, view: int) -> Any:
    task.view = FULL if view == FULL else BASIC
    if task.view == BASIC:
        target = task.WhichOneof("message_type")
        getattr(task, target).ClearField("body")
    return task


def _fill_status(status: Any, previous: int) -> None:
    shown = _LATE if previous == NO_ANSWER else previous
    status.code, name = _CODES.get(shown) or _OF_CLASS.get(shown // 100, _UNKNOWN)
    status.message = f"{name}({status.code}): HTTP status code {shown}"
