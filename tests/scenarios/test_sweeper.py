"""The sweeper: why a step is overdue, what it does about it, and what it leaves alone."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise

import grpc
import pytest
from google.cloud import datastore
from swept import (
    FSM,
    QUEUES,
    Acts,
    cloud_tasks,
    counted,
    faults,
    purge,
    ran,
    rows,
    run_with_sweeps,
    start,
    statuses,
    sweep,
    sweep_later,
    without_tasks,
)

from fantasm_gcp.core.records import (
    Commit,
    Delete,
    Insert,
    InstanceStatus,
    TaskStatus,
    Update,
    instance_key,
    task_key,
)
from fantasm_gcp.engine.operating import hold, pause
from fantasm_gcp.engine.sweeping import sweep as sweep_directly
from fantasm_gcp.gateways.clients import Channels, datastore_api
from fantasm_gcp.gateways.datastore import DatastoreStore
from fantasm_gcp.gateways.wire import Wire
from fantasm_gcp.local.rpc import LocalChannel, RpcError
from fantasm_gcp.testing import Harness

DAY = 24 * 3600.0


@pytest.fixture
def harness():
    made = Harness(FSM)
    Acts.act = lambda context: None
    yield made
    made.close()


def row_of(harness, name):
    """The row of a step, as the engine has it, with its version."""
    return harness.fantasm.services.store.lookup([task_key(name)])[0]


def only_row(harness):
    (row,) = rows(harness)
    return row_of(harness, row.key.name)


def change(harness, stored, **changes):
    store = harness.fantasm.services.store
    store.commit(Commit((Update(replace(stored.row, **changes), stored.version),)))


def lost(harness, machine="Chain"):
    """An instance whose first task could not be created, on a queue that is there."""
    harness.start("Chain/")
    harness.run()
    with without_tasks(harness):
        return start(harness, machine)


def test_a_step_whose_task_was_never_created_runs_after_a_sweep(harness):
    """The start's rows are there, its task is not; the instance is swept and completes."""
    instance = lost(harness)
    assert {} == {name: times for name, times in ran(harness).items() if instance in name}
    done = sweep_later(harness)
    assert {"never enqueued": 1} == done["reasons"]
    assert (1, 1, True) == (done["overdue"], done["enqueued"], done["finished"])
    harness.run()
    assert ["completed", "completed"] == statuses(harness)
    assert {1} == set(ran(harness).values())


def test_the_first_task_of_all_makes_its_queue(harness):
    """Where nobody has created a task yet there is no queue locally: one task tells that it can be made."""
    with without_tasks(harness):
        for _ in range(3):
            start(harness)
            harness.clock.sleep(1)
    done = sweep_later(harness)
    assert ({"queue missing": 3}, 1) == (done["reasons"], done["enqueued"])
    run_with_sweeps(harness)
    assert ["completed"] * 3 == statuses(harness)
    assert {1} == set(ran(harness).values())


def test_a_purged_queue_loses_nothing(harness):
    """Every task of the queue is deleted; every step runs once, and no other queue is touched."""
    for _ in range(12):
        harness.start("Chain/")
    harness.start("Side/")
    purge(harness)
    done = sweep_later(harness)
    assert {"task gone": 12, "waiting": 1} == done["reasons"]
    assert 12 == done["enqueued"]
    harness.run()
    assert ["completed"] * 13 == statuses(harness)
    assert {1} == set(ran(harness).values())


def test_what_is_on_time_is_left_alone(harness):
    """Up to the end of the minute that begins a minute after its time; then it is found."""
    harness.clock.now = 1_800_000_000.0 - 1_800_000_000.0 % 60 + 30
    with without_tasks(harness):
        start(harness)
    harness.clock.sleep(60 + 29)
    assert 0 == sweep(harness)["overdue"]
    harness.clock.sleep(1)
    assert 1 == sweep(harness)["overdue"]


def test_a_step_that_is_due_in_an_hour_is_on_time_until_then(harness):
    """Its row is in flight all the while."""
    harness.fantasm.start_machine("Chain", {}, countdown=3600)
    for _ in range(3):
        assert 0 == sweep_later(harness)["overdue"]
    harness.clock.sleep(3600)
    assert {"waiting": 1} == sweep(harness)["reasons"]


