"""Creating the tasks of steps, and creating them again for a step that is over.

Whoever answers 2xx has seen every next task created: that is why even a delivery that lost replays.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from fantasm_gcp.core.callback import callback_of, waiting_for_commit
from fantasm_gcp.core.definition import AT_LEAST_ONCE, EXACTLY_ONCE
from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import Record, Stored, Task, TaskStatus, record_key, task_key
from fantasm_gcp.core.step import Following, policy_of
from fantasm_gcp.engine.delivery import Answer, Delivery, Loaded
from fantasm_gcp.engine.ending import end_branch
from fantasm_gcp.engine.ports import Services

log = logging.getLogger("fantasm_gcp.engine")


def enqueue(
    services: Services, tasks: Sequence[Task], guarantee: str = EXACTLY_ONCE, *, pending: float = 0.0
) -> None:
    """Creates the tasks of steps; one that exists already is left alone. Raises ``UnavailableError``.

    The guarantee is the one that the instance was started with, whatever a later deployment says.
    ``pending``: until when the steps may not be there yet (see :class:`Delivery`).
    """
    now = services.clock()
    machines = services.definitions.machines
    callbacks = []
    for task in tasks:
        machine = machines.get(task.step.machine)
        retry = policy_of(machine, task.step)
        inline_limit = services.limits.inline_context
        made = callback_of(task, retry, guarantee, services.root, inline_limit, now)
        callbacks.append(made if not pending else waiting_for_commit(made, pending))
    services.queue.create(callbacks)


def enqueue_unrecorded(services: Services, following: Following) -> Following:
    """Starts what a step spawned of machines that keep no records, ahead of the step's commit.

    Equal names keep a repetition from multiplying them, for a while. What is left is to be committed.
    """
    machines = services.definitions.machines
    kept = []
    for each in following.starts:
        if machines[each.instance.machine].guarantee == AT_LEAST_ONCE:
            enqueue(services, [each.task], AT_LEAST_ONCE)
        else:
            kept.append(each)
    return replace(following, starts=tuple(kept))


def enqueue_in_flight(services: Services, names: Sequence[StepName]) -> None:
    """Creates the tasks of those named steps that are still in flight."""
    if names:
        found: Sequence[Stored[Task] | None] = services.store.lookup([task_key(name) for name in names])
        waiting = [each.row for each in found if each and each.row.status is TaskStatus.QUEUED]
        if waiting:
            enqueue(services, waiting)


def replay(services: Services, delivery: Delivery, loaded: Loaded) -> Answer:
    """Does again what follows from a step that is over, as its record tells it."""
    found: Sequence[Stored[Record] | None] = services.store.lookup([record_key(delivery.step)])
    record = found[0].row if found[0] else None
    if record is None and delivery.pending > services.clock():
        message = "the transaction that starts this step has not committed yet"
        log.info("%s: %s", delivery.step, message)
        return Answer("retry", message)
    if record is not None:
        enqueue_in_flight(services, record.next)
    if record is None or record.ends_branch:
        end_branch(services, delivery.instance, loaded.instance)
    return Answer("replayed")
