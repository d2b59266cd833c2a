"""Explaining a query: the indexes that production would use for it, and what running it took.

Plans are those of production's indexes, not of this server's tables: equalities alone merge the index of each
property; sort orders, ranges, projections and aggregated properties need one index of all of them. Source:
"Use Query Explain" and its report reference in the Datastore documentation, and, for the scope of ancestor
queries and the place of aggregated properties, the vendor's tests of its Go client against production; for
the place of a searched vector those of its Python client of Firestore.

Counts in statistics are of the entries and entities that such indexes would have to read for the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.vectors import Nearest
from fantasm_gcp.local.datastore.querying.filters import Conjunction
from fantasm_gcp.local.datastore.querying.query import Query

ENTRIES_PER_READ = 1000
"""How many index entries an aggregation reads at the price of one entity ("Pricing", retrieved 2026-11)."""

VECTORS_PER_READ = 100
"""The same of the vectors that a search compares, which it pays for beside the entities that it finds."""


def aggregated_names(aggregations: Iterable[tuple[str, str, Any]]) -> tuple[str, ...]:
    """The properties that checked aggregations add up."""
    return tuple(operand.property.name for _, operator, operand in aggregations if operator != "count")


def explains_only(request: Any, response: Any, query: Query, aggregated: Iterable[str] = ()) -> bool:
    """Whether a request wants the plan and no results; fills the plan whenever it wants one.

    ``aggregated`` are the properties that are added up.
    """
    if not request.HasField("explain_options"):
        return False
    fill_plan(response.explain_metrics, query, aggregated)
    return not request.explain_options.analyze


def fill_plan(metrics: Any, query: Query, aggregated: Iterable[str] = ()) -> None:
    """Fills the plan in raw ``ExplainMetrics``; ``aggregated`` are the properties that are added up."""
    wanted = tuple(dict.fromkeys(aggregated))
    plans = dict.fromkeys(plan for part in query.alternatives for plan in _plans(query, part, wanted))
    for scope, properties in plans:
        metrics.plan_summary.indexes_used.add().update({"properties": properties, "query_scope": scope})
    metrics.plan_summary.SetInParent()


def fill_query_stats(metrics: Any, query: Query, batch: Any, seconds: float, compared: int = 0) -> None:
    """Fills the statistics of a query that took ``seconds`` and whose answer is that ``QueryResultBatch``.

    Keys and projections come from the index alone: they are small operations, and the query is one read.
    ``compared`` are the vectors that a search has read besides, each an entry of an index.
    """
    returned = len(batch.entity_results)
    scanned = returned + batch.skipped_results
    small = query.keys_only or bool(query.projection)
    documents = 0 if small else scanned
    searched = -(-compared // VECTORS_PER_READ)
    _fill(metrics, returned, documents + searched or 1, seconds)
    _fill_debug(
        metrics,
        entries=scanned if query.nearest is None else compared,
        documents=documents,
        billed=compared,
        small=scanned if small else 0,
    )


def fill_aggregation_stats(metrics: Any, counted: int, seconds: float) -> None:
    """Fills the statistics of an aggregation over ``counted`` results that took ``seconds``."""
    billed = -(-counted // ENTRIES_PER_READ)
    _fill(metrics, 1, billed or 1, seconds)
    _fill_debug(metrics, entries=counted, documents=0, billed=counted)


def _plans(query: Query, part: Conjunction, aggregated: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Scopes and columns of the indexes for one alternative of the filter."""
    scope = "Includes ancestors" if part.ancestor is not None else "Collection Group"
    equal = dict.fromkeys(name for name, _ in part.equals)
    orders = {name: descending for name, descending in query.orders if name not in equal}
    by_key = orders.pop(KEY_NAME)
    added = {name: False for name in aggregated if name not in orders and name not in equal}
    columns = orders | added
    if columns or not equal or query.nearest is not None:
        named = [*((name, False) for name in equal), *columns.items()]
        yield scope, _columns(named, by_key, query.nearest)
    else:
        for name in equal:
            yield scope, _columns([(name, False)], by_key)


def _columns(columns: Iterable[tuple[str, bool]], by_key: bool, nearest: Nearest | None = None) -> str:
    named = [*columns, ("__name__", by_key)]
    texts = [name + (" DESC" if descending else " ASC") for name, descending in named]
    if nearest is not None:
        texts.append(f"{nearest.name} VECTOR<{len(nearest.vector)}>")
    return f"({', '.join(texts)})"


def _fill(metrics: Any, returned: int, reads: int, seconds: float) -> None:
    stats = metrics.execution_stats
    stats.results_returned = returned
    stats.read_operations = reads
    stats.execution_duration.FromMicroseconds(round(seconds * 1_000_000))


def _fill_debug(metrics: Any, *, entries: int, documents: int, billed: int = 0, small: int = 0) -> None:
    charged = documents or billed or small
    metrics.execution_stats.debug_stats.update(
        {
            "index_entries_scanned": str(entries),
            "documents_scanned": str(documents),
            "billing_details": {
                "documents_billable": str(documents),
                "index_entries_billable": str(billed),
                "small_ops": str(small),
                "min_query_cost": "0" if charged else "1",
            },
        }
    )
