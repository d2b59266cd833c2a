"""One simulated run: a machine is started, and whatever can happen to it does, by a tape."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fantasm_gcp.core.records import Entry, Hold, Record, Task, Window
from fantasm_gcp.testing.simulation.actions import TALLY, VISIT, Play, playing
from fantasm_gcp.testing.simulation.course import Course
from fantasm_gcp.testing.simulation.deeds import Scene
from fantasm_gcp.testing.simulation.drawing import draw_plan
from fantasm_gcp.testing.simulation.invariants import World, violations, violations_at_rest
from fantasm_gcp.testing.simulation.journal import Journal
from fantasm_gcp.testing.simulation.mood import Mood, draw_mood
from fantasm_gcp.testing.simulation.oracle import Expected, Visit, expect
from fantasm_gcp.testing.simulation.plan import Plan
from fantasm_gcp.testing.simulation.running import Crowd, Event
from fantasm_gcp.testing.simulation.tape import Choices, Tape
from fantasm_gcp.testing.simulation.workers import Workers

STORM = 400
"""Moves after which nothing bad happens any more."""

MOST_MOVES = 6_000
"""Moves after which a run is taken for one that never ends."""

CALM = Mood()


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a run. ``broken`` are the invariants that it broke, ``schedule`` is what happened."""

    plan: Plan
    tape: tuple[Choices, ...]
    broken: tuple[str, ...]
    schedule: tuple[Event, ...]
    world: World
    expected: Expected


def simulate_seed(seed: int) -> Run:
    """Runs a tape that is written by a seed, with the luck that it brings."""
    chance = random.Random(seed)  # noqa: S311  a seed is the point of it
    mood = draw_mood(chance)
    return simulate(Tape(chance=chance), mood)


def first_broken(seeds: Iterable[int]) -> int | None:
    """The first of some seeds whose run breaks an invariant."""
    return next((seed for seed in seeds if simulate_seed(seed).broken), None)


def simulate(tape: Tape, mood: Mood = CALM) -> Run:
    """Runs what a tape says. The same tape gives the same run, whatever the mood it was written in."""
    plan = draw_plan(tape.shape)
    expected = expect(plan)
    assert expected is not None, "without a bound there is always an answer"
    journal = Journal()
    play = Play(plan, expected, tape.luck, mood.luck, journal.awaited)
    with _silence(), playing(play), Workers(plan) as workers:
        crowd = Crowd(workers.harness, journal)
        scene = Scene(workers.harness, journal, plan)
        course = Course(tape, mood, workers, scene, play, crowd)
        broken = _run(course)
    world = _world(course)
    broken = broken or [*crowd.complaints, *violations(world, expected)]
    return Run(plan, tape.drawn, tuple(broken), tuple(crowd.schedule), world, expected)


def _run(course: Course) -> list[str]:
    """Runs to the end, and answers what was wrong before it."""
    course.begin()
    try:
        for number in range(MOST_MOVES):
            if number == STORM:
                course.tape.calm_down()
                course.play.mended = True
            if course.move():
                continue
            # Somebody who has yet to give a command again may still mend what seems to be wrong.
            broken = [] if course.owed else violations_at_rest(_world(course))
            if broken or not course.resume():
                return broken
    except RuntimeError as error:
        return [str(error)]
    finally:
        course.crowd.abandon()
    return ["never ends"]


@contextmanager
def _silence() -> Iterator[None]:
    """What the engine logs about failures that are part of the run is of no interest."""
    logger = logging.getLogger("fantasm_gcp")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _world(course: Course) -> World:
    journal = course.scene.journal
    return World(
        instances=journal.instances(),
        tasks=journal.read(Task.kind),
        records=journal.read(Record.kind),
        entries=journal.read(Entry.kind),
        windows=journal.read(Window.kind),
        visits=_visits(journal.rows[VISIT].values()),
        tallies=_tallies(journal.rows[TALLY]),
        ends=journal.ends,
        early=journal.early,
        consumed=journal.consumed,
        named=journal.named,
        holds=journal.read(Hold.kind),
        far=course.far,
        complaints=course.play.complaints,
        relaxed=course.play.relaxed,
    )


def _visits(entities: Iterable[Any]) -> Counter[Visit]:
    visits: Counter[Visit] = Counter()
    for entity in entities:
        of = entity.properties
        machine, stage, round_ = (
            of["machine"].string_value,
            of["stage"].string_value,
            of["round"].integer_value,
        )
        for token in of["tokens"].array_value.values:
            visits[machine, stage, round_, token.string_value] += 1
    return visits


def _tallies(entities: Mapping[str, Any]) -> Counter[tuple[str, str]]:
    tallies: Counter[tuple[str, str]] = Counter()
    for name, entity in entities.items():
        machine, _, stage = name.partition("/")
        tallies[machine, stage] = entity.properties["n"].integer_value
    return tallies
