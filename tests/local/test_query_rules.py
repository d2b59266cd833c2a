"""What may not stand together in one query, on every Datastore there is."""

from __future__ import annotations

from typing import Any

import pytest
from datastore_backends import DatastoreBackend, with_firestore
from datastore_support import Low, all_of, any_of, identifiers, properties, skip_gap, where
from google.api_core import exceptions

datastore_backend = with_firestore


@pytest.fixture
def low(datastore_backend: DatastoreBackend) -> Low:
    return Low(datastore_backend)


def under(low: Low, *path: Any) -> dict[str, Any]:
    """The filter on descendants of a key."""
    return where("__key__", "HAS_ANCESTOR", {"key_value": low.key(*path)})


NEGATIONS = {
    "two of one property": all_of(where("p", "NOT_EQUAL", 1), where("p", "NOT_EQUAL", 2)),
    "two of two properties": all_of(where("p", "NOT_EQUAL", 1), where("q", "NOT_EQUAL", 1)),
    "in two alternatives": any_of(where("p", "NOT_EQUAL", 1), where("q", "NOT_EQUAL", 1)),
    "both sorts": all_of(where("p", "NOT_EQUAL", 1), where("q", "NOT_IN", [1])),
    "NOT_IN and IN": all_of(where("p", "NOT_IN", [1]), where("q", "IN", [1, 2])),
    "NOT_IN and OR": all_of(
        where("p", "NOT_IN", [1]), any_of(where("q", "EQUAL", 1), where("q", "EQUAL", 2))
    ),
    "NOT_IN alone under OR": any_of(where("p", "NOT_IN", [1])),
    "eleven values": where("p", "NOT_IN", list(range(11))),
    "31 times one value": where("p", "IN", [1] * 31),
}


@pytest.mark.parametrize("asked", NEGATIONS.values(), ids=NEGATIONS.keys())
def test_filters_that_exclude_each_other_are_refused(low: Low, asked: dict[str, Any]) -> None:
    """INVALID_ARGUMENT: one negation in a query, and beside NOT_IN no disjunction."""
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", filter=asked)


def test_what_is_allowed_beside_a_negation(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Comparisons, disjunctions beside !=, and ten values of NOT_IN."""
    skip_gap(datastore_backend, "operators")
    for name, value in (("a", 1), ("b", 2), ("c", 3)):
        low.put("K", name, p=value, q=value)
    several = any_of(where("q", "EQUAL", 1), where("q", "EQUAL", 2))
    assert ["b"] == identifiers(low.query("K", filter=all_of(where("p", "NOT_EQUAL", 1), several)))
    assert ["b"] == identifiers(
        low.query("K", filter=all_of(where("p", "NOT_EQUAL", 1), where("q", "IN", [1, 2])))
    )
    ten = where("p", "NOT_IN", [1, *range(4, 13)])
    assert ["c"] == identifiers(low.query("K", filter=all_of(ten, where("q", "GREATER_THAN", 2))))


@pytest.mark.parametrize("place", range(4))
def test_alternatives_have_one_ancestor_together(low: Low, place: int) -> None:
    """Another one, an inner one, or none in one of the alternatives is INVALID_ARGUMENT."""
    first, other, inner = under(low, "P", 1), under(low, "P", 2), under(low, "P", 1, "K", "a")
    asked = [
        any_of(first, other),
        any_of(first, where("p", "EQUAL", 1)),
        all_of(first, inner),
        all_of(first, any_of(other, where("p", "EQUAL", 1))),
    ][place]
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", filter=asked)


def test_alternatives_may_share_their_ancestor(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Named beside them, or in each of them."""
    skip_gap(datastore_backend, "operators")
    low.put("P", 1, "K", "a", p=1)
    low.put("P", 1, "K", "b", p=2)
    low.put("P", 2, "K", "c", p=1)
    ancestor, one, two = under(low, "P", 1), where("p", "EQUAL", 1), where("p", "EQUAL", 2)
    assert ["a", "b"] == identifiers(low.query("K", filter=all_of(ancestor, any_of(one, two))))
    each = any_of(all_of(ancestor, one), all_of(ancestor, two))
    assert ["a", "b"] == identifiers(low.query("K", filter=each))


@pytest.mark.parametrize(
    "fields",
    [{"projection": properties("p", "p")}, {"distinct_on": [{"name": "p"}, {"name": "p"}]}],
    ids=["projected", "distinct"],
)
def test_a_property_is_named_once(low: Low, fields: dict[str, Any]) -> None:
    """In a projection, and among the distinct properties."""
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", **fields)


@pytest.mark.parametrize("shown", [("__key__",), ("q",)], ids=["keys only", "another property"])
def test_what_is_added_up_must_be_shown(
    low: Low, datastore_backend: DatastoreBackend, shown: tuple[str, ...]
) -> None:
    """A sum over a query that does not show the property is INVALID_ARGUMENT; a count needs nothing."""
    skip_gap(datastore_backend, "aggregations")
    low.put("K", 1, p=1, q=1)
    asked = {"projection": properties(*shown)}
    with pytest.raises(exceptions.InvalidArgument):
        low.aggregate("K", {"sum": {"property": {"name": "p"}}, "alias": "s"}, **asked)
    assert {"n": 1} == low.aggregate("K", {"count": {}, "alias": "n"}, **asked)


def test_offset_and_limit_count_what_has_the_property(low: Low, datastore_backend: DatastoreBackend) -> None:
    """An entity without an aggregated property is not there for them either."""
    skip_gap(datastore_backend, "aggregations")
    for number in range(1, 7):
        low.put("K", number, **({"p": number} if number % 2 == 0 else {"q": number}))
    both = ({"sum": {"property": {"name": "p"}}, "alias": "s"}, {"count": {}, "alias": "n"})
    assert {"s": 6, "n": 2} == low.aggregate("K", *both, limit=2)
    assert {"s": 10, "n": 2} == low.aggregate("K", *both, offset=1)
    assert {"s": 4, "n": 1} == low.aggregate("K", *both, offset=1, limit=1)
    assert {"n": 1} == low.aggregate("K", {"count": {}, "alias": "n"}, offset=5, limit=3)
    counted = low.aggregate("K", {"count": {"up_to": 1}, "alias": "n"}, both[0], limit=3)
    assert {"n": 1, "s": 12} == counted


def test_the_answer_does_not_depend_on_how_deep_filters_are_nested(low: Low) -> None:
    """A rule is found broken under many composite filters of one part each."""
    asked = all_of(where("p", "NOT_EQUAL", 1), where("q", "NOT_EQUAL", 1))
    for _ in range(10):
        asked = all_of(asked)
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", filter=asked)
