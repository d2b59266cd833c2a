"""HaltMachineError at each place: the branch ends there, nothing is tried again, the message is logged once."""

from __future__ import annotations

import logging

import pytest
from ledger import Ledger
from runs import deliver_all, ended, start, steps

from fantasm_gcp import HaltMachineError

MACHINES = "line.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])
FIRST = ["initial entry", "initial action"]
SECOND = ["initial exit", "initial transition", "normal entry", "normal action"]
THIRD = ["normal exit", "normal transition", "final entry", "final action"]
PLACES = FIRST + SECOND + THIRD
LOUD = [logging.DEBUG, logging.INFO, logging.WARNING, logging.CRITICAL]


def said(caplog):
    return [(each.levelno, each.getMessage()) for each in caplog.records if "enough" in each.getMessage()]


@pytest.mark.fantasm(220, 221, 222)
@pytest.mark.parametrize("place", PLACES)
@METHODS
def test_a_halt_ends_the_branch_where_it_is_raised(harness, place, method):
    """In entry, exit, transition or action: what comes after it does not run; no attempt is a failure."""
    Ledger.have_raised(place, 1, HaltMachineError("enough"))
    instance = start(harness, "Line/", method=method)
    names = deliver_all(harness)
    ended(harness, instance)
    assert PLACES[: PLACES.index(place) + 1] == Ledger.runs
    over = steps(harness, instance)
    number = next(n for n, each in enumerate((FIRST, SECOND, THIRD)) if place in each)
    assert ["completed"] * number + ["halted"] == [each["status"] for each in over]
    assert ([1] * len(over), len(over)) == ([each["attempts"] for each in over], len(names))
    assert "enough" in over[-1]["note"]


@pytest.mark.fantasm(221)
def test_a_halt_in_the_exit_of_a_final_state_ends_its_instance(harness):
    """There is nothing after it; that it was raised is kept."""
    Ledger.have_raised("final exit", 1, HaltMachineError("enough"))
    instance = start(harness, "FinalExit/")
    assert 3 == len(deliver_all(harness))
    ended(harness, instance)
    assert "halted" == steps(harness, instance)[-1]["status"]


@pytest.mark.fantasm(223)
@pytest.mark.parametrize("level", LOUD)
@pytest.mark.parametrize("place", [FIRST[1], SECOND[0], SECOND[1], SECOND[2]])
def test_the_message_of_a_halt_is_logged_once_at_its_level(harness, caplog, place, level):
    """Wherever it was raised; nothing else is logged as a warning or worse."""
    caplog.set_level(logging.DEBUG)
    Ledger.have_raised(place, 1, HaltMachineError("enough of it", logLevel=level))
    start(harness, "Line/")
    deliver_all(harness)
    ((logged, message),) = said(caplog)
    assert (level, True) == (logged, "enough of it" in message)
    assert [level] * (level >= logging.WARNING) == [
        each.levelno for each in caplog.records if each.levelno >= logging.WARNING
    ]


@pytest.mark.fantasm(223)
@pytest.mark.parametrize("place", [FIRST[1], SECOND[0], SECOND[2]])
def test_a_halt_without_a_level_logs_nothing(harness, caplog, place):
    """Neither its message nor a warning that the state is not final."""
    caplog.set_level(logging.DEBUG)
    Ledger.have_raised(place, 1, HaltMachineError("enough", logLevel=None))
    instance = start(harness, "Line/")
    deliver_all(harness)
    ended(harness, instance)
    assert [] == said(caplog)
    assert [] == [each for each in caplog.records if each.levelno >= logging.WARNING]
