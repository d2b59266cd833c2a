"""Walking a composite index in a query's order: which index, between which entries, and what each tells.

An index fits when its last properties are those by which the results of an alternative are sorted, each in
the same direction, or each in the other one: it is then walked backwards. Its first properties must be of
equalities; equalities it does not have are looked up entry by entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.values import END_OF_PATH, KEY, first_value, invert
from fantasm_gcp.local.datastore.querying.filters import EVERYTHING, Conjunction, Range
from fantasm_gcp.local.datastore.querying.query import Order, Query, Row
from fantasm_gcp.local.datastore.storage.composites import AFTER_VALUES, scope_of, stored_name
from fantasm_gcp.local.datastore.storage.store import Store

Equality = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Reached:
    """Where results begin among the entries: after ``key`` among those of ``value``, and beyond ``value``.

    Without a key, ``value`` is a bound between entries.
    """

    value: bytes
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Walk:
    """A composite index, under ``prefix``, for one alternative of a query.

    ``number`` is that of its entries. ``tail`` are the properties it sorts by below the prefix, as it sorts
    them. ``covered`` are the equalities that the prefix meets.
    """

    number: int
    prefix: bytes
    tail: tuple[Order, ...]
    backward: bool
    covered: frozenset[Equality]

    def tells(self, query: Query, several: int) -> bool:
        """Whether an entry is a result for certain, its entity having one or ``several`` values.

        Of several results only the first counts, here or under another alternative, unless each shows its
        own values.
        """
        alone = len(query.alternatives) == 1
        of_index = {name for name, _ in self.tail} | {name for name, _ in self.covered} | {KEY_NAME}
        if not several and (alone or all(name in of_index for name, _ in query.orders)):
            return True
        shown = all(name in query.exploded or name == KEY_NAME for name, _ in self.tail)
        return shown and (alone or bool(query.exploded))

    def bounds(self, part: Conjunction) -> list[Range]:
        """Between which values of entries the alternative's results are, in the order of the index."""
        name, inverted = self.tail[0]
        if name == KEY_NAME:
            return [self._around_keys(part.path, inverted)]
        pieces = part.ranges.get(name, EVERYTHING).pieces
        found = [self._around_values(piece, inverted) for piece in pieces]
        return found[::-1] if inverted else found

    def _around_values(self, wanted: Range, inverted: bool) -> Range:
        low, high = self.prefix, self.prefix + AFTER_VALUES
        for bound, is_low in ((wanted.low, True), (wanted.high, False)):
            if bound is None:
                continue
            value = first_value(bound)
            # A bound is a value, or just after it; what follows the value in an entry is of both.
            behind = (len(bound) > len(value)) != inverted
            edge = self.prefix + (invert(value) if inverted else value) + (AFTER_VALUES if behind else b"")
            if is_low != inverted:
                low = edge
            else:
                high = edge
        return Range(low, high)

    def _around_keys(self, wanted: Range, inverted: bool) -> Range:
        """Bounds that leave out no key of a range; those they leave in beside it are for :meth:`row`."""
        before = self.prefix + self._turned(KEY, inverted)
        low, high = (self._turned(bound or b"", inverted) for bound in (wanted.low, wanted.high))
        first, last = (high, low) if inverted else (low, high)
        # A path goes on behind a bound that it begins with: at most with the two zeros of its end, inverted.
        return Range(before + first, before + last + AFTER_VALUES * 3)

    def row(self, query: Query, part: Conjunction, value: bytes, path: bytes) -> Row | None:
        """The result that an entry tells of, if its entity has one value of each property."""
        if path not in part.path:
            return None
        values = query.fixed_values(part)
        at = len(self.prefix)
        for name, inverted in self.tail:
            if name == KEY_NAME:
                at += len(KEY + path + END_OF_PATH)
                continue
            rest = value[at:]
            values[name] = first_value(invert(rest) if inverted else rest)
            at += len(values[name])
            if values[name] not in part.ranges.get(name, EVERYTHING):
                return None
        return query.row_of(values, path)

    def reached(self, query: Query, part: Conjunction) -> Reached | None:
        """Where results after the query's start begin among the entries; ``None`` when with the first."""
        rest, value = query.start, self.prefix
        fixed = query.fixed_values(part)
        explicit = any(name == KEY_NAME for name, _ in self.tail)
        if not rest:
            return None
        for name, descending in query.orders:
            if name == KEY_NAME:
                key = (invert(rest) if descending else rest)[: -len(END_OF_PATH)]
                if not explicit:
                    return Reached(value, key)
                found = value + self._stored(KEY, descending) + self._turned(rest, self.backward)
                return Reached(found, AFTER_VALUES)
            try:
                piece = first_value(invert(rest) if descending else rest)
            except ValueError:
                break  # the position is after a whole group of results, not of one of them
            rest = rest[len(piece) :]
            if name not in fixed:
                value += self._stored(piece, descending)
            elif piece != fixed[name]:
                passed = (piece > fixed[name]) != descending
                return Reached(value if passed == self.backward else value + AFTER_VALUES, None)
        return Reached(value if self.backward else value + AFTER_VALUES, None)

    def _stored(self, piece: bytes, descending: bool) -> bytes:
        return self._turned(piece, descending != self.backward)

    def _turned(self, piece: bytes, inverted: bool) -> bytes:
        return invert(piece) if inverted else piece