@pytest.mark.parametrize("machine", ["Chain", "Side"])
def test_a_task_that_is_there_is_never_doubled(harness, machine):
    """A backlog of an hour is swept again and again: the same task runs, under the same epoch."""
    start(harness, machine)
    for _ in range(20):
        assert 0 == sweep_later(harness)["enqueued"]
    assert (1, 0) == (harness.tasks.depth(), only_row(harness).row.epoch)
    harness.run()
    assert {1} == set(ran(harness).values())


def test_looking_again_backs_off(harness):
    """After one minute, two, four, up to six hours; in between it costs nothing."""
    start(harness)
    moments = []
    for _ in range(1_700):
        harness.clock.sleep(60)
        if sweep_directly(harness.fantasm.services).overdue:
            moments.append(harness.clock.now)
    waits = [later - earlier for earlier, later in pairwise(moments)]
    assert [2, 3, 5, 9, 17, 33, 65, 129, 257, 361] == [wait / 60 for wait in waits[:10]]
    assert {361} == {wait / 60 for wait in waits[9:]}
    assert len(moments) == only_row(harness).row.looks


def test_a_paused_queue_is_told_and_its_tasks_are_not_asked_for(harness):
    """However many rows wait there: one request for the queue, none for tasks."""
    for _ in range(5):
        start(harness)
    cloud_tasks(harness).pause_queue(name=f"{QUEUES}/default")
    harness.clock.sleep(300)
    with counted(harness) as counts:
        assert {"queue paused": 5} == sweep(harness)["reasons"]
    assert (1, 0) == (counts["GetQueue"], counts["GetTask"])
    cloud_tasks(harness).resume_queue(name=f"{QUEUES}/default")
    run_with_sweeps(harness)
    assert {1} == set(ran(harness).values())


def test_a_disabled_queue_is_told(harness):
    """Only Google disables queues, so the answer is made up here."""
    start(harness)
    before = harness.around

    def disabled(rpc, carry_out):
        response = before(rpc, carry_out)
        if rpc.method == "GetQueue":
            response.state = 3
        return response

    harness.around = disabled
    assert {"queue disabled": 1} == sweep_later(harness)["reasons"]


def test_a_deleted_queue_is_told_until_it_is_there_again(harness):
    """Its name cannot be used again for a week; then the steps run."""
    for _ in range(4):
        start(harness)
    cloud_tasks(harness).delete_queue(name=f"{QUEUES}/default")
    with counted(harness) as counts:
        done = sweep_later(harness)
    assert ({"queue missing": 4}, 0) == (done["reasons"], done["enqueued"])
    assert 0 == counts["GetTask"]
    for _ in range(8 * 24):
        sweep_later(harness, 3600)
    run_with_sweeps(harness)
    assert ["completed"] * 4 == statuses(harness)
    assert {1} == set(ran(harness).values())


def test_a_first_attempt_that_takes_long_is_running(harness):
    """It was dispatched, and has not been answered."""
    start(harness)
    attempt = harness.tasks.lease()
    assert {"running": 1} == sweep_later(harness)["reasons"]
    harness.deliver(attempt)
    harness.run()
    assert {1} == set(ran(harness).values())


def test_a_step_whose_attempts_fail_is_failing(harness):
    """Cloud Tasks goes on trying: that is its task's matter, and no reason for another one."""
    start(harness, "Slow")
    Acts.act = lambda context: 1 / 0
    for _ in range(3):
        harness.deliver(harness.next_attempt())
    done = sweep_later(harness)
    assert ({"failing": 1}, 0) == (done["reasons"], done["enqueued"])
    Acts.act = lambda context: None
    harness.run()
    assert ["completed"] == statuses(harness)


def test_a_step_whose_workers_die_is_failing(harness):
    """Nobody recorded anything: the number of dispatches tells it."""
    start(harness)
    for _ in range(2):
        harness.tasks.finish(harness.next_attempt(), None)
    assert {"failing": 1} == sweep_later(harness)["reasons"]


