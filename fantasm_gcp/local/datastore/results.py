"""The answer to a query: skipping, limiting, batches, and what each result shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fantasm_gcp.local.datastore.cursors import write_cursor
from fantasm_gcp.local.datastore.entities import indexed_values
from fantasm_gcp.local.datastore.history import scan_at
from fantasm_gcp.local.datastore.keys import fill_key
from fantasm_gcp.local.datastore.masks import KEY_NAME, masked
from fantasm_gcp.local.datastore.messages import set_time
from fantasm_gcp.local.datastore.metadata import METADATA_KINDS, metadata_entity, metadata_paths
from fantasm_gcp.local.datastore.query import Query, Row
from fantasm_gcp.local.datastore.scan import bounded, scan
from fantasm_gcp.local.datastore.store import Store, Stored
from fantasm_gcp.local.datastore.values import decode_value

BATCH_RESULTS = 300
BATCH_BYTES = 3 * 1024 * 1024
"""A batch ends, not finished, once it holds so many results or bytes: a client comes back for the rest."""

FULL, PROJECTION, KEY_ONLY = 1, 2, 3
_NOT_FINISHED, _AFTER_LIMIT, _NO_MORE, _AFTER_CURSOR = 1, 2, 3, 4

_AFTER_GROUP = b"\xff"


def results(store: Store, query: Query, moment: int | None = None) -> Iterator[Row]:
    """The rows of a query, of each distinct group the first, its position then after the whole group.

    ``moment`` is the time in microseconds as of which everything is read; None is now.
    """
    if query.kind in METADATA_KINDS:
        rows = bounded(_metadata_rows(store, query), query)
    else:
        rows = scan(store, query) if moment is None else scan_at(store, query, moment)
    return _first_of_groups(rows, query) if query.distinct else rows


def _metadata_rows(store: Store, query: Query) -> list[Row]:
    rows = []
    for path in metadata_paths(store, query.partition, query.kind):
        by_key = query.by_key_only
        shown = {} if by_key else indexed_values(metadata_entity(store, query.partition, path))
        rows += query.rows(shown, path)
    return sorted(rows)


def stored_of(store: Store, query: Query, path: bytes, moment: int | None) -> Stored:
    """The entity of a row of a query; ``moment`` as in :func:`results`."""
    if query.kind in METADATA_KINDS:
        body = metadata_entity(store, query.partition, path).SerializeToString()
        return Stored(0, 0, 0, body)
    scope = store.scope(query.partition)
    stored = None if scope is None else store.get(scope, path, moment)
    if stored is None:
        raise AssertionError("a row of the index is always of an entity")
    return stored


def _first_of_groups(rows: Iterable[Row], query: Query) -> Iterator[Row]:
    places = [query.exploded.index(name) for name, _ in query.orders[: len(query.distinct)]]
    done = None
    for row in rows:
        group = tuple(row.chosen[place] for place in places)
        if group != done:
            done = group
            length = sum(map(len, group))
            yield Row(row.position[:length] + _AFTER_GROUP, row.path, row.chosen)


def fill_batch(
    batch: Any, store: Store, query: Query, mask: tuple[str, ...] | None, moment: int | None = None
) -> None:
    """Runs a query into a ``QueryResultBatch``; ``mask`` limits the properties of full entities."""
    batch.entity_result_type = KEY_ONLY if query.keys_only else PROJECTION if query.projection else FULL
    position, size = query.start, 0
    batch.more_results = (
        _AFTER_LIMIT if query.limit == 0 else _AFTER_CURSOR if query.end is not None else _NO_MORE
    )
    rows = iter(()) if query.limit == 0 and not query.offset else results(store, query, moment)
    for row in rows:
        if batch.skipped_results < query.offset:
            batch.skipped_results += 1
            position = row.position
            batch.skipped_cursor = write_cursor(position, query.orders)
            continue
        if query.limit is not None and len(batch.entity_results) >= query.limit:
            batch.more_results = _AFTER_LIMIT
            break
        if len(batch.entity_results) >= BATCH_RESULTS or size >= BATCH_BYTES:
            batch.more_results = _NOT_FINISHED
            break
        result = batch.entity_results.add()
        _fill_result(result, store, query, row, mask, moment)
        position = row.position
        result.cursor = write_cursor(position, query.orders)
        size += result.ByteSize()
        if len(batch.entity_results) == query.limit:
            batch.more_results = _AFTER_LIMIT
            break
    batch.end_cursor = write_cursor(position, query.orders)


def _fill_result(
    result: Any, store: Store, query: Query, row: Row, mask: tuple[str, ...] | None, moment: int | None
) -> None:
    if query.keys_only or query.projection:
        fill_key(result.entity.key, query.partition, row.path)
        for name, value in zip(query.exploded, row.chosen, strict=True):
            if name in query.projection:
                decode_value(value, result.entity.properties[name])
        return
    stored = stored_of(store, query, row.path, moment)
    result.entity.MergeFromString(stored.body)
    if mask is not None:
        result.entity.CopyFrom(masked(result.entity, [path for path in mask if path != KEY_NAME]))
    if query.kind in METADATA_KINDS:
        return  # they have neither versions nor times
    result.version = stored.version
    set_time(result.create_time, stored.created)
    set_time(result.update_time, stored.updated)
