"""The methods of the API that are about single tasks."""

from __future__ import annotations

import os
from typing import Any

from google.protobuf.empty_pb2 import Empty

from fantasm_gcp.local.rpc import Method, RpcError
from fantasm_gcp.local.tasks import messages, refusals
from fantasm_gcp.local.tasks.configuration.task_config import complete_task
from fantasm_gcp.local.tasks.methods.pages import parse_page_size, parse_token, render_token
from fantasm_gcp.local.tasks.methods.task_view import show_new_task, show_task
from fantasm_gcp.local.tasks.names import parse_queue, parse_task
from fantasm_gcp.local.tasks.scheduling.schedule import Schedule
from fantasm_gcp.local.tasks.scheduling.state import LiveQueue, State
from fantasm_gcp.local.tasks.storage.store import TaskRow

_MOST_TASKS = 1000
_MOST_FULL_BYTES = 3 * 1024 * 1024  # a page that clients with gRPC's own limit, 4 MiB, can take
_MOST_READ_BYTES = 32 * 1024 * 1024  # bodies that are read and not shown
_MOST_DIGITS = 18  # of a number that SQLite can hold


class TaskMethods:
    """CreateTask to RunTask; each raises ``RpcError`` as the real service would refuse."""

    def __init__(self, state: State, schedule: Schedule) -> None:
        self._state = state
        self._schedule = schedule

    def methods(self) -> dict[str, Method]:
        """The methods by their names in the API."""
        task = messages.Task
        return {
            "ListTasks": Method(messages.ListTasksRequest, messages.ListTasksResponse, self.list_tasks),
            "GetTask": Method(messages.GetTaskRequest, task, self.get_task),
            "CreateTask": Method(messages.CreateTaskRequest, task, self.create_task),
            "DeleteTask": Method(messages.DeleteTaskRequest, Empty, self.delete_task),
            "RunTask": Method(messages.RunTaskRequest, task, self.run_task),
        }

    def list_tasks(self, request: Any) -> Any:
        """The tasks of a queue, page by page, in the order of their creation; large ones fewer at a time."""
        size = parse_page_size(request.page_size, _MOST_TASKS)
        with self._state.call() as now:
            last = parse_token(request.parent, request.page_token, now)
            queue = self._state.queue(request.parent)
            most = _MOST_FULL_BYTES if request.response_view == messages.FULL else _MOST_READ_BYTES
            rows, more = self._state.store.page(queue.number, _parse_number(last), size, most)
        token = render_token(request.parent, str(rows[-1].seq), now) if more else ""
        tasks = [show_task(row, request.response_view) for row in rows]
        return messages.ListTasksResponse(tasks=tasks, next_page_token=token)

    def get_task(self, request: Any) -> Any:
        """A task by its name."""
        with self._state.call() as now:
            return show_task(self.existing(request.name, now), request.response_view)

    def create_task(self, request: Any) -> Any:
        """Creates a task; refused while its name is taken, or was until a short while ago."""
        parse_queue(request.parent)
        name = choose_name(request)
        with self._state.call() as now:
            stored, due = complete_task(_asked(request), name, request.parent, now)
            queue = self._state.queue_for_tasks(request.parent, now)
            self.add(queue, stored, due, now)
            self._state.changed.notify_all()
        return show_new_task(stored, request.response_view)

    def delete_task(self, request: Any) -> Any:
        """Deletes a task, in flight or not; its name stays taken for a while."""
        with self._state.call() as now:
            self._state.remove_task(self.existing(request.name, now), now)
        return Empty()

    def run_task(self, request: Any) -> Any:
        """Begins an attempt at once, whatever the schedule, the limits and other attempts say."""
        with self._state.call() as now:
            self._schedule.begin_by_request(self.existing(request.name, now), now)
            self._state.changed.notify_all()
            return show_task(self.existing(request.name, now), request.response_view)

    def existing(self, name: str, now: int) -> TaskRow:
        """The task of that name, with the lock held; NOT_FOUND in words that tell what is missing."""
        queue, _ = parse_task(name)
        row = self._state.store.task(name)
        if row is not None:
            return row
        self._state.queue(queue)
        recent = self._state.store.buried(name, now)
        raise refusals.not_found(refusals.TASK_GONE if recent else refusals.ENTITY_NOT_FOUND)

    def add(self, queue: LiveQueue, stored: Any, due: int, now: int) -> None:
        """Stores a task, with the lock held; ALREADY_EXISTS when its name is not free."""
        name = stored.name
        store = self._state.store
        if store.buried(name, now):
            raise refusals.exists(refusals.TASK_TOO_RECENT)
        seq = store.add_task(name, queue.number, due, now, stored.SerializeToString())
        if seq is None:
            raise refusals.exists(refusals.TASK_EXISTS)
        queue.offer(due, seq)


def _parse_number(last: str) -> int:
    if not last:
        return 0
    if not (last.isascii() and last.isdecimal() and len(last) <= _MOST_DIGITS):
        raise refusals.invalid(refusals.PAGE_TOKEN)
    return int(last)


def choose_name(request: Any) -> str:
    """The name of the task in a CreateTaskRequest, or a new random one; INVALID_ARGUMENT if it is wrong."""
    name: str = request.task.name
    if not name:
        return f"{request.parent}/tasks/{int.from_bytes(os.urandom(8)) | 1 << 63}"
    queue, _ = parse_task(name)
    if queue != request.parent:
        raise refusals.invalid(
            f"The queue name from request ('{request.parent}') must be the same as the queue name in the "
            f"named task ('{queue}')."
        )
    return name


def prepare(request: Any, now: int) -> tuple[Any, int] | RpcError:
    """What a CreateTaskRequest would store and when it is due, or why it is refused."""
    try:
        return complete_task(_asked(request), choose_name(request), request.parent, now)
    except RpcError as refusal:
        return refusal


def _asked(request: Any) -> Any:
    if not request.HasField("task"):
        raise refusals.invalid(refusals.NO_TASK)
    return request.task
