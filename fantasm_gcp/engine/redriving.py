"""Running one failed step again."""

from __future__ import annotations

from dataclasses import replace

from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import (
    Commit,
    InstanceStatus,
    Role,
    Stored,
    Task,
    TaskStatus,
    Update,
    instance_key,
    queued_again,
    task_key,
)
from fantasm_gcp.core.step import landing
from fantasm_gcp.engine.enqueue import enqueue
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import (
    CommandError,
    ConflictError,
    MissingDefinitionError,
    NotThereError,
    UnavailableError,
)


def redrive(
    services: Services,
    step: StepName,
    *,
    context: bytes | None = None,
    skip: str | None = None,
    wait: float = 0.0,
) -> bool:
    """Runs a failed step again under a new epoch, with all of its attempts, in ``wait`` seconds.

    ``context`` takes the place of the step's own, encoded as that is; with ``skip`` the actions do not run:
    the branch goes on as if they had returned this event, or ends where it is empty. False where the step
    has not failed (any more). May be called again after ``UnavailableError``, which it raises when it is not
    certain that the step runs.

    Raises ``NotThereError`` for a step that is over, or whose instance was stopped or deleted, and
    ``CommandError`` for a context or an event that the step cannot have.
    """
    for attempt in range(services.limits.contention_tries):
        stored: Stored[Task] | None = services.store.lookup([task_key(step)])[0]
        if stored is None:
            raise NotThereError(f"no step {step!r} has failed or is in flight")
        if stored.row.status is not TaskStatus.FAILED:
            if stored.row.status is TaskStatus.QUEUED:
                enqueue(services, [stored.row])  # which an earlier call may have failed to do
            return False
        instance = services.store.lookup([instance_key(stored.row.step.instance)])[0]
        if instance is None or instance.row.status is InstanceStatus.CANCELLED:
            raise NotThereError(f"the instance of {step!r} was stopped, or its history deleted")
        now = services.clock()
        task = _changed(services, queued_again(stored.row, now + wait, now), context, skip)
        paused = instance.row.status is InstanceStatus.PAUSED
        running = replace(
            instance.row,
            status=InstanceStatus.PAUSED if paused else InstanceStatus.RUNNING,
            ended=None,
            commands=instance.row.commands + 1,
        )
        try:
            services.store.commit(Commit((Update(task, stored.version), Update(running, instance.version))))
        except (ConflictError, UnavailableError):
            services.back_off(attempt)
        else:
            enqueue(services, [task])
            return True
    raise UnavailableError(f"{step} stays contended")


def _changed(services: Services, task: Task, context: bytes | None, skip: str | None) -> Task:
    """The step with what the operator chose for it. Raises ``CommandError``."""
    if context is None and skip is None:
        return replace(task, skip=None)  # an earlier redrive may have chosen an event
    if task.role is not Role.ACTION:
        raise CommandError("this step runs no action: it can be run again, but not changed or skipped")
    if context is not None and task.collection is not None:
        raise CommandError("this step has the contexts that were collected for it: they cannot be edited")
    if context is not None:
        try:
            services.codec.decode(context)
        except (TypeError, ValueError, MissingDefinitionError) as error:
            raise CommandError(f"this cannot be a context: {error}") from error
        task = replace(task, context=context)
    if skip:
        _check_event(services, task, skip)
    return replace(task, skip=skip)


def _check_event(services: Services, task: Task, event: str) -> None:
    machine = services.definitions.machines.get(task.step.machine)
    state = landing(machine, task.step) if machine else None
    if state is None:
        raise CommandError(f"this deployment has no state {task.step.target!r} to take an event of")
    if state.transition(event) is None:
        events = ", ".join(repr(each.event) for each in state.transitions) or "none"
        raise CommandError(f"state {state.name!r} has no event {event!r}; its events are: {events}")
