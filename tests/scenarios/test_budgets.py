"""What a transition costs, counted at the two clients: the table of docs/protocol.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.engine.operating import pause
from fantasm_gcp.testing import Harness, Rpc

HERE = Path(__file__).parent


@dataclass
class Bill:
    """RPCs by name, and entities read, written and deleted."""

    rpcs: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    writes: int = 0
    deletes: int = 0

    def around(self, rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        if rpc.method == "RunQuery" and "FantasmHold" in str(rpc.request):
            return carry_out()  # once in five seconds, for all steps of a process together
        self.rpcs[rpc.method] += 1
        response = carry_out()
        if rpc.method == "Lookup":
            self.reads += len(rpc.request.keys)
        elif rpc.method == "RunQuery":
            self.reads += max(1, len(response.batch.entity_results))
        elif rpc.method == "Commit":
            deletes = sum(1 for each in rpc.request.mutations if each.HasField("delete"))
            self.deletes += deletes
            self.writes += len(rpc.request.mutations) - deletes
        return response

    @property
    def total(self) -> int:
        return sum(self.rpcs.values())


@pytest.fixture
def harness():
    made = Harness(HERE / "budgets.yaml")
    yield made
    made.close()


def deliver(harness: Harness, target: str) -> Bill:
    """Delivers the next task to a state and bills it."""
    name = next(each for each in harness.tasks.due() if re.search(rf"--{target}--\d+$", each))
    return bill(harness, lambda: harness.deliver(harness.tasks.lease(name)))


def bill(harness: Harness, act: Callable[[], Any]) -> Bill:
    counted = Bill()
    harness.around = counted.around
    try:
        act()
    finally:
        harness.around = lambda _, carry_out: carry_out()
    return counted


def test_a_linear_step_is_a_lookup_a_commit_and_a_create(harness):
    """linear, exactly_once: 3 RPCs, 2 reads, 2 writes, 1 delete."""
    harness.start("Line/")
    deliver(harness, "One")
    cost = deliver(harness, "Two")
    assert {"Lookup": 1, "Commit": 1, "CreateTask": 1} == cost.rpcs
    assert (2, 2, 1) == (cost.reads, cost.writes, cost.deletes)


def test_a_linear_step_without_records_is_one_create(harness):
    """linear, at_least_once: 1 RPC and nothing in Datastore."""
    harness.start("Light/")
    deliver(harness, "One")
    cost = deliver(harness, "Two")
    assert {"CreateTask": 1} == cost.rpcs
    assert (0, 0, 0) == (cost.reads, cost.writes, cost.deletes)


def test_the_end_of_a_branch_that_is_not_the_last_adds_a_query(harness):
    """branch end, not the last: 3 RPCs, 4 reads, 1 write, 1 delete."""
    harness.start("Pages/")
    for _ in range(3):
        deliver(harness, "Page")
    cost = deliver(harness, "End")
    assert {"Lookup": 1, "Commit": 1, "RunQuery": 1} == cost.rpcs
    assert (4, 1, 1) == (cost.reads, cost.writes, cost.deletes)


def test_a_continuation_hop_adds_a_commit_and_a_create(harness):
    """continuation hop: 2 RPCs and 2 writes more than a linear step."""
    harness.start("Pages/")
    cost = deliver(harness, "Page")
    assert {"Lookup": 1, "Commit": 2, "CreateTask": 2} == cost.rpcs
    assert (2, 4, 1) == (cost.reads, cost.writes, cost.deletes)


def test_an_arrival_at_an_open_window_reads_it_in_a_transaction(harness):
    """timed arrival, not the opener: 4 RPCs, 4 reads, 2 writes, 1 delete (its state has no follow-up)."""
    harness.start("Gather/")
    deliver(harness, "Page")
    deliver(harness, "Page")
    cost = deliver(harness, "Page")
    assert {"Lookup": 2, "BeginTransaction": 1, "Commit": 1} == cost.rpcs
    assert (4, 2, 1) == (cost.reads, cost.writes, cost.deletes)


def test_opening_a_window_stays_within_its_budget(harness):
    """The opener: at most 3 RPCs and 3 writes more than an arrival; here it is also a hop (+2, +2)."""
    harness.start("Gather/")
    cost = deliver(harness, "Page")
    assert {"Lookup": 2, "BeginTransaction": 1, "Rollback": 1, "Commit": 2, "CreateTask": 2} == cost.rpcs
    assert 4 + 3 + 2 >= cost.total
    assert (4, 6, 1) == (cost.reads, cost.writes, cost.deletes)


def test_a_duplicate_of_a_finished_step_reads_its_record(harness):
    """3 RPCs, and one for each next step still in flight."""
    harness.start("Line/")
    deliver(harness, "One")
    attempt = harness.tasks.lease()
    harness.answer(attempt)
    in_flight = bill(harness, lambda: harness.answer(attempt))
    assert {"Lookup": 3, "CreateTask": 1} == in_flight.rpcs
    deliver(harness, "Three")
    over = bill(harness, lambda: harness.answer(attempt))
    assert {"Lookup": 3} == over.rpcs
    assert (4, 0, 0) == (over.reads, over.writes, over.deletes)


def test_a_duplicate_at_the_end_of_a_branch_looks_for_the_end_again(harness):
    """A duplicate of a branch's last step: the record, and the query while others are in flight."""
    harness.start("Pages/")
    for _ in range(3):
        deliver(harness, "Page")
    attempt = harness.tasks.lease()
    harness.answer(attempt)
    cost = bill(harness, lambda: harness.answer(attempt))
    assert {"Lookup": 2, "RunQuery": 1} == cost.rpcs


