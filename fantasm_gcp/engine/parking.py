"""Parking steps: of an instance that is paused, of a machine or a state that is held.

A parked step has a row and no task, so it burns no retries. It is made ready again when the instance is
resumed or the hold released (see ``engine.operating``).
"""

from __future__ import annotations

from dataclasses import replace

from fantasm_gcp.core.records import (
    Commit,
    Instance,
    InstanceStatus,
    Stored,
    Task,
    TaskStatus,
    Update,
    hold_key,
    instance_key,
    queued_again,
)
from fantasm_gcp.engine.delivery import Answer, Delivery, Loaded, Moved
from fantasm_gcp.engine.enqueue import enqueue
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import ConflictError, UnavailableError


def is_held(services: Services, machine: str, state: str) -> bool:
    """Whether a machine or a state of it is held, as far as this process knows.

    Holds are read at most every few seconds (``Limits.hold_age``), for all steps of a process together.
    """
    holds = services.holds
    if not 0 <= services.clock() - holds.read < services.limits.hold_age:
        holds.held = frozenset((each.machine, each.state) for each in services.store.holds())
        holds.read = services.clock()
    return (machine, "") in holds.held or (machine, state) in holds.held


def park(services: Services, delivery: Delivery, loaded: Loaded) -> Answer | None:
    """Parks a step where its instance is paused or it is held; None where it is to run.

    What it is parked for is read again in the transaction that parks it: who resumes changes that first and
    looks for parked steps after, so none is parked that he does not see. Raises ``Moved`` where the step
    changed meanwhile.
    """
    stored, instance = loaded.task, loaded.instance
    if stored is None or stored.row.is_operation:
        return None
    step = stored.row.step
    if not _is_paused(instance) and not is_held(services, step.machine, step.target):
        return None
    keys = [
        stored.row.key,
        instance_key(delivery.instance),
        hold_key(services.store.service, step.machine, ""),
        hold_key(services.store.service, step.machine, step.target),
    ]
    try:
        with services.store.begin() as transaction:
            current, instance, *holds = transaction.lookup(keys)
            if current is None or current.version != stored.version:
                raise Moved(f"{delivery.step} was changed by another delivery")
            if not _is_paused(instance) and not any(holds):
                services.holds.read = -float("inf")  # what this process knows is out of date
                return None
            parked = _parked(stored.row, services.clock())
            if parked != stored.row:
                transaction.commit(Commit((Update(parked, stored.version),)))
    except (ConflictError, UnavailableError) as error:
        raise Moved(str(error)) from error
    return Answer("parked")


def unpark(services: Services, stored: Stored[Task]) -> None:
    """Makes a parked step ready whose task has come once more, though nothing parks it any more.

    It does not run by that task: the task may be one that was answered already, so that nobody would hear
    of a failure. Raises ``Moved`` where the step changed meanwhile.
    """
    now = services.clock()
    again = queued_again(stored.row, now, now)
    try:
        services.store.commit(Commit((Update(again, stored.version),)))
    except (ConflictError, UnavailableError) as error:
        raise Moved(str(error)) from error
    enqueue(services, [again])


def _parked(task: Task, now: float) -> Task:
    """A step as it is kept while it is parked."""
    if task.status is TaskStatus.PARKED:
        return task
    return replace(task, status=TaskStatus.PARKED, due=now, looks=0, overdue=None)


def _is_paused(instance: Stored[Instance] | None) -> bool:
    return instance is not None and instance.row.status is InstanceStatus.PAUSED
