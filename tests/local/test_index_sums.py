"""Sums, averages and counts out of indexes: the same to the last bit as of the entities, without reading one."""

from __future__ import annotations

import random
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datastore_backends import DatastoreBackend
from datastore_support import Low, all_of, by, plain, where

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore import DatastoreServer

NUMBERS: list[Any] = [0, 1, -7, 5, 2**53 - 1, 2**62, -(2**62), 0.1, 0.2, 0.3, -0.0, 1e300, -1e300]
NUMBERS += [float("inf"), float("-inf"), float("nan")]
SMALL: list[Any] = [0, 1, -7, 5, 40]
NEVER_ADDED: list[Any] = [None, "a", True, b"b", ["x", "y"]]
MIXED: list[Any] = [[3], [4, 5], [0.5, "a"], {"timestamp_value": {"seconds": 5}}]
MIXED += [
    {"integer_value": 9, "exclude_from_indexes": True},
    {"entity_value": {"properties": {"n": {"integer_value": 3}}}},
]

COUNT, SUM, AVERAGE = "count", "sum", "avg"


def index(*names: str, ancestor: bool = False) -> CompositeIndex:
    return CompositeIndex("K", tuple((name.lstrip("-"), name.startswith("-")) for name in names), ancestor)


INDEXES = [index("g", "n"), index("g", "-m"), index("n", "m"), index("m", "n"), index("g", "n", "m")]


def opened(path: Path | None = None) -> tuple[Low, DatastoreServer]:
    server = DatastoreServer(path, indexes=INDEXES, require_indexes=False)
    return Low(DatastoreBackend("local-inprocess", "", server=server, namespace="")), server


@pytest.fixture
def local() -> Iterator[tuple[Low, DatastoreServer]]:
    low, server = opened()
    yield low, server
    server.close()


def over(*names: str) -> list[dict[str, Any]]:
    """Every aggregation of those properties, at most two of them."""
    return [{"count": {}, "alias": COUNT}] + [
        {operator: {"property": {"name": name}}, "alias": f"{operator}_{name}"}
        for name in names
        for operator in (SUM, AVERAGE)
    ]


