"""A query as a value: what it keeps, how it sorts, and where an entity stands in its results.

Results are sorted by the query's orders, then by the properties of inequality filters that have no order of
their own, then by key, ascending; projected properties that have none sort before the key, unless a filter
compares it. Every result has a position, the joined encodings of what it sorts by, so
that positions compare as bytes and a cursor is a position.

An entity with several values of a sorted property stands once, at the smallest of those that meet the filter
(at the largest when descending). A property that an equality fixes sorts by the value it asks for, so it does
not sort at all unless alternatives ask for different ones; the vendor's Datastore emulator agrees. Only
projected and distinct properties give a result for each value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple

from fantasm_gcp.local.datastore.entity.entities import (
    Indexed,
    check_property_name,
    indexed_values,
    with_outer,
)
from fantasm_gcp.local.datastore.entity.keys import Partition, check_kind, is_reserved
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.messages import Entity, invalid
from fantasm_gcp.local.datastore.entity.values import END_OF_PATH, invert
from fantasm_gcp.local.datastore.entity.vectors import Nearest, parse_nearest
from fantasm_gcp.local.datastore.querying.cursors import read_cursor
from fantasm_gcp.local.datastore.querying.filters import EVERYTHING, Conjunction, parse_filter
from fantasm_gcp.local.datastore.querying.metadata import METADATA_KINDS, check_metadata_query
from fantasm_gcp.local.datastore.querying.query_rules import check_query_rules
from fantasm_gcp.local.datastore.storage.composites import is_stored_name

# PropertyOrder.Direction; what names none is ascending
_DIRECTIONS = range(3)
_DESCENDING = 2

MAX_ROWS_OF_AN_ENTITY = 20_000

BY_KEY = (KEY_NAME, False)
Order = tuple[str, bool]
"""A property, and whether it sorts descending."""


class Row(NamedTuple):
    """One result: its position, its encoded key path, and its values of the exploded properties, in order.

    ``distance`` is that of its vector, once a search has found it.
    """

    position: bytes
    path: bytes
    chosen: tuple[bytes, ...]
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A checked query over one partition.

    ``orders`` is complete and names the key exactly once. ``exploded`` are the projected and distinct
    properties. ``start`` is the position after which results begin, ``end`` the last one allowed. ``kind``
    is empty for a query over all kinds. ``asked`` are the orders that the request itself names. ``named`` are
    all properties that decide about results, as :func:`indexed_values` takes them. ``nearest`` is the search
    among the results, if it asks for one.
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
    asked: tuple[Order, ...]
    named: frozenset[str]
    nearest: Nearest | None = None

    @property
    def by_key_only(self) -> bool:
        """Whether the key alone gives the order."""
        return len(self.orders) == 1

    def rows_of(self, body: bytes, path: bytes) -> list[Row]:
        """The results that an entity gives, of its serialized message; as :meth:`rows`."""
        return self.rows(indexed_values(Entity.FromString(body), self.named), path)

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
        fixed = self.fixed_values(part)
        choices: dict[str, list[bytes]] = {}
        for name, descending in self.orders:
            if name == KEY_NAME:
                continue
            wanted = part.ranges.get(name, EVERYTHING)
            values = [value for value in indexed.get(name, ()) if value in wanted]
            if not values:
                return []
            if name in fixed:
                values = [fixed[name]]
            elif name not in self.exploded:
                values = [max(values) if descending else min(values)]
            choices[name] = values
        if prod(map(len, choices.values())) > MAX_ROWS_OF_AN_ENTITY:
            raise invalid("An entity has too many combinations of projected values.")
        return sorted(
            self.row_of(dict(zip(choices, values, strict=True)), path)
            for values in product(*choices.values())
        )

    def fixed_values(self, part: Conjunction) -> dict[str, bytes]:
        """The value by which each property sorts that an equality of an alternative fixes."""
        values = part.fixed()
        return {
            name: max(values[name]) if descending else min(values[name])
            for name, descending in self.orders
            if name in values
        }

    def row_of(self, values: Mapping[str, bytes], path: bytes) -> Row:
        """The result of an entity, given its value of each sorted property."""
        parts = []
        for name, descending in self.orders:
            value = path + END_OF_PATH if name == KEY_NAME else values[name]
            parts.append(invert(value) if descending else value)
        return Row(b"".join(parts), path, tuple(values[name] for name in self.exploded))


def parse_query(query: Any, partition: Partition) -> Query:
    """Checks a ``Query`` message.

    Raises INVALID_ARGUMENT for what production refuses.
    """
    nearest = parse_nearest(query)
    kind = _kind(query)
    projection = tuple(dict.fromkeys(projected.property.name for projected in query.projection))
    distinct = tuple(dict.fromkeys(reference.name for reference in query.distinct_on))
    keys_only = projection == (KEY_NAME,)
    projected = tuple(name for name in projection if name != KEY_NAME)
    alternatives = parse_filter(query, partition)
    check_query_rules(query)
    if kind in METADATA_KINDS:
        check_metadata_query(query, kind)
    exploded = tuple(dict.fromkeys(projected + distinct))
    named = _checked_names(query, exploded, alternatives)
    asked = _asked(query)
    orders = _orders(asked, alternatives, exploded, distinct)
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
        asked,
        with_outer(named),
        nearest,
    )


def _kind(query: Any) -> str:
    if len(query.kind) > 1:
        raise invalid("multiple kinds not supported")
    if not query.kind:
        return ""
    kind = str(query.kind[0].name)
    check_kind(kind)
    return kind


def _checked_names(
    query: Any, exploded: tuple[str, ...], alternatives: tuple[Conjunction, ...]
) -> tuple[str, ...]:
    ordered = [order.property.name for order in query.order]
    filtered = [name for part in alternatives for name in (*part.ranges, *(name for name, _ in part.equals))]
    named = tuple(dict.fromkeys((*exploded, *ordered, *filtered)))
    for name in named:
        check_property_name(name)
        if is_stored_name(name):
            raise invalid(f'The property.name "{name}" is reserved.')
    if KEY_NAME in exploded:
        raise invalid("__key__ cannot be a distinct property.")
    for name in exploded:
        if is_reserved(name):
            raise invalid(f"projections are not supported for the property: {name}")
    if {name for part in alternatives for name, _ in part.equals} & set(exploded):
        raise invalid("cannot use projection on a property with an equality filter")
    return named


def _asked(query: Any) -> tuple[Order, ...]:
    orders: dict[str, bool] = {}
    for order in query.order:
        if order.direction not in _DIRECTIONS:
            raise invalid(f"Unrecognized direction: {order.direction}")
        orders.setdefault(order.property.name, order.direction == _DESCENDING)
        if order.property.name == KEY_NAME:
            break  # keys are unique: nothing after them sorts anything
    return tuple(orders.items())


def _orders(
    asked: tuple[Order, ...],
    alternatives: tuple[Conjunction, ...],
    exploded: tuple[str, ...],
    distinct: tuple[str, ...],
) -> tuple[Order, ...]:
    orders = dict(asked)
    unsorted = sorted({name for part in alternatives for name in part.ranges})
    implied = unsorted if orders else [*distinct, *unsorted]
    compared = any(part.compares_key for part in alternatives)
    for name in (*implied, *([KEY_NAME] if compared else []), *exploded):
        orders.setdefault(name, False)
    orders.setdefault(KEY_NAME, False)
    return tuple(orders.items())


def _check_distinct(orders: tuple[Order, ...], distinct: tuple[str, ...]) -> None:
    if {name for name, _ in orders[: len(distinct)]} != set(distinct):
        raise invalid("the distinct on properties must come before all others in the order")