def test_an_arrival_at_a_join_is_the_end_of_a_branch_and_an_entry(harness):
    """join arrival: 3 RPCs, 4 reads, 2 writes, 1 delete."""
    harness.start("Join/")
    deliver(harness, "One")
    cost = deliver(harness, "Two")
    assert {"Lookup": 1, "Commit": 1, "RunQuery": 1} == cost.rpcs
    assert (4, 2, 1) == (cost.reads, cost.writes, cost.deletes)


def test_the_last_arrival_releases_the_join(harness):
    """release: 5 RPCs more, of them three queries; the join's own step reads its entries by a query."""
    harness.start("Join/")
    deliver(harness, "One")
    deliver(harness, "Two")
    deliver(harness, "Two")
    release = deliver(harness, "Two")
    assert {"Lookup": 1, "Commit": 2, "RunQuery": 4, "CreateTask": 1} == release.rpcs
    assert (6, 4, 1) == (release.reads, release.writes, release.deletes)
    joined = deliver(harness, "Merge")
    assert {"Lookup": 1, "Commit": 2, "RunQuery": 4} == joined.rpcs
    assert (2, 4) == (joined.writes, joined.deletes)


def test_the_end_of_an_instance_is_three_queries_and_a_commit(harness):
    """In flight, failed, waiting at joins: none."""
    harness.start("Line/")
    deliver(harness, "One")
    deliver(harness, "Two")
    cost = deliver(harness, "Three")
    assert {"Lookup": 1, "Commit": 2, "RunQuery": 3} == cost.rpcs
    assert (5, 2, 1) == (cost.reads, cost.writes, cost.deletes)


def test_telling_an_end_adds_two_writes_and_a_create(harness):
    """In the commit of the end."""
    harness.start("Told/")
    cost = deliver(harness, "One")
    assert {"Lookup": 1, "Commit": 2, "RunQuery": 3, "CreateTask": 1} == cost.rpcs
    assert (4, 1) == (cost.writes, cost.deletes)


def test_a_call_that_is_remembered_is_a_lookup_and_a_commit(harness):
    """once: 2 RPCs, 1 read, 1 write more than a linear step."""
    harness.start("Once/")
    cost = deliver(harness, "One")
    assert {"Lookup": 2, "Commit": 2, "CreateTask": 1} == cost.rpcs
    assert (3, 3, 1) == (cost.reads, cost.writes, cost.deletes)


def test_waiting_for_a_child_is_a_row_and_a_look_at_its_end(harness):
    """One write at the spawn; at the child's end a deletion, a lookup and the look for the parent's end."""
    harness.start("Parent/")
    spawning = deliver(harness, "One")
    assert {"Lookup": 1, "Commit": 1, "CreateTask": 1, "RunQuery": 1} == spawning.rpcs
    assert 4 == spawning.writes
    cost = deliver(harness, "One")
    assert {"Lookup": 2, "Commit": 3, "RunQuery": 6, "CreateTask": 1} == cost.rpcs


def test_parking_a_step_is_a_transaction(harness):
    """Lookup, begin, lookup, commit: no attempt, no history."""
    instance = harness.start("Line/").json["instance"]
    pause(harness.fantasm.services, InstanceId(instance))
    cost = deliver(harness, "One")
    assert {"Lookup": 2, "BeginTransaction": 1, "Commit": 1} == cost.rpcs
    assert (6, 1, 0) == (cost.reads, cost.writes, cost.deletes)
