"""Explained queries: the indexes of production's plan, and the statistics of what was run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from datastore_backends import PROJECT, DatastoreBackend
from datastore_support import Low, all_of, any_of, by, properties, where
from google.cloud.datastore_v1 import types
from google.protobuf.json_format import MessageToDict

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.entity.keys import Partition
from fantasm_gcp.local.datastore.querying.explain import fill_aggregation_stats, fill_plan, fill_query_stats
from fantasm_gcp.local.datastore.querying.query import Query, parse_query

GROUP, BELOW = "Collection Group", "Includes ancestors"
HOME = Partition(PROJECT, "", "")


def parsed(**fields: Any) -> Query:
    """A query over kind K, unless another is given, as the server runs it."""
    return parse_query(types.Query.pb(types.Query({"kind": [{"name": "K"}]} | fields)), HOME)


def metrics() -> Any:
    return types.ExplainMetrics.pb()()


def key(*path: Any) -> dict[str, Any]:
    elements = [
        {"kind": kind, "name" if isinstance(i, str) else "id": i}
        for kind, i in zip(path[::2], path[1::2], strict=True)
    ]
    return {"key_value": {"partition_id": {"project_id": PROJECT}, "path": elements}}


def plan_of(filled: Any) -> list[tuple[str, str]]:
    """The scopes and properties of the indexes in raw metrics."""
    return [(used["query_scope"], used["properties"]) for used in filled.plan_summary.indexes_used]


A, B = where("a", "EQUAL", 1), where("b", "EQUAL", 2)
UNDER = where("__key__", "HAS_ANCESTOR", key("P", 1))

PLANS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, [(GROUP, "(__name__ ASC)")]),
    ({"kind": []}, [(GROUP, "(__name__ ASC)")]),
    ({"order": by("-__key__")}, [(GROUP, "(__name__ DESC)")]),
    ({"filter": A}, [(GROUP, "(a ASC, __name__ ASC)")]),
    ({"filter": all_of(A, B)}, [(GROUP, "(a ASC, __name__ ASC)"), (GROUP, "(b ASC, __name__ ASC)")]),
    ({"filter": all_of(A, where("a", "EQUAL", 2))}, [(GROUP, "(a ASC, __name__ ASC)")]),
    ({"filter": where("a", "IN", [1, 2])}, [(GROUP, "(a ASC, __name__ ASC)")]),
    ({"filter": any_of(A, B)}, [(GROUP, "(a ASC, __name__ ASC)"), (GROUP, "(b ASC, __name__ ASC)")]),
    ({"order": by("a", "-b")}, [(GROUP, "(a ASC, b DESC, __name__ ASC)")]),
    ({"order": by("-a", "-__key__")}, [(GROUP, "(a DESC, __name__ DESC)")]),
    ({"filter": where("a", "GREATER_THAN", 1)}, [(GROUP, "(a ASC, __name__ ASC)")]),
    ({"filter": A, "order": by("-b")}, [(GROUP, "(a ASC, b DESC, __name__ ASC)")]),
    ({"filter": all_of(A, where("b", "LESS_THAN", 1))}, [(GROUP, "(a ASC, b ASC, __name__ ASC)")]),
    ({"filter": A, "order": by("a")}, [(GROUP, "(a ASC, __name__ ASC)")]),
    ({"projection": properties("a", "b")}, [(GROUP, "(a ASC, b ASC, __name__ ASC)")]),
    ({"projection": properties("__key__"), "filter": A}, [(GROUP, "(a ASC, __name__ ASC)")]),
    ({"filter": UNDER}, [(BELOW, "(__name__ ASC)")]),
    ({"filter": all_of(UNDER, A), "order": by("b")}, [(BELOW, "(a ASC, b ASC, __name__ ASC)")]),
    (
        {"filter": all_of(UNDER, where("__key__", "GREATER_THAN", key("P", 1, "K", 5)))},
        [(BELOW, "(__name__ ASC)")],
    ),
    ({"filter": where("__key__", "LESS_THAN", key("K", 255))}, [(GROUP, "(__name__ ASC)")]),
    ({"filter": where("__key__", "LESS_THAN", key("K", "\x7f"))}, [(GROUP, "(__name__ ASC)")]),
    ({"filter": where("__key__", "EQUAL", key("K", 255))}, [(GROUP, "(__name__ ASC)")]),
]


@pytest.mark.parametrize(("fields", "expected"), PLANS)
def test_a_plan_names_the_indexes_of_production(fields: dict[str, Any], expected: list[Any]) -> None:
    """Equalities merge single indexes; anything sorted or projected needs one of all; each once."""
    filled = metrics()
    fill_plan(filled, parsed(**fields))
    assert expected == plan_of(filled)
    assert not filled.HasField("execution_stats")


def test_aggregated_properties_are_columns() -> None:
    """They follow the others, as in the vendor's own test of an ancestor query with sum and average."""
    filled = metrics()
    fill_plan(filled, parsed(filter=all_of(UNDER, where("T", "EQUAL", 1))), ["I", "I"])
    assert [(BELOW, "(T ASC, I ASC, __name__ ASC)")] == plan_of(filled)


