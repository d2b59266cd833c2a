"""Vectors: arrays of doubles that a query can search for the nearest ones.

A vector is an array whose meaning is 31. It is kept out of the indexes of single properties; an index that is
declared for vectors serves the search. Sources: ``FindNearest`` in the API reference for the limits and for
what a threshold leaves out; gcloud's Firestore emulator in Datastore mode for what a vector may be, and what
may not stand beside a search, with its words. It answers as if the query had none, so the search itself is
as in its native mode: distances are of doubles, ties sort by key, and what has no distance stands last.
Drafts of the vendor's clients have the rest: projections and keys alone are allowed, and show the distance.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fantasm_gcp.local.datastore.entity.keys import MAX_NAME_BYTES, is_reserved
from fantasm_gcp.local.datastore.entity.messages import invalid

MEANING_VECTOR = 31

MAX_DIMENSIONS = 2048
MAX_NEIGHBOURS = 100
"""The most results of a search; Firestore's native mode allows 1000."""

EUCLIDEAN, COSINE, DOT_PRODUCT = 1, 2, 3  # FindNearest.DistanceMeasure

_HEAD = b"\x0a\x09\x19"
"""How an element of a vector begins on the wire, before the 8 bytes of its double: ArrayValue.values, of 9
bytes, and in it Value.double_value."""

Vector = tuple[float, ...]


def is_vector(value: Any) -> bool:
    """Whether a ``Value`` says of itself that it is one."""
    return bool(value.meaning == MEANING_VECTOR and value.HasField("array_value"))


def check_vector(value: Any) -> None:
    """Brings a vector of a request into the form it is stored in: its elements say nothing but their number.

    Raises INVALID_ARGUMENT when it has no or more than 2048 dimensions, is not excluded from the indexes, or
    has an element that is no double or is NaN.
    """
    elements = value.array_value.values
    _check_dimensions(value)
    if not value.exclude_from_indexes:
        raise invalid("Vector's must be excluded from indexes.")
    if any(map(math.isnan, _checked_numbers(value))):
        raise invalid("Vector cannot contain NaN values.")
    for element in elements:
        element.ClearField("meaning")
        element.ClearField("exclude_from_indexes")


def _check_dimensions(value: Any) -> None:
    if len(value.array_value.values) > MAX_DIMENSIONS:
        raise invalid(f"Vectors must be at most {MAX_DIMENSIONS} dimensions.")


def _checked_numbers(value: Any) -> Vector:
    if not value.array_value.values:
        raise invalid("Cannot have a zero length vector.")
    numbers = numbers_of(value)
    if numbers is None:
        raise invalid("Vector must only contain values of type 'double'.")
    return numbers


def numbers_of(value: Any) -> Vector | None:
    """The numbers of an array value; ``None`` unless all of its elements are doubles."""
    elements = value.array_value.values
    # A search reads millions of numbers: one by one from their messages takes four times as long.
    wire, count = value.array_value.SerializeToString(), len(elements)
    if len(wire) == count * _elements(1).size and all(
        wire[place :: len(_HEAD) + 8] == _HEAD[place : place + 1] * count for place in range(len(_HEAD))
    ):
        return _elements(count).unpack(wire)
    if any(element.WhichOneof("value_type") != "double_value" for element in elements):
        return None
    return tuple(element.double_value for element in elements)


@lru_cache(maxsize=64)
def _elements(count: int) -> struct.Struct:
    """So many elements on the wire."""
    return struct.Struct("<" + f"{len(_HEAD)}xd" * count)


