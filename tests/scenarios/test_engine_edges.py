"""Where parts of the engine meet: joins of one round, large contexts, lost answers, deployments that know less."""

from __future__ import annotations

import traceback
from collections import Counter
from pathlib import Path

import grpc
import pytest
import yaml
from engine_edges import Seen

from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.spreading import Bounds
from fantasm_gcp.engine.operating import (
    cancel,
    hold,
    pause,
    redrive_instance,
    redrive_matching,
    release,
    resume,
)
from fantasm_gcp.engine.ports import Limits
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.errors import CommandError
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.testing import Crash, Harness

FSM = Path(__file__).parent / "engine_edges.yaml"
KINDS = ("FantasmTask", "FantasmEntry", "FantasmFanIn")
DAY = 24 * 3600.0
LARGE = 2_500_000


@pytest.fixture
def harness():
    Seen.begin()
    with Harness(FSM) as made:
        yield made


def start(harness, url):
    return InstanceId(harness.start(url).json["instance"])


def finish(harness, url):
    """Runs an instance to its completion; nothing must be left of it then but its history."""
    instance = start(harness, url)
    harness.run(3000)
    assert ("completed", []) == (status(harness, instance), rows_left(harness))
    return instance


def status(harness, instance):
    return harness.get(f"instances/{instance}")["status"]


def all_of(harness, machine):
    return [each for each in harness.get("instances")["instances"] if machine == each["machine"]]


def rows_left(harness):
    return [
        f"{kind} {each.key.name}" for kind in KINDS for each in harness.datastore.query(kind=kind).fetch()
    ]


def deliver(harness, times=1):
    for _ in range(times):
        harness.deliver(harness.next_attempt())


def deliver_due(harness, seconds=0.0):
    """Delivers what is due within so many seconds."""
    until = harness.clock() + seconds
    while (moment := harness.tasks.next_time()) is not None and moment <= until:
        deliver(harness)


def killed(harness, happens):
    """Delivers once, to a worker that is killed where ``happens`` says so of an RPC, before or after it."""

    def around(rpc, carry_out):
        if happens == ("before", rpc.method):
            raise Crash
        answer = carry_out()
        if happens == ("after", rpc.method):
            raise Crash
        return answer

    attempt = harness.next_attempt()
    harness.around = around
    with pytest.raises(Crash):
        harness.deliver(attempt)
    harness.around = lambda _, carry_out: carry_out()
    harness.tasks.finish(attempt, None)


def faulty(harness, code, *, when, applied=False, times=1):
    """Has commits answered with an error ``times`` times, of those whose text has ``when``; carried out or not."""
    left = [code] * times

    def around(rpc, carry_out):
        if not (left and rpc.method == "Commit" and when in str(rpc.request)):
            return carry_out()
        if applied:
            carry_out()
        raise RpcError(left.pop(), "as the test says")

    harness.around = around
    return left


def deployed_without(tmp_path, name):
    """The path of definitions that lack one machine, and say nothing of it."""
    machines = yaml.safe_load(FSM.read_text())["state_machines"]
    kept = [
        {key: value for key, value in each.items() if key != "on_complete"}
        for each in machines
        if each["name"] != name
    ]
    path = tmp_path / "less.yaml"
    path.write_text(yaml.safe_dump({"state_machines": kept}))
    return path


# -- joins and batches --------------------------------------------------------------------------------------


def test_joins_released_together_go_on_to_the_same_states_as_branches_of_their_own(harness):
    """Each runs them once, under keys of its own."""
    finish(harness, "Meeting/?n=4")
    assert Counter(Evens=1, Odds=1, X=2, Y=2) == Counter(name for name, _ in Seen.runs)
    assert [(0, 2), (1, 3)] == sorted(Seen.of("Evens") + Seen.of("Odds"))
    assert 6 == len(set(Seen.keys))


