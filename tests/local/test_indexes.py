"""Composite indexes: which queries they serve, that they change no answer, and how little is then read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datastore_backends import DatastoreBackend
from datastore_support import (
    Low,
    all_of,
    any_of,
    by,
    identifiers,
    properties,
    where,
)
from google.api_core.exceptions import FailedPrecondition, GoogleAPICallError, InvalidArgument

from fantasm_gcp.loader import CompositeIndex, parse_indexes
from fantasm_gcp.local.datastore import DatastoreServer

INDEX_YAML = """
indexes:
- kind: K
  properties: [{name: a}, {name: b, direction: desc}]
- kind: K
  ancestor: yes
  properties: [{name: c}]
- kind: K
  properties: [{name: d}, {name: x}]
- kind: K
  properties: [{name: e}, {name: x}]
"""

Fields = dict[str, Any]


def index(text: str, *, kind: str = "K", ancestor: bool = False) -> CompositeIndex:
    """An index in short: properties, a minus for those that sort descending."""
    named = tuple((name.lstrip("-"), name.startswith("-")) for name in text.split())
    return CompositeIndex(kind, named, ancestor)


@contextmanager
def opened(
    indexes: Any, path: Path | None = None, *, require_indexes: bool = True
) -> Iterator[tuple[Low, DatastoreServer]]:
    """A server with those indexes and a client of it."""
    server = DatastoreServer(path, indexes=indexes, require_indexes=require_indexes)
    yield Low(DatastoreBackend("local-inprocess", "", server=server, namespace="")), server
    server.close()


@pytest.fixture(scope="module")
def strict() -> Iterator[Low]:
    with opened(parse_indexes(INDEX_YAML, "index.yaml").indexes) as (low, _):
        yield low


def key_of(*path: Any) -> dict[str, Any]:
    elements = [
        {"kind": kind, "name" if isinstance(identifier, str) else "id": identifier}
        for kind, identifier in zip(path[::2], path[1::2], strict=True)
    ]
    return {"key_value": {"partition_id": {"project_id": "proj"}, "path": elements}}


def eq(name: str, value: Any = 1) -> dict[str, Any]:
    return where(name, "EQUAL", value)


def above(name: str, value: Any = 0) -> dict[str, Any]:
    return where(name, "GREATER_THAN", value)


def key(op: str) -> dict[str, Any]:
    return where("__key__", op, key_of("K", 2))


UNDER = where("__key__", "HAS_ANCESTOR", key_of("P", 1))

SERVED: dict[str, Fields] = {
    "a kind": {},
    "by key": {"order": by("__key__")},
    "an ancestor": {"filter": UNDER},
    "an ancestor and a range of keys": {"filter": all_of(UNDER, key("GREATER_THAN"))},
    "an equality": {"filter": eq("a")},
    "an equality and an ancestor": {"filter": all_of(eq("a"), UNDER)},
    "equalities": {"filter": all_of(eq("a"), eq("c"), eq("z"))},
    "equalities and an ancestor": {"filter": all_of(eq("a"), eq("c"), UNDER)},
    "an equality and a range of keys": {"filter": all_of(eq("a"), key("GREATER_THAN"))},
    "an equality by key": {"filter": eq("a"), "order": by("__key__")},
    "an equality by the same property": {"filter": eq("a"), "order": by("-a")},
    "an equality and an order of an index": {"filter": eq("a"), "order": by("-b")},
    "the same by key in the end": {"filter": eq("a"), "order": by("-b", "__key__")},
    "an equality and a range of an index, in the other direction": {"filter": all_of(eq("a"), above("b"))},
    "the same in the index's direction": {"filter": all_of(eq("a"), above("b")), "order": by("-b")},
    "an inequality": {"filter": above("b")},
    "something else": {"filter": where("b", "NOT_EQUAL", 1)},
    "an order": {"order": by("b")},
    "an order downwards": {"order": by("-b")},
    "an order and keys": {"order": by("-b", "__key__")},
    "two orders of an index": {"order": by("a", "-b")},
    "two orders of an index and a range": {"filter": above("a"), "order": by("a", "-b")},
    "an order under an ancestor": {"filter": UNDER, "order": by("c")},
    "a range under an ancestor": {"filter": all_of(UNDER, above("c"))},
    "indexes that end alike": {"filter": all_of(eq("d"), eq("e")), "order": by("x")},
    "indexes that end alike and a range": {"filter": all_of(eq("d"), eq("e"), above("x"))},
    "one key, whatever the order": {"filter": key("EQUAL"), "order": by("b", "-c")},
    "orders behind the key": {"filter": key("GREATER_THAN"), "order": by("__key__", "b")},
    "a projection": {"projection": properties("b")},
    "a projection of an index": {"projection": properties("a", "b")},
    "the same the other way round": {"projection": properties("b", "a")},
    "a projection behind an equality": {"projection": properties("b"), "filter": eq("a")},
    "a projection behind an order": {"projection": properties("b"), "order": by("a")},
    "a projection by itself and key": {"projection": properties("b"), "order": by("b", "__key__")},
    "a projection under an ancestor": {"projection": properties("c"), "filter": UNDER},
    "distinct": {"projection": properties("b"), "distinct_on": [{"name": "b"}]},
    "distinct and another": {"projection": properties("a", "b"), "distinct_on": [{"name": "a"}]},
    "keys alone": {"projection": properties("__key__"), "filter": eq("a"), "order": by("-b")},
    "alternatives of one property each": {"filter": any_of(eq("a"), eq("c"))},
    "alternatives with ranges of one property": {"filter": any_of(above("b"), eq("b"))},
    "an alternative that is sorted by another's range": {"filter": any_of(eq("a"), above("b"))},
}

REFUSED: dict[str, tuple[Fields, str]] = {
    "keys backwards": ({"order": by("-__key__")}, "-__key__"),
    "keys backwards under an ancestor": ({"filter": UNDER, "order": by("-__key__")}, "^-__key__"),
    "an equality by key backwards": ({"filter": eq("a"), "order": by("-__key__")}, "a -__key__"),
    "an equality of two and an order": ({"filter": eq("a"), "order": by("a", "c")}, "a c"),
    "an order that is indexed the other way": ({"filter": eq("a"), "order": by("b")}, "a b"),
    "the key the other way": ({"filter": eq("a"), "order": by("-b", "-__key__")}, "a -b -__key__"),
    "a range the other way": ({"filter": all_of(eq("a"), above("b")), "order": by("b")}, "a b"),
    "a range under an ancestor": ({"filter": all_of(above("b"), UNDER)}, "^b"),
    "two orders and a range": ({"filter": above("b"), "order": by("b", "c")}, "b c"),
    "an order and keys backwards": ({"order": by("b", "-__key__")}, "b -__key__"),
    "both orders the other way": ({"order": by("-a", "b")}, "-a b"),
    "one order the other way": ({"order": by("a", "b")}, "a b"),
    "an order the other way under an ancestor": ({"filter": UNDER, "order": by("-c")}, "^-c"),
    "indexes that end alike the other way": (
        {"filter": all_of(eq("d"), eq("e")), "order": by("-x")},
        "d e -x",
    ),
    "one index of two": ({"filter": all_of(eq("d"), eq("a")), "order": by("x")}, "a d x"),
    "two indexes of three": ({"filter": all_of(eq("d"), eq("e"), eq("a")), "order": by("x")}, "a d e x"),
    "indexes without the ancestor": (
        {"filter": all_of(eq("d"), eq("e"), UNDER), "order": by("x")},
        "^d e x",
    ),
    "a range and a key": ({"filter": all_of(above("b"), key("EQUAL"))}, "__key__ b"),
    "a range and a range of keys": ({"filter": all_of(above("b"), key("GREATER_THAN"))}, "__key__ b"),
    "a range of keys backwards": ({"filter": key("GREATER_THAN"), "order": by("-__key__")}, "-__key__"),
    "a projection of two": ({"projection": properties("b", "c")}, "b c"),
    "a projection of two behind an equality": (
        {"projection": properties("b", "c"), "filter": eq("a")},
        "a b c",
    ),
    "a projection by key": ({"projection": properties("b"), "order": by("__key__")}, "__key__ b"),
    "a projection of a range of keys": (
        {"projection": properties("b"), "filter": key("GREATER_THAN")},
        "__key__ b",
    ),
    "a projection under an ancestor": ({"projection": properties("b"), "filter": UNDER}, "^b"),
    "distinct behind another": (
        {"projection": properties("b", "a"), "distinct_on": [{"name": "b"}]},
        "b a",
    ),
    "ranges of two": ({"filter": all_of(above("c"), above("b"))}, "b c"),
    "ranges of two and an order": ({"filter": all_of(above("c"), above("b")), "order": by("c")}, "c b"),
    "one alternative of two": (
        {"filter": any_of(eq("a"), eq("c")), "order": by("-b")},
        "c -b",
    ),
    "an alternative sorted by another's range": ({"filter": any_of(eq("c"), above("b"))}, "c b"),
    "values of a list": ({"filter": where("c", "IN", [1, 2]), "order": by("-b")}, "c -b"),
}


@pytest.mark.parametrize("case", SERVED)
def test_what_indexes_serve_is_answered(strict: Low, case: str) -> None:
    """Those of two and one property, and merges of them; gcloud's emulator with --require_indexes agrees."""
    strict.query("K", **SERVED[case])


