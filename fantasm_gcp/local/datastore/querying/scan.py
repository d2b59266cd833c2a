"""Finding a query's results in the index, in order, reading no more of it than is asked for.

Each alternative of the filter is driven in one of four ways:

* only the key sorts: the equalities are intersected in SQL, which yields keys in order;
* a declared composite index is sorted as the results are: it is walked;
* some equality or range has few entries: its entities are read, evaluated and sorted;
* else the entries of the first sorted property are walked in order, equalities are intersected in SQL, and
  entities of the same value are read, evaluated and sorted.

Where an index has all that sorts, and an entity one value of each, the index alone gives the result.
Equalities that a composite index has together are looked up there. The streams of several alternatives are
merged by position.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import attrgetter, itemgetter

from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.values import END_OF_PATH, first_value, invert
from fantasm_gcp.local.datastore.querying.filters import EVERYTHING, Conjunction, Range
from fantasm_gcp.local.datastore.querying.index_walk import Reached, Walk, find_walk, joint_equalities
from fantasm_gcp.local.datastore.querying.query import BY_KEY, Query, Row
from fantasm_gcp.local.datastore.storage.store import KIND_LIST, Store

AFTER_GROUP = b"\xff"
"""Makes of the values that some results share a position after all of them: no key begins so, nor a value."""

FEW = 1000
"""A driver with at most so many entries is read and sorted rather than walked in order."""

MOST_BUFFERED = 64
"""How many entries of one value are turned round when walking backwards; more are read anew, forwards."""

_PROBES = (64, 4096)
"""How far equalities are counted to find the one with the fewest entries; beyond, any of them will do."""
_Parameters = list[object]
_IndexRow = tuple[bytes, bytes, int]


def scan(store: Store, query: Query) -> Iterator[Row]:
    """The results of a query after its start and up to its end, lazily, sorted by position.

    Distinctness, offset and limit are the caller's. Must be consumed before the store is changed.
    """
    scope = store.scope(query.partition)
    if scope is None:
        return iter(())
    streams = [Scanner(store, query, scope, part).rows() for part in query.alternatives]
    merged = streams[0] if len(streams) == 1 else _merged(streams)
    return bounded(merged, query)


def is_walked(store: Store, query: Query) -> bool:
    """Whether :func:`scan` follows indexes alone, so that no beginning costs more than another."""
    scope = store.scope(query.partition)
    return scope is None or all(
        Scanner(store, query, scope, part).follows_index for part in query.alternatives
    )


def _merged(streams: Iterable[Iterator[Row]]) -> Iterator[Row]:
    ordered = heapq.merge(*streams, key=attrgetter("position"))
    return (row for row, _ in groupby(ordered))  # an entity of two alternatives comes twice in a row


def bounded(rows: Iterable[Row], query: Query) -> Iterator[Row]:
    """Of rows sorted by position, those after a query's start and up to its end."""
    for row in rows:
        if query.end is not None and row.position > query.end:
            return
        if row.position > query.start:
            yield row


