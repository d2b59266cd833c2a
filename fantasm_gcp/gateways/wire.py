"""Datastore's requests, built raw once and sent by the low-level client.

The low-level client sends what the high-level one cannot: inserts, versions to compare with, and atomic
commits of one request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.cloud.datastore_v1 import DatastoreClient, types

from fantasm_gcp.core.records import RowKey
from fantasm_gcp.gateways.vendor_errors import Sleep, attempt, repeat

CommitRequest = types.CommitRequest.pb()
LookupRequest = types.LookupRequest.pb()
RunQueryRequest = types.RunQueryRequest.pb()
BeginRequest = types.BeginTransactionRequest.pb()
RollbackRequest = types.RollbackRequest.pb()
AggregationRequest = types.RunAggregationQueryRequest.pb()

TRANSACTIONAL = types.CommitRequest.Mode.TRANSACTIONAL
NOT_FINISHED = types.QueryResultBatch.MoreResultsType.NOT_FINISHED
Operator = types.PropertyFilter.Operator
TIMEOUT = 30.0
"""Seconds that one request may take."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of Datastore the rows lie in, and the service they belong to."""

    project: str
    database: str = ""
    namespace: str = ""
    service: str = "default"


@dataclass(frozen=True, slots=True)
class Query:
    """Entities of a kind by equal properties, a range of keys, or a range of one property."""

    kind: str
    equal: Mapping[str, str | bool]
    limit: int
    keys_only: bool = False
    after: str = ""
    until: str = ""
    prefix: tuple[str, str] | None = None
    """A property and the prefix of its values; the results are in descending order of it."""
    between: tuple[str, str, str] | None = None
    """A property, and the first and the last of its values; the results are in ascending order of it."""
    cursor: bytes = b""


