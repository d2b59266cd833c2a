"""What leaves a step: forks, spawned machines, halts, delays, queues, headers, countdowns, large outcomes."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fantasm_gcp import HaltMachineError, StartError
from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import Commit, InstanceStatus, Update, instance_key
from fantasm_gcp.core.spreading import Bounds
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.errors import NotThereError
from fantasm_gcp.testing import Crash, Harness, Rpc

HERE = Path(__file__).parent
IN_FLIGHT = ("FantasmTask", "FantasmEntry", "FantasmFanIn")


@pytest.fixture
def harness():
    with Harness(HERE / "leaving.yaml") as made:
        yield made


def entities(harness, kind):
    return list(harness.datastore.query(kind=kind).fetch())


def finish(harness, url, status="completed", **options):
    """Runs an instance to its end, at which nothing of it is left in flight."""
    instance = harness.start(url, **options).json["instance"]
    harness.run()
    assert status == harness.get(f"instances/{instance}")["status"]
    assert [] == [each.key.name for kind in IN_FLIGHT for each in entities(harness, kind)]
    return instance


def steps(harness, instance):
    return harness.get(f"instances/{instance}?limit=1000")["steps"]["items"]


# -- forks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.fantasm(97, 152, 153)
def test_forks_and_their_parent_all_take_the_event(harness, method):
    """Two forks and the branch itself: three contexts, each as it was when it was forked."""
    instance = finish(harness, "Forking/?given=1", method=method)
    noted = [{name: each[name] for name in each if name != "instance"} for each in entities(harness, "Noted")]
    expected = [
        {"given": "1", "own": "before"},
        {"given": "1", "own": "after", "number": 2, "colour": "red"},
        {"given": "1", "own": "after", "number": 1, "colour": "blue"},
    ]
    assert sorted(map(repr, map(sorted, (each.items() for each in expected)))) == sorted(
        map(repr, map(sorted, (each.items() for each in noted)))
    )
    branches = {each["branch"] for each in steps(harness, instance) if each["state"] == "Note"}
    assert {"main", "main_f0-1", "main_f0-2"} == branches


def test_forks_without_an_event_end_with_their_branch(harness):
    """A final state that returns nothing: its fork has nothing to do, and the record says so."""
    instance = finish(harness, "ForkAndEnd/")
    (step,) = steps(harness, instance)
    assert "1 forks ended here, too: there was no event for them" == step["note"]


@pytest.mark.fantasm(111, 154, 181, 182)
def test_forks_arrive_at_a_fan_in_each_in_its_group(harness):
    """One window for each value of the fan_in_group, and one for contexts without it."""
    finish(harness, "ForkThenGather/")
    assert [[0], [1], [2]] == sorted(each["numbers"] for each in entities(harness, "Gathered"))


# -- spawned machines -------------------------------------------------------------------------------------


@pytest.mark.fantasm(148, 149, 151)
def test_spawned_machines_start_when_the_step_commits(harness):
    """A dict is one, a list as many as it has, None and [] none; text is cast by the child's context_types."""
    parent = harness.start("Parent/").json["instance"]
    harness.run()
    noted = [each.get("number") for each in entities(harness, "Noted")]
    assert Counter([7, 8, None, 9, 10]) == Counter(noted)
    children = [each for each in harness.get("instances")["instances"] if each["machine"] == "Child"]
    assert [("completed", parent)] * 4 == [(each["status"], each["parent"]) for each in children]


def test_spawned_machines_wait_for_their_countdown(harness):
    """A countdown for each of several contexts, in seconds; the method of their tasks."""
    harness.start("Parent/")
    began = harness.clock()
    harness.deliver(harness.next_attempt())
    due = []
    while (attempt := harness.next_attempt()) is not None:
        due.append((round(harness.clock() - began), attempt.delivery.method))
        harness.deliver(attempt)
    assert Counter([(0, "POST"), (0, "POST"), (0, "POST"), (5, "GET"), (50, "GET")]) == Counter(due)


