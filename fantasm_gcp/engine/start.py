"""Starting machines."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fantasm_gcp.core.callback import PENDING_WAIT
from fantasm_gcp.core.context import contexts_of, countdowns_of, method_of, start_key
from fantasm_gcp.core.definition import AT_LEAST_ONCE
from fantasm_gcp.core.headers import Headers
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import Commit, Insert
from fantasm_gcp.core.step import Start
from fantasm_gcp.engine.enqueue import enqueue, enqueue_in_flight
from fantasm_gcp.engine.ports import JoinedTransaction, Services
from fantasm_gcp.engine.starting import Wish, plan
from fantasm_gcp.errors import AlreadyExistsError, AlreadyStartedError, StartError, UnavailableError
from fantasm_gcp.observing.steps import starting

log = logging.getLogger("fantasm_gcp.engine")


@dataclass(frozen=True, slots=True)
class Started:
    """A start's instance; ``created`` is False where its key or name had started it before.

    A machine that keeps no records cannot tell: there ``created`` is always True.
    """

    instance: InstanceId
    created: bool


@dataclass(frozen=True, slots=True)
class Ends:
    """Who is to be told of an instance's end, beside those whom its machine names: machines and URLs."""

    on_complete: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()


NOBODY = Ends()


def start(
    services: Services,
    machine: str,
    context: Mapping[str, Any],
    *,
    method: str = "POST",
    key: str | None = None,
    headers: Headers = (),
    ends: Ends = NOBODY,
) -> Started:
    """Starts an instance of a machine. With a key, the same start twice is one instance.

    It runs once its rows are there: where its task cannot be created, the sweeper does that later. Raises
    what :func:`~fantasm_gcp.engine.starting.plan` raises, and ``UnavailableError`` when it is not certain
    that there are rows: then the same start, with a key, may be tried again.
    """
    wish = Wish(
        machine,
        context,
        _nonce(),
        method=method,
        key=key,
        headers=headers,
        on_complete=ends.on_complete,
        on_failure=ends.on_failure,
    )
    with starting(plan(services, wish)) as planned:
        return launch(services, planned)


def start_many(
    services: Services,
    machine: str,
    contexts: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    *,
    task_name: str | None = None,
    method: str = "POST",
    countdown: float | Sequence[float] = 0,
    headers: Headers = (),
    raise_if_exists: bool = False,
    transaction: JoinedTransaction | None = None,
    ends: Ends = NOBODY,
) -> tuple[Started, ...]:
    """Starts an instance for each context, in order.

    Contexts, countdowns and names are those of :meth:`fantasm_gcp.Context.spawn`. In a ``transaction`` the
    instances start if it commits, and only then. Raises what :func:`start` raises, ``ValueError`` for
    countdowns or a method that cannot be, and with ``raise_if_exists`` :class:`AlreadyStartedError`: what
    comes after it is not started.
    """
    services.definitions.machine(machine)
    given = contexts_of(contexts)
    waits = countdowns_of(countdown, len(given))
    plans = []
    for i, (context, wait) in enumerate(zip(given, waits, strict=True)):
        key = None if task_name is None else start_key(task_name, i)
        due = wait if transaction is None else max(wait, PENDING_WAIT)
        wish = Wish(machine, context, _nonce(), method_of(method), due, key, headers)
        wish = replace(wish, on_complete=ends.on_complete, on_failure=ends.on_failure)
        plans.append(plan(services, wish))
    started = []
    for each in plans:
        with starting(each) as planned:
            if transaction is None:
                made = launch(services, planned)
            else:
                made = launch_with(services, planned, transaction)
        if not made.created:
            message = f"machine {machine!r} was started before under the name {task_name!r} ({made.instance})"
            if raise_if_exists:
                raise AlreadyStartedError(message)
            log.info("%s", message)
        started.append(made)
    return tuple(started)


def launch(services: Services, start: Start) -> Started:
    """Makes a planned start happen. May be repeated: the same instance is started once."""
    instance, task = start.instance, start.task
    if _keeps_no_records(services, start):
        enqueue(services, [task], AT_LEAST_ONCE)
        return Started(instance.id, created=True)
    try:
        services.store.commit(Commit((Insert(instance), Insert(task))))
    except AlreadyExistsError as error:
        if not start.named:
            raise UnavailableError("the instance's name is taken, by chance: start again") from error
        enqueue_in_flight(services, [task.step.name])
        return Started(instance.id, created=False)
    try:
        enqueue(services, [task])
    except UnavailableError as error:
        log.warning("%s is recorded and has no task yet: the sweeper makes it one: %s", instance.id, error)
    return Started(instance.id, created=True)


def launch_with(services: Services, start: Start, transaction: JoinedTransaction) -> Started:
    """Adds a planned start to a caller's transaction: the instance runs if, and only if, that commits.

    Its task is created before, so that nothing has to be done after the commit: it waits for the rows, and
    goes away without them.
    """
    if _keeps_no_records(services, start):
        raise StartError(
            f"machine {start.instance.machine!r} keeps no records (guarantee at_least_once): "
            "its start cannot be part of a transaction"
        )
    found = transaction.lookup([start.instance.key])[0] if start.named else None
    if found is not None:
        enqueue_in_flight(services, [found.row.first_step])
        return Started(start.instance.id, created=False)
    # An earlier transaction under the same name may have failed: its task's name is used up for days.
    epoch = int(services.clock()) if start.named else 0
    task = replace(start.task, epoch=epoch)
    enqueue(services, [task], pending=task.due + services.limits.pending)
    transaction.stage(Commit((Insert(start.instance), Insert(task))))
    return Started(start.instance.id, created=True)


def _keeps_no_records(services: Services, start: Start) -> bool:
    return services.definitions.machine(start.instance.machine).guarantee == AT_LEAST_ONCE


def _nonce() -> str:
    return secrets.token_hex(8)
