"""Starting a machine, and running a failed step again."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fantasm_gcp.core.codec import encode
from fantasm_gcp.core.definition import AT_LEAST_ONCE, Machine
from fantasm_gcp.core.names import InstanceId, StepName, instance_id, keyed_instance_id
from fantasm_gcp.core.records import (
    Commit,
    Insert,
    Instance,
    InstanceStatus,
    TaskStatus,
    Update,
    instance_key,
    queued_again,
    task_key,
)
from fantasm_gcp.core.step import first_task
from fantasm_gcp.engine.enqueue import enqueue, enqueue_in_flight
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import AlreadyExistsError, ConflictError, UnavailableError


@dataclass(frozen=True, slots=True)
class Started:
    """A start's instance; ``created`` is False where the idempotency key had started it before.

    A machine that keeps no records cannot tell: there ``created`` is always True.
    """

    instance: InstanceId
    created: bool


def start(
    services: Services,
    machine_name: str,
    context: Mapping[str, Any],
    *,
    method: str = "POST",
    key: str | None = None,
) -> Started:
    """Starts an instance of a machine. With a key, the same start twice is one instance.

    Raises ``UnknownMachineError``, ``ContextTooLargeError``, ``TypeError`` for a value that cannot cross a
    task boundary, and ``UnavailableError`` when it is not certain that the instance will run: then the same
    start, with a key, may be tried again.
    """
    machine = services.definitions.machine(machine_name)
    encoded = encode(context)
    now = services.clock()
    instance = keyed_instance_id(machine_name, key) if key else instance_id(machine_name, now, _nonce())
    task = first_task(machine, instance, encoded, method, now)
    if machine.guarantee == AT_LEAST_ONCE:
        enqueue(services, [task], AT_LEAST_ONCE)
        return Started(instance, created=True)
    row = Instance(
        instance, machine_name, InstanceStatus.RUNNING, now, task.step.name, definition_hash(machine)
    )
    try:
        services.store.commit(Commit((Insert(row), Insert(task))))
    except AlreadyExistsError as error:
        if key is None:
            raise UnavailableError("the instance's name is taken, by chance: start again") from error
        enqueue_in_flight(services, [task.step.name])
        return Started(instance, created=False)
    enqueue(services, [task])
    return Started(instance, created=True)


def _nonce() -> str:
    return secrets.token_hex(8)


def definition_hash(machine: Machine) -> str:
    """Equal for equal definitions: which version of a machine an instance was started with."""
    return hashlib.sha256(repr(machine).encode()).hexdigest()[:16]


def redrive(services: Services, step: StepName) -> bool:
    """Runs a failed step again under a new epoch. False where the step is not there or has not failed.

    May be called again after ``UnavailableError``, which it raises when it is not certain that the step runs.
    """
    for attempt in range(services.limits.contention_tries):
        stored = services.store.lookup([task_key(step)])[0]
        if stored is None:
            return False
        if stored.row.status is not TaskStatus.FAILED:
            enqueue(services, [stored.row])  # which an earlier call may have failed to do
            return False
        instance = services.store.lookup([instance_key(stored.row.step.instance)])[0]
        task = queued_again(stored.row, services.clock())
        mutations = [Update(task, stored.version)]
        if instance is not None:
            redrives = instance.row.redrives + 1
            running = replace(instance.row, status=InstanceStatus.RUNNING, ended=None, redrives=redrives)
            mutations.append(Update(running, instance.version))
        try:
            services.store.commit(Commit(tuple(mutations)))
        except (ConflictError, UnavailableError):
            services.back_off(attempt)
        else:
            enqueue(services, [task])
            return True
    raise UnavailableError(f"{step} stays contended")
