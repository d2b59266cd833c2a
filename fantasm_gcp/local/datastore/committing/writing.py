"""Applying the mutations of a commit: in order, and to the store once for each entity.

Mutations of one entity build on each other; what is stored is what they come to. If that is what was there,
and nothing has deleted it in between, nothing is written: it keeps its version and its time, as the vendor's
emulators have it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grpc

from fantasm_gcp.local.datastore.committing.bases import conflicts
from fantasm_gcp.local.datastore.committing.mutations import Prepared
from fantasm_gcp.local.datastore.committing.transactions import Change
from fantasm_gcp.local.datastore.entity.entities import (
    MAX_INDEX_ENTRIES,
    Indexed,
    check_entity,
    indexed_values,
)
from fantasm_gcp.local.datastore.entity.keys import encode_path
from fantasm_gcp.local.datastore.entity.masks import overlay
from fantasm_gcp.local.datastore.entity.messages import Entity, invalid, set_time
from fantasm_gcp.local.datastore.entity.transforms import apply_transform
from fantasm_gcp.local.datastore.querying.plain_numbers import note_mixed_numbers
from fantasm_gcp.local.datastore.storage.composites import composite_entries
from fantasm_gcp.local.datastore.storage.store import LISTED, Entry, Store, Stored
from fantasm_gcp.local.rpc import RpcError

_Entries = dict[Entry, int]
"""Index entries of an entity, each with in how many of production's indexes it is."""


@dataclass(slots=True)
class _Target:
    """One entity of a commit: ``before`` it and ``after`` the mutations so far, ``None`` where there is none.

    ``entity`` is the message of what is after, if a mutation has made that. ``met`` says that what its first
    mutation expects was met, ``deleted`` that one has deleted it, and ``results`` are those that show what it
    is in the end, each with what it shows so far.
    """

    item: Prepared
    scope: int
    kind: int
    path: bytes
    before: Stored | None
    after: Stored | None
    entity: Any = None
    met: bool = False
    deleted: bool = False
    results: list[tuple[Any, Stored]] = field(default_factory=list)


