"""Aggregations over the results of a query: count, sum, average.

Only entities that have every aggregated property in the index are counted at all, as the documentation of
aggregation queries has it; of those, values that are no numbers are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from fantasm_gcp.local.datastore.entity.entities import check_property_name, indexed_values, with_outer
from fantasm_gcp.local.datastore.entity.keys import is_reserved
from fantasm_gcp.local.datastore.entity.messages import Entity, invalid
from fantasm_gcp.local.datastore.querying.metadata import METADATA_KINDS
from fantasm_gcp.local.datastore.querying.plain_numbers import Number, plain_numbers
from fantasm_gcp.local.datastore.querying.query import Query
from fantasm_gcp.local.datastore.querying.reading import Reading
from fantasm_gcp.local.datastore.querying.tally import MOST, Tally
from fantasm_gcp.local.datastore.querying.totals import Total
from fantasm_gcp.local.datastore.storage.store import Store

MAX_AGGREGATIONS = 5


def check_aggregations(aggregations: Any) -> list[tuple[str, str, Any]]:
    """The aggregations of a request as (alias, operator, operand); INVALID_ARGUMENT for malformed ones."""
    if not 1 <= len(aggregations) <= MAX_AGGREGATIONS:
        raise invalid(f"The aggregation query must have between 1 and {MAX_AGGREGATIONS} aggregations.")
    checked, unnamed = [], 0
    for aggregation in aggregations:
        operator = aggregation.WhichOneof("operator")
        if operator is None:
            raise invalid("An aggregation is missing its operator.")
        operand = getattr(aggregation, operator)
        if operator == "count":
            if operand.HasField("up_to") and operand.up_to.value < 0:
                raise invalid("The up_to of a count must be non-negative.")
        elif not operand.property.name or is_reserved(operand.property.name):
            raise invalid(f"The property of a {operator} is missing or reserved.")
        unnamed += not aggregation.alias
        alias = aggregation.alias or f"property_{unnamed}"
        check_property_name(alias)
        if is_reserved(alias):
            raise invalid(f'The alias "{alias}" is reserved.')
        checked.append((alias, operator, operand))
    if len({alias for alias, _, _ in checked}) < len(checked):
        raise invalid("The aliases of an aggregation query must be unique.")
    return checked


def aggregate(
    store: Store,
    query: Query,
    aggregations: list[tuple[str, str, Any]],
    result: Any,
    moment: int | None = None,
) -> int:
    """Runs checked aggregations over a query into an ``AggregationResult``; ``moment`` as in ``Reading``.

    Answers how many results it has counted.
    """
    names = tuple(
        dict.fromkeys(operand.property.name for _, operator, operand in aggregations if operator != "count")
    )
    bounds = [
        operand.up_to.value if operator == "count" and operand.HasField("up_to") else MOST
        for _, operator, operand in aggregations
    ]
    if moment is not None and moment >= store.clock:
        moment = None  # nothing was written since
    count = _count_in_sql(store, query, max(bounds)) if not names and moment is None else None
    totals = {name: Total() for name in names}
    if count is None:
        count = 0
        found = plain_numbers(store, query, names, moment) or _read_numbers(store, query, names, moment)
        for numbers in islice(found, query.offset, _last(query, max(bounds))):
            count += 1
            for name, number in zip(names, numbers, strict=True):
                if number is not None:
                    totals[name].add(number)
    for (alias, operator, operand), bound in zip(aggregations, bounds, strict=True):
        value = result.aggregate_properties[alias]
        if operator == "count":
            value.integer_value = min(count, bound)
        elif operator == "sum":
            totals[operand.property.name].fill_sum(value)
        else:
            totals[operand.property.name].fill_average(value)
    return count


def _count_in_sql(store: Store, query: Query, bound: int) -> int | None:
    if query.kind in METADATA_KINDS:
        return None
    scope = store.scope(query.partition)
    if scope is None:
        return 0
    if len(query.alternatives) > 1 or query.nearest is not None:
        return None
    last = _last(query, bound)
    counted = Tally(store, query, scope, query.alternatives[0]).count(MOST if last is None else last)
    return None if counted is None else max(counted - query.offset, 0)


def _last(query: Query, bound: int) -> int | None:
    """Up to which result the aggregations look, the offset counted in."""
    last = query.offset + (bound if query.limit is None else min(bound, query.limit))
    return last if last < MOST else None


def _read_numbers(
    store: Store, query: Query, names: tuple[str, ...], moment: int | None
) -> Iterator[tuple[Number, ...]]:
    """As :func:`plain_numbers`, of the entities themselves."""
    wanted, looked_at = set(names), with_outer(names)
    reading = Reading(store, query, moment)
    for row in reading.rows():
        if not names:
            yield ()
            continue
        entity = Entity.FromString(reading.stored(row.path).body)
        if indexed_values(entity, looked_at).keys() >= wanted:
            yield tuple(_number_of(entity.properties.get(name)) for name in names)


def _number_of(value: Any) -> Number:
    kind = value.WhichOneof("value_type") if value is not None else None
    return getattr(value, kind) if kind in ("integer_value", "double_value") else None
