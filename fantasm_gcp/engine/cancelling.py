"""Deleting what a stopped instance has in flight: its steps, what they collect, their tasks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from fantasm_gcp.core.commits import discarded, far_task
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import Commit, Delete, Entry, Role, RowKey, Stored, Task, task_key
from fantasm_gcp.core.step import Acted, Following, share_of
from fantasm_gcp.engine.collecting import close_window, discard_entries
from fantasm_gcp.engine.enqueue import delete_tasks
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import ConflictError, RefusedError

log = logging.getLogger("fantasm_gcp.engine")

READ = 10
"""Steps that are read at once: each may have a context of 10 MiB."""

NAMED = 50
"""Steps whose names one query answers."""

ROUNDS = 40
"""Queries of one step of a cancellation; the rest is left to the next one."""

KEPT = (Role.SPREAD, Role.CANCEL)
"""Steps that end by themselves. A cancellation goes on by another step, which a late delivery must keep."""

PATIENCE = 5.0
"""Seconds until the next look where shares of a large outcome are still to end by themselves."""


def cancel(services: Services, task: Task) -> Following:
    """Deletes what is in flight of the instance that ``task`` cancels, and answers whether it has to go on.

    Rows are deleted at their versions, each with a record for the history, and looked for until there are
    none: a step that commits meanwhile has other steps to follow it, which are found by the next look. After
    the last row nothing makes new ones. Shares of large outcomes are left to end by themselves, and waited
    for: machines that were spawned start all the same. May be repeated.
    """
    for _ in range(ROUNDS):
        found = _delete_some(services, task)
        if found is None:
            discard_joining(services, task.step.instance)
            return Following(Acted())
        if not found:
            return _going_on(services, task, PATIENCE)
    return _going_on(services, task, 0.0)


def _going_on(services: Services, task: Task, wait: float) -> Following:
    now = services.clock()
    return Following(Acted(), (replace(share_of(task, "on", now), due=now + wait),))


def _delete_some(services: Services, task: Task) -> int | None:
    """Deletes some rows, and answers how many it looked at: 0 where only shares are left, None for no row."""
    after, left = "", None
    while names := services.store.steps({"instance": task.step.instance}, after, NAMED):
        after = names[-1]
        others = [name for name in names if name != task.step.name]
        found: list[Task] = []
        for i in range(0, len(others), READ):
            found += _delete(services, others[i : i + READ])
        if found:
            _delete_tasks(services, found)
            return len(found)
        if others:
            left = 0
    return left


def _delete(services: Services, names: Sequence[StepName]) -> list[Task]:
    """Deletes the steps of these names, but for shares of large outcomes; answers those that were there."""
    loaded: Sequence[Stored[Task] | None] = services.store.lookup([task_key(name) for name in names])
    rows = [each for each in loaded if each is not None and each.row.role not in KEPT]
    for each in rows:
        _discard_entries(services, each.row)
    now = services.clock()
    commits = [discarded(each, now) for each in rows]
    try:
        services.store.commit(Commit(tuple(mutation for each in commits for mutation in each.mutations)))
    except (ConflictError, RefusedError):  # one of them changed, or they are too large for one commit
        for commit in commits:
            with suppress(ConflictError):  # it changed: the next look has it as it is then
                services.store.commit(commit)
    return [each.row for each in rows]


def _discard_entries(services: Services, task: Task) -> None:
    """Closes the window of a fan-in's step and deletes what it holds; what waits at joins comes last."""
    if task.collection is not None and task.collection.round is None:
        close_window(services, task.step.name, task.collection)
        discard_entries(services, task.collection)


def _delete_tasks(services: Services, tasks: Sequence[Task]) -> None:
    """Deletes the tasks of deleted steps. One that is left does no harm: it will find nothing."""
    try:
        delete_tasks(services, map(far_task, (each for each in tasks if each.child is None)))
    except RefusedError as error:
        log.warning("tasks of a cancelled instance are left until they are due: %s", error)


def discard_joining(services: Services, instance: InstanceId) -> None:
    """Deletes what waits at the joins of an instance. May be repeated."""
    while names := services.store.joining(instance, 400):
        services.store.commit(Commit(tuple(Delete(RowKey(Entry.kind, name)) for name in names)))