@pytest.mark.fantasm(150)
def test_a_named_child_is_spawned_once_whoever_asks(harness):
    """Two parents give the same name: the second one's child is the first one's."""
    finish(harness, "Parent/")
    finish(harness, "Parent/")
    assert Counter([7, 8, None, 9, 10, 7, 8, None, 10]) == Counter(
        each.get("number") for each in entities(harness, "Noted")
    )


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_anywhere_spawns_each_child_once(when):
    """Whatever RPC of the spawning step a worker dies at."""
    for nth in range(1, 12):
        hit = _Nth(nth, when)
        with Harness(HERE / "leaving.yaml") as harness:
            harness.start("Parent/")
            harness.around = hit.around
            harness.run()
            harness.around = lambda _, carry_out: carry_out()
            noted = Counter(each.get("number") for each in entities(harness, "Noted"))
            assert noted.pop(10), "a machine without records runs at least once"
            assert Counter([7, 8, None, 9]) == noted, nth


class _Nth:
    """Kills the worker at the nth RPC."""

    def __init__(self, nth, when):
        self.left, self.when = nth, when

    def around(self, rpc: Rpc, carry_out):
        self.left -= 1
        if self.left == 0 and self.when == "before":
            raise Crash
        answer = carry_out()
        if self.left == 0:
            raise Crash
        return answer


def test_a_machine_without_records_spawns_and_waits(harness):
    """It starts machines with records; RetryLater makes it another task; its log lines are kept."""
    harness.start("LightParent/")
    harness.run()
    assert Counter([7, 8, None, 9, 10, None]) == Counter(
        each.get("number") for each in entities(harness, "Noted")
    )
    assert ["spawned"] == [each["message"] for each in entities(harness, "FantasmLog")]


# -- halting and waiting ----------------------------------------------------------------------------------


@pytest.mark.fantasm(222, 223)
def test_a_halt_ends_its_branch_and_drops_what_was_staged(harness, caplog):
    """The other branches go on; its message is logged once, at its level, and kept."""
    caplog.set_level(logging.DEBUG, "fantasm_gcp.actions")
    instance = finish(harness, "Halting/")
    assert Counter([1, None]) == Counter(each.get("number") for each in entities(harness, "Noted"))
    halted = [each for each in steps(harness, instance) if each["status"] == "halted"]
    assert ["number two is not wanted"] == [each["note"] for each in halted]
    words = [(each.levelno, each.getMessage()) for each in caplog.records]
    assert [(logging.WARNING, "number two is not wanted")] == words
    assert [] == [each for each in harness.get("instances")["instances"] if each["machine"] == "Child"]


def test_a_halt_of_the_instance_discards_every_other_branch(harness):
    """Steps that were waiting run no action, a window hands nothing on, and the instance has its end."""
    instance = finish(harness, "HaltingAll/", status="cancelled")
    assert [] == entities(harness, "Noted") + entities(harness, "Gathered")
    shown = harness.get(f"instances/{instance}")
    assert ("stop it all", True) == (shown["note"], shown["ended"] is not None)
    ends = Counter(
        (each["state"], each["status"]) for each in steps(harness, instance) if each["status"] != "completed"
    )
    assert {("Halt", "halted"): 1, ("Wait", "cancelled"): 2, ("Gather", "cancelled"): 1} == ends


def test_an_action_that_asks_for_time_gets_it_without_a_failed_attempt(harness):
    """RetryLater twice with no retries allowed: two hours later it goes on; what it staged is kept once."""
    began = harness.clock()
    instance = finish(harness, "Patient/")
    assert 7200 == round(harness.clock() - began)
    (ask,) = (each for each in steps(harness, instance) if each["state"] == "Ask")
    assert (1, "completed") == (ask["attempts"], ask["status"])
    assert [False, True] == sorted(each.get("dropped", False) for each in entities(harness, "Noted"))


def test_an_instance_that_was_halted_is_not_redriven(harness):
    """There is nothing to redrive: its steps are over."""
    instance = finish(harness, "HaltingAll/", status="cancelled")
    for each in steps(harness, instance):
        with pytest.raises(NotThereError):
            redrive(harness.fantasm.services, StepName(each["step"]))


