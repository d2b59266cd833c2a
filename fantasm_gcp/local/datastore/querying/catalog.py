"""What a partition has: namespaces, kinds, properties and types of values, now or at an earlier moment.

They are found in the indexes, jumping from one to the next, whatever lies between. What the indexes hold is
of now. So at an earlier moment that alone counts of it which has stood since, and in comes what the versions
had that were overwritten or deleted since. That costs in proportion to what was written after the moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from fantasm_gcp.local.datastore.entity.entities import indexed_values
from fantasm_gcp.local.datastore.entity.keys import Partition
from fantasm_gcp.local.datastore.entity.messages import Entity
from fantasm_gcp.local.datastore.storage.composites import is_stored_name
from fantasm_gcp.local.datastore.storage.store import KIND_LIST, Store

Tags = dict[str, set[bytes]]
"""By property, how the encodings of its values begin."""


class Catalog:
    """What one partition shows as of ``moment`` in microseconds; ``None`` is now.

    The moment must not be before ``store.complete_from``. Is to be used before the store is changed.
    """

    def __init__(self, store: Store, partition: Partition, moment: int | None) -> None:
        self._store = store
        self._partition = partition
        self._scope = store.scope(partition)
        self._moment = moment

    def namespaces(self) -> list[str]:
        """The namespaces of the partition's database that have entities."""
        exists, parameters = "SELECT 1 FROM entities WHERE scope = s.id", []
        if self._moment is not None:
            past = "SELECT 1 FROM past WHERE scope = s.id AND until > ? AND updated <= ?"
            exists = f"{exists} AND updated <= ? UNION ALL {past}"
            parameters = [self._moment] * 3
        sql = f"SELECT namespace FROM scopes s WHERE project = ? AND database = ? AND EXISTS ({exists})"  # noqa: S608  # own words; values are parameters
        found = self._store.select(sql, (self._partition.project, self._partition.database, *parameters))
        return [str(name) for (name,) in found.fetchall()]

    def kinds(self) -> list[str]:
        """The kinds of the partition that have entities."""
        found = self._store.select("SELECT id, name FROM kinds WHERE scope = ?", (self._scope,)).fetchall()
        standing = (str(name) for number, name in found if self._stands(number, KIND_LIST))
        return list(dict.fromkeys((*standing, *self._overwritten)))

    def properties(self, kind: str) -> list[str]:
        """The properties of a kind that an index has values of."""
        return list(dict.fromkeys((*self._standing(kind), *self._overwritten.get(kind, ()))))

    def has_values(self, kind: str, name: str, tag: bytes) -> bool:
        """Whether an index has a value of a property whose encoding begins with that byte."""
        if tag in self._overwritten.get(kind, {}).get(name, ()):
            return True
        number, property_ = self._number(kind), self._store.property(name)
        return number is not None and property_ is not None and self._stands(number, property_, tag)

    def _number(self, kind: str) -> int | None:
        return None if self._scope is None else self._store.kind(self._scope, kind)

    def _standing(self, kind: str) -> Iterator[str]:
        number, reached = self._number(kind), KIND_LIST
        while True:
            sql = "SELECT min(property) FROM entries WHERE kind = ? AND property > ?"
            (following,) = self._store.select(sql, (number, reached)).fetchone()
            if following is None:
                return
            reached = int(following)
            (name,) = self._store.select("SELECT name FROM properties WHERE id = ?", (reached,)).fetchone()
            if number is not None and not is_stored_name(name) and self._stands(number, reached):
                yield str(name)

    def _stands(self, kind: int, property_: int, tag: bytes | None = None) -> bool:
        """Whether there is an entry, of values of a type if ``tag`` says so, that was there at the moment."""
        bounds = (b"", b"\xff") if tag is None else (tag, bytes([tag[0] + 1]))
        of_property = "a.kind = ? AND a.property = ? AND a.value >= ? AND a.value < ?"
        if self._moment is None:
            sql = f"SELECT 1 FROM entries a WHERE {of_property} LIMIT 1"  # noqa: S608  # own words; values are parameters
            found = self._store.select(sql, (kind, property_, *bounds))
        else:
            sql = (
                f"SELECT 1 FROM entries a CROSS JOIN entities e ON e.scope = ? AND e.key = a.key"  # noqa: S608  # own words; values are parameters
                f" WHERE {of_property} AND e.updated <= ? LIMIT 1"
            )
            found = self._store.select(sql, (self._scope, kind, property_, *bounds, self._moment))
        return found.fetchone() is not None

    @cached_property
    def _overwritten(self) -> dict[str, Tags]:
        """By kind, what the versions had that were there at the moment and are so no longer."""
        kinds: dict[str, Tags] = {}
        if self._moment is None or self._scope is None:
            return kinds
        for _, body in self._store.overwritten_since(self._scope, self._moment, None):
            entity = Entity.FromString(body)
            tags = kinds.setdefault(entity.key.path[-1].kind, {})
            for name, values in indexed_values(entity).items():
                tags.setdefault(name, set()).update(value[:1] for value in values)
        return kinds
