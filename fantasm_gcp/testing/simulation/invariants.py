"""What must be so at the end of every run, and while nothing is going on: each invariant is one check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fantasm_gcp.core.definition import PSEUDO_OPERATOR
from fantasm_gcp.core.names import is_release
from fantasm_gcp.core.records import (
    Entry,
    Hold,
    Instance,
    InstanceStatus,
    Outcome,
    Record,
    Step,
    Task,
    TaskStatus,
    Window,
)
from fantasm_gcp.testing.simulation.oracle import Expected, Visit

BUILT_IN = "Fantasm"
"""Begins the names of the library's own machines."""


@dataclass(slots=True)
class World:
    """What a run has left behind, and what was seen on the way; see ``journal``.

    ``far`` are tasks of cancelled instances that came long after everything had ended. ``complaints`` are
    what actions noticed. ``relaxed``: some of it was stopped on purpose, so what must have happened is the
    most there may be.
    """

    instances: list[Instance] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    visits: Counter[Visit] = field(default_factory=Counter)
    tallies: Counter[tuple[str, str]] = field(default_factory=Counter)
    ends: list[tuple[str, InstanceStatus]] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    consumed: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    holds: list[Hold] = field(default_factory=list)
    far: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    relaxed: bool = False


def _of_actions(world: World, _: Expected) -> Iterator[str]:
    yield from world.complaints


def _of_counts(world: World, expected: Expected) -> Iterator[str]:
    """Nothing lost, nothing doubled: tokens at stages, counters of transactional stages, instances."""
    instances = Counter(each.machine for each in world.instances if not each.machine.startswith(BUILT_IN))
    yield from _differences("visits", expected.visits, world.visits, world, expected)
    yield from _differences("tallies", expected.tallies, world.tallies, world, expected)
    yield from _differences("instances", expected.instances, instances, world, expected)


def _differences(
    what: str, wanted: Counter[Any], found: Counter[Any], world: World, expected: Expected
) -> Iterator[str]:
    doubled = found - wanted
    lost = {key: n for key, n in (wanted - found).items() if tuple(key[:2]) not in expected.perhaps}
    if doubled:
        yield f"doubled {what}: {dict(doubled)}"
    if lost and not world.relaxed:
        yield f"lost {what}: {lost}"


def _of_completion(world: World, _: Expected) -> Iterator[str]:
    """Each instance has ended, once, and with nothing in flight."""
    yield from (f"completed early, with this in flight: {each}" for each in world.early)
    for each in world.instances:
        if each.ended is None or each.status not in (InstanceStatus.COMPLETED, InstanceStatus.CANCELLED):
            yield f"{each.id} has not ended: it is {each.status}"
    for instance in {instance for instance, _ in world.ends}:
        statuses = [status for name, status in world.ends if name == instance]
        completions = statuses.count(InstanceStatus.COMPLETED)
        if completions > 1 or (completions and statuses[-1] is not InstanceStatus.COMPLETED):
            yield f"{instance} did not end once: {', '.join(statuses)}"
    over = {instance: place for place, (instance, _) in enumerate(world.ends)}
    for each in world.instances:
        if each.joined and each.parent in over and over[each.parent] < over[each.id] and not world.relaxed:
            yield f"{each.parent} did not wait for {each.id}"


def _of_records(world: World, _: Expected) -> Iterator[str]:
    """Every step that follows is over or in flight, has one that it follows, and happened once."""
    records = {each.step.name: each for each in world.records}
    there = records.keys() | {each.step.name for each in world.tasks}
    cancelled = {each.id for each in world.instances if each.status is InstanceStatus.CANCELLED}
    first = {each.first_step for each in world.instances}
    for step in first - there:
        yield f"no record of the first step {step}"
    for each in world.records:
        for step in (*each.next, *each.ahead):
            if step not in there and each.step.instance not in cancelled:
                yield f"{each.step.name} is followed by {step}, which is neither over nor in flight"
        if each.ends_branch and [step for step in each.next if step not in first and not _is_command(step)]:
            yield f"{each.step.name} ended its branch and is followed by {each.next}"
    mentions = Counter(step for each in world.records for step in {*each.next, *each.ahead})
    for name, each in records.items():
        if mentions[name] != 1 and name not in first and not (mentions[name] == 0 and _is_root(each.step)):
            yield f"{name} follows {mentions[name]} steps"
    yield from (f"{name} was put in flight {times} times" for name, times in world.named.items() if times > 1)