# -- queues, targets, headers, countdowns -----------------------------------------------------------------


@pytest.mark.fantasm(93, 165, 216, 217)
def test_a_chosen_queue_lasts_and_targets_follow_the_transition(harness):
    """The start goes to the machine's queue; what comes after setQueue goes to the chosen one, pages too."""
    harness.start("Queues/", headers={"X-Fantasm-Reason": "test"})
    seen = []
    while (attempt := harness.next_attempt()) is not None:
        headers = {name.lower(): value for name, value in attempt.delivery.headers.items()}
        state = attempt.task.rpartition("--")[0].rpartition("--")[2]
        seen.append((state, attempt.task.split("/")[5], headers["x-fantasm-reason"]))
        harness.deliver(attempt)
    assert [
        ("First", "plain", "test"),
        ("Second", "chosen", "test"),
        ("Pages", "chosen", "test"),
        ("Gather", "chosen", "test"),
    ] == list(dict.fromkeys(seen))


@pytest.mark.fantasm(138)
def test_tasks_are_routed_to_their_target(harness):
    """The machine's for the start, the transition's afterwards: service, version, instance."""
    routed = {}

    def around(rpc, carry_out):
        if rpc.method == "CreateTask":
            routing = rpc.request.task.app_engine_http_request.app_engine_routing
            name = rpc.request.task.name.rpartition("--")[0].rpartition("--")[2]
            routed[name] = (routing.service, routing.version, routing.instance)
        return carry_out()

    harness.around = around
    harness.start("Queues/")
    harness.deliver(harness.next_attempt())
    assert {"First": ("backend", "v2", ""), "Second": ("worker", "v3", "i1")} == routed


@pytest.mark.fantasm(166)
def test_continuation_countdown_delays_the_next_page_alone(harness):
    """Pages come thirty seconds apart; obj and pages tell how far they are."""
    harness.start("Queues/")
    began = harness.clock()
    moments = []
    while (attempt := harness.next_attempt()) is not None:
        if re.search(r"--Pages--\d+$", attempt.task):
            moments.append(round(harness.clock() - began))
        harness.deliver(attempt)
    assert [0, 30, 60] == moments
    pages = sorted((each["before"], each["more"]) for each in entities(harness, "Page"))
    assert [(0, True), (1, True), (2, False)] == pages


@pytest.mark.fantasm(64, 66, 218)
def test_countdowns_are_inherited_and_drawn(harness):
    """The machine's for a transition without one; a drawn one lies between its ends, and differs."""
    waits = set()
    for _ in range(8):
        harness.start("Waiting/")
        began = harness.clock()
        harness.deliver(harness.next_attempt())
        harness.deliver(harness.next_attempt())
        assert 40 == round(harness.clock() - began)
        second = harness.clock()
        harness.deliver(harness.next_attempt())
        waits.add(round(harness.clock() - second, 3))
    assert all(10 <= each < 20.001 for each in waits)
    assert 1 < len(waits)


# -- large outcomes ---------------------------------------------------------------------------------------


def test_many_forks_and_spawns_are_sent_on_their_way_in_shares(harness):
    """Nine hundred forks and five hundred machines: each lands once, no commit is large, the branch goes on."""
    sizes = []

    def around(rpc, carry_out):
        if rpc.method == "Commit":
            sizes.append(len(rpc.request.mutations))
        return carry_out()

    harness.around = around
    instance = finish(harness, "Many/?forks=900&spawns=500")  # so that one answer holds all the steps
    assert Counter(range(901)) == Counter(each["item"] for each in entities(harness, "Landed"))
    assert Counter(range(500)) == Counter(each["number"] for each in entities(harness, "Noted"))
    assert 400 >= max(sizes)
    spread = [each for each in steps(harness, instance) if each["status"] == "spread"]
    assert 10 == len(spread)