def recommended(text: str) -> str:
    """What production says, for an index in short; a caret for one with ancestors."""
    lines = ["no matching index found. recommended index is:", "- kind: K"]
    lines += ["  ancestor: yes"] if text.startswith("^") else []
    lines += ["  properties:"]
    for name in text.removeprefix("^").split():
        lines += [f"  - name: {name.lstrip('-')}"]
        lines += ["    direction: desc"] if name.startswith("-") else []
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_index_serves_is_refused_and_the_index_told(strict: Low, case: str) -> None:
    """As in production; gcloud's emulator refuses the same where it knows the operators."""
    fields, wanted = REFUSED[case]
    with pytest.raises(FailedPrecondition) as caught:
        strict.query("K", **fields)
    assert recommended(wanted) == caught.value.message


@pytest.mark.parametrize("case", REFUSED)
def test_the_index_that_is_told_serves_the_query(case: str) -> None:
    """Pasted into an index.yaml, without another thought."""
    fields, wanted = REFUSED[case]
    told = recommended(wanted).partition("\n")[2]
    with opened([*parse_indexes(f"indexes:\n{told}", "f").indexes, index("a -b")]) as (low, _):
        low.query("K", **fields)


def test_names_that_yaml_would_misread_are_quoted() -> None:
    """So that the stanza can be pasted whatever the names are."""
    with opened(()) as (low, _), pytest.raises(FailedPrecondition) as caught:
        low.query("on: x", filter=eq("no"), order=by('-a"b', "\x7f\x85\ufeff"))
    told = caught.value.message.partition("\n")[2]
    read = parse_indexes(f"indexes:\n{told}", "f").indexes
    assert (CompositeIndex("on: x", (("no", False), ('a"b', True), ("\x7f\x85\ufeff", False))),) == read


