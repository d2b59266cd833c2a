"""Recording that an attempt failed, and giving a step up."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fantasm_gcp.core.context import Failure
from fantasm_gcp.core.names import digest
from fantasm_gcp.core.records import (
    Commit,
    Instance,
    LogLine,
    Role,
    Stored,
    Task,
    TaskStatus,
    Update,
    Upsert,
)
from fantasm_gcp.core.retry import gives_up
from fantasm_gcp.core.step import landing, policy_of
from fantasm_gcp.engine.collecting import close_window
from fantasm_gcp.engine.delivery import Answer, Delivery
from fantasm_gcp.engine.ending import end_branch
from fantasm_gcp.engine.enqueue import enqueue
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import ConflictError, MissingDefinitionError, RetryLater, StepError, UnavailableError

log = logging.getLogger("fantasm_gcp.engine")

ERROR_LIMIT = 1_400
TRACEBACK_LIMIT = 16_000
"""Characters kept of an error and of a traceback: the end of it, where the error is."""


def attempts_used(task: Task, delivery: Delivery) -> int:
    """Attempts before this one: those that were recorded as failed, and those that never answered."""
    return task.attempts - task.unanswered + _unanswered(task, delivery)


def _unanswered(task: Task, delivery: Delivery) -> int:
    return delivery.unanswered if delivery.epoch == task.epoch else task.unanswered


def exhausted(services: Services, task: Task, delivery: Delivery) -> bool:
    """Whether a step has used up its attempts with some that never answered.

    A step that this deployment does not know is left to one that does.
    """
    machine = services.definitions.machines.get(task.step.machine)
    used = attempts_used(task, delivery)
    if not used or machine is None or landing(machine, task.step) is None:
        return False
    return gives_up(policy_of(machine, task.step), used, _age(services, task))


def _age(services: Services, task: Task) -> float:
    """Seconds since the first attempt that was recorded as failed began; 0 where there is none."""
    return 0.0 if task.first_attempt is None else services.clock() - task.first_attempt


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt: the step's row as it is after it, and whether it was the last.

    ``on_error`` is the event that the state chose for that, or None.
    """

    task: Task
    error: Exception
    given_up: bool
    on_error: str | None = None


def failed_attempt(
    services: Services, task: Task, delivery: Delivery, error: Exception, attempts: int, began: float
) -> Failed:
    """What a failed attempt comes to: the step is given up when its policy says so or retrying is vain.

    ``attempts`` counts all up to and with this one, which began at ``began``.
    """
    after = replace(
        task,
        attempts=attempts,
        unanswered=_unanswered(task, delivery),
        first_attempt=began if task.first_attempt is None else task.first_attempt,
        failure=failure_of(error),
    )
    given_up = _is_final(services, after, error)
    machine = services.definitions.machines.get(task.step.machine)
    state = landing(machine, task.step) if machine and task.role is Role.ACTION else None
    return Failed(after, error, given_up, state.on_error if state and given_up else None)


def record_failure(
    services: Services,
    instance: Stored[Instance] | None,
    stored: Stored[Task],
    failed: Failed,
    lines: Sequence[LogLine] = (),
) -> Answer:
    """Writes a failed attempt to the step's row, and looks for the end of the instance where it was the last.

    ``lines`` are what it logged.
    """
    after = failed.task
    if failed.given_up and after.collection is not None:
        # Arrivals rely on their window's step being in flight: from now on they open another window.
        close_window(services, after.step.name, after.collection)
    after = replace(after, status=TaskStatus.FAILED if failed.given_up else TaskStatus.QUEUED)
    _tell(after, failed.error)
    renewed = not failed.given_up and _outlives_its_task(services, after)
    if renewed:
        now = services.clock()
        after = replace(
            after, epoch=after.epoch + 1, unanswered=0, created=now, due=now, looks=0, overdue=None
        )
    if not _written(services, stored, after, lines):
        return Answer("retry", "another delivery of this step was faster")
    message = after.failure.error if after.failure else ""
    if renewed:
        enqueue(services, [after])
        return Answer("later", message)
    if not failed.given_up:
        return Answer("retry", message)
    end_branch(services, after.step.instance, instance)
    return Answer("failed", message)


