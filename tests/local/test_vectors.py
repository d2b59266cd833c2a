"""Vectors: what may be stored as one, and the search for the nearest."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from datastore_backends import PROJECT, DatastoreBackend, with_firestore
from datastore_support import Low, all_of, any_of, by, identifiers, properties, skip_gap, value_of, where
from google.api_core import exceptions

from fantasm_gcp.loader import CompositeIndex, parse_indexes
from fantasm_gcp.local.datastore import DatastoreServer

datastore_backend = with_firestore

Fields = dict[str, Any]

KEYS_ONLY = properties("__key__")
NAN, FAR = math.nan, math.inf


def vector(*numbers: float, **more: Any) -> Fields:
    """A ``Value`` that is a vector, unless ``more`` fields make it another."""
    elements = [{"double_value": float(number)} for number in numbers]
    return {"array_value": {"values": elements}, "meaning": 31, "exclude_from_indexes": True, **more}


def elements(*values: Any, **more: Any) -> Fields:
    """A ``Value`` that says it is a vector, of elements of any type."""
    return vector(**more) | {"array_value": {"values": [value_of(value) for value in values]}}


def nearest(*to: float, measure: str = "EUCLIDEAN", limit: int = 10, **more: Any) -> Fields:
    """A search among the vectors of the property ``v``."""
    return {
        "vector_property": {"name": "v"},
        "query_vector": vector(*to),
        "distance_measure": measure,
        "limit": limit,
        **more,
    }


def shown(response: Any) -> list[tuple[Any, Fields]]:
    """The identifiers and the properties of results, the vectors left out."""
    found = [result.entity.properties.items() for result in response.batch.entity_results]
    plain = [
        {
            name: getattr(value, type(value).pb(value).WhichOneof("value_type"))
            for name, value in each
            if name != "v"
        }
        for each in found
    ]
    return list(zip(identifiers(response), plain, strict=True))


@pytest.fixture
def anywhere(datastore_backend: DatastoreBackend) -> Low:
    """Every Datastore that knows vectors."""
    skip_gap(datastore_backend, "vectors")
    return Low(datastore_backend)


@pytest.fixture
def low() -> Iterator[Low]:
    """A server of this process."""
    yield from serving(DatastoreServer())


def serving(server: DatastoreServer) -> Iterator[Low]:
    yield Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    server.close()


# -- what a vector may be

NOT_STORED: dict[str, tuple[Fields, str]] = {
    "indexed": (vector(1, exclude_from_indexes=False), "Vector's must be excluded from indexes."),
    "empty": (vector(), "Cannot have a zero length vector."),
    "of integers": (elements(1, 2), "Vector must only contain values of type 'double'."),
    "mixed": (elements(1.0, "x"), "Vector must only contain values of type 'double'."),
    "of nulls": (elements(None), "Vector must only contain values of type 'double'."),
    "not a number": (vector(1, NAN), "Vector cannot contain NaN values."),
    "too long": (vector(*[1] * 2049), "Vectors must be at most 2048 dimensions."),
    "too long and indexed": (
        vector(*[1] * 2049, exclude_from_indexes=False),
        "Vectors must be at most 2048 dimensions.",
    ),
    "a double": (
        {"double_value": 1.0, "meaning": 31},
        'Value "v" has a meaning 31 which does not match vector field.',
    ),
    "an element": (
        {"array_value": {"values": [{"double_value": 1.0, "meaning": 31}]}},
        'Value "v" has a meaning 31 which does not match vector field.',
    ),
}


@pytest.mark.parametrize(("value", "told"), NOT_STORED.values(), ids=NOT_STORED.keys())
def test_what_is_no_vector_is_not_stored_as_one(anywhere: Low, value: Fields, told: str) -> None:
    """INVALID_ARGUMENT in the vendor's words, in an embedded entity as well."""
    for each in (value, {"entity_value": {"properties": {"v": value}}}):
        with pytest.raises(exceptions.InvalidArgument) as refused:
            anywhere.put("K", 1, v=each)
        assert told == refused.value.message


