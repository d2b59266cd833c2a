"""Delivering a step that its task carries: one RPC a transition, no records, at least once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from fantasm_gcp.core.definition import AT_LEAST_ONCE
from fantasm_gcp.core.records import Commit, Task, Upsert
from fantasm_gcp.core.step import Moment, decide
from fantasm_gcp.engine.acting import Acting, execute, follow_up_of, next_token, prepare
from fantasm_gcp.engine.delivery import Answer
from fantasm_gcp.engine.enqueue import enqueue
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.start import launch
from fantasm_gcp.errors import HaltMachineError, RetryLater, StepError, StoreError

log = logging.getLogger("fantasm_gcp.engine")


def deliver_carried(services: Services, task: Task) -> Answer:
    """Runs one delivery. The names of the next tasks keep a repeated one from multiplying, for a while.

    What an action stages is written in one commit before the next task is created, and again on a retry.
    A step for which retrying is vain is logged and dropped: there is no record to keep it in.
    """
    acting: Acting | None = None
    try:
        acting = prepare(services, task, task.started)
        _act(services, task, acting)
    except HaltMachineError as halt:
        if halt.log_level is not None:
            log.log(halt.log_level, "%s halts: %s", task.step.name, halt)
        if halt.scope == "instance":
            log.warning("%s stops its branch alone: its machine keeps no records", task.step.name)
    except RetryLater as later:
        again = replace(task, epoch=task.epoch + 1, due=services.clock() + later.seconds)
        return _attempted(lambda: enqueue(services, [again], AT_LEAST_ONCE), Answer("later", str(later)))
    except StepError as error:
        log.error("%s is dropped: %s", task.step.name, error, exc_info=error)
        return _attempted(lambda: _keep_lines(services, task, acting), Answer("failed", str(error)))
    except StoreError as error:
        return Answer("retry", str(error))
    except Exception as error:
        log.warning("%s will be retried: %s", task.step.name, error, exc_info=error)
        answer = Answer("retry", f"{type(error).__qualname__}: {error}")
        return _attempted(lambda: _keep_lines(services, task, acting), answer)
    return Answer("done")


def _act(services: Services, task: Task, acting: Acting) -> None:
    if acting.state.continuation:
        acting.run_before(acting.context)
        token = next_token(acting, task)
        if token:
            ahead = follow_up_of(services, acting, task, token, by_token=True)
            enqueue(services, [ahead], AT_LEAST_ONCE)
    acted = execute(services, acting, None)
    following = decide(acting.machine, task, acted, Moment(services.clock(), services.random()))
    lines = acting.scope.logger.take(task.epoch, 1)
    if acted.staged or lines:
        services.store.commit(Commit(tuple(map(Upsert, lines)), acted.staged))
    for start in following.starts:
        launch(services, start)
    enqueue(services, following.tasks, AT_LEAST_ONCE)


def _keep_lines(services: Services, task: Task, acting: Acting | None) -> None:
    lines = acting.scope.logger.take(task.epoch, 1) if acting else ()
    if lines:
        services.store.commit(Commit(tuple(map(Upsert, lines))))


def _attempted(write: Callable[[], None], answer: Answer) -> Answer:
    """The answer, once a write has been made; another delivery where it could not be."""
    try:
        write()
    except StoreError as error:
        return Answer("retry", str(error))
    return answer