def test_many_forks_arrive_at_a_fan_in(harness):
    """Their entries come in shares into one window."""
    services = harness.fantasm.services
    limits = replace(services.limits, spread=Bounds(departures=10, bytes=5000, ways=3))
    object.__setattr__(services, "limits", limits)
    finish(harness, "Many/?forks=77&spawns=0&size=300&event=gather")
    (collected,) = entities(harness, "Collected")
    assert list(range(78)) == sorted(collected["items"])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_while_an_outcome_is_spread_loses_nothing(when):
    """A worker dies at any RPC of the spreading."""
    for nth in range(1, 40, 3):
        hit = _Nth(nth, when)
        with Harness(HERE / "leaving.yaml") as harness:
            services = harness.fantasm.services
            limits = replace(services.limits, spread=Bounds(departures=3, ways=2))
            object.__setattr__(services, "limits", limits)
            harness.start("Many/?forks=11&spawns=5")
            harness.around = hit.around
            harness.run()
            harness.around = lambda _, carry_out: carry_out()
            assert Counter(range(12)) == Counter(each["item"] for each in entities(harness, "Landed")), nth
            assert Counter(range(5)) == Counter(each["number"] for each in entities(harness, "Noted")), nth


def test_more_shares_than_one_commit_takes_are_shared_out_again(harness):
    """Two at a time, three ways: shares of shares."""
    services = harness.fantasm.services
    object.__setattr__(services, "limits", replace(services.limits, spread=Bounds(departures=2, ways=3)))
    instance = finish(harness, "Many/?forks=40&spawns=9")
    assert Counter(range(41)) == Counter(each["item"] for each in entities(harness, "Landed"))
    assert Counter(range(9)) == Counter(each["number"] for each in entities(harness, "Noted"))
    assert 25 < len([each for each in steps(harness, instance) if each["status"] == "spread"])


def test_machines_that_were_spawned_start_though_their_instance_is_halted(harness):
    """The step that spawned them is over: what it decided happens, but for its own instance's branches."""
    services = harness.fantasm.services
    object.__setattr__(services, "limits", replace(services.limits, spread=Bounds(departures=3, ways=2)))
    instance = harness.start("Many/?forks=7&spawns=10").json["instance"]
    harness.deliver(harness.next_attempt())
    row = services.store.lookup([instance_key(instance)])[0]
    stopped = replace(row.row, status=InstanceStatus.CANCELLED)
    services.store.commit(Commit((Update(stopped, row.version),)))
    harness.run()
    assert Counter(range(10)) == Counter(each["number"] for each in entities(harness, "Noted"))
    assert [] == entities(harness, "Landed")
    assert harness.get(f"instances/{instance}")["ended"] is not None


def test_a_child_whose_first_start_died_half_way_is_started_by_the_next(harness):
    """Somebody committed its rows and died before its task: who finds the name taken creates it."""

    def around(rpc, carry_out):
        if rpc.method == "CreateTask":
            raise Crash
        return carry_out()

    harness.around = around
    with harness.app.app_context(), pytest.raises(Crash):
        harness.fantasm.start_machine("Child", {"number": 9}, task_name="nine")
    harness.around = lambda _, carry_out: carry_out()
    finish(harness, "Parent/")
    assert 1 == [each.get("number") for each in entities(harness, "Noted")].count(9)


def test_a_halt_keeps_as_much_of_its_message_as_fits(harness):
    """However long, and whatever characters it has."""

    class Halt:
        def execute(self, context, obj):
            raise HaltMachineError("\ud800" + "x" * 2_000_000)

    services = harness.fantasm.services
    object.__setattr__(services, "actions", {**services.actions, "leaving.note": Halt()})
    instance = finish(harness, "Child/")
    (step,) = steps(harness, instance)
    assert ("halted", 1400) == (step["status"], len(step["note"]))


def test_a_spawn_that_cannot_be_cast_fails_at_once(harness):
    """Another attempt would spawn the same."""

    class Spawn:
        def execute(self, context, obj):
            context.spawn("Child", {"number": "zwei"})

    services = harness.fantasm.services
    object.__setattr__(services, "actions", {**services.actions, "leaving.spawn": Spawn()})
    instance = harness.start("Parent/").json["instance"]
    assert 1 == harness.run()
    (failed,) = harness.get(f"instances/{instance}")["failed"]["items"]
    assert "'zwei'" in failed["error"]


