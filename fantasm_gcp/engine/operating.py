"""What operators do: cancel, pause and resume instances, hold machines and states, run failed steps again.

Every command may be given again: one that has been carried out changes nothing. Raises ``CommandError``
where it cannot be carried out as things are, ``NotThereError`` where there is nothing of that name, and
``UnavailableError`` where it is not certain that it was.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fantasm_gcp.core.commits import cancelled
from fantasm_gcp.core.definition import AT_LEAST_ONCE, PSEUDO_FINAL
from fantasm_gcp.core.names import MAIN, InstanceId, instance_id
from fantasm_gcp.core.records import (
    Commit,
    Delete,
    Hold,
    Insert,
    Instance,
    InstanceStatus,
    Role,
    Stored,
    Task,
    Update,
    Upsert,
    hold_key,
    instance_key,
)
from fantasm_gcp.core.step import operation
from fantasm_gcp.engine.enqueue import enqueue, enqueue_in_flight
from fantasm_gcp.engine.operations import content_of
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.starting import definition_hash
from fantasm_gcp.errors import (
    AlreadyExistsError,
    CommandError,
    ConflictError,
    NotThereError,
    UnavailableError,
)

log = logging.getLogger("fantasm_gcp.engine")

OPERATION = "FantasmOperation"
"""The built-in machine whose instances carry out what is about steps of many instances."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a command makes of an instance: its row, and the step that does the rest.

    Without a row there is nothing to change; the step may have to be enqueued again all the same.
    """

    row: Instance | None
    step: Task | None = None


def cancel(services: Services, instance: InstanceId, note: str = "cancelled by an operator") -> Instance:
    """Stops an instance for good: nothing of it acts any more, and what it has in flight is deleted.

    Of what runs at this moment the outcome is dropped. Instances that it spawned go on.
    """

    def change(row: Instance) -> Change:
        if row.status is InstanceStatus.COMPLETED:
            raise CommandError("it is completed: there is nothing to cancel")
        stopped, deletion = cancelled(row, note, *_way(services, row), services.clock())
        if row.status is InstanceStatus.CANCELLED:
            return Change(
                None, replace(deletion, step=replace(deletion.step, branch=f"cancel{row.commands}"))
            )
        return Change(stopped, deletion)

    return _change(services, instance, change)


def pause(services: Services, instance: InstanceId) -> Instance:
    """Parks the steps of an instance from now on, each when its task comes; what runs now ends first."""

    def change(row: Instance) -> Change:
        if row.status is InstanceStatus.PAUSED:
            return Change(None)
        if row.status is not InstanceStatus.RUNNING:
            raise CommandError(f"it is {row.status}: only what runs can be paused")
        return Change(replace(row, status=InstanceStatus.PAUSED, commands=row.commands + 1))

    return _change(services, instance, change)


def resume(services: Services, instance: InstanceId) -> Instance:
    """Lets a paused instance go on; its parked steps run again at the bounded rate."""

    def change(row: Instance) -> Change:
        where = {"instance": row.id, "status": "parked"}
        if row.status is InstanceStatus.RUNNING:
            return Change(None, _operation(services, row, Role.UNPARK, where))
        if row.status is not InstanceStatus.PAUSED:
            raise CommandError(f"it is {row.status}: only what is paused can be resumed")
        running = replace(row, status=InstanceStatus.RUNNING, commands=row.commands + 1)
        return Change(running, _operation(services, running, Role.UNPARK, where))

    return _change(services, instance, change)


def redrive_instance(services: Services, instance: InstanceId) -> Instance:
    """Runs all failed steps of an instance again, at the bounded rate."""

    def change(row: Instance) -> Change:
        if row.is_over or row.status is InstanceStatus.CANCELLED:
            raise CommandError(f"it is {row.status}: there is nothing to run again")
        where = {"instance": row.id, "status": "failed"}
        paused = row.status is InstanceStatus.PAUSED
        status = InstanceStatus.PAUSED if paused else InstanceStatus.RUNNING
        running = replace(row, status=status, ended=None, commands=row.commands + 1)
        return Change(running, _operation(services, running, Role.REDRIVE, where))

    return _change(services, instance, change)


def _change(services: Services, instance: InstanceId, change: Callable[[Instance], Change]) -> Instance:
    """Changes an instance at the version that was read, in one commit with the step that does the rest."""
    for attempt in range(services.limits.contention_tries):
        stored: Stored[Instance] | None = services.store.lookup([instance_key(instance)])[0]
        if stored is None:
            raise NotThereError(f"there is no instance {instance!r}")
        wanted = change(stored.row)
        if wanted.row is None:
            if wanted.step is not None:  # an earlier call may have died before it was enqueued
                enqueue_in_flight(services, [wanted.step.step.name])
            return stored.row
        inserts = (Insert(wanted.step),) if wanted.step is not None else ()
        try:
            services.store.commit(Commit((Update(wanted.row, stored.version), *inserts)))
        except (ConflictError, AlreadyExistsError, UnavailableError):
            services.back_off(attempt)
        else:
            if wanted.step is not None:
                enqueue(services, [wanted.step])
            return wanted.row
    raise UnavailableError(f"{instance} stays contended")


def _operation(services: Services, row: Instance, role: Role, where: Mapping[str, str]) -> Task:
    queue, target = _way(services, row)
    branch, content = f"{role}{row.commands}", content_of(where)
    return operation(row, role, branch, queue, services.clock(), target=target, context=content)


def _way(services: Services, row: Instance) -> tuple[str, str | None]:
    """The queue and the target of what is done about an instance."""
    machine = services.definitions.machines.get(row.machine)
    return (machine.queue, machine.target) if machine else ("default", None)


def hold(services: Services, machine: str, state: str = "", note: str = "") -> Hold:
    """Parks the steps that come to a state of a machine, or to any of its states, until it is released.

    One that is held already keeps its time, and its note where there is no other. Each process learns of it
    within five seconds. Raises ``UnknownMachineError`` too.
    """
    _check(services, machine, state)
    if services.definitions.machine(machine).guarantee == AT_LEAST_ONCE:
        raise CommandError(
            f"machine {machine!r} keeps no records (at_least_once): nothing of it can be parked"
        )
    service = services.store.service
    before: Stored[Hold] | None = services.store.lookup([hold_key(service, machine, state)])[0]
    held = Hold(service, machine, state, services.clock(), note)
    if before is not None:
        held = replace(before.row, note=note or before.row.note)
    services.store.commit(Commit((Upsert(held),)))
    return held


def release(services: Services, machine: str, state: str = "") -> InstanceId:
    """Ends a hold; the instance answered makes the steps that it parked run again, at the bounded rate."""
    key = hold_key(services.store.service, machine, state)
    if services.store.lookup([key])[0] is None:
        raise NotThereError(f"{machine!r} is not held" if not state else f"{machine}.{state} is not held")
    where = {"machine": machine, "status": "parked"} | ({"state": state} if state else {})
    return _launch(services, Role.UNPARK, where, [Delete(key)])


def redrive_matching(services: Services, machine: str, state: str = "", fingerprint: str = "") -> InstanceId:
    """Runs the failed steps of a machine again, at the bounded rate, which the instance answered does.

    Where they are given, only those of a state, and only those that failed alike. Raises
    ``UnknownMachineError`` too.
    """
    _check(services, machine, "" if state == PSEUDO_FINAL else state)
    where = {"machine": machine, "status": "failed", "state": state, "fingerprint": fingerprint}
    return _launch(services, Role.REDRIVE, {name: value for name, value in where.items() if value}, [])


def _launch(services: Services, role: Role, where: Mapping[str, str], with_it: list[Delete]) -> InstanceId:
    """Starts an instance of the built-in machine, in one commit ``with_it``.

    Where its task cannot be created, the sweeper does that later.
    """
    machine, now = services.definitions.machine(OPERATION), services.clock()
    name = instance_id(OPERATION, now, secrets.token_hex(8))
    row = Instance(name, OPERATION, InstanceStatus.RUNNING, now, first_step="", definition="")  # type: ignore[arg-type]  # named below
    step = operation(row, role, MAIN, machine.queue, now, target=machine.target, context=content_of(where))
    words = " ".join(f"{key}={value}" for key, value in where.items())
    row = replace(row, first_step=step.step.name, definition=definition_hash(machine), note=words)
    _insert(services, Commit((*with_it, Insert(row), Insert(step))))
    try:
        enqueue(services, [step])
    except UnavailableError as error:
        log.warning("%s is recorded and has no task yet: the sweeper makes it one: %s", name, error)
    return name


def _insert(services: Services, commit: Commit) -> None:
    """Commits inserts under names of their own: one that is taken is a commit whose answer got lost."""
    for attempt in range(services.limits.contention_tries):
        try:
            services.store.commit(commit)
        except (ConflictError, UnavailableError):
            services.back_off(attempt)
        except AlreadyExistsError:
            return
        else:
            return
    raise UnavailableError("the command could not be recorded: give it again")


def _check(services: Services, machine: str, state: str) -> None:
    found = services.definitions.machine(machine)
    if state and found.state(state) is None:
        names = ", ".join(each.name for each in found.states)
        raise NotThereError(f"machine {machine!r} has no state {state!r}; its states are: {names}")