def _is_command(step: str) -> bool:
    return f"--{PSEUDO_OPERATOR}--" in step


def _is_root(step: Step) -> bool:
    """Whether a step is put in flight by what is no step: a command, or the release of a join."""
    return step.state == PSEUDO_OPERATOR or is_release(step.name, step.instance)


def _of_batches(world: World, _: Expected) -> Iterator[str]:
    """Each entry was in one batch; a batch that is none has collected nothing."""
    yield from (f"entry {name} was consumed {n} times" for name, n in world.consumed.items() if n != 1)
    for each in world.records:
        if each.outcome in (Outcome.EMPTY, Outcome.SPLIT) and each.entries:
            yield f"{each.step.name} is {each.outcome}, with {each.entries} entries"
    if not world.relaxed:
        batched = sum(each.entries or 0 for each in world.records)
        if batched != world.consumed.total():
            yield f"{world.consumed.total()} entries were consumed, {batched} were in batches"


def _of_rests(world: World, _: Expected) -> Iterator[str]:
    """No row is left behind, and no task that is yet to come for a long time."""
    yield from (f"a row is left: FantasmTask {each.step.name} ({each.status})" for each in world.tasks)
    yield from (f"a row is left: FantasmEntry {each.name}" for each in world.entries)
    yield from (f"a row is left: FantasmFanIn {each.group}" for each in world.windows)
    yield from (f"a hold is left: {each.machine} {each.state}" for each in world.holds)
    yield from (f"a task is left of what was cancelled: {name}" for name in world.far)


Check = Callable[[World, Expected], Iterable[str]]
INVARIANTS: tuple[Check, ...] = (
    _of_actions,
    _of_counts,
    _of_completion,
    _of_records,
    _of_batches,
    _of_rests,
)


def violations(world: World, expected: Expected) -> list[str]:
    """What is wrong at the end of a run; empty where all is well."""
    return [words for check in INVARIANTS for words in check(world, expected)]


def _lost(world: World) -> Iterator[str]:
    """Steps that nobody will run. The sweeper has what callers and operators died before enqueueing."""
    instances = {each.id: each for each in world.instances}
    held = {(each.machine, each.state) for each in world.holds}
    commands = [each for each in world.tasks if each.step.state == PSEUDO_OPERATOR]
    for each in world.tasks:
        step = each.step
        instance = instances[step.instance]
        match each.status:
            case TaskStatus.QUEUED:
                asked_for = step.state == PSEUDO_OPERATOR or instance.parent is None
                lost = not (asked_for and step.n == 0)
                words = "is in flight and has no task"
            case TaskStatus.PARKED:
                held_for = {(step.machine, ""), (step.machine, step.target)} & held
                lost = instance.status is not InstanceStatus.PAUSED and not held_for and not commands
                words = "is parked, and nobody holds it"
            case TaskStatus.WAITING:
                lost = each.child not in instances or instances[each.child].is_over
                words = "waits for what has ended"
            case TaskStatus.FAILED:
                continue
        if lost:
            yield f"lost: {step.name} {words}"


def violations_at_rest(world: World) -> list[str]:
    """What is wrong while no task is left: steps that nobody will deliver, and ends that nobody noticed."""
    found = list(_lost(world))
    failed = {each.step.instance for each in world.tasks if each.status is TaskStatus.FAILED}
    waiting = {each.step.instance for each in world.tasks if each.status is not TaskStatus.FAILED}
    for each in world.instances:
        if each.id in waiting or each.status is InstanceStatus.PAUSED:
            continue
        if each.status is InstanceStatus.CANCELLED:
            wrong = each.ended is None
        else:
            wanted = InstanceStatus.FAILED if each.id in failed else InstanceStatus.COMPLETED
            wrong = each.status is not wanted
        if wrong:
            yet = "with failed steps" if each.id in failed else "with nothing in flight"
            found.append(f"an end was not noticed: {each.id}, {yet}, is {each.status}")
    return found
