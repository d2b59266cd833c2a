"""Joins: they wait for every other branch, run once for a round and a group, and never lose a context."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path

import pytest
from joining import Seen
from lives import places, request_here

from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.engine.operating import cancel, pause, redrive_instance, resume
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.testing import Crash, Harness
from fantasm_gcp.testing.adversary import Adversary

HERE = Path(__file__).parent
KINDS = ("FantasmTask", "FantasmEntry", "FantasmFanIn")


@pytest.fixture
def harness():
    Seen.begin()
    with Harness(HERE / "joining.yaml") as made:
        yield made


def start(harness, url):
    return InstanceId(harness.start(url).json["instance"])


def finish(harness, url, status="completed"):
    """Runs an instance to its end; there must be nothing left of it then but its history."""
    instance = start(harness, url)
    harness.run()
    assert status == harness.get(f"instances/{instance}")["status"]
    if status == "completed":
        assert [] == rows_left(harness)
    return instance


def rows_left(harness):
    return [
        f"{kind} {each.key.name}" for kind in KINDS for each in harness.datastore.query(kind=kind).fetch()
    ]


def test_a_join_runs_once_with_the_contexts_of_all_branches(harness):
    """Some take a longer way; the action sees each of them once, after the last."""
    finish(harness, "Report/?n=5")
    assert [[0, 1, 2, 3, 4]] == Seen.of("Merge")
    assert "Merge" == Seen.runs[-1][0]


def test_the_context_that_goes_on_is_a_copy_of_the_first(harness):
    """Of the steps that sent them the first by name; what the action changes goes on."""
    finish(harness, "Report/?n=3&then=next")
    (item,) = Seen.of("Second")
    assert item in (0, 1, 2)
    assert [[item]] == Seen.of("Last")


def test_a_join_after_a_join_waits_for_what_the_first_sent_on(harness):
    """Also where the first leads right into the second."""
    finish(harness, "Report/?n=4&then=last")
    assert [[0, 1, 2, 3]] == Seen.of("Merge")
    assert [1] == list(map(len, Seen.of("Last")))


def test_each_round_of_a_loop_through_a_join_is_its_own(harness):
    """Three rounds, four branches in each; the records tell them apart."""
    instance = finish(harness, "Report/?n=4&loops=3")
    assert [[0, 1, 2, 3]] * 3 == Seen.of("Merge")
    steps = harness.get(f"instances/{instance}")["steps"]["items"]
    branches = sorted(each["branch"] for each in steps if each["state"] == "Merge")
    assert ["join0", "join1", "join2"] == [each.partition("-")[0] for each in branches]


@pytest.mark.parametrize(("halted", "expected"), [("2", [[0, 1, 3]]), ("all", [])])
def test_a_branch_that_halted_is_not_waited_for(harness, halted, expected):
    """Where all of them halted, nothing waits at the join, and it does not run."""
    finish(harness, f"Report/?n=4&halted={halted}")
    assert expected == Seen.of("Merge")


def test_groups_run_each_on_their_own_and_in_parts(harness):
    """Ten items of three colours, three at most in a run; a second join gathers what the runs sent on."""
    finish(harness, "Grouped/?n=10&colours=3&then=next")
    merged = Seen.of("Merge")
    assert Counter(range(10)) == Counter(itertools.chain(*merged))
    assert max(map(len, merged)) <= 3
    assert all(len({item % 3 for item in each}) == 1 for each in merged)
    assert [len(merged)] == list(map(len, Seen.of("Last")))


def test_parts_do_not_take_what_other_parts_send_to_the_same_join(harness):
    """A run that goes back to its own join waits for the next round."""
    finish(harness, "Grouped/?n=7&loops=2")
    merged = Seen.of("Merge")
    first, second = merged[:3], merged[3:]
    assert [1, 3, 3] == sorted(map(len, first))
    assert Counter(range(7)) == Counter(itertools.chain(*first))
    assert 7 == sum(map(len, second))


def test_more_groups_than_parts_fit_into_a_commit_are_shared_out_further(harness):
    """Two hundred and fifty groups of one each."""
    finish(harness, "Grouped/?n=250&colours=250")
    assert Counter(range(250)) == Counter(itertools.chain(*Seen.of("Merge")))
    assert {1} == set(map(len, Seen.of("Merge")))


def test_joins_that_lead_to_each_other_are_released_together(harness):
    """Both wait; each hands on to the other, which runs in the next round."""
    finish(harness, "Mutual/?n=4")
    assert [("Left", [1, 3]), ("Right", [0, 2])] == sorted(Seen.runs[1:3])
    assert [("Left", 1), ("Right", 1)] == sorted((name, len(what)) for name, what in Seen.runs[3:])


def test_a_failed_branch_keeps_a_join_waiting_until_it_is_redriven(harness):
    """The instance has failed meanwhile; with the redrive the join has all of them."""
    Seen.fail["Work"] = 1000
    instance = start(harness, "Brittle/?n=4")
    harness.run()
    assert ("failed", []) == (harness.get(f"instances/{instance}")["status"], Seen.of("Merge"))
    Seen.fail.clear()
    redrive_instance(harness.fantasm.services, instance)
    harness.run()
    assert ("completed", [[0, 1, 2, 3]]) == (
        harness.get(f"instances/{instance}")["status"],
        Seen.of("Merge"),
    )
    assert [] == rows_left(harness)


def test_a_failed_branch_that_is_skipped_goes_on_to_the_join(harness):
    """With the event that an operator chose, or not at all where that is empty."""
    Seen.fail["Work"] = 2
    instance = start(harness, "Brittle/?n=4")
    harness.run()
    first, second = harness.get(f"instances/{instance}")["failed"]["items"]
    for step, event in ((first, "done"), (second, "")):
        assert redrive(harness.fantasm.services, StepName(step["step"]), skip=event)
    harness.run()
    items = sorted({0, 1, 2, 3} - {second["context"]["item"]})
    assert [items] == Seen.of("Merge")
    outcomes = Counter(each["status"] for each in harness.get(f"instances/{instance}")["steps"]["items"])
    assert 2 == outcomes["skipped"]


def test_a_join_that_fails_can_be_redriven_and_keeps_its_batch(harness):
    """Nothing else comes into it, and nothing is lost."""
    Seen.fail["Merge"] = 1
    instance = start(harness, "Brittle/?n=3")
    harness.run()
    (failed,) = harness.get(f"instances/{instance}")["failed"]["items"]
    assert ("Merge", "failed") == (failed["state"], harness.get(f"instances/{instance}")["status"])
    redrive(harness.fantasm.services, StepName(failed["step"]))
    harness.run()
    assert [[0, 1, 2]] == Seen.of("Merge")
    assert [] == rows_left(harness)


def test_a_join_that_is_skipped_goes_on_with_one_context(harness):
    """Its batch ends with it."""
    Seen.fail["Merge"] = 1
    instance = start(harness, "Brittle/?n=3")
    harness.run()
    (failed,) = harness.get(f"instances/{instance}")["failed"]["items"]
    redrive(harness.fantasm.services, StepName(failed["step"]), skip="last")
    harness.run()
    assert ([], [1]) == (Seen.of("Merge"), list(map(len, Seen.of("Last"))))
    assert [] == rows_left(harness)


def test_a_join_waits_for_spawned_instances_too(harness):
    """Whatever time they take; the action sees how they ended."""
    finish(harness, "Parent/?n=3&later=1")
    assert [("Gather", [("Child", "completed", True)] * 3)] == Seen.runs[-1:]
    assert 3 == len(Seen.of("Grown"))


def test_without_a_join_the_instance_ends_after_those_that_it_waits_for(harness):
    """The parent's end is not before the last child's."""
    instance = finish(harness, "Lonely/?n=2&later=1")
    shown = harness.get("instances")["instances"]
    ended = {each["instance"]: each["ended"] for each in shown}
    assert ended[instance] == max(ended.values())


def test_a_failed_child_is_waited_for_until_it_is_redriven_or_cancelled(harness):
    """One is redriven, one cancelled; then the join runs."""
    Seen.fail["Grow"] = 2
    instance = start(harness, "Parent/?n=3&brittle=1")
    harness.run()
    failed = [each for each in harness.get("instances")["instances"] if each["status"] == "failed"]
    assert (2, "running") == (len(failed), harness.get(f"instances/{instance}")["status"])
    redrive_instance(harness.fantasm.services, InstanceId(failed[0]["instance"]))
    cancel(harness.fantasm.services, InstanceId(failed[1]["instance"]))
    harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]
    assert [["cancelled", "completed", "completed"]] == [
        sorted(status for _, status, _ in each) for each in Seen.of("Gather")
    ]
    assert [] == rows_left(harness)


def test_cancelling_who_waits_leaves_nothing_of_him(harness):
    """The children go on; the row that waited for them is gone, and their ends harm nobody."""
    instance = start(harness, "Parent/?n=2&later=1")
    while len(Seen.of("Grow")) < 2:
        harness.deliver(harness.next_attempt())
    cancel(harness.fantasm.services, instance)
    harness.run()
    assert ("cancelled", []) == (harness.get(f"instances/{instance}")["status"], rows_left(harness))
    assert (2, []) == (len(Seen.of("Grown")), Seen.of("Gather"))


@pytest.mark.parametrize("machine", ["Report", "Grouped"])
def test_cancelling_deletes_what_waits_at_joins(harness, machine):
    """And what is in flight."""
    instance = start(harness, f"{machine}/?n=5&colours=2")
    for _ in range(3):
        harness.deliver(harness.next_attempt())
    cancel(harness.fantasm.services, instance, "enough")
    harness.run()
    shown = harness.get(f"instances/{instance}")
    assert ("cancelled", "enough") == (shown["status"], shown["note"])
    assert ([], 0) == (rows_left(harness), harness.tasks.depth())


def test_a_paused_instance_does_not_release_its_joins_until_it_is_resumed(harness):
    """Its last branch is parked; after the resume all goes on."""
    instance = start(harness, "Report/?n=3")
    for _ in range(3):
        harness.deliver(harness.next_attempt())
    pause(harness.fantasm.services, instance)
    harness.run()
    assert ("paused", []) == (harness.get(f"instances/{instance}")["status"], Seen.of("Merge"))
    resume(harness.fantasm.services, instance)
    harness.run()
    assert ("completed", [[0, 1, 2]]) == (harness.get(f"instances/{instance}")["status"], Seen.of("Merge"))


@pytest.mark.parametrize(
    "arguments", [{"task_name": "x"}, {"machine": "Quick"}], ids=["named", "without records"]
)
def test_what_cannot_be_waited_for_is_refused(harness, arguments):
    """A child that somebody else may have started, and a machine that keeps no records."""
    instance = start(harness, "Refused/?" + "&".join(f"{name}={value}" for name, value in arguments.items()))
    harness.run()
    (failed,) = harness.get(f"instances/{instance}")["failed"]["items"]
    assert failed["error"].startswith("ValueError: join=True")


def test_joins_that_are_released_together_all_get_their_tasks(harness):
    """Their queues differ, the worker dies between the two, and the first has gone on when he is repeated."""
    start(harness, "Queued/?n=2")
    created = []

    def around(rpc, carry_out):
        if rpc.method == "CreateTask" and "--join0-" in rpc.request.task.name:
            created.append(rpc)
            if len(created) == 2:
                raise Crash
        return carry_out()

    harness.around = around
    while (attempt := harness.next_attempt()) is not None:
        try:
            harness.deliver(attempt)
        except Crash:
            harness.around = lambda _, carry_out: carry_out()
            joined = next(each for each in harness.tasks.due() if "--join0-" in each)
            harness.deliver(harness.tasks.lease(joined))
            harness.tasks.finish(attempt, None)
    ran = [name for name, _ in Seen.runs if name in ("Left", "Right", "Second", "Last")]
    assert ["Left", "Right", "Second", "Second", "Last"] == [*sorted(ran[:2]), *ran[2:]]
    assert [] == rows_left(harness)


def test_a_crash_before_and_after_each_rpc_changes_nothing():
    """Groups, parts, a join after a join, and joined children."""
    for url in ("Grouped/?n=7&colours=2&then=next", "Parent/?n=2", "Report/?n=3&loops=2&then=last"):
        expected, calls = run_with_crash(url, None, after=False)
        assert len(calls) > 30
        for n, after in places(calls):
            assert expected == run_with_crash(url, n, after=after)[0], (url, n, after)


def run_with_crash(url, at, *, after):
    """What was recorded of a run whose worker is killed at its RPC number ``at``; and the request of each."""
    Seen.begin()
    calls = []

    def around(rpc, carry_out):
        calls.append(request_here())
        if len(calls) - 1 != at:
            return carry_out()
        if after:
            carry_out()
        raise Crash

    with Harness(HERE / "joining.yaml") as harness:
        instance = start(harness, url)
        harness.around = around
        harness.run()
        made = list(calls)
        assert [] == rows_left(harness)
        found = harness.get("instances")["instances"]
        assert {"completed"} == {each["status"] for each in found}
        steps = harness.get(f"instances/{instance}?limit=1000")["steps"]["items"]
        return Counter((each["state"], each["status"], each["entries"]) for each in steps), made


@pytest.mark.parametrize("seed", range(60))
def test_joins_hold_against_the_adversary(seed):
    """Overlapping, killed, repeated and late deliveries: each round is recorded once, with all of it."""
    chance = random.Random(seed)
    Seen.begin()
    with Harness(HERE / "joining.yaml") as harness:
        url = chance.choice(
            ["Grouped/?n=7&colours=2&then=next", "Report/?n=3&loops=3&then=last", "Parent/?n=3"]
        )
        name = start(harness, url)
        Adversary(harness, seed).run()
        shown = harness.get(f"instances/{name}?limit=1000")
        assert ("completed", []) == (shown["status"], rows_left(harness))
        entries = Counter()
        for each in shown["steps"]["items"]:
            if each["status"] == "completed" and each["entries"] is not None:
                entries[each["state"]] += each["entries"]
        expected = {
            "Grouped": {"Merge": 7, "Total": 3},
            "Report": {"Merge": 9, "Last": 1},
            "Parent": {"Merge": 1},
        }
        assert expected[url.partition("/")[0]] == entries


@pytest.mark.parametrize(
    ("url", "merged", "states"),
    [
        ("Report/?n=4&then=next", [[0, 1, 2, 3]], ["Merge", "Second", "Last"]),
        ("Report/?n=3&loops=2", [[0, 1, 2], [0, 1, 2]], ["Merge", "Merge"]),
        ("Grouped/?n=4&colours=2", [[0, 2], [1, 3]], ["Merge", "Merge"]),
        ("Parent/?n=2", [], ["Gather"]),
    ],
)
def test_joins_run_within_one_request_too(harness, url, merged, states):
    """In immediate mode, when nothing else is left to do; groups each on their own."""
    answer = harness.start(url + "&__im__=1")
    assert (200, []) == (answer.status_code, rows_left(harness))
    assert merged == sorted(Seen.of("Merge"))
    assert states == [name for name, _ in Seen.runs if name in ("Merge", "Second", "Last", "Gather")]