@dataclass(frozen=True, slots=True)
class Nearest:
    """A checked search: for ``limit`` vectors of the property ``name`` that are nearest to ``vector``.

    ``shown_as`` is the property in which results show their distance; empty for none. ``threshold`` is the
    distance beyond which nothing is found.
    """

    name: str
    vector: Vector
    measure: int
    limit: int
    shown_as: str
    threshold: float | None

    def distance(self, entity: Any) -> float | None:
        """How far the vector of an entity is; ``None`` when it has none of as many dimensions.

        It is NaN for the cosine of a vector without a direction.
        """
        for value in _values_at(entity, self.name):
            other = numbers_of(value) if is_vector(value) else None
            if other is not None and len(other) == len(self.vector):
                return self._between(other)
        return None

    def _between(self, other: Vector) -> float:
        if self.measure == EUCLIDEAN:
            return math.dist(self.vector, other)
        product: float = sum(map(operator.mul, self.vector, other))
        if self.greatest_first:
            return product
        lengths = math.hypot(*self.vector) * math.hypot(*other)
        return 1 - product / lengths if lengths else math.nan

    @property
    def greatest_first(self) -> bool:
        """Whether the distance grows the nearer a vector is."""
        return self.measure == DOT_PRODUCT

    def is_within(self, distance: float) -> bool:
        """Whether a vector at that distance may be found."""
        if self.threshold is None:
            return True
        return distance >= self.threshold if self.greatest_first else distance <= self.threshold


def _values_at(entity: Any, name: str) -> Iterator[Any]:
    """The values that a name stands for: of the property called so, and of those embedded, under dots."""
    if name in entity.properties:
        yield entity.properties[name]
    for at, letter in enumerate(name):
        if letter == "." and name[:at] in entity.properties:
            outer = entity.properties[name[:at]]
            if outer.HasField("entity_value") and not outer.exclude_from_indexes:
                yield from _values_at(outer.entity_value, name[at + 1 :])


def parse_nearest(query: Any) -> Nearest | None:
    """The search that a ``Query`` message asks for, if it does.

    Raises INVALID_ARGUMENT for one that is malformed or passes a limit, and for a limit, an offset or a
    cursor of the query beside it.
    """
    if not query.HasField("find_nearest"):
        return None
    _check_beside(query)
    asked = query.find_nearest
    _check_name(asked.vector_property.name, "property.name")
    if not 1 <= asked.limit.value <= MAX_NEIGHBOURS:
        raise invalid(f"FindNearest.limit must be a positive integer of no more than {MAX_NEIGHBOURS}")
    if asked.distance_measure not in (EUCLIDEAN, COSINE, DOT_PRODUCT):
        raise invalid("Unknown Distance Measure.")
    if asked.distance_result_property:
        _check_name(asked.distance_result_property, "distanceResultField.property.name")
    threshold = asked.distance_threshold.value if asked.HasField("distance_threshold") else None
    if threshold is not None and not math.isfinite(threshold):
        raise invalid("distanceThreshold must be a finite number.")
    return Nearest(
        asked.vector_property.name,
        _query_vector(asked.query_vector),
        asked.distance_measure,
        asked.limit.value,
        asked.distance_result_property,
        threshold,
    )


def _check_beside(query: Any) -> None:
    if query.HasField("limit"):
        raise invalid("A query limit cannot be used with FindNearest")
    if query.offset:
        raise invalid("A query offset cannot be used with FindNearest")
    if query.start_cursor or query.end_cursor:
        raise invalid("A cursor cannot be used with FindNearest")
    if not query.kind:
        raise invalid("kind is required for non-__key__ filters")


def _check_name(name: str, field: str) -> None:
    if not name:
        raise invalid(f"The {field} is the empty string.")
    if is_reserved(name):
        raise invalid(f'The {field} "{name}" is reserved.')
    if len(name.encode()) > MAX_NAME_BYTES:
        raise invalid(f"The {field} is longer than {MAX_NAME_BYTES} bytes.")


def _query_vector(value: Any) -> Vector:
    if value.WhichOneof("value_type") is None:
        raise invalid("Value missing type.")
    if not is_vector(value):
        raise invalid("Query Value must be of type vector.")
    _check_dimensions(value)
    return _checked_numbers(value)
