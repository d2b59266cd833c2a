"""A query as a value: what it keeps, how it sorts, and where an entity stands in its results.

Results are sorted by the query's orders, then by the properties of inequality filters that have no order of
their own, then by key, ascending. Every result has a position, the joined encodings of what it sorts by, so
that positions compare as bytes and a cursor is a position.

An entity with several values of a sorted property stands once, at the smallest of those that meet the filter
(at the largest when descending). Only projected and distinct properties give a result for each value.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple

from fantasm_gcp.local.datastore.cursors import read_cursor
from fantasm_gcp.local.datastore.entities import Indexed
from fantasm_gcp.local.datastore.filters import EVERYTHING, Conjunction, parse_filter
from fantasm_gcp.local.datastore.keys import Partition, is_reserved
from fantasm_gcp.local.datastore.masks import KEY_NAME
from fantasm_gcp.local.datastore.messages import invalid, unimplemented
from fantasm_gcp.local.datastore.values import END_OF_PATH, invert

_DESCENDING = 2  # PropertyOrder.Direction.DESCENDING
_METADATA_KINDS = frozenset({"__kind__", "__namespace__", "__property__"})

MAX_ROWS_OF_AN_ENTITY = 20_000

BY_KEY = (KEY_NAME, False)
Order = tuple[str, bool]
"""A property, and whether it sorts descending."""


class Row(NamedTuple):
    """One result: its position, its encoded key path, and its values of the exploded properties, in order."""

    position: bytes
    path: bytes
    chosen: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A checked query over one partition.

    ``orders`` is complete and names the key exactly once. ``exploded`` are the projected and distinct
    properties. ``start`` is the position after which results begin, ``end`` the last one allowed. ``kind``
    is empty for a query over all kinds.
    """

    partition: Partition
    kind: str
    alternatives: tuple[Conjunction, ...]
    orders: tuple[Order, ...]
    exploded: tuple[str, ...]
    projection: tuple[str, ...]
    distinct: tuple[str, ...]
    keys_only: bool
    start: bytes
    end: bytes | None
    offset: int
    limit: int | None

    @property
    def by_key_only(self) -> bool:
        """Whether the key alone gives the order."""
        return len(self.orders) == 1

    def rows(self, indexed: Indexed, path: bytes) -> list[Row]:
        """The results an entity gives, sorted: none when it fails the filter or lacks a sorted property."""
        found = [
            row
            for part in self.alternatives
            if part.matches(indexed, path)
            for row in self._rows(part, indexed, path)
        ]
        if len(self.alternatives) > 1:
            found = sorted(set(found)) if self.exploded else [min(found)] if found else []
        return found

    def _rows(self, part: Conjunction, indexed: Indexed, path: bytes) -> list[Row]:
        choices: list[list[bytes]] = []
        for name, descending in self.orders:
            if name == KEY_NAME:
                choices.append([path + END_OF_PATH])
                continue
            wanted = part.ranges.get(name, EVERYTHING)
            values = [value for value in indexed.get(name, ()) if value in wanted]
            if not values:
                return []
            if name not in self.exploded:
                values = [max(values) if descending else min(values)]
            choices.append(values)
        if prod(map(len, choices)) > MAX_ROWS_OF_AN_ENTITY:
            raise invalid("An entity has too many combinations of projected values.")
        return sorted(self._row(values, path) for values in product(*choices))

    def _row(self, values: tuple[bytes, ...], path: bytes) -> Row:
        parts, chosen = [], {}
        for (name, descending), value in zip(self.orders, values, strict=True):
            parts.append(invert(value) if descending else value)
            chosen[name] = value
        return Row(b"".join(parts), path, tuple(chosen[name] for name in self.exploded))


def parse_query(query: Any, partition: Partition) -> Query:
    """Checks a ``Query`` message.

    Raises INVALID_ARGUMENT for what production refuses, UNIMPLEMENTED for what only production has.
    """
    kind = _kind(query)
    projection = tuple(dict.fromkeys(projected.property.name for projected in query.projection))
    distinct = tuple(dict.fromkeys(reference.name for reference in query.distinct_on))
    keys_only = projection == (KEY_NAME,)
    projected = tuple(name for name in projection if name != KEY_NAME)
    alternatives = parse_filter(query, partition)
    exploded = tuple(dict.fromkeys(projected + distinct))
    _check_names(query, exploded, alternatives)
    orders = _orders(query, alternatives, exploded, distinct)
    _check_distinct(orders, distinct)
    if not kind and (orders != (BY_KEY,) or any(part.equals for part in alternatives)):
        raise invalid("kind is required for non-__key__ filters")
    if query.offset < 0:
        raise invalid("Offset must be non-negative.")
    limit = query.limit.value if query.HasField("limit") else None
    if limit is not None and limit < 0:
        raise invalid("Limit must be non-negative.")
    start = read_cursor(query.start_cursor, orders) if query.start_cursor else b""
    end = read_cursor(query.end_cursor, orders) if query.end_cursor else None
    return Query(
        partition,
        kind,
        alternatives,
        orders,
        exploded,
        projected,
        distinct,
        keys_only,
        start,
        end,
        query.offset,
        limit,
    )


def _kind(query: Any) -> str:
    if query.HasField("find_nearest"):
        raise unimplemented("find_nearest is not served locally")
    if len(query.kind) > 1:
        raise invalid("multiple kinds not supported")
    if not query.kind:
        return ""
    kind = str(query.kind[0].name)
    if not kind:
        raise invalid("The kind is the empty string.")
    if kind in _METADATA_KINDS:
        raise unimplemented(f"metadata queries ({kind}) are not served locally")
    return kind


def _check_names(query: Any, exploded: tuple[str, ...], alternatives: tuple[Conjunction, ...]) -> None:
    ordered = [order.property.name for order in query.order]
    filtered = [name for part in alternatives for name in (*part.ranges, *(name for name, _ in part.equals))]
    for name in (*exploded, *ordered, *filtered):
        if not name:
            raise invalid("The property.name is the empty string.")
        if name != KEY_NAME and is_reserved(name):
            raise invalid(f'The property.name "{name}" is reserved.')
    if KEY_NAME in exploded:
        raise invalid("__key__ cannot be a distinct property.")
    if {name for part in alternatives for name, _ in part.equals} & set(exploded):
        raise invalid("cannot use projection on a property with an equality filter")


def _orders(
    query: Any, alternatives: tuple[Conjunction, ...], exploded: tuple[str, ...], distinct: tuple[str, ...]
) -> tuple[Order, ...]:
    orders: dict[str, bool] = {}
    for order in query.order:
        orders.setdefault(order.property.name, order.direction == _DESCENDING)
        if order.property.name == KEY_NAME:
            break  # keys are unique: nothing after them sorts anything
    unsorted = sorted({name for part in alternatives for name in part.ranges})
    implied = unsorted if orders else [*distinct, *unsorted]
    for name in (*implied, *exploded):
        orders.setdefault(name, False)
    orders.setdefault(KEY_NAME, False)
    return tuple(orders.items())


def _check_distinct(orders: tuple[Order, ...], distinct: tuple[str, ...]) -> None:
    if {name for name, _ in orders[: len(distinct)]} != set(distinct):
        raise invalid("the distinct on properties must come before all others in the order")