@pytest.mark.parametrize(
    ("machine", "limits"),
    [("Parts", None), ("Parts", Limits(window_parts=2)), ("JoinParts", Limits(window_parts=2))],
)
def test_a_batch_that_runs_in_few_parts_comes_to_its_end(machine, limits):
    """Also where a commit takes no more than two contexts, and where there are to be no more parts than two."""
    Seen.begin()
    with Harness(FSM, limits=limits) as harness:
        finish(harness, f"{machine}/?n=3" + (f"&size={LARGE}" if limits is None else ""))
    assert [1, 2] == sorted(map(len, Seen.of("Gather")))
    assert {0, 1, 2} == set().union(*Seen.of("Gather"))


@pytest.mark.parametrize("machine", ["Parts", "JoinParts"])
def test_many_entries_in_few_parts_run_each_once(machine):
    """They are shared out again and again."""
    Seen.begin()
    with Harness(FSM, limits=Limits(window_parts=2)) as harness:
        finish(harness, f"{machine}/?n=15")
    assert Counter(range(15)) == Counter(item for each in Seen.of("Gather") for item in each)


def test_a_chain_of_instances_that_wait_for_each_other_ends_however_long_it_is(harness):
    """The end of the last is the end of all, and none is looked at from within another: the stack stays low."""
    assert deepest_stack(harness, 5) == deepest_stack(harness, 100)
    assert [*range(5, -1, -1), *range(100, -1, -1)] == Seen.of("Only")
    assert {"completed"} == {each["status"] for each in harness.get("instances?limit=1000")["instances"]}


def deepest_stack(harness, levels):
    """The most frames that were under an RPC while such a chain ran to its end."""
    depths = set()

    def around(rpc, carry_out):
        depths.add(sum(1 for _ in traceback.walk_stack(None)))
        return carry_out()

    harness.around = around
    finish(harness, f"Nest/?depth={levels}")
    return max(depths)


@pytest.mark.parametrize("machine", ["CausesAtJoin", "CausesAtFanIn"])
@pytest.mark.parametrize("failing", [{0}, {2}, {0, 2}, set()], ids=["first", "last", "both", "none"])
def test_each_context_of_a_batch_has_its_own_failure(harness, machine, failing):
    """That of the step before it, whoever opened the window; the others have none."""
    Seen.fail |= {("X", item) for item in failing}
    finish(harness, f"{machine}/?n=3")
    words = [f"RuntimeError: X fails with {item}" if item in failing else None for item in range(3)]
    assert [tuple(words)] == Seen.of("Gather")


@pytest.mark.parametrize("machine", ["BrittleJoin", "BrittleFanIn"])
def test_the_context_of_a_collecting_step_cannot_be_edited(harness, machine):
    """It runs with those that it collected; a redrive without an edit does."""
    Seen.fail.add(("Gather", (0, 1)))
    instance = start(harness, f"{machine}/?n=2")
    harness.run()
    (failed,) = harness.get(f"instances/{instance}")["failed"]["items"]
    with pytest.raises(CommandError, match="cannot be edited"):
        redrive(harness.fantasm.services, StepName(failed["step"]), context=b'{"item": 99}')
    harness.run()
    assert "failed" == status(harness, instance)
    assert redrive(harness.fantasm.services, StepName(failed["step"]))
    harness.run()
    assert ("completed", [(0, 1)]) == (status(harness, instance), Seen.of("Gather"))


# -- cancel -------------------------------------------------------------------------------------------------


def test_cancelling_large_contexts_leaves_nothing(harness):
    """Together they are more than one commit takes, or one answer of Datastore."""
    instance = start(harness, "Far/?n=20&size=870000&dense=1")
    deliver_due(harness, 3600)
    assert 20 == len(rows_left(harness))
    cancel(harness.fantasm.services, instance)
    deliver_due(harness, 60)
    shown = harness.get(f"instances/{instance}")
    assert ("cancelled", True, []) == (shown["status"], shown["ended"] is not None, rows_left(harness))