def test_without_a_kind_no_index_is_needed(strict: Low) -> None:
    """The table of entities serves them; so for kinds that only the vendor can write."""
    strict.query(None, filter=UNDER)
    strict.query("__Stat_Kind__", filter=eq("kind_name", "K"), order=by("-count"))
    strict.query("__kind__")


def test_an_aggregated_property_must_be_in_the_index(strict: Low) -> None:
    """An entity without it is not counted, so it counts like a projected one; a count needs nothing more."""
    assert {"n": 0} == strict.aggregate("K", {"count": {}, "alias": "n"}, filter=eq("a"))
    total = {"sum": {"property": {"name": "b"}}, "alias": "n"}
    assert {"n": 0} == strict.aggregate("K", total)
    assert {"n": 0} == strict.aggregate("K", total, filter=eq("a"))
    with pytest.raises(FailedPrecondition) as caught:
        strict.aggregate("K", total, filter=eq("c"))
    assert recommended("c b") == caught.value.message


def test_nothing_is_refused_unless_indexes_are_declared() -> None:
    """None declares none; they may also be declared for their speed alone."""
    fields = {"filter": eq("a"), "order": by("b")}
    with opened(None) as (low, _):
        low.query("K", **fields)
    with opened((index("a"),), require_indexes=False) as (low, _):
        low.query("K", **fields)
    with opened(()) as (low, _), pytest.raises(FailedPrecondition):
        low.query("K", **fields)


