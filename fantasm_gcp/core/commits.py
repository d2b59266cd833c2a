"""The writes of the protocol: what is committed together, at which versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fantasm_gcp.core.names import entry_name
from fantasm_gcp.core.records import (
    Commit,
    Delete,
    Entry,
    Insert,
    Instance,
    InstanceStatus,
    LogLine,
    Mutation,
    Record,
    Stored,
    Task,
    Update,
    Upsert,
    Window,
)
from fantasm_gcp.core.step import Arrival, Attempt, Following

EMPTY = b"{}"


def commit_of(
    stored: Stored[Task],
    following: Following,
    attempt: Attempt,
    windows: Mapping[str, Window],
    instance: Stored[Instance] | None,
    lines: Sequence[LogLine] = (),
) -> Commit:
    """The one write of a step: its row gone, its record, its next steps, and what its actions staged.

    ``windows`` are the open windows of the groups that it arrives at; one that is not among them is opened.
    ``instance`` is needed where the step stops it.
    """
    task, acted = stored.row, following.acted
    mutations: list[Mutation] = [Delete(task.key, stored.version)]
    tasks = list(following.tasks)
    for arrival in following.arrivals:
        mutations.extend(_entries(task, arrival, following, windows.get(arrival.group)))
        if arrival.group not in windows:
            tasks.append(arrival.opening)
    for start in following.starts:
        mutations.append(Insert(start.instance))
        tasks.append(start.task)
    mutations.append(Insert(_record(stored.row, following, attempt, tasks)))
    mutations.extend(map(Insert, tasks))
    mutations.extend(map(Delete, acted.collected))
    if acted.stops_instance and instance is not None:
        stopped = replace(instance.row, status=InstanceStatus.CANCELLED, note=following.note)
        mutations.append(Update(stopped, instance.version))
    mutations.extend(map(Upsert, lines))
    return Commit(tuple(mutations), acted.staged)


def _entries(task: Task, arrival: Arrival, following: Following, window: Window | None) -> list[Mutation]:
    """The entries of an arrival, and its window where it has to be opened."""
    opened = window or Window(arrival.group, arrival.opening.step.name)
    entries = [
        Entry(
            entry_name(opened.window, task.step.name, each.index),
            opened.window,
            task.step.name,
            each.context,
            following.acted.pages,
        )
        for each in arrival.contexts
    ]
    return [*([] if window else [Insert(opened)]), *map(Insert, entries)]


def _record(task: Task, following: Following, attempt: Attempt, tasks: Sequence[Task]) -> Record:
    acted = following.acted
    return Record(
        step=task.step,
        outcome=acted.outcome,
        event=acted.event,
        next=(*(each.step.name for each in tasks), *following.taken),
        ahead=task.ahead,
        ends_branch=following.ends_branch,
        due=task.due,
        began=attempt.began,
        ended=attempt.ended,
        attempts=attempt.number,
        context=EMPTY if task.spread else task.context,
        entries=len(acted.collected) if task.collection else None,
        note=following.note,
    )


def announcement(stored: Stored[Task], following: Task) -> Commit:
    """A continuation's follow-up, inserted together with its mention on the row of the step it follows."""
    return Commit((Update(mentioned(stored.row, following), stored.version), Insert(following)))


def mentioned(task: Task, following: Task) -> Task:
    """The row of a step whose follow-up was announced."""
    assert following.hop is not None, "a follow-up is a hop of a chain"
    return replace(task, ahead=(*task.ahead, following.step.name), announced=following.hop.token)


def closing(stored: Stored[Instance], failed: bool, now: float) -> Commit:
    """The end of an instance in which nothing is in flight, at the version read before that was seen."""
    row = stored.row
    if row.status is InstanceStatus.CANCELLED:
        ended = replace(row, ended=now)
    elif failed:
        ended = replace(row, status=InstanceStatus.FAILED, ended=now)
    else:
        ended = replace(row, status=InstanceStatus.COMPLETED, closings=row.closings + 1, ended=now)
    return Commit((Update(ended, stored.version),))
