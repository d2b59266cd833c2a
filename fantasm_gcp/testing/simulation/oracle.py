"""The model: what must have happened to a plan's machines, whatever happened on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fantasm_gcp.testing.simulation.features import Given, Move, move_of, pages_of
from fantasm_gcp.testing.simulation.plan import CHILD, MAIN, ROOT_TOKEN, TOLD, Machine, Plan, Stage

LEFT = "/left"
"""Stands behind a stage's name where it was left at the end."""

Visit = tuple[str, str, int, str]
"""A token at a stage: machine, stage, round of the loop, token."""


@dataclass(slots=True)
class Expected:
    """What must be there in the end.

    ``visits`` is how often each token was at each stage in a step that was committed; ``tallies`` what
    transactional stages have counted; ``instances`` how many there are of each machine. ``stops`` tells that
    an instance stops itself: then all of it is the most there may be. ``perhaps`` are the stages that
    a branch may come through without acting, because an error led on.
    """

    visits: Counter[Visit] = field(default_factory=Counter)
    tallies: Counter[tuple[str, str]] = field(default_factory=Counter)
    instances: Counter[str] = field(default_factory=Counter)
    stops: bool = False
    perhaps: set[tuple[str, str]] = field(default_factory=set)

    def tokens(self, machine: str, stage: str, round_: int) -> set[str]:
        """The tokens that come to a stage in a round."""
        return {token for *place, token in self.visits if place == [machine, stage, round_]}


@dataclass(slots=True)
class _Walk:
    plan: Plan
    expected: Expected = field(default_factory=Expected)
    waiting: list[tuple[Machine, Stage, Given]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def start(self, machine: str, token: str) -> None:
        found = self.plan.machine(machine)
        self.expected.instances[machine] += 1
        self.waiting.append((found, found.stages[0], Given((token,))))

    def visit(self, machine: Machine, stage: Stage, given: Given) -> None:
        move = move_of(machine, stage, given)
        if move.halts:
            self.expected.stops |= move.halts == "instance"
            return
        for token in move.tokens:
            self.expected.visits[machine.name, stage.name, given.round, token] += 1
            if stage.amount("left"):
                self.expected.visits[machine.name, stage.name + LEFT, 0, token] += 1
        if stage.amount("recovers"):
            self.expected.perhaps.add((machine.name, stage.name))
        if stage.amount("transactional"):
            self.expected.tallies[machine.name, stage.name] += len(move.tokens)
        self._follow(machine, stage, move)

    def _follow(self, machine: Machine, stage: Stage, move: Move) -> None:
        for start in move.starts:
            if start.name not in self.names:
                self.start(CHILD, start.token)
            if start.name is not None:
                self.names.add(start.name)
        if move.event is not None:
            target = machine.target(stage, move.event)
            for tokens in (move.tokens, *move.forks):
                self.waiting.append((machine, target, Given(tokens, move.round)))


def expect(plan: Plan, most: int | None = None) -> Expected | None:
    """What must have happened; None where that is more than ``most`` steps."""
    walk = _Walk(plan)
    walk.start(MAIN, ROOT_TOKEN)
    if plan.machine(MAIN).tells:
        walk.start(TOLD, ROOT_TOKEN)
    while walk.waiting:
        machine, stage, given = walk.waiting.pop()
        for item in range(max(1, pages_of(stage))):
            page = (item,) if pages_of(stage) else ()
            walk.visit(machine, stage, Given(given.tokens, given.round, page))
        if most is not None and walk.expected.visits.total() > most:
            return None
    return walk.expected