# -- the same answers


VALUES: list[Any] = [None, 0, 1, 2, -1, True, "", "a", "a\x00", "b", b"\xff", 1.5, -2.0]
VALUES += [{"timestamp_value": {"seconds": 5}}, {"geo_point_value": {"latitude": 1}}, key_of("K", 1)]


class Twins:
    """Two servers that are told the same; one of them has composite indexes."""

    def __init__(self, plain: Low, indexed: Low, seed: int) -> None:
        self.both = (plain, indexed)
        self.random = random.Random(seed)
        self.values = self.random.sample(VALUES, k=4)

    def write(self) -> None:
        mutations = []
        for path in self.random.sample(PATHS, k=self.random.randint(1, 5)):
            if self.random.random() < 0.25:
                mutations.append({"delete": self.both[0].key(*path)})
            else:
                entity = self.both[0].entity(self.both[0].key(*path), **self.entity())
                mutations.append({"upsert": entity})
        for low in self.both:
            low.commit(*mutations)

    def entity(self) -> dict[str, Any]:
        entity: dict[str, Any] = {}
        for name in "abc":
            choice = self.random.random()
            if choice < 0.6:
                entity[name] = self.random.choice(self.values)
            elif choice < 0.85:
                entity[name] = self.random.choices(self.values, k=self.random.randrange(4))
        return entity

    def filter(self) -> list[dict[str, Any]]:
        ops = ["EQUAL", "EQUAL", "LESS_THAN", "LESS_THAN_OR_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL"]
        atoms = [
            where(
                self.random.choice("abc"),
                self.random.choice([*ops, "NOT_EQUAL"]),
                self.random.choice(VALUES[:8]),
            )
            for _ in range(self.random.randrange(3))
        ]
        chance = self.random.random()
        if chance < 0.4:
            atoms.append(where("__key__", "HAS_ANCESTOR", key_of(*self.random.choice(PATHS))))
        elif chance < 0.5:
            atoms.append(where("__key__", self.random.choice(ops), key_of(*self.random.choice(PATHS))))
        return atoms

    def query(self) -> Fields:
        orders = {
            name: self.random.choice(("", "-"))
            for name in self.random.sample("abc", k=self.random.randrange(3))
        }
        fields: Fields = {"order": by(*(sign + name for name, sign in orders.items()))}
        if self.random.random() < 0.2:
            fields["order"] += by(self.random.choice(("__key__", "-__key__")))
        parts = [self.filter() for _ in range(self.random.choice((1, 1, 1, 2)))]
        if all(parts):
            fields["filter"] = any_of(*(all_of(*part) for part in parts))
        if self.random.random() < 0.3:
            shown = self.random.sample("abc", k=self.random.randint(1, 2))
            fields["projection"] = properties(*shown)
            if self.random.random() < 0.5:
                fields["distinct_on"] = [{"name": shown[0]}]
        return fields

    def compare(self) -> None:
        fields = self.query()
        limits = {"limit": self.random.randint(1, 6), "offset": self.random.choice((0, 0, 1, 3))}
        for more in ({}, limits):
            plain, indexed = (self.answers(low, {**fields, **more}) for low in self.both)
            assert plain == indexed, fields

    def answers(self, low: Low, fields: Fields) -> list[Any]:
        """What a query says, page after page; positions are the same bytes on both servers."""
        answers: list[Any] = []
        while True:
            try:
                batch = low.query("K", **fields).batch
            except GoogleAPICallError as error:
                return [*answers, error.message]
            answers += [(r.entity.key.path, r.entity.properties, r.cursor) for r in batch.entity_results]
            answers.append((batch.end_cursor, batch.more_results, batch.skipped_results))
            if "limit" not in fields or not batch.entity_results:
                return answers
            fields = {**fields, "start_cursor": batch.end_cursor, "offset": 0}