def test_several_starts_are_all_refused_or_none(harness):
    """The third context cannot be cast: nothing was started before it."""
    with harness.app.app_context(), pytest.raises(StartError, match="zwei"):
        harness.fantasm.start_machine("Child", [{"number": 1}, {"number": 2}, {"number": "zwei"}])
    assert 0 == harness.run()


def test_a_step_that_fails_for_months_is_never_dropped(harness):
    """Cloud Tasks keeps a task for 31 days; before that the step gets another one."""

    class Fail:
        def execute(self, context, obj):
            raise OSError("still down")

    services = harness.fantasm.services
    object.__setattr__(services, "actions", {**services.actions, "leaving.note": Fail()})
    instance = harness.start("Child/").json["instance"]
    began = harness.clock()
    while harness.clock() - began < 100 * 24 * 3600:
        harness.deliver(harness.next_attempt())
    (step,) = harness.get(f"instances/{instance}")["in_flight"]["items"]
    assert (2000 < step["attempts"], 3) == (True, step["epoch"])


# -- a deployment in between ------------------------------------------------------------------------------


def deployed(harness, tmp_path, old, new):
    """Another version of the machines, changed in one place."""
    text = (HERE / "leaving.yaml").read_text()
    assert 1 == text.count(old)
    (tmp_path / "fsm.yaml").write_text(text.replace(old, new))
    harness.deploy(tmp_path / "fsm.yaml")


def test_an_event_that_is_gone_waits_for_a_deployment_that_knows_it(harness, tmp_path):
    """Else its exit and transition actions would be left out without a word."""
    instance = harness.start("Waiting/").json["instance"]
    harness.deliver(harness.next_attempt())
    old = "  countdown: 40\n  states:\n  - name: First\n    action: pass_on\n    initial: True\n    transitions:\n    - event: ok\n"
    deployed(harness, tmp_path, old, old.replace("event: ok", "event: renamed"))
    assert "retry" == harness.deliver(harness.next_attempt()).result
    harness.deploy(HERE / "leaving.yaml")
    harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]


def test_a_step_in_flight_to_a_state_that_collects_by_now_gets_a_list(harness, tmp_path):
    """Of the one context that it brings."""
    harness.start("Parent/")
    harness.deliver(harness.next_attempt())
    text = (
        (HERE / "leaving.yaml")
        .read_text()
        .replace(
            "    action: note\n    initial: True\n    final: True\n\n- name: LightChild",
            "    action: gather\n    initial: True\n    fan_in: 5\n    final: True\n\n- name: LightChild",
        )
    )
    (tmp_path / "fsm.yaml").write_text(text)
    harness.deploy(tmp_path / "fsm.yaml")
    harness.run()
    assert [[0], [7], [8], [9]] == sorted(each["numbers"] for each in entities(harness, "Gathered"))


def test_a_machine_without_records_that_gets_a_fan_in_goes_on_with_them(harness, tmp_path):
    """Its steps in flight get rows; nothing is lost."""
    harness.start("LightParent/", method="POST")
    harness.deliver(harness.next_attempt())
    deployed(
        harness,
        tmp_path,
        "- name: LightParent\n  namespace: leaving\n  guarantee: at_least_once\n",
        "- name: LightParent\n  namespace: leaving\n",
    )
    text = (tmp_path / "fsm.yaml").read_text()
    text = text.replace(
        "  - name: Later\n    action: later_once\n", "  - name: Later\n    action: gather\n    fan_in: 3\n"
    )
    (tmp_path / "fsm.yaml").write_text(text)
    harness.deploy(tmp_path / "fsm.yaml")
    harness.run()
    assert [[0]] == [each["numbers"] for each in entities(harness, "Gathered")]
    (row,) = harness.get("instances?machine=LightParent")["instances"]
    assert "completed" == row["status"]


# -- what a context knows ---------------------------------------------------------------------------------


