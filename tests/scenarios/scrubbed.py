"""Instances of every status with rows of every kind, written at once, and what a scrub leaves of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from campaign import FailAt

from fantasm_gcp.core.definition import PSEUDO_INIT
from fantasm_gcp.core.names import InstanceId, StepName, entry_name
from fantasm_gcp.core.records import (
    Collection,
    Commit,
    Entry,
    Failure,
    Insert,
    Instance,
    InstanceStatus,
    LogLine,
    Outcome,
    Record,
    Row,
    Step,
    Task,
    TaskStatus,
)
from fantasm_gcp.testing import Crash, Harness

DAY = 24 * 3600
KINDS = ("FantasmInstance", "FantasmTask", "FantasmStep", "FantasmLog", "FantasmEntry", "FantasmPayload")


def write(
    harness: Harness,
    name: str,
    status: str = "completed",
    *,
    started: float = 101,
    ended: float | None = 100,
    machine: str = "Quiet",
    steps: int = 1,
    lines: int = 0,
    failed: int = 0,
    entries: int = 0,
) -> str:
    """Writes an instance that started and ended so many days ago, and its rows.

    ``failed`` steps wait to be redriven; with ``entries`` there is one more, a fan-in, which holds them.
    """
    now = harness.clock()
    at = now - started * DAY
    end = None if ended is None else now - ended * DAY
    instance = Instance(
        InstanceId(name), machine, InstanceStatus(status), at, StepName("first"), "d", ended=end
    )
    rows: list[Row] = [instance]
    rows += [_record(_step(instance, n), at) for n in range(steps)]
    rows += [LogLine(f"{n:04}-{name}", _step(instance, n), "a.B", at, 20, "said") for n in range(lines)]
    rows += [_failed(_step(instance, steps + n), at) for n in range(failed)]
    if entries:
        step = _step(instance, steps + failed)
        rows.append(_failed(step, at, Collection("group", step.name)))
        names = [entry_name(step.name, StepName("source"), n) for n in range(entries)]
        rows += [Entry(each, step.name, StepName("source"), b'{"a":1}') for each in names]
    for begin in range(0, len(rows), 400):
        harness.fantasm.services.store.commit(Commit(tuple(map(Insert, rows[begin : begin + 400]))))
    return name


def _step(instance: Instance, n: int) -> Step:
    return Step(instance.id, instance.machine, "main", PSEUDO_INIT, PSEUDO_INIT, "Only", n)


def _record(step: Step, at: float) -> Record:
    return Record(step, Outcome.COMPLETED, "again", (), (), False, at, at, at, 1, b'{"a":1}')


def _failed(step: Step, at: float, collection: Collection | None = None) -> Task:
    failure = Failure("E: no", "Traceback", "f00")
    return Task(
        step, b'{"a":1}', "default", "POST", at, TaskStatus.FAILED, failure=failure, collection=collection
    )


def scrub(harness: Harness, age: object = 90) -> dict[str, Any]:
    """Runs the scrubber to its end and answers what the API says of it."""
    started = harness.start(f"FantasmScrubber/?age={age}").json
    harness.run()
    shown: dict[str, Any] = harness.get(f"instances/{started['instance']}")
    return shown


def deliver_all(harness: Harness, fault: FailAt) -> None:
    """Delivers until nothing is due; a worker that the fault kills never answers."""
    fault.armed = True
    while (attempt := harness.next_attempt()) is not None:
        try:
            harness.deliver(attempt)
        except Crash:
            fault.dead = False
            harness.tasks.finish(attempt, None)
    fault.armed = False


def rows(harness: Harness) -> Counter[tuple[str, str]]:
    """How many rows of each kind each instance has; of entries and payloads all of a namespace together."""
    around, harness.around = harness.around, lambda _, carry_out: carry_out()
    try:
        found = [each for kind in KINDS for each in harness.datastore.query(kind=kind).fetch()]
    finally:
        harness.around = around
    return Counter((each.kind, each.get("instance", "")) for each in found)


def left(harness: Harness) -> set[str]:
    """The instances that rows of any kind are left of, but for the scrubbers' own."""
    return {name for _, name in rows(harness) if not name.startswith("FantasmScrubber-")}
