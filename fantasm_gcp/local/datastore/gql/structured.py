"""Statements and their bindings made into the messages of structured queries."""

from __future__ import annotations

from typing import Any

from fantasm_gcp.local.datastore.entity.keys import Partition
from fantasm_gcp.local.datastore.entity.messages import invalid
from fantasm_gcp.local.datastore.gql.bindings import Bindings
from fantasm_gcp.local.datastore.gql.syntax import (
    Aggregate,
    ArrayLiteral,
    Condition,
    KeyLiteral,
    Literal,
    Name,
    Operand,
    Select,
    Site,
    Where,
)

_ASCENDING, _DESCENDING = 1, 2


def fill_query(query: Any, select: Select, bindings: Bindings, partition: Partition) -> None:
    """Fills a ``Query`` with what a statement says; keys without a partition get the given one.

    Raises INVALID_ARGUMENT for a binding that is missing or does not fit, or a literal where none may be.
    """
    for name in select.projection:
        query.projection.add().property.name = _resolve(name, select.kind)
    if select.kind is not None:
        query.kind.add().name = select.kind
    if select.where is not None:
        _Filters(select.kind, bindings, partition).fill(query.filter, select.where)
    for name, descending in select.orders:
        order = query.order.add()
        order.property.name = _resolve(name, select.kind)
        order.direction = _DESCENDING if descending else _ASCENDING
    for name in select.distinct:
        query.distinct_on.add().name = _resolve(name, select.kind)
    limit, query.end_cursor = bindings.limit(select.limit)
    if limit is not None:
        query.limit.value = limit
    offset, query.start_cursor = bindings.offset(select.offset)
    query.offset = offset or 0


def fill_aggregation_query(
    message: Any, statement: Aggregate, bindings: Bindings, partition: Partition
) -> None:
    """Fills an ``AggregationQuery``; raises as :func:`fill_query` does."""
    for aggregation in statement.aggregations:
        added = message.aggregations.add(alias=aggregation.alias)
        operand = getattr(added, aggregation.operator)
        operand.SetInParent()
        if aggregation.bound is not None:
            bindings.check_literal(aggregation.bound.token)
            operand.up_to.value = aggregation.bound.value.integer_value
        elif aggregation.name:
            # Around a query its kind is out of sight: a name that begins with it means just that.
            kind = statement.source.kind if statement.short else None
            operand.property.name = _resolve(aggregation.name, kind)
    fill_query(message.nested_query, statement.source, bindings, partition)


def _resolve(name: Name, kind: str | None) -> str:
    """The property that a name means: the kind may stand before it, with a dot."""
    return ".".join(name[1:] if len(name) > 1 and name[0] == kind else name)


class _Filters:
    """Fills ``Filter`` messages for the conditions of one query."""

    def __init__(self, kind: str | None, bindings: Bindings, partition: Partition) -> None:
        self._kind = kind
        self._bindings = bindings
        self._partition = partition

    def fill(self, message: Any, where: Where) -> None:
        if isinstance(where, Condition):
            self._fill_property(message.property_filter, where)
            return
        composite = message.composite_filter
        composite.op = composite.Operator.Value(where.operator)
        for part in where.parts:
            self.fill(composite.filters.add(), part)

    def _fill_property(self, message: Any, condition: Condition) -> None:
        message.property.name = _resolve(condition.name, self._kind)
        self._fill_value(message.value, condition.operand)
        is_list = message.value.WhichOneof("value_type") == "array_value"
        operator = "IN" if condition.membership and is_list else condition.operator
        message.op = message.Operator.Value(operator)

    def _fill_value(self, value: Any, operand: Operand) -> None:
        if isinstance(operand, Site):
            value.CopyFrom(self._bindings.value(operand))
            return
        self._bindings.check_literal(operand.token)
        if isinstance(operand, Literal):
            value.CopyFrom(operand.value)
        elif isinstance(operand, KeyLiteral):
            self._fill_key(value.key_value, operand)
        else:
            self._fill_array(value.array_value, operand)

    def _fill_key(self, key: Any, literal: KeyLiteral) -> None:
        named = dict(literal.dimensions)
        key.partition_id.project_id = named.get("PROJECT") or self._partition.project
        key.partition_id.database_id = named.get("DATABASE") or self._partition.database
        # A key that names any dimension is not of the query's namespace unless it names that too.
        key.partition_id.namespace_id = named.get("NAMESPACE", "" if named else self._partition.namespace)
        for kind, identifier in literal.path:
            element = key.path.add(kind=kind)
            if isinstance(identifier, int):
                element.id = identifier
            else:
                element.name = identifier

    def _fill_array(self, array: Any, literal: ArrayLiteral) -> None:
        array.SetInParent()
        for element in literal.elements:
            value = array.values.add()
            self._fill_value(value, element)
            if value.WhichOneof("value_type") == "array_value":
                raise invalid(f"{element.token.image[:100]} is a list: an ARRAY cannot contain one.")
