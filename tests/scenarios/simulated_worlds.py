"""Worlds as simulated runs leave them behind, and what can be wrong with one: a change for each kind of it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import (
    Collection,
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
from fantasm_gcp.testing.simulation.invariants import World
from fantasm_gcp.testing.simulation.oracle import Expected

STEP = Step("Main-1", "Main", "main", "S0", "ok", "S1", 1)
FIRST = Step("Main-1", "Main", "main", "pseudo-init", "pseudo-init", "S0", 0)
WINDOW = Step("Main-1", "Main", "main_w0", "S0", "ok", "S1", 1)


def _record(step: Step, *following: Step, **fields: object) -> Record:
    names = tuple(each.name for each in following)
    values = {
        "outcome": Outcome.COMPLETED,
        "event": "ok",
        "next": names,
        "ahead": (),
        "ends_branch": not names,
    }
    times = {"due": 0.0, "began": 0.0, "ended": 1.0, "attempts": 1, "context": b"{}"}
    return Record(step, **{**values, **times, **fields})


def sound_world() -> tuple[World, Expected]:
    """One instance of two steps, the second of which has collected what the first one sent."""
    expected = Expected()
    expected.visits.update({("Main", "S0", 0, "t"): 1, ("Main", "S1", 0, "t"): 1})
    expected.tallies["Main", "S1"] = 1
    expected.instances["Main"] = 1
    status = InstanceStatus.COMPLETED
    world = World(
        instances=[Instance("Main-1", "Main", status, 0.0, FIRST.name, "", closings=1, ended=1.0)],
        records=[_record(FIRST, WINDOW), _record(WINDOW, entries=1)],
        visits=deepcopy(expected.visits),
        tallies=deepcopy(expected.tallies),
        ends=[("Main-1", InstanceStatus.RUNNING), ("Main-1", status)],
    )
    world.consumed["an-entry"] = 1
    world.named.update([FIRST.name, WINDOW.name])
    return world, expected


def _task(status: TaskStatus = TaskStatus.QUEUED, **fields: object) -> Task:
    return Task(STEP, b"{}", "default", "POST", 0.0, status=status, **fields)


def _lose_visit(world: World) -> None:
    world.visits["Main", "S1", 0, "t"] -= 1


def _double_visit(world: World) -> None:
    world.visits["Main", "S1", 0, "t"] += 1


def _miscount(world: World) -> None:
    world.tallies["Main", "S1"] += 1


def _start_another(world: World) -> None:
    other = replace(world.instances[0], id="Main-2")
    world.instances.append(other)


def _complete_early(world: World) -> None:
    world.early.append("Main-1 (completed): a step")


def _complete_twice(world: World) -> None:
    world.ends.append(("Main-1", InstanceStatus.COMPLETED))


def _run_on(world: World) -> None:
    world.ends.append(("Main-1", InstanceStatus.RUNNING))


def _never_end(world: World) -> None:
    world.instances[0] = replace(world.instances[0], status=InstanceStatus.RUNNING, ended=None)


def _end_before_child(world: World) -> None:
    child = replace(world.instances[0], id="Child-1", machine="FantasmTest", parent="Main-1", joined="a")
    world.instances.append(child)
    world.ends.append(("Child-1", InstanceStatus.COMPLETED))


def _lose_follower(world: World) -> None:
    world.records[1] = replace(world.records[1], next=(StepName("gone"),), ends_branch=False)


def _lose_first_step(world: World) -> None:
    del world.records[0]


def _end_and_go_on(world: World) -> None:
    world.records[0] = replace(world.records[0], ends_branch=True)


def _come_from_nowhere(world: World) -> None:
    world.records.append(_record(STEP))


def _follow_twice(world: World) -> None:
    world.records[1] = replace(world.records[1], next=(WINDOW.name,), ends_branch=False)


def _put_in_flight_twice(world: World) -> None:
    world.named[WINDOW.name] += 1


def _consume_twice(world: World) -> None:
    world.consumed["an-entry"] += 1


def _consume_without_batch(world: World) -> None:
    world.consumed["another-entry"] = 1


def _batch_in_empty_window(world: World) -> None:
    world.records[1] = replace(world.records[1], outcome=Outcome.EMPTY)


DOCTORED: dict[str, tuple[Callable[[World], object], str]] = {
    "a visit too few": (_lose_visit, "lost visits"),
    "a visit too many": (_double_visit, "doubled visits"),
    "a count too high": (_miscount, "doubled tallies"),
    "an instance too many": (_start_another, "doubled instances"),
    "an early completion": (_complete_early, "completed early"),
    "two completions": (_complete_twice, "did not end once"),
    "life after the end": (_run_on, "did not end once"),
    "no end": (_never_end, "has not ended"),
    "an end before a child's": (_end_before_child, "did not wait for"),
    "a follower that is nowhere": (_lose_follower, "neither over nor in flight"),
    "a first step that is nowhere": (_lose_first_step, "no record of the first step"),
    "an end that goes on": (_end_and_go_on, "ended its branch and is followed"),
    "a step that follows none": (_come_from_nowhere, "follows 0 steps"),
    "a step that follows two": (_follow_twice, "follows 2 steps"),
    "a step in flight twice": (_put_in_flight_twice, "was put in flight 2 times"),
    "an entry in two batches": (_consume_twice, "was consumed 2 times"),
    "an entry in no batch": (_consume_without_batch, "2 entries were consumed, 1 were in batches"),
    "entries of an empty window": (_batch_in_empty_window, "is empty, with 1 entries"),
    "a step left": (lambda world: world.tasks.append(_task()), "a row is left: FantasmTask"),
    "an entry left": (lambda world: world.entries.append(Entry("e", "w", "s", b"{}")), "FantasmEntry e"),
    "a window left": (lambda world: world.windows.append(Window("g", "w")), "FantasmFanIn g"),
    "a hold left": (lambda world: world.holds.append(Hold("default", "Main", "", 0.0)), "a hold is left"),
    "a task left": (lambda world: world.far.append("queues/q/tasks/t"), "of what was cancelled"),
    "a complaint": (lambda world: world.complaints.append("a batch of two"), "a batch of two"),
}
"""What is changed in a sound world, and a part of what is to be said of it."""


def _lose_task(world: World) -> None:
    _never_end(world)
    world.tasks.append(_task(collection=Collection("g", WINDOW.name)))


def _park(world: World) -> None:
    _never_end(world)
    world.tasks.append(_task(TaskStatus.PARKED))


def _wait_in_vain(world: World) -> None:
    _never_end(world)
    child = replace(world.instances[0], id="Child-1", status=InstanceStatus.COMPLETED, ended=1.0)
    world.instances.append(child)
    world.tasks.append(_task(TaskStatus.WAITING, child="Child-1"))


def _fail_silently(world: World) -> None:
    _never_end(world)
    world.tasks.append(_task(TaskStatus.FAILED))


DOCTORED_AT_REST: dict[str, tuple[Callable[[World], object], str]] = {
    "a step without a task": (_lose_task, "is in flight and has no task"),
    "a parked step": (_park, "is parked, and nobody holds it"),
    "a step that waits for what is over": (_wait_in_vain, "waits for what has ended"),
    "a failure that nobody noticed": (_fail_silently, "with failed steps, is running"),
    "an end that nobody noticed": (_never_end, "with nothing in flight, is running"),
}
"""The same while no task is left."""
