"""What may not stand together in one query, whatever is stored.

Sources: the API reference of ``PropertyFilter.Operator`` (one negation in a query, ten values of ``NOT_IN``,
which allows no disjunction beside it), and the vendor's emulators, which agree on the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.messages import invalid
from fantasm_gcp.local.datastore.querying.filters import HAS_ANCESTOR, IN, NOT_EQUAL, NOT_IN

MAX_IN, MAX_NOT_IN = 30, 10

_OR = 2  # CompositeFilter.Operator.OR
_Ancestors = frozenset[bytes]


def check_query_rules(query: Any) -> None:
    """Raises INVALID_ARGUMENT for a ``Query`` message that breaks one of them.

    Its filter is well formed and has no more alternatives than a query may have.
    """
    for names, what in (
        ([projected.property.name for projected in query.projection], "project"),
        ([reference.name for reference in query.distinct_on], "group by"),
    ):
        if len(set(names)) < len(names):
            raise invalid(f"Cannot {what} a property multiple times.")
    if query.HasField("filter"):
        _check_negations(query.filter)
        if len(set(_ancestors(query.filter))) > 1:
            raise invalid("All disjunctions must have a common and unique ancestor constraint.")


def check_aggregated(names: Iterable[str], nested: Any) -> None:
    """Raises INVALID_ARGUMENT unless the query that is aggregated over shows those properties."""
    shown = {projected.property.name for projected in nested.projection}
    for name in names:
        if shown == {KEY_NAME}:
            raise invalid(
                "Aggregation over non-key properties is not supported for base query that only returns keys."
            )
        if shown and name not in shown:
            raise invalid(f"The aggregation property {name} is not present in the base query's projection.")


def _nodes(node: Any) -> Iterator[Any]:
    """A filter and the filters in it."""
    yield node
    for part in node.composite_filter.filters:
        yield from _nodes(part)


def _check_negations(root: Any) -> None:
    leaves = [node.property_filter for node in _nodes(root) if node.HasField("property_filter")]
    sizes = {IN: MAX_IN, NOT_IN: MAX_NOT_IN}
    for leaf in leaves:
        if leaf.op in sizes and len(leaf.value.array_value.values) > sizes[leaf.op]:
            raise invalid(f"{'IN' if leaf.op == IN else 'NOT_IN'} supports up to {sizes[leaf.op]} values.")
    used = [leaf.op for leaf in leaves]
    if used.count(NOT_EQUAL) + used.count(NOT_IN) > 1:
        raise invalid("Only a single 'NOT_EQUAL' or 'NOT_IN' is allowed per query.")
    if NOT_IN in used and (IN in used or any(node.composite_filter.op == _OR for node in _nodes(root))):
        raise invalid("'NOT_IN' cannot be used in the same query with 'IN' or 'OR'.")


def _ancestors(node: Any) -> list[_Ancestors]:
    """The ancestors that each alternative of a filter asks for; several in one alternative never agree."""
    if node.HasField("property_filter"):
        leaf = node.property_filter
        if leaf.op != HAS_ANCESTOR:
            return [frozenset()]
        return [frozenset({leaf.value.key_value.SerializeToString(deterministic=True)})]
    parts = [list(dict.fromkeys(_ancestors(part))) for part in node.composite_filter.filters]
    if node.composite_filter.op == _OR:
        return [one for part in parts for one in part]
    together: list[_Ancestors] = [frozenset()]
    for part in parts:
        together = list(dict.fromkeys(left | right for left, right in product(together, part)))
    for asked in together:
        if len(asked) > 1:
            raise invalid("All disjunctions must have a common and unique ancestor constraint.")
    return together
