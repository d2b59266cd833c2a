"""What the library and its users rely on, on every Datastore there is."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from datastore_backends import PROJECT, DatastoreBackend, with_firestore
from datastore_support import (
    Low,
    all_of,
    any_of,
    by,
    identifiers,
    plain,
    properties,
    skip_gap,
    value_of,
    where,
)
from google.api_core import exceptions
from google.cloud import datastore
from google.cloud.datastore.helpers import GeoPoint
from google.cloud.datastore.query import And, Or, PropertyFilter

datastore_backend = with_firestore


@pytest.fixture
def low(datastore_backend: DatastoreBackend) -> Low:
    return Low(datastore_backend)


# -- entities


def test_every_value_type_survives_a_round_trip(datastore_backend: DatastoreBackend) -> None:
    """What the high-level client puts it gets back, of whatever type."""
    client = datastore_backend.client()
    inner = datastore.Entity()
    inner.update(a=1, b=["x", None])
    entity = datastore.Entity(client.key("Parent", 7, "Kind", "né\x00m"), exclude_from_indexes=("long",))
    entity.update(
        none=None,
        yes=True,
        number=-(2**63),
        double=-0.5,
        text="ü",
        blob=b"\xff\x00",
        when=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        where=GeoPoint(1.5, -2.5),
        key=client.key("Other", 3),
        many=[1, "a", None],
        empty=[],
        inner=inner,
        long="x" * 5000,
    )
    client.put(entity)
    assert entity == client.get(entity.key)


def test_a_lookup_tells_found_from_missing_in_the_order_asked(low: Low) -> None:
    """Found and missing entities keep the order of the keys, and missing ones carry their key only."""
    low.put("K", "b", v=1)
    low.put("K", "a", v=2)
    response = low.lookup(low.key("K", "b"), low.key("K", 1), low.key("K", "a"), low.key("K", 2))
    assert ["b", "a"] == [result.entity.key.path[0].name for result in response.found]
    assert [1, 2] == [result.entity.key.path[0].id for result in response.missing]
    assert not response.deferred


def test_a_key_without_a_project_means_the_request_s(low: Low) -> None:
    """The partition of a key may leave out the project, and the answer spells it out."""
    low.put("K", 1, v=1)
    found = low.lookup(low.key("K", 1, project="")).found[0]
    assert PROJECT == found.entity.key.partition_id.project_id


def test_namespaces_do_not_see_each_other(datastore_backend: DatastoreBackend) -> None:
    """The same key in two namespaces is two entities, and queries stay in theirs."""
    first = datastore_backend.client()
    second = datastore_backend.client(namespace=f"{datastore_backend.namespace}-b")
    for client, number in ((first, 1), (second, 2)):
        entity = datastore.Entity(client.key("K", "same"))
        entity["v"] = number
        client.put(entity)
    assert [1] == [entity["v"] for entity in first.query(kind="K").fetch()]
    assert 2 == second.get(second.key("K", "same"))["v"]


def test_times_tell_creation_from_the_last_change(low: Low, datastore_backend: DatastoreBackend) -> None:
    """An update keeps the time of creation and moves the time of update to its commit's."""
    skip_gap(datastore_backend, "times")
    created = low.put("K", 1, v=1)
    updated = low.put("K", 1, v=2)
    found = low.lookup(low.key("K", 1)).found[0]
    assert created.create_time == found.create_time
    assert updated.update_time == found.update_time
    assert found.create_time < found.update_time


# -- commits


def test_versions_grow_over_deletion_and_recreation(low: Low) -> None:
    """Each change of an entity gives it a higher version than it ever had."""
    versions = [low.put("K", 1, v=number).version for number in range(3)]
    deleted = low.commit({"delete": low.key("K", 1)}).mutation_results[0].version
    again = low.put("K", 1, v=0).version
    assert sorted({*versions, deleted, again}) == [*versions, deleted, again]
    assert again == low.lookup(low.key("K", 1)).found[0].version


def test_a_write_that_changes_nothing_keeps_the_version(low: Low) -> None:
    """As documented for MutationResult.version, the same entity again is no change."""
    first = low.put("K", 1, a=1)
    second = low.put("K", 1, a=1)
    assert first.version == second.version


def test_inserting_a_taken_key_writes_nothing(low: Low) -> None:
    """ALREADY_EXISTS for one mutation undoes all the others of the commit."""
    low.put("K", "taken", v=1)
    with pytest.raises(exceptions.AlreadyExists):
        low.commit(
            {"upsert": low.entity(low.key("K", "before"))},
            {"insert": low.entity(low.key("K", "taken"))},
            single_use_transaction={},
        )
    assert ["taken"] == identifiers(low.query("K"))


def test_updating_a_missing_entity_writes_nothing(low: Low) -> None:
    """NOT_FOUND for one mutation undoes all the others of the commit."""
    with pytest.raises(exceptions.NotFound):
        low.commit(
            {"upsert": low.entity(low.key("K", "before"))},
            {"update": low.entity(low.key("K", "missing"))},
            single_use_transaction={},
        )
    assert [] == identifiers(low.query("K"))