class Wire:
    """One Datastore database: what is sent to it, with errors made ours."""

    def __init__(self, place: Place, api: Callable[[], DatastoreClient], sleep: Sleep = time.sleep) -> None:
        self.place = place
        self._api = api
        self._sleep = sleep

    def fill_key(self, key: Any, row: RowKey) -> None:
        """Writes a row's key into a key message."""
        partition = key.partition_id
        partition.project_id = self.place.project
        partition.database_id = self.place.database
        partition.namespace_id = self.place.namespace
        key.path.add(kind=row.kind, name=row.name)

    def lookup(self, keys: Sequence[RowKey], transaction: bytes = b"") -> dict[RowKey, Any]:
        """The entity results that are there, by key; keys that the server deferred are asked for again."""
        request = LookupRequest(project_id=self.place.project, database_id=self.place.database)
        if transaction:
            request.read_options.transaction = transaction
        for key in keys:
            self.fill_key(request.keys.add(), key)
        found: dict[RowKey, Any] = {}
        while request.keys:
            response = self._lookup_once(types.LookupRequest.wrap(request), transaction)
            for result in response.found:
                last = result.entity.key.path[-1]
                found[RowKey(last.kind, last.name)] = result
            del request.keys[:]
            request.keys.extend(response.deferred)
        return found

    def _lookup_once(self, request: types.LookupRequest, transaction: bytes) -> Any:
        def send() -> types.LookupResponse:
            return self._api().lookup(request=request, retry=None, timeout=TIMEOUT)

        return types.LookupResponse.pb(attempt(send) if transaction else repeat(send, self._sleep))

    def commit(self, mutations: Sequence[Any], transaction: bytes = b"") -> Sequence[int]:
        """Writes atomically, in a transaction or in one of its own; the versions, in order."""
        request = CommitRequest(
            project_id=self.place.project,
            database_id=self.place.database,
            mode=TRANSACTIONAL,
            mutations=mutations,
        )
        if transaction:
            request.transaction = transaction
        else:
            request.single_use_transaction.read_write.SetInParent()
        wrapped = types.CommitRequest.wrap(request)
        response = attempt(lambda: self._api().commit(request=wrapped, retry=None, timeout=TIMEOUT))
        return [each.version for each in types.CommitResponse.pb(response).mutation_results]

    def commit_again(self, mutations: Sequence[Any]) -> None:
        """A commit that may be carried out twice: upserts of what never changes."""
        repeat(lambda: self.commit(mutations), self._sleep)

    def begin(self) -> bytes:
        """Begins a read-write transaction and answers its id."""
        request = BeginRequest(project_id=self.place.project, database_id=self.place.database)
        request.transaction_options.read_write.SetInParent()
        wrapped = types.BeginTransactionRequest.wrap(request)
        response = repeat(
            lambda: self._api().begin_transaction(request=wrapped, retry=None, timeout=TIMEOUT), self._sleep
        )
        return bytes(response.transaction)

    def rollback(self, transaction: bytes) -> None:
        request = RollbackRequest(
            project_id=self.place.project, database_id=self.place.database, transaction=transaction
        )
        wrapped = types.RollbackRequest.wrap(request)
        attempt(lambda: self._api().rollback(request=wrapped, retry=None, timeout=TIMEOUT))

    def run(self, query: Query) -> Sequence[Any]:
        """The results of a query."""
        return list(self.stream(query))

    def stream(self, query: Query) -> Iterator[Any]:
        """The results of a query, batch by batch as they are taken."""
        for batch in self._batches(query):
            yield from batch.entity_results

    def page(self, query: Query) -> tuple[Sequence[Any], bytes]:
        """The results of a query and the cursor behind the last of them."""
        batches = list(self._batches(query))
        results = [each for batch in batches for each in batch.entity_results]
        return results, bytes(batches[-1].end_cursor)

    def _batches(self, query: Query) -> Iterator[Any]:
        request = RunQueryRequest(project_id=self.place.project, database_id=self.place.database)
        self._fill_partition(request)
        self._fill_query(request.query, query)
        left = query.limit
        while True:
            request.query.limit.value = left
            batch = self._run_once(types.RunQueryRequest.wrap(request))
            yield batch
            left -= len(batch.entity_results)
            if batch.more_results != NOT_FINISHED or left <= 0:
                return
            request.query.start_cursor = batch.end_cursor

    def _run_once(self, request: types.RunQueryRequest) -> Any:
        response = repeat(
            lambda: self._api().run_query(request=request, retry=None, timeout=TIMEOUT), self._sleep
        )
        return types.RunQueryResponse.pb(response).batch

    def count(self, query: Query) -> int:
        """How many results a query has, counted by the server. Raises ``RefusedError`` where it cannot."""
        request = AggregationRequest(project_id=self.place.project, database_id=self.place.database)
        self._fill_partition(request)
        self._fill_query(request.aggregation_query.nested_query, replace(query, keys_only=False))
        request.aggregation_query.aggregations.add(alias="n").count.SetInParent()
        wrapped = types.RunAggregationQueryRequest.wrap(request)
        response = repeat(
            lambda: self._api().run_aggregation_query(request=wrapped, retry=None, timeout=TIMEOUT),
            self._sleep,
        )
        batch = types.RunAggregationQueryResponse.pb(response).batch
        return int(batch.aggregation_results[0].aggregate_properties["n"].integer_value)

    def _fill_partition(self, request: Any) -> None:
        request.partition_id.project_id = self.place.project
        request.partition_id.database_id = self.place.database
        request.partition_id.namespace_id = self.place.namespace

    def _fill_query(self, pb: Any, query: Query) -> None:
        pb.kind.add(name=query.kind)
        if query.keys_only:
            pb.projection.add().property.name = "__key__"
        filters = []
        for name, value in query.equal.items():
            condition = _condition(name, Operator.EQUAL)
            if isinstance(value, bool):
                condition.value.boolean_value = value
            else:
                condition.value.string_value = value
            filters.append(condition)
        for name, operator in (
            (query.after, Operator.GREATER_THAN),
            (query.until, Operator.LESS_THAN_OR_EQUAL),
        ):
            if name:
                condition = _condition("__key__", operator)
                self.fill_key(condition.value.key_value, RowKey(query.kind, name))
                filters.append(condition)
        if query.prefix is not None:
            name, prefix = query.prefix
            for text, operator in (
                (prefix, Operator.GREATER_THAN_OR_EQUAL),
                (prefix + "\ufffd", Operator.LESS_THAN),
            ):
                condition = _condition(name, operator)
                condition.value.string_value = text
                filters.append(condition)
            _fill_order(pb.order.add(), name, types.PropertyOrder.Direction.DESCENDING)
        if query.between is not None:
            name, first, last = query.between
            for text, operator in (
                (first, Operator.GREATER_THAN_OR_EQUAL),
                (last, Operator.LESS_THAN_OR_EQUAL),
            ):
                condition = _condition(name, operator)
                condition.value.string_value = text
                filters.append(condition)
            _fill_order(pb.order.add(), name, types.PropertyOrder.Direction.ASCENDING)
        _fill_filter(pb.filter, filters)
        if query.cursor:
            pb.start_cursor = query.cursor


def _fill_order(order: Any, name: str, direction: Any) -> None:
    order.property.name = name
    order.direction = direction


def _condition(name: str, operator: Any) -> Any:
    condition = types.PropertyFilter.pb()(op=operator)
    condition.property.name = name
    return condition


def _fill_filter(pb: Any, filters: Sequence[Any]) -> None:
    if len(filters) == 1:
        pb.property_filter.CopyFrom(filters[0])
    elif filters:
        pb.composite_filter.op = types.CompositeFilter.Operator.AND
        for each in filters:
            pb.composite_filter.filters.add().property_filter.CopyFrom(each)