@pytest.mark.parametrize("machine", ["JoinParts", "Far"])
def test_what_a_share_of_a_large_outcome_commits_after_the_cancellation_is_deleted(machine):
    """The share ran when the instance was cancelled; the instance ends after it, and soon."""
    Seen.begin()
    with Harness(FSM, limits=Limits(spread=Bounds(departures=2))) as harness:
        instance = start(harness, f"{machine}/?n=4")
        deliver(harness)
        cancelled = []

        def around(rpc, carry_out):
            if not cancelled and rpc.method == "Commit":
                cancelled.append(harness.clock())
                cancel(harness.fantasm.services, instance)
                deliver_due(harness, 20)
            return carry_out()

        attempt = harness.next_attempt()
        assert "--main_s0-0--" in attempt.task
        harness.around = around
        harness.deliver(attempt)
        assert cancelled
        deliver_due(harness, 60)
        assert ("cancelled", [], 0) == (status(harness, instance), rows_left(harness), harness.tasks.depth())
        assert harness.get(f"instances/{instance}")["ended"] is not None
        assert [] == Seen.runs


def test_a_cancellation_goes_on_where_tasks_may_not_be_deleted(harness):
    """One attempt is enough; the tasks that are left come in their time, and find nothing."""
    instance = start(harness, "Far/?n=60")
    deliver_due(harness, 3600)

    def around(rpc, carry_out):
        if rpc.method in ("DeleteTask", "BatchDeleteTasks"):
            raise RpcError(grpc.StatusCode.PERMISSION_DENIED, "cloudtasks.tasks.delete")
        return carry_out()

    harness.around = around
    cancel(harness.fantasm.services, instance)
    deliver(harness)
    shown = harness.get(f"instances/{instance}")
    assert ("cancelled", True, []) == (shown["status"], shown["ended"] is not None, rows_left(harness))
    harness.run()
    assert [] == Seen.runs


# -- other commands -----------------------------------------------------------------------------------------


def test_steps_made_ready_by_a_resume_that_died_run_after_a_pause_between(harness):
    """Their rows were ready, their tasks not made, and the resume found the instance paused again."""
    services = harness.fantasm.services
    instance = start(harness, "Flow/?n=3")
    deliver(harness)
    pause(services, instance)
    harness.run()
    resume(services, instance)
    deliver(harness)  # it looks for what is parked; the next one makes that ready
    killed(harness, ("before", "BatchCreateTasks"))
    pause(services, instance)
    harness.run()
    resume(services, instance)
    harness.run()
    assert ("completed", []) == (status(harness, instance), rows_left(harness))
    assert ([0, 1, 2], [0, 1, 2]) == (sorted(Seen.of("X")), sorted(Seen.of("Y")))


def test_a_release_whose_answer_is_lost_is_one_release(harness):
    """The same call looks what has become of it, and what was held runs."""
    services = harness.fantasm.services
    hold(services, "Flow")
    instance = start(harness, "Flow/?n=2")
    harness.run()
    left = faulty(harness, grpc.StatusCode.UNAVAILABLE, when="FantasmOperation", applied=True)
    operation = release(services, "Flow")
    assert [] == left
    harness.run()
    assert ("completed", "completed") == (status(harness, instance), status(harness, operation))
    assert [operation] == [each["instance"] for each in all_of(harness, "FantasmOperation")]


@pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
def test_a_redrive_of_many_whose_answer_is_lost_is_one_operation(harness, applied):
    """Also where it was not carried out at first."""
    Seen.fail.add(("Gather", (0, 1)))
    instance = start(harness, "BrittleJoin/?n=2")
    harness.run()
    faulty(harness, grpc.StatusCode.UNAVAILABLE, when="FantasmOperation", applied=applied, times=2)
    operation = redrive_matching(harness.fantasm.services, "BrittleJoin")
    harness.run()
    assert ("completed", [(0, 1)]) == (status(harness, instance), Seen.of("Gather"))
    assert [operation] == [each["instance"] for each in all_of(harness, "FantasmOperation")]


