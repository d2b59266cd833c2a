"""HaltMachineError in a continuation and in a fan-in: one branch ends, the others go on."""

from __future__ import annotations

import pytest
from ledger import Ledger
from runs import deliver_all, ended, put_items, rows, start, states

from fantasm_gcp import HaltMachineError

MACHINES = "failures.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])


def run(harness, machine, method):
    put_items(harness, 10)
    instance = start(harness, f"{machine}/", method=method)
    names = deliver_all(harness)
    ended(harness, instance)
    assert len(names) == len(set(names))
    return instance


def numbers(place):
    seen = [seen for each, seen in zip(Ledger.runs, Ledger.seen, strict=True) if each == place]
    return sorted(number for context in seen for number in context["numbers"])


@pytest.mark.fantasm(220, 222)
@pytest.mark.parametrize("place", ["entry", "continuation"])
@pytest.mark.parametrize("nth", [1, 3])
@METHODS
def test_a_halt_before_the_next_page_ends_the_chain(harness, place, nth, method):
    """In the entry, or in ``continuation``: there is no further page, and its own is not worked through."""
    Ledger.have_raised(place, nth, HaltMachineError("enough"))
    run(harness, "Paged", method)
    assert list(range(2 * (nth - 1))) == numbers("final action")
    assert (nth, nth - 1) == (Ledger.counts()["entry"], Ledger.counts()["action"])


@pytest.mark.fantasm(222)
@pytest.mark.parametrize("nth", [1, 3])
@METHODS
def test_a_halt_in_the_action_of_a_page_ends_that_page_alone(harness, nth, method):
    """The next page had been queued before, and is a branch of its own."""
    Ledger.have_raised("action", nth, HaltMachineError("enough"))
    instance = run(harness, "Paged", method)
    assert (6, 5) == (Ledger.counts()["continuation"], Ledger.counts()["action"])
    assert 8 == len(numbers("final action"))
    assert {"initial": 1, "pages": 6, "final": 4} == states(harness, instance)


@pytest.mark.fantasm(220, 222)
@pytest.mark.parametrize("place", ["collect entry", "collect"])
@METHODS
def test_a_halt_in_a_fan_in_uses_up_what_was_collected(harness, place, method):
    """Its contexts are deleted, the transaction of its action is undone, and no branch goes on."""
    Ledger.have_raised(place, 1, HaltMachineError("enough"))
    instance = run(harness, "Collected", method)
    assert 1 == Ledger.counts()["collect entry"]
    assert [] == rows(harness, "Total")
    assert {"pages": 6, "collect": 1} == states(harness, instance)
