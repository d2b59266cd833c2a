"""Delivering a step that its task carries: one RPC a transition, no records, at least once."""

from __future__ import annotations

import logging

from fantasm_gcp.core.codec import encode
from fantasm_gcp.core.definition import AT_LEAST_ONCE
from fantasm_gcp.core.records import Commit, Task
from fantasm_gcp.core.step import decide, follow_up
from fantasm_gcp.engine.acting import execute, next_token, prepare
from fantasm_gcp.engine.delivery import Answer
from fantasm_gcp.engine.enqueue import enqueue
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import StepError, StoreError

log = logging.getLogger("fantasm_gcp.engine")


def deliver_carried(services: Services, task: Task) -> Answer:
    """Runs one delivery. The names of the next tasks keep a repeated one from multiplying, for a while.

    What an action stages is written in one commit before the next task is created, and again on a retry.
    A step for which retrying is vain is logged and dropped: there is no record to keep it in.
    """
    try:
        acting = prepare(services, task)
        if acting.state.continuation:
            token = next_token(acting, task)
            if token:
                ahead = follow_up(task, encode(acting.context), token, services.clock(), by_token=True)
                enqueue(services, [ahead], AT_LEAST_ONCE)
        acted = execute(acting, None)
        following = decide(acting.machine, task, acted, services.clock())
        if acted.staged:
            services.store.commit(Commit((), acted.staged))
        enqueue(services, following.tasks, AT_LEAST_ONCE)
    except StepError as error:
        log.error("%s is dropped: %s", task.step.name, error, exc_info=error)
        return Answer("failed", str(error))
    except StoreError as error:
        return Answer("retry", str(error))
    except Exception as error:
        log.warning("%s will be retried: %s", task.step.name, error, exc_info=error)
        return Answer("retry", f"{type(error).__qualname__}: {error}")
    return Answer("done")
