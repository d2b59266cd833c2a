"""Reading for a query: its rows, and the entities behind them, as of one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from fantasm_gcp.local.datastore.entity.entities import indexed_values
from fantasm_gcp.local.datastore.querying.catalog import Catalog
from fantasm_gcp.local.datastore.querying.history import scan_at
from fantasm_gcp.local.datastore.querying.metadata import METADATA_KINDS, metadata_entity, metadata_paths
from fantasm_gcp.local.datastore.querying.neighbours import Neighbours
from fantasm_gcp.local.datastore.querying.query import Query, Row
from fantasm_gcp.local.datastore.querying.scan import AFTER_GROUP, bounded, is_walked, scan
from fantasm_gcp.local.datastore.storage.store import Store, Stored

_PASSED = 32
"""How many rows of a distinct group are passed over before the next group is looked for in the index."""


class Reading:
    """What a query reads, as of ``moment`` in microseconds; ``None`` is now.

    Is to be used before the store is changed.
    """

    def __init__(self, store: Store, query: Query, moment: int | None = None) -> None:
        self._store = store
        self._query = query
        self._moment = None if moment is None or moment >= store.clock else moment
        self._of_metadata = query.kind in METADATA_KINDS
        self.compared = 0
        """How many vectors a search has compared."""

    def rows(self) -> Iterator[Row]:
        """The rows, of each distinct group the first, its position then after the whole group.

        Of a search these are the nearest of them, by distance.
        """
        rows = self._first_of_groups() if self._query.distinct else self._sorted(self._query)
        if self._query.nearest is None:
            return rows
        neighbours = Neighbours(self._query.nearest, lambda path: self.stored(path).body)
        nearest = neighbours.of(rows)
        self.compared = neighbours.compared
        return iter(nearest)

    def stored(self, path: bytes) -> Stored:
        """The entity of a row; one of metadata has neither version nor times."""
        if self._of_metadata:
            return Stored(0, 0, 0, self._metadata_entity(path).SerializeToString())
        scope = self._store.scope(self._query.partition)
        stored = None if scope is None else self._store.get(scope, path, self._moment)
        if stored is None:
            raise AssertionError("a row of the index is always of an entity")
        return stored

    def _sorted(self, query: Query) -> Iterator[Row]:
        if self._of_metadata:
            return bounded(self._metadata_rows, query)
        return scan(self._store, query) if self._moment is None else scan_at(self._store, query, self._moment)

    def _first_of_groups(self) -> Iterator[Row]:
        query = self._query
        places = [query.exploded.index(name) for name, _ in query.orders[: len(query.distinct)]]
        done, reached, passed = None, query.start, 0
        rows = self._sorted(query)
        while (row := next(rows, None)) is not None:
            group = tuple(row.chosen[place] for place in places)
            if group != done:
                done, passed = group, 0
                reached = row.position[: sum(map(len, group))] + AFTER_GROUP
                yield Row(reached, row.path, row.chosen)
                continue
            passed += 1
            if passed == _PASSED and self._leaps:
                rows = self._sorted(replace(query, start=reached))

    @cached_property
    def _leaps(self) -> bool:
        """Whether to begin anew behind a group costs no more than a few rows."""
        return self._moment is None and not self._of_metadata and is_walked(self._store, self._query)

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog(self._store, self._query.partition, self._moment)

    def _metadata_entity(self, path: bytes) -> Any:
        return metadata_entity(self._catalog, self._query.partition, path)

    @cached_property
    def _metadata_rows(self) -> list[Row]:
        query = self._query
        return sorted(
            row
            for path in metadata_paths(self._catalog, query.kind)
            for row in query.rows(
                {} if query.by_key_only else indexed_values(self._metadata_entity(path)), path
            )
        )