PATHS: list[tuple[Any, ...]] = [("K", 1), ("K", 2), ("K", "a"), ("K", "a\x00")]
PATHS += [(*path, "K", name) for path in PATHS for name in (1, 7, "a", "b")]
PATHS += [(*path, "L", 1, "K", 3) for path in PATHS[:8]]

WALKS = ["a", "-a", "b", "a b", "a -b", "-b a", "b -c", "c a", "c -a", "c -b", "a b c", "c b -a", "-a -b -c"]
WALKS += ["-__key__", "a -__key__", "b c -__key__", "-a __key__", "c b __key__"]


@pytest.mark.parametrize("seed", range(6))
def test_indexes_change_no_answer(seed: int) -> None:
    """Nor a cursor; with ancestors, arrays, projections, keys in the index, in pages, written to meanwhile."""
    indexes = [index(text, ancestor=ancestor) for text in WALKS for ancestor in (False, True)]
    chosen = random.Random(seed).sample(indexes, k=12)
    with opened(None) as (plain, _), opened(chosen, require_indexes=False) as (indexed, _):
        twins = Twins(plain, indexed, seed)
        for _ in range(12):
            twins.write()
        for _ in range(25):
            twins.write()
            twins.compare()


@pytest.mark.parametrize("seed", range(2))
def test_distinct_results_are_the_first_of_each_group(seed: int) -> None:
    """Whether or not an index lets the rest of a group be leapt over; in pages, and as of a moment, too."""
    chance = random.Random(seed)
    values = [*range(3), "a", "a\x00", None, [0, 1], ["a", 2], []]
    declared = [index(text) for text in ("a b", "a -b", "-b a", "c a", "c b a") if chance.random() < 0.7]
    with opened(declared, require_indexes=False) as (low, _):
        rows = [
            low.entity(low.key("K", number), a=chance.choice(values), b=chance.choice(values), c=number % 2)
            for number in range(1, 400)
        ]
        low.commit(*({"upsert": row} for row in rows))
        moment = {"transaction": low.begin(read_only={})}
        low.put("Another", 1)  # so that the moment is past
        for _ in range(12):
            shown = chance.choice((["a"], ["b"], ["a", "b"], ["b", "a"]))
            grouped = shown[: chance.randint(1, len(shown))]
            fields: Fields = {
                "projection": properties(*shown),
                "order": by(*(chance.choice(("", "-")) + name for name in shown)),
            }
            if chance.random() < 0.4:
                fields["filter"] = eq("c", 1) if chance.random() < 0.7 else where("c", "IN", [0, 1])
            firsts: dict[str, Any] = {}
            for entity in projected(low, fields):
                firsts.setdefault(str([entity.properties[name] for name in grouped]), entity)
            fields["distinct_on"] = [{"name": name} for name in grouped]
            assert list(firsts.values()) == projected(low, fields), fields
            assert list(firsts.values()) == projected(low, {**fields, "limit": chance.randint(1, 3)}), fields
            assert list(firsts.values()) == projected(low, {**fields, "read_options": moment}), fields


