"""Failures: retried, given up, listed, run again; nothing fails silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from failing import Script

from fantasm_gcp.core.names import StepName
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.errors import NotThereError
from fantasm_gcp.testing import Harness

HERE = Path(__file__).parent


@pytest.fixture
def harness():
    made = Harness(HERE / "failing.yaml")
    Script.attempts = []
    yield made
    made.close()


def boom(context):
    raise ValueError("boom")


def start(harness, path):
    return harness.start(path).json["instance"]


def only_step(harness, instance, kind="in_flight"):
    items = harness.get(f"instances/{instance}")[kind]["items"]
    assert 1 == len(items)
    return items[0]


def test_a_failing_attempt_is_recorded_and_retried_without_a_limit(harness):
    """Without task_retry_limit a step is retried until it succeeds, as Fantasm has it."""
    Script.attempts = [boom] * 30
    instance = start(harness, "Patient/")
    assert 31 == harness.run()
    shown = harness.get(f"instances/{instance}")
    assert "completed" == shown["status"]
    assert 31 == shown["steps"]["items"][0]["attempts"]


def test_while_it_is_retried_a_step_shows_its_error(harness):
    """The row of a step in flight has the last error, its traceback and the attempts so far."""
    Script.attempts = [boom, boom]
    instance = start(harness, "Patient/")
    harness.deliver(harness.next_attempt())
    harness.deliver(harness.next_attempt())
    step = only_step(harness, instance)
    assert ("queued", 2, "ValueError: boom") == (step["status"], step["attempts"], step["error"])
    assert "in boom" in step["traceback"]


def test_out_of_attempts_a_step_fails_and_so_does_its_instance(harness):
    """A limit of 1 allows two attempts; then the queue is empty and the failure is listed."""
    Script.attempts = [boom, boom, boom]
    instance = start(harness, "Failing/?a=1")
    assert 2 == harness.run()
    shown = harness.get(f"instances/{instance}")
    assert "failed" == shown["status"]
    assert {"in_flight": 0, "failed": 1, "done": 0} == shown["states"]["Only"]
    step = only_step(harness, instance, "failed")
    assert ({"a": "1"}, 2, 0) == (step["context"], step["attempts"], harness.tasks.depth())


def test_deliveries_that_never_answered_count_as_attempts(harness):
    """A worker that is killed each time uses up the attempts, though it records nothing."""
    instance = start(harness, "Failing/")
    for _ in range(2):
        harness.tasks.finish(harness.next_attempt(), None)
    harness.run()
    failed = only_step(harness, instance, "failed")
    assert (2, True) == (failed["attempts"], "2 of 2 attempts never answered" in failed["error"])


def test_a_redriven_step_runs_again_under_a_new_name(harness):
    """Redriving makes a new task (the old name stays taken), and the instance goes on to its end."""
    Script.attempts = [boom, boom]
    instance = start(harness, "Failing/")
    harness.run()
    name = StepName(only_step(harness, instance, "failed")["step"])
    assert redrive(harness.fantasm.services, name)
    assert harness.tasks.due()[0].endswith("--e1")
    assert "running" == harness.get(f"instances/{instance}")["status"]
    harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]
    with pytest.raises(NotThereError):
        redrive(harness.fantasm.services, name)


def test_an_outcome_of_an_earlier_epoch_is_dropped(harness):
    """A slow delivery of a step that was given up and redriven meanwhile does not decide what follows."""
    instance = start(harness, "Failing/")
    slow = harness.next_attempt()
    name = StepName(slow.delivery.headers["X-Fantasm-Step"])

    def meanwhile(context):
        Script.attempts = [boom, boom]
        for _ in range(2):
            harness.answer(slow)
        assert redrive(harness.fantasm.services, name)

    Script.attempts = [meanwhile]
    assert 200 == harness.answer(slow)
    step = only_step(harness, instance)
    assert ("queued", 1) == (step["status"], step["epoch"])
    harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]


@pytest.mark.fantasm(121)
@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("'nope'", "UnknownEventError: state 'Begin' returned 'nope'; its events are: 'ok'"),
        ("None", "NoEventError: state 'Begin' is not final and returned no event; its events are: 'ok'"),
        ("7", "UnknownEventError: state 'Begin' returned 7; an event is text"),
        ("b'ok'", "UnknownEventError: state 'Begin' returned b'ok'; an event is text"),
    ],
)
def test_what_retrying_cannot_mend_fails_at_once(harness, says, error):
    """No event, an unknown one, or none at all: one attempt, a failed step, a failed instance."""
    instance = start(harness, f"Wrong/?says={says}")
    assert 1 == harness.run()
    assert "failed" == harness.get(f"instances/{instance}")["status"]
    assert error == only_step(harness, instance, "failed")["error"]


def test_a_context_that_cannot_cross_a_task_boundary_is_a_failure(harness):
    """What the action leaves in the context must be storable; the error names the place, and comes at once."""
    Script.attempts = [lambda context: context.update(bad={"deep": [object()]})]
    instance = start(harness, "Patient/")
    harness.deliver(harness.next_attempt())
    (step,) = harness.get(f"instances/{instance}")["failed"]["items"]
    assert "context['bad']['deep'][0] is a builtins.object" in step["error"]


@pytest.mark.fantasm(89)
def test_a_step_of_a_vanished_machine_waits_and_then_fails(harness):
    """Another deployment may know the machine; after a day none did, and the step is listed as failed."""
    instance = start(harness, "Patient/")
    harness.deploy(HERE / "budgets.yaml")
    assert "retry" == harness.deliver(harness.next_attempt()).result
    assert "definition missing" in only_step(harness, instance)["error"]
    harness.clock.sleep(25 * 3600)
    harness.run()
    assert "failed" == harness.get(f"instances/{instance}")["status"]


@pytest.mark.parametrize("reach", [False, True])
def test_deliveries_can_be_made_to_fail(harness, reach):
    """The worker is not called, or acts and is not heard: it acts once either way."""
    acted = []
    Script.attempts = [acted.append] * 3
    instance = start(harness, "Patient/")
    harness.tasks.fail_next(2, status=503, reach=reach)
    assert 3 == harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]
    assert 1 == len(acted)
