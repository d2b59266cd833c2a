"""What an index tells of all results of an alternative together: how many they are, and their values.

SQL alone counts and sorts them then, and no entity is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from fantasm_gcp.local.datastore.entity.values import DOUBLE, FIXED, decode_number, first_value, invert
from fantasm_gcp.local.datastore.querying.filters import EVERYTHING, Range
from fantasm_gcp.local.datastore.querying.scan import Scanner, between

MOST = (1 << 63) - 1
"""A limit that nothing reaches."""

EXACT = 1 << 53
"""Integers up to this one are doubles, too."""


class Tally(Scanner):
    """One alternative of a query over one scope, whose results are taken together."""

    def count(self, limit: int) -> int | None:
        """How many results there are, at most ``limit``; ``None`` when SQL alone cannot tell."""
        query = self._query
        if query.start or query.end or query.distinct or self._part.path.excluded:
            return None
        if self._impossible:
            return 0
        if self._index is None and query.by_key_only:
            sql, parameters = self._by_key_query("1", self._part.path)
            row = self._store.select(f"SELECT count(*) FROM ({sql} LIMIT ?)", [*parameters, limit]).fetchone()  # noqa: S608  # own words; values are parameters
            return int(row[0])
        entries = self._whole()
        return None if entries is None else self._count_entries(*entries, limit)

    def _count_entries(self, number: int, ranges: list[Range], limit: int) -> int | None:
        """How many entries there are; ``None`` if an entity has several of them."""
        counted = 0
        for wanted in ranges:
            sql, parameters = self._select(
                "a.several", number, between("a.value", wanted), self._by_selectivity(), self._part.path
            )
            found, several = self._store.select(
                f"SELECT count(*), max(several) FROM ({sql} LIMIT ?)",  # noqa: S608  # own words; values are parameters
                [*parameters, limit - counted],
            ).fetchone()
            if several:
                return None
            counted += int(found)
        return counted

    def values_to_add(self) -> Iterator[bytes] | None:
        """Of a query that sorts by one property, a value of each result; ``None`` unless one index has them.

        They come in the order of their keys, unless all numbers among them are integers so few and small that
        doubles add them exactly in any order: sorting takes longer than adding.
        """
        entries = self._whole()
        if self._impossible or entries is None:
            return iter(()) if self._impossible else None
        number, (wanted,) = entries
        sql, parameters = self._select(
            "a.key, a.value", number, between("a.value", wanted), self._by_selectivity(), self._part.path
        )
        order = "" if self._adds_exactly(number, wanted) else " ORDER BY a.key"
        rows = self._store.select(f"{sql}{order}", parameters)
        firsts = (next(group) for _, group in groupby(rows, key=itemgetter(0)))
        return (self._leading(value) for path, value in firsts if path not in self._part.path.excluded)

    def _adds_exactly(self, number: int, wanted: Range) -> bool:
        """Whether an entity has one entry here, and the entries no doubles and no large sum of integers."""
        counted = self._count_entries(number, [wanted], MOST)
        if counted is None or self._edge(number, DOUBLE, "") is not None:
            return False
        edges = (self._edge(number, FIXED, direction) for direction in ("", " DESC"))
        largest = max(
            (abs(decode_number(self._leading(edge))) for edge in edges if edge is not None), default=0
        )
        return largest * counted <= EXACT

    def _edge(self, number: int, tag: bytes, direction: str) -> bytes | None:
        """The first entry, or the last one, whose value is of a type."""
        prefix, inverted = (
            (b"", False) if self._index is None else (self._index.prefix, self._index.tail[0][1])
        )
        begin = invert(tag) if inverted else tag
        wanted = Range(prefix + begin, prefix + bytes([begin[0] + 1]))
        sql, parameters = self._select("a.value", number, between("a.value", wanted), (), EVERYTHING)
        found = self._store.select(f"{sql} ORDER BY a.value{direction} LIMIT 1", parameters).fetchone()
        return None if found is None else bytes(found[0])

    def _leading(self, value: bytes) -> bytes:
        """The value of the first property by which an entry is sorted."""
        if self._index is None:
            return value
        rest = value[len(self._index.prefix) :]
        return first_value(invert(rest) if self._index.tail[0][1] else rest)

    def _whole(self) -> tuple[int, list[Range]] | None:
        """The entries of one property, and between which values each of them is a result.

        An entity of several values may have several of these.
        """
        if self._index is not None:
            bounded = any(name in self._part.ranges for name, _ in self._index.tail[1:])
            return None if bounded else (self._index.number, self._index.bounds(self._part))
        if self._query.by_key_only or not self.follows_index:
            return None
        name = self._query.orders[0][0]
        number = self._store.property(name)
        return None if number is None else (number, self._part.ranges.get(name, EVERYTHING).pieces)
