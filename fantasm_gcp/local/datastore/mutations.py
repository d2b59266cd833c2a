"""The mutations of a commit: checking them, and applying them to the store one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from fantasm_gcp.local.datastore.bases import check_base, check_bases, conflicts
from fantasm_gcp.local.datastore.composites import composite_entries
from fantasm_gcp.local.datastore.entities import Indexed, check_entity, indexed_values
from fantasm_gcp.local.datastore.keys import (
    Partition,
    check_path,
    encode_path,
    fill_partition,
    resolve_partition,
)
from fantasm_gcp.local.datastore.masks import check_mask, overlay
from fantasm_gcp.local.datastore.messages import Entity, invalid, set_time
from fantasm_gcp.local.datastore.store import Entry, Store, Stored
from fantasm_gcp.local.datastore.transactions import Change
from fantasm_gcp.local.datastore.transforms import apply_transform, check_transforms
from fantasm_gcp.local.rpc import RpcError

_FORBIDDEN_SEQUENCES = frozenset(
    {("insert", "insert"), ("update", "insert"), ("upsert", "insert"), ("delete", "update")}
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A mutation that is well formed: ``path`` is the encoded key, ``None`` while the key is incomplete."""

    operation: str
    mutation: Any
    key: Any
    partition: Partition
    path: bytes | None

    @property
    def kind(self) -> str:
        return str(self.key.path[-1].kind)


def prepare(mutation: Any, project: str, database: str) -> Prepared:
    """Checks a mutation of a request and brings its entity into the form it is stored in.

    Raises INVALID_ARGUMENT for anything malformed, whatever the store holds.
    """
    operation = mutation.WhichOneof("operation")
    if operation is None:
        raise invalid("Mutation is missing operation.")
    check_base(mutation, operation)
    target = getattr(mutation, operation)
    key = target if operation == "delete" else target.key
    check_path(key, complete=None if operation in ("insert", "upsert") else True, for_write=True)
    partition = resolve_partition(key.partition_id, project, database)
    fill_partition(key.partition_id, partition)
    if operation == "delete":
        if mutation.property_transforms:
            raise invalid("A delete cannot have property transforms.")
    else:
        check_entity(target, project)
        check_mask(mutation.property_mask.paths)
        check_transforms(mutation.property_transforms, project)
    complete = key.path[-1].WhichOneof("id_type") is not None
    return Prepared(operation, mutation, key, partition, encode_path(key.path) if complete else None)


def check_sequence(prepared: Iterable[Prepared], *, transactional: bool) -> None:
    """Raises INVALID_ARGUMENT for mutations of one entity that cannot stand in one commit."""
    before: dict[tuple[Partition, bytes], str] = {}
    firsts: dict[tuple[Partition, bytes], Any] = {}
    for item in prepared:
        if item.path is None:
            continue
        name = (item.partition, item.path)
        earlier = before.get(name)
        if earlier is not None and not transactional:
            raise invalid(
                "A non-transactional commit may not contain multiple mutations affecting the same entity."
            )
        if (earlier, item.operation) in _FORBIDDEN_SEQUENCES:
            raise invalid(f"Cannot {earlier} then {item.operation} an entity in the same request.")
        before[name] = item.operation
        check_bases(firsts.setdefault(name, item.mutation), item.mutation)


