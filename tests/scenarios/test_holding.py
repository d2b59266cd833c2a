"""Pause, resume, hold, release and cancel: nothing is lost, nothing is parked for ever, nothing is left."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest
from holding import Now
from lives import places, request_here

from fantasm_gcp import RetryLater
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.engine.operating import cancel, hold, pause, release, resume
from fantasm_gcp.errors import CommandError, NotThereError
from fantasm_gcp.testing import Crash, Harness
from fantasm_gcp.testing.adversary import Adversary

HERE = Path(__file__).parent
KINDS = ("FantasmTask", "FantasmEntry", "FantasmFanIn")


@pytest.fixture
def harness():
    Now.then.clear()
    with Harness(HERE / "holding.yaml") as made:
        yield made


def start(harness, url):
    return InstanceId(harness.start(url).json["instance"])


def status(harness, instance):
    return harness.get(f"instances/{instance}")["status"]


def deliver(harness, times):
    for _ in range(times):
        harness.deliver(harness.next_attempt())


def all_of(harness, kind):
    return list(harness.datastore.query(kind=kind).fetch())


def rows_left(harness):
    return [f"{kind} {each.key.name}" for kind in KINDS for each in all_of(harness, kind)]


def tally(harness):
    return {int(each.key.name) - 1: each["n"] for each in all_of(harness, "Tally")}


def merged(harness):
    return [each["items"] for each in all_of(harness, "Merged")]


def assert_whole(harness, instance, n):
    """It ran to its end, each item once, and nothing is left of it."""
    assert "completed" == status(harness, instance)
    assert (dict.fromkeys(range(n), 1), [list(range(n))]) == (tally(harness), merged(harness))
    assert [] == rows_left(harness)


# -- pause and resume -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivered", range(6))
def test_a_paused_instance_stands_still_and_goes_on_after_its_resume(harness, delivered):
    """Wherever it is: its tasks are consumed without an attempt, and come again under another name."""
    instance = start(harness, "Held/?n=3")
    deliver(harness, delivered)
    pause(harness.fantasm.services, instance)
    before = tally(harness)
    harness.run()
    shown = harness.get(f"instances/{instance}")
    assert ("paused", 0, before) == (shown["status"], harness.tasks.depth(), tally(harness))
    assert {"parked"} == {each["status"] for each in shown["in_flight"]["items"]}
    assert {0} == {each["attempts"] for each in shown["in_flight"]["items"]}
    resume(harness.fantasm.services, instance)
    harness.run()
    assert_whole(harness, instance, 3)


def test_commands_may_be_given_twice(harness):
    """The second changes nothing."""
    services = harness.fantasm.services
    instance = start(harness, "Held/?n=2")
    assert pause(services, instance) == pause(services, instance)
    harness.run()
    assert resume(services, instance) == resume(services, instance)
    harness.run()
    assert_whole(harness, instance, 2)
    with pytest.raises(CommandError, match="it is completed"):
        pause(services, instance)
    with pytest.raises(CommandError, match="it is completed"):
        cancel(services, instance)
    with pytest.raises(NotThereError):
        resume(services, InstanceId("Held-20270115080000-0000000000000000"))


def test_parked_steps_come_back_at_a_bounded_rate(harness):
    """A hundred and fifty of them at fifty in a second: in pages, none before its time."""
    instance = start(harness, "Held/?n=150")
    deliver(harness, 1)
    pause(harness.fantasm.services, instance)
    while harness.tasks.due():
        harness.deliver(harness.tasks.lease())
    assert {} == tally(harness)
    began = harness.clock()
    resume(harness.fantasm.services, instance)
    while len(tally(harness)) < 150:
        deliver(harness, 1)
    assert 2.9 <= harness.clock() - began < 10


def test_a_step_that_runs_when_its_instance_is_paused_ends_and_what_follows_is_parked(harness):
    """Nothing of it is lost."""
    instance = start(harness, "Held/?n=2")
    deliver(harness, 1)
    Now.then.append(partial(pause, harness.fantasm.services, instance))
    harness.run()
    assert ("paused", 1) == (status(harness, instance), len(tally(harness)))
    resume(harness.fantasm.services, instance)
    harness.run()
    assert_whole(harness, instance, 2)


def test_an_instance_may_be_paused_again_while_it_resumes(harness):
    """And cancelled while it is paused."""
    services = harness.fantasm.services
    instance = start(harness, "Held/?n=4")
    deliver(harness, 1)
    pause(services, instance)
    harness.run()
    for _ in range(3):
        resume(services, instance)
        deliver(harness, 2)
        pause(services, instance)
        harness.run()
    cancel(services, instance)
    harness.run()
    assert ("cancelled", []) == (status(harness, instance), rows_left(harness))


def test_a_late_task_of_a_parked_step_does_not_run_it(harness):
    """It was answered before: nobody would hear of a failure. The step gets another task instead."""
    services = harness.fantasm.services
    instance = start(harness, "Held/?n=1")
    deliver(harness, 1)
    pause(services, instance)
    attempt = harness.next_attempt()
    harness.deliver(attempt)
    operations = []

    def around(rpc, carry_out):
        if rpc.method == "CreateTask" and "pseudo-operator" in rpc.request.task.name:
            operations.append(rpc)
        return carry_out()

    harness.around = around
    resume(services, instance)
    Now.then.append(partial(fail, "nobody hears of this"))
    assert (200, 1) == (harness.answer(attempt), len(operations))
    harness.run()
    assert_whole(harness, instance, 1)


def test_who_was_overtaken_by_a_later_epoch_sees_its_task_created(harness):
    """A delivery inside of another puts the step off and dies before the next task is there."""
    instance = start(harness, "Held/?n=2")
    attempt = harness.next_attempt()

    def put_off():
        raise RetryLater(5)

    def around(rpc, carry_out):
        if rpc.method == "CreateTask":
            raise Crash
        return carry_out()

    def deliver_inside():
        Now.then.append(put_off)
        harness.around = around
        with pytest.raises(Crash):
            harness.answer(attempt)
        harness.around = lambda _, carry_out: carry_out()

    Now.then.append(deliver_inside)
    harness.deliver(attempt)
    harness.run()
    assert_whole(harness, instance, 2)


def fail(words):
    raise RuntimeError(words)


# -- holds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["", "Work", "Gather", "Merge"])
def test_what_is_held_is_parked_and_goes_on_when_it_is_released(harness, state):
    """A machine or a state, of all instances."""
    services = harness.fantasm.services
    hold(services, "Held", state, "not today")
    instances = [start(harness, "Held/?n=3")]
    harness.run()
    assert (["running"], []) == ([status(harness, each) for each in instances], merged(harness))
    operation = release(services, "Held", state)
    harness.run()
    assert_whole(harness, instances[0], 3)
    assert "completed" == status(harness, operation)


def test_a_hold_of_one_state_lets_the_others_run(harness):
    """The steps before it are not parked."""
    hold(harness.fantasm.services, "Held", "Gather")
    start(harness, "Held/?n=3")
    harness.run()
    assert {0: 1, 1: 1, 2: 1} == tally(harness)


def test_holds_are_read_once_in_five_seconds(harness):
    """A process learns of a hold within that time, and a step costs no request for it meanwhile."""
    reads = []

    def around(rpc, carry_out):
        if rpc.method == "RunQuery" and "FantasmHold" in str(rpc.request):
            reads.append(harness.clock())
        return carry_out()

    harness.around = around
    start(harness, "Held/?n=40")
    while len(tally(harness)) < 40:
        deliver(harness, 1)
    assert 1 == len(reads)
    harness.clock.sleep(5)
    deliver(harness, 1)
    assert 2 == len(reads)


def test_a_hold_that_this_process_does_not_know_to_be_over_parks_nothing(harness):
    """What it knows is looked up again before a step is parked."""
    services = harness.fantasm.services
    hold(services, "Held")
    instance = start(harness, "Held/?n=2")
    deliver(harness, 1)
    release(services, "Held")
    instance = start(harness, "Held/?n=2")
    harness.run()
    assert "completed" == status(harness, instance)


def test_a_hold_that_is_repeated_keeps_its_time_and_its_note(harness):
    """Another note takes the place of the first."""
    services = harness.fantasm.services
    first = hold(services, "Held", "Work", "the bank is down")
    harness.clock.sleep(60)
    assert first == hold(services, "Held", "Work")
    assert (first.since, "still down") == (
        hold(services, "Held", "Work", "still down").since,
        services.store.holds()[0].note,
    )


def test_what_cannot_be_held_is_told(harness):
    """A state that the machine does not have, with those that it has; what is not held is not released."""
    services = harness.fantasm.services
    with pytest.raises(NotThereError, match="Split, Work, Gather"):
        hold(services, "Held", "Wrok")
    with pytest.raises(NotThereError, match=r"Held\.Work"):
        release(services, "Held", "Work")


# -- cancel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivered", range(6))
@pytest.mark.parametrize("url", ["Held/?n=3", "Held/?n=3&far=1", "Paging/"])
def test_a_cancelled_instance_leaves_no_row_and_no_task(harness, url, delivered):
    """Wherever it is; its history says where its branches were."""
    instance = start(harness, url)
    deliver(harness, min(delivered, 3 if "Pag" in url else 4 if "far" in url else 5))
    cancel(harness.fantasm.services, instance)
    now = harness.clock()
    while harness.tasks.due():
        harness.deliver(harness.tasks.lease())
    shown = harness.get(f"instances/{instance}")
    assert ("cancelled", True) == (shown["status"], shown["ended"] is not None)
    assert ([], 0, True) == (rows_left(harness), harness.tasks.depth(), harness.clock() - now < 60)


def test_a_step_that_runs_when_its_instance_is_cancelled_is_dropped(harness):
    """Its transaction does not commit."""
    instance = start(harness, "Held/?n=1")
    deliver(harness, 1)

    def stop():
        cancel(harness.fantasm.services, instance)
        harness.deliver(harness.tasks.lease())

    Now.then.append(stop)
    harness.run()
    assert ({}, []) == (tally(harness), rows_left(harness))


def test_a_halt_of_the_instance_takes_back_what_is_scheduled_far_ahead(harness):
    """The other branches wait for weeks; nothing of them is left at once."""
    instance = start(harness, "Halting/?n=4")
    began = harness.clock()
    harness.run()
    assert ("cancelled", [], []) == (status(harness, instance), rows_left(harness), all_of(harness, "Far"))
    assert harness.clock() - began < 60


def test_a_task_scheduled_far_ahead_that_comes_after_the_cancellation_is_deleted(harness):
    """The worker that created it was slow: it finds its step's row gone, and deletes the task again."""
    instance = start(harness, "Held/?n=1&far=1")
    deliver(harness, 1)

    def around(rpc, carry_out):
        if rpc.method == "CreateTask" and "--Far--" in rpc.request.task.name:
            harness.around = lambda _, carry_out: carry_out()
            cancel(harness.fantasm.services, instance)
            while harness.tasks.due():
                harness.deliver(harness.tasks.lease())
        return carry_out()

    harness.around = around
    deliver(harness, 1)
    assert ([], 0) == (rows_left(harness), harness.tasks.depth())


