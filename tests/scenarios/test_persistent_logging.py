"""What actions log is kept with the step, or with the record of its failure: once, whatever happens."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from campaign import FailAt
from scrubbed import deliver_all
from talking import Script

from fantasm_gcp.engine.logbook import MOST_LINES
from fantasm_gcp.testing import Harness

FSM = Path(__file__).parent / "scrubbing.yaml"


@pytest.fixture(autouse=True)
def script():
    Script.failures, Script.lines = 0, 1


@pytest.fixture
def harness():
    with Harness(FSM) as made:
        yield made


def started(harness, machine):
    name = harness.start(f"{machine}/", method="POST").json["instance"]
    harness.run()
    return name


def shown(harness, name):
    return harness.get(f"instances/{name}/logs")["logs"]


@pytest.mark.fantasm(224)
@pytest.mark.parametrize(("machine", "expected"), [("Talk", ["line 0"]), ("Quiet", [])])
def test_lines_are_kept_where_the_machine_asks_for_it(harness, caplog, machine, expected):
    """The logging module gets them always."""
    caplog.set_level(logging.INFO, "fantasm_gcp.actions")

    name = started(harness, machine)

    assert expected == [each["message"] for each in shown(harness, name)]
    assert ["line 0"] == [each.getMessage() for each in caplog.records if each.name == "fantasm_gcp.actions"]


@pytest.mark.fantasm(229)
def test_a_line_tells_step_state_transition_and_action(harness):
    """Each of the actions that a step runs logs under its own name; before the start there is no state."""
    name = started(harness, "Long")

    found = [
        (each["message"], each["action"], each["from"], each["event"], each["state"])
        for each in shown(harness, name)
    ]
    assert [
        ("Enter", "talking.Enter", "pseudo-init", "pseudo-init", "Begin"),
        ("Says", "talking.Says", "pseudo-init", "pseudo-init", "Begin"),
        ("Leave", "talking.Leave", "Begin", "ok", "End"),
        ("Pass", "talking.Pass", "Begin", "ok", "End"),
        ("Says", "talking.Says", "Begin", "ok", "End"),
    ] == found


def test_lines_of_attempts_that_failed_are_kept(harness):
    """With their stack, beside those of the attempt that did not."""
    Script.failures = 2

    lines = shown(harness, started(harness, "Talk"))

    assert ["line 0", "failing"] * 2 + ["line 0"] == [each["message"] for each in lines]
    assert [True, False] == [each["stack"] is None for each in lines[:2]]
    assert "RuntimeError: as told" == lines[1]["stack"].splitlines()[-1]
    assert ("ERROR", ["numbered"]) == (lines[1]["level"], lines[0]["tags"])


def test_lines_of_a_step_that_was_given_up_are_kept(harness):
    """They tell why."""
    Script.failures = 1

    name = started(harness, "Brittle")

    assert ("failed", ["line 0", "failing"]) == (
        harness.get(f"instances/{name}")["status"],
        [each["message"] for each in shown(harness, name)],
    )


def test_as_many_lines_as_may_be_kept_commit_with_their_step(harness):
    """The bound is one that Datastore takes."""
    Script.lines = MOST_LINES + 1

    name = started(harness, "Talk")

    lines = shown(harness, name)
    assert "completed" == harness.get(f"instances/{name}")["status"]
    assert ("line 0", "(2 more lines of this attempt were not kept)") == (
        harness.get(f"instances/{name}/logs?limit=1000")["logs"][0]["message"],
        harness.get(f"instances/{name}/logs?limit=1000")["logs"][-1]["message"],
    )
    assert 100 == len(lines)


def test_a_machine_without_records_keeps_lines(harness):
    """They are found by the instance's id, although there is no row of it."""
    name = started(harness, "Light")

    assert ["line 0"] == [each["message"] for each in shown(harness, name)]
    assert 404 == harness.client.get(f"/fantasm/api/instances/{name}").status_code


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_anywhere_leaves_each_line_once(when):
    """Attempts that were killed leave none: their lines were to commit with them."""
    expected = None
    for n in range(-1, 100):
        Script.failures = 1
        fault = FailAt(n, when, None)
        with Harness(FSM, around=fault.around) as harness:
            name = harness.start("Talk/", method="POST").json["instance"]
            deliver_all(harness, fault)
            found = [each["message"] for each in shown(harness, name)]
            if Script.failures == 0 and found.count("failing") == 1:
                assert ["line 0", "failing", "line 0"] == found, f"{when} RPC {n}"
            else:  # killed after the first attempt had failed and before that was recorded
                assert ["line 0"] == found, f"{when} RPC {n}"
            expected = expected or fault.count
        if n > expected:
            return
    raise AssertionError("never reached the last RPC")