def test_what_operators_do_about_an_instance_runs_where_its_machine_does(harness):
    """On the service that the machine names."""
    services = harness.fantasm.services
    instance = start(harness, "Elsewhere/?n=2")
    harness.deliver(harness.next_attempt())
    went = []
    pause(services, instance)
    for command in (resume, cancel):
        command(services, instance)
        attempt = harness.next_attempt()
        went.append((attempt.delivery.service, "operator" in attempt.task))
        harness.deliver(attempt)
    assert [("worker", True)] * 2 == went
    harness.run()
    assert ("cancelled", []) == (status(harness, instance), rows_left(harness))


# -- deployments that know less -----------------------------------------------------------------------------


def test_an_end_that_is_told_to_a_machine_that_is_gone_is_an_end_all_the_same(harness, tmp_path):
    """The telling waits as a step, and happens once a deployment knows the machine again."""
    instance = start(harness, "Told/")
    harness.deploy(deployed_without(tmp_path, "Receiver"))
    deliver(harness, 3)
    assert "completed" == status(harness, instance)
    (receiver,) = all_of(harness, "Receiver")
    shown = harness.get(f"instances/{receiver['instance']}")
    assert ("running", instance, 1) == (shown["status"], shown["parent"], len(shown["in_flight"]["items"]))
    harness.deploy(FSM)
    harness.run()
    assert [("Told", "completed")] == Seen.of("Hear")
    assert ["completed"] == [each["status"] for each in all_of(harness, "Receiver")]
    assert [] == rows_left(harness)


def test_what_can_never_be_told_is_listed_as_failed_after_a_day(harness, tmp_path):
    """And can be run again when the machine is back after that."""
    instance = start(harness, "Told/")
    harness.deploy(deployed_without(tmp_path, "Receiver"))
    began = harness.clock()
    harness.run()
    assert DAY < harness.clock() - began < 2 * DAY
    assert "completed" == status(harness, instance)
    (receiver,) = harness.get("instances?status=failed")["instances"]
    (failed,) = harness.get(f"instances/{receiver['instance']}")["failed"]["items"]
    assert "definition missing" in failed["error"]
    harness.deploy(FSM)
    redrive_instance(harness.fantasm.services, InstanceId(receiver["instance"]))
    harness.run()
    assert [("Told", "completed")] == Seen.of("Hear")
    assert [] == rows_left(harness)


def found_due_elsewhere(harness, url, path, deliveries):
    """Runs an instance whose worker dies with the last branch's commit, and whose task then comes to ``path``'s."""
    instance = start(harness, url)
    deliver(harness, deliveries - 1)
    killed(harness, ("after", "Commit"))
    harness.deploy(path)
    deliver(harness, 2)
    assert ("running", []) == (status(harness, instance), Seen.runs)
    harness.deploy(FSM)
    harness.run()
    assert ("completed", []) == (status(harness, instance), rows_left(harness))


def test_joins_that_a_deployment_without_the_machine_found_due_are_released_in_order(harness, tmp_path):
    """The deployment that knows it decides which goes first."""
    found_due_elsewhere(harness, "Sequence/?n=4", deployed_without(tmp_path, "Sequence"), 5)
    assert ["Odds", "Both"] == [name for name, _ in Seen.runs]
    assert [(1, 3)] == Seen.of("Odds")
    assert [3] == list(map(len, Seen.of("Both")))


def test_joins_released_that_way_take_what_waited_and_nothing_of_the_next_round(harness, tmp_path):
    """Two runs of two, and then one of what each of them sent back to the join."""
    found_due_elsewhere(harness, "Again/?n=4", deployed_without(tmp_path, "Again"), 5)
    assert [2, 2, 2] == list(map(len, Seen.of("Loop")))
    assert {0, 1, 2, 3} == set().union(*Seen.of("Loop")[:2])


