"""The Datastore server: its methods, one at a time over one store.

One lock is held around every method. SQLite allows one writer anyway, a read takes some microseconds, and
threads that wait for a lock cost nothing, whereas a pool of connections makes threads fight for the
interpreter.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import grpc

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore.committing.committer import LOCK_SECONDS, Committer
from fantasm_gcp.local.datastore.committing.transactions import (
    Transaction,
    Transactions,
    check_identifier,
    contention,
)
from fantasm_gcp.local.datastore.committing.writing import allocate_id
from fantasm_gcp.local.datastore.entity import messages
from fantasm_gcp.local.datastore.entity.keys import (
    Partition,
    check_path,
    check_request_names,
    encode_path,
    fill_partition,
    resolve_partition,
)
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME, mask_of, masked
from fantasm_gcp.local.datastore.entity.messages import invalid, set_time
from fantasm_gcp.local.datastore.gql import structured_aggregation, structured_query
from fantasm_gcp.local.datastore.querying.aggregates import aggregate, check_aggregations
from fantasm_gcp.local.datastore.querying.cursors import read_cursor
from fantasm_gcp.local.datastore.querying.explain import (
    aggregated_names,
    explains_only,
    fill_aggregation_stats,
    fill_query_stats,
)
from fantasm_gcp.local.datastore.querying.indexes import require_index
from fantasm_gcp.local.datastore.querying.metadata import METADATA_KINDS
from fantasm_gcp.local.datastore.querying.query import Query, parse_query
from fantasm_gcp.local.datastore.querying.query_rules import check_aggregated
from fantasm_gcp.local.datastore.querying.results import fill_batch
from fantasm_gcp.local.datastore.querying.watching import watched
from fantasm_gcp.local.datastore.storage.composites import declare
from fantasm_gcp.local.datastore.storage.moments import Moments
from fantasm_gcp.local.datastore.storage.store import Store
from fantasm_gcp.local.rpc import Method, RpcError, Service

log = logging.getLogger("fantasm_gcp.local.datastore")

MAX_REQUEST_BYTES = 10 * 1024 * 1024
MAX_LOOKUP_KEYS = 1000
NO_MORE_RESULTS = 3  # QueryResultBatch.MoreResultsType
_STRONG, _EVENTUAL = 1, 2  # ReadOptions.ReadConsistency
_STOPPED = frozenset({1, 2})  # NOT_FINISHED, MORE_RESULTS_AFTER_LIMIT


class DatastoreServer:
    """A Datastore of this machine: ``service`` is its API, for :func:`serve` and :class:`LocalChannel`.

    ``path`` is the file that keeps it, ``None`` keeps it in memory. ``clock`` gives seconds since the epoch
    and sets times of entities and the expiry of transactions. Every acknowledged commit outlives the death
    of the process (not always that of the machine). Safe to use from any number of threads.

    ``pessimistic`` chooses the database's concurrency mode, see ``committing.transactions``; production has
    both. A commit then waits for up to ``lock_seconds`` for transactions that have read what it writes, so
    these must end in other threads.

    ``indexes`` are the declared composite indexes: they are built now, kept up to date, and walked by the
    queries they serve. A query that neither they nor the built-in ones serve is refused, unless
    ``require_indexes`` is off; ``None`` declares none and refuses nothing. Before one is refused,
    ``newer_indexes`` is asked for the indexes that are declared by now, ``None`` for those that it has.

    Raises ``OSError`` when the file cannot be opened or is in use, ``ValueError`` when it is of a newer
    version.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.time,
        *,
        pessimistic: bool = False,
        lock_seconds: float = LOCK_SECONDS,
        indexes: Iterable[CompositeIndex] | None = None,
        require_indexes: bool = True,
        newer_indexes: Callable[[], Iterable[CompositeIndex] | None] = lambda: None,
    ) -> None:
        self._store = Store(path)
        self._indexes = None if indexes is None else tuple(indexes)
        self._require_indexes = require_indexes
        self._newer_indexes = newer_indexes
        try:
            declare(self._store, self._indexes or ())
        except BaseException:
            self._store.close()
            raise
        self._clock = clock
        self._moments = Moments(self._store, clock)
        self._pessimistic = pessimistic
        self._lock = threading.Lock()
        self._transactions = Transactions()
        self._committer = Committer(
            self._store,
            self._transactions,
            self._lock,
            clock,
            self._moments.free,
            pessimistic=pessimistic,
            lock_seconds=lock_seconds,
        )
        self._closed = False
        self.service = Service(
            "google.datastore.v1.Datastore",
            {
                "Lookup": self._method(messages.LookupRequest, messages.LookupResponse, self._lookup),
                "RunQuery": self._method(
                    messages.RunQueryRequest, messages.RunQueryResponse, self._run_query
                ),
                "RunAggregationQuery": self._method(
                    messages.RunAggregationQueryRequest,
                    messages.RunAggregationQueryResponse,
                    self._run_aggregation,
                ),
                "BeginTransaction": self._method(
                    messages.BeginTransactionRequest, messages.BeginTransactionResponse, self._begin
                ),
                "Commit": self._method(
                    messages.CommitRequest, messages.CommitResponse, self._committer.commit
                ),
                "Rollback": self._method(messages.RollbackRequest, messages.RollbackResponse, self._rollback),
                "AllocateIds": self._method(
                    messages.AllocateIdsRequest, messages.AllocateIdsResponse, self._allocate_ids
                ),
                "ReserveIds": self._method(
                    messages.ReserveIdsRequest, messages.ReserveIdsResponse, self._reserve_ids
                ),
            },
        )

    def close(self) -> None:
        """Closes the file; methods answer UNAVAILABLE from then on. A second call does nothing."""
        with self._lock:
            self._closed = True
            self._committer.close()
            self._store.close()

    @property
    def waiting(self) -> int:
        """How many commits wait for other transactions, in the pessimistic mode."""
        return self._committer.waiting

    def reset(self) -> None:
        """Deletes all entities and reservations and ends all transactions. Versions and ids go on."""
        with self._lock:
            self._store.clear()
            self._transactions.clear()
            self._committer.wake()

    def databases(self) -> list[tuple[str, str]]:
        """Project and database of all that was ever written to since the last reset, sorted."""
        with self._lock:
            return [] if self._closed else self._store.databases()

    def _method(self, request: type[Any], response: type[Any], answer: Callable[[Any, Any], None]) -> Method:
        def call(message: Any) -> Any:
            if message.ByteSize() > MAX_REQUEST_BYTES:
                raise invalid(f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")
            check_request_names(message.project_id, message.database_id)
            reply = response()
            with self._lock:
                if self._closed:
                    raise RpcError(grpc.StatusCode.UNAVAILABLE, "the local Datastore is closed")
                try:
                    answer(message, reply)
                except sqlite3.Error as error:
                    raise RpcError(
                        grpc.StatusCode.INTERNAL, f"the local Datastore's file failed: {error}"
                    ) from error
            return reply

        return Method(request, response, call)

    # -- reading

    def _lookup(self, request: Any, response: Any) -> None:
        if len(request.keys) > MAX_LOOKUP_KEYS:
            raise invalid(f"cannot get more than {MAX_LOOKUP_KEYS} keys in a single call")
        found = [(self._checked(key, request), encode_path(key.path)) for key in request.keys]
        mask = mask_of(request)
        transaction, moment = self._reading(request, response)
        read_at = self._moments.present() if moment is None else moment
        if transaction is not None:
            transaction.keys.update(found)
        for (partition, path), key in zip(found, request.keys, strict=True):
            scope = self._store.scope(partition)
            stored = None if scope is None else self._store.get(scope, path, moment)
            if stored is None:
                result = response.missing.add()
                result.entity.key.CopyFrom(key)
                if not _is_eventual(request):
                    result.version = read_at
                continue
            result = response.found.add()
            result.entity.MergeFromString(stored.body)
            if mask is not None:
                result.entity.CopyFrom(masked(result.entity, [path for path in mask if path != KEY_NAME]))
            result.version = stored.version
            set_time(result.create_time, stored.created)
            set_time(result.update_time, stored.updated)
        set_time(response.read_time, read_at)

    def _checked(
        self, key: Any, request: Any, *, complete: bool = True, for_write: bool = False
    ) -> Partition:
        """Checks a key of a request and spells out its partition in it."""
        check_path(key, complete=complete, for_write=for_write)
        partition = resolve_partition(
            key.partition_id, request.project_id, request.database_id, for_write=for_write
        )
        fill_partition(key.partition_id, partition)
        return partition

    def _run_query(self, request: Any, response: Any) -> None:
        mask = mask_of(request)
        query = self._query(request, structured_query(request, response))
        if mask is not None and query.projection:
            raise invalid("property masks are not allowed on projection queries")
        self._require(query)
        transaction, moment = self._reading(request, response)
        if explains_only(request, response, query):
            return
        began = time.perf_counter()
        compared = fill_batch(response.batch, self._store, query, mask, moment)
        if request.HasField("explain_options"):
            seconds = time.perf_counter() - began
            fill_query_stats(response.explain_metrics, query, response.batch, seconds, compared)
        if transaction is not None:
            self._note_read(transaction, _read_part(query, response.batch))
        if not _is_eventual(request):
            response.batch.snapshot_version = self._moments.present() if moment is None else moment
            set_time(response.batch.read_time, response.batch.snapshot_version)

    def _run_aggregation(self, request: Any, response: Any) -> None:
        message = structured_aggregation(request, response)
        aggregations = check_aggregations(message.aggregations)
        query = self._query(request, message.nested_query)
        check_aggregated(aggregated_names(aggregations), message.nested_query)
        self._require(query, aggregated_names(aggregations))
        transaction, moment = self._reading(request, response)
        if explains_only(request, response, query, aggregated_names(aggregations)):
            return
        began = time.perf_counter()
        result = response.batch.aggregation_results.add()
        counted = aggregate(self._store, query, aggregations, result, moment)
        if request.HasField("explain_options"):
            fill_aggregation_stats(response.explain_metrics, counted, time.perf_counter() - began)
        if transaction is not None:
            self._note_read(transaction, query)
        response.batch.more_results = NO_MORE_RESULTS
        set_time(response.batch.read_time, self._moments.present() if moment is None else moment)

    def _note_read(self, transaction: Transaction, query: Query) -> None:
        if query.kind not in METADATA_KINDS:
            transaction.queries.append(query)
        elif not transaction.read_only:
            transaction.watches.append(watched(self._store, query, transaction.moment))

    def _query(self, request: Any, query: Any) -> Query:
        return parse_query(
            query, resolve_partition(request.partition_id, request.project_id, request.database_id)
        )

    def _require(self, query: Query, aggregated: Iterable[str] = ()) -> None:
        if self._indexes is None or not self._require_indexes:
            return
        try:
            require_index(self._indexes, query, aggregated)
        except RpcError as refusal:
            if self._declare_newer():
                self._require(query, aggregated)
                return
            log.warning("a query was refused: %s", refusal.message)  # its caller may not show why
            raise

    def _declare_newer(self) -> bool:
        """Whether other indexes were to be had, and are built now."""
        newer = self._newer_indexes()
        indexes = self._indexes if newer is None else tuple(newer)
        if indexes is None or indexes == self._indexes:
            return False
        try:
            declare(self._store, indexes)
        except ValueError as error:
            log.warning("%s; the indexes stay as they were", error)
            return False
        self._indexes = indexes
        return True

    def _reading(self, request: Any, response: Any) -> tuple[Transaction | None, int | None]:
        """The transaction a read belongs to, begun if the read asks for it, and the moment that it shows."""
        options = request.read_options
        database = (request.project_id, request.database_id)
        match options.WhichOneof("consistency_type"):
            case "transaction":
                transaction = self._transactions.get(options.transaction, database, self._clock())
            case "new_transaction":
                transaction = self._open(options.new_transaction, database)
                response.transaction = transaction.id
            case "read_time":
                return None, self._moments.past(options.read_time)
            case "read_consistency" if options.read_consistency not in (_STRONG, _EVENTUAL):
                raise invalid("ReadConsistency must be specified.")
            case _:
                return None, None
        too_old = transaction.moment is not None and transaction.moment < self._store.complete_from
        if too_old or transaction.doomed:
            raise contention()
        return transaction, transaction.moment

    # -- transactions

    def _begin(self, request: Any, response: Any) -> None:
        database = (request.project_id, request.database_id)
        response.transaction = self._open(request.transaction_options, database).id

    def _open(self, options: Any, database: tuple[str, str]) -> Transaction:
        read_only = options.WhichOneof("mode") == "read_only"
        if options.read_write.previous_transaction:
            check_identifier(options.read_write.previous_transaction)
        since = self._moments.present()
        moment: int | None = since
        if read_only and options.read_only.HasField("read_time"):
            moment = self._moments.past(options.read_only.read_time)
        elif self._pessimistic and not read_only:
            moment = None
        return self._transactions.begin(
            database, self._clock(), read_only=read_only, moment=moment, since=since
        )

    def _rollback(self, request: Any, response: Any) -> None:  # noqa: ARG002  # the response has no fields
        database = (request.project_id, request.database_id)
        self._transactions.end(request.transaction, database, self._clock())
        self._committer.wake()

    # -- ids

    def _allocate_ids(self, request: Any, response: Any) -> None:
        partitions = [self._checked(key, request, complete=False, for_write=True) for key in request.keys]
        with self._store.writing():
            for key, partition in zip(request.keys, partitions, strict=True):
                scope = self._store.scope(partition, create=True)
                if scope is None:
                    raise AssertionError("created numbers are never None")
                allocate_id(self._store, scope, key)
                response.keys.add().CopyFrom(key)

    def _reserve_ids(self, request: Any, response: Any) -> None:  # noqa: ARG002  # the response has no fields
        partitions = [self._checked(key, request, for_write=True) for key in request.keys]
        with self._store.writing():
            for key, partition in zip(request.keys, partitions, strict=True):
                scope = self._store.scope(partition, create=True)
                if scope is None:
                    raise AssertionError("created numbers are never None")
                self._store.reserve(scope, encode_path(key.path))


def _is_eventual(request: Any) -> bool:
    """Whether a reading asks to be eventually consistent: it is strongly so, but says no version."""
    return bool(request.read_options.read_consistency == _EVENTUAL)


def _read_part(query: Query, batch: Any) -> Query:
    """The part of a query that has been read: as far as its last result, if it stopped there.

    It has been read to its end when its results end before the limit, at an end cursor too, or before the
    offset is reached.
    """
    if batch.more_results not in _STOPPED or batch.skipped_results < query.offset:
        return query
    return replace(query, end=read_cursor(batch.end_cursor, query.orders))