def test_deleting_a_missing_entity_succeeds_with_a_version(low: Low) -> None:
    """A delete is idempotent."""
    assert low.commit({"delete": low.key("K", 1)}).mutation_results[0].version > 0


def test_incomplete_keys_are_given_ids(low: Low) -> None:
    """Inserts and upserts without an identifier get distinct ids, which the results name."""
    results = low.commit(
        {"insert": low.entity(low.key("P", 1, "K", None), v=1)},
        {"upsert": low.entity(low.key("P", 1, "K", None), v=2)},
        {"upsert": low.entity(low.key("P", 1, "K", "named"), v=3)},
    ).mutation_results
    ids = [result.key.path[-1].id for result in results[:2]]
    assert 0 not in ids
    assert ids[0] != ids[1]
    assert not results[2].key.path
    assert {*ids, "named"} == set(identifiers(low.query("K")))


def test_a_stale_base_version_fails_the_whole_commit(low: Low) -> None:
    """With the strategy FAIL a conflict of one mutation undoes all, for updates and deletes."""
    old = low.put("K", 1, v=1).version
    low.put("K", 1, v=2)
    for mutation in ({"update": low.entity(low.key("K", 1), v=3)}, {"delete": low.key("K", 1)}):
        stale = {**mutation, "base_version": old, "conflict_resolution_strategy": "FAIL"}
        with pytest.raises(exceptions.FailedPrecondition):
            low.commit({"upsert": low.entity(low.key("K", 9))}, stale, single_use_transaction={})
    assert [1] == identifiers(low.query("K"))
    assert 2 == plain(low.lookup(low.key("K", 1)).found[0].entity.properties["v"])


def test_a_current_base_version_is_written(low: Low) -> None:
    """With the version that is stored, or 0 for an entity that is not there, the mutation is carried out."""
    version = low.put("K", 1, v=1).version
    fail = {"conflict_resolution_strategy": "FAIL"}
    low.commit({"update": low.entity(low.key("K", 1), v=2), "base_version": version, **fail})
    low.commit({"upsert": low.entity(low.key("K", 2), v=2), "base_version": 0, **fail})
    assert [2, 2] == [plain(r.entity.properties["v"]) for r in low.query("K").batch.entity_results]


def test_by_default_a_conflict_keeps_what_is_stored_and_is_reported(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """Without a strategy the stored entity stays and the result says so; other mutations go through."""
    skip_gap(datastore_backend, "bases")
    older = low.put("K", 1, v=0).version
    version = low.put("K", 1, v=1).version
    results = low.commit(
        {"upsert": low.entity(low.key("K", 1), v=2), "base_version": older},
        {"upsert": low.entity(low.key("K", 2), v=2)},
    ).mutation_results
    assert [True, False] == [result.conflict_detected for result in results]
    assert version == results[0].version
    assert [1, 2] == [plain(r.entity.properties["v"]) for r in low.query("K").batch.entity_results]


def test_a_non_transactional_commit_refuses_two_mutations_of_one_entity(low: Low) -> None:
    """INVALID_ARGUMENT, and nothing is written."""
    with pytest.raises(exceptions.InvalidArgument):
        low.commit({"upsert": low.entity(low.key("K", 1))}, {"delete": low.key("K", 1)})
    assert [] == identifiers(low.query("K"))


def test_a_transactional_commit_applies_mutations_in_order(low: Low) -> None:
    """A later mutation of an entity works on the outcome of the earlier."""
    low.put("K", 1, v=1)
    low.commit(
        {"delete": low.key("K", 1)},
        {"insert": low.entity(low.key("K", 1), v=2)},
        {"update": low.entity(low.key("K", 1), v=3)},
        single_use_transaction={},
    )
    assert 3 == plain(low.lookup(low.key("K", 1)).found[0].entity.properties["v"])


@pytest.mark.parametrize(
    "operations",
    [("insert", "insert"), ("update", "insert"), ("upsert", "insert"), ("delete", "update")],
)
def test_sequences_that_cannot_succeed_are_refused(
    low: Low, datastore_backend: DatastoreBackend, operations: tuple[str, str]
) -> None:
    """The four sequences of one entity that the API forbids are INVALID_ARGUMENT."""
    skip_gap(datastore_backend, "sequences")
    low.put("K", 1, v=1)
    mutations = [
        {operation: low.key("K", 1) if operation == "delete" else low.entity(low.key("K", 1))}
        for operation in operations
    ]
    with pytest.raises(exceptions.InvalidArgument):
        low.commit(*mutations, single_use_transaction={})


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "TRANSACTIONAL"},
        {"mode": "NON_TRANSACTIONAL", "single_use_transaction": {}},
        {"mode": "TRANSACTIONAL", "transaction": b"nonsense"},
    ],
    ids=["transactional without a transaction", "not transactional with one", "unknown transaction"],
)
def test_a_commit_s_mode_must_fit_its_transaction(low: Low, fields: dict[str, Any]) -> None:
    """INVALID_ARGUMENT for a mode without, with a needless, or with an unknown transaction."""
    with pytest.raises(exceptions.InvalidArgument):
        low.commit({"upsert": low.entity(low.key("K", 1))}, **fields)


