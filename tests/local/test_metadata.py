"""Queries of metadata: which namespaces, kinds and properties there are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from datastore_backends import DatastoreBackend
from datastore_support import Low, all_of, any_of, by, identifiers, properties, skip_gap, where
from google.api_core.exceptions import Aborted, InvalidArgument
from google.cloud import datastore

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore import DatastoreServer

SPACE, KIND, PROPERTY = "__namespace__", "__kind__", "__property__"
SHOWN = "property_representation"

EVERY_TYPE: dict[str, Any] = {
    "array": [1, "a", None],
    "blob": b"\xff",
    "bool": True,
    "double": 1.5,
    "empty": [],
    "integer": 5,
    "its_key": {"key_value": {"partition_id": {"project_id": "proj"}, "path": [{"kind": "K", "id": 1}]}},
    "null": None,
    "point": {"geo_point_value": {"latitude": 1, "longitude": 2}},
    "text": "a",
    "time": {"timestamp_value": {"seconds": 5}},
    "unindexed": {"string_value": "a", "exclude_from_indexes": True},
}


on_backends = pytest.mark.parametrize(
    "datastore_backend", ["local-wire", "local-inprocess", "gcloud"], indirect=True
)
"""Those that answer queries of metadata: the Firestore emulator refuses them."""


@pytest.fixture
def low(datastore_backend: DatastoreBackend) -> Low:
    return Low(datastore_backend)


@pytest.fixture
def low_alone() -> Iterator[Low]:
    """A server of this process that nobody else has."""
    server = DatastoreServer()
    yield Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    server.close()


def of_key(low: Low, op: str, *path: Any) -> dict[str, Any]:
    return where("__key__", op, {"key_value": low.key(*path)})


def pairs(response: Any) -> list[tuple[str, str]]:
    """Kind and property of each result of a query of properties."""
    return [(e[0].name, e[1].name) for e in (r.entity.key.path for r in response.batch.entity_results)]


def representations(response: Any) -> dict[str, list[str]]:
    found = {}
    for result in response.batch.entity_results:
        values = result.entity.properties[SHOWN].array_value.values
        found[result.entity.key.path[1].name] = [value.string_value for value in values]
    return found


@on_backends
def test_kinds_are_those_of_a_namespace_that_have_entities(low: Low) -> None:
    """By name; also those of descendants alone, and of entities without properties; no more once deleted."""
    low.put("B", 1)
    low.put("X", 1, "A", 1, p=1)
    low.put("C", 1, p=1)
    low.commit({"delete": low.key("C", 1)})
    assert ["A", "B"] == identifiers(low.query(KIND))
    assert ["A", "B"] == identifiers(low.query(KIND, projection=properties("__key__")))
    result = low.query(KIND).batch.entity_results[0].entity
    assert (low.namespace, {}) == (result.key.partition_id.namespace_id, dict(result.properties))


@on_backends
def test_namespaces_are_those_of_the_database(low: Low) -> None:
    """Asked from any of them, with a key in the one that is asked; the one without a name has the id 1."""
    low.put("K", 1)
    own, gone = low.namespace, f"{low.namespace}-gone"
    low.commit({"upsert": low.entity(low.key("K", 1, namespace=gone))})
    low.commit({"delete": low.key("K", 1, namespace=gone)})
    low.commit({"upsert": low.entity(low.key("Plain", 1, namespace=""))})
    for space in (own, "", "never-used"):
        low.namespace = space
        results = low.query(SPACE).batch.entity_results
        assert {space} == {result.entity.key.partition_id.namespace_id for result in results}
        found = identifiers(low.query(SPACE))
        assert 1 == found[0]
        assert own in found
        assert gone not in found
    assert [own] == identifiers(low.query(SPACE, filter=of_key(low, "EQUAL", SPACE, own)))
    assert 1 not in identifiers(low.query(SPACE, filter=of_key(low, "GREATER_THAN", SPACE, 1)))
    low.commit({"delete": low.key("Plain", 1, namespace="")})


@on_backends
def test_properties_are_the_indexed_ones(low: Low) -> None:
    """By kind and name, those of embedded entities under their path."""
    embedded = {"entity_value": {"properties": {"inner": {"integer_value": 1}}}}
    low.put("K", 1, **EVERY_TYPE)
    low.put("A", 1, q=1, e=embedded)
    low.put("A", 2, z=1, r={"integer_value": 1, "exclude_from_indexes": True})
    low.put("A", 2)
    found = pairs(low.query(PROPERTY, projection=properties("__key__")))
    assert ("A", "e.inner") in found
    assert ("A", "q") == found[-len(EVERY_TYPE)]
    assert [("K", name) for name in sorted(EVERY_TYPE) if name != "unindexed"] == found[1 - len(EVERY_TYPE) :]
    assert not {("A", "z"), ("A", "r")} & set(found)


@on_backends
def test_a_property_tells_how_its_values_are_represented(low: Low) -> None:
    """Of an index, in which a date is an integer and a blob a string, whatever the entities are."""
    low.put("K", 1, **EVERY_TYPE)
    low.put("K", 2, text=5)
    assert {
        "array": ["INT64", "NULL", "STRING"],
        "blob": ["STRING"],
        "bool": ["BOOLEAN"],
        "double": ["DOUBLE"],
        "empty": ["NULL"],
        "integer": ["INT64"],
        "its_key": ["REFERENCE"],
        "null": ["NULL"],
        "point": ["POINT"],
        "text": ["INT64", "STRING"],
        "time": ["INT64"],
    } == representations(low.query(PROPERTY))


@on_backends
def test_properties_of_a_range_of_keys(low: Low) -> None:
    """Of one kind by its key as ancestor, from a kind on, from a property on."""
    for kind in "ABC":
        low.put(kind, 1, p=1, q=1, r=1)
    keys = {"projection": properties("__key__")}

    def found(*filters: dict[str, Any]) -> list[str]:
        return ["".join(pair) for pair in pairs(low.query(PROPERTY, filter=all_of(*filters), **keys))]

    assert ["Bp", "Bq", "Br"] == found(of_key(low, "HAS_ANCESTOR", KIND, "B"))
    assert [] == found(of_key(low, "HAS_ANCESTOR", KIND, "Bp"))
    assert ["Cp", "Cq", "Cr"] == found(of_key(low, "GREATER_THAN_OR_EQUAL", KIND, "C"))
    within = of_key(low, "GREATER_THAN", KIND, "B", PROPERTY, "p")
    assert ["Bq", "Br", "Cp"] == found(within, of_key(low, "LESS_THAN", KIND, "C", PROPERTY, "q"))
    assert ["Bq"] == found(within, of_key(low, "LESS_THAN_OR_EQUAL", KIND, "B", PROPERTY, "q"))


@on_backends
def test_kinds_of_a_range_come_in_pages(low: Low) -> None:
    """With limits, offsets and cursors, by key ascending if an order is given."""
    for kind in "ABCDE":
        low.put(kind, 1)
    fields: dict[str, Any] = {"filter": of_key(low, "GREATER_THAN", KIND, "A"), "order": by("__key__")}
    page = low.query(KIND, limit=2, **fields)
    assert ["B", "C"] == identifiers(page)
    assert ["D", "E"] == identifiers(low.query(KIND, start_cursor=page.batch.end_cursor, **fields))
    page = low.query(KIND, limit=1, offset=1, **fields)
    assert (["C"], 1) == (identifiers(page), page.batch.skipped_results)
    assert ["B", "C"] == identifiers(low.query(KIND, end_cursor=page.batch.end_cursor, **fields))


@on_backends
@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        (KIND, {"order": by("-__key__")}, "Only ascending order on __key__ supported"),
        (SPACE, {"order": by("-__key__")}, "Only ascending order on __key__ supported"),
        (PROPERTY, {"order": by(SHOWN)}, "Only ascending order on __key__ supported"),
        (KIND, {"filter": where("x", "EQUAL", 1)}, "Only comparison filters on __key__ supported"),
        (
            PROPERTY,
            {"filter": where(SHOWN, "EQUAL", "INT64")},
            "Only comparison filters on __key__ supported",
        ),
        (SPACE, {"projection": properties("x")}, "Only comparison filters on __key__ supported"),
        (PROPERTY, {"projection": properties("x")}, "Only comparison filters on __key__ supported"),
    ],
)
def test_only_keys_can_be_asked_for(low: Low, kind: str, fields: dict[str, Any], told: str) -> None:
    """In ranges and ascending."""
    with pytest.raises(InvalidArgument, match=told):
        low.query(kind, **fields)


@on_backends
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (KIND, ("Foo", "K")),
        (KIND, (KIND, "K", PROPERTY, "p")),
        (SPACE, (KIND, "K")),
        (PROPERTY, (PROPERTY, "p")),
        (PROPERTY, (KIND, "K", KIND, "p")),
    ],
)
def test_a_key_in_a_filter_is_one_of_metadata(low: Low, kind: str, path: tuple[Any, ...]) -> None:
    """Of the kind that is asked, or for properties of the kind that they belong to."""
    with pytest.raises(InvalidArgument, match=r"Key filter on .* is invalid"):
        low.query(kind, filter=of_key(low, "GREATER_THAN", *path))


@on_backends
@pytest.mark.parametrize("kind", ["__Stat_Kind__", "__Stat_Total__", "__Stat_Ns_Kind__", "__foo__"])
def test_statistics_are_not_there_yet(low: Low, kind: str) -> None:
    """As in a new database, in which they are made once a day."""
    low.put("K", 1)
    assert [] == identifiers(low.query(kind))


@on_backends
def test_nothing_is_there_before_the_first_write(low: Low) -> None:
    """No kind and no property; kinds and properties of another namespace are not of this one."""
    low.commit({"upsert": low.entity(low.key("K", 1, namespace=f"{low.namespace}-b"), p=1)})
    assert ([], []) == (identifiers(low.query(KIND)), identifiers(low.query(PROPERTY)))


@on_backends
def test_metadata_can_be_counted_and_projected(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Each representation is a result of a projection, as each value of an array is."""
    skip_gap(datastore_backend, "aggregations")
    low.put("A", 1, p=1)
    low.put("A", 2, p="a", q=1)
    low.put("B", 1)
    count = {"count": {}, "alias": "n"}
    assert {"n": 2} == low.aggregate(KIND, count)
    assert {"n": 2} == low.aggregate(PROPERTY, count)
    assert {"n": 1} == low.aggregate(KIND, count, filter=of_key(low, "GREATER_THAN", KIND, "A"))
    assert {"n": 1} == low.aggregate(KIND, count, offset=1)
    total = {"sum": {"property": {"name": SHOWN}}, "alias": "n"}
    assert {"n": 0} == low.aggregate(PROPERTY, total)
    shown = low.query(PROPERTY, projection=properties(SHOWN))
    assert [("p", "INT64"), ("q", "INT64"), ("p", "STRING")] == [
        (r.entity.key.path[1].name, r.entity.properties[SHOWN].string_value)
        for r in shown.batch.entity_results
    ]
    either = any_of(of_key(low, "EQUAL", KIND, "A"), of_key(low, "EQUAL", KIND, "B"))
    assert ["A", "B"] == identifiers(low.query(KIND, filter=either))


