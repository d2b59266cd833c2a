"""The actions of simulated machines: they do what the plan says of the state that they run in.

What they did is told by entities that they stage: a step that is committed leaves one, with a key of its
own for every time that the action ran, so a step that was committed twice leaves two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from google.cloud import datastore

from fantasm_gcp import Context, Contexts, HaltMachineError, RetryLater
from fantasm_gcp.testing.simulation.features import Given, Move, colour, move_of, pages_of
from fantasm_gcp.testing.simulation.oracle import LEFT, Expected
from fantasm_gcp.testing.simulation.plan import CHILD, MAIN, ROOT_TOKEN, Machine, Plan, Stage
from fantasm_gcp.testing.simulation.tape import Track

VISIT = "SimulationVisit"
TALLY = "SimulationTally"
"""Kinds of what actions write: one entity for each committed step, one counter for each stage."""


ENDURED = 3
"""Failures of a machine without a limit of retries until somebody mends its state."""


class Play:
    """What the actions of one run share: the plan, their luck, and what they noticed.

    ``relaxed``: something was stopped on purpose, so what must have happened is the most there may be.
    ``awaited`` are the spawned instances that one waits for and that have not ended. ``mended`` is set once
    states that fail do so no more: by operators or, where a machine never gives up,
    after a while.
    """

    def __init__(
        self,
        plan: Plan,
        expected: Expected,
        track: Track,
        luck: Sequence[float],
        awaited: Callable[[str], Sequence[str]],
    ) -> None:
        self.plan = plan
        self.expected = expected
        self.relaxed = expected.stops
        self.mended = False
        self.complaints: list[str] = []
        self._track = track
        self._luck = luck
        self._awaited = awaited
        self._remembered: dict[str, str] = {}
        self._runs = 0
        self._failures = 0

    def number_run(self) -> str:
        """A number for this time that an action runs."""
        self._runs += 1
        return str(self._runs)

    def is_broken(self, machine: Machine) -> bool:
        """Whether states that fail do so still."""
        self._failures += 1
        self.mended |= machine.retries is None and self._failures > ENDURED
        return not self.mended

    def check_join(self, given: Any, stage: Stage, tokens: Sequence[str], round_: int) -> None:
        """Complains of a join that was released before everything it waits for had come."""
        if self.plan.tight or stage.amount("parts") or stage.amount("grouped"):
            return  # it has several parts, and what comes after one of them may be faster than another
        awaited = self._awaited(given.instance_name)
        if awaited:
            self.complaints.append(f"{stage.name} did not wait for {', '.join(awaited)}")
        if given.machine_name == MAIN and not self.relaxed:
            wanted = self.expected.tokens(MAIN, stage.name, round_)
            if wanted != set(tokens):
                self.complaints.append(f"{stage.name} got {sorted(tokens)} instead of {sorted(wanted)}")

    def check_once(self, given: Any) -> None:
        """Calls something once for a step, and complains where it is not remembered."""
        value = given.once("number", self.number_run)
        first = self._remembered.setdefault(given.idempotency_key, value)
        if value != first:
            self.complaints.append(f"{given.idempotency_key} remembers {first}, and later {value}")

    def draw(self, choices: int) -> int:
        return self._track.draw(choices)

    def strike(self) -> None:
        """Bad luck, now and then: an exception, or the wish to be tried again later."""
        match self._track.draw(4, self._luck):
            case 1:
                raise RuntimeError("bad luck")
            case 2:
                raise RetryLater(2)
            case 3:
                raise RetryLater(10_800)


_now: list[Play] = []


@contextmanager
def playing(play: Play) -> Iterator[None]:
    """Has the actions of this process act for one run."""
    _now.append(play)
    try:
        yield
    finally:
        _now.pop()


def fields(tokens: Sequence[str], round_: int) -> dict[str, Any]:
    """What a context holds: its tokens, and what tells groups apart."""
    shade = colour(tokens)
    return {"tokens": list(tokens), "round": round_, "colour": shade, "round_colour": f"{round_}/{shade}"}


def act(given: Any, obj: Any) -> str | None:
    """The action of every state."""
    return _act(_now[-1], given, tuple(obj.get("results") or ()))


act_elsewhere = act
"""The same under the name that another deployment has for it."""


class Paging:
    """The action of a state with pages: an item at a time or, where pages are ragged, one or two."""

    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        play = _now[-1]
        stage = _stage(play, context)
        first, items = int(token or 0), pages_of(stage)
        last = first + 1 + (play.draw(2) if stage.amount("ragged") else 0)
        if "until" in obj:
            last = int(obj["until"])
        obj.results = list(range(first, min(last, items)))
        return str(last) if last < items else None

    def execute(self, context: Any, obj: Any) -> str | None:
        return act(context, obj)


class PagingElsewhere(Paging):
    """The same under another name."""


def leave(given: Any, _: Any) -> None:
    """The exit action of a final state."""
    play = _now[-1]
    _stage_visit(play, given, given.state_name + LEFT, 0, tuple(given["tokens"]))
    play.strike()


def _stage(play: Play, given: Any) -> Stage:
    return play.plan.machine(given.machine_name).stage(given.state_name)


def _act(play: Play, given: Context | Contexts, page: tuple[int, ...]) -> str | None:
    stage = _stage(play, given)
    machine = play.plan.machine(given.machine_name)
    merged = _merged(play, stage, given)
    move = move_of(machine, stage, Given(merged.tokens, merged.round, page))
    if stage.amount("fails") and play.is_broken(machine):
        if stage.amount("fails") == 1:
            raise RuntimeError("broken until it is mended")
        return "no-such-event"
    _stage_visit(play, given, stage.name, merged.round, move.tokens)
    if stage.amount("once"):
        play.check_once(given)
    if stage.amount("transactional"):
        _tally(given, stage, len(move.tokens))
    _go_on(given, move)
    play.strike()
    if move.halts:
        raise HaltMachineError("as planned", logLevel=None, scope=move.halts)  # type: ignore[arg-type]  # one of two
    return move.event


def _merged(play: Play, stage: Stage, given: Context | Contexts) -> Given:
    """What came in. Contexts that are no matter of one batch are complained about."""
    contexts = given if isinstance(given, Contexts) else [given]
    tokens = tuple(token for each in contexts for token in each.get("tokens", [ROOT_TOKEN]))
    rounds = {each.get("round", 0) for each in contexts}
    shades = {each.get("colour") for each in contexts}
    if len(rounds) > 1 or (stage.amount("grouped") and len(shades) > 1):
        play.complaints.append(f"a batch of {stage.name} is of more than one group: {list(contexts)}")
    if stage.amount("join"):
        play.check_join(given, stage, tokens, max(rounds, default=0))
    return Given(tokens, max(rounds, default=0))


def _stage_visit(play: Play, given: Any, stage: str, round_: int, tokens: Sequence[str]) -> None:
    entity = _entity(given.datastore.key(VISIT, play.number_run()))
    entity.update(machine=given.machine_name, stage=stage, round=round_, tokens=list(tokens))
    given.put(entity)


def _tally(given: Any, stage: Stage, count: int) -> None:
    """Counts in the step's transaction: others that count at the same time conflict with it."""
    client = given.datastore
    key = client.key(TALLY, f"{given.machine_name}/{stage.name}")
    tally = client.get(key) or _entity(key)
    tally["n"] = tally.get("n", 0) + count
    client.put(tally)


def _entity(key: Any) -> Any:
    return datastore.Entity(key)  # type: ignore[no-untyped-call]  # the client is untyped


def _go_on(given: Any, move: Move) -> None:
    """Forks and spawns, and has the branch's own context go on with its tokens."""
    own = given.context if isinstance(given, Contexts) else given
    for tokens in move.forks:
        given.fork(fields(tokens, move.round))
    for each in move.starts:
        if each.name is not None:
            given.spawn(CHILD, fields([each.token], 0), task_name=each.name)
    for join in (False, True):
        unnamed = [each for each in move.starts if each.name is None and each.join is join]
        if unnamed:
            given.spawn(CHILD, [fields([each.token], 0) for each in unnamed], join=join)
    own.update(fields(move.tokens, move.round))
