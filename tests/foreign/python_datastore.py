"""What the library's Python client does with a Datastore, and what it must be answered; part by part."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any

import pytest
from google.cloud import datastore
from google.cloud.datastore.helpers import GeoPoint
from google.cloud.datastore.query import And, Or, PropertyFilter
from refusals import refused

Client = datastore.Client

UTC = dt.UTC


def make(client: Client, key: datastore.Key, hidden: tuple[str, ...] = (), **values: Any) -> datastore.Entity:
    """An entity that is not yet put."""
    entity = datastore.Entity(key=key, exclude_from_indexes=hidden)
    entity.update(values)
    return entity


def planets(client: Client) -> list[datastore.Entity]:
    """Eight entities under one parent, put if they were not: ``n`` 1 to 8, ``inner``, ``mass``, ``tags``."""
    sun = client.key("Star", "sun")
    made = [
        make(
            client,
            client.key("Planet", f"p{n}", parent=sun),
            n=n,
            inner=n < 5,
            mass=n / 2,
            tags=[f"t{n % 2}", f"u{n % 3}"],
        )
        for n in range(1, 9)
    ]
    client.put_multi(made)
    return made


def numbers(found: Any) -> list[int]:
    """The ``n`` of each result, in order."""
    return [entity["n"] for entity in found]


def where(client: Client, name: str, operator: str, value: Any) -> datastore.Query:
    """A query of planets with one filter."""
    return client.query(kind="Planet", filters=[]).add_filter(filter=PropertyFilter(name, operator, value))


def values_come_back_as_they_went(client: Client) -> None:
    key = client.key("Value", "all")
    inner = make(client, client.key("Inner", 3), a=1)
    unnamed = datastore.Entity()
    unnamed["b"] = [1, "two"]
    values = {
        "text": "Grüße 🌍\x00",
        "raw": b"\x00\xff",
        "whole": 2**63 - 1,
        "least": -(2**63),
        "broken": 0.1,
        "yes": True,
        "nothing": None,
        "when": dt.datetime(2026, 11, 22, 1, 2, 3, 456789, tzinfo=UTC),
        "at": GeoPoint(48.25, 16.5),
        "to": client.key("Planet", "p1", parent=client.key("Star", "sun")),
        "list": [1, 2.5, "three", None, False],
        "empty": [],
        "inner": inner,
        "unnamed": unnamed,
    }
    client.put(make(client, key, **values))
    found = client.get(key)
    assert found is not None
    assert values == dict(found)
    assert key == found.key


def what_is_excluded_from_indexes_is_kept(client: Client) -> None:
    key = client.key("Value", "long")
    client.put(make(client, key, ("text",), text="x" * 100_000, seen=1))
    found = client.get(key)
    assert found is not None
    assert 100_000 == len(found["text"])
    assert {"text"} == found.exclude_from_indexes
    refused("INVALID_ARGUMENT", "1500 bytes", lambda: client.put(make(client, key, text="x" * 1501)))
    assert 1 == found["seen"]


def missing_and_present_are_told_apart(client: Client) -> None:
    planets(client)
    keys = [client.key("Star", "sun", "Planet", f"p{n}") for n in (1, 8, 9)]
    missing: list[Any] = []
    found = client.get_multi(keys, missing=missing)
    assert {1, 8} == set(numbers(found))
    assert [keys[2]] == [entity.key for entity in missing]
    assert client.get(keys[2]) is None
    assert [] == client.get_multi([])


def ids_are_given_and_reserved(client: Client) -> None:
    entity = make(client, client.key("Numbered"), a=1)
    client.put(entity)
    assert entity.key.id is not None
    found = client.get(entity.key)
    assert found is not None
    assert 1 == found["a"]
    keys = client.allocate_ids(client.key("Numbered"), 20)
    assert 20 == len({key.id for key in keys} - {entity.key.id})
    client.reserve_ids_multi([client.key("Numbered", 4711)])
    client.reserve_ids_sequential(client.key("Numbered", 5000), 3)


def a_batch_is_one_commit(client: Client) -> None:
    keys = [client.key("Batched", n) for n in range(1, 11)]
    with client.batch() as batch:
        for key in keys:
            batch.put(make(client, key, a=key.id))
        assert client.get(keys[0]) is None
    assert 10 == len(client.get_multi(keys))
    with suppress(ZeroDivisionError), client.batch() as batch:
        batch.delete(keys[0])
        _ = 1 / 0
    assert client.get(keys[0]) is not None
    client.delete_multi(keys)
    client.delete(keys[0])
    assert [] == client.get_multi(keys)


def every_operator_of_a_filter(client: Client) -> None:
    planets(client)
    assert [3] == numbers(where(client, "n", "=", 3).fetch())
    assert [1, 2] == numbers(where(client, "n", "<", 3).fetch())
    assert [1, 2, 3] == numbers(where(client, "n", "<=", 3).fetch())
    assert [7, 8] == numbers(where(client, "n", ">", 6).fetch())
    assert [6, 7, 8] == numbers(where(client, "n", ">=", 6).fetch())
    assert [1, 2, 3, 5, 6, 7, 8] == numbers(where(client, "n", "!=", 4).fetch())
    assert {1, 8} == set(numbers(where(client, "n", "IN", [1, 8, 99]).fetch()))
    assert {1, 8} == set(numbers(where(client, "n", "NOT_IN", [2, 3, 4, 5, 6, 7]).fetch()))
    assert {1, 3, 5, 7} == set(numbers(where(client, "tags", "=", "t1").fetch()))
    assert {1, 2, 3, 4} == set(numbers(where(client, "inner", "=", True).fetch()))
    assert [2] == numbers(where(client, "mass", "=", 1.0).fetch())
    assert [] == numbers(where(client, "n", "=", "3").fetch())


def filters_by_key_and_ancestor(client: Client) -> None:
    planets(client)
    sun = client.key("Star", "sun")
    query = client.query(kind="Planet", ancestor=sun)
    query.add_filter(filter=PropertyFilter("__key__", ">", client.key("Planet", "p6", parent=sun)))
    assert [7, 8] == numbers(query.fetch())
    assert 8 == len(list(client.query(ancestor=sun).fetch()))
    assert [] == list(client.query(kind="Planet", ancestor=client.key("Star", "other")).fetch())
    assert [3] == numbers(where(client, "__key__", "=", client.key("Planet", "p3", parent=sun)).fetch())


def filters_are_combined(client: Client) -> None:
    planets(client)
    query = client.query(kind="Planet")
    query.add_filter(
        filter=Or(
            [
                PropertyFilter("n", "<", 2),
                And([PropertyFilter("n", ">", 5), PropertyFilter("tags", "=", "t0")]),
            ]
        )
    )
    assert {1, 6, 8} == set(numbers(query.fetch()))
    both = client.query(kind="Planet")
    both.add_filter(filter=And([PropertyFilter("tags", "=", "t0"), PropertyFilter("tags", "=", "u2")]))
    assert {2, 8} == set(numbers(both.fetch()))
    two = client.query(kind="Planet", order=["n"])
    two.add_filter(filter=PropertyFilter("n", ">", 2))
    two.add_filter(filter=PropertyFilter("mass", "<", 3.0))
    assert [3, 4, 5] == numbers(two.fetch())


def orders_limits_and_offsets(client: Client) -> None:
    planets(client)
    assert [8, 7, 6] == numbers(client.query(kind="Planet", order=["-n"]).fetch(limit=3))
    by_two = client.query(kind="Planet", order=["inner", "-n"])
    assert [8, 7, 6, 5, 4, 3, 2, 1] == numbers(by_two.fetch())
    assert [3, 4] == numbers(client.query(kind="Planet", order=["n"]).fetch(limit=2, offset=2))
    assert [] == numbers(client.query(kind="Planet").fetch(limit=0))
    assert [] == numbers(client.query(kind="Planet").fetch(offset=100))


def projections_and_groups(client: Client) -> None:
    planets(client)
    rows = client.query(kind="Planet", projection=["n", "tags"]).add_filter(
        filter=PropertyFilter("n", "<=", 2)
    )
    assert [(1, "t1"), (1, "u1"), (2, "t0"), (2, "u2")] == [(row["n"], row["tags"]) for row in rows.fetch()]
    groups = client.query(kind="Planet", projection=["inner"], distinct_on=["inner"], order=["inner"])
    assert [False, True] == [row["inner"] for row in groups.fetch()]
    query = client.query(kind="Planet")
    query.keys_only()
    found = list(query.fetch(limit=2))
    assert ["p1", "p2"] == [entity.key.name for entity in found]
    assert [{}, {}] == [dict(entity) for entity in found]


def pages_by_cursors(client: Client) -> None:
    planets(client)
    query = client.query(kind="Planet", order=["n"])
    cursor, pages = None, []
    while True:
        iterator = query.fetch(limit=3, start_cursor=cursor)
        pages.append(numbers(next(iterator.pages)))
        cursor = iterator.next_page_token
        if cursor is None or len(pages) > 4:
            break
    assert [[1, 2, 3], [4, 5, 6], [7, 8]] == [page for page in pages if page]
    first = query.fetch(limit=3)
    assert [1, 2, 3] == numbers(first)
    assert [1, 2, 3] == numbers(query.fetch(end_cursor=first.next_page_token))
    assert 8 == sum(len(list(page)) for page in query.fetch().pages)


def aggregations_of_queries(client: Client) -> None:
    planets(client)
    asked = client.aggregation_query(where(client, "inner", "=", True))
    asked.count(alias="how many").sum("n", alias="sum").avg("mass", alias="mean")
    [[*results]] = list(asked.fetch())
    assert {"how many": 4, "sum": 10, "mean": 1.25} == {result.alias: result.value for result in results}
    few = client.aggregation_query(client.query(kind="Planet")).count(alias="c")
    assert [[3]] == [[each.value for each in page] for page in few.fetch(limit=3)]
    with client.transaction():
        assert [[8]] == [[each.value for each in page] for page in few.fetch()]


def transactions_commit_and_roll_back(client: Client) -> None:
    key = client.key("Counter", "one")
    with client.transaction():
        entity = client.get(key) or make(client, key, n=0)
        entity["n"] += 1
        client.put(entity)
        assert client.get(key) is None
    assert 1 == client.get(key)["n"]
    with client.transaction(begin_later=True):
        entity = client.get(key)
        entity["n"] += 1
        client.put(entity)
        fresh = make(client, client.key("Counter"), n=9)
        client.put(fresh)
    assert 2 == client.get(key)["n"]
    assert 9 == client.get(fresh.key)["n"]
    with suppress(ZeroDivisionError), client.transaction():
        client.delete(key)
        _ = 1 / 0
    assert 2 == client.get(key)["n"]


def the_later_of_two_transactions_is_aborted(client: Client) -> None:
    key = client.key("Counter", "two")
    client.put(make(client, key, n=0))
    late = client.transaction()
    late.begin()
    seen = client.get(key, transaction=late)
    with client.transaction():
        entity = client.get(key)
        entity["n"] = 5
        client.put(entity)
    seen["n"] += 1
    late.put(seen)
    refused("ABORTED", "contention", late.commit)
    assert 5 == client.get(key)["n"]


def a_read_only_transaction_reads(client: Client) -> None:
    planets(client)
    with client.transaction(read_only=True):
        sun = client.key("Star", "sun")
        assert 3 == client.get(client.key("Planet", "p3", parent=sun))["n"]
        assert 8 == len(list(client.query(kind="Planet", ancestor=sun).fetch()))
    with client.transaction(read_only=True) as transaction, pytest.raises(RuntimeError):
        transaction.put(make(client, client.key("Value", "no"), a=1))


def inserts_and_versions_by_mutations(client: Client) -> None:
    key = client.key("Once", "only")
    commit = client._datastore_api.commit  # the client has no method for these
    entity = {"key": key.to_protobuf(), "properties": {"a": {"integer_value": 1}}}
    insert = {"project_id": client.project, "mode": "NON_TRANSACTIONAL", "mutations": [{"insert": entity}]}
    commit(request=insert)
    refused("ALREADY_EXISTS", "already exists", lambda: commit(request=insert))
    stale = {"update": entity, "base_version": 1, "conflict_resolution_strategy": "FAIL"}
    refused("FAILED_PRECONDITION", "version", lambda: commit(request=insert | {"mutations": [stale]}))
    missing = {"update": {"key": client.key("Once", "none").to_protobuf()}}
    refused("NOT_FOUND", "no entity", lambda: commit(request=insert | {"mutations": [missing]}))


def namespaces_keep_apart(client: Client) -> None:
    key = client.key("Far", "away", namespace="elsewhere")
    client.put(make(client, key, a=1))
    assert client.get(client.key("Far", "away")) is None
    assert [key] == [entity.key for entity in client.query(kind="Far", namespace="elsewhere").fetch()]
    assert [] == list(client.query(kind="Far").fetch())


def what_is_wrong_is_told(client: Client) -> None:
    refused("INVALID_ARGUMENT", "non-empty", lambda: list(where(client, "n", "IN", []).fetch()))
    planets = client.query(kind="Planet")
    refused("INVALID_ARGUMENT", "", lambda: list(planets.fetch(start_cursor=b"bm90IGEgY3Vyc29y")))
    reserved = make(client, client.key("__reserved__", "a"), a=1)
    refused("INVALID_ARGUMENT", "reserved", lambda: client.put(reserved))


PARTS = (
    values_come_back_as_they_went,
    what_is_excluded_from_indexes_is_kept,
    missing_and_present_are_told_apart,
    ids_are_given_and_reserved,
    a_batch_is_one_commit,
    every_operator_of_a_filter,
    filters_by_key_and_ancestor,
    filters_are_combined,
    orders_limits_and_offsets,
    projections_and_groups,
    pages_by_cursors,
    aggregations_of_queries,
    transactions_commit_and_roll_back,
    the_later_of_two_transactions_is_aborted,
    a_read_only_transaction_reads,
    inserts_and_versions_by_mutations,
    namespaces_keep_apart,
    what_is_wrong_is_told,
)
