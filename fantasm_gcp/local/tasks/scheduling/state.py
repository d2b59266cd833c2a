"""What the methods and the schedule of one server share: the store, the clock, the lock, the live queues."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc

from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.clock import ShiftedClock
from fantasm_gcp.local.tasks.configuration.queue_config import QueueDefaults, complete_queue
from fantasm_gcp.local.tasks.configuration.retry import RetryLaw, parse_retry_config
from fantasm_gcp.local.tasks.messages import RUNNING, Queue
from fantasm_gcp.local.tasks.names import parse_queue
from fantasm_gcp.local.tasks.scheduling.bucket import Bucket
from fantasm_gcp.local.tasks.storage.store import Store, TaskRow
from fantasm_gcp.local.tasks.times import DAY, SECOND, micros

log = logging.getLogger("fantasm_gcp.local.tasks")

RETENTION: Final = 31 * DAY
"""A task older than this is deleted, tried or not."""

_SWEEP_EVERY: Final = 3600 * SECOND
_MINUTE: Final = 60 * SECOND


class LiveQueue:
    """A queue in memory: its configuration, its token bucket, and how many attempts it has in flight.

    ``head`` is when its first waiting task is due, and that task's number; it is kept here so that looking
    for the next attempt does not ask the store about every queue. ``tombstone`` is how long the names of its
    tasks stay taken.
    """

    __slots__ = (
        *("_head", "_head_known", "_replies", "bucket", "in_flight"),
        *("law", "message", "number", "tombstone"),
    )

    def __init__(self, number: int, message: Any, tombstone: int) -> None:
        self.number = number
        self.tombstone = tombstone
        self.in_flight = 0
        limits = message.rate_limits
        self.bucket = Bucket(limits.max_dispatches_per_second, limits.max_burst_size)
        self._head: tuple[int, int] | None = None
        self._head_known = False
        self._replies: deque[int] = deque()
        self.configure(message)

    def configure(self, message: Any) -> None:
        """Takes a new configuration; tokens taken and attempts in flight stay."""
        self.message = message
        self.law = parse_retry_config(message.retry_config, RetryLaw())
        limits = message.rate_limits
        self.bucket.configure(limits.max_dispatches_per_second, limits.max_burst_size)

    @property
    def name(self) -> str:
        """The queue's full name."""
        return str(self.message.name)

    @property
    def full(self) -> bool:
        """Whether it has as many attempts in flight as it may."""
        return bool(self.in_flight >= self.message.rate_limits.max_concurrent_dispatches)

    @property
    def running(self) -> bool:
        """Whether its tasks are dispatched at all."""
        return bool(self.message.state == RUNNING)

    def note_reply(self, now: int) -> None:
        """A worker has answered an attempt at one of its tasks."""
        self._replies.append(now)
        self.replies(now)

    def replies(self, now: int) -> int:
        """How many answers of workers came within the last minute."""
        while self._replies and self._replies[0] <= now - _MINUTE:
            self._replies.popleft()
        return len(self._replies)

    def head(self, store: Store) -> tuple[int, int] | None:
        """When the first waiting task is due, and its number; None when no task waits."""
        if not self._head_known:
            self._head = store.head(self.number)
            self._head_known = True
        return self._head

    def offer(self, due: int, seq: int) -> None:
        """A task has come to wait."""
        if self._head_known and (self._head is None or (due, seq) < self._head):
            self._head = (due, seq)

    def forget(self) -> None:
        """A task has ceased to wait: the head is looked up again when it is next needed."""
        self._head_known = False


