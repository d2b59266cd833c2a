"""The tool itself: it finds what is planted, shrinks it, excuses only what a gap names, and repeats itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from differential.comparison import Ran, compare, local
from differential.execution import execute, new_project
from differential.gaps import GAPS, Gap, avoided, gaps_of
from differential.generator import sequence
from differential.normal import normalise
from differential.operations import Earlier, Operation
from differential.replay import program
from differential.shrinking import shrunk
from differential.situation import FEATURES
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import LocalChannel

WHERE = {"partition_id": {"project_id": "{project}"}}
KEY = {**WHERE, "path": [{"kind": "K", "name": "a"}]}


class Tampering(LocalChannel):
    """A channel to a server, whose answers to queries something is done to."""

    def __init__(self, server: DatastoreServer, tamper: Callable[[Any], None]) -> None:
        super().__init__(server.service)
        self._tamper = tamper

    def unary_unary(self, method: str, *arguments: Any, **more: Any) -> Any:
        call = super().unary_unary(method, *arguments, **more)

        def tampered(request: Any, **options: Any) -> Any:
            response = call(request, **options)
            if method.endswith("/RunQuery"):
                self._tamper(response)
            return response

        return tampered


def tampering(operations: Sequence[Operation], tamper: Callable[[Any], None]) -> Ran:
    """Runs a sequence on a backend with a planted fault."""
    server = DatastoreServer()
    project = new_project()
    replies = execute(operations, Tampering(server, tamper), project)
    server.close()
    return replies, normalise(replies, project)


def forgetful(operations: Sequence[Operation]) -> Ran:
    """A backend that forgets the properties named q of what it finds."""

    def forget(response: Any) -> None:
        for result in response.batch.entity_results:
            result.entity.properties.pop("q", None)

    return tampering(operations, forget)


def without_cursors(operations: Sequence[Operation]) -> Ran:
    """A backend that gives no cursors."""

    def take(response: Any) -> None:
        for result in response.batch.entity_results:
            result.ClearField("cursor")

    return tampering(operations, take)


def planted() -> list[Operation]:
    """A generated sequence that shows the planted fault."""
    found = (sequence(seed) for seed in range(50))
    return next(operations for operations in found if compare(operations, local, forgetful))


def test_a_backend_agrees_with_itself() -> None:
    """Two local servers differ in no operation of many sequences, though ids, times and versions do."""
    assert [None] * 40 == [compare(sequence(seed), local, local) for seed in range(40)]


def test_a_planted_difference_is_found_and_shrunk() -> None:
    """To what writes a property named q, and what reads it: two operations, each without needless parts."""
    smallest = shrunk(planted(), lambda candidate: compare(candidate, local, forgetful) is not None)
    assert ["Commit", "RunQuery"] == [operation.method for operation in smallest]
    (mutation,) = smallest[0].fields["mutations"]
    (written,) = (mutation[name] for name in ("insert", "update", "upsert") if name in mutation)
    assert {"q"} == written["properties"].keys()
    difference = compare(smallest, local, forgetful)
    assert difference is not None
    assert smallest[1] == difference.operation
    assert difference.ours["results"] != difference.theirs["results"]


def test_the_printed_program_holds_the_sequence() -> None:
    """Run as Python, it makes the same operations again."""
    operations = planted()
    text = program(operations, "datastore").rpartition("\n")[0]
    names: dict[str, Any] = {}
    exec(compile(text, "program", "exec"), names)  # our own words
    assert repr(operations) == repr(names["OPERATIONS"])


@pytest.mark.parametrize("emulator", ["datastore", "firestore"])
def test_the_same_seed_makes_the_same_sequence(emulator: str) -> None:
    """In any order and number of calls; other seeds make others."""
    made = [repr(sequence(seed, avoided(emulator))) for seed in range(20)]
    assert list(reversed(made)) == [repr(sequence(seed, avoided(emulator))) for seed in reversed(range(20))]
    assert 20 == len(set(made))


def test_every_method_and_every_part_of_a_query_is_generated() -> None:
    """Over some hundred sequences; what is never generated would be never compared."""
    text = "".join(repr(sequence(seed)) for seed in range(300))
    words = ["Commit", "Lookup", "RunQuery", "RunAggregationQuery", "BeginTransaction", "Rollback"]
    words += ["AllocateIds", "ReserveIds", "insert", "update", "upsert", "delete", "base_version", "FAIL"]
    words += ["SERVER_VALUE", "update_time", "property_mask", "property_transforms", "single_use_transaction"]
    words += ["read_only", "new_transaction", "start_cursor", "end_cursor", "offset", "limit", "projection"]
    words += ["distinct_on", "HAS_ANCESTOR", "NOT_IN", "NOT_EQUAL", "'IN'", "'OR'", "'AND'", "LESS_THAN"]
    words += ["__kind__", "__namespace__", "__property__", "up_to", "sum", "avg", "count", "REQUEST_TIME"]
    words += ["query_string", "DISTINCT ON", "ORDER BY", "HAS ANCESTOR", "NOT IN ARRAY"]
    words += ["nan", "-0.0", "9223372036854775807", "geo_point_value", "timestamp_value", "entity_value"]
    assert [] == [word for word in words if word not in text]


def test_most_operations_succeed_and_most_kinds_of_refusal_come_up() -> None:
    """Sequences of nothing but refusals, or of none, would compare little."""
    answers = [answer for seed in range(60) for answer in local(sequence(seed))[1]]
    refusals = {answer["status"] for answer in answers} - {"OK"}
    assert {"ABORTED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND"} <= refusals
    assert refusals <= {"ABORTED", "ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND"}
    assert 0.8 < sum(answer["status"] == "OK" for answer in answers) / len(answers) < 0.97


def test_an_excuse_holds_for_what_it_names_alone() -> None:
    """A gap about commits excuses no query; one about these queries does."""
    operations = planted()
    other = Gap("other", frozenset({"x"}), "x", excuses=lambda asked, ours, theirs: asked.method == "Commit")
    same = replace(other, excuses=lambda asked, ours, theirs: asked.method == "RunQuery")
    assert compare(operations, local, forgetful, [other]) is not None
    assert compare(operations, local, forgetful, [same]) is None


def test_what_follows_from_an_excused_answer_is_not_compared() -> None:
    """A cursor that one backend did not give makes another request of the query that goes on from it."""
    query = {"kind": [{"name": "K"}]}
    operations = [
        Operation(0, "Commit", {"mode": "NON_TRANSACTIONAL", "mutations": [{"upsert": {"key": KEY}}]}),
        Operation(1, "RunQuery", {**WHERE, "query": query}),
        Operation(2, "RunQuery", {**WHERE, "query": {**query, "start_cursor": Earlier("cursor", 1)}}),
    ]

    excuse = Gap("x", frozenset(), "x", excuses=lambda asked, ours, theirs: asked.number == 1)
    blind = Gap("y", frozenset(), "y", blurs=lambda asked, answer: answer if asked.number == 2 else {})
    unexcused, blurred = (compare(operations, local, without_cursors, gaps) for gaps in ([], [blind]))
    assert (1, 2) == (unexcused and unexcused.operation.number, blurred and blurred.operation.number)
    assert compare(operations, local, without_cursors, [excuse]) is None


def test_a_missing_operation_leaves_a_request_that_is_refused_or_empty() -> None:
    """So that shrinking may drop anything: the transaction of nothing is refused by the server."""
    orphan = Operation(5, "Rollback", {"transaction": Earlier("transaction", 4)})
    assert ["INVALID_ARGUMENT"] == [answer["status"] for answer in local([orphan])[1]]


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.name)
def test_a_gap_says_what_why_and_for_whom(gap: Gap) -> None:
    """Its name is its own, its reason a sentence, and it has an effect."""
    assert 1 == sum(gap.name == other.name for other in GAPS)
    assert gap.reason.endswith(".")
    assert gap.emulators
    assert gap.emulators <= {"datastore", "firestore"}
    assert gap.avoids <= FEATURES
    assert gap.avoids or gap.blurs or gap.excuses


def test_each_emulator_has_gaps_of_its_own() -> None:
    """What one lacks is still compared with the other: only few features are compared with neither."""
    assert gaps_of("datastore") != gaps_of("firestore")
    nowhere = avoided("datastore") & avoided("firestore")
    assert {"interleaved transactions", "several mutations outside of transactions"} == nowhere
