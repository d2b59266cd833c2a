"""Sentences of the API reference, and what they leave open as the vendor's emulators answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datastore_backends import PROJECT, DatastoreBackend, with_firestore
from datastore_support import Low, all_of, by, identifiers, plain, properties, skip_gap, value_of, where
from google.api_core import exceptions
from google.cloud.datastore_v1 import types

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.storage.composites import stored_name

datastore_backend = with_firestore

Call = Callable[[], Any]
LONG = "x" * 1501
MEANT = 'Value "v" has a meaning {} which does not match {} field.'


@pytest.fixture
def low(datastore_backend: DatastoreBackend) -> Low:
    return Low(datastore_backend)


@pytest.fixture
def own() -> Iterator[Low]:
    """Our server alone, for what the emulators do not check or have."""
    server = DatastoreServer()
    yield Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    server.close()


def embedded(**held: Any) -> dict[str, Any]:
    """An entity value of Python values."""
    return {"entity_value": {"properties": {name: value_of(value) for name, value in held.items()}}}


def embedded_key(*path: dict[str, Any], **partition: str) -> dict[str, Any]:
    return {"entity_value": {"key": {"partition_id": partition, "path": list(path)}}}


def reference(*path: dict[str, Any], **partition: str) -> dict[str, Any]:
    return {"key_value": {"partition_id": partition, "path": list(path or [{"kind": "K", "id": 1}])}}


def nested(depth: int) -> dict[str, Any]:
    """An entity value with so many of them, itself counted."""
    value: dict[str, Any] = value_of(1)
    for _ in range(depth):
        value = embedded(a=value)
    return value


def refusal(call: Call) -> str:
    """The words with which a call is refused as INVALID_ARGUMENT."""
    try:
        call()
    except exceptions.InvalidArgument as error:
        return str(error.message)
    return "nothing refused"


def differing(low: Low, cases: dict[str, Call]) -> dict[str, str]:
    """Of calls by the words they should be refused with: those that are not, and what was said instead."""
    said = {words: refusal(call) for words, call in cases.items()}
    return {words: text for words, text in said.items() if not text.startswith(words)}


VALUES = [
    ("Key path is empty.", embedded_key()),
    ("Key path id is invalid. Must not be zero.", embedded_key({"kind": "K", "id": 0})),
    ("The kind is the empty string.", embedded_key({"id": 1})),
    (
        "Key path element must not be incomplete: [P: , K: 1]",
        embedded_key({"kind": "P"}, {"kind": "K", "id": 1}),
    ),
    ('Illegal string "a b" in namespace id.', embedded_key({"kind": "K"}, namespace_id="a b")),
    ('Illegal string "c d" in namespace id.', reference(namespace_id="c d")),
    ('Illegal string "(default)" in database id.', reference(database_id="(default)")),
    ('"e f" is an invalid project id.', reference(project_id="e f")),
    ("A Value containing a list_value cannot specify a meaning.", {"array_value": {}, "meaning": 5}),
    ("Exclude from indexes cannot be set on a list value", {"array_value": {}, "exclude_from_indexes": True}),
    ("list_value cannot contain a Value containing another list_value.", [[1]]),
    ('The value "v" does not contain a value.', {}),
    ("At most 20 nested entity values are supported.", nested(21)),
    ("The flattened property.name is longer than 1500 bytes.", embedded(**{"x" * 1499: 1})),
    ("Geo point latitude is not a number.", {"geo_point_value": {"latitude": float("nan")}}),
    ("Geo point latitude outside permitted range", {"geo_point_value": {"latitude": -90.1}}),
    ("Geo point longitude outside permitted range", {"geo_point_value": {"longitude": 180.1}}),
    ("Indexed value has meaning 15.", {"string_value": "x", "meaning": 15}),
    ("Indexed value has meaning 22.", {"blob_value": b"x", "meaning": 22}),
    ("Unknown value meaning 100.", {"string_value": "x", "meaning": 100}),
    ("Unknown value meaning -1.", {"string_value": "x", "meaning": -1}),
    ("Projection property cannot be used.", {"integer_value": 1, "meaning": 18}),
    (MEANT.format(9 + 1, "string_value"), {"integer_value": 1, "meaning": 10}),
    (MEANT.format(13, "integer_value"), {"string_value": "x", "meaning": 13}),
    (MEANT.format(16, "blob_value"), {"string_value": "x", "meaning": 16}),
    (MEANT.format(20, "entity_value"), {"null_value": 0, "meaning": 20}),
    (MEANT.format(23, "geo_point_value"), {"double_value": 1.0, "meaning": 23}),
    ("A timestamp", {"integer_value": 1, "meaning": 7}),
    ("The user entity has a key.", {**embedded_key({"kind": "K", "id": 1}), "meaning": 20}),
    ('The user entity property "x" is not allowed.', {**embedded(x=1), "meaning": 20}),
    ('The user entity property "email" is the wrong type.', {**embedded(email=1), "meaning": 20}),
    ('The user entity property "email" is indexed.', {**embedded(email="x"), "meaning": 20}),
]


def test_a_value_that_cannot_be_stored_is_refused_in_the_vendors_words(low: Low) -> None:
    """Keys of embedded entities, meanings, points, depths and names: by itself and in an array."""

    def put(value: Any) -> Call:
        return lambda: low.put("K", 1, v=value)

    assert {} == differing(low, {words: put(value) for words, value in VALUES})
    listed = {words: put([value]) for words, value in VALUES if "list" not in words}
    assert {} == differing(low, listed)


@pytest.mark.parametrize(
    "value",
    [
        nested(20),
        embedded(**{"x" * 1498: 1}),
        embedded_key({"kind": "__K__", "id": 1}, project_id=PROJECT),
        embedded_key({"kind": "K"}, project_id="other", database_id="d", namespace_id="__n__"),
        reference({"kind": "__K__", "name": "__n__"}, project_id="example.com:other"),
        {"string_value": "x", "meaning": 15, "exclude_from_indexes": True},
        {"blob_value": b"x", "meaning": 22, "exclude_from_indexes": True},
        {"string_value": "x", "meaning": 5},
        {"integer_value": 1 << 62, "meaning": 7},
        {"geo_point_value": {"latitude": -90.0, "longitude": 180.0}},
    ],
    ids=range(10),
)
def test_a_value_at_the_edge_is_stored_as_it_is(low: Low, value: Any) -> None:
    """Reserved and foreign keys as values, twenty levels, meanings that fit."""
    low.put("K", 1, v=value)
    assert types.Value(value) == low.lookup(low.key("K", 1)).found[0].entity.properties["v"]


def test_a_commit_is_refused_in_the_vendors_words(low: Low) -> None:
    """Reserved partitions, keys that are missing, and expectations that cannot be."""

    def commit(**mutation: Any) -> Call:
        return lambda: low.commit(mutation)

    entity, incomplete = low.entity(low.key("K", 1)), low.entity(low.key("K", None))
    foreign = low.key("K", 1, namespace="__x__")
    cases = {
        "Entity is missing key.": commit(upsert={"properties": {}}),
        "Mutation is missing operation.": commit(),
        'The namespace id "__x__" is reserved.': commit(delete=foreign),
        "conflict detection is not allowed for incomplete keys": commit(insert=incomplete, base_version=0),
        "Unknown conflict resolution strategy.": commit(
            upsert=entity, base_version=1, conflict_resolution_strategy=99
        ),
        "timestamp cannot have more than microseconds precision": commit(
            upsert=entity, update_time={"seconds": 1, "nanos": 1}
        ),
        "Only timestamps past epoch are supported.": commit(upsert=entity, update_time={"seconds": -1}),
        'The property_mask.property.name "__x__" is reserved.': commit(
            delete=low.key("K", 1), property_mask={"paths": ["__x__"]}
        ),
        "Invalid base_version: -1, it should be >= 0": commit(upsert=entity, base_version=-1),
        "single_use_transaction in a commit request must be READ_WRITE.": lambda: low.commit(
            single_use_transaction={"read_only": {}}
        ),
    }
    assert {} == differing(low, cases)
    request = {"project_id": PROJECT, "keys": [low.key("K", None, namespace="__x__")]}
    assert 'The namespace id "__x__" is reserved.' == refusal(lambda: low.api.allocate_ids(request=request))


def test_a_query_is_refused_in_the_vendors_words(low: Low) -> None:
    """Names that are too long, and values that no index can hold."""

    def filtered(value: Any, name: str = "v", op: Any = "EQUAL") -> Call:
        return lambda: low.query("K", filter=where(name, op, value))

    cases = {
        "The kind is longer than 1500 bytes.": lambda: low.query(LONG),
        "The property.name is longer than 1500 bytes.": lambda: low.query("K", order=by(LONG)),
        "Unrecognized direction": lambda: low.query(
            "K", order=[{"property": {"name": "v"}, "direction": 99}]
        ),
        "a filter value must be indexed": filtered({"integer_value": 1, "exclude_from_indexes": True}),
        "Indexed value has meaning 15.": filtered({"string_value": "x", "meaning": 15}),
        'The value of property "v" is longer than 1500 bytes.': filtered(LONG),
        "Geo point latitude outside permitted range": filtered({"geo_point_value": {"latitude": 91}}),
        'Illegal string "a b" in namespace id.': filtered(reference(namespace_id="a b")),
        "a property filter must specify an operator": filtered(1, op=0),
        "a composite filter must specify an operator": lambda: low.query(
            "K", filter={"composite_filter": {"filters": [where("v", "EQUAL", 1)]}}
        ),
        "a filter must have exactly one of its fields set": lambda: low.query("K", filter={}),
        "property must be __key__": filtered(reference(), op="HAS_ANCESTOR"),
        "HAS_ANCESTOR requires a key value": filtered("x", "__key__", "HAS_ANCESTOR"),
        "one of fields Query.query and Query.gql_query must be set": lambda: low.api.run_query(
            request={"project_id": PROJECT, "partition_id": {}}
        ),
    }
    assert {} == differing(low, cases)


def test_a_value_read_from_an_index_can_be_filtered_by(low: Low) -> None:
    """With the meaning with which a projection gives it."""
    low.put("K", 1, v={"timestamp_value": {"seconds": 1}})
    shown = low.query("K", projection=properties("v")).batch.entity_results[0].entity.properties["v"]
    assert 18 == shown.meaning
    value = {"integer_value": shown.integer_value, "meaning": shown.meaning}
    assert [1] == identifiers(low.query("K", filter=where("v", "EQUAL", value)))


def test_a_reserved_name_may_be_asked_for_and_finds_nothing(low: Low) -> None:
    """Tools split a kind by ``__scatter__``."""
    low.put("K", 1, v=1)
    for asked in (
        {"order": by("__scatter__"), "projection": properties("__key__")},
        {"filter": where("__x__", "EQUAL", 1)},
    ):
        assert [] == identifiers(low.query("K", **asked))


def test_an_index_is_no_property() -> None:
    """Its entries lie beside those of properties, under a name that no query can ask for."""
    index = CompositeIndex("K", (("v", False), ("w", False)), False)
    server = DatastoreServer(indexes=[index], require_indexes=False)
    low = Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    low.put("K", 1, v=1, w=1)
    name = stored_name(index)
    for asked in ({"order": by(name)}, {"filter": where(name, "GREATER_THAN", None)}):
        with pytest.raises(exceptions.InvalidArgument, match="reserved"):
            low.query("K", **asked)
    server.close()


def test_requests_of_malformed_projects_and_databases_are_refused(low: Low) -> None:
    """Any method, before it looks at anything else."""
    for project, database in (("a b", ""), ("x" * 101, ""), (PROJECT, "A B")):
        with pytest.raises(exceptions.InvalidArgument, match="is an invalid"):
            low.api.begin_transaction(request={"project_id": project, "database_id": database})


def test_a_key_value_is_of_the_requests_database_unless_it_names_a_project(low: Low) -> None:
    """As a property, as the key of an embedded entity, and in a filter."""
    path = [{"kind": "K", "name": low.namespace}]
    request: dict[str, Any] = {"project_id": PROJECT, "database_id": "d1"}
    held = {"v": reference({"kind": "A", "id": 1}), "e": embedded_key({"kind": "A", "id": 1})}
    mutation = {"upsert": {"key": {"path": path}, "properties": held}}
    low.api.commit(request={**request, "mode": "NON_TRANSACTIONAL", "mutations": [mutation]})
    found = low.api.lookup(request={**request, "keys": [{"path": path}]}).found[0].entity.properties
    assert ["d1", "d1"] == [
        found["v"].key_value.partition_id.database_id,
        found["e"].entity_value.key.partition_id.database_id,
    ]
    by_name = all_of(
        where("v", "EQUAL", reference({"kind": "A", "id": 1})),
        where("__key__", "EQUAL", {"key_value": {"path": path}}),
    )
    query = {"kind": [{"name": "K"}], "filter": by_name}
    assert [low.namespace] == identifiers(low.api.run_query(request={**request, "query": query}))


# -- transforms


@pytest.mark.parametrize(
    ("path", "held", "expected"),
    [
        ("a.b", {"a": embedded(b=1, c=2)}, {"a": embedded(b=3, c=2)}),
        ("a.b", {"x": 1}, {"a": embedded(b=2), "x": value_of(1)}),
        ("a.b", {"a": 7}, {"a": embedded(b=2)}),
        ("a.b.c", {"a": embedded(z=1)}, {"a": embedded(z=1, b=embedded(c=2))}),
        ("`a.b`", {"a.b": 1}, {"a.b": value_of(3)}),
        (r"`a\`b`", {"a`b": 1}, {"a`b": value_of(3)}),
    ],
)
def test_a_transform_names_its_property_by_a_path(
    low: Low, datastore_backend: DatastoreBackend, path: str, held: Any, expected: Any
) -> None:
    """Into embedded entities, which it creates on its way; names with dots stand in backquotes."""
    skip_gap(datastore_backend, "transforms")
    transform = {"property": path, "increment": value_of(2)}
    low.commit({"upsert": low.entity(low.key("K", 1), **held), "property_transforms": [transform]})
    found = low.lookup(low.key("K", 1)).found[0].entity
    assert types.Entity(properties=expected).properties == found.properties


def test_embedded_entities_are_elements_of_array_transforms(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """They are the same by their properties."""
    skip_gap(datastore_backend, "transforms")
    low.put("K", 1, a=[embedded(x=1), embedded(x=2)], b=[embedded(x=1, y="é"), 5])
    transforms = [
        {
            "property": "a",
            "append_missing_elements": {"values": [embedded(x=2), embedded(x=3), embedded(x=3)]},
        },
        {"property": "b", "remove_all_from_array": {"values": [embedded(y="é", x=1)]}},
    ]
    mutation = {"upsert": low.entity(low.key("K", 1)), "property_mask": {}}
    low.commit({**mutation, "property_transforms": transforms})
    found = low.lookup(low.key("K", 1)).found[0].entity.properties
    assert [1, 2, 3] == [plain(v.entity_value.properties["x"]) for v in found["a"].array_value.values]
    assert [5] == [plain(value) for value in found["b"].array_value.values]


def test_a_malformed_transform_is_refused(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Its path, its operation, its operand."""
    skip_gap(datastore_backend, "transforms")
    increment = {"increment": value_of(1)}

    def transform(**fields: Any) -> Call:
        return lambda: low.commit({"upsert": low.entity(low.key("K", 1)), "property_transforms": [fields]})

    cases = {
        "Invalid empty property path string.": transform(property="", **increment),
        'Invalid property path "a b".': transform(property="a b", **increment),
        'Invalid property path member name "__key__".': transform(property="__key__", **increment),
        "Operation type must be specified for field transformation.": transform(property="a"),
        "ServerValue type must be specified": transform(property="a", set_to_server_value=99),
        "Input must be int64 or double.": transform(property="a", increment=value_of("x")),
        'Meaning "5" is not valid for': transform(property="a", increment={"integer_value": 1, "meaning": 5}),
        "Delete mutation cannot have PropertyTransforms.": lambda: low.commit(
            {"delete": low.key("K", 1), "property_transforms": [{"property": "a", **increment}]}
        ),
    }
    assert {} == differing(low, cases)


