"""What a start comes to: the rows of an instance and of its first step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.core.casts import cast_arguments
from fantasm_gcp.core.context import Spawn
from fantasm_gcp.core.definition import AT_LEAST_ONCE, Machine
from fantasm_gcp.core.headers import Headers
from fantasm_gcp.core.names import InstanceId, digest, instance_id, keyed_instance_id, nest
from fantasm_gcp.core.receivers import is_url, mistake_in
from fantasm_gcp.core.records import Instance, InstanceStatus, Step, Task
from fantasm_gcp.core.step import Start, first_task, waiting_for
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import StartError, StepError


@dataclass(frozen=True, slots=True)
class Wish:
    """A start as it is asked for: a machine, its context, and when and how. ``countdown`` is in seconds.

    ``nonce`` makes the instance's id unique where no ``key`` makes it deterministic. ``on_complete`` and
    ``on_failure`` are told of its end, beside those whom the machine names.
    """

    machine: str
    context: Mapping[str, Any]
    nonce: str
    method: str = "POST"
    countdown: float = 0
    key: str | None = None
    headers: Headers = ()
    parent: InstanceId | None = None
    on_complete: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()


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
    due = now + wish.countdown
    task = first_task(machine, name, context, wish.method, due, now, wish.headers, services.pin)
    instance = Instance(
        name,
        wish.machine,
        InstanceStatus.RUNNING,
        now,
        task.step.name,
        definition_hash(machine),
        parent=wish.parent,
        headers=wish.headers,
        method=wish.method,
        pinned=task.pinned,
        on_complete=_receivers(services, machine, (*machine.on_complete, *wish.on_complete)),
        on_failure=_receivers(services, machine, (*machine.on_failure, *wish.on_failure)),
    )
    return Start(instance, task, named=wish.key is not None)


def _receivers(services: Services, machine: Machine, receivers: Sequence[str]) -> tuple[str, ...]:
    """Who is told of an end, each once. Raises ``StartError`` for who cannot be told."""
    if receivers and machine.guarantee == AT_LEAST_ONCE:
        raise StartError(
            f"machine {machine.name!r} keeps no records (at_least_once): nobody learns of its end"
        )
    for receiver in receivers:
        mistake = mistake_in(receiver)
        if mistake:
            raise StartError(f"{receiver!r} cannot be told of an end: {mistake}")
        if receiver in BUILT_IN:
            raise StartError(f"{receiver!r} is no machine of the application's own: nothing is told to it")
        if not is_url(receiver):
            services.definitions.machine(receiver)
        elif services.webhooks is None:
            raise StartError("webhooks are not configured here")
        else:
            services.webhooks.check(receiver)
    return tuple(dict.fromkeys(receivers))


def start_of(services: Services, spawn: Spawn, task: Task, headers: Headers, index: int) -> Start:
    """The rows of an instance that a step spawns. Raises ``StepError`` for a context that cannot be.

    Where one of the two machines keeps no records, it is started before the step is over: there the id is
    equal on every attempt, so that repetitions are told.
    """
    key, step = spawn.key, task.step
    machines = services.definitions.machines
    if key is None and AT_LEAST_ONCE in (machines[each].guarantee for each in (spawn.machine, step.machine)):
        key = f"{step.name}--{index}"
    nonce = digest(step.name, str(index), length=16)
    wish = Wish(
        spawn.machine,
        spawn.data,
        nonce,
        method=spawn.method,
        countdown=spawn.countdown,
        key=key,
        headers=headers,
        parent=step.instance,
    )
    try:
        start = plan(services, wish)
        return _joined(start, step, index) if spawn.join else start
    except (StartError, TypeError) as error:
        raise StepError(f"the context for machine {spawn.machine!r} cannot be: {error}") from error


def _joined(start: Start, step: Step, index: int) -> Start:
    """A start whose end the instance of the step that spawns it waits for."""
    waits = replace(step, branch=nest(step.branch, f"j{step.n}-{index}"))
    instance = replace(start.instance, joined=waits.name)
    return replace(start, instance=instance, waiting=waiting_for(waits, instance))


def definition_hash(machine: Machine) -> str:
    """Equal for equal definitions: which version of a machine an instance was started with."""
    return hashlib.sha256(repr(machine).encode()).hexdigest()[:16]
