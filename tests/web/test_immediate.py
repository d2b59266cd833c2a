"""Immediate mode: the whole machine in one request, nothing enqueued, nothing recorded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fantasm_gcp import HaltMachineError
from fantasm_gcp.testing import Harness

LEAVING = Path(__file__).parents[1] / "scenarios" / "leaving.yaml"


@pytest.fixture
def harness():
    with Harness(LEAVING) as made:
        yield made


def kinds(harness, *names):
    return [each for name in names for each in harness.datastore.query(kind=name).fetch()]


def test_it_runs_every_branch_and_answers_context_obj_and_steps(harness):
    """Forks and fan-in groups, one after another; text is cast and keeps its type."""
    answer = harness.start("ForkThenGather/?__im__=1&more=x").json
    assert Counter({"Split": 1, "Gather": 3}) == Counter(each["state"] for each in answer["steps"])
    assert {"context", "instance", "messages", "obj", "steps"} == answer.keys()
    assert ("x", {}) == (answer["context"]["more"], answer["obj"])
    assert [[0], [1], [2]] == sorted(each["numbers"] for each in kinds(harness, "Gathered"))


def test_nothing_is_enqueued_and_nothing_recorded(harness):
    """Pages, fan-in, spawned machines: no task, no row of the engine."""
    for machine in ("Queues", "Parent", "Forking", "LightParent"):
        harness.start(f"{machine}/?__im__=true", method="POST")
    assert [] == harness.tasks.due()
    assert [] == kinds(
        harness, "FantasmInstance", "FantasmTask", "FantasmStep", "FantasmEntry", "FantasmFanIn"
    )
    assert 3 == len(kinds(harness, "Page"))


def test_spawned_machines_run_in_the_same_request(harness):
    """With their own context types; the context that is answered is that of the machine asked for."""
    answer = harness.start("Parent/?__im__=1&own=1").json
    assert Counter({"Parent": 1, "Child": 4, "LightChild": 1}) == Counter(
        each["machine"] for each in answer["steps"]
    )
    assert ({"own": "1"}, Counter([7, 8, None, 9, 10])) == (
        answer["context"],
        Counter(each.get("number") for each in kinds(harness, "Noted")),
    )


def test_a_halt_ends_its_branch_and_one_of_the_instance_everything(harness):
    """As in tasks."""
    halted = harness.start("Halting/?__im__=1").json
    assert {"completed": 3, "halted": 1} == Counter(each["status"] for each in halted["steps"])
    stopped = harness.start("HaltingAll/?__im__=1").json
    assert "halted" == stopped["steps"][-1]["status"]
    assert "Gather" not in {each["state"] for each in stopped["steps"]}


def test_a_child_that_halts_as_a_whole_leaves_its_parent_alone(harness):
    """They are two instances, though one request runs both."""

    class PassOn:
        def execute(self, context, obj):
            if context.state_name == "First":
                context.spawn("Child", {})
            return "ok"

    class Stop:
        def execute(self, context, obj):
            if context.machine_name == "Child":
                raise HaltMachineError("all of it", scope="instance")

    services = harness.fantasm.services
    actions = {**services.actions, "leaving.pass_on": PassOn(), "leaving.note": Stop()}
    object.__setattr__(services, "actions", actions)
    answer = harness.start("Waiting/?__im__=1").json
    assert [("Waiting", "First"), ("Waiting", "Second"), ("Child", "Note"), ("Waiting", "Third")] == [
        (each["machine"], each["state"]) for each in answer["steps"]
    ]


def test_what_fails_is_answered_and_not_tried_again(harness):
    """RetryLater has nobody to try it later."""
    answer = harness.start("Patient/?__im__=1")
    assert (500, "RetryLater: the partner sleeps", "Ask") == (
        answer.status_code,
        answer.json["error"],
        answer.json["state"],
    )
    assert "later_twice" in answer.json["traceback"]


def test_what_it_logs_to_be_kept_is_answered(harness):
    """There is no record to keep it with."""
    answer = harness.start("LightParent/?__im__=1&x=1")
    assert 500 == answer.status_code  # it asks for time
    assert ["spawned"] == [each["message"] for each in answer.json["messages"]]
    assert "Spawn" == answer.json["steps"][0]["state"]


@pytest.mark.parametrize("value", ["0", "no", ""])
def test_it_is_not_immediate_unless_it_says_so(harness, value):
    """An instance is started as ever."""
    assert "status_url" in harness.start(f"Child/?__im__={value}").json
