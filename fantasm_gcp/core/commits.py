"""The writes of the protocol: what is committed together, at which versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fantasm_gcp.core.names import entry_name, join_entry_name, join_window, task_name
from fantasm_gcp.core.records import (
    Commit,
    Delete,
    Entry,
    Insert,
    Instance,
    InstanceStatus,
    LogLine,
    Mutation,
    Outcome,
    Record,
    Role,
    Stored,
    Task,
    Update,
    Upsert,
    Window,
    task_key,
)
from fantasm_gcp.core.step import EMPTY, Arrival, Attempt, Following, Joining, Start, operation
from fantasm_gcp.core.traces import Trace

FAR = 600.0
"""Seconds from which on a task counts as scheduled far ahead: one that comes earlier may find nothing."""


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
    ``instance`` as it was loaded: a context that reaches a join waits there in the round that it tells, and
    a step that stops it changes it.
    """
    task, acted = stored.row, following.acted
    mutations: list[Mutation] = [Delete(task.key, stored.version)]
    tasks = list(following.tasks)
    round_ = instance.row.closings if instance else 0
    trace = attempt.trace
    mutations.extend(Insert(_joining(task, each, following, round_, trace)) for each in following.joining)
    for arrival in following.arrivals:
        mutations.extend(_entries(task, arrival, following, windows.get(arrival.group), trace))
        if arrival.group not in windows:
            tasks.append(arrival.opening)
    for start in (each.under(trace) for each in following.starts):
        mutations.append(Insert(start.instance))
        tasks.append(start.task)
        if start.waiting is not None:
            mutations.append(Insert(start.waiting))
    if acted.stops_instance and instance is not None and instance.row.status is not InstanceStatus.CANCELLED:
        stopped, deletion = cancelled(instance.row, following.note, task.queue, task.target, attempt.ended)
        mutations.append(Update(stopped, instance.version))
        tasks.append(deletion)
    tasks = [each.under(trace) for each in tasks]
    mutations.append(Insert(_record(stored.row, following, attempt, tasks)))
    mutations.extend(map(Insert, tasks))
    mutations.extend(map(Delete, acted.collected))
    mutations.extend(map(Upsert, lines))
    return Commit(tuple(mutations), acted.staged)


def _entries(
    task: Task, arrival: Arrival, following: Following, window: Window | None, trace: Trace | None
) -> list[Mutation]:
    """The entries of an arrival, and its window where it has to be opened."""
    opened = window or Window(arrival.group, arrival.opening.step.name)
    entries = [
        Entry(
            entry_name(opened.window, task.step.name, each.index),
            opened.window,
            task.step.name,
            each.context,
            following.acted.pages,
            cause=following.acted.cause,
            trace=trace,
        )
        for each in arrival.contexts
    ]
    return [*([] if window else [Insert(opened)]), *map(Insert, entries)]


def _joining(task: Task, joining: Joining, following: Following, round_: int, trace: Trace | None) -> Entry:
    """The entry of a context that waits at a join."""
    instance, context = task.step.instance, joining.context
    name = join_entry_name(instance, joining.state, context.group, round_, task.step.name, context.index)
    return Entry(
        name,
        join_window(instance, joining.state),
        task.step.name,
        context.context,
        following.acted.pages,
        joining=instance,
        state=joining.state,
        cause=following.acted.cause,
        trace=trace,
    )


def cancelled(
    instance: Instance, note: str, queue: str, target: str | None, now: float
) -> tuple[Instance, Task]:
    """A stopped instance, and the step that deletes what it has in flight."""
    stopped = replace(
        instance,
        status=InstanceStatus.CANCELLED,
        note=note,
        commands=instance.commands + 1,
        ended=None,
    )
    return stopped, operation(stopped, Role.CANCEL, f"cancel{stopped.commands}", queue, now, target=target)


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
        context=EMPTY if task.role is Role.SPREAD else task.context,
        entries=len(acted.collected) if task.collection else None,
        note=following.note,
        far=tuple(far_task(each) for each in tasks if each.due > attempt.ended + FAR),
        trace=attempt.trace,
    )


def discarded(stored: Stored[Task], now: float) -> Commit:
    """The end of a step that will not run any more, with its record where it would have run actions."""
    task = stored.row
    deletion = Delete(task.key, stored.version)
    if task.role is not Role.ACTION or task.child is not None:
        return Commit((deletion,))
    record = Record(
        step=task.step,
        outcome=Outcome.CANCELLED,
        event=None,
        next=(),
        ahead=task.ahead,
        ends_branch=True,
        due=task.due,
        began=now,
        ended=now,
        attempts=task.attempts,
        context=task.context,
    )
    return Commit((deletion, Insert(record)))


def far_task(task: Task) -> str:
    """How a record names a task that is scheduled far ahead: ``<queue>/<task>``."""
    return f"{task.queue}/{task_name(task.step.name, task.epoch)}"


def announcement(stored: Stored[Task], following: Task) -> Commit:
    """A continuation's follow-up, inserted together with its mention on the row of the step it follows."""
    return Commit((Update(mentioned(stored.row, following), stored.version), Insert(following)))


def mentioned(task: Task, following: Task) -> Task:
    """The row of a step whose follow-up was announced."""
    assert following.hop is not None, "a follow-up is a hop of a chain"
    return replace(task, ahead=(*task.ahead, following.step.name), announced=following.hop.token)


def releasing(stored: Stored[Instance], tasks: Sequence[Task]) -> Commit:
    """The release of joins of an instance in which nothing else is in flight, at the version read before."""
    row = stored.row
    names = tuple(each.step.name for each in tasks) if len(tasks) > 1 else ()
    released = replace(row, closings=row.closings + 1, released=names)
    return Commit((Update(released, stored.version), *map(Insert, tasks)))


def closing(stored: Stored[Instance], failed: bool, now: float, starts: Sequence[Start] = ()) -> Commit:
    """The end of an instance in which nothing is in flight, at the version read before that was seen.

    ``starts`` are the instances that are told of it. An end that nothing undoes is also the end of the
    step by which another instance waits for this one.
    """
    status = ending_status(stored.row, failed)
    row = stored.row
    ended = replace(
        row,
        status=status,
        ended=now,
        closings=row.closings + (status is InstanceStatus.COMPLETED),
        told=tuple(each.task.step.name for each in starts),
    )
    mutations: list[Mutation] = [Update(ended, stored.version)]
    for start in starts:
        mutations += [Insert(start.instance), Insert(start.task)]
    if row.joined is not None and ended.is_over:
        mutations.append(Delete(task_key(row.joined)))
    return Commit(tuple(mutations))


def ending_status(instance: Instance, failed: bool) -> InstanceStatus:
    """What an instance comes to in which nothing is in flight; ``failed``: there are failed steps."""
    if instance.status is InstanceStatus.CANCELLED:
        return InstanceStatus.CANCELLED
    return InstanceStatus.FAILED if failed else InstanceStatus.COMPLETED