@pytest.mark.parametrize(
    ("transform", "before", "after"),
    [
        ({"increment": {"integer_value": 2}}, 40, 42),
        ({"increment": {"double_value": 0.5}}, 40, 40.5),
        ({"increment": {"integer_value": 1}}, 2**63 - 1, 2**63 - 1),
        ({"increment": {"integer_value": 7}}, "text", 7),
        ({"maximum": {"double_value": 3.0}}, 3, 3),
        ({"maximum": {"integer_value": 5}}, 4.5, 5),
        ({"minimum": {"integer_value": 5}}, None, 5),
        (
            {"append_missing_elements": {"values": [value_of(2.0), value_of(4), value_of(4)]}},
            [1, 2],
            [1, 2, 4],
        ),
        ({"remove_all_from_array": {"values": [value_of(1)]}}, [1, 2, 1.0], [2]),
    ],
)
def test_transforms_compute_from_what_is_stored(
    low: Low, datastore_backend: DatastoreBackend, transform: dict[str, Any], before: Any, after: Any
) -> None:
    """Each transform's result is stored, of the documented type."""
    skip_gap(datastore_backend, "transforms")
    low.commit(
        {
            "upsert": low.entity(low.key("K", 1), v=before),
            "property_transforms": [{"property": "v", **transform}],
        }
    )
    value = low.lookup(low.key("K", 1)).found[0].entity.properties["v"]
    found = (
        [plain(element) for element in value.array_value.values] if isinstance(after, list) else plain(value)
    )
    assert after == found
    assert type(after) is type(found)


def test_the_request_time_can_be_stored(low: Low, datastore_backend: DatastoreBackend) -> None:
    """A transform sets a property to the time of the commit, in milliseconds."""
    skip_gap(datastore_backend, "transforms of time")
    skip_gap(datastore_backend, "transforms")
    response = low.commit(
        {
            "upsert": low.entity(low.key("K", 1)),
            "property_transforms": [{"property": "at", "set_to_server_value": "REQUEST_TIME"}],
        },
        single_use_transaction={},
    )
    stored = low.lookup(low.key("K", 1)).found[0].entity.properties["at"].timestamp_value
    assert int(response.commit_time.timestamp() * 1000) == round(stored.timestamp() * 1000)


def test_a_property_mask_limits_what_is_written(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Masked properties are taken from the mutation or removed, the others are left alone."""
    skip_gap(datastore_backend, "masks")
    low.put("K", 1, a=1, b=1, c=1)
    low.commit(
        {"update": low.entity(low.key("K", 1), a=2, c=2), "property_mask": {"paths": ["a", "b"]}},
    )
    stored = low.lookup(low.key("K", 1)).found[0].entity.properties
    assert {"a": 2, "c": 1} == {name: plain(value) for name, value in stored.items()}


def test_a_property_mask_limits_what_is_read(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Lookups and queries return the masked properties and the key."""
    skip_gap(datastore_backend, "masks")
    low.put("K", 1, a=1, b=1)
    found = low.lookup(low.key("K", 1), property_mask={"paths": ["b", "nope"]}).found[0].entity
    assert (["b"], 1) == (list(found.properties), found.key.path[0].id)


# -- ids


def test_allocated_ids_are_distinct_and_unused(low: Low) -> None:
    """AllocateIds completes keys with ids that it never gives twice."""
    keys = [low.key("K", None)] * 50
    first = low.api.allocate_ids(request={"project_id": PROJECT, "keys": keys}).keys
    second = low.api.allocate_ids(request={"project_id": PROJECT, "keys": keys}).keys
    assert 100 == len({key.path[0].id for key in [*first, *second]})


def test_reserving_ids_succeeds_for_complete_keys_only(low: Low) -> None:
    """ReserveIds takes keys with an identifier, AllocateIds those without."""
    low.api.reserve_ids(request={"project_id": PROJECT, "keys": [low.key("K", 5)]})
    with pytest.raises(exceptions.InvalidArgument):
        low.api.reserve_ids(request={"project_id": PROJECT, "keys": [low.key("K", None)]})
    with pytest.raises(exceptions.InvalidArgument):
        low.api.allocate_ids(request={"project_id": PROJECT, "keys": [low.key("K", 5)]})


# -- transactions


def test_a_transaction_that_read_a_changed_entity_is_aborted(datastore_backend: DatastoreBackend) -> None:
    """Of two transactions that read and write one entity the second to commit fails and writes nothing."""
    skip_gap(datastore_backend, "waiting")
    client, other = datastore_backend.client(), datastore_backend.client()
    key = client.key("K", 1)
    entity = datastore.Entity(key)
    entity["v"] = 0
    client.put(entity)
    transaction = client.transaction()
    transaction.begin()
    mine = client.get(key, transaction=transaction)
    theirs = other.get(key)
    theirs["v"] = 1
    other.put(theirs)
    mine["v"] = 2
    transaction.put(mine)
    with pytest.raises(exceptions.Aborted):
        transaction.commit()
    assert 1 == client.get(key)["v"]


def test_a_transaction_that_found_an_entity_missing_conflicts_with_its_creation(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """Having read that there is nothing counts as having read."""
    skip_gap(datastore_backend, "waiting")
    transaction = low.begin()
    low.lookup(low.key("K", 1), read_options={"transaction": transaction})
    low.put("K", 1, v=1)
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("K", 2))}, transaction=transaction)
    assert [1] == identifiers(low.query("K"))


