"""Short names of queues and tasks, as people write them in paths: resolved to full ones."""

from __future__ import annotations

from werkzeug.exceptions import Conflict, NotFound

from fantasm_gcp.local.tasks import TasksServer

_FULL = "projects/"
_MOST_NAMED = 5


def resolve_queue(server: TasksServer, name: str) -> str:
    """The full name of a queue from itself or from its id alone.

    Raises ``NotFound`` for an id that no queue has, and ``Conflict`` when several have it; whether a queue of
    a full name is there is not looked at.
    """
    if name.startswith(_FULL):
        return name
    names = server.queue_names()
    found = [each for each in names if each.endswith(f"/queues/{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise Conflict(f"Several queues have the id {name!r}: name one in full, for example {found[0]}.")
    known = ", ".join(each.rpartition("/")[2] for each in names[:_MOST_NAMED])
    more = ", …" if len(names) > _MOST_NAMED else ""
    there = f"There are {known}{more}." if names else "There is no queue at all yet."
    raise NotFound(f"No queue has the id {name[:100]!r}. {there} A queue may be named in full, too.")


def resolve_task(server: TasksServer, name: str) -> str:
    """The full name of a task from itself or from ``queue id/task id``; raises as :func:`resolve_queue`."""
    if name.startswith(_FULL):
        return name
    queue, slash, task = name.partition("/")
    if not slash:
        raise NotFound(f"{name[:100]!r} names no task: write QUEUE/TASK, or the full name of the task.")
    return f"{resolve_queue(server, queue)}/tasks/{task}"


def short_queue(name: str) -> str:
    """A queue's own id."""
    return name.rpartition("/")[2]


def location_of(queue: str) -> str:
    """The project and the location of a queue."""
    return queue.rpartition("/queues/")[0]


def short_task(name: str) -> str:
    """A task as ``queue id/task id``."""
    queue, _, task = name.rpartition("/tasks/")
    return f"{short_queue(queue)}/{task}"
