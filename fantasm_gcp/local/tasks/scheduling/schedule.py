"""Which attempt may begin, and when; how attempts begin and end.

Nothing here waits and nothing here has a thread: all of it follows from the store, the clock and the calls.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

from fantasm_gcp.local.tasks.configuration.retry import RetryLaw, parse_retry_after, parse_retry_config
from fantasm_gcp.local.tasks.messages import Task
from fantasm_gcp.local.tasks.scheduling.deliveries import Attempt, Response, build_delivery, count_execution
from fantasm_gcp.local.tasks.scheduling.faults import Faults
from fantasm_gcp.local.tasks.scheduling.recent import KEPT, EndedAttempt, said, shorten
from fantasm_gcp.local.tasks.scheduling.state import RETENTION, LiveQueue, State
from fantasm_gcp.local.tasks.storage.store import NO_ANSWER, NOT_REACHED, TaskRow
from fantasm_gcp.local.tasks.times import micros, seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task when an attempt at it ended.

    ``succeeded`` and ``exhausted``: it is deleted. ``retry``: it is due at ``next_time``, in seconds, so many
    seconds ahead as ``wait`` says.
    ``overlapped``: the attempt failed while another one at the same task was in flight, or is to follow it as
    was asked; that one will decide.
    ``ignored``: the attempt had ended before, or its task is gone.
    """

    result: Literal["succeeded", "retry", "exhausted", "overlapped", "ignored"]
    next_time: float | None = None
    wait: float | None = None


_IGNORED = Outcome("ignored")

_TOO_MUCH = (429, 503)
"""What an HTTP target answers when it wants to be called less; only then is Retry-After read."""


@dataclass(slots=True)
class _Open:
    """An attempt in flight, and what its end will need.

    ``started`` is by the clock that nobody moves. ``again`` is how many deliveries are to follow it whatever
    it ends with, and ``done`` whether its task has succeeded meanwhile, which does not call off a delivery.
    """

    attempt: Attempt
    queue: LiveQueue
    retry_config: Any
    started: int
    again: int = 0
    done: bool = False