def test_attempts_count_on_under_the_next_epoch(harness):
    """What had failed once before its task was lost has one attempt left of its two."""
    start(harness, "Twice")
    Acts.act = lambda context: 1 / 0
    harness.deliver(harness.next_attempt())
    purge(harness)
    assert {"task gone": 1} == sweep_later(harness)["reasons"]
    assert 1 == harness.run()
    assert ["failed"] == statuses(harness)


def without(tmp_path, machine):
    """The machines of the file, one of them called otherwise."""
    (tmp_path / "fsm.yaml").write_text(FSM.read_text().replace(f"name: {machine}\n", "name: Other\n"))
    return tmp_path / "fsm.yaml"


def test_a_definition_that_is_missing_is_told(harness, tmp_path):
    """The task is there, and waits for a deployment that knows the machine."""
    start(harness)
    harness.deploy(without(tmp_path, "Chain"))
    done = sweep_later(harness)
    assert ({"definition missing": 1}, 0) == (done["reasons"], done["enqueued"])


def test_a_lost_step_is_enqueued_even_if_its_definition_is_missing(harness, tmp_path):
    """Another deployment may be the one that takes it."""
    lost(harness)
    harness.deploy(without(tmp_path, "Chain"))
    done = sweep_later(harness)
    assert ({"definition missing": 1}, 1) == (done["reasons"], done["enqueued"])
    harness.deploy(FSM)
    harness.run()
    assert ["completed", "completed"] == statuses(harness)


def parked(harness):
    """An instance that is paused, its step parked."""
    instance = start(harness)
    pause(harness.fantasm.services, instance)
    harness.run()
    assert TaskStatus.PARKED == only_row(harness).row.status
    return instance


def test_a_parked_step_of_a_paused_instance_stays_parked(harness):
    """It is looked at once a day, and says why it is there."""
    parked(harness)
    found = [sweep_later(harness, 3600)["reasons"] for _ in range(24 * 5)]
    assert [{"held": 1}] * 4 == [each for each in found if each]
    assert 0 == harness.tasks.depth()


def test_nothing_is_parked_for_ever(harness):
    """A parked step that was forgotten when its instance went on runs again after a day."""
    instance = parked(harness)
    store = harness.fantasm.services.store
    stored = store.lookup([instance_key(instance)])[0]
    running = replace(stored.row, status=InstanceStatus.RUNNING, commands=stored.row.commands + 1)
    store.commit(Commit((Update(running, stored.version),)))
    assert 0 == sweep_later(harness, DAY - 600)["overdue"]
    assert {"parked": 1} == sweep_later(harness, 1200)["reasons"]
    harness.run()
    assert ["completed"] == statuses(harness)
    assert {1} == set(ran(harness).values())


def test_a_parked_step_whose_instance_is_gone_is_let_go(harness):
    """Somebody deleted the instance by hand."""
    instance = parked(harness)
    harness.fantasm.services.store.commit(Commit((Delete(instance_key(instance)),)))
    assert {"parked": 1} == sweep_later(harness, DAY + 120)["reasons"]
    harness.run()
    assert [] == rows(harness)


@pytest.mark.parametrize("state", ["", "One"])
def test_what_is_held_stays_parked_and_what_is_not_goes_on(harness, state):
    """A hold of a machine, or of the state that the step comes to; another state's is none of it."""
    services = harness.fantasm.services
    hold(services, "Chain", state)
    hold(services, "Side", "Three")
    start(harness)
    start(harness, "Side")
    harness.run()
    change(harness, only_row_of(harness, "Side"), status=TaskStatus.PARKED)
    done = sweep_later(harness, DAY + 120)
    assert {"held": 2} == done["reasons"]
    (side,) = (each for each in services.store.holds() if each.machine == "Side")
    services.store.commit(Commit((Delete(side.key),)))
    assert {"held": 1, "parked": 1} == sweep_later(harness, DAY + 120)["reasons"]


def only_row_of(harness, machine):
    (row,) = (each for each in rows(harness) if each["machine"] == machine)
    return row_of(harness, row.key.name)