def test_a_worker_that_dies_with_such_a_task_has_it_deleted_by_the_next_delivery(harness):
    """The record of the step names the task."""
    instance = start(harness, "Held/?n=1&far=1")
    deliver(harness, 1)

    def around(rpc, carry_out):
        if rpc.method == "CreateTask" and "--Far--" in rpc.request.task.name:
            harness.around = lambda _, carry_out: carry_out()
            cancel(harness.fantasm.services, instance)
            while harness.tasks.due():
                harness.deliver(harness.tasks.lease())
            carry_out()
            raise Crash
        return carry_out()

    harness.around = around
    attempt = harness.next_attempt()
    with pytest.raises(Crash):
        harness.deliver(attempt)
    harness.tasks.finish(attempt, None)
    assert 2 == harness.tasks.depth()
    deliver(harness, 1)
    assert ([], 0) == (rows_left(harness), harness.tasks.depth())


# -- crashes and the adversary ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["resume", "cancel", "release"])
def test_a_crash_at_any_rpc_of_a_command_loses_nothing(command):
    """The command is given again by who got no answer; deliveries come again by themselves."""
    calls = _with_crash(command, None, after=False)
    assert len(calls) > 15
    for at, after in places(calls):
        _with_crash(command, at, after=after)


def _with_crash(command, at, *, after):
    Now.then.clear()
    calls = []

    def around(rpc, carry_out):
        calls.append(request_here())
        if len(calls) - 1 != at:
            return carry_out()
        if after:
            carry_out()
        raise Crash

    with Harness(HERE / "holding.yaml") as harness:
        services = harness.fantasm.services
        instance = start(harness, "Held/?n=3")
        deliver(harness, 2)
        if command == "release":
            hold(services, "Held")
        else:
            pause(services, instance)
        harness.run()
        harness.around = around
        acts = {
            "resume": partial(resume, services, instance),
            "cancel": partial(cancel, services, instance),
            "release": partial(release, services, "Held"),
        }
        try:
            acts[command]()
        except Crash:
            try:
                acts[command]()
            except NotThereError:  # the hold was released; who makes its steps run again had no task yet
                harness.clock.sleep(120)
                harness.client.get("/fantasm/sweep")
        harness.run()
        harness.around = lambda _, carry_out: carry_out()
        if command == "cancel":
            assert ("cancelled", []) == (status(harness, instance), rows_left(harness))
        else:
            assert_whole(harness, instance, 3)
        return calls


