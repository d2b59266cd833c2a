"""Delivering a step that its task carries: one RPC a transition, no records, at least once."""

from __future__ import annotations

import logging
from dataclasses import replace

from fantasm_gcp.core.definition import AT_LEAST_ONCE, Machine
from fantasm_gcp.core.records import (
    Commit,
    Insert,
    Instance,
    InstanceStatus,
    Outcome,
    Task,
    Upsert,
    instance_key,
    record_key,
)
from fantasm_gcp.core.retry import gives_up
from fantasm_gcp.core.step import Moment, decide, policy_of, transition_of
from fantasm_gcp.engine.acting import Acting, execute, next_page, prepare
from fantasm_gcp.engine.delivery import Answer
from fantasm_gcp.engine.enqueue import enqueue, enqueue_in_flight
from fantasm_gcp.engine.failing import failure_of, words_of
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.start import launch
from fantasm_gcp.engine.starting import definition_hash
from fantasm_gcp.errors import AlreadyExistsError, HaltMachineError, RetryLater, StepError, StoreError
from fantasm_gcp.observing.steps import Watched

log = logging.getLogger("fantasm_gcp.engine")


def deliver_carried(services: Services, task: Task, attempt: int) -> Answer:
    """Runs one delivery. The names of the next tasks keep a repeated one from multiplying, for a while.

    What an action stages is written in one commit before the next task is created, and again on a retry.
    A step for which retrying is vain, and one whose last attempt fails, is logged and dropped: there is no
    record to keep it in. ``attempt`` counts the deliveries of this task, from 1.
    """
    watched = Watched(task.step.name, task.step.instance, services.clock)
    with watched.attempt(task, attempt):
        answer = _delivered(services, task, attempt, watched)
    watched.answered(answer.verdict, answer.message)
    return answer


def _delivered(services: Services, task: Task, attempt: int, watched: Watched) -> Answer:
    machine = services.definitions.machines.get(task.step.machine)
    try:
        if machine is not None and _needs_rows(machine):
            return _go_on_recorded(services, machine, task)
        return _deliver(services, machine, task, attempt, watched)
    except StoreError as error:
        return Answer("retry", str(error))


def _deliver(
    services: Services, machine: Machine | None, task: Task, attempt: int, watched: Watched
) -> Answer:
    if machine is not None:
        transition = transition_of(machine, task.step)
        task = replace(task, target=transition.target if transition else machine.target)
    acting: Acting | None = None
    again: Task | None = None
    try:
        acting = prepare(services, task, task.started, watched.trace)
        _act(services, task, acting, attempt, watched)
        return Answer("done")
    except HaltMachineError as halt:
        answer = Answer("done", words_of(halt))
        watched.committed(Outcome.HALTED, None, 0)
        if halt.log_level is not None and acting is not None:
            acting.scope.logger.log(halt.log_level, words_of(halt))
        if halt.scope == "instance":
            log.warning("%s stops its branch alone: its machine keeps no records", task.step.name)
    except RetryLater as later:
        answer = Answer("later", words_of(later))
        again = replace(task, epoch=task.epoch + 1, due=services.clock() + later.seconds)
    except StoreError:
        raise
    except Exception as error:
        given_up = isinstance(error, StepError) or _is_last(machine, task, attempt)
        failure = failure_of(error)
        watched.failed(error, failure, given_up)
        end = "is dropped" if given_up else "will be retried"
        level = logging.ERROR if given_up else logging.WARNING
        log.log(level, "%s %s, attempt %d: %s", task.step.name, end, attempt, failure.error, exc_info=error)
        answer = Answer("failed" if given_up else "retry", failure.error)
    _keep_lines(services, task, acting, attempt)
    if again is not None:
        enqueue(services, [again], AT_LEAST_ONCE)
    return answer


def _is_last(machine: Machine | None, task: Task, attempt: int) -> bool:
    """Whether the queue would drop the task after this attempt; how old it is, only the queue knows."""
    policy = policy_of(machine, task.step)
    return policy.task_age_limit is None and gives_up(policy, attempt, 0)


def _act(services: Services, task: Task, acting: Acting, attempt: int, watched: Watched) -> None:
    if acting.state.continuation:
        ahead = next_page(services, acting, task, by_token=True)
        if ahead is not None:
            enqueue(services, [ahead], AT_LEAST_ONCE)
    acted = execute(services, acting, task, None)
    following = decide(acting.machine, task, acted, Moment(services.clock(), services.random()))
    lines = acting.scope.logger.take(task.epoch, attempt)
    if acted.staged or lines:
        services.store.commit(Commit(tuple(map(Upsert, lines)), acted.staged))
    for start in following.starts:
        launch(services, start.under(watched.trace))
    enqueue(services, [each.under(watched.trace) for each in following.tasks], AT_LEAST_ONCE)
    watched.committed(acted.outcome, acted.event, len(following.tasks))


def _keep_lines(services: Services, task: Task, acting: Acting | None, attempt: int) -> None:
    lines = acting.scope.logger.take(task.epoch, attempt) if acting else ()
    if lines:
        services.store.commit(Commit(tuple(map(Upsert, lines))))


def _needs_rows(machine: Machine) -> bool:
    """Whether a later deployment gave the machine what there is no doing without rows."""
    if machine.guarantee == AT_LEAST_ONCE:
        return False
    told = machine.on_complete or machine.on_failure
    return bool(told) or any(each.collects or each.transactional or each.on_error for each in machine.states)


def _go_on_recorded(services: Services, machine: Machine, task: Task) -> Answer:
    """Goes on with rows, because the machine cannot do without them any more.

    The step gets a task of its own, under the next epoch. From here on everything happens once; whether the
    instance has other steps that are still carried, nobody knows: it may be completed before them.
    """
    row = replace(task, epoch=task.epoch + 1, created=services.clock())
    instance, record = services.store.lookup([instance_key(task.step.instance), record_key(task.step.name)])
    if record is not None:
        return Answer("replayed")
    inserts = [Insert(row)]
    if instance is None:
        started = task.started or services.clock()
        inserts.append(
            Insert(
                Instance(
                    task.step.instance,
                    machine.name,
                    InstanceStatus.RUNNING,
                    started,
                    task.step.name,
                    definition_hash(machine),
                )
            )
        )
    try:
        services.store.commit(Commit(tuple(inserts)))
    except AlreadyExistsError:  # another delivery, or another branch, was faster: look again
        enqueue_in_flight(services, [task.step.name])
        return Answer("retry", "this step is being recorded")
    enqueue(services, [row])
    return Answer("later", "this machine keeps records by now")