def test_what_cloud_tasks_refuses_keeps_nothing_else_from_running(harness):
    """A step on a queue whose name cannot be is told, tried later and later, and others run."""
    lost(harness)
    with without_tasks(harness):
        wrong = start(harness)
    for each in rows(harness):
        if each["instance"] == wrong:
            change(harness, row_of(harness, each.key.name), queue="no/queue")
    done = sweep_later(harness)
    assert ({"never enqueued": 1, "refused": 1}, 1) == (done["reasons"], done["enqueued"])
    harness.run()
    assert ["completed", "completed", "running"] == statuses(harness)
    assert [] == [done for done in (sweep(harness) for _ in range(3)) if done["overdue"]]


def test_a_task_that_cannot_be_created_is_tried_later_and_later(harness, caplog):
    """And each time it is said why."""
    lost(harness)
    with faults(harness, "CreateTask", code=grpc.StatusCode.INVALID_ARGUMENT):
        found = [sweep_later(harness, 60) for _ in range(30)]
    assert 0 == sum(each["enqueued"] for each in found)
    assert 5 == sum(each["overdue"] for each in found)
    assert 5 == len([each for each in caplog.messages if "cannot be enqueued: 400 injected" in each])
    run_with_sweeps(harness)
    assert {1} == set(ran(harness).values())


def test_one_task_that_cannot_be_created_does_not_stop_the_others(harness):
    """A batch with a wrong one in it is created one by one."""
    harness.start("Chain/")
    harness.run()
    with without_tasks(harness):
        for _ in range(6):
            start(harness)
            harness.clock.sleep(1)
    before = harness.around
    wrong = min(each.key.name for each in rows(harness))

    def around(rpc, carry_out):
        if rpc.method == "CreateTask" and wrong in rpc.request.task.name:
            raise_refusal()
        if rpc.method == "BatchCreateTasks" and any(wrong in each.task.name for each in rpc.request.requests):
            raise_refusal()
        return before(rpc, carry_out)

    harness.around = around
    assert 5 == sweep_later(harness)["enqueued"]


def raise_refusal():
    raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, "injected")


def test_permissions_that_are_missing_are_told(harness, caplog):
    """The sweeper answers, and the log says what is refused."""
    start(harness)
    with faults(harness, "GetTask", code=grpc.StatusCode.PERMISSION_DENIED):
        assert {"refused": 1} == sweep_later(harness)["reasons"]
    assert any("cannot be looked at: 403 injected" in each for each in caplog.messages)


def test_a_restamp_while_the_action_runs_costs_its_commit_nothing(harness):
    """The row changes under it: it commits all the same, and runs once."""
    calls = []

    def act(context):
        calls.append(context.idempotency_key)
        assert {"running": 1} == sweep_later(harness)["reasons"]

    Acts.act = act
    start(harness, "Slow")
    harness.run()
    assert 1 == len(calls)
    assert ["completed"] == statuses(harness)


def test_a_restamp_while_an_attempt_fails_does_not_hide_the_failure(harness):
    """Each attempt counts: with one retry there are two of them."""
    calls = []

    def act(context):
        calls.append(1)
        sweep_later(harness)
        raise ValueError("again")

    Acts.act = act
    start(harness, "Twice")
    harness.run()
    assert (2, ["failed"]) == (len(calls), statuses(harness))


def test_a_restamp_while_a_transaction_runs_makes_it_run_again_and_count_once(harness):
    """What it wrote before is rolled back with it."""
    calls = []

    def act(context):
        key = context.datastore.key("Ran", context.instance_name)
        entity = context.datastore.get(key) or datastore.Entity(key)
        entity["times"] = entity.get("times", 0) + 1
        context.put(entity)
        calls.append(1)
        if len(calls) == 1:
            sweep_later(harness)

    Acts.act = act
    start(harness, "Bound")
    harness.run()
    assert [1] == list(ran(harness).values())
    assert ["completed"] == statuses(harness)


def test_a_lost_task_that_still_runs_is_overtaken(harness):
    """Its queue is purged while its action runs, and a sweep enqueues it anew: one of the two counts."""
    attempt_in_action = []

    def act(context):
        if not attempt_in_action:
            attempt_in_action.append(1)
            purge(harness)
            assert {"task gone": 1} == sweep_later(harness)["reasons"]

    Acts.act = act
    start(harness, "Slow")
    harness.run()
    records = list(harness.datastore.query(kind="FantasmStep").fetch())
    assert 1 == len(records)
    assert ["completed"] == statuses(harness)
    assert 0 == harness.tasks.depth()


