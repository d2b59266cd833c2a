"""The answer to a query: skipping, limiting, batches, and what each result shows."""

from __future__ import annotations

from typing import Any

from fantasm_gcp.local.datastore.entity.keys import fill_key
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME, masked
from fantasm_gcp.local.datastore.entity.messages import set_time
from fantasm_gcp.local.datastore.entity.values import decode_value
from fantasm_gcp.local.datastore.entity.vectors import Nearest
from fantasm_gcp.local.datastore.querying.cursors import write_cursor
from fantasm_gcp.local.datastore.querying.metadata import METADATA_KINDS
from fantasm_gcp.local.datastore.querying.query import Query, Row
from fantasm_gcp.local.datastore.querying.reading import Reading
from fantasm_gcp.local.datastore.storage.store import Store

BATCH_RESULTS = 300
BATCH_BYTES = 3 * 1024 * 1024
"""A batch ends, not finished, once it holds so many results or bytes: a client comes back for the rest."""

FULL, PROJECTION, KEY_ONLY = 1, 2, 3
_NOT_FINISHED, _AFTER_LIMIT, _NO_MORE, _AFTER_CURSOR = 1, 2, 3, 4


def fill_batch(
    batch: Any, store: Store, query: Query, mask: tuple[str, ...] | None, moment: int | None = None
) -> int:
    """Runs a query into a ``QueryResultBatch``; ``mask`` limits the properties of full entities.

    ``moment`` is the time in microseconds as of which everything is read; None is now. Answers how many
    vectors were compared, of a search.
    """
    reading = Reading(store, query, moment)
    if query.nearest is not None:
        return _fill_search(batch, reading, query, query.nearest, mask)
    batch.entity_result_type = KEY_ONLY if query.keys_only else PROJECTION if query.projection else FULL
    position, size = query.start, 0
    batch.more_results = (
        _AFTER_LIMIT if query.limit == 0 else _AFTER_CURSOR if query.end is not None else _NO_MORE
    )
    for row in iter(()) if query.limit == 0 and not query.offset else reading.rows():
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
        _fill_result(result, reading, query, row, mask)
        position = row.position
        result.cursor = write_cursor(position, query.orders)
        size += result.ByteSize()
        if len(batch.entity_results) == query.limit:
            batch.more_results = _AFTER_LIMIT
            break
    batch.end_cursor = write_cursor(position, query.orders)
    return 0


def _fill_search(
    batch: Any, reading: Reading, query: Query, nearest: Nearest, mask: tuple[str, ...] | None
) -> int:
    """A search has no cursors to go on from: it answers all in one batch."""
    keys_only = query.keys_only and not nearest.shown_as
    batch.entity_result_type = (
        KEY_ONLY if keys_only else PROJECTION if query.keys_only or query.projection else FULL
    )
    batch.more_results = _NO_MORE
    for row in reading.rows():
        result = batch.entity_results.add()
        _fill_result(result, reading, query, row, mask)
        if nearest.shown_as and row.distance is not None:
            value = result.entity.properties[nearest.shown_as]
            value.Clear()  # a property of that name gives way
            value.double_value = row.distance
    return reading.compared


def _fill_result(result: Any, reading: Reading, query: Query, row: Row, mask: tuple[str, ...] | None) -> None:
    if query.keys_only or query.projection:
        fill_key(result.entity.key, query.partition, row.path)
        for name, value in zip(query.exploded, row.chosen, strict=True):
            if name in query.projection:
                decode_value(value, result.entity.properties[name])
        return
    stored = reading.stored(row.path)
    result.entity.MergeFromString(stored.body)
    if mask is not None:
        result.entity.CopyFrom(masked(result.entity, [path for path in mask if path != KEY_NAME]))
    if query.kind in METADATA_KINDS:
        return  # they have neither versions nor times
    result.version = stored.version
    set_time(result.create_time, stored.created)
    set_time(result.update_time, stored.updated)
