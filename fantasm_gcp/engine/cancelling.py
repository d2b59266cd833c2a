"""Deleting what a stopped instance has in flight: its steps, what they collect, their tasks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from fantasm_gcp.core.commits import discarded, far_task
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import Commit, Delete, Entry, Role, RowKey, Stored, Task, task_key
from fantasm_gcp.core.step import Acted, Following, share_of
from fantasm_gcp.engine.collecting import close_window, discard_entries
from fantasm_gcp.engine.enqueue import delete_tasks
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import ConflictError

ROWS = 50
"""Steps that one commit deletes."""

ROUNDS = 40
"""Commits of one step of a cancellation; the rest is left to the next one."""


def cancel(services: Services, task: Task) -> Following:
    """Deletes what is in flight of the instance that ``task`` cancels, and answers whether it has to go on.

    Rows are deleted at their versions, each with a record for the history, and looked for until there are none: a step that commits meanwhile
    has other steps to follow it, which are found by the next look. After the last row nothing makes new
    ones. Shares of large outcomes are left to end by themselves: machines that were spawned start all the
    same. May be repeated.
    """
    instance = task.step.instance
    for _ in range(ROUNDS):
        rows = _in_flight(services, task)
        if not rows:
            _discard_joining(services, instance)
            return Following(Acted())
        for each in rows:
            _discard_entries(services, each.row)
        _delete(services, rows)
        delete_tasks(services, map(far_task, (each.row for each in rows if each.row.child is None)))
    return Following(Acted(), (share_of(task, "on", services.clock()),))


def _in_flight(services: Services, task: Task) -> Sequence[Stored[Task]]:
    """Some of the rows that are to be deleted."""
    where = {"instance": task.step.instance}
    after, found = "", list[Stored[Task]]()
    while not found:
        names = services.store.steps(where, after, ROWS)
        if not names:
            return ()
        after = names[-1]
        loaded = services.store.lookup([task_key(name) for name in names if name != task.step.name])
        found = [each for each in loaded if each is not None and each.row.role is not Role.SPREAD]
    return found


def _discard_entries(services: Services, task: Task) -> None:
    """Closes the window of a fan-in's step and deletes what it holds; what waits at joins comes last."""
    if task.collection is not None and task.collection.round is None:
        close_window(services, task.step.name, task.collection)
        discard_entries(services, task.collection)


def _delete(services: Services, rows: Sequence[Stored[Task]]) -> None:
    now = services.clock()
    commits = [discarded(each, now) for each in rows]
    try:
        services.store.commit(Commit(tuple(mutation for each in commits for mutation in each.mutations)))
    except ConflictError:
        for each in commits:
            with suppress(ConflictError):  # it changed: the next look has it as it is then
                services.store.commit(each)


def _discard_joining(services: Services, instance: InstanceId) -> None:
    while names := services.store.joining(instance, 400):
        services.store.commit(Commit(tuple(Delete(RowKey(Entry.kind, name)) for name in names)))