class Schedule:
    """The attempts of one server; every method is called with the lock of its state held.

    From ``shared`` attempts in flight on, only queues that have none in flight begin another.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._ids = count(1)
        self._open: dict[int, _Open] = {}
        self._open_by_task: dict[int, int] = {}
        self._begun_by_request: deque[Attempt] = deque()
        self._recent: deque[EndedAttempt] = deque(maxlen=KEPT)
        self.faults = Faults()
        self.shared: float = math.inf

    @property
    def in_flight(self) -> int:
        """How many attempts have begun and not ended."""
        return len(self._open)

    def clear(self) -> None:
        """Forgets all attempts, so that what ends later is ignored, and all faults."""
        self._open.clear()
        self._open_by_task.clear()
        self._begun_by_request.clear()
        self._recent.clear()
        self.faults.clear()

    def recent(self) -> list[EndedAttempt]:
        """The attempts that ended last, the last one first."""
        return list(reversed(self._recent))

    def open_attempts(self) -> list[Attempt]:
        """The attempts in flight, the first begun first."""
        return [opened.attempt for opened in self._open.values()]

    def idle(self, now: int, scheduled: bool) -> bool:
        """Whether nothing is in flight, nor due in a queue that runs; ``scheduled``: nor waits at all."""
        if self._open:
            return False
        heads = (
            queue.head(self._state.store)
            for queue in self._state.queues.values()
            if scheduled or queue.running
        )
        return not any(head is not None and (scheduled or head[0] <= now) for head in heads)

    def next_time(self, now: int) -> int | None:
        """The earliest moment, not before ``now``, at which an attempt may begin."""
        if self._begun_by_request:
            return now
        times = [
            max(head[0], queue.bucket.opens_at(now))
            for queue in self._state.queues.values()
            if self._has_room(queue) and (head := queue.head(self._state.store)) is not None
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

    def begin_by_request(self, row: TaskRow, now: int, again: int = 0) -> None:
        """Begins an attempt that the next lease hands out, whatever the limits say.

        ``again`` more follow it, each when the one before has ended, whatever it has ended with.
        """
        self._begun_by_request.append(self._begin(row, now, forced=True, again=again))

    def step(self, queues: Iterable[LiveQueue], now: int) -> str | None:
        """Begins by request the attempt that is due first in these queues, now or ever; the task's name."""
        heads = [head for queue in queues if (head := queue.head(self._state.store)) is not None]
        row = self._state.store.task_numbered(min(heads)[1]) if heads else None
        if row is None:
            return None
        self.begin_by_request(row, now)
        return row.name

    def finish(self, attempt: Attempt, response: Response | None, now: int, reason: str = "") -> Outcome:
        """Ends an attempt; see :class:`Outcome`. Ending it again is ignored.

        Without a response it came too late, or, where there is a ``reason``, the request did not get through.
        """
        opened = self._open.get(attempt.id)
        if opened is None:
            return _IGNORED
        fault = opened.attempt.fault
        if fault is not None:
            response = None if fault.status is None else Response(fault.status)
        unanswered = NOT_REACHED if reason and fault is None else NO_ANSWER
        outcome = self._decide(opened, response, unanswered, now)
        # Only now: had the store refused, the attempt would still be open and could be ended once more.
        self._close(attempt)
        if response is not None:
            opened.queue.note_reply(now)
        self._recent.append(
            EndedAttempt(
                task=opened.attempt.task,
                number=opened.attempt.number,
                began=opened.attempt.begun,
                took=seconds(self._state.clock.unshifted() - opened.started),
                status=None if response is None else response.status,
                result=outcome.result,
                next_time=outcome.next_time,
                fault=fault,
                reason=shorten(reason or said(response)),
            )
        )
        return outcome

    def _decide(self, opened: _Open, response: Response | None, unanswered: int, now: int) -> Outcome:
        attempt = opened.attempt
        row = self._state.store.task_numbered(attempt.seq)
        if row is None:
            if opened.done:
                self._deliver_again(opened, now)
            return _IGNORED
        if response is not None and 200 <= response.status <= 299:
            self._succeed(opened, row, now)
            return Outcome("succeeded")
        return self._fail(opened, row, response, unanswered, now)

    def _succeed(self, opened: _Open, row: TaskRow, now: int) -> None:
        self._state.remove_task(row, now)
        if self._open_by_task[row.seq] > 1:
            for other in self._open.values():
                other.done = other.done or other.attempt.seq == row.seq
        self._deliver_again(opened, now)

    def _deliver_again(self, opened: _Open, now: int) -> None:
        """After a success the same delivery once more, as the real service may send it; if that was asked."""
        if opened.again:
            task = opened.attempt.task
            attempt = replace(
                opened.attempt,
                id=next(self._ids),
                begun=seconds(now),
                forced=True,
                fault=self.faults.take(task),
            )
            started = self._state.clock.unshifted()
            again = opened.again - 1
            self._admit(replace(opened, attempt=attempt, started=started, again=again, done=True))
            self._begun_by_request.append(attempt)

    def _fail(
        self, opened: _Open, row: TaskRow, response: Response | None, unanswered: int, now: int
    ) -> Outcome:
        attempt = opened.attempt
        app_engine = attempt.delivery.service is not None
        status = unanswered if response is None else response.status
        executions = count_execution(row.executions, status, app_engine)
        if opened.again or self._open_by_task[attempt.seq] > 1:
            self._state.store.end_attempt(row, now, status, executions, due=None)
            follows = self._state.store.task_numbered(row.seq) if opened.again else None
            if follows is not None:
                self.begin_by_request(follows, now, opened.again - 1)
            return Outcome("overlapped")
        law = self._law(opened)
        first = now if row.first_dispatch is None else row.first_dispatch
        due = (micros(attempt.begun) if attempt.forced else now) + law.backoff(row.dispatches)
        if response is not None and status in _TOO_MUCH and not app_engine:
            due = max(due, now + parse_retry_after(response.headers, self._state.clock.unshifted()))
        if law.exhausted(row.dispatches, now - first) or due - row.created >= RETENTION:
            self._state.remove_task(row, now)
            return Outcome("exhausted")
        self._state.store.end_attempt(row, now, status, executions, due)
        opened.queue.offer(due, row.seq)
        return Outcome("retry", seconds(due), seconds(max(0, due - now)))

    def _may_begin(self, queue: LiveQueue, now: int) -> bool:
        return self._has_room(queue) and queue.bucket.opens_at(now) <= now

    def _has_room(self, queue: LiveQueue) -> bool:
        """Whether one attempt more of a queue may be in flight, by its own limit and beside other queues."""
        crowded = len(self._open) >= self.shared and queue.in_flight > 0
        return queue.running and not queue.full and not crowded

    def _begin(self, row: TaskRow, now: int, forced: bool, again: int = 0) -> Attempt:
        queue = self._state.queues_by_number[row.queue]
        task = Task.FromString(row.task)
        delivery = build_delivery(row, task, queue.message)
        self._state.store.begin_attempt(row.seq, now)
        if not row.leased:
            queue.forget()
        if not forced:
            queue.bucket.take(now)
        attempt = Attempt(
            id=next(self._ids),
            seq=row.seq,
            task=row.name,
            number=row.dispatches,
            begun=seconds(now),
            forced=forced,
            delivery=delivery,
            fault=self.faults.take(row.name),
        )
        retry_config = task.retry_config if task.HasField("retry_config") else None
        self._admit(_Open(attempt, queue, retry_config, self._state.clock.unshifted(), again))
        return attempt

    def _admit(self, opened: _Open) -> None:
        attempt = opened.attempt
        self._open[attempt.id] = opened
        self._open_by_task[attempt.seq] = self._open_by_task.get(attempt.seq, 0) + 1
        opened.queue.in_flight += 1

    def _close(self, attempt: Attempt) -> None:
        self._open.pop(attempt.id).queue.in_flight -= 1
        others = self._open_by_task.pop(attempt.seq) - 1
        if others:
            self._open_by_task[attempt.seq] = others

    def _take_begun(self, name: str | None) -> Attempt | None:
        """The next attempt begun by request, or that of the named task; drops those of deleted tasks.

        A task that has succeeded meanwhile was not deleted by anybody: what has begun is still delivered.
        """
        for attempt in list(self._begun_by_request):
            if name is not None and attempt.task != name:
                continue
            self._begun_by_request.remove(attempt)
            if self._open[attempt.id].done or self._state.store.task_numbered(attempt.seq) is not None:
                return attempt
            self._close(attempt)
            self._state.changed.notify_all()  # it was in flight: who waits for idleness looks again
        return None

    def _law(self, opened: _Open) -> RetryLaw:
        law = opened.queue.law
        return law if opened.retry_config is None else parse_retry_config(opened.retry_config, law)