@on_backends
def test_the_library_reads_metadata(datastore_backend: DatastoreBackend, low: Low) -> None:
    """With the recipe of its documentation."""
    low.put("K", 1, p=1, q=["a", 1])
    client = datastore_backend.client()
    query = client.query(kind=PROPERTY, ancestor=client.key(KIND, "K"))
    found = {entity.key.name: entity[SHOWN] for entity in query.fetch()}
    assert {"p": ["INT64"], "q": ["INT64", "STRING"]} == found
    assert isinstance(client.key(KIND, "K"), datastore.Key)


def test_declared_indexes_are_no_properties() -> None:
    """Their entries lie beside those of properties; they need no index themselves, nor does metadata."""
    server = DatastoreServer(indexes=(CompositeIndex("K", (("b", True), ("a", False)), ancestor=True),))
    low = Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    low.put("K", 1, a=1, b=1)
    assert [("K", "a"), ("K", "b")] == pairs(low.query(PROPERTY))
    assert ["K"] == identifiers(low.query(KIND, order=by("__key__")))
    server.close()


def answers(low: Low, **read_options: Any) -> list[Any]:
    """All that queries of metadata say about two namespaces."""
    found: list[Any] = []
    for space in ("", "n"):
        low.namespace = space
        options = {"read_options": read_options}
        shown = low.query(PROPERTY, **options)
        found += [identifiers(low.query(kind, **options)) for kind in (SPACE, KIND)]
        found += [pairs(shown), representations(shown)]
        found.append(pairs(low.query(PROPERTY, projection=properties("__key__"), **options)))
        found.append(low.query(PROPERTY, projection=properties(SHOWN), **options).batch.entity_results)
    return found


