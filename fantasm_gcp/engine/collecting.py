"""Closing a fan-in window and reading what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import Collection, Commit, Delete, Entry, Stored, Task, Window, window_key
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import ConflictError, UnavailableError


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


def read_batch(services: Services, collection: Collection) -> Sequence[Entry] | None:
    """The entries to be given to the action, in the order of the steps that sent them.

    None where they are too many, or too large together, for one batch.
    """
    limits = services.limits
    entries = services.store.entries(
        collection.window, collection.after, collection.until, limits.fan_in_entries + 1
    )
    size = sum(len(each.context) for each in entries)
    if len(entries) > limits.fan_in_entries or (size > limits.fan_in_bytes and len(entries) > 1):
        return None
    return sorted(entries, key=lambda each: (each.source, each.name))


def part_boundaries(services: Services, task: Task) -> Sequence[str]:
    """Where to cut a window that is too large: the name of the last entry of each part but the last."""
    collection, limits = task.collection, services.limits
    assert collection is not None, "only a fan-in step is split"
    most = limits.fan_in_entries * limits.window_parts
    names = services.store.entry_names(collection.window, collection.after, collection.until, most)
    if len(names) > limits.fan_in_entries:
        return names[limits.fan_in_entries - 1 : -1 : limits.fan_in_entries]
    entries = services.store.entries(collection.window, collection.after, collection.until, len(names))
    return _cut_by_size([(each.name, len(each.context)) for each in entries])


def _cut_by_size(sizes: Sequence[tuple[str, int]]) -> Sequence[str]:
    """Cuts in the middle, by size: parts that are still too large are cut again when they run."""
    totals = list(accumulate(size for _, size in sizes))
    middle = next(i for i, total in enumerate(totals) if total * 2 >= totals[-1])
    return [sizes[min(middle, len(sizes) - 2)][0]]
