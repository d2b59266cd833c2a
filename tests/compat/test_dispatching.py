"""What one event does: which step follows, where its task goes, what a retry finds."""

from __future__ import annotations

import pytest
from ledger import Ledger
from runs import Created, deliver_all, ended, finish, queue_of, rows, start, states, steps

MACHINES = "dispatching.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])


@pytest.mark.fantasm(112, 113)
@METHODS
def test_a_start_creates_one_task_and_runs_nothing(harness, method):
    """One row for the instance, one task for its first step."""
    instance = start(harness, "Ways/?A=left", method=method)
    assert ([], 1) == (Ledger.runs, harness.tasks.depth())
    assert [instance] == [each["instance"] for each in rows(harness, "FantasmInstance")]


@pytest.mark.fantasm(115, 116, 119)
@pytest.mark.parametrize(
    ("says", "way"),
    [
        ("A=left&B=go", "ABC"),
        ("A=right", "AC"),
    ],
)
@METHODS
def test_the_event_chooses_the_way(harness, says, way, method):
    """One task at a time; a final state that returns nothing has no next."""
    instance = start(harness, f"Ways/?{says}", method=method)
    for state in way:
        assert 1 == harness.tasks.depth()
        harness.deliver(harness.next_attempt())
        assert state == Ledger.runs[-1]
    assert 0 == harness.tasks.depth()
    ended(harness, instance)
    assert list(way) == [each["state"] for each in steps(harness, instance)]


@pytest.mark.fantasm(119)
def test_a_final_state_may_go_on(harness):
    """It returned an event, so the branch does not end there."""
    instance = start(harness, "Ways/?A=right&C=back")
    for _ in range(3):
        harness.deliver(harness.next_attempt())
    assert ["A", "C", "B"] == Ledger.runs
    shown = harness.get(f"instances/{instance}")
    assert ("failed", "NoEventError") == (
        shown["status"],
        shown["failed"]["items"][0]["error"].partition(":")[0],
    )


@pytest.mark.fantasm(122, 130)
@METHODS
def test_a_retry_finds_the_context_as_it_was(harness, method):
    """What a failed attempt changed, also inside of a list, is not there; the task keeps its name."""
    instance = start(harness, "Careful/?colour=blue", method=method)
    names = deliver_all(harness)
    ended(harness, instance)
    assert [{"colour": "blue"}] * 4 == Ledger.seen[:4]
    assert {"colour": "blue", "count": 1, "list": [1]} == Ledger.seen[4]
    assert ([names[0]] * 4, 3) == (names[:4], len(set(names)))


@pytest.mark.fantasm(90, 136)
@METHODS
def test_the_retry_attributes_of_the_transition_travel_on_its_task(harness, method):
    """Its own where it has them, the machine's elsewhere; the engine counts the attempts."""
    created = Created(harness)
    start(harness, "Ways/?A=right", method=method)
    harness.deliver(harness.next_attempt())
    (first,), (right,) = created.to("A"), created.to("C")
    assert 5 == first.retry_config.min_backoff.seconds
    config = right.retry_config
    assert (11, 70, 3) == (
        config.min_backoff.seconds,
        config.max_backoff.seconds,
        config.max_doublings,
    )


@pytest.mark.fantasm(90)
@pytest.mark.parametrize(("says", "state", "attempts"), [("left&B=go", "B", 8), ("right", "C", 1)])
def test_a_transition_has_its_own_limit(harness, says, state, attempts):
    """A limit of 7 retries is eight attempts; the transition's limit of 0 is one."""
    Ledger.fail(state, *range(1, 20))
    instance = start(harness, f"Ways/?A={says}")
    harness.run()
    assert attempts == Ledger.counts()[state]
    assert "failed" == harness.get(f"instances/{instance}")["status"]


@pytest.mark.fantasm(56)
@METHODS
def test_a_task_goes_to_the_queue_of_the_transition_that_it_takes(harness, method):
    """The first to the machine's; a transition without a queue to that one too."""
    created = Created(harness)
    finish(harness, "Ways/?A=right", method=method)
    assert {"machine-queue"} == set(map(queue_of, created.to("A")))
    assert {"right-queue"} == set(map(queue_of, created.to("C")))


@pytest.mark.fantasm(190, 191)
@METHODS
def test_a_task_that_is_delivered_again_runs_nothing_again(harness, method):
    """At once and after everything is over, with the same retry count and with a higher one."""
    instance = start(harness, "Ways/?A=left&B=go", method=method)
    attempts = []
    while (attempt := harness.next_attempt()) is not None:
        attempts.append(attempt)
        harness.deliver(attempt)
        assert 200 == harness.answer(attempt)
    for attempt in attempts:
        attempt.delivery.headers["X-AppEngine-TaskRetryCount"] = "9"
        assert 200 == harness.answer(attempt)
    ended(harness, instance)
    assert ["A", "B", "C"] == Ledger.runs
    assert {"A": 1, "B": 1, "C": 1} == states(harness, instance)
    assert 0 == harness.tasks.depth()