class State:
    """The parts of one server; everything but ``now`` is used with ``lock`` held."""

    def __init__(
        self,
        path: str | Path | None,
        clock: Callable[[], float],
        create_queues: bool,
        tombstone_seconds: float,
        queue_tombstone_seconds: float,
        defaults: QueueDefaults,
    ) -> None:
        self.store = Store(path)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.closed = False
        self.defaults = defaults
        self.clock = ShiftedClock(clock, self.store.shift())
        self._create_queues = create_queues
        self._tombstone = micros(tombstone_seconds)
        self._queue_tombstone = micros(queue_tombstone_seconds)
        self._sweep_at = 0
        self.queues: dict[str, LiveQueue] = {}
        self.queues_by_number: dict[int, LiveQueue] = {}
        for number, message, tombstone in self.store.queues():
            self._admit(number, Queue.FromString(message), tombstone)

    def now(self) -> int:
        """The clock, in whole microseconds."""
        return self.clock.now()

    def advance(self, span: float) -> None:
        """Moves the clock ahead by ``span`` seconds, also for later openings of the file."""
        shift = self.clock.shift_after(span)
        self.store.keep_shift(shift)
        self.clock.shift = shift
        self.changed.notify_all()

    @contextmanager
    def call(self) -> Iterator[int]:
        """Holds the lock for one RPC and gives the time.

        Raises ``RpcError``: UNAVAILABLE once the server is closed, INTERNAL when the file fails, for which a
        disk that is full is no defect of this program.
        """
        with self.lock:
            if self.closed:
                raise RpcError(grpc.StatusCode.UNAVAILABLE, "The local Cloud Tasks server is closed.")
            now = self.now()
            try:
                self.sweep(now)
                yield now
            except sqlite3.Error as error:
                log.error("the file of Cloud Tasks failed: %s", error)
                raise refusals.file_failed(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction of the store after whose failure nothing cached about waiting tasks is believed."""
        try:
            with self.store.transaction():
                yield
        except BaseException:
            self.forget_heads()
            raise

    def sweep(self, now: int) -> None:
        """Once in an hour, drops what is too old to keep."""
        if now >= self._sweep_at:
            self.store.sweep(now, now - RETENTION)
            self._sweep_at = now + _SWEEP_EVERY
            self.forget_heads()
            self.changed.notify_all()

    def forget_heads(self) -> None:
        """Has every queue look up its first waiting task anew."""
        for queue in self.queues.values():
            queue.forget()

    def clear(self) -> None:
        """Forgets every queue, task and tombstone, and lets the clock be the one that was given."""
        self.store.clear()
        self.clock.shift = 0
        self._sweep_at = 0
        self.queues.clear()
        self.queues_by_number.clear()
        self.changed.notify_all()

    # Queues.

    def queue(self, name: str) -> LiveQueue:
        """The queue of that name; NOT_FOUND in the real service's words when there is none."""
        queue = self.queues.get(name)
        if queue is None:
            parse_queue(name)
            raise refusals.not_found(refusals.QUEUE_NOT_FOUND)
        return queue

    def queue_for_tasks(self, name: str, now: int) -> LiveQueue:
        """The queue of that name, created with the defaults if this server creates queues on first use.

        A queue that was deleted a short while ago is not created: its name is not free yet.
        """
        queue = self.queues.get(name)
        if queue is not None:
            return queue
        if not self._create_queues or self.store.buried(name, now):
            return self.queue(name)
        parse_queue(name)
        return self.add_queue(complete_queue(Queue(), name, self.defaults))

    def add_queue(self, message: Any) -> LiveQueue:
        """Stores a new queue."""
        number = self.store.add_queue(message.name, message.SerializeToString())
        return self._admit(number, message, None)

    def declare_queue(self, message: Any, tombstone: int | None) -> None:
        """Creates a queue, whether its name is free or not, or gives it this configuration but not its state.

        ``tombstone`` None leaves to the server how long names of its tasks stay taken.
        """
        queue = self.queues.get(message.name)
        with self.transaction():
            if queue is None:
                self.store.unbury(message.name)
                number = self.store.add_queue(message.name, message.SerializeToString(), tombstone)
            else:
                if message.state == RUNNING:
                    message.state = queue.message.state
                self.store.replace_queue(queue.number, message.SerializeToString())
                self.store.keep_tombstone(queue.number, tombstone)
        if queue is None:
            self._admit(number, message, tombstone)
        else:
            queue.configure(message)
            queue.tombstone = self._tombstone_of(tombstone)
        self.changed.notify_all()

    def replace_queue(self, queue: LiveQueue, message: Any) -> None:
        """Stores the new configuration of a queue; it may let attempts begin."""
        self.store.replace_queue(queue.number, message.SerializeToString())
        queue.configure(message)
        self.changed.notify_all()

    def remove_queue(self, queue: LiveQueue, now: int) -> None:
        """Deletes a queue with its tasks; the names of all stay taken for their times."""
        with self.transaction():
            self.store.purge(queue.number, now + queue.tombstone)
            self.store.remove_queue(queue.number)
            self.store.bury(queue.name, now + self._queue_tombstone)
        del self.queues[queue.name]
        del self.queues_by_number[queue.number]
        self.changed.notify_all()

    def purge_queue(self, queue: LiveQueue, message: Any, now: int) -> None:
        """Deletes the tasks of a queue and stores its message, which says when."""
        with self.transaction():
            self.store.purge(queue.number, now + queue.tombstone)
            self.store.replace_queue(queue.number, message.SerializeToString())
        queue.configure(message)
        queue.forget()
        self.changed.notify_all()

    def _tombstone_of(self, asked: int | None) -> int:
        return self._tombstone if asked is None else asked

    def _admit(self, number: int, message: Any, tombstone: int | None) -> LiveQueue:
        queue = LiveQueue(number, message, self._tombstone_of(tombstone))
        self.queues[queue.name] = queue
        self.queues_by_number[number] = queue
        return queue

    # Tasks.

    def remove_task(self, row: TaskRow, now: int) -> None:
        """Deletes a task; its name stays taken for a while."""
        with self.store.transaction():
            self.drop_task(row, now)

    def drop_task(self, row: TaskRow, now: int) -> None:
        """As :meth:`remove_task`, inside a transaction of the caller."""
        queue = self.queues_by_number.get(row.queue)
        self.store.drop_task(row, now + (self._tombstone if queue is None else queue.tombstone))
        if queue is not None and not row.leased:
            queue.forget()
        self.changed.notify_all()