def projected(low: Low, fields: Fields) -> list[Any]:
    """The results of all pages."""
    found: list[Any] = []
    while True:
        batch = low.query("K", **fields).batch
        found += [result.entity for result in batch.entity_results]
        if not batch.entity_results:
            return found
        fields = {**fields, "start_cursor": batch.end_cursor}


# -- kept on disk


def entries_of(server: DatastoreServer) -> int:
    return int(server._store.select("SELECT count(*) FROM entries", ()).fetchone()[0])


def test_indexes_are_built_when_they_are_new_and_removed_when_they_are_gone(tmp_path: Path) -> None:
    """From what is there; a file without them has not one entry more."""
    path = tmp_path / "file"
    with opened(None, path) as (low, server):
        for number in range(1, 6):
            low.put("K", number, a=1, b=[number, -number])
            low.put("P", 1, "K", number, a=2, b=number)
        before = entries_of(server)
    with opened((index("a -b"), index("b", ancestor=True)), path) as (low, server):
        assert before + 5 * 2 + 5 + 5 * 2 + 5 * 2 == entries_of(server)
        assert [5, 4, 3, 2, 1] == identifiers(low.query("K", filter=eq("a", 1), order=by("-b")))
        assert [5, 4] == identifiers(low.query("K", filter=all_of(UNDER, above("b", 3)), order=by("b")))[::-1]
        low.put("K", 6, a=1, b=100)
        low.commit({"delete": low.key("K", 5)})
    with opened((index("a -b"),), path) as (low, server):
        assert [6, 4, 3, 2, 1] == identifiers(low.query("K", filter=eq("a", 1), order=by("-b")))
    with opened(None, path) as (low, server):
        low.put("K", 5, a=1, b=[5, -5])
        low.commit({"delete": low.key("K", 6)})
        assert before == entries_of(server)


def test_a_reset_empties_indexes_and_keeps_them_declared(tmp_path: Path) -> None:
    """What is written afterwards is indexed, now and when the file is opened again."""
    path = tmp_path / "file"
    with opened((index("a -b"),), path) as (low, server):
        low.put("K", 1, a=1, b=1)
        server.reset()
        low.put("K", 2, a=1, b=2)
        assert [2] == identifiers(low.query("K", filter=eq("a"), order=by("-b")))
    with opened((index("a -b"), index("-b a")), path) as (low, _):
        low.put("K", 3, a=1, b=3)
        assert [3, 2] == identifiers(low.query("K", filter=eq("a"), order=by("-b")))
        assert [3, 2] == identifiers(low.query("K", order=by("-b", "a")))


def test_a_commit_that_is_undone_leaves_no_entry() -> None:
    """Nor does it make the next one forget the indexes."""
    with opened((index("a -b"),)) as (low, server):
        low.put("K", 1, a=1, b=1)
        before = entries_of(server)
        with pytest.raises(GoogleAPICallError):
            low.commit(
                {"upsert": low.entity(low.key("K", 2), a=1, b=2)},
                {"update": low.entity(low.key("K", 9), a=1)},
            )
        assert before == entries_of(server)
        low.put("K", 3, a=1, b=3)
        assert [3, 1] == identifiers(low.query("K", filter=eq("a"), order=by("-b")))


def test_indexes_are_of_their_kind_and_of_all_namespaces() -> None:
    """Each partition has entries of its own."""
    with opened((index("a -b"),)) as (low, _):
        for space in ("", "n"):
            low.namespace = space
            low.put("K", 1, a=1, b=1)
            low.put("K", 2, a=1, b=2)
            low.put("L", 3, a=1, b=3)
            found = low.query("K", filter=eq("a"), order=by("-b"))
            assert [2, 1] == identifiers(found)
            assert {space} == {r.entity.key.partition_id.namespace_id for r in found.batch.entity_results}