# -- context.once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("code", "applied"),
    [
        (grpc.StatusCode.UNAVAILABLE, False),
        (grpc.StatusCode.UNAVAILABLE, True),
        (grpc.StatusCode.ABORTED, False),
    ],
    ids=["unavailable", "lost answer", "aborted"],
)
def test_what_was_called_is_not_called_again_because_it_is_hard_to_remember(harness, code, applied, times):
    """The same attempt tries until it is remembered."""
    left = faulty(harness, code, when="FantasmMemo", applied=applied, times=times)
    instance = start(harness, "Calling/")
    assert 1 == harness.run()
    assert ("completed", []) == (status(harness, instance), rows_left(harness))
    assert [("charged", 7), ("Call", 7)] == Seen.runs
    assert applied or [] == left


# -- immediate mode -----------------------------------------------------------------------------------------


def test_within_one_request_children_end_before_the_joins_that_wait_for_them(harness):
    """The children's joins run first."""
    answer = harness.start("Parent/?children=2&__im__=1")
    assert 200 == answer.status_code
    assert ["ChildGather", "ChildGather", "Gather"] == [name for name, _ in Seen.runs]


def test_within_one_request_nothing_is_remembered(harness):
    """There is no step of it that could be tried again."""
    answer = harness.start("Calling/?__im__=1")
    assert (200, [("charged", 7), ("Call", 7)]) == (answer.status_code, Seen.runs)
    assert [] == list(harness.datastore.query(kind="FantasmMemo").fetch())


# -- the scrubber -------------------------------------------------------------------------------------------


def scrub_after(harness, days):
    """Lets so many days pass and runs the scrubber; the machines' statuses of which history is left."""
    harness.clock.sleep(days * DAY)
    harness.start("FantasmScrubber/?age=90")
    harness.run()
    return sorted(
        (each["machine"], each["status"])
        for each in harness.get("instances")["instances"]
        if each["machine"] != "FantasmScrubber"
    )


FAMILY = [("Child", "completed"), ("Child", "failed"), ("Parent", "running")]


def test_children_are_kept_as_long_as_somebody_waits_for_one_of_them(harness):
    """Those that completed, too: the join is to see how all of them ended. Then they go with the parent."""
    Seen.fail.add(("ChildGather", (0, 1)))
    parent = start(harness, "Parent/?children=2")
    harness.run()
    assert FAMILY == scrub_after(harness, 100)
    (failed,) = (each for each in all_of(harness, "Child") if each["status"] == "failed")
    redrive_instance(harness.fantasm.services, InstanceId(failed["instance"]))
    harness.run()
    assert ("completed", [("completed", "completed")]) == (status(harness, parent), Seen.of("Gather"))
    assert [] == scrub_after(harness, 100)


def test_children_of_a_parent_that_failed_are_kept_and_seen_by_its_redriven_join(harness):
    """However long that takes."""
    Seen.fail.add(("Gather", ("completed", "completed")))
    parent = start(harness, "Parent/?children=2")
    harness.run()
    assert "failed" == status(harness, parent)
    harness.clock.sleep(50 * DAY)
    redrive_instance(harness.fantasm.services, parent)
    Seen.fail.add(("Gather", ("completed", "completed")))
    harness.run()
    assert [("Child", "completed")] * 2 + [("Parent", "failed")] == scrub_after(harness, 60)
    redrive_instance(harness.fantasm.services, parent)
    harness.run()
    assert [("completed", "completed")] == Seen.of("Gather")


def test_children_nobody_waits_for_any_more_are_scrubbed(harness):
    """The failed ones, too."""
    Seen.fail.add(("ChildGather", (0, 1)))
    parent = start(harness, "Parent/?children=2")
    harness.run()
    cancel(harness.fantasm.services, parent)
    harness.run()
    assert [] == scrub_after(harness, 100)