def test_an_entity_has_five_hundred_transforms_in_a_commit(own: Low) -> None:
    """Over all of its mutations; every element of an array counts, and other entities do not."""
    one = {"property": "n", "increment": value_of(1)}
    append = {"property": "a", "append_missing_elements": {"values": [value_of(n) for n in range(100)]}}

    def mutation(number: int, count: int) -> dict[str, Any]:
        return {
            "upsert": own.entity(own.key("K", number)),
            "property_transforms": [append] + [one] * (count - 100),
        }

    own.commit(mutation(1, 250), mutation(1, 250), mutation(2, 500), single_use_transaction={})
    for mutations in ((mutation(1, 501),), (mutation(1, 250), mutation(1, 251))):
        with pytest.raises(exceptions.InvalidArgument, match="500 property transforms"):
            own.commit(*mutations, single_use_transaction={})


# -- reading


def test_a_projection_has_no_mask(own: Low) -> None:
    """Keys alone may be asked for with one."""
    own.put("K", 1, v=1)
    query = {"kind": [{"name": "K"}], "projection": properties("v")}
    request = {"project_id": PROJECT, "query": query, "property_mask": {"paths": ["v"]}}
    with pytest.raises(exceptions.InvalidArgument, match="property masks are not allowed on projection"):
        own.api.run_query(request=request)
    query["projection"] = properties("__key__")
    assert [1] == identifiers(own.api.run_query(request=request))


