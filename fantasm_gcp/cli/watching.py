"""Following an instance to its end, without waiting for ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from fantasm_gcp.core.definition import Machine
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import InstanceStatus
from fantasm_gcp.engine.history import History, StateCounts, state_counts

PATIENCE = 120.0
"""Seconds without any progress after which an instance counts as stuck."""

POLL = 0.25

Counts = Mapping[str, StateCounts]


@dataclass(frozen=True, slots=True)
class End:
    """How the watching ended: as the instance did, or before it."""

    how: Literal["completed", "failed", "stuck", "stopped"]
    counts: Counts


def follow(
    history: History,
    machine: Machine,
    instance: InstanceId,
    show: Callable[[Counts, bool], None],
    wait: Callable[[float], bool],
    clock: Callable[[], float],
) -> End:
    """Shows an instance's counts, again and again, until it has ended, is stuck, or ``wait`` says to stop.

    ``show`` is given the counts and whether these are the last ones; ``wait`` waits for some seconds.
    Progress is a step that is over or failed: attempts that go on failing are none.
    """
    moved_at, done = clock(), -1
    while True:
        row = history.instance(instance)  # before the counts, so that those of the end are complete
        counts = state_counts(history, machine, instance)
        over = row is not None and row.ended is not None  # a paused one has not
        show(counts, over)
        if row is not None and over:
            return End("completed" if row.status is InstanceStatus.COMPLETED else "failed", counts)
        if (now_done := steps_over(counts)) != done:
            moved_at, done = clock(), now_done
        elif clock() - moved_at >= PATIENCE:
            return End("stuck", counts)
        if wait(POLL):
            return End("stopped", counts)


def steps_over(counts: Counts) -> int:
    """How many steps are done or failed."""
    return sum(each.done + each.failed for each in counts.values())