def test_a_property_that_is_filtered_or_sorted_is_no_second_column() -> None:
    """Aggregating what the index holds anyway needs no other index."""
    filled = metrics()
    fill_plan(filled, parsed(filter=A, order=by("-b")), ["a", "b", "c"])
    assert [(GROUP, "(a ASC, b DESC, c ASC, __name__ ASC)")] == plan_of(filled)


def stats_of(filled: Any) -> dict[str, Any]:
    """The statistics in raw metrics as plain values; 64-bit numbers are strings, as in JSON."""
    found: dict[str, Any] = MessageToDict(filled.execution_stats, preserving_proto_field_name=True)
    return found


def batch(results: int, skipped: int = 0) -> Any:
    made = types.QueryResultBatch(entity_results=[{}] * results, skipped_results=skipped)
    return types.QueryResultBatch.pb(made)


@pytest.mark.parametrize(
    ("fields", "results", "skipped", "expected"),
    [
        ({}, 3, 0, {"reads": "3", "entries": "3", "documents": "3", "small": "0", "minimum": "0"}),
        ({}, 3, 2, {"reads": "5", "entries": "5", "documents": "5", "small": "0", "minimum": "0"}),
        ({}, 0, 0, {"reads": "1", "entries": "0", "documents": "0", "small": "0", "minimum": "1"}),
        (
            {"projection": properties("__key__")},
            3,
            0,
            {"reads": "1", "entries": "3", "documents": "0", "small": "3", "minimum": "0"},
        ),
        (
            {"projection": properties("a")},
            3,
            1,
            {"reads": "1", "entries": "4", "documents": "0", "small": "4", "minimum": "0"},
        ),
    ],
)
def test_statistics_of_a_query_count_what_is_billed(
    fields: dict[str, Any], results: int, skipped: int, expected: dict[str, str]
) -> None:
    """Entities are reads, skipped ones too; keys and projections are small; nothing found is one read."""
    filled = metrics()
    fill_query_stats(filled, parsed(**fields), batch(results, skipped), 1.5)
    stats = stats_of(filled)
    billing = stats["debug_stats"]["billing_details"]
    assert str(results) == stats.get("results_returned", "0")
    assert "1.500s" == stats["execution_duration"]
    assert expected == {
        "reads": stats["read_operations"],
        "entries": stats["debug_stats"]["index_entries_scanned"],
        "documents": stats["debug_stats"]["documents_scanned"],
        "small": billing["small_ops"],
        "minimum": billing["min_query_cost"],
    }
    assert "0" == billing["index_entries_billable"]