def test_a_transaction_does_not_see_its_own_writes(datastore_backend: DatastoreBackend) -> None:
    """Reads in a transaction show the state before it."""
    client = datastore_backend.client()
    with client.transaction():
        entity = datastore.Entity(client.key("K", 1))
        client.put(entity)
        assert client.get(entity.key) is None
    assert client.get(entity.key) is not None


def test_blind_writes_of_a_transaction_do_not_conflict(low: Low) -> None:
    """What a transaction has not read may change under it."""
    low.put("K", 1, v=0)
    transaction = low.begin()
    low.put("K", 1, v=1)
    low.commit({"upsert": low.entity(low.key("K", 1), v=2)}, transaction=transaction)
    assert 2 == plain(low.lookup(low.key("K", 1)).found[0].entity.properties["v"])


def test_a_query_of_a_transaction_conflicts_with_a_phantom(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """An entity that would have been a result, written after the query, aborts the commit."""
    skip_gap(datastore_backend, "waiting")
    low.put("P", 1, "K", "a", v=1)
    transaction = low.begin()
    wanted = all_of(where("__key__", "HAS_ANCESTOR", {"key_value": low.key("P", 1)}), where("v", "EQUAL", 1))
    low.query("K", filter=wanted, read_options={"transaction": transaction})
    low.put("P", 1, "K", "b", v=1)
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("K", 2))}, transaction=transaction)


def test_a_lookup_can_begin_its_transaction(datastore_backend: DatastoreBackend) -> None:
    """With begin_later the first read opens the transaction, and the commit belongs to it."""
    skip_gap(datastore_backend, "reads that begin")
    client = datastore_backend.client()
    key = client.key("K", 1)
    with client.transaction(begin_later=True):
        assert client.get(key) is None
        client.put(datastore.Entity(key))
    assert client.get(key) is not None


def test_a_query_can_begin_its_transaction(low: Low) -> None:
    """RunQuery with new_transaction answers an id that can be committed."""
    response = low.query("K", read_options={"new_transaction": {}})
    assert response.transaction
    low.commit({"upsert": low.entity(low.key("K", 1))}, transaction=response.transaction)
    assert [1] == identifiers(low.query("K"))


def test_a_rolled_back_transaction_is_over(low: Low, datastore_backend: DatastoreBackend) -> None:
    """After a rollback its id is INVALID_ARGUMENT for every method."""
    skip_gap(datastore_backend, "finished transactions")
    transaction = low.begin()
    low.api.rollback(request={"project_id": PROJECT, "transaction": transaction})
    _assert_over(low, transaction)


def test_a_committed_transaction_is_over(low: Low, datastore_backend: DatastoreBackend) -> None:
    """After a commit its id is INVALID_ARGUMENT for every method."""
    skip_gap(datastore_backend, "finished transactions")
    transaction = low.begin()
    low.commit({"upsert": low.entity(low.key("K", 1))}, transaction=transaction)
    _assert_over(low, transaction)


def test_a_transaction_is_over_when_its_commit_failed(low: Low, datastore_backend: DatastoreBackend) -> None:
    """A commit that found a key taken ends the transaction too, but for one rollback, which clients do."""
    skip_gap(datastore_backend, "rollback")
    low.put("K", 1)
    transaction = low.begin()
    with pytest.raises(exceptions.AlreadyExists):
        low.commit({"insert": low.entity(low.key("K", 1))}, transaction=transaction)
    with pytest.raises(exceptions.InvalidArgument):
        low.commit(transaction=transaction)
    low.api.rollback(request={"project_id": PROJECT, "transaction": transaction})
    _assert_over(low, transaction)


def _assert_over(low: Low, transaction: bytes) -> None:
    for call in (
        lambda: low.lookup(low.key("K", 1), read_options={"transaction": transaction}),
        lambda: low.query("K", read_options={"transaction": transaction}),
        lambda: low.commit(transaction=transaction),
        lambda: low.api.rollback(request={"project_id": PROJECT, "transaction": transaction}),
    ):
        with pytest.raises(exceptions.InvalidArgument):
            call()


def test_a_past_time_shows_what_was_there(low: Low, datastore_backend: DatastoreBackend) -> None:
    """By key, by query and within a read-only transaction: what was changed, deleted and added since."""
    skip_gap(datastore_backend, "times")
    low.put("K", 1, v=1)
    moment = low.put("K", 2, v=2).update_time
    low.put("K", 1, v=-1)
    low.commit({"delete": low.key("K", 2)})
    low.put("K", 3, v=3)
    transaction = low.begin(read_only={"read_time": moment})
    for options in ({"read_time": moment}, {"transaction": transaction}):
        found = low.lookup(low.key("K", 1), low.key("K", 2), low.key("K", 3), read_options=options)
        values = {each.entity.key.path[0].id: plain(each.entity.properties["v"]) for each in found.found}
        assert {1: 1, 2: 2} == values
        assert [1, 2] == identifiers(low.query("K", order=by("v"), read_options=options))
        assert [2] == identifiers(low.query("K", filter=where("v", "EQUAL", 2), read_options=options))
    assert [1, 3] == identifiers(low.query("K", order=by("v")))