def put_off(
    services: Services, stored: Stored[Task], delivery: Delivery, later: RetryLater, lines: Sequence[LogLine]
) -> Answer:
    """Tries a step again when its action wishes to: under a new epoch, which is no failed attempt."""
    task = replace(
        stored.row,
        epoch=stored.row.epoch + 1,
        due=services.clock() + later.seconds,
        created=services.clock(),
        attempts=attempts_used(stored.row, delivery),
        unanswered=0,
        looks=0,
        overdue=None,
        status=TaskStatus.QUEUED,
    )
    if not _written(services, stored, task, lines):
        return Answer("retry", "another delivery of this step was faster")
    enqueue(services, [task])
    return Answer("later", str(later))


def _written(services: Services, stored: Stored[Task], after: Task, lines: Sequence[LogLine]) -> bool:
    """Writes a step's row at the version it was loaded at; whether that succeeded.

    That the sweeper has looked at the step meanwhile is no change of it.
    """
    for attempt in range(services.limits.contention_tries):
        try:
            services.store.commit(Commit((Update(after, stored.version), *map(Upsert, lines))))
        except (ConflictError, UnavailableError):
            services.back_off(attempt)
            current: Stored[Task] | None = services.store.lookup([after.key])[0]
            if current is None or _looked_at(stored.row, current.row) != current.row:
                return False
            stored = current
            if after.epoch == current.row.epoch:
                after = _looked_at(after, current.row)
        else:
            return True
    return False


def _looked_at(task: Task, current: Task) -> Task:
    return replace(task, looks=current.looks, overdue=current.overdue)


def _outlives_its_task(services: Services, task: Task) -> bool:
    """Whether Cloud Tasks is soon to drop the step's task: what is retried for ever needs another one."""
    return services.clock() - task.created > services.limits.task_life


def _is_final(services: Services, task: Task, error: Exception) -> bool:
    if task.is_operation:
        return False
    if isinstance(error, MissingDefinitionError):
        return services.clock() - task.due > services.limits.definition_age
    machine = services.definitions.machines.get(task.step.machine)
    policy = policy_of(machine, task.step)
    return isinstance(error, StepError) or gives_up(policy, task.attempts, _age(services, task))


def _tell(task: Task, error: Exception) -> None:
    failed = task.status is TaskStatus.FAILED
    log.log(
        logging.ERROR if failed else logging.WARNING,
        "%s %s, attempt %d: %s",
        task.step.name,
        "failed" if failed else "will be retried",
        task.attempts,
        task.failure.error if task.failure else "",
        exc_info=error,
    )


def failure_of(error: Exception) -> Failure:
    """An exception as it is kept, whatever it says of itself.

    The fingerprint is equal for errors of one kind from one place.
    """
    kind = type(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].name}" if frames else ""
    return Failure(
        error=f"{kind.__qualname__}: {words_of(error)}"[:ERROR_LIMIT],
        traceback=storable("".join(traceback.format_exception(error)))[-TRACEBACK_LIMIT:],
        fingerprint=digest(kind.__module__, kind.__qualname__, place, length=16),
    )


def words_of(error: Exception) -> str:
    """What an exception says of itself, as it can be kept: not too long, and in characters of UTF-8."""
    try:
        return storable(str(error))[:ERROR_LIMIT]
    except Exception:  # noqa: BLE001  the action's exception may fail at saying what it is
        return "(its message cannot be had)"


def storable(text: str) -> str:
    """A text without the lone surrogates that no protobuf takes."""
    return text.encode("utf-8", "backslashreplace").decode()
