"""A query's results as of an earlier moment.

What the indexes hold is of now. So of their results those are left out that were written after the moment,
and in come the earlier versions of what was changed or deleted since, which are evaluated one by one: they
are few, because moments are of open transactions or at most an hour old.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import attrgetter

from fantasm_gcp.local.datastore.querying.query import Query, Row
from fantasm_gcp.local.datastore.querying.scan import scan
from fantasm_gcp.local.datastore.storage.store import Store


def scan_at(store: Store, query: Query, moment: int) -> Iterator[Row]:
    """As :func:`scan`, as of ``moment`` in microseconds, which must not be before ``store.complete_from``."""
    scope = store.scope(query.partition)
    if scope is None:
        return iter(())
    unchanged = (row for row in scan(store, query) if _stood(store, scope, row, moment))
    return heapq.merge(unchanged, _overwritten(store, query, scope, moment), key=attrgetter("position"))


def _stood(store: Store, scope: int, row: Row, moment: int) -> bool:
    updated = store.updated(scope, row.path)
    return updated is not None and updated <= moment


def _overwritten(store: Store, query: Query, scope: int, moment: int) -> list[Row]:
    kind = store.kind(scope, query.kind) if query.kind else None
    if query.kind and kind is None:
        return []
    return sorted(
        row
        for path, body in store.overwritten_since(scope, moment, kind)
        if any(path in part.path for part in query.alternatives)  # before the entity is parsed for nothing
        for row in query.rows_of(body, path)
        if row.position > query.start and (query.end is None or row.position <= query.end)
    )
