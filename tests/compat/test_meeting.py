"""Fan-ins: who meets whom, when, in which order, and what is left of it."""

from __future__ import annotations

import pytest
from ledger import Ledger
from runs import Created, finish, rows, start, states, steps

MACHINES = "collecting.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])


def seen_by(place):
    return [seen for each, seen in zip(Ledger.runs, Ledger.seen, strict=True) if each == place]


@pytest.mark.fantasm(173)
@METHODS
def test_arrivals_write_an_entry_each_and_create_one_task(harness, method):
    """It is due ``fan_in`` seconds after the first of them arrived."""
    created = Created(harness)
    start(harness, "Meeting/?pages=5", method=method)
    began = harness.clock.now
    for _ in range(5):
        harness.deliver(harness.next_attempt())
    assert 5 == len(rows(harness, "FantasmEntry"))
    (window,) = created.to("meet")
    assert began <= window.schedule_time.ToNanoseconds() / 1e9 - 20 <= harness.clock.now
    assert 1 == harness.tasks.depth()


@pytest.mark.fantasm(174, 175, 180, 184)
@METHODS
def test_all_who_met_are_one_list_and_go_on_as_one_branch(harness, method):
    """The list tells the instance; what was collected is deleted."""
    instance = finish(harness, "Meeting/?pages=5", method=method)
    ((met,), (name,)) = seen_by("meets"), seen_by("instance")
    assert ([0, 1, 2, 3, 4], instance) == (sorted(each["page"] for each in met), name)
    assert {"walk": 5, "meet": 1, "final": 1, "end": 1} == states(harness, instance)


@pytest.mark.fantasm(176)
@METHODS
def test_contexts_are_in_the_order_of_the_steps_that_sent_them(harness, method):
    """Of their names; that is the same whatever happens."""
    instance = finish(harness, "Meeting/?pages=9", method=method)
    senders = {each["step"]: each for each in steps(harness, instance) if each["state"] == "walk"}
    number = {name: each["branch"] for name, each in senders.items()}
    in_order = [
        0 if number[name] == "main" else int(number[name].rpartition("-")[2]) for name in sorted(senders)
    ]
    (met,) = seen_by("meets")
    assert in_order == [each["page"] for each in met]


@pytest.mark.fantasm(183)
@METHODS
def test_two_states_that_lead_to_one_fan_in_have_a_window_each(harness, method):
    """Three come by the left, two by the right: two lists, two branches."""
    instance = finish(harness, "Diamond/?pages=5&both=1", method=method)
    met = sorted(sorted(each["page"] for each in contexts) for contexts in seen_by("meets"))
    assert [[0, 2, 4], [1, 3]] == met
    assert (2, 2) == (states(harness, instance)["meet"], states(harness, instance)["final"])


@pytest.mark.fantasm(191, 192)
@METHODS
def test_everything_delivered_twice_counts_once(harness, method):
    """Arrivals and the window's step alike, the second time at once or after the window."""
    instance = start(harness, "Meeting/?pages=4", method=method)
    attempts = []
    while (attempt := harness.next_attempt()) is not None:
        attempts.append(attempt)
        harness.deliver(attempt)
        assert 200 == harness.answer(attempt)
    assert {200} == {harness.answer(attempt) for attempt in attempts}
    harness.run()
    assert [[0, 1, 2, 3]] == [sorted(each["page"] for each in met) for met in seen_by("meets")]
    assert {"walk": 4, "meet": 1, "final": 1, "end": 1} == states(harness, instance)
