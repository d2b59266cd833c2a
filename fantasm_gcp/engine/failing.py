"""Recording that an attempt failed, and giving a step up."""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace

from fantasm_gcp.core.names import digest
from fantasm_gcp.core.records import Commit, Failure, Stored, Task, TaskStatus, Update
from fantasm_gcp.core.retry import gives_up
from fantasm_gcp.core.step import policy_of
from fantasm_gcp.engine.collecting import close_window
from fantasm_gcp.engine.delivery import Answer, Delivery, Loaded
from fantasm_gcp.engine.ending import end_branch
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import ConflictError, MissingDefinitionError, StepError, UnavailableError

log = logging.getLogger("fantasm_gcp.engine")

TRACEBACK_LIMIT = 16_000
"""Characters kept of a traceback: the end of it, where the error is."""


def attempts_used(task: Task, delivery: Delivery) -> int:
    """Attempts before this one. Deliveries that never answered count too: the header has them."""
    return max(task.attempts, delivery.retry_count if delivery.epoch == task.epoch else 0)


def exhausted(services: Services, task: Task, delivery: Delivery) -> bool:
    """Whether a step used up all its attempts without one of them answering."""
    machine = services.definitions.machines.get(task.step.machine)
    age = services.clock() - task.first_due
    return gives_up(policy_of(machine, task.step), attempts_used(task, delivery), age)


def record_failure(
    services: Services, loaded: Loaded, stored: Stored[Task], delivery: Delivery, error: Exception
) -> Answer:
    """Writes the error to the step's row; gives the step up when its policy says so or retrying is vain."""
    task = stored.row
    now = services.clock()
    attempts = attempts_used(task, delivery) + 1
    failed = _is_final(services, task, error, attempts, now - task.first_due)
    if failed and task.collection is not None:
        # Arrivals rely on their window's step being in flight: from now on they open another window.
        close_window(services, task.step.name, task.collection)
    failure = failure_of(error)
    after = replace(
        task,
        attempts=attempts,
        failure=failure,
        status=TaskStatus.FAILED if failed else TaskStatus.QUEUED,
    )
    log.log(
        logging.ERROR if failed else logging.WARNING,
        "%s %s, attempt %d: %s",
        task.step.name,
        "failed" if failed else "will be retried",
        attempts,
        failure.error,
        exc_info=error,
    )
    try:
        services.store.commit(Commit((Update(after, stored.version),)))
    except (ConflictError, UnavailableError):
        return Answer("retry", "another delivery of this step was faster")
    if not failed:
        return Answer("retry", failure.error)
    end_branch(services, task.step.instance, loaded.instance)
    return Answer("failed", failure.error)


def _is_final(services: Services, task: Task, error: Exception, attempts: int, age: float) -> bool:
    if isinstance(error, MissingDefinitionError):
        return age > services.limits.definition_age
    machine = services.definitions.machines.get(task.step.machine)
    return isinstance(error, StepError) or gives_up(policy_of(machine, task.step), attempts, age)


def failure_of(error: Exception) -> Failure:
    """An exception as it is kept. The fingerprint is equal for errors of one kind from one place."""
    kind = type(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].name}" if frames else ""
    return Failure(
        error=f"{kind.__qualname__}: {error}"[:1400],
        traceback="".join(traceback.format_exception(error))[-TRACEBACK_LIMIT:],
        fingerprint=digest(kind.__module__, kind.__qualname__, place, length=16),
    )