@pytest.mark.parametrize(
    "stored",
    [vector(1), vector(*[0.5] * 2048), vector(-0.0, FAR, -FAR, 5e-324)],
    ids=["one dimension", "as many as may be", "numbers on the edge"],
)
def test_a_vector_comes_back_as_it_was_stored(anywhere: Low, stored: Fields) -> None:
    """With its meaning, every number, and still out of the indexes."""
    anywhere.put("K", 1, v=stored, o={"entity_value": {"properties": {"v": stored}}})
    found = anywhere.lookup(anywhere.key("K", 1)).found[0].entity.properties
    for value in (found["v"], found["o"].entity_value.properties["v"]):
        assert (31, True) == (value.meaning, value.exclude_from_indexes)
        wanted = [each["double_value"] for each in stored["array_value"]["values"]]
        assert list(map(repr, wanted)) == [repr(each.double_value) for each in value.array_value.values]


def test_elements_of_a_vector_are_only_numbers(anywhere: Low) -> None:
    """What they say of meanings and indexes is dropped."""
    odd = [{"double_value": 1.0, "meaning": 31}, {"double_value": 2.0, "exclude_from_indexes": True}]
    anywhere.put("K", 1, v=vector(array_value={"values": odd}))
    found = anywhere.lookup(anywhere.key("K", 1)).found[0].entity.properties["v"]
    assert [(1.0, 0, False), (2.0, 0, False)] == [
        (each.double_value, each.meaning, each.exclude_from_indexes) for each in found.array_value.values
    ]


def test_a_vector_is_in_no_index_of_a_single_property(low: Low) -> None:
    """Neither filters on its numbers find it, nor an order."""
    low.put("K", 1, v=vector(1, 2))
    assert [] == identifiers(low.query("K", filter=where("v", "EQUAL", 1.0)))
    assert [] == identifiers(low.query("K", order=by("v")))
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", filter=where("v", "EQUAL", vector(1, 2)))


# -- what may be searched for

TOO_MANY = "FindNearest.limit must be a positive integer of no more than 100"

NOT_SEARCHED: dict[str, tuple[Fields, str]] = {
    "no limit": ({"find_nearest": nearest(1) | {"limit": None}}, TOO_MANY),
    "a limit of none": ({"find_nearest": nearest(1, limit=0)}, TOO_MANY),
    "a limit below": ({"find_nearest": nearest(1, limit=-1)}, TOO_MANY),
    "a limit above": ({"find_nearest": nearest(1, limit=101)}, TOO_MANY),
    "no measure": (
        {"find_nearest": nearest(1, measure="DISTANCE_MEASURE_UNSPECIFIED")},
        "Unknown Distance Measure.",
    ),
    "no vector": ({"find_nearest": nearest(query_vector={})}, "Value missing type."),
    "a string": (
        {"find_nearest": nearest(query_vector={"string_value": "x"})},
        "Query Value must be of type vector.",
    ),
    "an array": (
        {"find_nearest": nearest(query_vector=value_of([1.0]))},
        "Query Value must be of type vector.",
    ),
    "integers": (
        {"find_nearest": nearest(query_vector=elements(1))},
        "Vector must only contain values of type 'double'.",
    ),
    "too long": ({"find_nearest": nearest(*[1] * 2049)}, "Vectors must be at most 2048 dimensions."),
    "a reserved result": (
        {"find_nearest": nearest(1, distance_result_property="__x__")},
        'The distanceResultField.property.name "__x__" is reserved.',
    ),
    "a long result": (
        {"find_nearest": nearest(1, distance_result_property="x" * 1501)},
        "The distanceResultField.property.name is longer than 1500 bytes.",
    ),
    "no finite threshold": (
        {"find_nearest": nearest(1, distance_threshold=FAR)},
        "distanceThreshold must be a finite number.",
    ),
    "a limit of the query": (
        {"find_nearest": nearest(1), "limit": 0},
        "A query limit cannot be used with FindNearest",
    ),
    "an offset": (
        {"find_nearest": nearest(1), "offset": 1},
        "A query offset cannot be used with FindNearest",
    ),
}


@pytest.mark.parametrize(("fields", "told"), NOT_SEARCHED.values(), ids=NOT_SEARCHED.keys())
def test_a_malformed_search_is_refused(anywhere: Low, fields: Fields, told: str) -> None:
    """INVALID_ARGUMENT in the vendor's words, also when it would be counted."""
    for ask in (anywhere.query, lambda kind, **more: anywhere.aggregate(kind, {"count": {}}, **more)):
        with pytest.raises(exceptions.InvalidArgument) as refused:
            ask("K", **fields)
        assert told == refused.value.message