def test_a_read_only_transaction_shows_the_moment_it_began(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """Whatever is written meanwhile, and nobody waits for it."""
    skip_gap(datastore_backend, "moments")
    low.put("K", 1, v=1)
    transaction = low.begin(read_only={})
    low.lookup(low.key("K", 1), read_options={"transaction": transaction})
    low.put("K", 1, v=2)
    low.put("K", 2, v=2)
    found = low.lookup(low.key("K", 1), read_options={"transaction": transaction}).found[0]
    assert 1 == plain(found.entity.properties["v"])
    assert [1] == identifiers(low.query("K", read_options={"transaction": transaction}))


def test_a_read_only_transaction_reads_and_does_not_write(datastore_backend: DatastoreBackend) -> None:
    """Its commit with mutations is INVALID_ARGUMENT, without them it succeeds."""
    skip_gap(datastore_backend, "read-only commits")
    low = Low(datastore_backend)
    low.put("K", 1, v=1)
    transaction = low.begin(read_only={})
    assert low.lookup(low.key("K", 1), read_options={"transaction": transaction}).found
    low.commit(transaction=transaction)
    with pytest.raises(exceptions.InvalidArgument):
        low.commit({"delete": low.key("K", 1)}, transaction=low.begin(read_only={}))
    assert [1] == identifiers(low.query("K"))


# -- queries


def test_values_of_different_types_sort_by_type(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Null, fixed-point, boolean, byte sequence, floating-point, geo point, key; dates among the integers."""
    skip_gap(datastore_backend, "ties")
    values = {
        "01 null": None,
        "02 least": -(2**63),
        "03 zero": 0,
        "04 date": {"timestamp_value": datetime.fromtimestamp(0.000006, UTC)},
        "05 seven": 7,
        "06 greatest": 2**63 - 1,
        "07 false": False,
        "08 true": True,
        "09 empty": b"",
        "10 nul": "\x00",
        "11 blob a": b"a",
        "12 text a": "a",
        "13 blob ab": b"ab",
        "14 text b": "b",
        "15 blob ff": b"\xff",
        "16 -inf": -math.inf,
        "17 -1.5": -1.5,
        "18 -0.0": -0.0,
        "19 0.0": 0.0,
        "20 5e-324": 5e-324,
        "21 inf": math.inf,
        "22 nan": math.nan,
        "23 geo": {"geo_point_value": {"latitude": -1.0, "longitude": 5.0}},
        "24 geo": {"geo_point_value": {"latitude": 1.0, "longitude": -5.0}},
        "25 parent": {"key_value": low.key("K", 1)},
        "26 child": {"key_value": low.key("K", 1, "A", 1)},
        "27 name": {"key_value": low.key("K", "a")},
    }
    for name, value in reversed(values.items()):
        low.put("V", name, v=value)
    assert list(values) == identifiers(low.query("V", order=by("v")))
    descending = identifiers(low.query("V", order=by("-v")))
    ties = [["11 blob a", "12 text a"]]
    expected = list(reversed(values))
    for first, second in ties:  # equal values sort by key, ascending, in both directions
        place = expected.index(second)
        expected[place : place + 2] = [first, second]
    assert expected == descending


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("EQUAL", 5, ["int"]),
        ("EQUAL", 5.0, ["double"]),
        ("EQUAL", "a", ["blob", "text"]),
        ("EQUAL", None, ["null"]),
        ("EQUAL", True, ["true"]),
        ("LESS_THAN", 5, ["null"]),
        ("LESS_THAN_OR_EQUAL", 5, ["null", "int"]),
        ("GREATER_THAN", 5, ["true", "blob", "text", "double"]),
        ("GREATER_THAN_OR_EQUAL", "a", ["blob", "text", "double"]),
        ("GREATER_THAN", 4.0, ["double"]),
    ],
)
def test_comparisons_reach_over_types(low: Low, op: str, value: Any, expected: list[str]) -> None:
    """An inequality keeps what sorts on its side, of any type; an integer never equals a double."""
    for name, stored in (
        ("null", None),
        ("int", 5),
        ("true", True),
        ("blob", b"a"),
        ("text", "a"),
        ("double", 5.0),
    ):
        low.put("V", name, v=stored)
    low.put("V", "without")
    low.put("V", "excluded", v={"integer_value": 5, "exclude_from_indexes": True})
    assert expected == identifiers(low.query("V", filter=where("v", op, value)))


def test_equalities_and_a_range_combine(low: Low) -> None:
    """All filters must hold, and results sort by the property of the range."""
    for number in range(20):
        low.put("K", number + 1, even=number % 2 == 0, v=-number)
    found = low.query(
        "K",
        filter=all_of(
            where("even", "EQUAL", True),
            where("v", "LESS_THAN", -10),
            where("v", "GREATER_THAN_OR_EQUAL", -16),
        ),
    )
    assert [17, 15, 13] == identifiers(found)


def test_arrays_are_found_by_any_element_and_ranges_need_one_element(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """Two equalities may be met by two elements, two bounds must be met by one."""
    skip_gap(datastore_backend, "empty arrays")
    low.put("K", "both", v=[3, 9])
    low.put("K", "inside", v=[5, 100])
    low.put("K", "empty", v=[])
    assert ["both"] == identifiers(
        low.query("K", filter=all_of(where("v", "EQUAL", 3), where("v", "EQUAL", 9)))
    )
    between = all_of(where("v", "GREATER_THAN", 3), where("v", "LESS_THAN", 9))
    assert ["inside"] == identifiers(low.query("K", filter=between))
    assert ["empty"] == identifiers(low.query("K", filter=where("v", "EQUAL", None)))


def test_an_array_sorts_once_by_its_least_or_greatest_element(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """Ascending by the smallest, descending by the greatest, of those that meet the filter."""
    skip_gap(datastore_backend, "sorted arrays")
    low.put("K", "a", v=[1, 50])
    low.put("K", "b", v=[2, 30])
    low.put("K", "c", v=40)
    assert ["a", "b", "c"] == identifiers(low.query("K", order=by("v")))
    assert ["a", "c", "b"] == identifiers(low.query("K", order=by("-v")))
    above = where("v", "GREATER_THAN", 2)
    assert ["b", "c", "a"] == identifiers(low.query("K", filter=above))


def test_orders_apply_in_turn_and_ties_sort_by_key(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Several orders, mixed directions; an entity without a sorted property is left out."""
    skip_gap(datastore_backend, "ties")
    low.put("K", "d", a=1, b="x")
    low.put("K", "c", a=1, b="x")
    low.put("K", "b", a=1, b="y")
    low.put("K", "a", a=2, b="z")
    low.put("K", "e", a=0)
    assert ["b", "c", "d", "a"] == identifiers(low.query("K", order=by("a", "-b")))
    assert ["a", "c", "d", "b"] == identifiers(low.query("K", order=by("-a", "b")))


def test_embedded_entities_are_found_by_their_properties(low: Low) -> None:
    """``outer.inner`` filters on an embedded entity's property."""
    inner = {"entity_value": {"properties": {"z": {"integer_value": 1}}}}
    low.put("K", "a", v=inner)
    low.put("K", "b", v={"array_value": {"values": []}})
    assert ["a"] == identifiers(low.query("K", filter=where("v.z", "EQUAL", 1)))


def test_keys_filter_and_sort(low: Low) -> None:
    """Filters on __key__ compare whole paths: ids before names, parents before children."""
    low.put("K", 2)
    low.put("K", 10)
    low.put("K", "a")
    low.put("K", 2, "K", "child")
    assert [2, "child", 10, "a"] == identifiers(low.query("K"))
    after = where("__key__", "GREATER_THAN", {"key_value": low.key("K", 2)})
    assert ["child", 10, "a"] == identifiers(low.query("K", filter=after))
    exactly = where("__key__", "EQUAL", {"key_value": low.key("K", 10)})
    assert [10] == identifiers(low.query("K", filter=exactly))
    upto = where("__key__", "LESS_THAN_OR_EQUAL", {"key_value": low.key("K", 10)})
    assert [2, "child", 10] == identifiers(low.query("K", filter=upto, order=by("__key__")))


def test_an_ancestor_query_finds_the_ancestor_and_all_below(low: Low) -> None:
    """Of one kind and of all kinds, and not what only begins alike."""
    low.put("P", "a", v=1)
    low.put("P", "a", "K", 1, v=1)
    low.put("P", "a", "K", 1, "K", 2, v=1)
    low.put("P", "ab", "K", 3, v=1)
    below = where("__key__", "HAS_ANCESTOR", {"key_value": low.key("P", "a")})
    assert [1, 2] == identifiers(low.query("K", filter=below))
    assert ["a", 1, 2] == identifiers(low.query(filter=below))
    assert [1, 2] == identifiers(low.query("K", filter=all_of(below, where("v", "EQUAL", 1))))


def test_a_query_without_a_kind_finds_everything(low: Low) -> None:
    """All kinds sort by key; filters on properties are refused."""
    low.put("B", 1)
    low.put("A", 2, v=1)
    assert [2, 1] == identifiers(low.query())
    with pytest.raises(exceptions.InvalidArgument):
        low.query(filter=where("v", "EQUAL", 1))


def test_keys_only_results_have_no_properties(low: Low) -> None:
    """A projection of __key__ alone."""
    low.put("K", 1, v=1)
    batch = low.query("K", projection=properties("__key__")).batch
    assert "KEY_ONLY" == batch.entity_result_type.name
    assert not batch.entity_results[0].entity.properties


def test_a_projection_gives_a_result_for_each_value(low: Low) -> None:
    """Projected arrays unfold, results sort by the projected properties, values come from the index."""
    when = {"timestamp_value": datetime(2026, 1, 1, tzinfo=UTC)}
    low.put("K", "a", x=[5, 1], y="q", when=when)
    low.put("K", "b", x=2, y="p", when=when)
    low.put("K", "c", y="p")
    batch = low.query("K", projection=properties("x", "y")).batch
    rows = [(plain(r.entity.properties["x"]), plain(r.entity.properties["y"])) for r in batch.entity_results]
    assert "PROJECTION" == batch.entity_result_type.name
    assert [(1, "q"), (2, "p"), (5, "q")] == rows
    value = low.query("K", projection=properties("when")).batch.entity_results[0].entity.properties["when"]
    assert (1767225600000000, 18) == (value.integer_value, value.meaning)


def test_distinct_on_keeps_the_first_of_each_group(low: Low) -> None:
    """Groups are of equal values, and a cursor goes on after the whole group."""
    for number in range(6):
        low.put("K", number + 1, group=number // 2, v=-number)
    fields: dict[str, Any] = {"projection": properties("group"), "distinct_on": [{"name": "group"}]}
    assert [1, 3, 5] == identifiers(low.query("K", **fields))
    first = low.query("K", **fields, limit=1).batch
    assert [3, 5] == identifiers(low.query("K", **fields, start_cursor=first.end_cursor))


@pytest.mark.parametrize("order", [(), ("v",), ("-v",), ("g", "-v"), ("-g", "v"), ("-__key__",)])
def test_pages_of_any_size_put_together_are_the_whole(low: Low, order: tuple[str, ...]) -> None:
    """Cursors of every result lead to exactly the rest, for every order."""
    for number in range(12):
        low.put("K", number + 1, v=number * 5 % 7, g=number % 3)
    whole = low.query("K", order=by(*order)).batch
    names = [r.entity.key.path[0].id for r in whole.entity_results]
    assert 12 == len(set(names))
    for place, result in enumerate(whole.entity_results):
        rest = low.query("K", order=by(*order), start_cursor=result.cursor, limit=3)
        assert names[place + 1 : place + 4] == identifiers(rest)
        before = low.query("K", order=by(*order), end_cursor=result.cursor)
        assert names[: place + 1] == identifiers(before)


def test_offsets_skip_and_are_counted(low: Low) -> None:
    """skipped_results says how many, also when there are fewer than asked for."""
    for number in range(4):
        low.put("K", number + 1)
    batch = low.query("K", offset=2, limit=1).batch
    assert (2, [3]) == (batch.skipped_results, [r.entity.key.path[0].id for r in batch.entity_results])
    assert 4 == low.query("K", offset=9).batch.skipped_results


def test_more_results_say_why_a_batch_ended(low: Low, datastore_backend: DatastoreBackend) -> None:
    """The limit, the end cursor, or the end."""
    skip_gap(datastore_backend, "more results")
    for number in range(3):
        low.put("K", number + 1)
    cursor = low.query("K", limit=2).batch.end_cursor
    assert "MORE_RESULTS_AFTER_LIMIT" == low.query("K", limit=2).batch.more_results.name
    assert "MORE_RESULTS_AFTER_LIMIT" == low.query("K", limit=0).batch.more_results.name
    assert "MORE_RESULTS_AFTER_CURSOR" == low.query("K", end_cursor=cursor).batch.more_results.name
    assert "NO_MORE_RESULTS" == low.query("K", limit=4).batch.more_results.name
    assert "NO_MORE_RESULTS" == low.query("K").batch.more_results.name


def test_the_client_pages_through_many_results(datastore_backend: DatastoreBackend) -> None:
    """More results than one batch holds come complete and in order, with offset and limit."""
    client = datastore_backend.client()
    entities = [datastore.Entity(client.key("K", number)) for number in range(1, 751)]
    for start in range(0, 750, 400):
        client.put_multi(entities[start : start + 400])
    assert list(range(1, 751)) == [entity.key.id for entity in client.query(kind="K").fetch()]
    assert list(range(11, 721)) == [
        entity.key.id for entity in client.query(kind="K").fetch(offset=10, limit=710)
    ]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"limit": -1}, "negative limit"),
        ({"offset": -1}, "negative offset"),
        ({"start_cursor": b"nonsense"}, "not a cursor"),
        ({"filter": where("v", "EQUAL", [1])}, "a list compared"),
        ({"filter": where("v", "EQUAL", {"entity_value": {}})}, "an entity compared"),
        ({"filter": where("__key__", "EQUAL", 1)}, "__key__ compared with a number"),
        ({"filter": where("v", "HAS_ANCESTOR", 1)}, "ancestor on a property"),
        ({"filter": where("v", "EQUAL", 1), "projection": properties("v")}, "projection of an equality"),
        ({"filter": {"composite_filter": {"op": "AND"}}}, "a composite of nothing"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_malformed_queries_are_refused(low: Low, fields: dict[str, Any], why: str) -> None:
    """INVALID_ARGUMENT, as production words it or not."""
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", **fields)


# -- operators that the emulator lacks


def test_in_and_or_give_each_entity_once(datastore_backend: DatastoreBackend) -> None:
    """Entities that meet several alternatives come once, in the query's order."""
    skip_gap(datastore_backend, "operators")
    client = datastore_backend.client()
    for number in range(6):
        entity = datastore.Entity(client.key("K", number + 1))
        entity.update(v=number, w=[number % 2, "x"])
        client.put(entity)
    query = client.query(kind="K")
    query.add_filter(filter=PropertyFilter("w", "IN", ["x", 1, "x"]))
    assert [1, 2, 3, 4, 5, 6] == [entity.key.id for entity in query.fetch()]
    query = client.query(kind="K", order=["-v"])
    both = And([PropertyFilter("v", ">", 1), PropertyFilter("v", "<", 4)])
    query.add_filter(filter=Or([both, PropertyFilter("w", "=", 1)]))
    assert [6, 4, 3, 2] == [entity.key.id for entity in query.fetch()]


def test_not_equal_and_not_in_need_another_value(low: Low, datastore_backend: DatastoreBackend) -> None:
    """An array matches when any of its elements differs; results sort by the property."""
    skip_gap(datastore_backend, "operators")
    low.put("K", "a", v=[9, 3])
    low.put("K", "b", v=9)
    low.put("K", "c", v=None)
    low.put("K", "d", v="x")
    low.put("K", "e")
    assert ["c", "a", "d"] == identifiers(low.query("K", filter=where("v", "NOT_EQUAL", 9)))
    assert ["d"] == identifiers(low.query("K", filter=where("v", "NOT_IN", [9, 3, None])))
    key = {"key_value": low.key("K", "b")}
    assert ["a", "c", "d", "e"] == identifiers(low.query("K", filter=where("__key__", "NOT_EQUAL", key)))


def test_inequalities_of_several_properties(low: Low, datastore_backend: DatastoreBackend) -> None:
    """They all must hold, and each property must be there."""
    skip_gap(datastore_backend, "inequalities")
    for number in range(6):
        low.put("K", number + 1, a=number, b=5 - number)
    low.put("K", 9, a=3)
    found = low.query(
        "K", filter=all_of(where("a", "GREATER_THAN", 1), where("b", "GREATER_THAN", 1)), order=by("b")
    )
    assert [4, 3] == identifiers(found)


def test_too_many_alternatives_are_refused(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Thirty after normalization is the limit."""
    skip_gap(datastore_backend, "operators")
    low.query("K", filter=where("v", "IN", list(range(30))))
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", filter=where("v", "IN", list(range(31))))
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", filter=all_of(where("v", "IN", list(range(6))), where("w", "IN", list(range(6)))))
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", filter=any_of(*(where("v", "EQUAL", number) for number in range(31))))


def test_aggregations_count_sum_and_average(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Numbers are added up, other values passed over, and integers stay integers."""
    skip_gap(datastore_backend, "aggregations")
    for number in range(5):
        low.put("K", number + 1, v=number, w=0.5, even=number % 2 == 0)
    low.put("K", 9, v="text", w=None, even=True)
    reference = {"property": {"name": "v"}}
    found = low.aggregate(
        "K", {"count": {}, "alias": "n"}, {"sum": reference}, {"avg": reference, "alias": "a"}
    )
    assert {"n": 6, "property_1": 10, "a": 2.0} == found
    even = where("even", "EQUAL", True)
    assert {"n": 4} == low.aggregate("K", {"count": {}, "alias": "n"}, filter=even)
    assert {"n": 2} == low.aggregate("K", {"count": {"up_to": 2}, "alias": "n"}, filter=even)
    assert {"n": 3} == low.aggregate("K", {"count": {}, "alias": "n"}, filter=even, limit=3)
    assert {"n": 1} == low.aggregate("K", {"count": {}, "alias": "n"}, filter=even, offset=3)
    assert {"n": 0} == low.aggregate("K", {"count": {"up_to": 0}, "alias": "n"})
    nothing = low.aggregate("None", {"count": {}}, {"sum": reference}, {"avg": reference})
    assert {"property_1": 0, "property_2": 0, "property_3": None} == nothing


def test_sums_of_big_and_odd_numbers(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Overflow turns into a double, infinities of both signs into NaN."""
    skip_gap(datastore_backend, "aggregations")
    low.put("Big", 1, v=2**63 - 1)
    low.put("Big", 2, v=1)
    low.put("Odd", 1, v=math.inf)
    low.put("Odd", 2, v=-math.inf)
    reference = {"property": {"name": "v"}}
    assert float(2**63) == low.aggregate("Big", {"sum": reference, "alias": "s"})["s"]
    assert math.isnan(low.aggregate("Odd", {"sum": reference, "alias": "s"})["s"])


def test_an_aggregation_sees_only_entities_with_the_property_indexed(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """With a sum beside it even the count leaves out entities that lack the summed property."""
    skip_gap(datastore_backend, "aggregations")
    low.put("K", 1, v=1)
    low.put("K", 2)
    low.put("K", 3, v={"integer_value": 100, "exclude_from_indexes": True})
    count = {"count": {}, "alias": "n"}
    assert {"n": 3} == low.aggregate("K", count)
    assert {"n": 1, "s": 1} == low.aggregate("K", count, {"sum": {"property": {"name": "v"}}, "alias": "s"})
