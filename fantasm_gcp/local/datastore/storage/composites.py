"""Composite indexes as they are stored: entries of a property of their own, beside those of single ones.

The value of an entry is the joined encodings of the index's properties, inverted where it sorts descending,
so that entries compare as the index sorts; an entity has one for every combination of its values. In an
index with ancestors each of these stands once under every ancestor and under the entity itself, whose path
is then the first part.

The name under which an index has its number is one that no property can have. It is in the file as long as
the index is built: both are written in one go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from math import prod

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore.entity.entities import MAX_INDEX_ENTRIES, Indexed, indexed_values
from fantasm_gcp.local.datastore.entity.keys import end_of_element
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.messages import Entity, invalid
from fantasm_gcp.local.datastore.entity.values import END_OF_PATH, KEY, invert
from fantasm_gcp.local.datastore.storage.store import KIND_LIST, Entry, Store
from fantasm_gcp.local.rpc import RpcError

AFTER_VALUES = b"\xff"
"""Sorts after whatever may follow in an entry: no encoding of a value begins so, nor its inverse."""

_NAME_BEGIN, _NAME_END = "__index", "__"
_BATCH = 1000


@cache
def stored_name(index: CompositeIndex) -> str:
    """What an index is called among the properties.

    It is reserved, so no property of an entity has it, and without a dot, so none of an embedded one has.
    """
    parts = json.dumps([index.kind, index.ancestor, index.properties]).replace(".", "\\u002e")
    return f"{_NAME_BEGIN}{parts}{_NAME_END}"


def is_stored_name(name: str) -> bool:
    """Whether a name among the properties is that of an index."""
    return name.startswith(f"{_NAME_BEGIN}[") and name.endswith(f"]{_NAME_END}") and "." not in name


def declare(store: Store, indexes: Iterable[CompositeIndex]) -> None:
    """Has a store keep exactly these indexes: builds those that are new, removes those that are not named.

    Those of vectors are not kept: a search reads the entities.

    Raises ``ValueError`` when an entity has too many values for one of them; nothing is changed then.
    """
    declared = {stored_name(index): index for index in indexes if index.vector is None}
    with store.writing():
        built = {name for name in store.property_names() if is_stored_name(name)}
        for name in built - declared.keys():
            store.drop_property(name)
        for name in declared.keys() - built:
            _build(store, declared[name], name)
    of_kind: dict[str, list[CompositeIndex]] = {}
    for index in declared.values():
        of_kind.setdefault(index.kind, []).append(index)
    store.composites = {kind: tuple(found) for kind, found in of_kind.items()}


def _build(store: Store, index: CompositeIndex, name: str) -> None:
    store.property(name, create=True)
    for (kind,) in store.select("SELECT id FROM kinds WHERE name = ?", (index.kind,)).fetchall():
        for path, body in _entities(store, kind):
            try:
                entries = list(_entries(store, index, indexed_values(Entity.FromString(body)), path))
            except RpcError as error:
                raise ValueError(f"the index {name} cannot be built: {error}") from error
            store.add_entries(kind, path, entries)


def _entities(store: Store, kind: int) -> Iterator[tuple[bytes, bytes]]:
    """The paths and bodies of a kind's entities, read some at a time: the caller writes meanwhile."""
    reached = b""
    while True:
        found = store.select(
            "SELECT a.key, e.body FROM entries a CROSS JOIN kinds k ON k.id = a.kind"
            " CROSS JOIN entities e ON e.scope = k.scope AND e.key = a.key"
            " WHERE a.kind = ? AND a.property = ? AND a.value = x'' AND a.key > ? ORDER BY a.key LIMIT ?",
            (kind, KIND_LIST, reached, _BATCH),
        ).fetchall()
        yield from found
        if len(found) < _BATCH:
            return
        reached = found[-1][0]


def composite_entries(store: Store, kind: str, indexed: Indexed, path: bytes) -> set[Entry]:
    """The entries of an entity in the declared indexes of its kind.

    Raises INVALID_ARGUMENT when there are more than 20,000.
    """
    entries: set[Entry] = set()
    for index in store.composites.get(kind, ()):
        entries.update(_entries(store, index, indexed, path))
        if len(entries) > MAX_INDEX_ENTRIES:
            raise _too_many()
    return entries


def _entries(store: Store, index: CompositeIndex, indexed: Indexed, path: bytes) -> Iterator[Entry]:
    choices: list[list[bytes]] = [list(_scopes(path))] if index.ancestor else []
    several = 0
    for name, descending in index.properties:
        values = [KEY + path + END_OF_PATH] if name == KEY_NAME else list(indexed.get(name, ()))
        several |= len(values) > 1
        choices.append([invert(value) for value in values] if descending else values)
    if prod(map(len, choices)) > MAX_INDEX_ENTRIES:
        raise _too_many()
    number = store.property(stored_name(index), create=True)
    if number is not None:
        for combination in product(*choices):
            yield number, b"".join(combination), several


def _scopes(path: bytes) -> Iterator[bytes]:
    """What the entries under each ancestor of a path begin with, and those under itself."""
    at = 0
    while at < len(path):
        at = end_of_element(path, at)
        yield scope_of(path[:at])


def scope_of(ancestor: bytes) -> bytes:
    """What entries under an ancestor of that path begin with, in an index with ancestors."""
    return ancestor + END_OF_PATH


def _too_many() -> RpcError:
    return invalid(f"an entity may have at most {MAX_INDEX_ENTRIES} index entries")
