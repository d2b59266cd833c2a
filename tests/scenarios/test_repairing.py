"""Steps that are out of attempts: on_error, redrive, edit, skip; what is told of an end; context.once."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path

import pytest
from repairing import Script

from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.engine.operating import cancel, redrive_instance, redrive_matching
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.errors import CommandError
from fantasm_gcp.testing import Crash, Harness

HERE = Path(__file__).parent
KINDS = ("FantasmTask", "FantasmEntry", "FantasmFanIn")


@pytest.fixture
def harness():
    Script.begin()
    with Harness(HERE / "repairing.yaml") as made:
        yield made


def run(harness, url, failures=0):
    """Starts a machine whose attempts fail so often, and answers what the API says of its end."""
    Script.begin(failures)
    instance = harness.start(url).json["instance"]
    harness.run()
    return harness.get(f"instances/{instance}")


def rows_left(harness):
    return [
        f"{kind} {each.key.name}" for kind in KINDS for each in harness.datastore.query(kind=kind).fetch()
    ]


def statuses(harness, machine):
    return [each["status"] for each in harness.get(f"instances?machine={machine}")["instances"]]


# -- on_error ---------------------------------------------------------------------------------------------


def test_an_attempt_that_succeeds_in_time_needs_no_repair(harness):
    """Only a step that is out of attempts takes the transition."""
    shown = run(harness, "Repaired/", failures=1)
    assert ("completed", [("Try", None, None, None)]) == (shown["status"], Script.seen)


def test_a_step_out_of_attempts_takes_the_transition_of_on_error(harness):
    """With the context as the step got it, and the failure beside it; nothing of the attempt is kept."""
    shown = run(harness, "Repaired/?a=1", failures=2)
    assert ("completed", []) == (shown["status"], rows_left(harness))
    ((state, context, failure),) = Script.seen
    assert ("Repair", {"a": "1"}, "ValueError: no luck") == (state, context, failure.error)
    assert "in fail" in failure.traceback
    (recovered,) = (each for each in shown["steps"]["items"] if each["state"] == "Try")
    assert ("recovered", "failed", 2) == (recovered["status"], recovered["returned"], recovered["attempts"])


def test_the_failure_is_known_in_the_next_step_only(harness):
    """What comes after it has not failed."""
    run(harness, "Repaired/?then=next", failures=2)
    assert [("After", None)] == Script.seen[1:]


def test_what_was_repaired_has_all_of_its_attempts_again(harness):
    """A loop back into the state is another step."""
    shown = run(harness, "Repaired/?then=back", failures=4)
    assert ("completed", ["Repair", "Repair", "Try"]) == (shown["status"], [each[0] for each in Script.seen])
    assert "ValueError: no luck" != Script.seen[-1][3]


def test_a_batch_out_of_attempts_goes_on_as_one_context(harness):
    """Its entries end with it; the context that opened the window goes on."""
    shown = run(harness, "Batch/?n=3", failures=1)
    assert ("completed", []) == (shown["status"], rows_left(harness))
    ((state, context, failure),) = Script.seen
    assert ("Repair", True) == (state, context["item"] in (0, 1, 2) and failure is not None)


def test_a_step_whose_workers_die_takes_the_transition_too(harness):
    """The attempts that never answered are counted, and the failure says so."""
    Script.begin()
    harness.start("Repaired/")
    dead = []

    def around(rpc, carry_out):
        if len(dead) < 2:
            dead.append(rpc)
            raise Crash
        return carry_out()

    harness.around = around
    harness.run()
    ((state, _, failure),) = Script.seen
    assert ("Repair", True) == (state, "never answered" in failure.error)


# -- redrive, edit, skip ------------------------------------------------------------------------------------


def test_a_redrive_with_an_edited_context_runs_with_that(harness):
    """The step goes on from there."""
    (failed,) = run(harness, "Brittle/", failures=1)["failed"]["items"]
    redrive(harness.fantasm.services, StepName(failed["step"]), context=json.dumps({"edited": 5}).encode())
    harness.run()
    assert [("Try", None, 5, None)] == Script.seen


@pytest.mark.parametrize("context", [b"{", b"[]", b'"x"', b"1", b"\xff", b""])
def test_what_is_no_context_is_refused_and_changes_nothing(harness, context):
    """The step stays as it failed."""
    (failed,) = run(harness, "Brittle/", failures=1)["failed"]["items"]
    with pytest.raises(CommandError, match="cannot be a context"):
        redrive(harness.fantasm.services, StepName(failed["step"]), context=context)
    harness.run()
    assert ["failed"] == statuses(harness, "Brittle")


def test_a_skipped_step_goes_on_by_the_chosen_event(harness):
    """Its action does not run; an event that the state does not have is refused, with those it has."""
    (failed,) = run(harness, "Brittle/?a=1", failures=1)["failed"]["items"]
    with pytest.raises(CommandError, match="its events are: 'failed', 'window'"):
        redrive(harness.fantasm.services, StepName(failed["step"]), skip="other")
    redrive(harness.fantasm.services, StepName(failed["step"]), skip="failed")
    harness.run()
    assert [("Repair", {"a": "1"}, None)] == Script.seen
    assert ["completed"] == statuses(harness, "Brittle")


def test_a_skip_can_lead_into_a_window_or_end_the_branch(harness):
    """As any other event, or as a halt."""
    (failed,) = run(harness, "Brittle/?item=7", failures=1)["failed"]["items"]
    redrive(harness.fantasm.services, StepName(failed["step"]), skip="window")
    harness.run()
    assert [("Gather", ["7"])] == Script.seen
    (failed,) = run(harness, "Brittle/", failures=1)["failed"]["items"]
    redrive(harness.fantasm.services, StepName(failed["step"]), skip="")
    harness.run()
    assert ([], ["completed"] * 2) == (Script.seen, statuses(harness, "Brittle"))


def test_all_of_an_instance_run_again_at_a_bounded_rate(harness):
    """A hundred and twenty failed branches, at fifty in a second."""
    shown = run(harness, "Told/?n=120", failures=120)
    began = harness.clock()
    redrive_instance(harness.fantasm.services, InstanceId(shown["instance"]))
    harness.run()
    assert 120 == len([each for each in Script.seen if each[0] == "Try"])
    assert 2.0 <= harness.clock() - began < 10
    assert ["completed"] == statuses(harness, "Told")


def test_those_that_failed_alike_run_again_and_no_others(harness):
    """Of one machine, state and fingerprint; each once, even where it fails again."""
    for _ in range(3):
        run(harness, "Brittle/", failures=1)
    run(harness, "Told/", failures=1)
    groups = harness.datastore.query(kind="FantasmTask").fetch()
    fingerprint = next(each["fingerprint"] for each in groups if each["machine"] == "Brittle")
    Script.begin(failures=1)
    redrive_matching(harness.fantasm.services, "Brittle", "Try", fingerprint)
    harness.run()
    assert ["completed", "completed", "failed"] == sorted(statuses(harness, "Brittle"))
    assert ["failed"] == statuses(harness, "Told")
    assert ["completed"] == statuses(harness, "FantasmOperation")


# -- what is told of an end -----------------------------------------------------------------------------------


def test_the_end_starts_the_machine_that_is_to_be_told(harness):
    """Once, when the last branch has ended, with the outcome as its context."""
    shown = run(harness, "Told/?n=3")
    assert ["Try", "Try", "Try", "Completed"] == [each[0] for each in Script.seen]
    outcome = Script.seen[-1][1]
    assert (shown["instance"], "Told", "completed", 0) == tuple(
        outcome[name] for name in ("instance", "machine", "status", "failed_steps")
    )
    assert shown["ended"] == outcome["ended"]


def test_a_failure_is_told_to_each_and_a_later_end_once_more(harness):
    """Recorded also where the machine told keeps no records; after the redrive the completion is told."""
    shown = run(harness, "Told/?n=3", failures=2)
    told = [each for each in Script.seen if each[0] != "Try"]
    assert ["Failed", "FailedToo"] == sorted(name for name, _ in told)
    assert {("failed", 2)} == {(outcome["status"], outcome["failed_steps"]) for _, outcome in told}
    redrive_instance(harness.fantasm.services, InstanceId(shown["instance"]))
    harness.run()
    assert ["Completed"] == [name for name, *_ in Script.seen[3:] if name != "Try"]


def test_a_cancellation_is_told_as_a_failure(harness):
    """With its note."""
    Script.begin()
    instance = InstanceId(harness.start("Told/?n=2").json["instance"])
    cancel(harness.fantasm.services, instance, "not needed")
    harness.run()
    assert {("Failed", "cancelled", "not needed"), ("FailedToo", "cancelled", "not needed")} == {
        (name, outcome["status"], outcome["note"]) for name, outcome in Script.seen
    }


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_rpc_tells_an_end_once(after):
    """Killed before and after each."""
    calls = _told(None, after=after)
    for at in range(calls):
        _told(at, after=after)


def _told(at, *, after):
    """Runs a machine whose worker is killed at its RPC number ``at``; how many it made."""
    Script.begin(1)
    count = itertools.count()

    def around(rpc, carry_out):
        if next(count) != at:
            return carry_out()
        if after:
            carry_out()
        raise Crash

    with Harness(HERE / "repairing.yaml") as harness:
        harness.start("Told/?n=2")
        harness.around = around
        harness.run()
        calls = next(count)
        harness.around = lambda _, carry_out: carry_out()
        for machine in ("Failed", "FailedToo"):
            assert ["completed"] == statuses(harness, machine)
        assert all("-Told-" in each for each in rows_left(harness))  # those that have failed
        return calls


# -- context.once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_what_was_called_once_is_not_called_by_a_retry(harness, failures):
    """Each name of each step; the answers are those of the first call. In a transaction, too."""
    run(harness, "Calling/", failures)
    assert ["charge", "mail", "charge", "mail"] == Script.calls
    assert [("Call", 1, 2), ("Again", 3, 4)] == Script.seen[:2]


def test_a_call_that_fails_is_not_remembered(harness):
    """It is called again; what was remembered before it is not."""
    Script.begin()
    Script.die.extend([OSError("gone")])
    harness.start("Calling/")
    harness.run()
    assert ["charge", "charge", "mail", "charge", "mail"] == Script.calls
    assert [("Call", 2, 3), ("Again", 4, 5)] == Script.seen[:2]


def test_a_crash_between_the_call_and_its_record_calls_again(harness):
    """That is what the documentation says: the call happens at least once."""
    Script.begin()
    harness.start("Calling/")

    def around(rpc, carry_out):
        if rpc.method == "Commit" and "FantasmMemo" in str(rpc.request):
            harness.around = lambda _, carry_out: carry_out()
            raise Crash
        return carry_out()

    harness.around = around
    harness.run()
    assert ["charge", "charge", "mail", "charge", "mail"] == Script.calls


# -- pinned versions ----------------------------------------------------------------------------------------


def test_tasks_of_a_pinned_machine_go_to_the_version_that_started_it(harness):
    """But for those of another service; a release of a join goes there, too."""
    object.__setattr__(harness.fantasm.services, "pin", "v7.default")
    seen = defaultdict(set)

    def around(rpc, carry_out):
        for each in getattr(rpc.request, "requests", [rpc.request]):
            if rpc.method in ("CreateTask", "BatchCreateTasks"):
                routing = each.task.app_engine_http_request.app_engine_routing
                seen[each.task.name.rpartition("--")[0].rpartition("--")[2]].add(
                    (routing.version, routing.service)
                )
        return carry_out()

    harness.around = around
    harness.start("Pinned/?n=2")
    harness.run()
    here = {("v7", "default")}
    assert {"Split": here, "Elsewhere": {("", "worker")}, "After": here} == seen