def find_walk(store: Store, query: Query, part: Conjunction) -> Walk | None:
    """The declared index that can be walked for an alternative and meets the most of its equalities.

    What is sorted by key alone walks the list of its kind or the entries of a value, unless several
    equalities would have to be merged.
    """
    if query.orders[-1][0] != KEY_NAME:
        return None  # what stands behind the key does not sort: no index is built like that
    found: list[tuple[int, Walk]] = []
    fixed = part.fixed()
    wanted = tuple(order for order in query.orders if order[0] not in fixed)
    for index in store.composites.get(query.kind, ()):
        if index.ancestor and part.ancestor is None:
            continue
        for tail in (wanted, wanted[:-1]):
            walk = _walk(store, index, tail, part, fixed) if tail else None
            if walk is not None and (tail is wanted or wanted[-1] == (KEY_NAME, False)):
                found.append((len(walk.covered) + index.ancestor, walk))
    met, walk = max(found, key=lambda pair: pair[0], default=(0, None))
    return None if query.by_key_only and met < 2 else walk


def _walk(
    store: Store,
    index: CompositeIndex,
    orders: tuple[Order, ...],
    part: Conjunction,
    fixed: dict[str, list[bytes]],
) -> Walk | None:
    at = len(index.properties) - len(orders)
    head, tail = index.properties[: max(at, 0)], index.properties[max(at, 0) :]
    backward = tail != orders
    if backward and (tail != tuple((name, not descending) for name, descending in orders)):
        return None
    if any(name not in fixed for name, _ in head):
        return None
    number = store.property(stored_name(index))
    if number is None:
        return None
    prefix, covered = _prefix(head, part, fixed, ancestor=index.ancestor)
    return Walk(number, prefix, tail, backward, covered)


def _prefix(
    head: tuple[Order, ...], part: Conjunction, fixed: dict[str, list[bytes]], *, ancestor: bool
) -> tuple[bytes, frozenset[Equality]]:
    pieces = [scope_of(part.ancestor)] if ancestor and part.ancestor is not None else []
    pieces += [invert(fixed[name][0]) if descending else fixed[name][0] for name, descending in head]
    return b"".join(pieces), frozenset((name, fixed[name][0]) for name, _ in head)


def joint_equalities(
    store: Store, query: Query, part: Conjunction
) -> Iterator[tuple[int, bytes, frozenset[Equality]]]:
    """Declared indexes that meet several equalities at once: entry number and value, and which they are.

    No equality is met by two of them.
    """
    left = dict.fromkeys(part.equals)
    for index in sorted(store.composites.get(query.kind, ()), key=_size, reverse=True):
        fixed: dict[str, list[bytes]] = {}
        for name, value in left:
            fixed.setdefault(name, []).append(value)
        usable = part.ancestor is not None or not index.ancestor
        number = store.property(stored_name(index))
        if usable and number is not None and all(name in fixed for name, _ in index.properties):
            value, covered = _prefix(index.properties, part, fixed, ancestor=index.ancestor)
            left = {equality: None for equality in left if equality not in covered}
            yield number, value, covered


def _size(index: CompositeIndex) -> int:
    return len(index.properties) + index.ancestor
