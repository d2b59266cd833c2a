"""Machines of a simulated run as values: what their states do, and their text as an fsm.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

MAIN = "Main"
CHILD = "Child"
TOLD = "Told"
SIDE = "Side"
"""The machine that is started, the one that it spawns, the one that is told of its end; and the final state
of branches that step aside."""

OK = "ok"
AGAIN = "again"
ASIDE = "aside"
"""Events: on to the next stage, back to an earlier one, to the state ``SIDE``."""

ROOT_TOKEN = "t"  # noqa: S105  no password: what the first context is called
ACTIONS = "fantasm_gcp.testing.simulation.actions"


@dataclass(frozen=True, slots=True)
class Stage:
    """A state of a machine: its place in the machine and, by a feature's name, how much it has of that."""

    name: str
    amounts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def amount(self, feature: str) -> int:
        """How much the stage has of a feature; 0 is none."""
        return self.amounts.get(feature, 0)


@dataclass(frozen=True, slots=True)
class Machine:
    """Stages in their order: each goes on to the next one, the last is final.

    ``retries`` is its ``task_retry_limit``, None for none. ``tells`` has its completion start the machine
    ``TOLD``.
    """

    name: str
    stages: tuple[Stage, ...]
    retries: int | None = None
    tells: bool = False

    def stage(self, name: str) -> Stage:
        """The stage of that name; ``SIDE`` is one that every machine has."""
        return next((each for each in self.stages if each.name == name), Stage(SIDE))

    def is_last(self, stage: Stage) -> bool:
        return stage.name in (SIDE, self.stages[-1].name)

    def target(self, stage: Stage, event: str) -> Stage:
        """The stage that an event leads to."""
        if event == ASIDE:
            return Stage(SIDE)
        place = self.stages.index(stage)
        return self.stages[place + 1 if event == OK else loop_start(place, stage)]

    def in_loop(self, stage: Stage) -> bool:
        """Whether a branch may come through a stage more than once."""
        place = self.stages.index(stage) if stage in self.stages else -1
        loops = [(loop_start(i, each), i) for i, each in enumerate(self.stages) if each.amount("loop")]
        return any(first <= place <= last for first, last in loops)


def loop_start(place: int, stage: Stage) -> int:
    """The place of the stage that a loop goes back to: itself, or the one before it."""
    return max(0, place - (stage.amount("loop") - 1) // 2)


def loop_times(stage: Stage) -> int:
    """How often a loop goes back."""
    return 0 if not stage.amount("loop") else (stage.amount("loop") - 1) % 2 + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run is made of before anything happens to it.

    ``tight`` sets the engine's limits so low that windows are split and outcomes spread.
    """

    machines: tuple[Machine, ...]
    method: str = "POST"
    tight: bool = False

    def machine(self, name: str) -> Machine:
        return next(each for each in self.machines if each.name == name)