@pytest.mark.parametrize(("counted", "reads"), [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (2500, "3")])
def test_an_aggregation_is_a_read_for_each_thousand_entries(counted: int, reads: str) -> None:
    """At least one, and its one result is no entity."""
    filled = metrics()
    fill_aggregation_stats(filled, counted, 0.25)
    stats = stats_of(filled)
    assert ("1", reads, "0.250s") == (
        stats["results_returned"],
        stats["read_operations"],
        stats["execution_duration"],
    )
    assert (str(counted), "0") == (
        stats["debug_stats"]["index_entries_scanned"],
        stats["debug_stats"]["documents_scanned"],
    )


# -- through the client


@pytest.fixture
def low() -> Iterator[Low]:
    """Three entities of kind K."""
    server = DatastoreServer()
    low = Low(DatastoreBackend("local-inprocess", "", server=server))
    for number in (1, 2, 3):
        low.put("K", number, a=number)
    yield low
    server.close()


def request_of(low: Low, *, analyze: bool, **fields: Any) -> dict[str, Any]:
    return {
        "project_id": PROJECT,
        "partition_id": {"namespace_id": low.namespace},
        "explain_options": {"analyze": analyze},
        **fields,
    }


OVER_K = {"kind": [{"name": "K"}], "order": by("-a")}
SUM_OVER_K = {
    "nested_query": {"kind": [{"name": "K"}]},
    "aggregations": [{"sum": {"property": {"name": "a"}}, "alias": "s"}],
}


def raw(response: Any) -> Any:
    return type(response).pb(response)


def test_a_plan_alone_runs_nothing(low: Low) -> None:
    """Without ``analyze`` there is the plan, no batch and no statistics."""
    response = raw(low.api.run_query(request=request_of(low, analyze=False, query=OVER_K)))
    assert [(GROUP, "(a DESC, __name__ ASC)")] == plan_of(response.explain_metrics)
    assert not response.HasField("batch")
    assert not response.explain_metrics.HasField("execution_stats")


def test_an_analyzed_query_gives_results_and_statistics(low: Low) -> None:
    """With ``analyze`` all is there."""
    request = request_of(low, analyze=True, query=OVER_K | {"limit": 2})
    response = raw(low.api.run_query(request=request))
    assert 2 == len(response.batch.entity_results)
    assert [(GROUP, "(a DESC, __name__ ASC)")] == plan_of(response.explain_metrics)
    assert "2" == stats_of(response.explain_metrics)["read_operations"]


def test_an_aggregation_is_planned_or_analyzed(low: Low) -> None:
    """The aggregated property is in the plan; statistics count what was added up."""
    planned = low.api.run_aggregation_query(
        request=request_of(low, analyze=False, aggregation_query=SUM_OVER_K)
    )
    assert [(GROUP, "(a ASC, __name__ ASC)")] == plan_of(raw(planned).explain_metrics)
    assert not raw(planned).HasField("batch")
    ran = raw(
        low.api.run_aggregation_query(request=request_of(low, analyze=True, aggregation_query=SUM_OVER_K))
    )
    assert 6 == ran.batch.aggregation_results[0].aggregate_properties["s"].integer_value
    assert "3" == stats_of(ran.explain_metrics)["debug_stats"]["index_entries_scanned"]


def test_a_gql_query_is_explained(low: Low) -> None:
    """The plan of the text's query, which is shown too."""
    gql = {"query_string": "SELECT __key__ FROM K WHERE a > 1", "allow_literals": True}
    response = raw(low.api.run_query(request=request_of(low, analyze=False, gql_query=gql)))
    assert [(GROUP, "(a ASC, __name__ ASC)")] == plan_of(response.explain_metrics)
    assert "K" == response.query.kind[0].name


def test_a_query_without_explain_options_has_no_metrics(low: Low) -> None:
    """Metrics are for those who ask."""
    assert not raw(low.query("K")).HasField("explain_metrics")