def test_an_entity_with_too_many_combinations_is_refused() -> None:
    """At 20,000 entries of one entity, written or found by a new index."""
    many = {"a": list(range(150)), "b": list(range(150))}
    with opened((index("a b"),)) as (low, server):
        with pytest.raises(InvalidArgument, match="at most 20000 index entries"):
            low.put("K", 1, **many)
        low.put("K", 1, a=list(range(150)), b=list(range(100)))
        assert 150 + 100 + 150 * 100 + 1 == entries_of(server)
    with opened(None) as (low, server):
        low.put("K", 1, **many)


def test_a_new_index_that_cannot_be_built_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """The server does not open, and can be opened without the index."""
    path = tmp_path / "file"
    with opened(None, path) as (low, server):
        low.put("K", 1, a=list(range(150)), b=list(range(150)))
        before = entries_of(server)
    with pytest.raises(ValueError, match="cannot be built"):
        DatastoreServer(path, indexes=(index("a"), index("a b")))
    with opened(None, path) as (_, server):
        assert before == entries_of(server)


def test_no_property_can_be_taken_for_an_index(tmp_path: Path) -> None:
    """A property of an embedded entity may have almost any name, and indexes have theirs beside them."""
    path, inner = tmp_path / "file", '["K",false,[["a",false]]]__'
    with opened(None, path) as (low, server):
        low.put("K", 1, **{"__index": {"entity_value": {"properties": {inner: {"integer_value": 1}}}}})
        low.put("K", 2, **{"__index[": {"entity_value": {"properties": {"]__": {"integer_value": 1}}}}})
        before = entries_of(server)
    with opened((index("x.y b"), index("a")), path, require_indexes=False) as (low, _):
        low.put("K", 3, x={"entity_value": {"properties": {"y": {"integer_value": 1}}}}, b=2)
        assert [3] == identifiers(low.query("K", filter=eq("x.y"), order=by("b")))
        with pytest.raises(InvalidArgument, match="reserved"):
            low.put("K", 4, **{f"__index{inner}": 1})
        low.commit({"delete": low.key("K", 3)})
    with opened(None, path) as (_, server):
        assert before == entries_of(server)


# -- how much is read

CROWD = 3000


@pytest.fixture(scope="module")
def crowd() -> Iterator[tuple[Low, Callable[[Fields], int]]]:
    """Entities of few and of many values, and how many steps of SQLite's machine a query takes."""
    indexes = [index("a -b"), index("a g b"), index("g b", ancestor=True), index("a g -__key__")]
    indexes.append(index("same b"))
    with opened(indexes, require_indexes=False) as (low, server):
        rows = [
            low.entity(low.key("P", number % 3 + 1, "K", number), a=1, b=number, g=number % 2, same=7)
            for number in range(1, CROWD + 1)
        ]
        for start in range(0, CROWD, 500):
            low.commit(*({"upsert": row} for row in rows[start : start + 500]))

        def steps(fields: Fields) -> int:
            counted = [0]

            def count() -> None:
                counted[0] += 1

            server._store._db.set_progress_handler(count, 10)
            low.query("K", **fields)
            server._store._db.set_progress_handler(None, 0)
            return 10 * counted[0]

        yield low, steps


