"""What the parts of the generator share: the chance, what to leave out, and the few keys a sequence is about."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

from differential.operations import PROJECT
from differential.palette import SCALARS, Palette

FEATURES = frozenset(SCALARS) | {
    "aggregations",
    "bounded sums",
    "allocations",
    "base versions",
    "bases of deleted entities",
    "bases that only report",
    "conflicts",
    "cursors",
    "distinct",
    "distinct entities",
    "embedded filters",
    "ends of batches",
    "gql",
    "empty arrays",
    "in",
    "incomplete keys",
    "interleaved transactions",
    "key filters",
    "kindless",
    "malformed",
    "masks of reads",
    "masks of writes",
    "metadata",
    "negative ids",
    "nested",
    "not equal",
    "not in",
    "or",
    "orders after the key",
    "orders beside projections",
    "orders of aggregations",
    "orders under a key",
    "projections",
    "queries in transactions",
    "read-only",
    "reads that begin",
    "repeated keys",
    "repeated mutations",
    "reservations",
    "several inequalities",
    "several mutations outside of transactions",
    "single use",
    "sorted arrays",
    "ties of descending orders",
    "sums of everything",
    "supplementary characters",
    "too big",
    "transactions",
    "transactions that end twice",
    "transforms",
    "transforms of unindexed values",
    "unsorted projections",
    "update times",
    "wrong transactions",
}
"""What a gap may have the generator leave out."""

KINDS = ("K", "L", "\u00dc")
NAMES = ("a", "b", "ab", "\u00e4", "a/b", "\ue000")
PROPERTIES = ("p", "q", "r")
"""What entities hold; besides, "n" holds numbers only, and "t" arrays that nothing sorts by."""
NAMESPACES = ("", "", "n", "n-1")
BEYOND = "\U00010000"
"""A character that sorts after U+E000 as UTF-8, and before it as UTF-16."""

_IDS = (1, 2, 10, 2**62)


class Situation:
    """One sequence in the making. ``without`` are the features to leave out."""

    def __init__(self, chance: random.Random, without: Collection[str]) -> None:
        unknown = set(without) - FEATURES
        if unknown:
            raise ValueError(f"no features: {sorted(unknown)}")
        self.chance = chance
        self._without = frozenset(without)
        self.palette = Palette(chance, without)
        self.space = chance.choice(NAMESPACES)
        self.elements = [self._element() for _ in range(chance.randint(2, 6))]

    def may(self, feature: str, odds: float = 1.0) -> bool:
        """Whether to use a feature now: never when it is left out, else by chance."""
        if feature not in FEATURES:
            raise ValueError(f"no feature: {feature}")
        return feature not in self._without and self.chance.random() < odds

    def _element(self) -> dict[str, Any]:
        kind = self.chance.choice(KINDS[:2] if self.chance.random() < 0.9 else KINDS)
        if self.may("supplementary characters", 0.1):
            return {"kind": kind, "name": BEYOND}
        if self.chance.random() < 0.6:
            return {"kind": kind, "name": self.chance.choice(NAMES)}
        if self.may("negative ids", 0.1):
            return {"kind": kind, "id": -5}
        return {"kind": kind, "id": self.chance.choice(_IDS)}

    def partition(self, space: str | None = None) -> dict[str, Any]:
        """The partition of the sequence, or of another namespace."""
        chosen = self.space if space is None else space
        return {"project_id": PROJECT, "namespace_id": chosen}

    def key(self) -> dict[str, Any]:
        """A complete key, often one that was used already."""
        chance = self.chance
        path = [chance.choice(self.elements)]
        if chance.random() < 0.3:
            path.append(chance.choice(self.elements))
        space = chance.choice(NAMESPACES) if chance.random() < 0.06 else None
        return {"partition_id": self.partition(space), "path": path}

    def root(self) -> dict[str, Any]:
        """A key without a parent, in the namespace of the sequence."""
        return {"partition_id": self.partition(), "path": [self.chance.choice(self.elements)]}

    def properties(self) -> dict[str, Any]:
        """The properties of an entity."""
        count = self.chance.choice((0, 1, 2, 2, 3, 3))
        found = {name: self.palette.stored() for name in self.chance.sample(PROPERTIES, count)}
        if self.chance.random() < 0.35:
            found["n"] = self.palette.number()
        if self.chance.random() < 0.25:
            found["t"] = self.palette.array()
        return found