@pytest.mark.parametrize("seed", range(2))
def test_metadata_of_a_moment_is_what_was_shown_then(low_alone: Low, seed: int) -> None:
    """At every ``read_time`` and in a transaction begun then; whatever was written and deleted since."""
    chance = random.Random(seed)
    inner = {"entity_value": {"properties": {"p": {"integer_value": 1}}}}
    values = [1, "a", [1, "a"], [], None, 1.5, inner, {"string_value": "a", "exclude_from_indexes": True}]
    moments = []
    for _ in range(25):
        mutations = []
        for number in chance.sample(range(5), k=chance.randint(1, 2)):
            key = low_alone.key(chance.choice("AB"), number + 1, namespace=chance.choice(("", "n")))
            held = {name: chance.choice(values) for name in "pq" if chance.random() < 0.5}
            gone = chance.random() < 0.5
            mutations.append({"delete": key} if gone else {"upsert": low_alone.entity(key, **held)})
        time = low_alone.commit(*mutations, single_use_transaction={"read_write": {}}).commit_time
        moments.append((time, low_alone.begin(), answers(low_alone)))
    assert len({str(shown) for _, _, shown in moments}) > 8
    for time, transaction, shown in moments:
        assert shown == answers(low_alone, read_time=time)
        assert shown == answers(low_alone, transaction=transaction)


