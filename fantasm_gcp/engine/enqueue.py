"""Creating the tasks of steps, and deleting those that turn out to be of no use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fantasm_gcp.core.callback import callback_of, waiting_for_commit
from fantasm_gcp.core.commits import FAR, far_task
from fantasm_gcp.core.definition import AT_LEAST_ONCE, EXACTLY_ONCE
from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import Stored, Task, TaskStatus, task_key
from fantasm_gcp.core.step import Following, policy_of
from fantasm_gcp.core.traces import Trace
from fantasm_gcp.engine.ports import Reader, Services


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
    far = [each for each in tasks if each.due > now + FAR]
    if far and guarantee == EXACTLY_ONCE and not pending:
        _delete_cancelled(services, far)


def _delete_cancelled(services: Services, far: Sequence[Task]) -> None:
    """Deletes those tasks scheduled far ahead whose steps were deleted before the tasks were there.

    Who cancels deletes the rows first and the tasks after them. So either he finds the task, or his deletion
    of the row is seen here.
    """
    found = services.store.lookup([each.key for each in far])
    delete_tasks(services, [far_task(task) for task, row in zip(far, found, strict=True) if row is None])


def delete_tasks(services: Services, names: Iterable[str]) -> None:
    """Deletes tasks by names of the form ``<queue>/<task>``. May be repeated."""
    queues = defaultdict(list)
    for name in names:
        queue, _, task = name.partition("/")
        queues[queue].append(task)
    for queue, of_queue in queues.items():
        services.queue.delete(queue, of_queue)


def enqueue_unrecorded(services: Services, following: Following, trace: Trace | None) -> Following:
    """Starts what a step spawned of machines that keep no records, ahead of the step's commit.

    Equal names keep a repetition from multiplying them, for a while. What is left is to be committed.
    """
    machines = services.definitions.machines
    kept = []
    for each in following.starts:
        if machines[each.instance.machine].guarantee == AT_LEAST_ONCE:
            enqueue(services, [each.under(trace).task], AT_LEAST_ONCE)
        else:
            kept.append(each)
    return replace(following, starts=tuple(kept))


def without_started(reader: Reader, following: Following) -> Following:
    """An outcome without the named starts that somebody else made meanwhile: their names are taken."""
    named = [each for each in following.starts if each.named]
    if not named:
        return following
    found = reader.lookup([each.instance.key for each in named])
    taken = {each.row.id: each.row.first_step for each in found if each is not None}
    kept = tuple(each for each in following.starts if each.instance.id not in taken)
    return replace(following, starts=kept, taken=(*following.taken, *taken.values()))


def enqueue_in_flight(services: Services, names: Sequence[StepName]) -> None:
    """Creates the tasks of those named steps that are still in flight."""
    if names:
        found: Sequence[Stored[Task] | None] = services.store.lookup([task_key(name) for name in names])
        waiting = [each.row for each in found if each and each.row.status is TaskStatus.QUEUED]
        if waiting:
            enqueue(services, waiting)
