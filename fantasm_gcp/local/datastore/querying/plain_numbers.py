"""Numbers to add up, out of index entries, without reading the entities.

An entry alone does not tell a date from the integer of its microseconds, nor one element of an array or a
property of an embedded entity from a number that the entity has: of those only the last is added up. So the
store notes the properties of kinds that ever had any of the others. Of all other properties every number in
an entry is one of an entity, which has no second one.

Numbers come in the order of the query's results, because sums of doubles depend on it; integers that are
added up exactly may come in any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

from fantasm_gcp.local.datastore.entity.entities import Indexed, type_of, with_outer
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.values import (
    DOUBLE,
    END_OF_PATH,
    FIXED,
    decode_number,
    first_value,
    invert,
)
from fantasm_gcp.local.datastore.querying.query import BY_KEY, Order, Query
from fantasm_gcp.local.datastore.querying.reading import Reading
from fantasm_gcp.local.datastore.querying.scan import is_walked
from fantasm_gcp.local.datastore.querying.tally import EXACT, Tally
from fantasm_gcp.local.datastore.storage.store import Store

Number = int | float | None
"""What a result adds; ``None`` when its value is no number."""

_PLAIN = ("integer_value", "double_value")
_NUMBERS = (FIXED, DOUBLE)


def note_mixed_numbers(store: Store, kind: int, entity: Any, indexed: Indexed) -> None:
    """Notes of an entity to be written the properties whose index entries are not its numbers."""
    properties = entity.properties
    for name, values in indexed.items():
        if len(values) > 1:
            mixed = any(value[:1] in _NUMBERS for value in values)
        elif values[0][:1] in _NUMBERS:
            held = properties.get(name)
            mixed = held is None or held.WhichOneof(type_of) not in _PLAIN or held.exclude_from_indexes
        else:
            continue
        if mixed:
            number = store.property(name, create=True)
            if number is not None:
                store.note_mixed(kind, number)


def plain_numbers(
    store: Store, query: Query, names: tuple[str, ...], moment: int | None
) -> Iterator[tuple[Number, ...]] | None:
    """Of each result of a query, with its offset and limit still to be applied, the number of each property.

    Only results that have all the properties. ``moment`` is as for ``Reading``. ``None`` when the entities
    must be read for it.
    """
    if query.nearest is not None or query.distinct or not _are_plain(store, query, names):
        return None
    if {name for name, _ in query.orders} >= set(names):
        return _of_positions(store, query, names, moment)
    if query.start or query.end or query.exploded or query.offset or query.limit is not None:
        return None
    if moment is not None or len(query.alternatives) > 1:
        return None
    if len(names) > 1 or query.orders != (BY_KEY,):
        return _in_any_order(store, query, names)
    values = _by_key(store, query, names[0])
    return None if values is None else ((_number(value),) for value in values)


def _are_plain(store: Store, query: Query, names: tuple[str, ...]) -> bool:
    scope = store.scope(query.partition)
    kind = None if scope is None or not query.kind else store.kind(scope, query.kind)
    numbers = [store.property(name) for name in names]
    return kind is not None and all(
        number is not None and not store.is_mixed(kind, number) for number in numbers
    )


def _number(value: bytes) -> Number:
    return decode_number(value) if value[:1] in _NUMBERS else None


def _of_positions(
    store: Store, query: Query, names: tuple[str, ...], moment: int | None
) -> Iterator[tuple[Number, ...]]:
    """The numbers of a query that sorts by them all."""
    for row in Reading(store, query, moment).rows():
        rest, found = row.position, dict[str, Number]()
        for name, descending in query.orders:
            if name == KEY_NAME:
                rest = rest[len(row.path + END_OF_PATH) :]
                continue
            value = first_value(invert(rest) if descending else rest)
            rest = rest[len(value) :]
            found[name] = _number(value)
        yield tuple(found[name] for name in names)


def _in_any_order(store: Store, query: Query, names: tuple[str, ...]) -> Iterator[tuple[Number, ...]] | None:
    """The numbers as an index has them that goes on with these properties; only what adds up exactly."""
    missing = [name for name in names if name not in dict(query.orders)]
    for chosen in permutations(missing):
        derived = _sorted_by(query, (*query.orders[:-1], *((name, False) for name in chosen), BY_KEY))
        if query.orders[-1] == BY_KEY and is_walked(store, derived):
            added = _of_positions(store, derived, names, None)
            return _of_positions(store, derived, names, None) if _add_exactly(added) else None
    return None


def _add_exactly(results: Iterator[tuple[Number, ...]]) -> bool:
    """Whether doubles add these in any order to the same sums."""
    size = 0
    for numbers in results:
        for number in numbers:
            if isinstance(number, float):
                return False
            size += abs(number or 0)
    return size <= EXACT


def _by_key(store: Store, query: Query, name: str) -> Iterator[bytes] | None:
    """The values of a property, one of each result of a query that sorts by key alone; in that order."""
    scope = store.scope(query.partition)
    if scope is None:
        return None
    part = query.alternatives[0]
    return Tally(store, _sorted_by(query, ((name, False), BY_KEY)), scope, part).values_to_add()


def _sorted_by(query: Query, orders: tuple[Order, ...]) -> Query:
    return replace(query, orders=orders, named=query.named | with_outer([name for name, _ in orders]))