def added(entities: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The same of the entities that a query finds, in their order; as the API reference has it."""
    found = [entity for entity in entities if all(is_indexed(entity.properties, name) for name in names)]
    answer: dict[str, Any] = {COUNT: len(found)}
    for name in names:
        raw = [type(entity).pb(entity).properties[name] for entity in found]
        kinds = ("integer_value", "double_value")
        numbers = [
            getattr(value, kind) for value in raw for kind in kinds if value.WhichOneof("value_type") == kind
        ]
        total = 0.0
        for number in numbers:
            total += number
        exact = sum(numbers) if all(isinstance(number, int) for number in numbers) else None
        answer[f"{SUM}_{name}"] = total if exact is None or not -(2**63) <= exact < 2**63 else exact
        answer[f"{AVERAGE}_{name}"] = total / len(numbers) if numbers else None
    return answer


def is_indexed(held: Any, name: str) -> bool:
    if name not in held or held[name].exclude_from_indexes:
        return False
    return type(held[name]).pb(held[name]).WhichOneof("value_type") != "entity_value"


def bits(answer: dict[str, Any]) -> dict[str, Any]:
    """Doubles as their bytes: two NaN are the same, two zeros are not."""
    return {
        alias: struct.pack(">d", abs(value) if value != value else value)
        if isinstance(value, float)
        else value
        for alias, value in answer.items()
    }


def fields_of(chance: random.Random, low: Low) -> dict[str, Any]:
    """A query that some index serves, or none."""
    filters = []
    if chance.random() < 0.5:
        filters.append(where("g", "EQUAL", chance.randrange(3)))
    if chance.random() < 0.3:
        filters.append(where(chance.choice("nm"), "GREATER_THAN", chance.choice((-10, 0, 3))))
    if chance.random() < 0.2:
        filters.append(where("__key__", "GREATER_THAN", {"key_value": low.key("K", 9)}))
    fields: dict[str, Any] = {"filter": all_of(*filters)} if filters else {}
    if chance.random() < 0.3:
        fields["order"] = by(chance.choice(("n", "-n", "m", "g", "-__key__")))
    if chance.random() < 0.2:
        fields |= {"limit": chance.randrange(8), "offset": chance.randrange(4)}
    return fields


@pytest.mark.parametrize("seed", range(8))
def test_sums_are_those_of_the_entities_to_the_last_bit(local: Any, seed: int) -> None:
    """Whatever the values are and were, and whichever index the numbers are taken from."""
    low, _ = local
    chance = random.Random(seed)
    values = [*(NUMBERS if seed % 2 else SMALL), *NEVER_ADDED, *(MIXED if seed % 4 > 1 else [])]
    for turn in range(12):
        rows = {
            number: {name: chance.choice(values) for name in "nm" if chance.random() < 0.8}
            for number in chance.sample(range(1, 40), k=20 if turn == 0 else 5)
        }
        low.commit(
            *(
                {"delete": low.key("K", number)}
                if chance.random() < 0.2
                else {"upsert": low.entity(low.key("K", number), g=number % 3, **row)}
                for number, row in rows.items()
            )
        )
        names = chance.choice((("n",), ("m",), ("n", "m")))
        fields = fields_of(chance, low)
        bounds = {name: fields.pop(name) for name in ("limit", "offset") if name in fields}
        found = [result.entity for result in low.query("K", **fields).batch.entity_results]
        if bounds:  # they count only what has the properties
            having = [e for e in found if all(is_indexed(e.properties, name) for name in names)]
            found = having[bounds["offset"] : bounds["offset"] + bounds["limit"]]
        wanted = bits(added(found, names))
        assert wanted == bits(low.aggregate("K", *over(*names), **fields, **bounds)), (fields, bounds)


def test_doubles_are_added_in_the_order_of_the_results(local: Any) -> None:
    """Also downwards by key, where they come to something else."""
    low, _ = local
    for number, value in enumerate((1e16, 1.0, -1e16, 1.0), start=1):
        low.put("K", number, n=value)
    upwards, downwards = (
        low.aggregate("K", *over("n"), order=by(order)) for order in ("__key__", "-__key__")
    )
    assert {COUNT: 4, "sum_n": 1.0, "avg_n": 0.25} == upwards
    assert {COUNT: 4, "sum_n": 0.0, "avg_n": 0.0} == downwards


SERVED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "all of a kind": (("n",), {}),
    "an equality": (("n",), {"filter": where("g", "EQUAL", 1)}),
    "an index that sorts downwards": (("m",), {"filter": where("g", "EQUAL", 1)}),
    "a range of it": (("n",), {"filter": where("n", "GREATER_THAN", 3)}),
    "a range of it behind an equality": (
        ("n",),
        {"filter": all_of(where("g", "EQUAL", 1), where("n", "GREATER_THAN", 3))},
    ),
    "a range of another": (("m",), {"filter": where("n", "GREATER_THAN", 3)}),
    "two": (("n", "m"), {"filter": where("g", "EQUAL", 1)}),
    "some": (("n",), {"order": by("-n"), "limit": 3}),
}


def statements(server: DatastoreServer) -> list[str]:
    """Everything that SQLite runs from now on."""
    seen: list[str] = []
    server._store._db.set_trace_callback(seen.append)
    return seen


@pytest.mark.parametrize("case", SERVED)
def test_no_entity_is_read_for_what_an_index_has(local: Any, case: str) -> None:
    """But when a property of the kind ever had a date or an array, which its entries do not tell."""
    low, server = local
    names, fields = SERVED[case]
    for number in range(1, 30):
        low.put("K", number, g=number % 3, n=number, m=-number)
    found = [result.entity for result in low.query("K", **fields).batch.entity_results]
    seen = statements(server)
    assert added(found, names) == low.aggregate("K", *over(*names), **fields)
    assert not [statement for statement in seen if "body" in statement]
    low.put("K", 50, n={"timestamp_value": {"seconds": 5}}, m=[1])
    low.aggregate("K", *over(*names), **fields)
    assert [statement for statement in seen if "body" in statement]


COUNTED: dict[str, dict[str, Any]] = {
    "a kind": {},
    "an equality": {"filter": where("g", "EQUAL", 1)},
    "an order": {"order": by("-n")},
    "a range": {"filter": where("n", "GREATER_THAN", 3)},
    "all but one value": {"filter": where("n", "NOT_EQUAL", 3)},
    "a range of an index": {"filter": all_of(where("g", "EQUAL", 1), where("n", "GREATER_THAN", 3))},
    "a range of an index downwards": {"filter": all_of(where("g", "EQUAL", 1), where("m", "LESS_THAN", -3))},
    "ranges of two": {"filter": all_of(where("n", "GREATER_THAN", 3), where("m", "LESS_THAN", -9))},
    "behind an offset": {"filter": where("n", "GREATER_THAN", 3), "offset": 4},
    "behind everything": {"filter": where("n", "GREATER_THAN", 3), "offset": 100},
    "some": {"filter": where("n", "NOT_EQUAL", 3), "offset": 1, "limit": 7},
    "none": {"filter": where("n", "GREATER_THAN", 3), "limit": 0},
    "a projection": {"projection": [{"property": {"name": "n"}}]},
    "distinct": {"projection": [{"property": {"name": "g"}}], "distinct_on": [{"name": "g"}]},
}


@pytest.mark.parametrize("case", COUNTED)
def test_counting_reads_no_entity_of_one_value(local: Any, case: str) -> None:
    """Only of those with several values the entity says whether it was counted before."""
    low, server = local
    for number in range(1, 30):
        low.put("K", number, g=number % 3, n=number, m=-number)
    fields = COUNTED[case]
    up_to = {"count": {"up_to": 5}, "alias": "up_to"}

    def compare() -> None:
        found = len(low.query("K", **fields).batch.entity_results)
        assert {COUNT: found, "up_to": min(found, 5)} == low.aggregate("K", *over(), up_to, **fields)
        assert {"up_to": min(found, 5)} == low.aggregate("K", up_to, **fields)

    compare()
    seen = statements(server)
    low.aggregate("K", *over(), **fields)
    assert not [statement for statement in seen if "body" in statement]
    low.put("K", 30, g=1, n=[30, 31, 32], m=[-30, -31])
    compare()


def test_what_an_older_file_has_is_not_taken_for_numbers(tmp_path: Path) -> None:
    """It does not say which properties ever had dates: their entities are read, others' are not."""
    low, server = opened(tmp_path / "file")
    low.put("K", 1, n={"timestamp_value": {"seconds": 5}})
    low.put("K", 2, n=2)
    server.close()
    with sqlite3.connect(tmp_path / "file") as older:
        older.executescript("DROP TABLE mixed; PRAGMA user_version = 2")
    older.close()
    low, server = opened(tmp_path / "file")
    low.put("K", 3, m=3)
    seen = statements(server)
    assert {COUNT: 1, "sum_m": 3, "avg_m": 3.0} == low.aggregate("K", *over("m"))
    assert not [statement for statement in seen if "body" in statement]
    assert {COUNT: 2, "sum_n": 2, "avg_n": 2.0} == low.aggregate("K", *over("n"))
    server.close()


def test_what_a_property_had_is_remembered_only_if_it_was_written(local: Any) -> None:
    """Not when the commit was undone; until a reset."""
    low, server = local
    low.put("K", 1, n=2)
    with pytest.raises(Exception, match="no entity to update"):
        low.commit(
            {"upsert": low.entity(low.key("K", 2), n=[1])}, {"update": low.entity(low.key("K", 3), n=1)}
        )
    seen = statements(server)
    low.aggregate("K", *over("n"))
    assert not [statement for statement in seen if "body" in statement]
    low.put("K", 2, n=[1])
    low.commit({"delete": low.key("K", 2)})
    seen.clear()
    assert {COUNT: 1, "sum_n": 2, "avg_n": 2.0} == low.aggregate("K", *over("n"))
    assert [statement for statement in seen if "body" in statement]
    server.reset()
    low.put("K", 1, n=2)
    seen.clear()
    assert {COUNT: 1, "sum_n": 2, "avg_n": 2.0} == low.aggregate("K", *over("n"))
    assert not [statement for statement in seen if "SELECT" in statement and "body" in statement]


def test_a_value_of_the_test_is_read_as_it_was_written(local: Any) -> None:
    """The comparison above sees integers, doubles and nothing as what they are."""
    low, _ = local
    low.put("K", 1, n=1, m=0.5, o=None)
    held = low.lookup(low.key("K", 1)).found[0].entity.properties
    assert [1, 0.5, None] == [plain(held[name]) for name in "nmo"]