def test_a_version_tells_before_from_after(own: Low) -> None:
    """That of a snapshot, and of what is missing in it: over all earlier ones and under all later ones."""
    versions = [own.lookup(own.key("K", 9)).missing[0].version]
    moments = []
    for number in (1, 2):
        versions.append(own.put("K", number, v=number).version)
        missing = own.lookup(own.key("K", 9))
        moments.append(missing.read_time)
        versions.append(missing.missing[0].version)
        versions.append(own.query("K").batch.snapshot_version)
        versions.append(own.commit({"delete": own.key("K", 9)}).mutation_results[0].version)
    assert sorted(set(versions)) == versions
    past = {"read_time": moments[0]}
    assert versions[2] == own.lookup(own.key("K", 9), read_options=past).missing[0].version
    assert versions[2] == own.query("K", read_options=past).batch.snapshot_version


def test_an_alias_is_a_property_name(own: Low) -> None:
    """It is as long as those at most, and not reserved."""
    for alias, why in ((LONG, "longer than 1500 bytes"), ("__n__", "reserved")):
        with pytest.raises(exceptions.InvalidArgument, match=why):
            own.aggregate("K", {"count": {}, "alias": alias})
    assert {"a b.c": 0} == own.aggregate("K", {"count": {}, "alias": "a b.c"})


