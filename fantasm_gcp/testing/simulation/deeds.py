"""What operators and callers do while a run goes on: one entry of the table for each.

Whoever gives a command and hears no answer gives it again, until there is one. When nothing else is left to
do, operators undo what holds instances up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import Hold, InstanceStatus, Task, TaskStatus
from fantasm_gcp.engine import operating
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.engine.sweeping import sweep
from fantasm_gcp.errors import CommandError, NotThereError
from fantasm_gcp.testing.harness import Harness
from fantasm_gcp.testing.simulation.features import CHANGING
from fantasm_gcp.testing.simulation.journal import Journal
from fantasm_gcp.testing.simulation.plan import CHILD, MAIN, OK, Plan

OVERDUE = 900.0
"""Seconds that the last sweep waits: by then everything is overdue that anybody lost."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a command is given: the harness, what was committed so far, and the plan."""

    harness: Harness
    journal: Journal
    plan: Plan

    @property
    def services(self) -> Services:
        return self.harness.fantasm.services


Targets = Callable[[Scene], Sequence[str]]


def _none(_: Scene) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Deed:
    """One kind of command.

    ``targets`` are what it may be given for at any moment, ``at_rest`` what it has to be given for before a
    run can end. ``act`` gives it. ``odds`` are relative to those of the others. ``relaxes`` tells that what
    must have happened is the most there may be from then on.
    """

    name: str
    odds: float
    act: Callable[[Scene, str], Any]
    targets: Targets = _none
    at_rest: Targets = _none
    relaxes: bool = False


def command(deed: Deed, scene: Scene, target: str) -> Callable[[], bool]:
    """The deed as a strand runs it; it answers whether it was heard."""

    def act() -> bool:
        try:
            return deed.act(scene, target) is not False
        except (NotThereError, CommandError):
            return True  # as things are, there is nothing to be done

    return act


def _start(scene: Scene, key: str) -> bool:
    """The same start again is no other one."""
    answer = scene.harness.start(f"{MAIN}/", method=scene.plan.method, headers={"Idempotency-Key": key})
    return answer.status_code == 200


def _redrive(scene: Scene, step: str) -> None:
    redrive(scene.services, StepName(step))


def _skip(scene: Scene, step: str) -> None:
    """Goes on without the step where that does no harm to what comes after it, else ends the branch."""
    row = scene.journal.task(step)
    stage = scene.plan.machine(row.step.machine).stage(row.step.target) if row else None
    event = ""
    if row and stage and not scene.plan.machine(row.step.machine).is_last(stage):
        event = "" if any(map(stage.amount, CHANGING)) else OK
    redrive(scene.services, StepName(step), skip=event)


def _sweep_late(scene: Scene, _: str) -> None:
    scene.harness.clock.sleep(OVERDUE)
    sweep(scene.services)


def _hold(scene: Scene, where: str) -> None:
    machine, _, state = where.partition("/")
    operating.hold(scene.services, machine, state)


def _release(scene: Scene, where: str) -> None:
    machine, _, state = where.partition("/")
    operating.release(scene.services, machine, state)


def _instances(*statuses: InstanceStatus) -> Targets:
    def targets(scene: Scene) -> Sequence[str]:
        return [
            each.id
            for each in scene.journal.instances()
            if each.status in statuses and each.machine in (MAIN, CHILD)
        ]

    return targets


def _places(scene: Scene) -> Sequence[str]:
    """What can be held: a machine, and each of its states."""
    return [MAIN, *(f"{MAIN}/{each.name}" for each in scene.plan.machine(MAIN).stages)]


def _held(scene: Scene) -> Sequence[str]:
    return [f"{row.machine}/{row.state}".rstrip("/") for row in scene.journal.read(Hold.kind)]


def _without_task(scene: Scene) -> Sequence[str]:
    lost = any(each.status is TaskStatus.QUEUED for each in scene.journal.read(Task.kind))
    return ("everything",) if lost else ()


def _failed(scene: Scene) -> Sequence[str]:
    return scene.journal.failed()


RUNNING, PAUSED = InstanceStatus.RUNNING, InstanceStatus.PAUSED
START = Deed("start", 1, _start, lambda _: ("one",))

DEEDS: tuple[Deed, ...] = (
    START,
    Deed("redrive", 10, _redrive, _failed, _failed),
    Deed("sweep", 3, lambda scene, _: sweep(scene.services), lambda _: ("everything",)),
    Deed(
        "pause", 1, lambda scene, name: operating.pause(scene.services, InstanceId(name)), _instances(RUNNING)
    ),
    Deed(
        "resume",
        2,
        lambda scene, name: operating.resume(scene.services, InstanceId(name)),
        _instances(PAUSED, RUNNING),
        _instances(PAUSED),
    ),
    Deed("hold", 1, _hold, _places),
    Deed("release", 2, _release, _held, _held),
    Deed(
        "redrive all of",
        1,
        lambda scene, name: operating.redrive_instance(scene.services, InstanceId(name)),
        _instances(RUNNING, InstanceStatus.FAILED),
    ),
    Deed(
        "redrive whatever failed in",
        1,
        lambda scene, name: operating.redrive_matching(scene.services, name),
        lambda _: (MAIN,),
    ),
    Deed(
        "cancel",
        0.3,
        lambda scene, name: operating.cancel(scene.services, InstanceId(name)),
        _instances(RUNNING, PAUSED, InstanceStatus.FAILED),
        relaxes=True,
    ),
    Deed("skip", 0.3, _skip, _failed, relaxes=True),
    Deed("sweep later", 0, _sweep_late, _none, _without_task),
)
"""By their number on the tape."""
