"""Values that generated entities and filters are made of: few, so that they meet, and at every boundary."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

from differential.operations import PROJECT

Value = dict[str, Any]

INTEGERS = (0, 1, 2, 3, -1, 1_000_000, 2**53 + 1, 2**63 - 1, -(2**63))
DOUBLES = (0.0, -0.0, 1.0, 1.5, 2.0, -2.5, 5e-324, 1e308, float("inf"), float("-inf"), float("nan"))
STRINGS = ("", "a", "b", "ab", "B", "ä", "a\x00", "a\x00b", "\ue000", "\ue000b", "a" * 40)
BEYOND = ("\U00010000", "\ue000", "\uffff")
BLOBS = (b"", b"\x00", b"a", b"ab", b"\xff", b"\xff\x00", b"\xc3\xa4")
MOMENTS = ((0, 0), (1, 0), (0, 1_000), (0, 1_999), (-1, 999_999_999), (1_600_000_000, 123_456_789))
FAR_MOMENTS = ((-62_135_596_800, 0), (253_402_300_799, 999_999_999))
POINTS = ((0.0, 0.0), (-90.0, 180.0), (90.0, -180.0), (1.5, -1.5), (1.5, 2.0))


def integer(number: int) -> Value:
    return {"integer_value": number}


def double(number: float) -> Value:
    return {"double_value": number}


def text(content: str) -> Value:
    return {"string_value": content}


def array(*elements: Value) -> Value:
    return {"array_value": {"values": list(elements)}}


def _moment(moment: tuple[int, int]) -> Value:
    return {"timestamp_value": {"seconds": moment[0], "nanos": moment[1]}}


def _point(point: tuple[float, float]) -> Value:
    return {"geo_point_value": {"latitude": point[0], "longitude": point[1]}}


def _key(chance: random.Random) -> Value:
    path = [{"kind": chance.choice(("K", "L")), "name": chance.choice(("a", "b"))}]
    if chance.random() < 0.3:
        path.append({"kind": "K", "id": chance.choice((1, 2))})
    return {"key_value": {"partition_id": {"project_id": PROJECT}, "path": path}}


_SCALARS: dict[str, Callable[[random.Random], Value]] = {
    "integers": lambda chance: integer(chance.choice(INTEGERS)),
    "doubles": lambda chance: double(chance.choice(DOUBLES)),
    "strings": lambda chance: text(chance.choice(STRINGS)),
    "supplementary characters": lambda chance: text(chance.choice(BEYOND)),
    "blobs": lambda chance: {"blob_value": chance.choice(BLOBS)},
    "booleans": lambda chance: {"boolean_value": chance.random() < 0.5},
    "nulls": lambda chance: {"null_value": 0},
    "moments": lambda chance: _moment(chance.choice(MOMENTS)),
    "far moments": lambda chance: _moment(chance.choice(FAR_MOMENTS)),
    "points": lambda chance: _point(chance.choice(POINTS)),
    "keys": _key,
}
SCALARS = tuple(_SCALARS)
"""The names of the types, which are also the names of what a gap may have the generator leave out."""


class Palette:
    """The values of one sequence: some of all, drawn again and again."""

    def __init__(self, chance: random.Random, without: Collection[str]) -> None:
        self._chance = chance
        self._nested = "nested" not in without
        self._sorted_arrays = "sorted arrays" not in without
        self._fewest = 1 if "empty arrays" in without else 0
        types = [name for name in SCALARS if name not in without]
        types = chance.sample(types, chance.randint(1, min(4, len(types))))
        self.scalars = [_SCALARS[chance.choice(types)](chance) for _ in range(chance.randint(3, 8))]

    def scalar(self) -> Value:
        """A value that can be filtered on."""
        return dict(self._chance.choice(self.scalars))

    def number(self) -> Value:
        """A small integer or double, for sums and increments."""
        return self._chance.choice((integer(1), integer(3), integer(-2), double(0.5), double(2.0)))

    def stored(self) -> Value:
        """A value as an entity may hold it: mostly a scalar, sometimes an array or an embedded entity."""
        roll = self._chance.random()
        if roll < 0.72:
            value = self.scalar()
        elif roll < 0.9 and self._sorted_arrays:
            value = self.array()
        elif self._nested:
            value = self._entity(2)
        else:
            value = self.scalar()
        if self._chance.random() < 0.12 and "array_value" not in value:
            value["exclude_from_indexes"] = True
        return value

    def array(self) -> Value:
        """Some values at once."""
        return array(*(self.scalar() for _ in range(self._chance.randint(self._fewest, 3))))

    def _entity(self, depth: int) -> Value:
        properties = {name: self.scalar() for name in self._chance.sample(("p", "i", "j"), 2)}
        if depth and self._chance.random() < 0.3:
            properties["e"] = self._entity(depth - 1)
        if self._chance.random() < 0.2:
            properties["p"] = array(self.scalar(), self.scalar())
        return {"entity_value": {"properties": properties}}