def test_an_eventual_reading_says_no_version(own: Low) -> None:
    """Neither of a snapshot nor of what is missing; versions of entities it does say."""
    own.put("K", 1)
    eventual = {"read_consistency": "EVENTUAL"}
    batch = own.query("K", read_options=eventual).batch
    assert (0, None) == (batch.snapshot_version, batch.read_time)
    assert 0 < batch.entity_results[0].version
    assert 0 == own.lookup(own.key("K", 2), read_options=eventual).missing[0].version


def test_a_moment_that_was_read_is_never_written_at(own: Low) -> None:
    """Whatever was read at a time is what a reading as of that time shows."""
    for number in range(1, 30):
        before = own.query("K").batch
        own.put("K", number)
        again = own.query("K", read_options={"read_time": before.read_time}).batch
        assert len(before.entity_results) == len(again.entity_results)


def test_malformed_readings_are_refused_in_the_vendors_words(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """Transactions that cannot be one, and times that nobody can read as of."""
    skip_gap(datastore_backend, "moments")

    def lookup(**options: Any) -> Call:
        return lambda: low.lookup(low.key("K", 1), read_options=options)

    def rollback(identifier: bytes) -> Call:
        return lambda: low.api.rollback(request={"project_id": PROJECT, "transaction": identifier})

    cases = {
        "Invalid transaction.": lookup(transaction=b"garbage"),
        "Invalid transaction": rollback(b"garbage"),
        "a transaction cannot be the empty string.": lookup(transaction=b""),
        "transaction required": rollback(b""),
        "Invalid": lambda: low.begin(read_write={"previous_transaction": b"garbage"}),
        "ReadConsistency must be specified.": lookup(read_consistency=0),
        "timestamp cannot have more than microseconds": lookup(read_time={"seconds": 1, "nanos": 1}),
        "Only timestamps past epoch are supported.": lookup(read_time={"seconds": -1}),
        "The requested 'read_time' cannot be in the future.": lookup(read_time={"seconds": 1 << 33}),
    }
    assert {} == differing(low, cases)
    assert low.begin(read_write={"previous_transaction": low.begin()})


# -- what a commit comes to


def test_mutations_that_come_to_nothing_change_nothing(low: Low) -> None:
    """An entity that is as it was keeps its version, and no index is touched."""
    before = low.put("K", 1, v=1)
    changes = [{"upsert": low.entity(low.key("K", 1), v=value)} for value in (2, 1)]
    response = low.commit(*changes, transaction=low.begin())
    assert [before.version] * 2 == [result.version for result in response.mutation_results]
    assert 0 == response.index_updates


def test_mutations_that_come_to_nothing_meet_nobody(own: Low) -> None:
    """A transaction that has read the entity is not aborted."""
    own.put("K", 1, v=1)
    reader = own.begin()
    own.lookup(own.key("K", 1), read_options={"transaction": reader})
    changes = [{"upsert": own.entity(own.key("K", 1), v=value)} for value in (2, 1)]
    own.commit(*changes, single_use_transaction={})
    own.commit({"upsert": own.entity(own.key("L", 1))}, transaction=reader)


def test_an_entity_that_is_deleted_and_written_again_is_another(own: Low) -> None:
    """It has the version and the time of the commit, however alike."""
    before = own.put("K", 1, v=1)
    entity = own.entity(own.key("K", 1), v=1)
    results = own.commit(
        {"delete": own.key("K", 1)}, {"insert": entity}, single_use_transaction={}
    ).mutation_results
    found = own.lookup(own.key("K", 1)).found[0]
    assert found.version == results[1].version > before.version
    assert found.create_time == results[1].create_time > before.create_time
    assert [1] == identifiers(own.query("K", filter=where("v", "EQUAL", 1)))


def test_every_result_shows_what_the_entity_is_in_the_end(own: Low) -> None:
    """Three mutations of one entity have one version, and one that was never there leaves no trace."""
    entities = [own.entity(own.key("K", 1), v=value) for value in (1, 2, 3)]
    response = own.commit(*({"upsert": one} for one in entities), single_use_transaction={})
    assert 1 == len({(r.version, str(r.update_time)) for r in response.mutation_results})
    assert 3 == plain(own.lookup(own.key("K", 1)).found[0].entity.properties["v"])
    gone = own.commit(
        {"insert": own.entity(own.key("K", 2), v=1)}, {"delete": own.key("K", 2)}, single_use_transaction={}
    )
    assert (0, 0) == (gone.index_updates, len(own.lookup(own.key("K", 2)).found))
    assert [1] == identifiers(own.query("K"))


@pytest.mark.parametrize(
    ("held", "then", "updates"),
    [
        (None, {"v": 1, "w": 2}, 5),
        ({"v": 1, "w": 2}, {"v": 1, "w": 3}, 4),
        ({"v": 1}, {"v": 1}, 0),
        ({"v": [1, 2]}, {"v": [2, 3]}, 4),
        ({"v": 1, "w": 2}, None, 5),
    ],
)
def test_index_updates_count_both_indexes_of_a_property(own: Low, held: Any, then: Any, updates: int) -> None:
    """An ascending and a descending one, and the index of the kind: as Google's Datastore emulator counts."""
    if held is not None:
        own.put("K", 1, **held)
    key = own.key("K", 1)
    mutation = {"delete": key} if then is None else {"upsert": own.entity(key, **then)}
    assert updates == own.commit(mutation).index_updates


def test_values_and_composite_entries_share_their_limit(tmp_path: Path) -> None:
    """20,000 together; what has more since an index was declared can be deleted, and not be written."""
    server = DatastoreServer(tmp_path / "file")
    low = Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    low.put("K", 1, v=list(range(10_000)), w=1)
    server.close()
    index = CompositeIndex("K", (("v", False), ("w", False)), False)
    server = DatastoreServer(tmp_path / "file", indexes=[index])
    low = Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
    low.put("K", 2, v=list(range(9_999)), w=1)
    with pytest.raises(exceptions.InvalidArgument, match="20000 index entries"):
        low.put("K", 1, v=list(range(10_000)), w=2)
    assert 1 + 2 * 10_001 + 10_000 == low.commit({"delete": low.key("K", 1)}).index_updates
    server.close()


def test_ids_are_never_given_twice(tmp_path: Path) -> None:
    """Not in another request, kind or namespace, nor after a restart, nor where one is reserved or taken."""
    seen: list[int] = []
    for _ in range(2):
        server = DatastoreServer(tmp_path / "file")
        low = Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))
        for namespace in ("", "other"):
            key = low.key("K", None, namespace=namespace)
            allocated = low.api.allocate_ids(request={"project_id": PROJECT, "keys": [key] * 5}).keys
            results = low.commit(*[{"insert": low.entity(key)}] * 5).mutation_results
            seen += [key.path[-1].id for key in allocated] + [r.key.path[-1].id for r in results]
        server.close()
    assert 40 == len(set(seen))


def test_a_compared_key_sorts_before_what_is_projected(low: Low) -> None:
    """The API leaves the order of such a query open, the emulators agree."""
    for number in (1, 2, 3):
        low.put("K", number, p=-number, q=0)
    shown = {"projection": properties("p")}
    below = where("__key__", "LESS_THAN", {"key_value": low.key("K", 9)})

    assert [3, 2, 1] == identifiers(low.query("K", **shown))
    assert [1, 2, 3] == identifiers(low.query("K", filter=below, **shown))
    assert [2] == identifiers(low.query("K", filter=below, offset=1, limit={"value": 1}, **shown))