def test_metadata_is_counted_as_of_a_moment(low_alone: Low) -> None:
    """In a transaction, its own commit included: it shows the moment at which it began."""
    low_alone.put("K", 1, a=1)
    transaction = {"transaction": low_alone.begin(read_only={})}
    low_alone.commit({"delete": low_alone.key("K", 1)})
    low_alone.put("L", 1, a=1)
    options = {"read_options": transaction}
    assert ["K"] == identifiers(low_alone.query(KIND, **options))
    assert ["K"] == identifiers(low_alone.query(KIND, limit=1, **options))
    assert {"K"} == {kind for kind, _ in pairs(low_alone.query(PROPERTY, **options))}
    low_alone.commit(**transaction)
    assert ["L"] == identifiers(low_alone.query(KIND))


READ: dict[str, tuple[str, dict[str, Any]]] = {
    "kinds": (KIND, {}),
    "a kind": (
        KIND,
        {"filter": where("__key__", "EQUAL", {"key_value": {"path": [{"kind": KIND, "name": "K"}]}})},
    ),
    "one kind": (KIND, {"limit": 1}),
    "namespaces": (SPACE, {}),
    "properties": (PROPERTY, {"projection": properties("__key__")}),
    "representations": (PROPERTY, {}),
    "projected representations": (PROPERTY, {"projection": properties(SHOWN)}),
}
CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "another entity": ({"upsert": (("K", 3), {"a": 1})}, set()),
    "one entity of two": ({"delete": (("K", 1), {})}, set()),
    "another kind": ({"upsert": (("Z", 1), {})}, {"kinds"}),
    "a kind before": ({"upsert": (("A", 1), {})}, {"kinds", "one kind"}),
    "a last entity": (
        {"delete": (("L", 1), {})},
        {"kinds", "properties", "representations", "projected representations"},
    ),
    "a property": (
        {"upsert": (("K", 1), {"a": 1, "z": 1})},
        {"properties", "representations", "projected representations"},
    ),
    "a type": ({"upsert": (("K", 1), {"a": "text"})}, {"representations", "projected representations"}),
    "a namespace": ({"upsert": (("K", 1, "n"), {"a": 1})}, {"namespaces"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_transaction_is_met_by_what_alters_the_metadata_it_read(low_alone: Low, change: str) -> None:
    """The first or last entity that has it, not by any other."""
    low = low_alone
    for path in (("K", 1), ("K", 2), ("L", 1)):
        low.put(*path, a=1)
    transactions = {read: low.begin() for read in READ}
    for read, (kind, fields) in READ.items():
        low.query(kind, read_options={"transaction": transactions[read]}, **fields)
    told, wanted = CHANGES[change]
    ((operation, (path, held)),) = told.items()
    key = low.key(*path[:2], namespace=path[2] if path[2:] else "")
    low.commit({operation: key if operation == "delete" else low.entity(key, **held)})
    met = set()
    for place, (read, transaction) in enumerate(transactions.items()):
        own = low.entity(low.key("K", 10 + place), a=1)  # itself it alters nothing
        try:
            low.commit({"upsert": own}, transaction=transaction)
        except Aborted:
            met.add(read)
    assert wanted == met


def test_what_comes_and_goes_again_meets_no_transaction(low_alone: Low) -> None:
    """At its commit all that it has read is as it was."""
    low_alone.put("K", 1)
    transaction = low_alone.begin()
    low_alone.query(KIND, read_options={"transaction": transaction})
    low_alone.put("L", 1)
    low_alone.commit({"delete": low_alone.key("L", 1)})
    low_alone.commit({"upsert": low_alone.entity(low_alone.key("Own", 1))}, transaction=transaction)


def test_metadata_that_was_read_is_locked() -> None:
    """In the pessimistic mode: a commit that would alter it gives up, any other goes through."""
    server = DatastoreServer(pessimistic=True, lock_seconds=0)
    low = Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    low.put("K", 1)
    transaction = low.begin()
    assert ["K"] == identifiers(low.query(KIND, read_options={"transaction": transaction}))
    low.put("K", 2)
    with pytest.raises(Aborted):
        low.put("L", 1)
    low.commit({"upsert": low.entity(low.key("M", 1))}, transaction=transaction)
    low.put("L", 1)
    assert ["K", "L", "M"] == identifiers(low.query(KIND))
    server.close()


def test_kinds_are_found_without_reading_their_entities() -> None:
    """Kinds and properties take as many steps however many entities they have."""
    server = DatastoreServer()
    low = Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    rows = [low.entity(low.key("K", number), a=number, b="x") for number in range(1, 501)]
    low.commit(*({"upsert": row} for row in rows), {"upsert": low.entity(low.key("L", 1), a=1)})
    steps = [0]

    def count() -> None:
        steps[0] += 1

    server._store._db.set_progress_handler(count, 1)
    assert [("K", "a"), ("K", "b"), ("L", "a")] == pairs(low.query(PROPERTY))
    assert [1] == identifiers(low.query(SPACE))
    assert 1000 > steps[0]
    server._store._db.set_progress_handler(None, 0)
    server.close()
