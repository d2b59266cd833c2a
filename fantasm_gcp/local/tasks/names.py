"""Resource names of queues and tasks: parsed, or refused in the words of the real service."""

from __future__ import annotations

import re
from functools import lru_cache

from fantasm_gcp.local.tasks import refusals

_LOCATION = re.compile(r"projects/[A-Za-z0-9:.-]+/locations/[A-Za-z0-9-]+")
_QUEUE = re.compile(r"(projects/([A-Za-z0-9:.-]+)/locations/[A-Za-z0-9-]+)/queues/([A-Za-z0-9-]{1,100})")
_TASK = re.compile(r"(projects/[^/]+/locations/[^/]+/queues/[^/]+)/tasks/(.*)", re.DOTALL)
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")


@lru_cache(maxsize=1024)
def parse_queue(name: str) -> tuple[str, str, str]:
    """A queue's name as its location's name, its project id and its own id.

    Raises ``RpcError`` INVALID_ARGUMENT when it is no queue's name.
    """
    match = _QUEUE.fullmatch(name)
    if match is None:
        raise refusals.invalid(refusals.QUEUE_FORMAT, refusals.QUEUE_HELP)
    return match[1], match[2], match[3]


def parse_task(name: str) -> tuple[str, str]:
    """A task's name as its queue's name and its own id.

    Raises ``RpcError`` INVALID_ARGUMENT when it is no task's name, or its id is not allowed.
    """
    match = _TASK.fullmatch(name)
    if match is None:
        raise refusals.invalid(refusals.TASK_FORMAT)
    queue, task_id = match[1], match[2]
    parse_queue(queue)
    if _TASK_ID.fullmatch(task_id) is None:
        raise refusals.invalid(
            f'Task ID "{task_id}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), '
            "or underscores (_). Task ID must between 1 and 500 characters.",
            refusals.TASK_HELP,
        )
    return queue, task_id


def check_location(name: str) -> None:
    """Raises ``RpcError`` INVALID_ARGUMENT when ``name`` is no location's name."""
    if _LOCATION.fullmatch(name) is None:
        raise refusals.invalid(refusals.PARENT_FORMAT)
