"""One failure at each place of a machine: the step is run again whole, what was over before it is not."""

from __future__ import annotations

from collections import Counter

import pytest
from ledger import Ledger
from runs import deliver_all, ended, finish, start, states, steps

MACHINES = "line.yaml"
FIRST = ["initial entry", "initial action"]
SECOND = ["initial exit", "initial transition", "normal entry", "normal action"]
THIRD = ["normal exit", "normal transition", "final entry", "final action"]
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])


@pytest.mark.fantasm(29, 34, 51, 114, 116)
@METHODS
def test_a_step_runs_exit_transition_entry_and_action(harness, method):
    """In this order, each exactly once; one task for each step."""
    instance = finish(harness, "Line/", method=method)
    assert FIRST + SECOND + THIRD == Ledger.runs
    assert [0, 1, 2] == [each["n"] for each in steps(harness, instance)]


@pytest.mark.fantasm(122, 123, 124, 125, 126, 127, 128, 129, 130)
@pytest.mark.parametrize("place", FIRST + SECOND + THIRD)
@METHODS
def test_a_step_that_fails_is_run_again_from_its_begin(harness, place, method):
    """What runs twice is its own step up to the place; the task keeps its name, the context is as it was."""
    Ledger.fail(place, 1)
    instance = start(harness, "Line/", method=method)
    names = deliver_all(harness)
    ended(harness, instance)
    step = next(each for each in (FIRST, SECOND, THIRD) if place in each)
    again = step[: step.index(place) + 1]
    assert Counter(FIRST + SECOND + THIRD + again) == Ledger.counts()
    assert (4, 3) == (len(names), len(set(names)))
    assert FIRST + SECOND + THIRD == Ledger.seen[-1]
    assert [0, 1, 2] == [each["n"] for each in steps(harness, instance)]
    attempts = [each["attempts"] for each in steps(harness, instance)]
    assert [2 if each is step else 1 for each in (FIRST, SECOND, THIRD)] == attempts


@pytest.mark.fantasm(117)
@METHODS
def test_a_final_state_with_an_exit_takes_one_more_step(harness, method):
    """To pseudo-final: there the exit runs, and then the instance ends."""
    instance = start(harness, "FinalExit/", method=method)
    names = deliver_all(harness)
    ended(harness, instance)
    assert ["initial action", "final entry", "final action", "final exit"] == Ledger.runs
    assert names[-1].endswith("--final--pseudo-final--pseudo-final--2")


@pytest.mark.fantasm(117, 129)
def test_an_exit_of_a_final_state_that_fails_is_all_that_runs_again(harness):
    """The state's entry and action are over."""
    Ledger.fail("final exit", 1, 2)
    finish(harness, "FinalExit/")
    assert ["initial action", "final entry", "final action", *["final exit"] * 3] == Ledger.runs


@pytest.mark.fantasm(29, 118)
@METHODS
def test_a_final_state_with_an_exit_alone_takes_one_more_step_too(harness, method):
    """It has no action to run before."""
    instance = finish(harness, "ExitAlone/", method=method)
    assert ["initial action", "final exit"] == Ledger.runs
    assert 3 == len(steps(harness, instance))


@pytest.mark.fantasm(103)
@METHODS
def test_a_round_runs_everything_again(harness, method):
    """Five times round and on: exit, transition action, entry and action of each, under a name of its own."""
    instance = start(harness, "Round/", method=method)
    names = deliver_all(harness)
    ended(harness, instance)
    counts = {"normal entry": 6, "normal action": 6, "normal exit": 6, "normal transition": 5}
    assert counts == Ledger.counts()
    assert [f"--normal--again--normal--{n}" for n in range(1, 6)] == [
        name[name.index("--normal") :] for name in names[1:6]
    ]
    assert ({"normal": 6, "final": 1}, 7) == (states(harness, instance), len(set(names)))
