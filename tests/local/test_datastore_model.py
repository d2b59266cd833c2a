"""Random histories of writes and queries, compared with a model in plain Python.

The model sorts Python tuples and filters with Python comparisons: it shares nothing with the server's
encodings, its SQL or its plans.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from datastore_backends import DatastoreBackend
from datastore_support import Low, all_of, any_of, by, properties, value_of, where

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore import DatastoreServer

CROWD = 1200
"""More entities than the server reads and sorts at once, so that its other ways are taken too."""

SCALARS: list[Any] = [
    None,
    -1,
    0,
    1,
    2,
    3,
    10**12,
    False,
    True,
    "",
    "a",
    "a\x00",
    "ab",
    b"a",
    b"\xff",
    -1.5,
    0.0,
    2.0,
]
SCALARS += [math.inf, math.nan]

NAMES: list[Any] = [*range(1, 25), "a", "b", "a\x00", "ü"]

Entity = dict[str, Any]


def rank(value: Any) -> tuple[Any, ...]:
    """Where a scalar sorts: by type first, as documented."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int):
        return (1, value)
    if isinstance(value, float):
        return (4, math.isnan(value), 0.0 if math.isnan(value) else value)
    return (3, value.encode() if isinstance(value, str) else value)


def ranks(entity: Entity, name: str) -> list[tuple[Any, ...]]:
    """The distinct indexed values of a property, sorted; an empty array counts as null."""
    if name not in entity:
        return []
    value = entity[name]
    return sorted({rank(element) for element in ((value or [None]) if isinstance(value, list) else [value])})


def key_rank(name: int | str) -> tuple[int, Any]:
    return (0, name) if isinstance(name, int) else (1, name.encode())


COMPARISONS = {
    "LESS_THAN": lambda held, given: held < given,
    "LESS_THAN_OR_EQUAL": lambda held, given: held <= given,
    "GREATER_THAN": lambda held, given: held > given,
    "GREATER_THAN_OR_EQUAL": lambda held, given: held >= given,
    "NOT_EQUAL": lambda held, given: held != given,
}

Atom = tuple[str, str, Any]