def test_a_row_that_was_marked_for_too_early_a_moment_is_marked_anew(harness):
    """It was put off after it was looked at: it is not overdue before its own time."""
    start(harness)
    later = harness.clock.now + 7200
    change(harness, only_row(harness), due=later, overdue=harness.clock.now + 60)
    assert 0 == sweep_later(harness)["overdue"]
    assert None is only_row(harness).row.overdue
    assert 0 == sweep_later(harness, 3600)["overdue"]
    assert 1 == sweep_later(harness, 3600)["overdue"]


def test_rows_of_other_services_are_left_alone(harness):
    """In the same project, database and namespace: neither looked at, nor ended."""
    other = other_service(harness)
    with without_tasks(harness):
        start(harness)
    mine = only_row(harness)
    instance = harness.fantasm.services.store.lookup([instance_key(mine.row.step.instance)])[0]
    store = harness.fantasm.services.store
    store.commit(Commit((Delete(mine.row.key), Delete(instance.row.key))))
    insert(other, instance.row, mine.row)
    forsaken = replace(instance.row, id="Chain-forsaken")
    insert(other, forsaken)
    for _ in range(30):
        done = sweep_later(harness, 3600)
        assert (0, 0) == (done["overdue"], done["instances"])
    assert mine.row == only_row(harness).row
    assert ["running", "running"] == statuses(harness)


def other_service(harness):
    """The store of another service on the same Datastore."""
    api = datastore_api(Channels(datastore=lambda: LocalChannel(harness.datastore_server.service)))
    place = replace(harness.fantasm.services.store.wire.place, service="other")
    return DatastoreStore(Wire(place, lambda: api), lambda: harness.datastore, harness.clock)


def insert(store, *new):
    store.commit(Commit(tuple(map(Insert, new))))


def test_rows_of_a_newer_version_are_left_to_it(harness, caplog):
    """They cannot be read; what can be is swept."""
    for _ in range(2):
        lost(harness)
    newer = rows(harness)[0]
    newer["format"] = 99
    newer.exclude_from_indexes = set(newer) - {"overdue", "status", "in_flight", "instance"}
    harness.datastore.put(newer)
    done = sweep_later(harness)
    assert ({"never enqueued": 1}, False) == (done["reasons"], done["finished"])
    assert any("newer version" in each for each in caplog.messages)


def test_a_sweep_is_logged_once_and_each_lost_step(harness, caplog):
    """INFO for the sweep, WARNING for what was lost with why; nothing where nothing was found."""
    caplog.set_level(logging.INFO, "fantasm_gcp.engine")
    sweep(harness)
    assert [] == caplog.messages
    lost(harness)
    lost(harness)
    caplog.clear()
    sweep_later(harness)
    assert ["WARNING", "WARNING", "INFO"] == [each.levelname for each in caplog.records]
    assert "was lost (never enqueued) and is enqueued again" in caplog.messages[0]
    assert "swept: 2 steps are overdue (never enqueued 2), 2 enqueued again" == caplog.messages[2]


def test_the_answer_names_examples_of_each_reason(harness):
    """By GET as by POST; up to three steps for each."""
    lost(harness)
    for _ in range(5):
        start(harness, "Side")
    harness.clock.sleep(300)
    answer = harness.client.get("/fantasm/sweep")
    assert ["overdue", "reasons", "enqueued", "instances", "finished", "examples"] == list(answer.json)
    reasons = [each["reason"] for each in answer.json["examples"]]
    assert ["never enqueued", "waiting", "waiting", "waiting"] == sorted(reasons)


def test_a_row_that_goes_while_it_is_looked_at_is_left_alone(harness):
    """It moves on by itself: it is not written again, and nothing is enqueued for it."""
    lost(harness)
    stored = only_row(harness)
    before = harness.around

    def gone(rpc, carry_out):
        if rpc.method == "Commit":
            harness.around = before
            harness.fantasm.services.store.commit(Commit((Delete(stored.row.key),)))
        return before(rpc, carry_out)

    harness.around = gone
    done = sweep_later(harness)
    assert (1, 0) == (done["overdue"], done["enqueued"])
    assert ([], 0) == (rows(harness), harness.tasks.depth())
