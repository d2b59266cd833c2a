"""What no real Cloud Tasks has: the controls of a local server, for people and for tests."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from fantasm_gcp.local.tasks import messages
from fantasm_gcp.local.tasks.configuration.queue_config import check_queue, complete_queue
from fantasm_gcp.local.tasks.looking import Looking
from fantasm_gcp.local.tasks.methods.queue_methods import QueueMethods
from fantasm_gcp.local.tasks.names import parse_queue, parse_task
from fantasm_gcp.local.tasks.scheduling.faults import Fault, SetFault
from fantasm_gcp.local.tasks.scheduling.schedule import Schedule
from fantasm_gcp.local.tasks.scheduling.state import State
from fantasm_gcp.local.tasks.times import micros

MOST_TIMES = 100
"""How often one call has a task delivered."""


class Controls(Looking):
    """The controls, safe for many threads; :class:`~fantasm_gcp.local.tasks.server.TasksServer` has them all.

    Queues and tasks go by their full names. Each control raises ``RpcError``: NOT_FOUND for a queue or a task
    that is not there, INVALID_ARGUMENT for a name that can be none, UNAVAILABLE once the server is closed;
    and ``ValueError`` for a number that makes no sense. Those that have attempts begin hand them to the next
    ``lease``, so they want a dispatcher, or a caller, that leases.
    """

    def __init__(self, state: State, schedule: Schedule) -> None:
        super().__init__(state, schedule)
        self._queues = QueueMethods(state)
        self._declared: dict[str, tuple[Any, int | None]] = {}

    def pause(self, queue: str | None = None) -> None:
        """Lets no attempt begin in a queue, as PauseQueue; or in any of those that there are. Idempotent."""
        for name in self._named(queue):
            self._queues.pause_queue(messages.PauseQueueRequest(name=name))

    def resume(self, queue: str | None = None) -> None:
        """Lets attempts begin again in a queue, as ResumeQueue; or in all of them. Idempotent."""
        for name in self._named(queue):
            self._queues.resume_queue(messages.ResumeQueueRequest(name=name))

    def purge(self, queue: str) -> None:
        """Deletes the tasks of a queue, as PurgeQueue. Idempotent."""
        self._queues.purge_queue(messages.PurgeQueueRequest(name=queue))

    def run(self, name: str, times: int = 1, *, overlapping: bool = True) -> None:
        """Begins an attempt at a task at once, as RunTask: whatever schedule, limits and pause say.

        With ``times`` above 1 (100 at most) the worker is called that often, even when it succeeds before:
        several times at once, or not ``overlapping``, each time when the one before has ended. After a
        success that is the same delivery once more, which the real service sends now and then.
        """
        if not 1 <= times <= MOST_TIMES:
            raise ValueError(f"a task is delivered 1 to {MOST_TIMES} times by one call, not {times} times")
        with self._state.call() as now:
            for _ in range(times if overlapping else 1):
                row = self._tasks.existing(name, now)
                self._schedule.begin_by_request(row, now, 0 if overlapping else times - 1)
            self._state.changed.notify_all()

    def step(self, queue: str | None = None) -> str | None:
        """Begins one attempt at the task that is due first, of one queue or of all, and answers its name.

        It begins at once, whatever schedule, limits and pause say. None when every task is in flight, or
        there is none.
        """
        with self._state.call() as now:
            queues = self._state.queues.values() if queue is None else [self._state.queue(queue)]
            name = self._schedule.step(queues, now)
            self._state.changed.notify_all()
            return name

    def drop(self, name: str) -> None:
        """Deletes a task, in flight or not, as DeleteTask: its name stays taken as after any other end."""
        self._tasks.delete_task(messages.DeleteTaskRequest(name=name))

    def advance(self, seconds: float) -> None:
        """Moves the clock ahead; what is due by then is due at once, and what is too old is deleted.

        The clock stays ahead, also when the file is opened again, until :meth:`reset`. Raises ``ValueError``
        for a span that is negative, no number, or ends after the year 9998.
        """
        with self._state.call():
            self._state.advance(seconds)
            self._state.sweep(self._state.now())

    def fail_next(
        self,
        count: int = 1,
        *,
        status: int | None = 500,
        queue: str | None = None,
        task: str | None = None,
        reach: bool = False,
    ) -> int:
        """Has the next ``count`` attempts fail with ``status`` (300 to 599), or with None: no answer in time.

        Only attempts in ``queue``, or at ``task``, neither of which need be there yet. With ``reach`` the
        worker is called and its answer is lost; without, it is not called. Decided when an attempt begins, so
        :meth:`cancel_fault`, which takes the id that this answers, does not help one in flight.
        """
        if queue is not None:
            parse_queue(queue)
        if task is not None:
            parse_task(task)
        with self._state.call():
            return self._schedule.faults.add(Fault(status, reach), count, queue or "", task or "")

    def faults(self) -> list[SetFault]:
        """The faults that are set and not used up, in the order of their setting."""
        with self._state.call():
            return self._schedule.faults.all()

    def cancel_fault(self, fault: int) -> bool:
        """Takes a fault back; answers whether it was still set. Idempotent."""
        with self._state.call():
            return self._schedule.faults.cancel(fault)

    def cancel_faults(self) -> None:
        """Takes all faults back. Idempotent."""
        with self._state.call():
            self._schedule.faults.clear()

    def wait_idle(self, timeout: float | None = None, *, scheduled: bool = False) -> bool:
        """Blocks until nothing is left to do, ``timeout`` seconds of real time at most; whether that came.

        Nothing is left when no attempt is in flight and no task is due: what is scheduled for later, a retry
        too, and what waits in a paused queue does not count, for it moves only when somebody does something.
        With ``scheduled`` everything counts: no queue, paused or not, may have a task at all. Answers False
        when the server is closed. Somebody has to deliver meanwhile.
        """
        give_up = None if timeout is None else time.monotonic() + timeout
        with self._state.lock:
            while not self._state.closed:
                if self._schedule.idle(self._state.now(), scheduled):
                    return True
                left = None if give_up is None else give_up - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._state.changed.wait(None if left is None else min(left, threading.TIMEOUT_MAX))
            return False

    def declare_queue(self, message: Any, tombstone_seconds: float | None = None) -> None:
        """Creates a queue, or gives it this configuration; for the start of a server.

        ``message`` is a ``Queue``, raw or of the client; a ``max_burst_size`` in it, which requests cannot
        set, counts, and so does the state PAUSED. Names of its tasks stay taken for ``tombstone_seconds``
        (the real service: 9 days for queues of a queue.yaml); None leaves that to the server. Idempotent,
        over restarts too: a queue that is paused stays so, tasks stay, and the name of a queue deleted a
        short while ago counts as free.
        :meth:`reset` declares it again.
        """
        if tombstone_seconds is not None and not 0 <= tombstone_seconds < math.inf:
            raise ValueError(f"a name stays taken for 0 seconds or more, not for {tombstone_seconds}")
        asked = messages.Queue()
        asked.CopyFrom(getattr(message, "_pb", message))
        parse_queue(asked.name)
        check_queue(asked)
        complete = complete_queue(asked, asked.name, self._state.defaults)
        if asked.rate_limits.max_burst_size > 0:
            complete.rate_limits.max_burst_size = asked.rate_limits.max_burst_size
        if asked.state == messages.PAUSED:
            complete.state = messages.PAUSED
        tombstone = None if tombstone_seconds is None else micros(tombstone_seconds)
        declared = messages.Queue()
        declared.CopyFrom(complete)
        with self._state.call():
            self._state.declare_queue(complete, tombstone)
            self._declared[complete.name] = declared, tombstone

    def reset(self) -> None:
        """Forgets every queue, task, tombstone, attempt and fault, and the clock's shift.

        Attempts in flight end ignored. Queues that were declared are declared again, empty.
        """
        with self._state.call():
            self._schedule.clear()
            self._state.clear()
            for message, tombstone in self._declared.values():
                fresh = messages.Queue()
                fresh.CopyFrom(message)
                self._state.declare_queue(fresh, tombstone)

    def _named(self, queue: str | None) -> list[str]:
        """One queue, or all there are."""
        if queue is not None:
            return [queue]
        with self._state.call():
            return list(self._state.queues)