def test_a_search_has_no_cursors(anywhere: Low) -> None:
    """Those of other queries are refused beside it."""
    anywhere.put("K", 1)
    cursor = anywhere.query("K").batch.end_cursor
    for name in ("start_cursor", "end_cursor"):
        with pytest.raises(exceptions.InvalidArgument, match="A cursor cannot be used with FindNearest"):
            anywhere.query("K", find_nearest=nearest(1), **{name: cursor})


@pytest.mark.parametrize(
    "name", ["", "__key__", "__x__", "a." * 750 + "b"], ids=["", "key", "reserved", "long"]
)
def test_a_search_needs_a_property_and_a_kind(low: Low, name: str) -> None:
    """One that entities can have."""
    with pytest.raises(exceptions.InvalidArgument, match="property"):
        low.query("K", find_nearest=nearest(1, vector_property={"name": name}))
    with pytest.raises(exceptions.InvalidArgument, match="kind is required"):
        low.query(None, find_nearest=nearest(1))


# -- the search

MEASURES = ("EUCLIDEAN", "COSINE", "DOT_PRODUCT")


def distance_of(measure: str, one: list[float], other: list[float]) -> float:
    """As the formulas have it; whole numbers give exact sums."""
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    if measure == "EUCLIDEAN":
        return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(one, other, strict=True)))
    if measure == "DOT_PRODUCT":
        return product
    lengths = math.hypot(*one) * math.hypot(*other)
    return 1 - product / lengths if lengths else NAN


def stored_at_random(low: Low, chance: random.Random) -> dict[str, tuple[list[float], str]]:
    """Stores entities with vectors of three whole numbers, whose names and colours it answers, and others."""
    others: list[Fields] = [
        {},
        {"v": "x"},
        {"v": [1.0, 2.0, 3.0]},
        {"v": vector(1, 2)},
        {"w": vector(1, 2, 3)},
    ]
    stored, mutations = {}, []
    for number in range(60):
        name, colour = f"n{chance.randrange(10**6)}", chance.choice(["red", "blue"])
        fields = chance.choice(others)
        if chance.random() < 0.8:
            numbers = [float(chance.randint(-2, 2)) for _ in range(3)]
            stored[name] = (numbers, colour)
            fields = {"v": vector(*numbers)}
        mutations.append({"upsert": low.entity(low.key("K", name), c=colour, n=number, **fields)})
    low.commit(*mutations)
    return stored


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("seed", range(2))
def test_a_search_finds_the_nearest(low: Low, seed: int, measure: str) -> None:
    """As if all vectors were measured and sorted: ties by key, what has no distance last, the rest left out."""
    chance = random.Random(f"{seed}{measure}")
    stored = stored_at_random(low, chance)
    for _ in range(15):
        to = [float(chance.randint(-2, 2)) for _ in range(3)]
        limit, threshold = chance.choice([1, 7, 100]), chance.choice([None, None, 0.0, 1.0, 2.5])
        red = chance.random() < 0.5
        sign = -1 if measure == "DOT_PRODUCT" else 1
        ranked = [
            (math.isnan(distance), sign * distance, name, distance)
            for name, (numbers, colour) in stored.items()
            for distance in [distance_of(measure, to, numbers)]
            if (not red or colour == "red") and (threshold is None or sign * distance <= sign * threshold)
        ]
        # NaN is less than nothing: without a rank of its own it would stay wherever it stands.
        wanted = heapq.nsmallest(limit, [(nan, 0.0 if nan else rank, *rest) for nan, rank, *rest in ranked])
        response = low.query(
            "K",
            filter=where("c", "EQUAL", "red") if red else None,
            find_nearest=nearest(
                *to,
                measure=measure,
                limit=limit,
                distance_threshold=threshold,
                distance_result_property="d",
            ),
        )
        found = [(name, fields["d"]) for name, fields in shown(response)]
        assert [name for _, _, name, _ in wanted] == [name for name, _ in found]
        assert [distance for *_, distance in wanted] == pytest.approx([d for _, d in found], nan_ok=True)


NUMBERS = {"b": (2, 0), "e": (0, 0), "a": (0, 0), "d": (-1, 0), "c": (2, 0), "f": (FAR, 0)}

ORDERED: dict[str, tuple[list[tuple[str, float]], float, int]] = {
    "EUCLIDEAN": ([("a", 1), ("b", 1), ("c", 1), ("e", 1), ("d", 2), ("f", FAR)], 2.0, 5),
    "COSINE": ([("b", 0), ("c", 0), ("d", 2), ("a", NAN), ("e", NAN), ("f", NAN)], 2.0, 3),
    "DOT_PRODUCT": ([("f", FAR), ("b", 2), ("c", 2), ("a", 0), ("e", 0), ("d", -1)], 0.0, 5),
}


