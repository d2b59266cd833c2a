"""Why a step is overdue, and what to do about it: what the sweeper finds out of each one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fantasm_gcp.core.names import task_name
from fantasm_gcp.core.records import (
    Instance,
    InstanceStatus,
    Role,
    Stored,
    Task,
    TaskStatus,
    instance_key,
    queued_again,
)
from fantasm_gcp.core.step import landing
from fantasm_gcp.engine.ports import QueueState, Services, TaskState
from fantasm_gcp.errors import RefusedError

log = logging.getLogger("fantasm_gcp.engine")

FIRST_WAIT = 60.0
"""Seconds until a step that was left as it is is looked at again; twice as many every further time."""

LONGEST_WAIT = 6 * 3600.0
PARKED_WAIT = 24 * 3600.0


class Reason(StrEnum):
    """Why a step is overdue."""

    NEVER_ENQUEUED = "never enqueued"
    """Cloud Tasks knows no task of it: who was to create it died before, or it was lost long ago."""
    TASK_GONE = "task gone"
    """Its task was there a short while ago: somebody purged the queue, or deleted it."""
    QUEUE_PAUSED = "queue paused"
    QUEUE_DISABLED = "queue disabled"
    QUEUE_MISSING = "queue missing"
    WAITING = "waiting"
    """Its task is there and was not dispatched yet: there is a backlog."""
    RUNNING = "running"
    """The first attempt at it has not ended."""
    FAILING = "failing"
    """Attempts at it have failed, or were never answered; Cloud Tasks goes on trying."""
    DEFINITION_MISSING = "definition missing"
    """This deployment does not know its machine or state."""
    PARKED = "parked"
    """It was parked for something that is over."""
    HELD = "held"
    """It is parked, and is meant to be."""
    REFUSED = "refused"
    """Cloud Tasks refuses to tell of its queue or task, or to create it: the log says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out of an overdue step. ``lost``: nothing will run it, so it needs a new task.

    Without a reason it is not overdue: its row has moved on, and was marked for an earlier moment.
    """

    stored: Stored[Task]
    reason: Reason | None
    lost: bool = False


class Judge:
    """Finds out why steps are overdue; asks for each queue, and for what is held, once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._queues: dict[str, QueueState | None] = {}
        self._probed: set[str] = set()
        self._held: Collection[tuple[str, str]] | None = None

    def judge(self, stored: Stored[Task], instance: Stored[Instance] | None) -> Finding:
        """What is the matter with a step; ``instance`` is needed for a parked one only.

        Raises ``UnavailableError``.
        """
        task = stored.row
        if task.status is TaskStatus.PARKED:
            held = self._is_held(task, instance)
            return Finding(stored, Reason.HELD) if held else Finding(stored, Reason.PARKED, lost=True)
        if task.status is not TaskStatus.QUEUED or task.due > self._services.clock():
            return Finding(stored, None)
        try:
            finding = self._judge_queued(stored)
        except RefusedError as error:
            log.warning("%s cannot be looked at: %s", task.step.name, error)
            return Finding(stored, Reason.REFUSED)
        if not _is_known(self._services, task):  # which another deployment may run, if it has a task
            return replace(finding, reason=Reason.DEFINITION_MISSING)
        return finding

    def _judge_queued(self, stored: Stored[Task]) -> Finding:
        task = stored.row
        state = self._state(task.queue)
        if state is None:
            return Finding(stored, Reason.REFUSED)
        if state is QueueState.PAUSED:
            return Finding(stored, Reason.QUEUE_PAUSED)
        if state is QueueState.DISABLED:
            return Finding(stored, Reason.QUEUE_DISABLED)
        if state is QueueState.MISSING:
            # One task tells whether that is still so: local servers make a queue with its first task.
            probes = task.queue not in self._probed
            self._probed.add(task.queue)
            return Finding(stored, Reason.QUEUE_MISSING, lost=probes)
        seen = self._services.queue.look_at(task.queue, task_name(task.step.name, task.epoch))
        if seen is TaskState.GONE:
            return Finding(stored, Reason.TASK_GONE, lost=True)
        if seen is TaskState.ABSENT:
            return Finding(stored, Reason.NEVER_ENQUEUED, lost=True)
        failing = task.attempts > 0 or seen is TaskState.FAILING
        return Finding(stored, Reason.FAILING if failing else Reason(seen.value))

    def _state(self, queue: str) -> QueueState | None:
        """What a queue does; None where that cannot be asked."""
        if queue not in self._queues:
            try:
                self._queues[queue] = self._services.queue.state(queue)
            except RefusedError as error:
                log.warning("queue %r cannot be looked at: %s", queue, error)
                self._queues[queue] = None
        return self._queues[queue]

    def _is_held(self, task: Task, instance: Stored[Instance] | None) -> bool:
        if instance is not None and instance.row.status is InstanceStatus.PAUSED:
            return True
        if self._held is None:
            self._held = {(each.machine, each.state) for each in self._services.store.holds()}
        step = task.step
        return (step.machine, "") in self._held or (step.machine, step.target) in self._held


def instances_of_parked(
    services: Services, rows: Sequence[Stored[Task]]
) -> dict[str, Stored[Instance] | None]:
    """The instances of those steps that are parked, by their ids."""
    ids = list(dict.fromkeys(each.row.step.instance for each in rows if each.row.status is TaskStatus.PARKED))
    found = services.store.lookup([instance_key(each) for each in ids]) if ids else []
    return dict(zip(ids, found, strict=True))


def _is_known(services: Services, task: Task) -> bool:
    """Whether this deployment knows what a step needs: one that runs no action needs nothing."""
    if task.role is not Role.ACTION:
        return True
    machine = services.definitions.machines.get(task.step.machine)
    return machine is not None and landing(machine, task.step) is not None


def looked_at(finding: Finding, now: float) -> Task:
    """The row of a step that is left as it is, marked for the next look at it."""
    task = finding.stored.row
    if finding.reason is None:
        return replace(task, looks=0, overdue=None)
    if task.status is TaskStatus.PARKED:
        return replace(task, looks=task.looks + 1, overdue=now + PARKED_WAIT)
    wait = LONGEST_WAIT if task.looks > 16 else min(FIRST_WAIT * 2**task.looks, LONGEST_WAIT)
    return replace(task, looks=task.looks + 1, overdue=now + wait)


def enqueued_anew(task: Task, now: float) -> Task:
    """The row of a step that was lost, under the next epoch. It keeps its attempts, the silent ones too."""
    if task.status is TaskStatus.PARKED:
        return queued_again(task, now, now)
    return replace(task, epoch=task.epoch + 1, unanswered=0, due=now, created=now, looks=0, overdue=None)
