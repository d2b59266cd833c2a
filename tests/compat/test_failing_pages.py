"""One failure in or before a continuation, or in a fan-in: no page is doubled, nothing counts twice."""

from __future__ import annotations

import pytest
from ledger import Ledger
from runs import deliver_all, ended, put_items, rows, start, states

MACHINES = "failures.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])
CLEAN = {
    "initial entry": 1,
    "initial action": 1,
    "entry": 6,
    "continuation": 6,
    "action": 5,
    "empty page": 1,
    "final action": 5,
}
"""Ten items in pages of two: the sixth page is empty."""


def run(harness, machine, method="POST"):
    put_items(harness, 10)
    instance = start(harness, f"{machine}/", method=method)
    names = deliver_all(harness)
    ended(harness, instance)
    return instance, names


@pytest.mark.fantasm(155, 158, 159)
@METHODS
def test_the_entry_of_a_continuation_runs_for_each_page(harness, method):
    """Entry, continuation, action, in this order; the empty page has all three."""
    _, names = run(harness, "Paged", method)
    assert CLEAN == Ledger.counts()
    assert ["initial entry", "initial action", "entry", "continuation", "action"] == Ledger.runs[:5]
    assert 1 + 6 + 5 == len(names) == len(set(names))


@pytest.mark.parametrize(
    ("place", "nth", "again"),
    [
        pytest.param("initial entry", 1, ["initial entry"], marks=pytest.mark.fantasm(131)),
        pytest.param(
            "initial action", 1, ["initial entry", "initial action"], marks=pytest.mark.fantasm(131)
        ),
        pytest.param("entry", 1, ["entry"], marks=pytest.mark.fantasm(132)),
        pytest.param("entry", 4, ["entry"], marks=pytest.mark.fantasm(132)),
        pytest.param("continuation", 1, ["entry", "continuation"], marks=pytest.mark.fantasm(133)),
        pytest.param("continuation", 2, ["entry", "continuation"], marks=pytest.mark.fantasm(133)),
        pytest.param("action", 1, ["entry", "continuation", "action"], marks=pytest.mark.fantasm(134)),
        pytest.param("action", 2, ["entry", "continuation", "action"], marks=pytest.mark.fantasm(134)),
        pytest.param("action", 5, ["entry", "continuation", "action"], marks=pytest.mark.fantasm(134)),
        pytest.param(
            "empty page", 1, ["entry", "continuation", "empty page"], marks=pytest.mark.fantasm(134)
        ),
    ],
)
@METHODS
def test_a_failure_doubles_no_page(harness, place, nth, again, method):
    """Its own step runs again up to the place; each page is worked through once, and no task is doubled."""
    Ledger.fail(place, nth)
    instance, names = run(harness, "Paged", method)
    assert {each: CLEAN[each] + (each in again) for each in CLEAN} == Ledger.counts()
    assert {"initial": 1, "pages": 6, "final": 5} == states(harness, instance)
    assert (13, 12) == (len(names), len(set(names)))
    ends = [seen for place, seen in zip(Ledger.runs, Ledger.seen, strict=True) if place == "final action"]
    assert list(range(10)) == sorted(number for end in ends for number in end["numbers"])


@pytest.mark.fantasm(135, 174, 188, 189)
@pytest.mark.parametrize("place", ["collect entry", "collect"])
@pytest.mark.parametrize("times", [1, 3])
@METHODS
def test_a_fan_in_that_fails_gets_the_same_contexts_again(harness, place, times, method):
    """Entry and action see the five again, in the same order; the total counts each once, none is left."""
    Ledger.fail(place, *range(1, times + 1))
    instance, _ = run(harness, "Collected", method)
    entries = [seen for each, seen in zip(Ledger.runs, Ledger.seen, strict=True) if each == "collect entry"]
    assert (1 + times, 5) == (len(entries), len(entries[0]))
    assert [entries[0]] * len(entries) == entries
    assert (1 + times if place == "collect" else 1) == Ledger.counts()["collect"]
    assert [(sum(range(10)), 5)] == [(each["sum"], each["contexts"]) for each in rows(harness, "Total")]
    assert 1 == states(harness, instance)["final"]


@pytest.mark.fantasm(174)
def test_a_fan_in_gives_entry_and_action_the_same_list(harness):
    """Once each, with a context for every page that went on."""
    run(harness, "Collected")
    lists = [
        seen for place, seen in zip(Ledger.runs, Ledger.seen, strict=True) if place.startswith("collect")
    ]
    assert (2, 5) == (len(lists), len(lists[0]))
    assert lists[0] == lists[1]
