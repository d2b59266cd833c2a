"""What states of simulated machines can do: one entry of the table for each.

An entry says how often it is drawn, where it fits, what it makes of the contexts that come in, and how it
stands in the fsm.yaml. The same interpretation serves the actions and the model of what must have happened:
what comes out of a context depends on its tokens alone, never on who collected it with whom.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fantasm_gcp.testing.simulation.plan import AGAIN, ASIDE, OK, Machine, Stage, loop_times

PERIODS = (1, 4, 30)
"""Seconds of fan-in windows."""

COUNTDOWNS = ("{minimum: 0, maximum: 2}", "{minimum: 10800, maximum: 10810}")
"""Of transitions that wait: for a moment, or for so long that a task of theirs is scheduled far ahead."""

CHANGING = ("pages", "fork", "spawn", "spawn_named", "spawn_joined", "halt", "stop", "aside", "loop")
SPAWNING = ("spawn", "spawn_named", "spawn_joined")
"""Features by which something else comes out of a stage than what came in."""


@dataclass(frozen=True, slots=True)
class Given:
    """What comes into a stage: tokens (several after a fan-in), the round of a loop, the items of a page."""

    tokens: tuple[str, ...]
    round: int = 0
    page: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Spawned:
    """A machine to be started with a token.

    It has a name where two may want the same one; ``join``: its end is waited for.
    """

    token: str
    name: str | None = None
    join: bool = False


@dataclass(slots=True)
class Move:
    """What comes of a stage: the branch's own tokens and those of its forks, the event, starts, a halt.

    ``halts`` is the scope of the halt, or empty.
    """

    tokens: tuple[str, ...]
    round: int
    event: str | None
    forks: list[tuple[str, ...]] = field(default_factory=list)
    starts: list[Spawned] = field(default_factory=list)
    halts: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """Where a feature is to go: the stages drawn before, whether it is the last one, and of which machine."""

    before: tuple[Stage, ...]
    last: bool
    child: bool
    amounts: Mapping[str, int]

    @property
    def first(self) -> bool:
        return not self.before

    @property
    def single(self) -> bool:
        """Whether what comes into the stage is one token for sure."""
        return not any(map(merges, (*self.before, Stage("", self.amounts))))


def collects(stage: Stage) -> bool:
    """Whether a stage is a fan-in or a join."""
    return bool(stage.amount("gather") or stage.amount("join"))


def merges(stage: Stage) -> bool:
    """Whether contexts with more than one token come out of a stage."""
    return collects(stage) or bool(stage.amount("ragged"))


Act = Callable[[Move, Given, int], None]


def _nothing(move: Move, given: Given, amount: int) -> None:
    """For features that are the engine's matter alone."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that a state can do; see the module.

    Amounts from 1 to ``most`` are drawn ``odds`` of the times, 0 otherwise. ``attributes`` are those of the
    state in the fsm.yaml.
    """

    name: str
    most: int
    odds: float
    fits: Callable[[Draft], bool]
    act: Act = _nothing
    attributes: Callable[[int], Mapping[str, str]] = lambda _: {}

    @property
    def weights(self) -> Sequence[float]:
        return (1 - self.odds, *(self.odds / self.most for _ in range(self.most)))


def child(token: str, label: str, round_: int) -> str:
    """A token that comes of another one; rounds of a loop make different ones."""
    return f"{token}.{label}{f'r{round_}' if round_ else ''}"


def number(token: str) -> int:
    """The number of the fork, page or item that a token came of; 0 for one that came of none."""
    found = re.search(r"(\d+)(?:r\d+)?$", token)
    return int(found[1]) if found else 0


def _page(move: Move, given: Given, _: int) -> None:
    move.tokens = tuple(child(token, str(item), given.round) for token in move.tokens for item in given.page)


def _fork(move: Move, given: Given, amount: int) -> None:
    for i in range(1, amount + 1):
        move.forks.append(tuple(child(token, f"f{i}", given.round) for token in move.tokens))


def _spawn(move: Move, given: Given, _: int) -> None:
    move.starts += [Spawned(child(token, "s", given.round)) for token in move.tokens]


def _spawn_named(move: Move, _: Given, __: int) -> None:
    """Siblings want the same machine started."""
    names = [token.rpartition(".")[0] or token for token in move.tokens]
    move.starts += [Spawned(child(name, "n", 0), name) for name in names]


def _spawn_joined(move: Move, given: Given, _: int) -> None:
    move.starts += [Spawned(child(token, "j", given.round), join=True) for token in move.tokens]


def _loop(move: Move, given: Given, amount: int) -> None:
    if given.round < loop_times(Stage("", {"loop": amount})):
        move.event, move.round = AGAIN, given.round + 1
    else:
        move.round = 0


def _step_aside(move: Move, _: Given, __: int) -> None:
    if number(move.tokens[0]) == 2:
        move.event, move.round, move.forks = ASIDE, 0, []


def _halt(move: Move, _: Given, __: int) -> None:
    if number(move.tokens[0]) == 1:
        move.halts = "branch"


def _stop(move: Move, _: Given, __: int) -> None:
    if number(move.tokens[0]) == 1:
        move.halts = "instance"


def _anywhere(_: Draft) -> bool:
    return True


def _has_next(draft: Draft) -> bool:
    return not draft.last


def _single(draft: Draft) -> bool:
    return draft.single and not draft.first


def _may_loop(draft: Draft) -> bool:
    """One loop in a machine; what decides by single tokens is not to meet those that were merged."""
    body = [*draft.before[-1:], Stage("", draft.amounts)]
    decides = any(each.amount(name) for each in body for name in ("halt", "stop", "aside"))
    looped = any(each.amount("loop") for each in draft.before)
    return not draft.last and not looped and not (decides and any(map(merges, body)))


def _may_collect(draft: Draft) -> bool:
    return not draft.first and not {"pages", "gather"} & draft.amounts.keys()


def _collects(draft: Draft) -> bool:
    return collects(Stage("", draft.amounts))


def _may_be_left(draft: Draft) -> bool:
    return draft.last and not _collects(draft) and "pages" not in draft.amounts


def _may_recover(draft: Draft) -> bool:
    """Only where what comes of an error is what comes of none: else nobody could tell what must happen."""
    return not draft.last and not _collects(draft) and not draft.amounts.keys() & set(CHANGING)


FEATURES: tuple[Feature, ...] = (
    Feature(
        "pages",
        3,
        0.25,
        lambda draft: not draft.child,
        _page,
        lambda _: {"action": "Paging", "continuation": "True"},
    ),
    Feature("ragged", 1, 0.5, lambda draft: "pages" in draft.amounts),
    Feature(
        "gather",
        len(PERIODS),
        0.3,
        _may_collect,
        attributes=lambda amount: {"fan_in": str(PERIODS[amount - 1])},
    ),
    Feature("join", 1, 0.3, _may_collect, attributes=lambda _: {"join": "True"}),
    Feature("grouped", 1, 0.4, _collects),
    Feature("parts", 2, 0.3, _collects, attributes=lambda amount: {"fan_in_max": str(amount)}),
    Feature("transactional", 1, 0.2, _anywhere, attributes=lambda _: {"transactional": "True"}),
    Feature("fork", 3, 0.3, _has_next, _fork),
    Feature("spawn", 1, 0.1, lambda draft: not draft.child, _spawn),
    Feature("spawn_named", 1, 0.1, lambda draft: not draft.child, _spawn_named),
    Feature("spawn_joined", 1, 0.12, lambda draft: not draft.child, _spawn_joined),
    Feature("halt", 1, 0.1, _single, _halt),
    Feature("stop", 1, 0.01, _single, _stop),
    Feature("aside", 1, 0.1, lambda draft: _single(draft) and not draft.last, _step_aside),
    Feature("loop", 4, 0.15, _may_loop, _loop),
    Feature("fails", 2, 0.06, _anywhere),
    Feature("waits", len(COUNTDOWNS), 0.15, _has_next),
    Feature("once", 1, 0.1, _anywhere),
    Feature("left", 1, 0.2, _may_be_left, attributes=lambda _: {"exit": "leave"}),
    Feature("recovers", 1, 0.3, _may_recover, attributes=lambda _: {"on_error": OK}),
)
"""In the order in which they act. Add one by an entry here; what only actions do is told there."""


def move_of(machine: Machine, stage: Stage, given: Given) -> Move:
    """What a stage makes of what comes in."""
    move = Move(given.tokens, given.round, None if machine.is_last(stage) else OK)
    for each in FEATURES:
        amount = stage.amount(each.name)
        if amount:
            each.act(move, given, amount)
    return move


def pages_of(stage: Stage) -> int:
    """How many items a stage goes through; 0 for one that has no pages."""
    return stage.amount("pages") + 1 if stage.amount("pages") else 0


def colour(tokens: Sequence[str]) -> int:
    """What tells groups apart: it follows from the tokens."""
    return sum(map(ord, tokens[0])) % 2
