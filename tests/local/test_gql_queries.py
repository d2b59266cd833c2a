"""GQL through the real client: results, parsed queries and refusals, compared with the vendor's emulators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from datastore_backends import PROJECT, DatastoreBackend
from datastore_support import Low, identifiers, plain, skip_gap
from google.api_core import exceptions
from gql_support import bound, message, partition

from fantasm_gcp.local.datastore.gql import read_gql


@pytest.fixture
def low(datastore_backend: DatastoreBackend) -> Iterator[Low]:
    """Five entities of kind K: a is their id, b its parity, and a child of the first."""
    low = Low(datastore_backend)
    for number in range(1, 6):
        low.put("K", number, a=number, b=number % 2, e=f"it's {number}")
    low.put("K", 1, "C", "x", a=9)
    return low


def request_of(low: Low, text: str, **bindings: Any) -> dict[str, Any]:
    named = {name: bound(value) for name, value in bindings.items()}
    return {
        "project_id": PROJECT,
        "partition_id": {"project_id": PROJECT, "namespace_id": low.namespace},
        "gql_query": {"query_string": text, "allow_literals": True, "named_bindings": named},
    }


RUN: list[tuple[str, list[Any]]] = [
    ("SELECT * FROM K", [1, 2, 3, 4, 5]),
    ("SELECT __key__ FROM K ORDER BY a DESC LIMIT 2 OFFSET 1", [4, 3]),
    ("SELECT * FROM K WHERE b = 1 AND a >= 3 ORDER BY a", [3, 5]),
    ("SELECT * FROM K WHERE 3 <= a AND a < @x ORDER BY a", [3, 4]),
    ("SELECT * FROM K WHERE e = 'it''s 2'", [2]),
    ("SELECT K.a FROM K ORDER BY K.a LIMIT 1", [1]),
    ("SELECT DISTINCT b FROM K", [2, 1]),
    ("SELECT * WHERE __key__ HAS ANCESTOR KEY(K, 1)", [1, "x"]),
    ("SELECT * FROM C WHERE KEY(K, 1) HAS DESCENDANT __key__", ["x"]),
    ("SELECT * FROM C WHERE __key__ = KEY(K, 1, C, 'x')", ["x"]),
]


@pytest.mark.parametrize(("text", "expected"), RUN)
def test_gql_runs(low: Low, text: str, expected: list[Any]) -> None:
    """Results are those that the vendor's emulator gives for the same text."""
    assert expected == identifiers(low.api.run_query(request=request_of(low, text, x=5)))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM K WHERE a = 1 AND b = 1 ORDER BY a DESC LIMIT 3 OFFSET 1",
        "SELECT DISTINCT ON (K.b) a, b FROM K",
        "SELECT __key__ WHERE __key__ > KEY(K, 2)",
        "SELECT * FROM K WHERE 'x' <= `a` AND a < BLOB('aGk')",
    ],
)
def test_the_response_shows_the_parsed_query(low: Low, text: str) -> None:
    """As documented, and field by field as the vendor's emulator parses it."""
    response = low.api.run_query(request=request_of(low, text))
    expected = read_gql(message(text), partition(low.namespace), PROJECT, "")
    assert expected == type(response.query).pb(response.query)


def test_cursors_bind(low: Low) -> None:
    """A batch's cursor continues a GQL query as a start and bounds it as an end."""
    first = low.api.run_query(request=request_of(low, "SELECT * FROM K LIMIT 2")).batch
    after = low.api.run_query(request=request_of(low, "SELECT * FROM K OFFSET @c + 1", c=first.end_cursor))
    until = low.api.run_query(
        request=request_of(low, "SELECT * FROM K LIMIT FIRST(@c, 9)", c=first.end_cursor)
    )
    assert [4, 5] == identifiers(after)
    assert [1, 2] == identifiers(until)


@pytest.mark.parametrize("text", ["SELECT * FROM K;", "SELECT", "SELECT * FROM K WHERE a = @nope"])
def test_refusals_reach_the_client(low: Low, text: str) -> None:
    """A mistake in the text is INVALID_ARGUMENT there too."""
    with pytest.raises(exceptions.InvalidArgument):
        low.api.run_query(request=request_of(low, text))


def test_filters_of_gql_run(low: Low, datastore_backend: DatastoreBackend) -> None:
    """IN, OR and != as in the structured form."""
    skip_gap(datastore_backend, "operators")
    text = "SELECT * FROM K WHERE a IN ARRAY(1, 5) OR (b = 0 AND a != 2)"
    assert [1, 4, 5] == sorted(identifiers(low.api.run_query(request=request_of(low, text))))


def test_gql_aggregates(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Aliases are as for the structured form, and the response shows the parsed query."""
    skip_gap(datastore_backend, "aggregations")
    text = "AGGREGATE COUNT(*), SUM(a) AS s, COUNT_UP_TO(2) OVER (SELECT * FROM K WHERE a > 1 LIMIT 3)"
    response = low.api.run_aggregation_query(request=request_of(low, text))
    found = response.batch.aggregation_results[0].aggregate_properties
    assert {"property_1": 3, "s": 9, "property_2": 2} == {name: plain(value) for name, value in found.items()}
    if datastore_backend.server is not None:  # documented, but the vendor's emulator leaves it out
        assert 3 == len(response.query.aggregations)


def test_a_request_without_a_query_is_refused(low: Low, datastore_backend: DatastoreBackend) -> None:
    """Neither form given is INVALID_ARGUMENT for both methods."""
    skip_gap(datastore_backend, "aggregations")
    with pytest.raises(exceptions.InvalidArgument):
        low.api.run_query(request={"project_id": PROJECT})
    with pytest.raises(exceptions.InvalidArgument):
        low.api.run_aggregation_query(request={"project_id": PROJECT})
