"""Which attempt may begin, and when; how attempts begin and end.

Nothing here waits and nothing here has a thread: all of it follows from the store, the clock and the calls.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from fantasm_gcp.local.tasks.deliveries import Attempt, Response, build_delivery, count_execution
from fantasm_gcp.local.tasks.messages import Task
from fantasm_gcp.local.tasks.retry import RetryLaw, parse_retry_config
from fantasm_gcp.local.tasks.state import RETENTION, LiveQueue, State
from fantasm_gcp.local.tasks.store import NO_ANSWER, TaskRow
from fantasm_gcp.local.tasks.times import micros, seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task when an attempt at it ended.

    ``succeeded`` and ``exhausted``: it is deleted. ``retry``: it is due at ``next_time``, in seconds.
    ``overlapped``: the attempt failed while another one at the same task was in flight, which will decide.
    ``ignored``: the attempt had ended before, or its task is gone.
    """

    result: Literal["succeeded", "retry", "exhausted", "overlapped", "ignored"]
    next_time: float | None = None


_IGNORED = Outcome("ignored")


@dataclass(slots=True)
class _Open:
    """An attempt in flight, and what its end will need."""

    queue: LiveQueue
    retry_config: Any
    app_engine: bool


class Schedule:
    """The attempts of one server; every method is called with the lock of its state held."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._ids = count(1)
        self._open: dict[int, _Open] = {}
        self._open_by_task: dict[int, int] = {}
        self._begun_by_request: deque[Attempt] = deque()

    @property
    def in_flight(self) -> int:
        """How many attempts have begun and not ended."""
        return len(self._open)

    def clear(self) -> None:
        """Forgets all attempts: what ends later is ignored."""
        self._open.clear()
        self._open_by_task.clear()
        self._begun_by_request.clear()

    def next_time(self, now: int) -> int | None:
        """The earliest moment, not before ``now``, at which an attempt may begin."""
        if self._begun_by_request:
            return now
        times = [
            max(head[0], queue.bucket.opens_at(now))
            for queue in self._state.queues.values()
            if queue.running and not queue.full and (head := queue.head(self._state.store)) is not None
        ]
        return max(now, min(times)) if times else None

    def due(self, now: int, limit: int) -> list[str]:
        """Names of tasks of which any one may be leased now, the first due first; -1 for all."""
        forced = [attempt.task for attempt in self._begun_by_request]
        rows = sorted(
            row
            for queue in self._state.queues.values()
            if self._may_begin(queue, now)
            for row in self._state.store.due(queue.number, now, limit)
        )
        names = forced + [name for _, _, name in rows]
        return names if limit < 0 else names[:limit]

    def lease(self, now: int) -> Attempt | None:
        """Begins the attempt that has been due for longest."""
        attempt = self._take_begun(None)
        if attempt is not None:
            return attempt
        best: tuple[int, int] | None = None
        for queue in self._state.queues.values():
            head = queue.head(self._state.store)
            if (
                head is not None
                and head[0] <= now
                and (best is None or head < best)
                and self._may_begin(queue, now)
            ):
                best = head
        row = None if best is None else self._state.store.task_numbered(best[1])
        return None if row is None else self._begin(row, now, forced=False)

    def lease_named(self, name: str, now: int, force: bool) -> Attempt | None:
        """Begins an attempt at one task; ``force`` disregards schedule, limits, pause and other attempts."""
        attempt = self._take_begun(name)
        if attempt is not None:
            return attempt
        row = self._state.store.task(name)
        if row is None:
            return None
        allowed = (
            not row.leased
            and row.due <= now
            and self._may_begin(self._state.queues_by_number[row.queue], now)
        )
        return self._begin(row, now, forced=force) if force or allowed else None

    def begin_by_request(self, row: TaskRow, now: int) -> None:
        """Begins an attempt that the next lease hands out, whatever the limits say."""
        self._begun_by_request.append(self._begin(row, now, forced=True))

    def finish(self, attempt: Attempt, response: Response | None, now: int) -> Outcome:
        """Ends an attempt; see :class:`Outcome`. Ending it again is ignored."""
        opened = self._open.get(attempt.id)
        if opened is None:
            return _IGNORED
        outcome = self._decide(attempt, opened, response, now)
        # Only now: had the store refused, the attempt would still be open and could be ended once more.
        self._close(attempt)
        return outcome

    def _decide(self, attempt: Attempt, opened: _Open, response: Response | None, now: int) -> Outcome:
        row = self._state.store.task_numbered(attempt.seq)
        if row is None:
            return _IGNORED
        if response is not None and 200 <= response.status <= 299:
            self._state.remove_task(row, now)
            return Outcome("succeeded")
        status = NO_ANSWER if response is None else response.status
        executions = count_execution(row.executions, status, opened.app_engine)
        if self._open_by_task[attempt.seq] > 1:
            self._state.store.end_attempt(row, now, status, executions, due=None)
            return Outcome("overlapped")
        law = self._law(opened)
        first = now if row.first_dispatch is None else row.first_dispatch
        due = (micros(attempt.begun) if attempt.forced else now) + law.backoff(row.dispatches)
        if law.exhausted(row.dispatches, now - first) or due - row.created >= RETENTION:
            self._state.remove_task(row, now)
            return Outcome("exhausted")
        self._state.store.end_attempt(row, now, status, executions, due)
        opened.queue.offer(due, row.seq)
        return Outcome("retry", seconds(due))

    def _may_begin(self, queue: LiveQueue, now: int) -> bool:
        return queue.running and not queue.full and queue.bucket.opens_at(now) <= now

    def _begin(self, row: TaskRow, now: int, forced: bool) -> Attempt:
        queue = self._state.queues_by_number[row.queue]
        task = Task.FromString(row.task)
        self._state.store.begin_attempt(row.seq, now)
        if not row.leased:
            queue.forget()
        if not forced:
            queue.bucket.take(now)
        queue.in_flight += 1
        attempt = Attempt(
            id=next(self._ids),
            seq=row.seq,
            task=row.name,
            number=row.dispatches,
            begun=seconds(now),
            forced=forced,
            delivery=build_delivery(row, task, queue.message),
        )
        retry_config = task.retry_config if task.HasField("retry_config") else None
        self._open[attempt.id] = _Open(queue, retry_config, attempt.delivery.service is not None)
        self._open_by_task[row.seq] = self._open_by_task.get(row.seq, 0) + 1
        return attempt

    def _close(self, attempt: Attempt) -> None:
        self._open.pop(attempt.id).queue.in_flight -= 1
        others = self._open_by_task.pop(attempt.seq) - 1
        if others:
            self._open_by_task[attempt.seq] = others

    def _take_begun(self, name: str | None) -> Attempt | None:
        """The next attempt begun by request, or that of the named task; drops those of deleted tasks."""
        for attempt in list(self._begun_by_request):
            if name is not None and attempt.task != name:
                continue
            self._begun_by_request.remove(attempt)
            if self._state.store.task_numbered(attempt.seq) is not None:
                return attempt
            self._close(attempt)
        return None

    def _law(self, opened: _Open) -> RetryLaw:
        law = opened.queue.law
        return law if opened.retry_config is None else parse_retry_config(opened.retry_config, law)
