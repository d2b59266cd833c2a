"""Whether what a transaction has read of metadata is still so.

A kind, namespace or property appears and disappears with the first and the last of many entities. So no
single change tells whether it alters what a query of metadata shows: the query is asked again. The
documentation has no rule for such queries; this is that of all others, that they must find the same.
"""

from __future__ import annotations

from collections.abc import Callable

from fantasm_gcp.local.datastore.querying.query import Query, Row
from fantasm_gcp.local.datastore.querying.reading import Reading
from fantasm_gcp.local.datastore.storage.store import Store

_Shown = list[tuple[Row, bytes]]


def watched(store: Store, query: Query, moment: int | None) -> Callable[[], bool]:
    """Says, whenever it is called, whether a query would show other results now than as of the moment.

    ``query`` is of metadata, ``moment`` in microseconds; ``None`` is the present.
    """
    read = _shown(store, query, moment)
    return lambda: _shown(store, query, None) != read


def _shown(store: Store, query: Query, moment: int | None) -> _Shown:
    reading = Reading(store, query, moment)
    whole = not (query.keys_only or query.projection)
    return [(row, reading.stored(row.path).body if whole else b"") for row in reading.rows()]