@pytest.mark.parametrize("sorted_by", [[], ["-n"]], ids=["no order", "another order"])
@pytest.mark.parametrize("measure", MEASURES)
def test_ties_sort_by_key_and_what_has_no_distance_stands_last(
    low: Low, measure: str, sorted_by: list[str]
) -> None:
    """Whatever order the query has; a threshold leaves out what is beyond it, and what has no distance."""
    expected, threshold, within = ORDERED[measure]
    for number, (name, numbers) in enumerate(NUMBERS.items()):
        low.put("K", name, v=vector(*numbers), n=number)
    asked = nearest(1, 0, measure=measure, distance_result_property="d")
    for more, wanted in (({}, expected), ({"distance_threshold": threshold}, expected[:within])):
        found = shown(low.query("K", find_nearest=asked | more, order=by(*sorted_by)))
        assert [name for name, _ in wanted] == [name for name, _ in found]
        distances = [fields["d"] for _, fields in found]
        assert [distance for _, distance in wanted] == pytest.approx(distances, nan_ok=True)


@pytest.fixture
def beans(low: Low) -> Low:
    """Four entities with vectors, one of them below another entity; the farther from the origin the later."""
    for name, colour, number in (("d", "red", 1), ("c", "blue", 2), ("b", "red", 3)):
        low.put("K", name, v=vector(number, 0), c=colour, n=number, t=["x", "y"])
    low.put("P", 1, "K", "a", v=vector(4, 0), c="red", n=4)
    return low


FILTERS: dict[str, tuple[Fields, list[str]]] = {
    "none": ({}, ["d", "c", "b", "a"]),
    "an inequality": ({"filter": where("n", "GREATER_THAN", 2)}, ["b", "a"]),
    "alternatives": (
        {"filter": any_of(where("n", "EQUAL", 3), where("c", "EQUAL", "blue"))},
        ["c", "b"],
    ),
    "a negation": ({"filter": where("c", "NOT_EQUAL", "red")}, ["c"]),
    "an order, which leaves out": ({"order": by("-t")}, ["d", "c", "b"]),
    "an order, which sorts nothing": ({"order": by("-n")}, ["d", "c", "b", "a"]),
    "distinct": (
        {"projection": properties("c"), "distinct_on": [{"name": "c"}], "order": by("c", "-n")},
        ["c", "a"],
    ),
}


