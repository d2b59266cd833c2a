"""Looking at a local server: its queues, tasks, attempts and clock as they are at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fantasm_gcp.local.tasks.messages import Task
from fantasm_gcp.local.tasks.methods.task_methods import TaskMethods
from fantasm_gcp.local.tasks.scheduling.deliveries import Attempt
from fantasm_gcp.local.tasks.scheduling.recent import EndedAttempt
from fantasm_gcp.local.tasks.scheduling.schedule import Schedule
from fantasm_gcp.local.tasks.scheduling.state import LiveQueue, State
from fantasm_gcp.local.tasks.storage.store import UNANSWERED, TaskRow
from fantasm_gcp.local.tasks.times import seconds

_MOST_BYTES = 8 * 1024 * 1024  # of tasks in one answer, their bodies included


@dataclass(frozen=True, slots=True)
class ClockSnapshot:
    """The server's clock in seconds of the epoch, and by how many seconds it was moved ahead."""

    now: float
    shift: float


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """A queue: ``message`` is its Queue, ``depth`` counts its tasks, ``in_flight`` the attempts at them.

    ``next_due`` is when the first task that is not in flight is due, in seconds, whatever pause and limits
    say; None when none waits. ``tombstone`` is for how many seconds names of its tasks stay taken, and
    ``replies`` how many answers workers gave within the last minute.
    """

    name: str
    message: Any
    running: bool
    depth: int
    in_flight: int
    next_due: float | None
    tombstone: float
    replies: int


@dataclass(frozen=True, slots=True)
class TaskSnapshot:
    """A task: ``message`` is its stored Task, body and all; times are seconds of the epoch.

    ``previous`` is the status that its last attempt got: None while none has ended, or when there was no
    answer, which is what ``unanswered`` says.
    """

    seq: int
    name: str
    message: Any
    in_flight: bool
    due: float
    created: float
    attempts: int
    previous: int | None
    unanswered: bool


class Looking:
    """What can be seen of a server, safe for many threads; ``RpcError`` UNAVAILABLE once it is closed."""

    def __init__(self, state: State, schedule: Schedule) -> None:
        self._state = state
        self._schedule = schedule
        self._tasks = TaskMethods(state, schedule)

    def clock(self) -> ClockSnapshot:
        """What time it is for queues and tasks."""
        with self._state.call() as now:
            return ClockSnapshot(seconds(now), seconds(self._state.clock.shift))

    def queue_names(self) -> list[str]:
        """The full names of all queues, sorted."""
        with self._state.call():
            return sorted(self._state.queues)

    def queues(self, after: str = "", limit: int | None = None) -> list[QueueSnapshot]:
        """Up to ``limit`` queues whose names come behind ``after``, in the order of their names."""
        with self._state.call():
            counts = self._state.store.counts()
            names = sorted(name for name in self._state.queues if name > after)[:limit]
            return [self._show(self._state.queues[name], counts) for name in names]

    def queue(self, name: str) -> QueueSnapshot:
        """A queue; ``RpcError`` NOT_FOUND when there is none of that name."""
        with self._state.call():
            queue = self._state.queue(name)
            return self._show(queue, {queue.number: self._state.store.count(queue.number)})

    def tasks(self, queue: str, after: int = 0, limit: int = 100) -> tuple[list[TaskSnapshot], int | None]:
        """Up to ``limit`` tasks of a queue with a ``seq`` above ``after``, in the order of their creation.

        And the ``seq`` after which to go on, None when these are the last. Large tasks come fewer at a time.
        """
        with self._state.call():
            rows, more = self._state.store.page(self._state.queue(queue).number, after, limit, _MOST_BYTES)
        return [_show_task(row) for row in rows], rows[-1].seq if more else None

    def task(self, name: str) -> TaskSnapshot:
        """A task; ``RpcError`` NOT_FOUND when there is none of that name."""
        with self._state.call() as now:
            return _show_task(self._tasks.existing(name, now))

    def attempts(self) -> list[EndedAttempt]:
        """The attempts that ended last, the last one first; the process remembers 200."""
        with self._state.call():
            return self._schedule.recent()

    def attempts_in_flight(self) -> list[Attempt]:
        """The attempts that have begun and not ended, the first begun first."""
        with self._state.call():
            return self._schedule.open_attempts()

    def _show(self, queue: LiveQueue, counts: dict[int, int]) -> QueueSnapshot:
        message = type(queue.message)()
        message.CopyFrom(queue.message)
        head = queue.head(self._state.store)
        return QueueSnapshot(
            name=queue.name,
            message=message,
            running=queue.running,
            depth=counts.get(queue.number, 0),
            in_flight=queue.in_flight,
            next_due=None if head is None else seconds(head[0]),
            tombstone=seconds(queue.tombstone),
            replies=queue.replies(self._state.now()),
        )


def _show_task(row: TaskRow) -> TaskSnapshot:
    unanswered = row.previous in UNANSWERED
    return TaskSnapshot(
        seq=row.seq,
        name=row.name,
        message=Task.FromString(row.task),
        in_flight=bool(row.leased),
        due=seconds(row.due),
        created=seconds(row.created),
        attempts=row.dispatches,
        previous=None if unanswered else row.previous,
        unanswered=unanswered,
    )
