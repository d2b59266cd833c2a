"""Closing a fan-in window and reading what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import (
    Collection,
    Commit,
    Delete,
    Entry,
    RowKey,
    Stored,
    Task,
    Window,
    window_key,
)
from fantasm_gcp.engine.ports import Limits, Services
from fantasm_gcp.errors import ConflictError, UnavailableError

_DISCARDED = 400
"""Entries that one commit deletes."""


def close_window(services: Services, name: StepName, collection: Collection) -> None:
    """Lets no further entry into a window. A part of a window finds it closed.

    An arrival that has read the open window and not yet committed conflicts with this, and looks again.
    """
    if name != collection.window:
        return
    key = window_key(collection.group)
    for attempt in range(services.limits.contention_tries):
        stored: Stored[Window] | None = services.store.lookup([key])[0]
        if stored is None or stored.row.window != collection.window:
            return
        try:
            services.store.commit(Commit((Delete(key, stored.version),)))
        except (ConflictError, UnavailableError):
            services.back_off(attempt)
        else:
            return
    raise UnavailableError(f"window {collection.window} stays contended")


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where a window that is too large is cut: the name of the last entry of each part but the last."""

    names: tuple[str, ...]


def read_batch(services: Services, task: Task) -> Sequence[Entry] | Cuts:
    """The entries to be given to the action, or how to share them out where they are too many or too large.

    Their order is that of the names of the steps that sent them: the same on every attempt. No more is read
    than one batch and an entry.
    """
    collection, limits = task.collection, services.limits
    assert collection is not None, "only a fan-in step collects"
    where = collection.window, collection.after, collection.until
    entries = services.store.entries(*where, limits.fan_in_entries + 1, limits.fan_in_bytes)
    if len(entries) > limits.fan_in_entries:
        names = services.store.entry_names(*where, limits.fan_in_entries * _most_parts(task, limits))
        return Cuts(tuple(names[limits.fan_in_entries - 1 : -1 : limits.fan_in_entries]))
    if len(entries) > 1 and sum(len(each.context) for each in entries) > limits.fan_in_bytes:
        return Cuts((entries[-2].name,))  # all but the last fit; what follows is cut again when it runs
    return sorted(entries, key=lambda each: (each.source, each.name))


def _most_parts(task: Task, limits: Limits) -> int:
    """How many parts fit into one commit: the row of each has the context."""
    return max(2, min(limits.window_parts, limits.commit_bytes // len(task.context)))


def discard_entries(services: Services, collection: Collection) -> None:
    """Deletes what a closed window holds. May be repeated."""
    where = collection.window, collection.after, collection.until
    while names := services.store.entry_names(*where, _DISCARDED):
        services.store.commit(Commit(tuple(Delete(RowKey(Entry.kind, name)) for name in names)))
