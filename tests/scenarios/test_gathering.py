"""Fan-in windows: one batch, several parts, none at all; loops; transactional arrivals."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import Entry, window_key
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.testing import Harness

HERE = Path(__file__).parent


@pytest.fixture
def harness():
    made = Harness(HERE / "gathering.yaml")
    yield made
    made.close()


def limit(harness, **limits):
    services = harness.fantasm.services
    object.__setattr__(services, "limits", replace(services.limits, **limits))


def batches(harness):
    return sorted(sorted(each["items"]) for each in harness.datastore.query(kind="Batch").fetch())


def outcomes(harness, instance, state):
    records = harness.get(f"instances/{instance}?limit=1000")["steps"]["items"]
    return Counter(each["status"] for each in records if each["state"] == state)


def finish(harness, url):
    instance = harness.start(url).json["instance"]
    harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]
    for kind in ("FantasmTask", "FantasmEntry", "FantasmFanIn"):
        assert [] == list(harness.datastore.query(kind=kind).fetch())
    return instance


@pytest.mark.fantasm(174, 184)
@pytest.mark.parametrize("machine", ["Gathering", "TransactionalWalk"])
def test_all_that_arrive_in_a_window_are_one_batch_and_go_on_as_one_branch(harness, machine):
    """Nine contexts arrive, one list of nine is given, one branch goes on."""
    instance = finish(harness, f"{machine}/?items=9")
    assert [list(range(9))] == batches(harness)
    assert [9] == [each["gathered"] for each in harness.datastore.query(kind="Ended").fetch()]
    assert {"completed": 1} == outcomes(harness, instance, "Gather")


@pytest.mark.fantasm(178)
@pytest.mark.parametrize("items", [10, 11, 35])
def test_a_window_with_more_than_a_batch_is_shared_out(harness, items):
    """With ten to a batch: each entry in one batch, no batch above the limit, no entry lost."""
    limit(harness, fan_in_entries=10)
    instance = finish(harness, f"Gathering/?items={items}")
    found = batches(harness)
    assert list(range(items)) == sorted(item for batch in found for item in batch)
    assert 10 >= max(map(len, found))
    assert -(-items // 10) == len(found)
    assert (1 if items > 10 else 0) == outcomes(harness, instance, "Gather")["split"]


def test_a_window_with_more_parts_than_one_commit_takes_is_shared_out_again(harness):
    """The last part is open-ended: it is shared out in turn."""
    limit(harness, fan_in_entries=2, window_parts=3)
    instance = finish(harness, "Gathering/?items=31")
    found = batches(harness)
    assert list(range(31)) == sorted(item for batch in found for item in batch)
    assert 2 >= max(map(len, found))
    assert 1 < outcomes(harness, instance, "Gather")["split"]


def test_contexts_that_are_too_large_together_are_shared_out(harness):
    """A batch is bounded in bytes too; one context alone is always taken."""
    limit(harness, fan_in_bytes=3000)
    finish(harness, "Gathering/?items=8&size=1000")
    found = batches(harness)
    assert list(range(8)) == sorted(item for batch in found for item in batch)
    assert 2 >= max(map(len, found))
    limit(harness, fan_in_bytes=10)
    finish(harness, "Gathering/?items=3&size=1000")


def test_the_parts_of_a_window_fit_into_one_commit(harness):
    """Each part's row has the opener's context: with a large one there are fewer parts at a time."""
    limit(harness, fan_in_entries=1, commit_bytes=10_000)
    commits = []

    def around(rpc, carry_out):
        if rpc.method == "Commit":
            commits.append(len(rpc.request.mutations))
        return carry_out()

    harness.around = around
    finish(harness, "Gathering/?items=12&size=3000")
    assert list(range(12)) == sorted(item for batch in batches(harness) for item in batch)
    assert 6 >= max(commits)


def test_who_arrives_after_a_window_closed_opens_the_next(harness):
    """Two walks of one instance's group cannot share a window that was closed in between."""
    harness.start("Gathering/?items=2")
    harness.deliver(harness.next_attempt())
    follow_up = harness.tasks.due()[0]
    harness.clock.sleep(3)
    window = next(each for each in harness.tasks.due() if "_w0" in each)
    harness.deliver(harness.tasks.lease(window))
    harness.deliver(harness.tasks.lease(follow_up))
    harness.run()
    assert [[0], [1]] == batches(harness)


def test_a_window_whose_step_is_given_up_takes_no_more(harness):
    """Who arrives later opens another one, so the end of the instance is noticed; a redrive loses nothing."""
    instance = harness.start("Impatient/?items=2").json["instance"]
    harness.deliver(harness.next_attempt())
    follow_up = harness.tasks.due()[0]
    harness.clock.sleep(3)
    window = next(each for each in harness.tasks.due() if "_w0" in each)
    harness.tasks.finish(harness.tasks.lease(window), None)
    harness.clock.sleep(1)
    harness.deliver(harness.tasks.lease(window))
    harness.deliver(harness.tasks.lease(follow_up))
    harness.run()
    shown = harness.get(f"instances/{instance}")
    assert ("failed", [[1]]) == (shown["status"], batches(harness))
    (failed,) = shown["failed"]["items"]
    assert redrive(harness.fantasm.services, StepName(failed["step"]))
    harness.run()
    assert ("completed", [[0], [1]]) == (
        harness.get(f"instances/{instance}")["status"],
        batches(harness),
    )


def test_a_window_that_holds_nothing_ends_without_running_its_action(harness):
    """Its step is over, its branch ends, the action is not called with an empty list."""
    instance = harness.start("Gathering/?items=1").json["instance"]
    harness.deliver(harness.next_attempt())
    for each in harness.datastore.query(kind=Entry.kind).fetch():
        harness.datastore.delete(each.key)
    harness.run()
    assert [] == batches(harness)
    assert {"empty": 1} == outcomes(harness, instance, "Gather")
    assert "completed" == harness.get(f"instances/{instance}")["status"]


@pytest.mark.fantasm(103, 119)
def test_loops_count_their_steps_and_pass_a_fan_in_again(harness):
    """Six rounds of a self-transition, two windows of one branch: every step has a name of its own."""
    instance = finish(harness, "Loop/")
    steps = harness.get(f"instances/{instance}?limit=1000")["steps"]["items"]
    assert {"Count": 6, "Gather": 2, "Twice": 2} == Counter(each["state"] for each in steps)
    assert len(steps) == len({each["step"] for each in steps})
    assert sorted({each["n"] for each in steps}) == list(range(10))


@pytest.mark.fantasm(184)
def test_the_context_that_opened_the_window_goes_on(harness):
    """After a fan-in the branch has the opener's data, and what the action put into ``contexts.context``."""
    instance = finish(harness, "Gathering/?items=2&colour=blue")
    steps = harness.get(f"instances/{instance}")["steps"]["items"]
    (end,) = (each for each in steps if each["state"] == "End")
    assert ("blue", 2) == (end["context"]["colour"], end["context"]["gathered"])


def test_a_window_row_is_keyed_by_its_group(harness):
    """While a window is open its head can be read by anyone who knows the group."""
    harness.start("Gathering/?items=1")
    harness.deliver(harness.next_attempt())
    (head,) = harness.datastore.query(kind="FantasmFanIn").fetch()
    stored = harness.fantasm.services.store.lookup([window_key(head["group"])])[0]
    assert head["window"] == stored.row.window
