"""Steps that only had to find a deployment that knows their machine: they hand on to what was meant."""

from __future__ import annotations

from dataclasses import replace

from fantasm_gcp.core.definition import PSEUDO_INIT, PSEUDO_JOIN, Machine
from fantasm_gcp.core.joins import released, way_to
from fantasm_gcp.core.records import Instance, Stored, Task
from fantasm_gcp.core.step import Acted, Following, first_task, release_of
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import MissingDefinitionError


def is_deferred(task: Task) -> bool:
    """Whether a step is of this kind: it has no state of its own."""
    return task.step.target in (PSEUDO_INIT, PSEUDO_JOIN)


def forward(services: Services, task: Task, instance: Stored[Instance] | None) -> Following:
    """What a start or the release of joins comes to that the deployment before did not know how to make.

    Raises ``MissingDefinitionError`` where this one does not know either.
    """
    machine = services.definitions.machines.get(task.step.machine)
    if machine is None:
        raise MissingDefinitionError(
            f"definition missing: this deployment has no machine {task.step.machine!r}"
        )
    if task.step.target == PSEUDO_INIT:
        return Following(Acted(), (_start(services, machine, task),))
    if instance is None:
        return Following(Acted())
    return Following(Acted(), _releases(services, machine, instance.row))


def _start(services: Services, machine: Machine, task: Task) -> Task:
    now = services.clock()
    step, headers = task.step, task.headers
    return first_task(
        machine, step.instance, task.context, task.method, now, task.started, headers, services.pin
    )


def _releases(services: Services, machine: Machine, instance: Instance) -> tuple[Task, ...]:
    """Those joins go first that no other waiting one can reach, as if they had been released at once."""
    waiting, now = services.store.joins_waiting(instance.id), services.clock()
    noticed = replace(instance, closings=instance.closings - 1)  # this step's own release has counted one
    states = released(machine, waiting)
    return tuple(release_of(machine, noticed, state, way_to(machine, state), now) for state in states)
