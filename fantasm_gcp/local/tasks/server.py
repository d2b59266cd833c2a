"""The local Cloud Tasks server: the methods of the API over a store, and the attempts that follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from google.iam.v1 import iam_policy_pb2, policy_pb2

from fantasm_gcp.local.rpc import Method, Service
from fantasm_gcp.local.tasks import messages, refusals
from fantasm_gcp.local.tasks.configuration.queue_config import QueueDefaults
from fantasm_gcp.local.tasks.controls import Controls
from fantasm_gcp.local.tasks.methods.batch_methods import BatchMethods
from fantasm_gcp.local.tasks.methods.buffer_task import buffer_methods
from fantasm_gcp.local.tasks.methods.call_timeout import check_timeout
from fantasm_gcp.local.tasks.methods.locations import LocationMethods
from fantasm_gcp.local.tasks.methods.operations import Operations
from fantasm_gcp.local.tasks.scheduling.deliveries import Attempt, Response
from fantasm_gcp.local.tasks.scheduling.schedule import Outcome, Schedule
from fantasm_gcp.local.tasks.scheduling.state import State
from fantasm_gcp.local.tasks.times import SECOND, seconds

SERVICE_NAME = "google.cloud.tasks.v2.CloudTasks"

LOOK_AGAIN: Final = 10.0
"""Seconds: a machine that sleeps stops the time that is waited by, and a clock may be set meanwhile."""


class TasksServer(Controls):
    """Queues and tasks of ``google.cloud.tasks.v2``, and the attempts at them; safe for many threads.

    ``service`` is what :func:`fantasm_gcp.local.rpc.serve` and ``LocalChannel`` take, ``locations`` and
    ``operations`` others, which clients call at the same address, and ``buffering`` one more, which the real
    service has over HTTP only. The server itself never sends anything: a
    :class:`~fantasm_gcp.local.tasks.Dispatcher`, or a test, leases attempts, delivers them and finishes them.
    Its only notion of time is ``clock``, which :meth:`advance` moves ahead; times are seconds of the epoch.

    It differs from the real service in this: tokens are signed by an
    :class:`~fantasm_gcp.local.tasks.configuration.tokens.Issuer`, for any service account; IAM and CMEK are
    UNIMPLEMENTED; purging and deleting take effect at once; there is no system throttling. The last: the real
    service lowers the rate of a queue, by how much it does not say, when an App Engine target answers 503, an
    HTTP target 429 or 503, or many attempts fail, and lets a queue that is new or was idle begin slowly; here
    a queue has the rate that it was given. What it says of ``Retry-After`` is done: with 429 or 503 of an
    HTTP target the header puts off the next attempt at that task, by an hour at most.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        clock: Callable[[], float] = time.time,
        create_queues: bool = True,
        tombstone_seconds: float = 86_400,
        *,
        queue_tombstone_seconds: float = 7 * 86_400,
        max_dispatches_per_second: float = 500.0,
        max_concurrent_dispatches: int = 1000,
    ) -> None:
        """Opens the file at ``path``, or keeps everything in memory.

        ``create_queues`` creates a missing queue at the first CreateTask; without it that is NOT_FOUND, as
        for the real service. The names of tasks and of queues stay taken for the two tombstone times. The two
        limits are those of a queue that sets none; they may be above what the API accepts.

        Raises ``OSError`` when the file is in use, ``SettingsError`` when it is not one of this version.
        """
        defaults = QueueDefaults(max_dispatches_per_second, max_concurrent_dispatches)
        state = State(path, clock, create_queues, tombstone_seconds, queue_tombstone_seconds, defaults)
        super().__init__(state, Schedule(state))
        self.look_again = LOOK_AGAIN
        self._operations = Operations(state)
        self._batches = BatchMethods(state, self._tasks, self._operations)
        self.service = Service(
            SERVICE_NAME,
            {
                **self._queues.methods(),
                **self._tasks.methods(),
                **self._batches.methods(),
                **_unimplemented_methods(),
            },
            check_timeout=lambda timeout: check_timeout(timeout, state.clock.unshifted()),
        )
        self.buffering = Service(
            SERVICE_NAME, buffer_methods(self._queues.get_queue, self._tasks.create_task)
        )
        self.locations = LocationMethods(state).service()
        self.operations = self._operations.service()

    def next_time(self) -> float | None:
        """The earliest moment at which an attempt may begin: now if one may at once, None if none waits.

        Only a call to the server brings it nearer; a queue that has as many attempts in flight as it may, or
        is paused, does not count.
        """
        with self._state.lock:
            moment = None if self._state.closed else self._schedule.next_time(self._state.now())
        return None if moment is None else seconds(moment)

    def due(self, limit: int | None = None) -> list[str]:
        """Names of tasks any one of which ``lease`` would take now, first the one due for longest."""
        with self._state.lock:
            if self._state.closed:
                return []
            return self._schedule.due(self._state.now(), -1 if limit is None else max(0, limit))

    def lease(self, name: str | None = None, force: bool = False) -> Attempt | None:
        """Begins an attempt: at the task that has been due for longest, or at the named one.

        None when there is none to begin: nothing due, queue paused, limits reached, or no task of that name.
        With ``force``, which takes a name, an attempt at an existing task begins in any case, also while
        another one is in flight: a duplicate delivery. What has begun is counted at once, and survives a
        crash as an attempt without an answer.
        """
        if force and name is None:
            raise ValueError("lease(force=True) takes the name of a task")
        with self._state.lock:
            if self._state.closed:
                return None
            now = self._state.now()
            self._state.sweep(now)
            if name is None:
                return self._schedule.lease(now)
            return self._schedule.lease_named(name, now, force)

    def finish(self, attempt: Attempt, response: Response | None, reason: str = "") -> Outcome:
        """Ends an attempt with the worker's answer, or None for no answer before the deadline.

        A success deletes the task; a failure schedules the next attempt, or deletes the task when it is out
        of attempts. Idempotent: the second and later ends of one attempt are ignored. An attempt with a
        ``fault`` ends as the fault says, whatever the answer. ``reason`` says, for people, why the request
        did not get through: the headers tell a worker that was not reached from one that was late.
        """
        with self._state.lock:
            if self._state.closed:
                return Outcome("ignored")
            outcome = self._schedule.finish(attempt, response, self._state.now(), reason)
            self._state.changed.notify_all()
            return outcome

    def wait(self, timeout: float | None = None, stop: threading.Event | None = None) -> bool:
        """Blocks until an attempt may begin and answers True.

        Answers False after ``timeout`` seconds, when the server is closed, and when ``stop`` is set, which is
        seen at the latest at :meth:`wake`. The waiting is by real time: while a task waits, the clock is
        looked at again after the span that was missing and every ``look_again`` seconds, after each call that
        changes something, and at ``wake``.
        """
        give_up = None if timeout is None else time.monotonic() + timeout
        with self._state.lock:
            while not self._state.closed and not (stop is not None and stop.is_set()):
                now = self._state.now()
                moment = self._schedule.next_time(now)
                if moment is not None and moment <= now:
                    return True
                left = threading.TIMEOUT_MAX if give_up is None else give_up - time.monotonic()
                if left <= 0:
                    return False
                if moment is not None:
                    left = min(left, self.look_again, (moment - now) / SECOND)
                self._state.changed.wait(left)
            return False

    def share(self, attempts: int) -> None:
        """From so many attempts in flight on, only queues that have none in flight begin another.

        Whoever can have so many at a time and a few more keeps a queue whose worker does not answer from
        holding up the others. Attempts that somebody asked for begin in any case.
        """
        with self._state.lock:
            self._schedule.shared = attempts
            self._state.changed.notify_all()

    def replace_operation(self, operation: Any) -> None:
        """Has an operation look so when it is got by its name, in the messages of another version."""
        with self._state.call():
            self._operations.replace(operation)

    def wake(self) -> None:
        """Has every ``wait`` look again at the clock and at its ``stop``."""
        with self._state.lock:
            self._state.changed.notify_all()

    def depth(self, queue: str | None = None) -> int:
        """How many tasks there are, in flight or not: of the named queue (0 if there is none), or of all."""
        with self._state.lock:
            if self._state.closed:
                return 0
            if queue is None:
                return self._state.store.count(None)
            live = self._state.queues.get(queue)
            return 0 if live is None else self._state.store.count(live.number)

    def in_flight(self) -> int:
        """How many attempts have begun and not ended."""
        with self._state.lock:
            return self._schedule.in_flight

    def reset(self) -> None:
        """As :meth:`Controls.reset`; what batches with a ``request_id`` were answered is forgotten too."""
        with self._state.call():
            super().reset()
            self._operations.clear()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._state.closed

    def close(self) -> None:
        """Closes the file and ends every wait; later RPCs are UNAVAILABLE. Idempotent."""
        with self._state.lock:
            if not self._state.closed:
                self._state.closed = True
                self._state.store.close()
                self._state.changed.notify_all()


def _unimplemented_methods() -> dict[str, Method]:
    def refuse(_: Any) -> NoReturn:
        raise refusals.unimplemented(
            "The local Cloud Tasks server has no IAM policies and no encryption keys."
        )

    policy = policy_pb2.Policy
    test = iam_policy_pb2.TestIamPermissionsRequest, iam_policy_pb2.TestIamPermissionsResponse
    return {
        "GetIamPolicy": Method(iam_policy_pb2.GetIamPolicyRequest, policy, refuse),
        "SetIamPolicy": Method(iam_policy_pb2.SetIamPolicyRequest, policy, refuse),
        "TestIamPermissions": Method(*test, refuse),
        "GetCmekConfig": Method(messages.GetCmekConfigRequest, messages.CmekConfig, refuse),
        "UpdateCmekConfig": Method(messages.UpdateCmekConfigRequest, messages.CmekConfig, refuse),
    }