class Reversed:
    """Sorts the other way round."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: Reversed) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reversed) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]  # never put into a set


def positions(
    entity: Entity, name: int | str, alternative: list[Atom], orders: list[str], unfold: set[str]
) -> list[Any]:
    """Where an entity stands under one alternative of a filter: nowhere, once, or once per unfolded value."""
    for prop, op, given in alternative:
        if prop == "__key__":
            held, wanted = key_rank(name), key_rank(given)
            if not (held == wanted if op == "EQUAL" else COMPARISONS[op](held, wanted)):
                return []
        elif op == "EQUAL" and rank(given) not in ranks(entity, prop):
            return []
    rows: list[tuple[Any, ...]] = [()]
    ranged = {prop for prop, op, _ in alternative if op != "EQUAL"}
    for order in orders:
        prop, descending = order.lstrip("-"), order.startswith("-")
        fixed = [rank(given) for p, _, given in alternative if p == prop and prop not in ranged]
        if prop == "__key__":
            rows = [(*row, Reversed(key_rank(name)) if descending else key_rank(name)) for row in rows]
            continue
        bounds = [(op, rank(given)) for p, op, given in alternative if p == prop and op != "EQUAL"]
        held = [v for v in ranks(entity, prop) if all(COMPARISONS[op](v, given) for op, given in bounds)]
        if held and fixed:
            held = [max(fixed) if descending else min(fixed)]
        elif held and prop not in unfold:
            held = [max(held) if descending else min(held)]
        rows = [(*row, Reversed(value) if descending else value) for row in rows for value in held]
    return rows


def expected(
    entities: dict[Any, Entity], alternatives: list[list[Atom]], orders: list[str], unfold: set[str]
) -> list[Any]:
    """Names of the results in order."""
    implied = sorted({p for part in alternatives for p, op, _ in part if op != "EQUAL" and p != "__key__"})
    compared = ["__key__"] if any(p == "__key__" for part in alternatives for p, _, _ in part) else []
    full = list(orders)
    for prop in (*implied, *compared, *sorted(unfold), "__key__"):
        if prop not in [order.lstrip("-") for order in full]:
            full.append(prop)
    found: list[tuple[Any, Any]] = []
    for name, entity in entities.items():
        rows = [row for part in alternatives for row in positions(entity, name, part, full, unfold)]
        rows.sort()
        distinct = [row for place, row in enumerate(rows) if place == 0 or row != rows[place - 1]]
        found += [(row, name) for row in (distinct if unfold else distinct[:1])]
    found.sort(key=lambda pair: pair[0])
    return [name for _, name in found]


class History:
    """A random sequence of writes to a server and its model, and queries of both.

    Every second seed makes do with few different values, so that more entities meet a filter.
    """

    def __init__(self, low: Low, seed: int) -> None:
        self.low = low
        self.random = random.Random(seed)
        self.scalars = SCALARS if seed % 2 else SCALARS[:5]
        self.entities: dict[Any, Entity] = {}

    def crowd(self) -> None:
        """Many entities at once, all of which share a value."""
        mutations = []
        for number in range(1, CROWD + 1):
            entity = {"all": True, **self.make()}
            self.entities[number] = entity
            mutations.append({"upsert": self.low.entity(self.low.key("K", number), **entity)})
        self.low.commit(*mutations)

    def make(self) -> Entity:
        entity: Entity = {}
        for name in ("p", "q"):
            choice = self.random.random()
            if choice < 0.6:
                entity[name] = self.random.choice(self.scalars)
            elif choice < 0.85:
                entity[name] = self.random.choices(self.scalars, k=self.random.randrange(4))
        return entity

    def write(self) -> None:
        """Puts or deletes a few entities in one commit."""
        mutations = []
        for name in self.random.sample(NAMES, k=self.random.randint(1, 4)):
            if self.random.random() < 0.3:
                self.entities.pop(name, None)
                mutations.append({"delete": self.low.key("K", name)})
            else:
                self.entities[name] = self.make()
                mutations.append({"upsert": self.low.entity(self.low.key("K", name), **self.entities[name])})
        self.low.commit(*mutations)

    def atoms(self) -> list[Atom]:
        ops = ["EQUAL", "EQUAL", *COMPARISONS]
        atoms = [
            (self.random.choice(("p", "q")), self.random.choice(ops), self.random.choice(self.scalars))
            for _ in range(self.random.randrange(3))
        ]
        if self.random.random() < 0.3:
            atoms.append(("all", "EQUAL", True))
        if self.random.random() < 0.2:
            atoms.append(("__key__", self.random.choice(ops), self.random.choice(NAMES)))
        return atoms

    def compare(self) -> None:
        """One random query, whole, in pages and counted."""
        alternatives = one_negation([self.atoms() for _ in range(self.random.choice((1, 1, 1, 2, 3)))])
        orders = self.random.sample(["p", "-p", "q", "-q", "__key__", "-__key__"], k=self.random.randrange(3))
        orders = [
            o
            for place, o in enumerate(orders)
            if o.lstrip("-") not in [x.lstrip("-") for x in orders[:place]]
        ]
        if any(order.endswith("__key__") for order in orders[:1]):
            orders = orders[:1]
        equal = {p for part in alternatives for p, op, _ in part if op == "EQUAL"}
        unfold = {name for name in ("p", "q") if name not in equal and self.random.random() < 0.2}
        if not all(alternatives):
            alternatives = [[]]  # an alternative that demands nothing admits everything
        wanted = expected(self.entities, alternatives, orders, unfold)
        fields = self.fields(alternatives, orders, unfold)
        assert wanted == list(self.pages(fields, None)), fields
        size = self.random.choice((1, 3, 7)) if len(wanted) < 60 else 97
        assert wanted == list(self.pages(fields, size)), fields
        offset = self.random.randrange(5)
        assert wanted[offset : offset + 2] == names(self.low.query("K", **fields, offset=offset, limit=2))
        if not unfold:
            counted = {name: value for name, value in fields.items() if name != "projection"}
            assert len(wanted) == self.low.aggregate("K", {"count": {}, "alias": "n"}, **counted)["n"]

    def fields(self, alternatives: list[list[Atom]], orders: list[str], unfold: set[str]) -> dict[str, Any]:
        fields: dict[str, Any] = {"order": by(*orders)}
        parts = [
            [where(name, op, self.value(name, given)) for name, op, given in part] for part in alternatives
        ]
        if all(parts):
            fields["filter"] = any_of(*(all_of(*part) for part in parts))
        if unfold:
            fields["projection"] = properties(*sorted(unfold))
        elif self.random.random() < 0.5:
            fields["projection"] = properties("__key__")
        return fields

    def value(self, name: str, given: Any) -> dict[str, Any]:
        return {"key_value": self.low.key("K", given)} if name == "__key__" else value_of(given)

    def pages(self, fields: dict[str, Any], size: int | None) -> Iterator[Any]:
        cursor = b""
        while True:
            limit = {} if size is None else {"limit": size}
            response = self.low.query("K", **fields, **limit, start_cursor=cursor)
            yield from names(response)
            cursor = response.batch.end_cursor
            if response.batch.more_results.name == "NO_MORE_RESULTS" or (
                size and not response.batch.entity_results
            ):
                return


def one_negation(alternatives: list[list[Atom]]) -> list[list[Atom]]:
    """The alternatives with every negation after the first, which a query may not have, made an equality."""
    negations = count()
    return [
        [(name, "EQUAL" if op == "NOT_EQUAL" and next(negations) else op, given) for name, op, given in part]
        for part in alternatives
    ]


def names(response: Any) -> list[Any]:
    return [r.entity.key.path[0].name or r.entity.key.path[0].id for r in response.batch.entity_results]


def composites(seed: int) -> list[CompositeIndex]:
    """For half of the seeds, composite indexes of the properties that queries sort and filter by."""
    if seed % 4 < 2:
        return []
    wanted = ["p", "q", "all", "p q", "q p", "p -q", "-q -p", "all p", "all -q", "all p q", "all q p"]
    wanted += ["p -__key__", "q -__key__", "-__key__", "all p -__key__"]
    orders = [[(name.lstrip("-"), name.startswith("-")) for name in names.split()] for names in wanted]
    return [CompositeIndex("K", tuple(properties)) for properties in orders]


@contextmanager
def client_of(indexes: list[CompositeIndex]) -> Iterator[Low]:
    server = DatastoreServer(indexes=indexes, require_indexes=False)
    yield Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    server.close()


@pytest.mark.parametrize("seed", range(8))
def test_random_histories_agree_with_the_model(seed: int) -> None:
    """Whatever was written and is indexed, every query gives what the model gives, in pages and counted too."""
    with client_of(composites(seed)) as low:
        history = History(low, seed)
        for _ in range(30):
            history.write()
            history.compare()


@pytest.mark.parametrize("seed", range(100, 104))
def test_queries_over_a_crowd_agree_with_the_model(seed: int) -> None:
    """The same among more entities than are sorted at once."""
    with client_of(composites(seed)) as low:
        history = History(low, seed)
        history.crowd()
        for _ in range(6):
            history.write()
            history.compare()
