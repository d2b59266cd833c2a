"""How a known fault of an emulator is allowed for: answers made to say less, refusals taken for granted.

A blur is given an operation and one answer and leaves out of the answer what is not to be compared. An excuse is
given an operation and both replies and says whether their difference is the fault's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from differential.execution import Reply
from differential.normal import Answer
from differential.operations import Operation

Blur = Callable[[Operation, Answer], Answer]
Excuse = Callable[[Operation, Reply, Reply], bool]


def without(*names: str) -> Blur:
    """A blur that leaves fields out wherever they stand."""

    def blur(_: Operation, answer: Answer) -> Answer:
        return _dropped(answer, names)

    return blur


def _dropped(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _dropped(inner, names) for key, inner in value.items() if key not in names}
    if isinstance(value, list):
        return [_dropped(inner, names) for inner in value]
    return value


def without_commit_time(operation: Operation, answer: Answer) -> Answer:
    """A blur of the times of commits that are not transactional."""
    if operation.fields.get("mode") == "NON_TRANSACTIONAL":
        return _dropped(answer, ("commit time",))
    return answer


def without_versions_of_conflicts(operation: Operation, answer: Answer) -> Answer:
    """A blur of the versions in the results of mutations that met a conflict."""
    if operation.method != "Commit" or "results" not in answer:
        return answer
    results = [
        _dropped(result, ("version",)) if result["conflict"] else result for result in answer["results"]
    ]
    return answer | {"results": results}


def refused(*parts: str) -> Excuse:
    """Excuses a refusal of theirs by its words, whether or not we refuse too."""

    def excuse(_: Operation, ours: Reply, theirs: Reply) -> bool:
        return theirs.status != "OK" and any(part in theirs.details for part in parts)

    return excuse


def both_refused_with_a_choice(operation: Operation, ours: Reply, theirs: Reply) -> bool:
    """Excuses that a commit is refused for one of its faults here and for another there."""
    if operation.method != "Commit" or "OK" in (ours.status, theirs.status):
        return False
    mutations = operation.fields.get("mutations", ())
    expecting = any("base_version" in each or "update_time" in each for each in mutations)
    return len(mutations) > 1 or expecting or "transaction" in operation.fields


def refused_only_by_us_in_aggregations(operation: Operation, ours: Reply, theirs: Reply) -> bool:
    """Excuses an aggregation over a query that breaks a rule of queries."""
    rules = ("unique ancestor", "'NOT_IN' cannot", "Only a single", "more than 30 disjunctions")
    asked = operation.method == "RunAggregationQuery" and theirs.status == "OK"
    return asked and any(rule in ours.details for rule in rules)


def nothing_was_written(operation: Operation, ours: Reply, theirs: Reply) -> bool:
    """Excuses a conflict of a transaction that went unnoticed, as long as it has written nothing."""
    if ours.status != "ABORTED" or theirs.status != "OK" or operation.method != "Commit":
        return False
    return all(result.conflict_detected for result in theirs.message.mutation_results)


def shown_though_missing(operation: Operation, ours: Reply, theirs: Reply) -> bool:
    """Excuses what is found by a query that projects a property by which it sorts after the key."""
    if not ours.status == theirs.status == "OK":
        return False
    query = operation.fields.get("query", {})
    sorted_by = [order["property"]["name"] for order in query.get("order", ())]
    after = sorted_by[sorted_by.index("__key__") + 1 :] if "__key__" in sorted_by else []
    shown = {projected["property"]["name"] for projected in query.get("projection", ())}
    text = operation.fields.get("gql_query", {}).get("query_string", "")
    after += re.findall(r"`(\w+)`", text.partition(" ORDER BY ")[2].partition("__key__")[2])
    shown |= set(re.findall(r"`(\w+)`", text.partition(" FROM ")[0]))
    return not shown.isdisjoint(after)


def rows_of_a_compared_array(operation: Operation, ours: Reply, theirs: Reply) -> bool:
    """Excuses a projection for the same rows several times, where it is not sorted by an order."""
    query = operation.fields.get("query", {})
    if not (ours.status == theirs.status == "OK" and query.get("projection") and query.get("filter")):
        return False
    found = [
        {each.entity.SerializeToString(deterministic=True) for each in reply.message.batch.entity_results}
        for reply in (ours, theirs)
    ]
    return len(found[0]) == len(found[1]) < len(theirs.message.batch.entity_results)


def base_of_nothing(operation: Operation, ours: Reply, theirs: Reply) -> bool:
    """Excuses that a version which a conflict reported of no entity is a base of none."""
    return theirs.status == "OK" and ours.details.startswith("the stored version (0) does not match")


def without_stamps_of_keys(operation: Operation, answer: Answer) -> Answer:
    """A blur of versions and times where only keys, or parts of entities, are shown."""
    if answer.get("type") in ("KEY_ONLY", "PROJECTION"):
        return answer | {"results": _dropped(answer["results"], ("version", "created", "updated"))}
    return answer


def without_more_after_cursor(operation: Operation, answer: Answer) -> Answer:
    """A blur of why a batch ended, for queries that have an end."""
    ends = "end_cursor" in operation.fields.get("query", {})
    return _dropped(answer, ("more",)) if ends else answer


def as_if_finished(operation: Operation, answer: Answer) -> Answer:
    """A blur of the limit as the reason why a batch ended that has as many results."""
    limit = operation.fields.get("query", {}).get("limit", {}).get("value")
    text = operation.fields.get("gql_query", {}).get("query_string", "")
    reached = limit == len(answer.get("results", ())) or f"LIMIT {len(answer.get('results', ()))}" in text
    if answer.get("more") == "AFTER_LIMIT" and reached:
        return answer | {"more": "NO_MORE_RESULTS"}
    return answer


def without_end_of_aggregation(operation: Operation, answer: Answer) -> Answer:
    """A blur of why the batch of an aggregation ended."""
    return _dropped(answer, ("more",)) if operation.method == "RunAggregationQuery" else answer
