"""The SQLite file: what its tables hold, and reading and writing rows of them.

``entities`` holds each entity as its serialized message. ``entries`` is the one index table: a row for every
indexed value, ordered so that one kind's values of one property lie together, sorted, with the key as the
last column; every entity has besides a row under the property 0, which lists its kind by key.

``past`` holds what entities were before they were changed or deleted, so that they can be read as of an
earlier moment: for an hour, as production keeps them, and at most so many that a busy hour does not fill a
disk. ``complete_from`` is the moment since which nothing is missing there.

``mixed`` names the properties of kinds among whose index entries a number may stand for something else.

Names of partitions, kinds and properties are replaced by numbers, remembered here. Nothing here is
thread-safe: the server holds its lock around every use.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore.entity.keys import Partition
from fantasm_gcp.local.datastore.storage.schema import IN_MEMORY, empty_database, open_database, put_in_place

PAST_MICROS = 3600 * 1_000_000
"""How long what was overwritten can still be read."""

MOST_PAST = 50_000
"""How many earlier versions of entities are kept at most."""

MOST_PAST_BYTES = 256 * 1024 * 1024
"""How long these may be together: entities of a mebibyte would fill a disk before they are too many."""

KIND_LIST = 0
"""The property number under which every entity of a kind has one entry with an empty value."""

_THIN_MICROS = 60 * 1_000_000
_THIN_ROWS = MOST_PAST // 10

_MANY_PAGES = 2_500
"""A file of so many, some 10 MB, is replaced when everything is deleted."""

_TABLES = ("scopes", "kinds", "properties", "entities", "entries", "reserved", "past", "mixed")

# Multiplying by an odd number permutes the numbers below a power of two: ids are scattered and never repeat.
_ID_SPACE = 1 << 52
_ID_STEP = 0x9E3779B97F4A7


class Stored(NamedTuple):
    """An entity as it is stored; times are microseconds since the epoch."""

    version: int
    created: int
    updated: int
    body: bytes


Entry = tuple[int, bytes, int]
"""An index row of an entity: property number, encoded value, and 1 if the property has several values."""

LISTED: Entry = (KIND_LIST, b"", 0)
"""The one of every entity, in the list of its kind."""


class Store:
    """One open database, in a file or (``None``) in memory.

    Raises ``OSError`` when the file cannot be opened or is open elsewhere, ``ValueError`` when it was written
    by a newer version or by another program.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.composites: Mapping[str, tuple[CompositeIndex, ...]] = {}
        self.most_past_bytes = MOST_PAST_BYTES
        self._name = IN_MEMORY if path in (None, IN_MEMORY) else os.path.realpath(path)
        self._db = open_database(self._name)
        try:
            self._forget()
            self._past_bytes = self._measured()
        except sqlite3.Error as error:
            self._db.close()
            raise OSError(f"cannot open {self._name}: {error}") from error

    def _forget(self) -> None:
        self._scopes: dict[Partition, int] = {}
        self._kinds: dict[tuple[int, str], int] = {}
        self._properties: dict[str, int] = {}
        self._mixed = set(self._db.execute("SELECT kind, property FROM mixed"))
        row = self._db.execute("SELECT version, clock, ids, complete_from FROM counters").fetchone()
        self.version, self.clock, self._ids, self.complete_from = map(int, row)
        # Each alone, or SQLite would read the whole table, for every commit that is undone.
        (first,) = self._db.execute("SELECT min(seq) FROM past").fetchone()
        (last,) = self._db.execute("SELECT max(seq) FROM past").fetchone()
        self._past = 0 if first is None else last - first + 1

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        self._db.close()

    def clear(self) -> None:
        """Deletes everything but the counters, which never go back."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        if self._name == IN_MEMORY or pages < _MANY_PAGES or not self._begin_anew():
            with self.writing():
                for table in _TABLES:
                    self._db.execute(f"DELETE FROM {table}")  # noqa: S608  # names of our own tables
                self.complete_from = self.clock
                self._past_bytes = 0
        self._forget()

    def _begin_anew(self) -> bool:
        """Puts an empty file in the place of this one, whose pages would take seconds to free one by one."""
        fresh = empty_database(self._name, (self.version, self.clock, self._ids, self.clock))
        self._db.close()
        replaced = put_in_place(fresh, self._name)
        self._db = open_database(self._name)
        self._past_bytes = self._measured()
        return replaced

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All writes inside are applied, or, when the block raises, none."""
        past_bytes = self._past_bytes
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._thin_past()
            self._db.execute(
                "UPDATE counters SET version = ?, clock = ?, ids = ?, complete_from = ?",
                (self.version, self.clock, self._ids, self.complete_from),
            )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._forget()
            self._past_bytes = past_bytes
            raise

    def scope(self, partition: Partition, *, create: bool = False) -> int | None:
        """The number of a partition; ``None`` if it never held anything, unless it is to be created."""
        number = self._scopes.get(partition)
        if number is None:
            where = "SELECT id FROM scopes WHERE project = ? AND database = ? AND namespace = ?"
            insert = "INSERT INTO scopes (project, database, namespace) VALUES (?, ?, ?)"
            number = self._number(where, insert, partition, create)
            if number is not None:
                self._scopes[partition] = number
        return number

    def databases(self) -> list[tuple[str, str]]:
        """Project and database of every partition that ever held something, sorted."""
        rows = self._db.execute("SELECT DISTINCT project, database FROM scopes ORDER BY project, database")
        return [(str(project), str(database)) for project, database in rows]

    def kind(self, scope: int, name: str, *, create: bool = False) -> int | None:
        """The number of a kind of a partition, as :meth:`scope`."""
        number = self._kinds.get((scope, name))
        if number is None:
            where = "SELECT id FROM kinds WHERE scope = ? AND name = ?"
            number = self._number(
                where, "INSERT INTO kinds (scope, name) VALUES (?, ?)", (scope, name), create
            )
            if number is not None:
                self._kinds[scope, name] = number
        return number

    def property(self, name: str, *, create: bool = False) -> int | None:
        """The number of a property name, as :meth:`scope`; numbers begin at 1."""
        number = self._properties.get(name)
        if number is None:
            where = "SELECT id FROM properties WHERE name = ?"
            number = self._number(where, "INSERT INTO properties (name) VALUES (?)", (name,), create)
            if number is not None:
                self._properties[name] = number
        return number

    def property_names(self) -> list[str]:
        """All names that have a number, whether or not an entity still has such a property."""
        return [str(name) for (name,) in self._db.execute("SELECT name FROM properties")]

    def drop_property(self, name: str) -> None:
        """Forgets the number of a name and removes all entries under it; only within :meth:`writing`."""
        number = self.property(name)
        for (kind,) in self._db.execute("SELECT id FROM kinds").fetchall():
            self._db.execute("DELETE FROM entries WHERE kind = ? AND property = ?", (kind, number))
        self._db.execute("DELETE FROM properties WHERE id = ?", (number,))
        self._properties.pop(name, None)

    def _number(self, where: str, insert: str, names: tuple[int | str, ...], create: bool) -> int | None:
        row = self._db.execute(where, names).fetchone()
        if row is not None:
            return int(row[0])
        return self._db.execute(insert, names).lastrowid if create else None

    def get(self, scope: int, key: bytes, moment: int | None = None) -> Stored | None:
        """The entity of an encoded key path, if there is one: now, or as it was at a moment."""
        row = self._db.execute(
            "SELECT version, created, updated, body FROM entities WHERE scope = ? AND key = ?", (scope, key)
        ).fetchone()
        found = None if row is None else Stored(*row)
        if moment is None or (found is not None and found.updated <= moment):
            return found
        row = self._db.execute(
            "SELECT version, created, updated, body FROM past"
            " WHERE scope = ? AND key = ? AND until > ? AND updated <= ?",
            (scope, key, moment, moment),
        ).fetchone()
        return None if row is None else Stored(*row)

    def overwritten_since(self, scope: int, moment: int, kind: int | None) -> Iterator[tuple[bytes, bytes]]:
        """Key and body of what was there at a moment and is no longer so; ``None`` stands for all kinds."""
        rows = self._db.execute("SELECT scope, kind, key, body, updated, until FROM past ORDER BY seq DESC")
        for row_scope, row_kind, key, body, updated, until in rows:
            if until <= moment:
                return  # rows are added as time goes on: all others are older
            if row_scope == scope and kind in (None, row_kind) and updated <= moment:
                yield key, body

    def updated(self, scope: int, key: bytes) -> int | None:
        """When an entity was last changed; ``None`` when there is none."""
        row = self._db.execute(
            "SELECT updated FROM entities WHERE scope = ? AND key = ?", (scope, key)
        ).fetchone()
        return None if row is None else int(row[0])

    def version_of(self, scope: int, key: bytes) -> int:
        """The version of an entity, 0 when there is none."""
        row = self._db.execute(
            "SELECT version FROM entities WHERE scope = ? AND key = ?", (scope, key)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def insert(self, scope: int, key: bytes, kind: int, stored: Stored) -> None:
        """Adds an entity whose key is free; its entries are the caller's, LISTED too."""
        self._db.execute(
            "INSERT INTO entities (scope, key, kind, version, created, updated, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (scope, key, kind, *stored),
        )

    def replace(self, scope: int, key: bytes, kind: int, old: Stored, stored: Stored) -> None:
        """Overwrites an entity that is there, ``old``."""
        self._keep(scope, key, kind, old, stored.updated)
        self._db.execute(
            "UPDATE entities SET version = ?, created = ?, updated = ?, body = ? WHERE scope = ? AND key = ?",
            (*stored, scope, key),
        )

    def delete(self, scope: int, key: bytes, kind: int, old: Stored, moment: int) -> None:
        """Removes an entity that is there, ``old``, and was so until that moment; not its entries."""
        self._keep(scope, key, kind, old, moment)
        self._db.execute("DELETE FROM entities WHERE scope = ? AND key = ?", (scope, key))

    def _measured(self) -> int:
        """The bytes of all earlier versions."""
        (size,) = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM past").fetchone()
        return int(size)

    def _keep(self, scope: int, key: bytes, kind: int, old: Stored, until: int) -> None:
        self._db.execute(
            "INSERT INTO past (scope, key, kind, version, created, updated, body, until)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (scope, key, kind, *old, until),
        )
        self._past += 1
        self._past_bytes += len(old.body)

    def _thin_past(self) -> None:
        """Forgets what is too old or too much, a part at a time: a commit never pays for a whole hour."""
        young = self.clock - self.complete_from <= PAST_MICROS + _THIN_MICROS
        if young and self._past <= MOST_PAST and self._past_bytes <= self.most_past_bytes:
            return
        (last,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM past").fetchone()
        kept = self._db.execute(
            "SELECT seq FROM past WHERE until > ? ORDER BY seq LIMIT 1", (self.clock - PAST_MICROS,)
        ).fetchone()
        aged = last if kept is None else kept[0] - 1
        first = max(aged, last - MOST_PAST + _THIN_ROWS if self._past > MOST_PAST else 0)
        if self._past_bytes > self.most_past_bytes:
            first = max(first, last - self._past // 2)
        (until,) = self._db.execute("SELECT max(until) FROM past WHERE seq <= ?", (first,)).fetchone()
        self._db.execute("DELETE FROM past WHERE seq <= ?", (first,))
        self._past, self._past_bytes = last - first, self._measured()
        self.complete_from = max(self.complete_from, until or 0, self.clock - PAST_MICROS)

    def add_entries(self, kind: int, key: bytes, entries: Iterable[Entry]) -> None:
        """Adds index rows of an entity."""
        rows = [(kind, property_, value, key, several) for property_, value, several in entries]
        if rows:  # SQLite takes its time over none, too
            self._db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", rows)

    def remove_entries(self, kind: int, key: bytes, entries: Iterable[Entry]) -> None:
        """Removes index rows of an entity."""
        rows = [(kind, property_, value, key) for property_, value, _ in entries]
        if rows:
            self._db.executemany(
                "DELETE FROM entries WHERE kind = ? AND property = ? AND value = ? AND key = ?", rows
            )

    def select(self, sql: str, parameters: Iterable[object]) -> sqlite3.Cursor:
        """Runs a query of the scanner's."""
        return self._db.execute(sql, tuple(parameters))

    def note_mixed(self, kind: int, property_: int) -> None:
        """Remembers that a number in an index entry of a property need not be a number of the entity."""
        if (kind, property_) not in self._mixed:
            self._db.execute("INSERT INTO mixed VALUES (?, ?)", (kind, property_))
            self._mixed.add((kind, property_))

    def is_mixed(self, kind: int, property_: int) -> bool:
        """Whether :meth:`note_mixed` was ever told so, also of an entity that is no longer there."""
        return (kind, property_) in self._mixed

    def next_id(self) -> int:
        """A number never returned before, for an incomplete key; only within :meth:`writing`."""
        self._ids += 1
        return self._ids * _ID_STEP % _ID_SPACE

    def reserve(self, scope: int, key: bytes) -> None:
        """Keeps a key from ever being given to an incomplete one."""
        self._db.execute("INSERT OR IGNORE INTO reserved VALUES (?, ?)", (scope, key))

    def is_free(self, scope: int, key: bytes) -> bool:
        """Whether a key is neither an entity's nor reserved."""
        row = self._db.execute("SELECT 1 FROM reserved WHERE scope = ? AND key = ?", (scope, key)).fetchone()
        return row is None and self.version_of(scope, key) == 0
