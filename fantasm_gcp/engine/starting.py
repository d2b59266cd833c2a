"""What a start comes to: the rows of an instance and of its first step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fantasm_gcp.core.casts import cast_arguments
from fantasm_gcp.core.context import Scope, Spawn
from fantasm_gcp.core.definition import AT_LEAST_ONCE, Machine
from fantasm_gcp.core.headers import Headers
from fantasm_gcp.core.names import InstanceId, digest, instance_id, keyed_instance_id
from fantasm_gcp.core.records import Instance, InstanceStatus
from fantasm_gcp.core.step import Start, first_task
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import StartError, StepError


@dataclass(frozen=True, slots=True)
class Wish:
    """A start as it is asked for: a machine, its context, and when and how. ``countdown`` is in seconds.

    ``nonce`` makes the instance's id unique where no ``key`` makes it deterministic.
    """

    machine: str
    context: Mapping[str, Any]
    nonce: str
    method: str = "POST"
    countdown: float = 0
    key: str | None = None
    headers: Headers = ()
    parent: InstanceId | None = None


def plan(services: Services, wish: Wish) -> Start:
    """The rows of a start.

    Raises ``UnknownMachineError``, ``StartError`` for text that cannot be cast to its context type,
    ``ContextTooLargeError``, and ``TypeError`` for a value that cannot cross a task boundary.
    """
    machine = services.definitions.machine(wish.machine)
    casts = services.casts.get(wish.machine, {})
    context = services.codec.encode(cast_arguments(wish.context, casts))
    now = services.clock()
    if wish.key is None:
        name = instance_id(wish.machine, now, wish.nonce)
    else:
        name = keyed_instance_id(wish.machine, wish.key)
    task = first_task(machine, name, context, wish.method, now + wish.countdown, now, wish.headers)
    instance = Instance(
        name,
        wish.machine,
        InstanceStatus.RUNNING,
        now,
        task.step.name,
        definition_hash(machine),
        parent=wish.parent,
    )
    return Start(instance, task, named=wish.key is not None)


def start_of(services: Services, spawn: Spawn, scope: Scope, headers: Headers, index: int) -> Start:
    """The rows of an instance that a step spawns. Raises ``StepError`` for a context that cannot be.

    Where one of the two machines keeps no records, it is started before the step is over: there the id is
    equal on every attempt, so that repetitions are told.
    """
    key = spawn.key
    machines = services.definitions.machines
    if key is None and AT_LEAST_ONCE in (machines[each].guarantee for each in (spawn.machine, scope.machine)):
        key = f"{scope.step}--{index}"
    nonce = digest(scope.step, str(index), length=16)
    wish = Wish(
        spawn.machine,
        spawn.data,
        nonce,
        method=spawn.method,
        countdown=spawn.countdown,
        key=key,
        headers=headers,
        parent=scope.instance,
    )
    try:
        return plan(services, wish)
    except (StartError, TypeError) as error:
        raise StepError(f"the context for machine {spawn.machine!r} cannot be: {error}") from error


def definition_hash(machine: Machine) -> str:
    """Equal for equal definitions: which version of a machine an instance was started with."""
    return hashlib.sha256(repr(machine).encode()).hexdigest()[:16]
