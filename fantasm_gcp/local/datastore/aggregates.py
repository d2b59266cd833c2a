"""Aggregations over the results of a query: count, sum, average.

Only entities that have every aggregated property in the index are counted at all, as the documentation of
aggregation queries has it; of those, values that are no numbers are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from fantasm_gcp.local.datastore.entities import indexed_values, with_outer
from fantasm_gcp.local.datastore.keys import is_reserved
from fantasm_gcp.local.datastore.messages import Entity, invalid
from fantasm_gcp.local.datastore.metadata import METADATA_KINDS
from fantasm_gcp.local.datastore.query import Query
from fantasm_gcp.local.datastore.results import results, stored_of
from fantasm_gcp.local.datastore.scan import Scanner
from fantasm_gcp.local.datastore.store import Store

MAX_AGGREGATIONS = 5

_NO_LIMIT = (1 << 63) - 1
_INTEGERS = range(-(1 << 63), 1 << 63)


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
    """Runs checked aggregations over a query into an ``AggregationResult``; ``moment`` as in ``results``.

    Answers how many results it has counted.
    """
    names = tuple(
        dict.fromkeys(operand.property.name for _, operator, operand in aggregations if operator != "count")
    )
    bounds = [
        operand.up_to.value if operator == "count" and operand.HasField("up_to") else _NO_LIMIT
        for _, operator, operand in aggregations
    ]
    if moment is not None and moment >= store.clock:
        moment = None  # nothing was written since
    count = _count_in_sql(store, query, max(bounds)) if not names and moment is None else None
    numbers: dict[str, list[int | float]] = {name: [] for name in names}
    if count is None:
        count = 0
        for entity in islice(
            _aggregated(store, query, names, moment), query.offset, _last(query, max(bounds))
        ):
            count += 1
            _collect(entity, numbers)
    for (alias, operator, operand), bound in zip(aggregations, bounds, strict=True):
        value = result.aggregate_properties[alias]
        if operator == "count":
            value.integer_value = min(count, bound)
        elif operator == "sum":
            _fill_sum(value, numbers[operand.property.name])
        else:
            _fill_average(value, numbers[operand.property.name])
    return count


def _count_in_sql(store: Store, query: Query, bound: int) -> int | None:
    if query.kind in METADATA_KINDS:
        return None
    scope = store.scope(query.partition)
    if scope is None:
        return 0
    if len(query.alternatives) > 1 or query.offset:
        return None
    limit = bound if query.limit is None else min(bound, query.limit)
    return Scanner(store, query, scope, query.alternatives[0]).count(limit)


def _last(query: Query, bound: int) -> int | None:
    """Up to which result the aggregations look, the offset counted in."""
    last = query.offset + (bound if query.limit is None else min(bound, query.limit))
    return last if last < _NO_LIMIT else None


def _aggregated(store: Store, query: Query, names: tuple[str, ...], moment: int | None) -> Iterator[Any]:
    """The entities of a query that have all the properties: offset and limit count these alone."""
    wanted, looked_at = set(names), with_outer(names)
    for row in results(store, query, moment):
        if not names:
            yield None
            continue
        entity = Entity.FromString(stored_of(store, query, row.path, moment).body)
        if indexed_values(entity, looked_at).keys() >= wanted:
            yield entity


def _collect(entity: Any, numbers: dict[str, list[int | float]]) -> None:
    for name, found in numbers.items():
        value = entity.properties.get(name)
        kind = value.WhichOneof("value_type") if value is not None else None
        if value is not None and kind in ("integer_value", "double_value"):
            found.append(getattr(value, kind))


def _fill_sum(value: Any, numbers: list[int | float]) -> None:
    if all(isinstance(number, int) for number in numbers):
        total = sum(numbers)
        if total in _INTEGERS:
            value.integer_value = int(total)
            return
    value.double_value = _float_sum(numbers)


def _fill_average(value: Any, numbers: list[int | float]) -> None:
    if numbers:
        value.double_value = _float_sum(numbers) / len(numbers)
    else:
        value.null_value = 0


def _float_sum(numbers: list[int | float]) -> float:
    total = 0.0
    for number in numbers:
        total += float(number)  # not fsum: IEEE infinities of both signs must give NaN, not an error
    return total
