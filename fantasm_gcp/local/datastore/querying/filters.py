"""Filters as alternatives: each a conjunction of equalities and ranges over encoded values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from fantasm_gcp.local.datastore.entity.entities import Indexed, check_scalar
from fantasm_gcp.local.datastore.entity.keys import Partition, check_path, encode_path, resolve_partition
from fantasm_gcp.local.datastore.entity.masks import KEY_NAME
from fantasm_gcp.local.datastore.entity.messages import invalid
from fantasm_gcp.local.datastore.entity.values import encode_value

MAX_ALTERNATIVES = 30
MAX_FILTER_DEPTH = 50

# PropertyFilter.Operator and CompositeFilter.Operator
LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL, EQUAL, IN, NOT_EQUAL, HAS_ANCESTOR, NOT_IN = (
    1,
    2,
    3,
    4,
    5,
    6,
    9,
    11,
    13,
)
COMPARISONS = frozenset({LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL, EQUAL})
_AND, _OR = 1, 2

_JUST_AFTER = b"\x00"  # an encoding with this added sorts after it and before everything else
_AFTER_DESCENDANTS = b"\xff"


@dataclass(frozen=True, slots=True)
class Range:
    """Encoded values from ``low`` (included) to ``high`` (not included), without some."""

    low: bytes | None = None
    high: bytes | None = None
    excluded: frozenset[bytes] = frozenset()

    def __contains__(self, encoded: bytes) -> bool:
        return (
            (self.low is None or encoded >= self.low)
            and (self.high is None or encoded < self.high)
            and encoded not in self.excluded
        )

    def __and__(self, other: Range) -> Range:
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Range(max(lows, default=None), min(highs, default=None), self.excluded | other.excluded)

    @property
    def only(self) -> bytes | None:
        """The one value it is bounded to, if it is."""
        return self.low if self.low is not None and self.high == self.low + _JUST_AFTER else None

    @property
    def pieces(self) -> list[Range]:
        """The same values as ranges that leave nothing out, in order."""
        if not self.excluded:
            return [self]
        inner = sorted(value for value in self.excluded if value in Range(self.low, self.high))
        lows = [self.low, *(value + _JUST_AFTER for value in inner)]
        return [Range(low, high) for low, high in zip(lows, [*inner, self.high], strict=True)]


EVERYTHING = Range()


@dataclass(frozen=True, slots=True)
class Conjunction:
    """What an entity must meet.

    Each equality must be met by some value of its property. All inequalities of one property must be met by
    one and the same value, as Datastore has it for arrays; they make up one range. ``path`` bounds the
    encoded key: by filters that compare it (then ``compares_key``), or by an ancestor, whose encoded path is
    ``ancestor``.
    """

    equals: tuple[tuple[str, bytes], ...] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    path: Range = EVERYTHING
    ancestor: bytes | None = None
    compares_key: bool = False

    @property
    def names_one_key(self) -> bool:
        """Whether a filter says what the key is."""
        return self.compares_key and self.path.only is not None

    def fixed(self) -> dict[str, list[bytes]]:
        """The values that equalities demand, of the properties that have no inequality."""
        values: dict[str, list[bytes]] = {}
        for name, value in self.equals:
            if name not in self.ranges:
                values.setdefault(name, []).append(value)
        return values

    def matches(self, indexed: Indexed, path: bytes) -> bool:
        """Whether an entity of those indexed values and encoded key path meets it."""
        return (
            path in self.path
            and all(value in indexed.get(name, ()) for name, value in self.equals)
            and all(
                any(value in wanted for value in indexed.get(name, ()))
                for name, wanted in self.ranges.items()
            )
        )

    def __and__(self, other: Conjunction) -> Conjunction:
        ranges = dict(self.ranges)
        for name, wanted in other.ranges.items():
            ranges[name] = ranges.get(name, EVERYTHING) & wanted
        return Conjunction(
            tuple(dict.fromkeys(self.equals + other.equals)),
            ranges,
            self.path & other.path,
            _nearer(self.ancestor, other.ancestor),
            self.compares_key or other.compares_key,
        )


def _nearer(one: bytes | None, other: bytes | None) -> bytes | None:
    """Of two ancestors the nearer one; if neither is an ancestor of the other, nothing is found anyway."""
    return max((path for path in (one, other) if path is not None), key=len, default=None)


def parse_filter(query: Any, partition: Partition) -> tuple[Conjunction, ...]:
    """The alternatives of a query's filter, any of which an entity must meet.

    Raises INVALID_ARGUMENT for a malformed filter or more than 30 alternatives.
    """
    if not query.HasField("filter"):
        return (Conjunction(),)
    return tuple(_expand(query.filter, partition, 0))


def _expand(node: Any, partition: Partition, depth: int) -> list[Conjunction]:
    if depth > MAX_FILTER_DEPTH:
        raise invalid("The filter is nested too deep.")
    match node.WhichOneof("filter_type"):
        case "property_filter":
            alternatives = list(_property_filter(node.property_filter, partition))
        case "composite_filter":
            composite = node.composite_filter
            if not composite.filters:
                raise invalid("A composite filter must have at least one sub-filter.")
            if not composite.op:
                raise invalid("a composite filter must specify an operator")
            parts = [_expand(part, partition, depth + 1) for part in composite.filters]
            alternatives = _combine(composite.op, parts)
        case _:
            raise invalid("a filter must have exactly one of its fields set")
    if len(alternatives) > MAX_ALTERNATIVES:
        raise invalid(f"The query has more than {MAX_ALTERNATIVES} disjunctions after it was normalized.")
    return alternatives


def _combine(operator: int, parts: list[list[Conjunction]]) -> list[Conjunction]:
    if operator == _OR:
        return [alternative for part in parts for alternative in part]
    if operator != _AND:
        raise invalid("unsupported composite property operator")
    combined = [Conjunction()]
    for part in parts:
        combined = [left & right for left, right in product(combined, part)]
        if len(combined) > MAX_ALTERNATIVES:
            break
    return combined


def _property_filter(node: Any, partition: Partition) -> Iterator[Conjunction]:
    name, operator = node.property.name, node.op
    if not name:
        raise invalid("The property.name is the empty string.")
    if not operator:
        raise invalid("a property filter must specify an operator")
    if operator in (IN, NOT_IN):
        yield from _membership(name, operator, node.value, partition)
    elif operator == HAS_ANCESTOR:
        if name != KEY_NAME:
            raise invalid("property must be __key__")
        if node.value.WhichOneof("value_type") != "key_value":
            raise invalid("HAS_ANCESTOR requires a key value")
        ancestor = _encode(name, node.value, partition)
        yield Conjunction(path=Range(ancestor, ancestor + _AFTER_DESCENDANTS), ancestor=ancestor)
    else:
        yield _comparison(name, operator, _encode(name, node.value, partition))


def _membership(name: str, operator: int, value: Any, partition: Partition) -> Iterator[Conjunction]:
    if value.WhichOneof("value_type") != "array_value" or not value.array_value.values:
        raise invalid(f"{'IN' if operator == IN else 'NOT_IN'} requires a non-empty ArrayValue.")
    if any(element.HasField("array_value") for element in value.array_value.values):
        raise invalid("list_value cannot contain a Value containing another list_value.")
    encoded = [_encode(name, element, partition) for element in value.array_value.values]
    if operator == IN:
        for one in dict.fromkeys(encoded):
            yield _comparison(name, EQUAL, one)
    else:
        yield _on(name, Range(excluded=frozenset(encoded)))


def _comparison(name: str, operator: int, encoded: bytes) -> Conjunction:
    if operator == EQUAL and name != KEY_NAME:
        return Conjunction(equals=((name, encoded),))
    after = encoded + _JUST_AFTER
    ranges = {
        EQUAL: Range(encoded, after),
        NOT_EQUAL: Range(excluded=frozenset({encoded})),
        LESS: Range(high=encoded),
        LESS_OR_EQUAL: Range(high=after),
        GREATER: Range(low=after),
        GREATER_OR_EQUAL: Range(low=encoded),
    }
    if operator not in ranges:
        raise invalid(f"Unrecognized PropertyFilter.op: {operator}")
    return _on(name, ranges[operator])


def _on(name: str, wanted: Range) -> Conjunction:
    if name == KEY_NAME:
        return Conjunction(path=wanted, compares_key=True)
    return Conjunction(ranges={name: wanted})


def _encode(name: str, value: Any, partition: Partition) -> bytes:
    if name == KEY_NAME:
        if value.WhichOneof("value_type") != "key_value":
            raise invalid("__key__ filter value must be a Key")
        check_path(value.key_value)
        named = resolve_partition(value.key_value.partition_id, partition.project, partition.database)
        if named != partition:
            raise invalid(
                f"The query namespace is '{partition.namespace}' but __key__ filter namespace is"
                f" '{named.namespace}'."
            )
        return encode_path(value.key_value.path)
    if value.exclude_from_indexes:
        raise invalid("a filter value must be indexed")
    if value.WhichOneof("value_type") not in ("array_value", "entity_value"):  # which are refused below
        check_scalar(name, value, partition, in_filter=True)
    return encode_value(value)