@pytest.mark.fantasm(94)
def test_an_instance_knows_when_it_was_started(harness):
    """With the time zone, and as Fantasm had it without; the name begins with the machine's and tells it."""
    seen = {}

    class Look:
        def execute(self, context, obj):
            seen["aware"] = context.instance_start_time
            seen["naive"] = context.getInstanceStartTime()
            seen["name"] = context.instanceName

    services = harness.fantasm.services
    object.__setattr__(services, "actions", {**services.actions, "leaving.note": Look()})
    started = datetime.fromtimestamp(harness.clock(), UTC)
    finish(harness, "Child/")
    assert timedelta(seconds=1) > abs(seen["aware"] - started)
    assert seen["aware"].replace(tzinfo=None) == seen["naive"]
    assert seen["name"].startswith(f"Child-{started:%Y%m%d%H%M%S}-")


def test_headers_of_an_instance_last_and_reach_its_children(harness):
    """Every task has them again, those of spawned machines too; reserved ones are not taken from outside."""
    harness.start("Parent/", headers={"X-Fantasm-Reason": "because", "X-Fantasm-Step": "forged"})
    seen = []
    while (attempt := harness.next_attempt()) is not None:
        headers = {name.lower(): value for name, value in attempt.delivery.headers.items()}
        seen.append((headers["x-fantasm-reason"], headers["x-fantasm-step"] == "forged"))
        harness.deliver(attempt)
    assert [("because", False)] * 6 == seen


def test_the_pages_of_a_branch_are_json_on_its_row(harness):
    """Result pages travel beside the context, never in it."""
    harness.start("Queues/")
    for _ in range(3):
        harness.deliver(harness.next_attempt())
    (entry,) = entities(harness, "FantasmEntry")
    ((*page, chain),) = json.loads(entry["pages"])
    assert ([0, 1, 0, False, False], 8) == (page, len(chain))


def test_a_branch_that_loops_through_a_continuation_remembers_the_last_pages(harness):
    """Its rows do not grow with every round."""
    finish(harness, "Looping/")
    pages = sorted(each["pages"] for each in entities(harness, "Round"))
    assert (30, 1, 20) == (len(pages), pages[0], pages[-1])


# -- machines without records -----------------------------------------------------------------------------


def test_tasks_of_a_machine_without_records_keep_their_service(harness):
    """Pages behind the first, too, and steps that are put off."""
    routed = set()

    def around(rpc, carry_out):
        if rpc.method == "CreateTask":
            routing = rpc.request.task.app_engine_http_request.app_engine_routing
            name = rpc.request.task.name.partition("--pseudo-init--")[2] or "Second"
            routed.add((name.partition("--")[0], routing.service, routing.version))
        return carry_out()

    harness.around = around
    harness.start("LightPages/", method="POST")
    harness.run()
    assert {("pseudo-init", "backend", "v2"), ("Second", "worker", "")} == routed


def test_lines_of_a_machine_without_records_are_kept_for_every_attempt(harness):
    """A failure, a delay and a halt: each attempt's lines have names of their own."""
    harness.start("LightPages/", method="POST")
    harness.run()
    lines = Counter(each["message"] for each in entities(harness, "FantasmLog"))
    assert {"attempt 1": 2, "attempt 2": 2, "attempt 3": 2, "enough": 2} == lines


# -- requests that no task makes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"X-Fantasm-Instance": "Forking-20260101000000-0000000000000000"}, 400),
        ({"X-Fantasm-Instance": "x" * 1600}, 400),
        ({"X-Fantasm-Step": "x" * 1600}, 400),
        ({"X-Fantasm-Guarantee": "at_least_once"}, 400),
        ({"X-Fantasm-Guarantee": "at_least_once", "X-Fantasm-Chain": "[" * 50_000}, 400),
    ],
)
def test_a_delivery_that_is_not_what_it_says_is_refused(harness, headers, status):
    """The row says whose step it is; what no task can have is no step."""
    instance = harness.start("Forking/").json["instance"]
    attempt = harness.next_attempt()
    delivery = attempt.delivery
    answer = harness.client.open(delivery.url, headers={**delivery.headers, **headers}, method="POST")
    assert status == answer.status_code
    harness.tasks.finish(attempt, None)
    harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]
