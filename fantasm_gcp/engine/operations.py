"""Carrying out operators' commands on many steps: a page of them at a time, each in a step of its own.

Such a step belongs to the instance that it is about, or to one of the built-in machine FantasmOperation, so
it is retried, recorded and found by the sweeper as any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import (
    Commit,
    Instance,
    InstanceStatus,
    Role,
    Stored,
    Task,
    TaskStatus,
    Update,
    queued_again,
    task_key,
)
from fantasm_gcp.core.step import Acted, Following
from fantasm_gcp.engine.cancelling import cancel
from fantasm_gcp.engine.enqueue import enqueue, enqueue_in_flight
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.errors import ConflictError, NotThereError, UnavailableError


def content_of(where: Mapping[str, str], page: Sequence[str] = ()) -> bytes:
    """The context of an operation's step: which steps it is about, and those whose turn it is."""
    return json.dumps({"where": dict(where), "page": list(page)}).encode()


def operate(services: Services, task: Task, instance: Stored[Instance] | None) -> Following:
    """Carries out one step of an operation, and answers what follows. May be repeated."""
    if task.role is Role.CANCEL:
        return cancel(services, task)
    content = json.loads(task.context)
    where, page = content["where"], [StepName(name) for name in content["page"]]
    if task.role is Role.UNPARK:
        if instance is not None and instance.row.status is InstanceStatus.PAUSED:  # paused again
            enqueue_in_flight(services, page)  # those that an earlier delivery had made ready before it died
            return Following(Acted())
        _unpark(services, page)
    else:
        _redrive(services, page)
    following = services.store.steps(where, page[-1] if page else "", services.limits.operation_steps)
    if not following:
        return Following(Acted())
    return Following(Acted(), (_next(services, task, where, page, following),))


def _next(
    services: Services, task: Task, where: Mapping[str, str], page: Sequence[str], following: Sequence[str]
) -> Task:
    """The step for the steps whose turn is next, when those of this one's have been."""
    now = services.clock()
    return replace(
        task,
        step=replace(task.step, n=task.step.n + 1),
        context=content_of(where, following),
        due=now + len(page) / services.limits.resume_rate,
        created=now,
        epoch=0,
        attempts=0,
        unanswered=0,
        first_attempt=None,
        failure=None,
        looks=0,
        overdue=None,
    )


def _unpark(services: Services, page: Sequence[StepName]) -> None:
    """Makes parked steps ready, one after the other at the bounded rate.

    Those that are queued already are enqueued again: an earlier delivery may have died before it did.
    """
    found = services.store.lookup([task_key(name) for name in page]) if page else ()
    now, ready = services.clock(), list[Task]()
    for i, stored in enumerate(found):
        due = now + i / services.limits.resume_rate
        again = None if stored is None else _made_ready(services, stored, due)
        if again is not None:
            ready.append(again)
    if ready:
        enqueue(services, ready)


def _made_ready(services: Services, stored: Stored[Task], due: float) -> Task | None:
    """A step as it is queued again; None where it moved on, or is no step that was parked."""
    for attempt in range(services.limits.contention_tries):
        task = stored.row
        if task.status is not TaskStatus.PARKED:
            return task if task.status is TaskStatus.QUEUED else None
        again = queued_again(task, due, services.clock())
        try:
            services.store.commit(Commit((Update(again, stored.version),)))
        except (ConflictError, UnavailableError):
            services.back_off(attempt)
            current: Stored[Task] | None = services.store.lookup([task.key])[0]
            if current is None:
                return None
            stored = current
        else:
            return again
    raise UnavailableError(f"{stored.row.step.name} stays contended")


def _redrive(services: Services, page: Sequence[StepName]) -> None:
    """Runs failed steps again, one after the other at the bounded rate."""
    for i, name in enumerate(page):
        try:
            redrive(services, name, wait=i / services.limits.resume_rate)
        except NotThereError:
            continue  # it is over, or its instance was cancelled