class Writer:
    """Applies the mutations of one commit; ``version`` and ``now`` (microseconds) are the commit's.

    Must be used within :meth:`Store.writing`. ``changes`` are what it has changed so far.
    """

    def __init__(self, store: Store, version: int, now: int) -> None:
        self._store = store
        self._version = version
        self._now = now
        self.changes: list[Change] = []
        self.index_updates = 0
        self._met: set[tuple[Partition, bytes]] = set()

    def apply(self, item: Prepared, result: Any) -> None:
        """Carries out one mutation and fills its ``MutationResult``.

        Raises ALREADY_EXISTS, NOT_FOUND or FAILED_PRECONDITION; the commit must then be undone.
        """
        scope = self._store.scope(item.partition, create=True)
        kind = None if scope is None else self._store.kind(scope, item.kind, create=True)
        if scope is None or kind is None:
            raise AssertionError("created numbers are never None")
        path = item.path if item.path is not None else self._complete(scope, item, result)
        stored = self._store.get(scope, path)
        # An expectation is of the entity before the commit: its first mutation has met it for all.
        if (item.partition, path) not in self._met and self._conflicts(item, stored):
            result.conflict_detected = True
            result.version = stored.version if stored else self._version
            self._fill_times(result, stored)
            return
        self._met.add((item.partition, path))
        if item.operation == "delete":
            result.version = self._version
            if stored is not None:
                self._delete(scope, kind, path, stored, item)
        else:
            _check_presence(item.operation, stored)
            written = self._write(scope, kind, path, stored, item, result)
            result.version = written.version
            self._fill_times(result, written)

    def _conflicts(self, item: Prepared, stored: Stored | None) -> bool:
        conflict = conflicts(item.mutation, stored)
        if conflict:
            _check_presence(item.operation, stored)
        return conflict

    def _complete(self, scope: int, item: Prepared, result: Any) -> bytes:
        path = allocate_id(self._store, scope, item.key)
        result.key.CopyFrom(item.key)
        return path

    def _fill_times(self, result: Any, stored: Stored | None) -> None:
        if stored is not None:
            set_time(result.create_time, stored.created)
            set_time(result.update_time, stored.updated)

    def _delete(self, scope: int, kind: int, path: bytes, stored: Stored, item: Prepared) -> None:
        entries = self._entries(indexed_values(Entity.FromString(stored.body)), item.kind, path)
        self._store.remove_entries(kind, path, entries)
        self._store.delete(scope, path, kind, stored, self._now)
        self._note(item, path, stored.body, None, len(entries) + 1)

    def _write(
        self, scope: int, kind: int, path: bytes, stored: Stored | None, item: Prepared, result: Any
    ) -> Stored:
        old = Entity.FromString(stored.body) if stored else None
        entity = self._resulting(item, old, result)
        body = entity.SerializeToString(deterministic=True)
        if stored is not None and stored.body == body:
            return stored  # as in production, a write that changes nothing leaves version and time alone
        created = stored.created if stored else self._now
        written = Stored(self._version, created, self._now, body)
        new_entries = self._entries(indexed_values(entity), item.kind, path)
        if stored is None or old is None:
            self._store.insert(scope, path, kind, written)
            self._store.add_entries(kind, path, new_entries)
            self._note(item, path, None, body, len(new_entries) + 1)
        else:
            self._store.replace(scope, path, kind, stored, written)
            old_entries = self._entries(indexed_values(old), item.kind, path)
            gone, added = old_entries - new_entries, new_entries - old_entries
            self._store.remove_entries(kind, path, gone)
            self._store.add_entries(kind, path, added)
            self._note(item, path, stored.body, body, len(gone) + len(added))
        return written

    def _resulting(self, item: Prepared, old: Any, result: Any) -> Any:
        """The entity as it will be stored: the request's, laid over the old one by the mask, transformed."""
        mutation = item.mutation
        entity = getattr(mutation, item.operation)
        if mutation.HasField("property_mask"):
            entity = overlay(old, entity, mutation.property_mask.paths)
        for transform in mutation.property_transforms:
            apply_transform(entity, transform, self._now, result.transform_results.add())
        if entity is not getattr(mutation, item.operation) or mutation.property_transforms:
            check_entity(entity, item.partition.project)
        return entity

    def _entries(self, indexed: Indexed, kind: str, path: bytes) -> set[Entry]:
        entries = composite_entries(self._store, kind, indexed, path)
        for name, values in indexed.items():
            number = self._store.property(name, create=True)
            if number is not None:
                several = 1 if len(values) > 1 else 0
                entries.update((number, value, several) for value in values)
        return entries

    def _note(
        self, item: Prepared, path: bytes, before: bytes | None, after: bytes | None, updates: int
    ) -> None:
        self.changes.append(Change(self._now, item.partition, item.kind, path, before, after))
        self.index_updates += updates


def _check_presence(operation: str, stored: Stored | None) -> None:
    if operation == "insert" and stored is not None:
        raise RpcError(grpc.StatusCode.ALREADY_EXISTS, "entity already exists")
    if operation == "update" and stored is None:
        raise RpcError(grpc.StatusCode.NOT_FOUND, "no entity to update")


def allocate_id(store: Store, scope: int, key: Any) -> bytes:
    """Completes a key with an id that no entity has and no one was given; answers its encoded path."""
    while True:
        key.path[-1].id = store.next_id()
        path = encode_path(key.path)
        if store.is_free(scope, path):
            return path