class Writer:
    """Applies the mutations of one commit; ``version`` and ``now`` (microseconds) are the commit's.

    Must be used within :meth:`Store.writing`, and :meth:`finish` called after the last mutation. ``changes``
    and ``index_updates`` are known then.
    """

    def __init__(self, store: Store, version: int, now: int) -> None:
        self._store = store
        self._version = version
        self._now = now
        self._targets: dict[tuple[int, bytes], _Target] = {}
        self.changes: list[Change] = []
        self.index_updates = 0

    def apply(self, item: Prepared, result: Any) -> None:
        """Carries out one mutation; its ``MutationResult`` is complete after :meth:`finish`.

        Raises ALREADY_EXISTS, NOT_FOUND or FAILED_PRECONDITION; the commit must then be undone.
        """
        target = self._target(item, result)
        # An expectation is of the entity before the commit: its first mutation has met it for all.
        if not target.met and self._conflicts(item, target.after):
            result.conflict_detected = True
            result.version = target.after.version if target.after else self._version
            _fill_times(result, target.after)
            return
        target.met = True
        result.version = self._version
        if item.operation == "delete":
            target.after, target.deleted = None, True
        else:
            _check_presence(item.operation, target.after)
            written = self._write(item, target, result)
            _fill_times(result, written)
            target.results.append((result, written))

    def finish(self) -> None:
        """Writes what all mutations come to. Raises INVALID_ARGUMENT for too many index entries."""
        for target in self._targets.values():
            self._store_target(target)
            if target.after is not None:
                for result, shown in target.results:
                    result.version = target.after.version
                    if shown is not target.after:
                        _fill_times(result, target.after)

    def _target(self, item: Prepared, result: Any) -> _Target:
        scope = self._store.scope(item.partition, create=True)
        kind = None if scope is None else self._store.kind(scope, item.kind, create=True)
        if scope is None or kind is None:
            raise AssertionError("created numbers are never None")
        path = item.path
        if path is None:
            path = allocate_id(self._store, scope, item.key)
            result.key.CopyFrom(item.key)
        target = self._targets.get((scope, path))
        if target is None:
            stored = self._store.get(scope, path)
            target = self._targets[scope, path] = _Target(item, scope, kind, path, stored, stored)
        return target

    def _conflicts(self, item: Prepared, stored: Stored | None) -> bool:
        conflict = conflicts(item.mutation, stored)
        if conflict:
            _check_presence(item.operation, stored)
        return conflict

    def _write(self, item: Prepared, target: _Target, result: Any) -> Stored:
        held = target.after
        entity = self._resulting(item, held, result)
        body = entity.SerializeToString(deterministic=True)
        if held is None or held.body != body:
            created = self._now if held is None else held.created
            held = target.after = Stored(self._version, created, self._now, body)
            target.entity = entity
        return held

    def _resulting(self, item: Prepared, held: Stored | None, result: Any) -> Any:
        """The entity as it will be stored: the request's, laid over the old one by the mask, transformed."""
        mutation = item.mutation
        given = entity = getattr(mutation, item.operation)
        if mutation.HasField("property_mask"):
            old = None if held is None else Entity.FromString(held.body)
            entity = overlay(old, given, mutation.property_mask.paths)
        for transform in mutation.property_transforms:
            apply_transform(entity, transform, self._now, result.transform_results.add())
        if entity is not given or mutation.property_transforms:
            check_entity(entity, item.partition)
        return entity

    def _store_target(self, target: _Target) -> None:
        before, after = target.before, target.after
        if before is not None and after is not None and before.body == after.body and not target.deleted:
            target.after = before
        elif before is not None or after is not None:
            self._update_entries(target, self._old_entries(target), self._new_entries(target))
            where = (target.scope, target.path, target.kind)
            if before is None and after is not None:
                self._store.insert(*where, after)
            elif before is not None and after is not None:
                self._store.replace(*where, before, after)
            elif before is not None:
                self._store.delete(*where, before, self._now)
            bodies = (before.body if before else None, after.body if after else None)
            self.changes.append(
                Change(self._now, target.item.partition, target.item.kind, target.path, *bodies)
            )

    def _old_entries(self, target: _Target) -> _Entries:
        if target.before is None:
            return {}
        return self._entries(target, indexed_values(Entity.FromString(target.before.body)))

    def _new_entries(self, target: _Target) -> _Entries:
        if target.after is None:
            return {}
        indexed = indexed_values(target.entity)
        note_mixed_numbers(self._store, target.kind, target.entity, indexed)
        entries = self._entries(target, indexed)
        if len(entries) - 1 > MAX_INDEX_ENTRIES:  # that in the list of its kind does not count
            raise invalid(f"an entity may have at most {MAX_INDEX_ENTRIES} index entries")
        return entries

    def _entries(self, target: _Target, indexed: Indexed) -> _Entries:
        entries = {LISTED: 1}
        for name, values in indexed.items():
            number = self._store.property(name, create=True)
            if number is not None:
                several = 1 if len(values) > 1 else 0
                for value in values:
                    entries[number, value, several] = 2  # in an ascending and a descending one
        composite = composite_entries(self._store, target.item.kind, indexed, target.path)
        return entries | dict.fromkeys(composite, 1) if composite else entries

    def _update_entries(self, target: _Target, old: _Entries, new: _Entries) -> None:
        gone, added = old.keys() - new.keys(), new.keys() - old.keys()
        self._store.remove_entries(target.kind, target.path, gone)
        self._store.add_entries(target.kind, target.path, added)
        self.index_updates += sum(map(old.__getitem__, gone)) + sum(map(new.__getitem__, added))


def _fill_times(result: Any, stored: Stored | None) -> None:
    if stored is not None:
        set_time(result.create_time, stored.created)
        set_time(result.update_time, stored.updated)


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
