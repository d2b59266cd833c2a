"""The search for the nearest vectors: every candidate is looked at, as production's flat indexes do it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator

from fantasm_gcp.local.datastore.entity.messages import Entity
from fantasm_gcp.local.datastore.entity.vectors import Nearest
from fantasm_gcp.local.datastore.querying.query import Row


class Neighbours:
    """The nearest of some rows; ``compared`` counts the vectors that were looked at so far.

    ``body_of`` gives the serialized entity of a key path. No more rows are kept than are found.
    """

    def __init__(self, nearest: Nearest, body_of: Callable[[bytes], bytes]) -> None:
        self._nearest = nearest
        self._body_of = body_of
        self.compared = 0

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """Those found, with their distances, the nearest first and ties by key."""
        return heapq.nsmallest(self._nearest.limit, self._measured(rows), key=self._rank)

    def _measured(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            distance = self._nearest.distance(Entity.FromString(self._body_of(row.path)))
            if distance is not None:
                self.compared += 1
                if self._nearest.is_within(distance):
                    yield row._replace(distance=distance)

    def _rank(self, row: Row) -> tuple[bool, float, bytes, bytes]:
        distance = math.nan if row.distance is None else row.distance
        if math.isnan(distance):
            return True, 0.0, row.path, row.position
        return False, -distance if self._nearest.greatest_first else distance, row.path, row.position
