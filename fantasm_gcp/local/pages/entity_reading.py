"""What the pages of the Datastore show, read by its API alone: databases, kinds, queries, one entity."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fantasm_gcp.local.datastore.entity.messages import (
    LookupRequest,
    Query,
    RunAggregationQueryRequest,
    RunQueryRequest,
)
from fantasm_gcp.local.rpc import Service, call

ROWS: Final = 50
"""Entities, or kinds, on a page."""

MOST_NAMESPACES: Final = 200
MOST_COUNTED: Final = 10_000
"""Entities of a kind that are counted; a kind of a million must not hold up who else asks."""

_NOT_FINISHED = 1  # QueryResultBatch.MoreResultsType
_AGGREGATES = re.compile(r"(AGGREGATE\b|SELECT\s+(COUNT|COUNT_UP_TO|SUM|AVG)\s*\()", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """A partition: where entities are."""

    project: str
    database: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind and how many entities it has, or None for more than ``MOST_COUNTED``."""

    name: str
    count: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the results of a query.

    ``results`` are raw ``EntityResult`` messages, ``numbers`` the results of aggregations by their alias.
    ``next`` is the cursor of the next page, empty when this is the last, and ``seen`` how many results there
    were up to here.
    """

    results: Sequence[Any] = ()
    numbers: Sequence[tuple[str, Any]] = ()
    next: bytes = b""
    seen: int = 0


class EntityReader:
    """Reads a Datastore. Every method raises ``RpcError`` as the API does."""

    def __init__(self, service: Service, databases: Callable[[], Sequence[tuple[str, str]]]) -> None:
        """``databases`` answers every project and database: the API cannot be asked for them."""
        self._service = service
        self.databases = databases

    def namespaces(self, project: str, database: str) -> list[str]:
        """The namespaces of a database, the default one as ""; so many as fit in a list to choose from."""
        query = Query(limit={"value": MOST_NAMESPACES})
        query.kind.add(name="__namespace__")
        batch = self._ask("RunQuery", _request(Place(project, database, ""), query)).batch
        return [each.entity.key.path[0].name for each in batch.entity_results]

    def kinds(self, place: Place, after: bytes) -> tuple[list[Kind], bytes]:
        """A page of the kinds of a partition, and the cursor of the next."""
        found = self._page(place, Query(kind=[{"name": "__kind__"}]), after, 0)
        names = [each.entity.key.path[0].name for each in found.results]
        return [Kind(name, self._count(place, name)) for name in names], found.next

    def query(self, place: Place, gql: str, after: bytes = b"", seen: int = 0) -> Found:
        """A page of what a query in GQL finds; its text begins with a word, and literals stand in it."""
        request = RunQueryRequest() if not _AGGREGATES.match(gql) else RunAggregationQueryRequest()
        _fill_place(request, place)
        request.gql_query.query_string = gql
        request.gql_query.allow_literals = True
        if isinstance(request, RunAggregationQueryRequest):
            result = self._ask("RunAggregationQuery", request).batch.aggregation_results[0]
            return Found(numbers=sorted(result.aggregate_properties.items()))
        # Explained first, which runs nothing: the answer has the query in its other form, which has pages.
        request.explain_options.SetInParent()
        return self._page(place, self._ask("RunQuery", request).query, after, seen)

    def entity(self, project: str, database: str, key: Any) -> Any:
        """The raw ``EntityResult`` of a key, None when there is no such entity."""
        request = LookupRequest(project_id=project, database_id=database)
        request.keys.add().CopyFrom(key)
        found = self._ask("Lookup", request).found
        return found[0] if found else None

    def _page(self, place: Place, query: Any, after: bytes, seen: int) -> Found:
        left = query.limit.value - seen if query.HasField("limit") else ROWS + 1
        query.limit.value = max(0, min(left, ROWS + 1))
        if after:
            query.start_cursor, query.offset = after, 0
        batch = self._ask("RunQuery", _request(place, query)).batch
        results, following = batch.entity_results[:ROWS], b""
        if len(batch.entity_results) > ROWS:
            following = results[-1].cursor
        elif batch.more_results == _NOT_FINISHED:  # large ones are fewer on a page
            following = batch.end_cursor
        return Found(results=results, next=following, seen=seen + len(results))

    def _count(self, place: Place, kind: str) -> int | None:
        request = RunAggregationQueryRequest()
        _fill_place(request, place)
        query = request.aggregation_query
        query.nested_query.kind.add(name=kind)
        query.aggregations.add(alias="count").count.up_to.value = MOST_COUNTED + 1
        result = self._ask("RunAggregationQuery", request).batch.aggregation_results[0]
        count: int = result.aggregate_properties["count"].integer_value
        return None if count > MOST_COUNTED else count

    def _ask(self, method: str, request: Any) -> Any:
        return call(self._service.methods[method], request)


def _request(place: Place, query: Any) -> Any:
    request = RunQueryRequest(query=query)
    _fill_place(request, place)
    return request


def _fill_place(request: Any, place: Place) -> None:
    request.project_id, request.database_id = place.project, place.database
    partition = request.partition_id
    partition.project_id, partition.database_id = place.project, place.database
    partition.namespace_id = place.namespace