@pytest.mark.parametrize(("fields", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_a_search_is_among_what_the_query_finds(beans: Low, fields: Fields, expected: list[str]) -> None:
    """Everything else of the query comes before it, and the distance alone sorts."""
    assert expected == identifiers(beans.query("K", find_nearest=nearest(0, 0), **fields))


def test_a_search_stays_below_an_ancestor_and_in_its_namespace(beans: Low) -> None:
    """Also together with another filter."""
    under = where("__key__", "HAS_ANCESTOR", {"key_value": beans.key("P", 1)})
    for asked in (under, all_of(under, where("c", "EQUAL", "red"))):
        assert ["a"] == identifiers(beans.query("K", filter=asked, find_nearest=nearest(0, 0)))
    beans.namespace = "other"
    assert [] == identifiers(beans.query("K", find_nearest=nearest(0, 0)))


def test_a_vector_may_be_embedded(low: Low) -> None:
    """A name with a dot is of a property of an embedded entity, and of one that is called so."""
    held = {"entity_value": {"properties": {"v": vector(1)}}}
    low.put("K", "embedded", o=held)
    low.put("K", "named", **{"o.v": vector(2)})
    low.put("K", "not indexed", o=held | {"exclude_from_indexes": True})
    low.put("K", "an array of them", o={"array_value": {"values": [held]}})
    asked = nearest(0, vector_property={"name": "o.v"})
    assert ["embedded", "named"] == identifiers(low.query("K", find_nearest=asked))


# -- what results show

SHOWN: dict[str, tuple[Fields, str, Fields]] = {
    "entities": ({}, "FULL", {"c": "red", "n": 1}),
    "a projection": ({"projection": properties("c")}, "PROJECTION", {"c": "red"}),
    "keys alone": ({"projection": KEYS_ONLY}, "KEY_ONLY", {}),
}


@pytest.mark.parametrize(("fields", "kind", "expected"), SHOWN.values(), ids=SHOWN.keys())
def test_the_distance_is_shown_beside_what_the_query_shows(
    low: Low, fields: Fields, kind: str, expected: Fields
) -> None:
    """Where it is asked for; beside keys alone it makes a projection of them."""
    low.put("K", "a", v=vector(3, 4), c="red", n=1)
    without = low.query("K", find_nearest=nearest(0, 0), **fields)
    assert (kind, [("a", expected)]) == (without.batch.entity_result_type.name, shown(without))
    asked = nearest(0, 0, distance_result_property="far.off")
    response = low.query("K", find_nearest=asked, **fields)
    assert [("a", expected | {"far.off": 5.0})] == shown(response)
    assert kind.replace("KEY_ONLY", "PROJECTION") == response.batch.entity_result_type.name


def test_the_distance_stands_in_place_of_a_property_of_its_name(low: Low) -> None:
    """Even of the vector; what is stored stays as it is. A property mask does not hide it."""
    low.put("K", "a", v=vector(3, 4), c=vector(1))
    for name in ("c", "v"):
        request = {
            "project_id": PROJECT,
            "query": {
                "kind": [{"name": "K"}],
                "find_nearest": nearest(0, 0, distance_result_property=name),
            },
            "property_mask": {"paths": ["__key__"]},
        }
        for masked in (request, {**request, "property_mask": None}):
            value = low.api.run_query(request=masked).batch.entity_results[0].entity.properties[name]
            assert (5.0, 0, False) == (value.double_value, value.meaning, value.exclude_from_indexes)
    assert 31 == low.lookup(low.key("K", "a")).found[0].entity.properties["c"].meaning


def test_a_projected_array_gives_a_result_for_each_element(beans: Low) -> None:
    """All at the same distance; the limit counts results."""
    found = beans.query("K", projection=properties("t"), find_nearest=nearest(0, 0, limit=3))
    assert [("d", {"t": "x"}), ("d", {"t": "y"}), ("c", {"t": "x"})] == shown(found)


def test_a_search_is_answered_at_once(low: Low) -> None:
    """However much that is: there is nothing to go on from."""
    blob = {"blob_value": b"x" * 50_000, "exclude_from_indexes": True}
    low.commit(*({"upsert": low.entity(low.key("K", i), v=vector(i), b=blob)} for i in range(1, 101)))
    batch = low.query("K", find_nearest=nearest(0, limit=100)).batch
    assert (100, "NO_MORE_RESULTS", b"") == (
        len(batch.entity_results),
        batch.more_results.name,
        batch.end_cursor,
    )


def test_a_search_is_counted_and_added_up(beans: Low) -> None:
    """What it finds is; its distances are no properties, so nothing has them."""
    asked = nearest(0, 0, limit=2, distance_result_property="d")
    assert {"property_1": 2} == beans.aggregate("K", {"count": {}}, find_nearest=asked)
    assert {"s": 3} == beans.aggregate(
        "K", {"sum": {"property": {"name": "n"}}, "alias": "s"}, find_nearest=asked
    )
    assert {"s": 0} == beans.aggregate(
        "K", {"sum": {"property": {"name": "d"}}, "alias": "s"}, find_nearest=asked
    )


# -- transactions, moments, plans, indexes


def test_a_search_shows_its_moment(beans: Low) -> None:
    """As of a past time and in a transaction: vectors that were changed, deleted and stored since."""
    moment = beans.query("K").batch.read_time
    transaction = beans.begin()
    beans.put("K", "d", v=vector(9, 0))
    beans.put("K", "new", v=vector(0, 0))
    beans.commit({"delete": beans.key("K", "c")})
    asked = nearest(0, 0, distance_result_property="d")
    for options in ({"read_time": moment}, {"transaction": transaction}):
        then = beans.query("K", find_nearest=asked, read_options=options, projection=KEYS_ONLY)
        assert [("d", {"d": 1.0}), ("c", {"d": 2.0}), ("b", {"d": 3.0}), ("a", {"d": 4.0})] == shown(then)
    assert ["new", "b", "a", "d"] == identifiers(beans.query("K", find_nearest=asked))


@pytest.mark.parametrize(
    ("written", "met"),
    [({"v": vector(0, 1)}, True), ({"v": vector(5, 5), "c": "blue"}, False)],
    ids=["one that it would find", "one that the filter leaves out"],
)
def test_a_change_meets_a_search_of_a_transaction(low: Low, written: Fields, met: bool) -> None:
    """The transaction is aborted when the query, its filter that is, would find what was written."""
    low.put("K", "a", v=vector(1, 1), c="red")
    transaction = low.begin()
    asked = {"find_nearest": nearest(0, 0), "filter": where("c", "EQUAL", "red")}
    low.query("K", read_options={"transaction": transaction}, **asked)
    low.put("K", "b", **({"c": "red"} | written))
    write = {"upsert": low.entity(low.key("L", 1))}
    if met:
        with pytest.raises(exceptions.Aborted):
            low.commit(write, transaction=transaction)
    else:
        low.commit(write, transaction=transaction)


def test_a_search_is_explained(beans: Low) -> None:
    """The plan names one index of everything; the statistics count the vectors, a read for each hundred."""
    request = {
        "project_id": PROJECT,
        "query": {
            "kind": [{"name": "K"}],
            "filter": where("c", "EQUAL", "red"),
            "find_nearest": nearest(0, 0, limit=1),
        },
        "explain_options": {"analyze": True},
    }
    metrics = beans.api.run_query(request=request).explain_metrics
    assert [{"properties": "(c ASC, __name__ ASC, v VECTOR<2>)", "query_scope": "Collection Group"}] == [
        dict(used) for used in metrics.plan_summary.indexes_used
    ]
    stats = metrics.execution_stats
    assert (1, 2, "3") == (
        stats.results_returned,
        stats.read_operations,
        stats.debug_stats["index_entries_scanned"],
    )


def held(*properties: str, ancestor: bool = False, dimension: int = 2, name: str = "v") -> CompositeIndex:
    """An index of vectors behind properties that sort ascending."""
    return CompositeIndex("K", tuple((each, False) for each in properties), ancestor, (name, dimension))


RED, MANY = where("c", "EQUAL", "red"), where("n", "GREATER_THAN", 1)
BELOW = where(
    "__key__",
    "HAS_ANCESTOR",
    {"key_value": {"partition_id": {"project_id": PROJECT}, "path": [{"kind": "P", "id": 1}]}},
)

NEEDED: dict[str, tuple[Fields, CompositeIndex]] = {
    "no filter": ({}, held()),
    "an equality": ({"filter": RED}, held("c")),
    "equalities": ({"filter": all_of(RED, where("n", "EQUAL", 1))}, held("c", "n")),
    "a range behind an equality": ({"filter": all_of(RED, MANY)}, held("c", "n")),
    "an order": ({"order": by("n")}, held("n")),
    "a projection": ({"projection": properties("n"), "filter": RED}, held("c", "n")),
    "an ancestor": ({"filter": BELOW}, held(ancestor=True)),
    "keys alone": ({"projection": KEYS_ONLY}, held()),
}

LIKE_THEM = (
    held(dimension=3),
    held(name="w"),
    held("c", "x"),
    held("z", ancestor=True),
    CompositeIndex("K", (("c", False), ("n", False))),
    CompositeIndex("K", (("v", False),)),
)


@pytest.mark.parametrize(("fields", "index"), NEEDED.values(), ids=NEEDED.keys())
def test_a_search_needs_an_index_of_everything(fields: Fields, index: CompositeIndex) -> None:
    """Nothing like it will do; the refusal has the lines of index.yaml, and with those it is served."""
    asked = {"find_nearest": nearest(0, 0), **fields}
    turned = replace(index, ancestor=not index.ancestor)
    less = (replace(index, properties=index.properties[1:]),) if index.properties else ()
    for low in serving(DatastoreServer(indexes=(*LIKE_THEM, turned, *less))):
        with pytest.raises(exceptions.FailedPrecondition) as refused:
            low.query("K", **asked)
    told = refused.value.message.partition("recommended index is:\n")[2]
    assert (index,) == parse_indexes(f"indexes:\n{told}", "index.yaml").indexes
    for low in serving(DatastoreServer(indexes=(index,))):
        assert [] == identifiers(low.query("K", **asked))


def test_an_index_of_vectors_serves_nothing_else() -> None:
    """A query by its properties needs its own, and what lacks the vector is found by that."""
    both = all_of(RED, MANY)
    for low in serving(DatastoreServer(indexes=(held("c", "n"),))):
        with pytest.raises(exceptions.FailedPrecondition):
            low.query("K", filter=both)
    for low in serving(DatastoreServer(indexes=(held("c", "n"),), require_indexes=False)):
        low.put("K", 1, c="red", n=2)
        assert [1] == identifiers(low.query("K", filter=both))
