"""Closing a fan-in window and reading what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fantasm_gcp.core.names import StepName, group_and_round
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
    """How too much for one batch is shared out: ranges of entries' names, ``after < name <= until``."""

    ranges: tuple[tuple[str, str], ...]


def read_batch(services: Services, task: Task, most: int | None) -> Sequence[Entry] | Cuts:
    """The entries to be given to the action, or how to share them out where they are too many or too large.

    ``most`` is what the state takes, if it says so. Of a join those of the step's round and of earlier ones,
    of one group. Their order is that of the names of the steps that sent them: the same on every attempt. No
    more is read than one batch and an entry.
    """
    collection, limits = task.collection, services.limits
    assert collection is not None, "only a fan-in step collects"
    where = collection.window, collection.after, collection.until
    most = most or limits.fan_in_entries
    entries = services.store.entries(*where, most + 1, limits.fan_in_bytes)
    if len(entries) > most or (collection.round is not None and not _is_one_batch(entries, collection.round)):
        parts = _most_parts(task, limits)
        names = services.store.entry_names(*where, most * parts)
        ranges = _shared(_batches(names, collection, most), parts)
        rest = ((names[-1], collection.until),) if len(names) == most * parts else ()
        return Cuts((*ranges, *rest))
    if len(entries) > 1 and sum(len(each.context) for each in entries) > limits.fan_in_bytes:
        cut = entries[-2].name  # all but the last fit; what follows is cut again when it runs
        return Cuts(((collection.after, cut), (cut, collection.until)))
    return sorted(entries, key=lambda each: (each.source, each.name))


def _is_one_batch(entries: Sequence[Entry], round_: int) -> bool:
    """Whether what waits at a join is of one group and of no later round."""
    found = [group_and_round(each.name) for each in entries]
    return len({group for group, _ in found}) <= 1 and all(of <= round_ for _, of in found)


def _batches(names: Sequence[str], collection: Collection, most: int) -> list[tuple[str, str]]:
    """The ranges of names that make a batch each; what came to a join in a later round is in none."""
    ranges: list[tuple[str, str]] = []
    before, begun, of, count = collection.after, collection.after, None, 0
    for name in names:
        group, round_ = ("", 0) if collection.round is None else group_and_round(name)
        if collection.round is not None and round_ > collection.round:
            of = None
        elif group != of or count == most:
            begun, of, count = before, group, 1
            ranges.append((begun, name))
        else:
            count += 1
            ranges[-1] = (begun, name)
        before = name
    return ranges


def _shared(batches: Sequence[tuple[str, str]], parts: int) -> list[tuple[str, str]]:
    """The ranges of the parts: of a batch each, or of several where there would be too many."""
    ways = min(parts - 1, len(batches))
    marks = [round(i * len(batches) / ways) for i in range(ways + 1)] if ways else []
    return [(batches[first][0], batches[last - 1][1]) for first, last in pairwise(marks)]


def _most_parts(task: Task, limits: Limits) -> int:
    """How many parts fit into one commit: the row of each has the context.

    Never fewer than three: the last is what lies behind the others, and they have to share the rest.
    """
    return max(3, min(limits.window_parts, limits.commit_bytes // len(task.context)))


def discard_entries(services: Services, collection: Collection) -> None:
    """Deletes what a closed window holds. May be repeated."""
    where = collection.window, collection.after, collection.until
    while names := services.store.entry_names(*where, _DISCARDED):
        services.store.commit(Commit(tuple(Delete(RowKey(Entry.kind, name)) for name in names)))