@pytest.mark.parametrize("seed", range(60))
def test_operators_at_any_moment_lose_nothing(seed):
    """Pauses, resumes, holds and releases between any two requests of overlapping and dying deliveries."""
    Now.then.clear()
    chance = random.Random(seed)
    with Harness(HERE / "holding.yaml") as harness:
        services = harness.fantasm.services
        instance = start(harness, "Held/?n=3")
        commands = [
            partial(pause, services, instance),
            partial(resume, services, instance),
            partial(hold, services, "Held", chance.choice(["", "Work", "Gather", "Merge"])),
        ]

        def meanwhile(adversary):
            if chance.random() < 0.03:
                command = chance.choice(commands)
                adversary.command(lambda: attempted(command))

        Adversary(harness, seed, crash=0.02).run(meanwhile)
        for state in ("", "Work", "Gather", "Merge"):
            attempted(partial(release, services, "Held", state))
        attempted(partial(resume, services, instance))
        harness.run()
        assert_whole(harness, instance, 3)


@pytest.mark.parametrize("seed", range(40))
def test_a_cancellation_at_any_moment_leaves_nothing(seed):
    """Whatever overlaps and dies."""
    Now.then.clear()
    chance = random.Random(seed)
    with Harness(HERE / "holding.yaml") as harness:
        instance = start(harness, f"Held/?n=3{chance.choice(['', '&far=1'])}")
        given = []

        def meanwhile(adversary):
            if not given and chance.random() < 0.02:
                given.append(True)
                command = partial(cancel, harness.fantasm.services, instance)
                adversary.command(lambda: attempted(command))

        Adversary(harness, seed, crash=0.02).run(meanwhile)
        if status(harness, instance) != "cancelled":
            return
        assert [] == rows_left(harness)
        assert harness.get(f"instances/{instance}")["ended"] is not None


def attempted(command):
    """A command that may have come too late."""
    try:
        command()
    except CommandError:
        return
