"""What a mutation may expect of the stored entity, on every Datastore there is."""

from __future__ import annotations

from typing import Any

import pytest
from datastore_backends import DatastoreBackend, with_firestore
from datastore_support import Low, identifiers, plain, skip_gap
from google.api_core import exceptions

FAIL = {"conflict_resolution_strategy": "FAIL"}
FUTURE = 10**17

datastore_backend = with_firestore


@pytest.fixture
def low(datastore_backend: DatastoreBackend) -> Low:
    return Low(datastore_backend)


def mutation(low: Low, operation: str, **more: Any) -> dict[str, Any]:
    """A mutation of the one entity these tests are about."""
    key = low.key("K", 1)
    return {operation: key if operation == "delete" else low.entity(key, v=2), **more}


@pytest.mark.parametrize("strategy", [{}, FAIL], ids=["reported", "failing"])
@pytest.mark.parametrize(
    ("operation", "base", "stored"),
    [
        ("insert", 1, False),
        ("insert", FUTURE, False),
        ("insert", 1, True),
        ("update", 0, True),
        ("update", 0, False),
        ("upsert", -1, True),
        ("delete", -1, False),
        ("upsert", FUTURE, True),
        ("update", FUTURE, True),
        ("delete", FUTURE, True),
    ],
)
def test_an_expectation_that_cannot_be_met_is_refused(
    low: Low, operation: str, base: int, stored: bool, strategy: dict[str, Any]
) -> None:
    """INVALID_ARGUMENT, whatever the strategy: something to insert over, nothing to update, or the future."""
    if stored:
        low.put("K", 1, v=1)
    with pytest.raises(exceptions.InvalidArgument):
        low.commit(mutation(low, operation, base_version=base, **strategy))
    assert ([1] if stored else []) == identifiers(low.query("K"))


def test_an_insert_may_expect_that_there_is_nothing(low: Low) -> None:
    """It writes where there is nothing; where there is something it is ALREADY_EXISTS, as ever."""
    low.commit(mutation(low, "insert", base_version=0))
    with pytest.raises(exceptions.AlreadyExists):
        low.commit(mutation(low, "insert", base_version=0))


def test_an_update_of_nothing_is_not_found_rather_than_a_conflict(low: Low) -> None:
    """Though the version it expects is not there either."""
    low.put("K", 2, v=1)
    version = low.put("K", 2, v=2).version
    with pytest.raises(exceptions.NotFound):
        low.commit(mutation(low, "update", base_version=version))


@pytest.mark.parametrize("first", [{"base_version": 0}, {}], ids=["another", "none"])
def test_mutations_of_one_entity_cannot_expect_different_versions(low: Low, first: dict[str, Any]) -> None:
    """The expectation is of the entity before the commit: a later one must be that of the first."""
    version = low.put("K", 1, v=1).version
    mutations = [mutation(low, "upsert", **first), mutation(low, "delete", base_version=version)]
    with pytest.raises(exceptions.InvalidArgument):
        low.commit(*mutations, single_use_transaction={})
    assert 1 == plain(low.lookup(low.key("K", 1)).found[0].entity.properties["v"])


def test_mutations_of_one_entity_cannot_have_different_strategies(low: Low) -> None:
    """One that fails and one that has no say is INVALID_ARGUMENT."""
    version = low.put("K", 1, v=1).version
    mutations = [mutation(low, "upsert", base_version=version, **FAIL), mutation(low, "delete")]
    with pytest.raises(exceptions.InvalidArgument):
        low.commit(*mutations, single_use_transaction={})


@pytest.mark.parametrize("later", ["upsert", "update", "delete"])
def test_what_the_first_mutation_expects_is_met_for_the_later(low: Low, later: str) -> None:
    """The same base version holds for the second mutation although the first has made another version."""
    version = low.put("K", 1, v=1).version
    results = low.commit(
        mutation(low, "upsert", base_version=version, **FAIL),
        mutation(low, later, base_version=version, **FAIL),
        single_use_transaction={},
    ).mutation_results
    assert [False, False] == [result.conflict_detected for result in results]


def test_a_conflict_of_the_first_mutation_is_one_of_the_later(
    low: Low, datastore_backend: DatastoreBackend
) -> None:
    """Neither writes, and both say so."""
    skip_gap(datastore_backend, "bases")
    old = low.put("K", 1, v=0).version
    low.put("K", 1, v=1)
    mutations = [mutation(low, operation, base_version=old) for operation in ("upsert", "delete")]
    results = low.commit(*mutations, single_use_transaction={}).mutation_results
    assert [True, True] == [result.conflict_detected for result in results]
    assert 1 == plain(low.lookup(low.key("K", 1)).found[0].entity.properties["v"])