def distinct(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


LIMITED: dict[str, tuple[Fields, list[int]]] = {
    "an index": ({"filter": eq("a"), "order": by("-b")}, [3000, 2999, 2998]),
    "an index backwards": ({"filter": all_of(eq("a"), above("b", 1500))}, [1501, 1502, 1503]),
    "a range of an index": (
        {"filter": all_of(eq("a"), where("b", "LESS_THAN", 1500)), "order": by("-b")},
        [1499, 1498, 1497],
    ),
    "two equalities and an order": ({"filter": all_of(eq("a"), eq("g", 0)), "order": by("b")}, [2, 4, 6]),
    "alternatives": ({"filter": all_of(eq("a"), where("g", "IN", [0, 1])), "order": by("b")}, [1, 2, 3]),
    "an ancestor": ({"filter": all_of(UNDER, eq("g", 0)), "order": by("b")}, [6, 12, 18]),
    "a projection": (
        {"filter": eq("a"), "projection": properties("g", "b"), "order": by("g", "b")},
        [2, 4, 6],
    ),
    "equalities backwards": (
        {"filter": all_of(eq("a"), eq("g", 1)), "order": by("-__key__")},
        [2999, 2993, 2987],
    ),
    "one property": ({"order": by("b")}, [1, 2, 3]),
    "one property backwards": ({"order": by("-b")}, [3000, 2999, 2998]),
    "a range of one property": ({"filter": above("b", 10)}, [11, 12, 13]),
    "one value": ({"order": by("same")}, [3, 6, 9]),
    "all but one value": ({"filter": where("same", "NOT_EQUAL", 7)}, []),
    "all but one value of an index": (
        {"filter": where("same", "NOT_EQUAL", 7), "order": by("same", "b")},
        [],
    ),
    "all but some values backwards": (
        {"filter": where("same", "NOT_IN", [7, 8, 9]), "order": by("-same", "-b")},
        [],
    ),
    "one value backwards": ({"order": by("-same")}, [3, 6, 9]),
    "keys backwards": ({"order": by("-__key__")}, [2999, 2996, 2993]),
    "an equality": ({"filter": eq("same", 7)}, [3, 6, 9]),
    "a projection of one property": ({"projection": properties("b")}, [1, 2, 3]),
    "a distinct projection": ({"projection": properties("g"), "distinct_on": distinct("g")}, [6, 3]),
    "a distinct projection backwards": (
        {"projection": properties("g"), "distinct_on": distinct("g"), "order": by("-g")},
        [3, 6],
    ),
    "a distinct projection of one value": (
        {"projection": properties("same"), "distinct_on": distinct("same")},
        [3],
    ),
    "a distinct projection of an index": (
        {
            "filter": eq("a"),
            "projection": properties("g", "b"),
            "distinct_on": distinct("g"),
            "order": by("g", "b"),
        },
        [2, 1],
    ),
    "a distinct projection of two": (
        {"projection": properties("same", "b"), "distinct_on": distinct("same", "b")},
        [1, 2, 3],
    ),
}


@pytest.mark.parametrize(
    ("case", "keys_only"),
    [
        (case, keys_only)
        for case in LIMITED
        for keys_only in (False, True)
        if not keys_only or "proj" not in case
    ],
)
def test_what_an_index_serves_does_not_scan(crowd: Any, case: str, keys_only: bool) -> None:
    """Three results take as many steps whether the kind has three entities or a million."""
    low, steps = crowd
    fields, wanted = LIMITED[case]
    fields = {**fields, **({"projection": properties("__key__")} if keys_only else {}), "limit": 3}
    assert wanted == identifiers(low.query("K", **fields))
    assert CROWD > steps(fields)


@pytest.mark.parametrize("case", LIMITED)
def test_a_page_begins_where_the_last_one_ended(crowd: Any, case: str) -> None:
    """A cursor costs no more than the beginning, however deep it is; an offset costs what it skips."""
    low, steps = crowd
    fields, _ = LIMITED[case]
    results = low.query("K", **fields, offset=CROWD, limit=0).batch.skipped_results
    deep = low.query("K", **fields, offset=max(results - 3, 0), limit=0).batch.end_cursor
    assert CROWD > steps({**fields, "start_cursor": deep, "limit": 3})


def test_what_is_counted_is_read_from_the_index_alone(crowd: Any) -> None:
    """No entity is read: whatever the sum of their bytes."""
    low, _ = crowd
    wanted = {"n": CROWD // 2 - 5}
    filters = all_of(eq("a"), eq("g", 0), above("b", 10))
    assert wanted == low.aggregate("K", {"count": {}, "alias": "n"}, filter=filters)
