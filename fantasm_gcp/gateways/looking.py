"""Looking at queues and tasks: what Cloud Tasks says of them, and what that means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.api_core import exceptions as vendor
from google.cloud.tasks_v2 import CloudTasksClient, types

from fantasm_gcp.engine.ports import QueueState, TaskState
from fantasm_gcp.errors import ConflictError, UnavailableError
from fantasm_gcp.gateways.vendor_errors import Sleep, repeat

T = TypeVar("T")
TIMEOUT = 20.0
RECENTLY = "existed recently"
"""What Cloud Tasks says of a task that is no more, while its name is not free yet."""

GetTask = types.GetTaskRequest.pb()
GetQueue = types.GetQueueRequest.pb()
_STATES = {
    types.Queue.State.PAUSED: QueueState.PAUSED,
    types.Queue.State.DISABLED: QueueState.DISABLED,
}


def queue_state(api: CloudTasksClient, name: str, sleep: Sleep) -> QueueState:
    """What the queue of a full name does. Needs the permission ``cloudtasks.queues.get``."""
    request = types.GetQueueRequest.wrap(GetQueue(name=name))
    queue, _ = _found(lambda: api.get_queue(request=request, retry=None, timeout=TIMEOUT), sleep)
    return QueueState.MISSING if queue is None else _STATES.get(queue.state, QueueState.RUNNING)


def task_state(api: CloudTasksClient, name: str, sleep: Sleep) -> TaskState:
    """What has become of the task of a full name. Needs the permission ``cloudtasks.tasks.get``."""
    request = types.GetTaskRequest.wrap(GetTask(name=name, response_view=types.Task.View.BASIC))
    task, message = _found(lambda: api.get_task(request=request, retry=None, timeout=TIMEOUT), sleep)
    if task is None:
        return TaskState.GONE if RECENTLY in message else TaskState.ABSENT
    return _of(types.Task.pb(task))


def _of(task: Any) -> TaskState:
    """Attempts without an answer are no responses: more dispatches than one tell that there were some."""
    if not task.dispatch_count:
        return TaskState.WAITING
    return TaskState.FAILING if task.response_count or task.dispatch_count > 1 else TaskState.RUNNING


def _found(request: Callable[[], T], sleep: Sleep) -> tuple[T | None, str]:
    """What a request answers; None, and the words for it, where there is nothing of that name."""
    try:
        return repeat(request, sleep), ""
    except ConflictError as error:
        if isinstance(error.__cause__, vendor.NotFound):
            return None, str(error)
        raise UnavailableError(str(error)) from error
