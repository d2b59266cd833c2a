"""Hundreds of instances whose steps wait for random times."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from fantasm_gcp import start_machine
from fantasm_gcp.testing import Harness
from machines.random_countdown import LAPS, Watch
from machines.stage import DELIVERIES, RUNS, all_over, committed, entities, forget, once

MACHINES = "random_countdown.yaml"
INSTANCES = 240
CALLS = 6
RANGES = {
    ("First", "Second"): (30, 60),
    ("Second", "Second"): (7, 7),
    ("Second", "Third"): (0.5, 2.25),
    ("Third", "Last"): (100, 100),
}
"""The ends of the wait between two states, in seconds."""

PASSING = 0.2
"""Seconds of the virtual clock that may pass while other steps run."""


def wait_of(number):
    """The countdown of a start."""
    return number * 1.5


def begin(harness, numbers=range(INSTANCES), calls=CALLS):
    """Several calls, each with several contexts and a countdown for each of them."""
    Watch.begin(harness.clock)
    share = len(numbers) // calls
    with harness.app.app_context():
        for call in range(calls):
            some = numbers[call * share : (call + 1) * share]
            contexts = [{"number": number} for number in some]
            made = start_machine("RandomCountdown", contexts, countdown=[wait_of(each) for each in some])
            assert [True] * len(some) == [each.created for each in made]


def created_waits(harness):
    """Sees to it that every task's countdown is noted: the state that it leads to, and the seconds."""
    waits = []

    def around(rpc, carry_out):
        if rpc.method == "CreateTask":
            task = rpc.request.task
            target = task.app_engine_http_request.relative_uri.split("/")[-2]
            waits.append((target, task.schedule_time.ToNanoseconds() / 1e9 - harness.clock.now))
        return carry_out()

    harness.around = around
    return waits


def between(moments):
    """The seconds between the states of one number, by the two of them."""
    return [((one, other), later - earlier) for (one, earlier), (other, later) in pairwise(moments)]


def laps_of(number):
    return LAPS if number % 3 == 0 else 1


@pytest.mark.fantasm(64, 66, 137, 141, 218)
@DELIVERIES
def test_every_step_waits_within_its_range_and_every_sum_counts(harness, deliver):
    """The first step for its start's countdown, each other one for what its transition says."""
    began = harness.clock.now
    begin(harness)
    deliver(harness)
    all_over(harness)
    assert set(range(INSTANCES)) == set(Watch.moments)
    for number, moments in Watch.moments.items():
        assert ["First", *["Second"] * laps_of(number), "Third", "Last"] == [state for state, _ in moments]
        assert wait_of(number) == pytest.approx(moments[0][1] - began, abs=PASSING)
        for states, wait in between(moments):
            least, most = RANGES[states]
            assert least - 1e-3 <= wait <= most + PASSING, (number, states)
    laps = sum(map(laps_of, range(INSTANCES)))
    expected = {"First": INSTANCES, "Second": laps, "Third": INSTANCES, "Last": INSTANCES}
    assert expected == RUNS == committed(harness)
    (total,) = entities(harness, "Sum")
    wanted = sum(number * laps_of(number) + 1 for number in range(INSTANCES))
    assert (INSTANCES, wanted) == (total["instances"], total["sum"])


def test_waits_are_drawn_from_all_of_the_range(harness):
    """The drawn countdown is that of the task, and each part of the range has its share."""
    waits = created_waits(harness)
    begin(harness, range(120))
    once(harness)
    drawn = {
        target: sorted(wait for other, wait in waits if other == target) for target in ("Second", "Third")
    }
    drawn["Second"] = [wait for wait in drawn["Second"] if wait > 8]
    for target, (least, most) in (("Second", (30, 60)), ("Third", (0.5, 2.25))):
        assert 120 == len(drawn[target])
        assert least - 1e-3 <= drawn[target][0]
        assert drawn[target][-1] <= most + 1e-3
        quarters = [int(4 * (wait - least) / (most - least + 1e-2)) for wait in drawn[target]]
        assert all(15 <= quarters.count(quarter) <= 50 for quarter in range(4)), target


def test_the_same_starts_wait_for_the_same_times():
    """Under the harness a run is repeatable."""
    found = []
    for _ in range(2):
        forget()
        with Harness(Path(__file__).parent / MACHINES) as harness:
            began = harness.clock.now
            begin(harness, range(60))
            once(harness)
            found.append(
                {
                    number: [(state, at - began) for state, at in moments]
                    for number, moments in Watch.moments.items()
                }
            )
    assert found[0] == found[1]
