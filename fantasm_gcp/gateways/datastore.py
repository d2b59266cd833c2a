"""The engine's rows in Datastore."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from google.api_core import exceptions as vendor
from google.cloud import datastore
from google.cloud.datastore import helpers
from google.cloud.datastore_v1 import types

from fantasm_gcp.core.context import Put, Remove
from fantasm_gcp.core.names import InstanceId, StepName, join_end
from fantasm_gcp.core.records import (
    Commit,
    Delete,
    Entry,
    Hold,
    Insert,
    Instance,
    InstanceStatus,
    Memo,
    Mutation,
    Record,
    Row,
    RowKey,
    Stored,
    Task,
    Update,
    Upsert,
)
from fantasm_gcp.errors import StartError, StoreError
from fantasm_gcp.gateways.payloads import (
    KEEP_SECONDS,
    KIND,
    RENEW_SECONDS,
    Inline,
    Reference,
    Remembered,
    place,
    unpack,
)
from fantasm_gcp.gateways.rows import FORMAT, SHARDS, Properties, overdue_mark, read_row, write_row
from fantasm_gcp.gateways.vendor_errors import is_contention, ours
from fantasm_gcp.gateways.wire import Query, Wire

MutationPb = types.Mutation.pb()
FAIL = types.Mutation.ConflictResolutionStrategy.FAIL
PAYLOAD_COMMIT_BYTES = 7_000_000
MOST_CHILDREN = 1000
MOST_HOLDS = 1000
"""Holds that a process reads."""


class DatastoreStore:
    """Implements ``engine.ports.Store``. ``users`` gives the client that actions use."""

    def __init__(
        self,
        wire: Wire,
        users: Callable[[], datastore.Client],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.wire = wire
        self._users = users
        self._clock = clock
        self._remembered = Remembered(clock)

    # -- reading ------------------------------------------------------------------------------------------

    def lookup(self, keys: Sequence[RowKey]) -> Sequence[Stored[Any] | None]:
        return self.lookup_in(keys, b"")

    def lookup_in(self, keys: Sequence[RowKey], transaction: bytes) -> Sequence[Stored[Any] | None]:
        """As :meth:`lookup`, inside a transaction where one is given."""
        found = self.wire.lookup(keys, transaction)
        results = [found.get(key) for key in keys]
        return [None if each is None else Stored(self.row(each.entity), each.version) for each in results]

    def row(self, entity: Any, *, resolve: bool = True) -> Any:
        """The row that an entity holds. A context that lies elsewhere is fetched, or left empty."""
        properties = entity.properties
        if "payload" in properties:
            reference = Reference.parse(properties["payload"].string_value)
            return read_row(entity, self._read_payload(reference) if resolve else b"")
        stored = properties["context"].blob_value if "context" in properties else b""
        return read_row(entity, unpack(stored) if stored else b"")

    def _read_payload(self, reference: Reference) -> bytes:
        keys = [RowKey(KIND, name) for name in reference.names]
        found = self.wire.lookup(keys)
        if len(found) < len(keys):
            return b""  # deleted, though something referred to it: told where the context is needed
        chunks = [found[key].entity.properties for key in keys]
        oldest = min(each["expires"].timestamp_value.seconds for each in chunks)
        if oldest - self._clock() > RENEW_SECONDS:  # else it is written anew by the next row that has it
            self._remembered.add(reference)
        return unpack(b"".join(each["content"].blob_value for each in chunks))

    def in_flight(self, instance: InstanceId, limit: int) -> Sequence[StepName]:
        query = Query(Task.kind, {"instance": instance, "in_flight": True}, limit, keys_only=True)
        return [StepName(each.entity.key.path[-1].name) for each in self.wire.run(query)]

    def has_failed(self, instance: InstanceId) -> bool:
        query = Query(Task.kind, {"instance": instance, "status": "failed"}, 1, keys_only=True)
        return bool(self.wire.run(query))

    def steps(self, where: Mapping[str, str], after: str, limit: int) -> Sequence[StepName]:
        query = Query(Task.kind, {**where, "service": self.service}, limit, keys_only=True, after=after)
        return [StepName(each.entity.key.path[-1].name) for each in self.wire.run(query)]

    def joins_waiting(self, instance: InstanceId) -> Sequence[str]:
        states: list[str] = []
        after = ""
        while True:  # one query for each join: the entries of one lie side by side
            query = Query(Entry.kind, {"joining": instance}, 1, after=after)
            found = self.wire.run(query)
            if not found:
                return states
            entry = self.row(found[0].entity, resolve=False)
            states.append(entry.state)
            after = join_end(instance, entry.state)

    def children(self, instance: InstanceId) -> Sequence[Instance]:
        query = Query(Instance.kind, {"parent": instance}, MOST_CHILDREN)
        return [self.row(each.entity) for each in self.wire.run(query)]

    def joining(self, instance: InstanceId, limit: int) -> Sequence[str]:
        query = Query(Entry.kind, {"joining": instance}, limit, keys_only=True)
        return [each.entity.key.path[-1].name for each in self.wire.run(query)]

    def holds(self) -> Sequence[Hold]:
        query = Query(Hold.kind, {"service": self.service}, MOST_HOLDS)
        return [self.row(each.entity) for each in self.wire.run(query)]

    def overdue_marks(self, moment: float) -> tuple[str, ...]:
        return tuple(overdue_mark(self.service, shard, moment) for shard in range(SHARDS))

    def overdue(self, since: str, until: str, limit: int) -> Sequence[Stored[Task] | None]:
        query = Query(Task.kind, {}, limit, between=("overdue", since, until))
        return [
            None if _is_newer(each.entity) else Stored(self.row(each.entity), each.version)
            for each in self.wire.run(query)
        ]

    def instances(self, status: InstanceStatus, after: str, limit: int) -> Sequence[Stored[Instance]]:
        query = Query(Instance.kind, {"service": self.service, "status": status}, limit, after=after)
        return [Stored(self.row(each.entity), each.version) for each in self.wire.run(query)]

    @property
    def service(self) -> str:
        return self.wire.place.service

    def entries(
        self, window: StepName, after: str, until: str, limit: int, most_bytes: int
    ) -> Sequence[Entry]:
        query = Query(Entry.kind, {"window": window}, limit, after=after, until=until)
        entries: list[Entry] = []
        left = most_bytes
        for each in self.wire.stream(query):
            entry: Entry = self.row(each.entity)
            entries.append(entry)
            left -= len(entry.context)
            if left < 0 and len(entries) > 1:
                break
        return entries

    def entry_names(self, window: StepName, after: str, until: str, limit: int) -> Sequence[str]:
        query = Query(Entry.kind, {"window": window}, limit, keys_only=True, after=after, until=until)
        return [each.entity.key.path[-1].name for each in self.wire.run(query)]

    # -- writing ------------------------------------------------------------------------------------------

    def commit(self, commit: Commit) -> Sequence[int]:
        return self.wire.commit(self.mutations(commit))

    def mutations(self, commit: Commit) -> list[Any]:
        """The raw mutations of a commit; payloads that they refer to are written first."""
        return [self._mutation(each) for each in commit.mutations] + [_staged(each) for each in commit.staged]

    def _mutation(self, mutation: Mutation) -> Any:
        pb = MutationPb()
        match mutation:
            case Insert(row):
                self._fill(pb.insert, row)
            case Update(row, version):
                self._fill(pb.update, row)
                pb.base_version = version
                pb.conflict_resolution_strategy = FAIL
            case Upsert(row):
                self._fill(pb.upsert, row)
            case Delete(key, version):
                self.wire.fill_key(pb.delete, key)
                if version is not None:
                    pb.base_version = version
                    pb.conflict_resolution_strategy = FAIL
        return pb

    def _fill(self, entity: Any, row: Row) -> None:
        self.wire.fill_key(entity.key, row.key)
        write_row(row, entity, self.wire.place.service)
        if not isinstance(row, Task | Record | Entry | Memo):
            return
        where, chunks = place(row.value if isinstance(row, Memo) else row.context)
        if isinstance(where, Inline):
            Properties(entity).blob("context", where.content)
        else:
            self._write_payload(where, chunks)
            Properties(entity).text("payload", str(where))

    def _write_payload(self, reference: Reference, chunks: Sequence[bytes]) -> None:
        if reference in self._remembered:
            return
        upserts = []
        for name, chunk in zip(reference.names, chunks, strict=True):
            pb = MutationPb()
            self.wire.fill_key(pb.upsert.key, RowKey(KIND, name))
            properties = Properties(pb.upsert)
            properties.blob("content", chunk)
            properties.text("service", self.wire.place.service)
            properties.moment(
                "expires", self._clock() + KEEP_SECONDS, indexed=True
            )  # the scrubber looks for it
            upserts.append(pb)
        per_commit = max(1, PAYLOAD_COMMIT_BYTES // len(chunks[0]))
        for i in range(0, len(upserts), per_commit):
            self.wire.commit_again(upserts[i : i + per_commit])
        self._remembered.add(reference)

    # -- transactions -------------------------------------------------------------------------------------

    def begin(self) -> DatastoreTransaction:
        return DatastoreTransaction(self, self.wire.begin())

    def join(self, transaction: datastore.Transaction) -> DatastoreJoinedTransaction:
        # The client has no public way to tell. A test pins that this one tells.
        if not transaction._allow_mutations():  # type: ignore[no-untyped-call]  # the client is untyped
            raise StartError("the transaction is not under way: start the machine inside of its with block")
        return DatastoreJoinedTransaction(self, transaction)

    @contextmanager
    def acting_transaction(self) -> Iterator[DatastoreActingTransaction]:
        client = self._users()
        own: BaseException | None = None
        try:
            with client.transaction() as transaction:  # type: ignore[no-untyped-call]  # the client is untyped
                try:
                    yield DatastoreActingTransaction(self, client, transaction)
                except BaseException as error:
                    own = error
                    raise
        except vendor.GoogleAPICallError as error:
            if own is None:
                raise ours(error) from error
            if isinstance(own, vendor.GoogleAPICallError) and is_contention(own):
                raise ours(own) from own
            raise own from None  # the action's, whatever the rollback said after it

    def client(self) -> datastore.Client:
        return self._users()


class DatastoreTransaction:
    """Implements ``engine.ports.Transaction``."""

    def __init__(self, store: DatastoreStore, transaction: bytes) -> None:
        self._store = store
        self._id = transaction
        self._open = True

    def __enter__(self) -> DatastoreTransaction:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._open:
            with suppress(StoreError):  # it held locks; without this they are held until it expires
                self.rollback()

    def lookup(self, keys: Sequence[RowKey]) -> Sequence[Stored[Any] | None]:
        return self._store.lookup_in(keys, self._id)

    def commit(self, commit: Commit) -> Sequence[int]:
        versions = self._store.wire.commit(self._store.mutations(commit), self._id)
        self._open = False
        return versions

    def rollback(self) -> None:
        self._open = False
        self._store.wire.rollback(self._id)


class DatastoreJoinedTransaction:
    """Implements ``engine.ports.JoinedTransaction`` by a transaction of the public client."""

    def __init__(self, store: DatastoreStore, transaction: datastore.Transaction) -> None:
        self._store = store
        self._transaction = transaction

    def lookup(self, keys: Sequence[RowKey]) -> Sequence[Stored[Any] | None]:
        return self._store.lookup_in(keys, self._transaction.id or b"")

    def stage(self, commit: Commit) -> None:
        self._transaction.mutations.extend(map(types.Mutation.wrap, self._store.mutations(commit)))


class DatastoreActingTransaction(DatastoreJoinedTransaction):
    """Implements ``engine.ports.ActingTransaction`` by a transaction of the client that actions use."""

    def __init__(
        self, store: DatastoreStore, client: datastore.Client, transaction: datastore.Transaction
    ) -> None:
        super().__init__(store, transaction)
        self._client = client

    def client(self) -> datastore.Client:
        """The client, but for transactions and batches of its own: they would commit by themselves."""
        inside = object.__new__(type(self._client))  # clients refuse to be copied
        vars(inside).update(vars(self._client), transaction=_refuse_nesting, batch=_refuse_nesting)
        return inside


def _is_newer(entity: Any) -> bool:
    """Whether a newer version of this library wrote a row, which this one cannot read."""
    return bool(entity.properties["format"].integer_value > FORMAT)


def _refuse_nesting(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        "this state is transactional: all that it reads and writes through context.datastore is one "
        "transaction already, and another transaction or batch would commit by itself"
    )


def _staged(write: Put | Remove) -> Any:
    """What an action staged; an entity whose key is incomplete gets an id, as by the client's own put."""
    pb = MutationPb()
    if isinstance(write, Put):
        entity = helpers.entity_to_protobuf(write.entity)._pb  # type: ignore[no-untyped-call]  # the client is untyped
        (pb.insert if write.entity.key.is_partial else pb.upsert).CopyFrom(entity)
    else:
        pb.delete.CopyFrom(write.key.to_protobuf()._pb)
    return pb