class Scanner:
    """The stream of one alternative of a query over one scope."""

    def __init__(self, store: Store, query: Query, scope: int, part: Conjunction) -> None:
        self._store = store
        self._query = query
        self._scope = scope
        self._part = part
        self._kind = store.kind(scope, query.kind) if query.kind else None
        self._index = find_walk(store, query, part)
        joint = list(joint_equalities(store, query, part)) if self._index is None else []
        met = {equality for _, _, covered in joint for equality in covered}
        if self._index is not None:
            met |= self._index.covered
        equals = [(store.property(name), value) for name, value in part.equals if (name, value) not in met]
        self._equals = [(number, value) for number, value in equals if number is not None]
        self._impossible = len(self._equals) < len(equals) or (bool(query.kind) and self._kind is None)
        self._equals += [(number, value) for number, value, _ in joint]

    @property
    def follows_index(self) -> bool:
        """Whether the results come out of an index one by one, in its order."""
        if self._impossible or self._index is not None or self._query.by_key_only:
            return True
        alone = self._query.orders[1:] == ((KEY_NAME, False),)
        return alone and not self._equals and len(self._part.ranges) <= 1

    def rows(self) -> Iterator[Row]:
        """The results, sorted by position."""
        if self._impossible:
            return iter(())
        if self._index is not None:
            return self._along(self._index)
        if self._query.by_key_only:
            return (Row(self._key_position(path), path, ()) for path in self._paths_by_key())
        if self.follows_index:
            return self._walk()
        if self._query.orders[0] == BY_KEY:
            return (row for path in self._paths_by_key() for row in self._read(path))
        few = self._few()
        if few is not None or self._query.orders[0][0] == KEY_NAME:
            paths = self._paths_by_key() if few is None else few
            return iter(sorted(row for path in paths for row in self._read(path)))
        return self._walk()

    def _read(self, path: bytes) -> list[Row]:
        stored = self._store.get(self._scope, path)
        if stored is None:
            raise sqlite3.DatabaseError("the index names an entity that is not there")
        return self._query.rows_of(stored.body, path)

    # -- by key

    def _key_position(self, path: bytes) -> bytes:
        position = path + END_OF_PATH
        return invert(position) if self._query.orders[0][1] else position

    def _paths_by_key(self) -> Iterator[bytes]:
        keys, descending = self._part.path, False
        if self._query.by_key_only:
            descending = self._query.orders[0][1]
            if self._query.start:
                reached = (invert(self._query.start) if descending else self._query.start)[
                    : -len(END_OF_PATH)
                ]
                keys = keys & (Range(high=reached) if descending else Range(low=reached + b"\x00"))
        sql, parameters = self._by_key_query("a.key", keys)
        direction = " DESC" if descending else ""
        found = self._store.select(f"{sql} ORDER BY a.key{direction}", parameters)
        return (path for (path,) in found if path not in keys.excluded)

    def _by_key_query(self, columns: str, keys: Range) -> tuple[str, _Parameters]:
        if self._kind is None:
            where, parameters = between("a.key", keys)
            return f"SELECT {columns} FROM entities a WHERE a.scope = ?{where}", [self._scope, *parameters]  # noqa: S608  # own words; values are parameters
        (number, value), *others = self._by_selectivity() or [(KIND_LIST, b"")]
        return self._select(columns, number, (" AND a.value = ?", [value]), others, keys)

    def _select(
        self,
        columns: str,
        number: int,
        on_value: tuple[str, _Parameters],
        others: Iterable[tuple[int, bytes]],
        keys: Range,
    ) -> tuple[str, _Parameters]:
        """SQL over the entries of a property, kept where the entity meets the other equalities too."""
        joins, parameters = "", _Parameters()
        for place, (other, wanted) in enumerate(others):
            # CROSS JOIN keeps the order of the tables: the first drives, the others are looked up.
            joins += f" CROSS JOIN entries b{place} ON b{place}.kind = a.kind AND b{place}.property = ?"
            joins += f" AND b{place}.value = ? AND b{place}.key = a.key"
            parameters += [other, wanted]
        on_key = between("a.key", keys)
        where = f"a.kind = ? AND a.property = ?{on_value[0]}{on_key[0]}"
        sql = f"SELECT {columns} FROM entries a{joins} WHERE {where}"  # noqa: S608  # own words; values are parameters
        return sql, [*parameters, self._kind, number, *on_value[1], *on_key[1]]

    # -- by a driver of few entries

    def _by_selectivity(self) -> list[tuple[int, bytes]]:
        """The equalities, the one with the fewest entries first."""
        if len(self._equals) < 2:
            return self._equals
        sql = "SELECT count(*) FROM (SELECT 1 FROM entries WHERE kind = ? AND property = ? AND value = ?"
        counted: list[tuple[int, int]] = []
        for limit in _PROBES:
            counted = []
            for place, (number, value) in enumerate(self._equals):
                row = self._store.select(f"{sql} LIMIT ?)", (self._kind, number, value, limit)).fetchone()
                counted.append((int(row[0]), place))
            if min(counted)[0] < limit:
                break
        return [self._equals[place] for _, place in sorted(counted)]

    def _few(self) -> list[bytes] | None:
        """The keys under the most selective equality, or a range, if those are few."""
        drivers: list[tuple[int, tuple[str, _Parameters]]] = [
            (number, (" AND a.value = ?", [value])) for number, value in self._by_selectivity()[:1]
        ]
        for name, wanted in self._part.ranges.items():
            number = self._store.property(name)
            if number is None:
                return []
            if wanted.low is not None or wanted.high is not None:
                drivers.append((number, between("a.value", wanted)))
        for number, on_value in drivers:
            sql, parameters = self._select("a.key", number, on_value, (), self._part.path)
            found = self._store.select(f"{sql} LIMIT ?", [*parameters, FEW + 1]).fetchall()
            if len(found) <= FEW:
                return list(dict.fromkeys(path for (path,) in found))
        return None

    # -- along a composite index

    def _along(self, index: Walk) -> Iterator[Row]:
        query, part = self._query, self._part
        certain = [index.tells(query, several) for several in (0, 1)]
        bounds, reached = index.bounds(part), index.reached(query, part)
        entries: Iterator[_IndexRow] = chain.from_iterable(
            self._ordered(index.number, index.backward, wanted, keys)
            for wanted, keys in self._from(index, bounds, reached)
        )
        for value, path, several in entries:
            row = index.row(query, part, value, path)
            if row is not None and (certain[several] or row in self._read(path)):
                yield row

    def _from(
        self, index: Walk, bounds: list[Range], reached: Reached | None
    ) -> Iterator[tuple[Range, Range]]:
        """What is to be read of an index, in turn: between which values, and there between which keys."""
        keys = self._part.path
        for wanted in reversed(bounds) if index.backward else bounds:
            if reached is None:
                yield wanted, keys
                continue
            at, key = reached.value, reached.key
            if key is not None and at in wanted:
                yield Range(at, at + b"\x00"), keys & Range(low=key + b"\x00")
            low = at if key is None else at + b"\x00"
            yield wanted & (Range(high=at) if index.backward else Range(low=low)), keys

    # -- along the first sorted property

    def _walk(self) -> Iterator[Row]:
        query = self._query
        name, descending = query.orders[0]
        fixed = query.fixed_values(self._part).get(name)
        wanted = self._part.ranges.get(name, EVERYTHING) if fixed is None else Range(fixed, fixed + b"\x00")
        number = self._store.property(name)
        if number is None:
            return
        alone = query.orders[1:] == ((KEY_NAME, False),)
        for value, group in groupby(self._entries(number, descending, wanted, alone), key=itemgetter(0)):
            leading = invert(value) if descending else value
            if query.end is not None and leading > query.end:
                return
            if alone:
                yield from self._alone(leading, value, group)
            else:
                yield from sorted(
                    row
                    for _, path, _ in group
                    for row in self._read(path)
                    if row.position.startswith(leading)
                )

    def _alone(self, leading: bytes, value: bytes, group: Iterable[_IndexRow]) -> Iterator[Row]:
        chosen = (value,) if self._query.exploded else ()
        for _, path, several in group:
            row = Row(leading + path + END_OF_PATH, path, chosen)
            if path not in self._part.path.excluded and (chosen or not several or row in self._read(path)):
                yield row

    def _entries(self, number: int, descending: bool, wanted: Range, alone: bool) -> Iterable[_IndexRow]:
        keys, start = self._part.path, self._query.start
        if not start:
            return self._ordered(number, descending, wanted, keys)
        reached = first_value(invert(start) if descending else start)
        here = Range(reached, reached + b"\x00") & wanted
        beyond = wanted & (Range(high=reached) if descending else Range(low=reached + b"\x00"))
        if start[len(reached) :] == AFTER_GROUP:
            here = Range(reached, reached)
        elif alone and start.endswith(END_OF_PATH):
            keys = keys & Range(low=start[len(reached) : -len(END_OF_PATH)] + b"\x00")
        return chain(
            self._ordered(number, descending, here, keys),
            self._ordered(number, descending, beyond, self._part.path),
        )

    def _ordered(self, number: int, descending: bool, wanted: Range, keys: Range) -> Iterator[_IndexRow]:
        """Entries by value, those of one value by key, of entities that meet the equalities."""
        others = self._by_selectivity()
        if descending:
            for piece in reversed(wanted.pieces):
                yield from self._backward(number, piece, keys, others)
            return
        for piece in wanted.pieces:
            # Not ``yield from``: it would close the SQLite cursor, which fails once the database is closed.
            for row in self._select_ordered(number, piece, keys, others, ""):  # noqa: UP028
                yield row

    def _backward(
        self, number: int, wanted: Range, keys: Range, others: list[tuple[int, bytes]]
    ) -> Iterator[_IndexRow]:
        """As the entries lie, keys go backwards too: those of one value are turned round."""
        while True:
            group: list[_IndexRow] = []
            for row in self._select_ordered(number, wanted, keys, others, " DESC"):
                if group and row[0] != group[0][0]:
                    yield from reversed(group)
                    group = []
                group.append(row)
                if len(group) > MOST_BUFFERED:
                    break
            else:
                yield from reversed(group)
                return
            value = group[0][0]
            for row in self._select_ordered(number, Range(value, value + b"\x00"), keys, others, ""):
                yield row
            wanted = wanted & Range(high=value)

    def _select_ordered(
        self, number: int, wanted: Range, keys: Range, others: list[tuple[int, bytes]], direction: str
    ) -> Iterator[_IndexRow]:
        on_value = between("a.value", wanted)
        sql, parameters = self._select("a.value, a.key, a.several", number, on_value, others, keys)
        order = f"ORDER BY a.value{direction}, a.key{direction}"
        return self._store.select(f"{sql} {order}", parameters)


def between(column: str, wanted: Range) -> tuple[str, _Parameters]:
    """An SQL condition, with its parameters, that keeps a column within a range, what that excludes apart."""
    if wanted.only is not None:  # not as a range: that would hide from SQLite that the next column sorts
        return f" AND {column} = ?", [wanted.only]
    sql, parameters = "", _Parameters()
    if wanted.low is not None:
        sql, parameters = f" AND {column} >= ?", [wanted.low]
    if wanted.high is not None:
        sql, parameters = f"{sql} AND {column} < ?", [*parameters, wanted.high]
    return sql, parameters
