"""The sweeper under faults, beside itself and everything else, in bounds, and day by day."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import grpc
import pytest
from google.cloud.datastore_v1 import types
from lives import lasts, request_here
from swept import (
    FSM,
    Acts,
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

from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import (
    Commit,
    Delete,
    InstanceStatus,
    Update,
    instance_key,
    task_key,
    watermark_key,
)
from fantasm_gcp.engine import sweeping
from fantasm_gcp.engine.operating import cancel
from fantasm_gcp.engine.sweeping import sweep as sweep_directly
from fantasm_gcp.gateways.rows import SHARDS, overdue_mark
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.testing import Crash, Harness
from fantasm_gcp.testing.adversary import Adversary

DAY = 24 * 3600.0


@pytest.fixture
def harness():
    made = Harness(FSM)
    Acts.act = lambda context: None
    yield made
    made.close()


def lose_some(harness):
    """Steps whose tasks were never created, purged, are there: several on a shard, on two queues."""
    harness.start("Side/")
    for _ in range(2):
        harness.start("Chain/")
    purge(harness)
    with without_tasks(harness):
        for _ in range(2):
            start(harness)
        start(harness, "Side")


class FaultAt:
    """Fails at the n-th call to the servers, counted from 0: before or after carrying it out."""

    def __init__(self, harness, n, when, code):
        self.n, self.when, self.code = n, when, code
        self.requests = []
        self.dead = False
        self.before = harness.around
        harness.around = self.around

    def around(self, rpc, carry_out):
        if self.dead:
            raise Crash
        here = len(self.requests) == self.n
        self.requests.append(request_here())
        if here and self.when == "before":
            self.fail()
        response = self.before(rpc, carry_out)
        if here:
            self.fail()
        return response

    def fail(self):
        if self.code is not None:
            raise RpcError(self.code, "injected")
        self.dead = True
        raise Crash


FAULTS = [
    pytest.param("before", None, id="crash-before"),
    pytest.param("after", None, id="crash-after"),
    pytest.param("after", grpc.StatusCode.UNAVAILABLE, id="unavailable-after"),
    pytest.param("before", grpc.StatusCode.ABORTED, id="aborted-before"),
]


@pytest.mark.parametrize(("when", "code"), FAULTS)
def test_a_fault_at_any_call_of_a_sweep_loses_and_doubles_nothing(when, code):
    """One fault at each call in turn, then more sweeps: every step has run once."""
    calls = sweep_with_fault(-1, when, code)
    assert len(calls) > 30
    for n in lasts(calls) if (when, code) == ("after", None) else range(len(calls)):
        sweep_with_fault(n, when, code)


def sweep_with_fault(n, when, code):
    """A sweep with a fault at its call number ``n``, and those that mend it; the request of each call."""
    with Harness(FSM) as harness:
        lose_some(harness)
        harness.clock.sleep(180)
        fault = FaultAt(harness, n, when, code)
        with suppress(Crash):
            sweep_directly(harness.fantasm.services)
        harness.around = fault.before
        run_with_sweeps(harness)
        assert (["completed"] * 6, {1}) == (statuses(harness), set(ran(harness).values())), f"call {n}"
        return fault.requests


@pytest.mark.parametrize("seed", range(15))
def test_sweeps_that_overlap_with_each_other_and_with_deliveries_change_nothing(seed):
    """One call to the servers at a time, in any order; deliveries are killed, repeated and lost."""
    with Harness(FSM) as harness:
        lose_some(harness)
        adversary = Adversary(harness, seed, leap=0.3)
        swept = []

        def meanwhile(running):
            if len(swept) < 8 and running.random.random() < 0.02:
                harness.clock.sleep(running.random.choice([0, 61, 130]))
                running.command(lambda: swept.append(sweep_directly(harness.fantasm.services)))

        for _ in range(3):
            harness.clock.sleep(180)
            for _ in range(2):
                adversary.command(lambda: swept.append(sweep_directly(harness.fantasm.services)))
            adversary.run(meanwhile)
        harness.around = lambda _, carry_out: carry_out()
        run_with_sweeps(harness)
        assert (["completed"] * 6, {1}) == (statuses(harness), set(ran(harness).values()))
        assert 6 <= len(swept)


def test_two_sweeps_at_the_same_rows_enqueue_each_once(harness):
    """The second begins while the first asks for its first task."""
    with without_tasks(harness):
        for _ in range(10):
            start(harness)
    harness.start("Chain/")
    harness.clock.sleep(180)
    before, inner = harness.around, []

    def around(rpc, carry_out):
        if rpc.method == "GetTask":
            harness.around = before
            inner.append(sweep_directly(harness.fantasm.services))
        return before(rpc, carry_out)

    harness.around = around
    outer = sweep_directly(harness.fantasm.services)
    assert 10 == outer.enqueued + inner[0].enqueued
    assert 11 == harness.tasks.depth()
    harness.run()
    assert {1} == set(ran(harness).values())


def test_a_worker_that_creates_its_task_after_all_changes_nothing(harness):
    """Its step was taken for lost meanwhile: the task of the earlier epoch finds that it was replaced."""
    callbacks = []
    before = harness.around

    def slow(rpc, carry_out):
        if rpc.method == "CreateTask" and not callbacks:
            callbacks.append(carry_out)
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, "the answer never came")
        return before(rpc, carry_out)

    harness.start("Chain/")
    harness.run()
    harness.around = slow
    harness.start("Chain/")
    harness.around = before
    assert {"never enqueued": 1} == sweep_later(harness)["reasons"]
    callbacks[0]()
    assert 2 == harness.tasks.depth()
    harness.run()
    assert (["completed"] * 2, {1}) == (statuses(harness), set(ran(harness).values()))


def test_a_sweep_stops_where_a_service_is_unavailable_and_says_so(harness, caplog):
    """What it has done by then stays done; the next one goes on."""
    harness.start("Chain/")
    harness.run()
    with without_tasks(harness):
        for _ in range(30):
            start(harness)
    harness.clock.sleep(180)
    before, asked = harness.around, []

    def around(rpc, carry_out):
        asked.append(rpc.method)
        if asked.count("GetTask") > 20:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "injected")
        return before(rpc, carry_out)

    harness.around = around
    done = sweep(harness)
    harness.around = before
    assert not done["finished"]
    assert 0 < done["enqueued"] < 30
    assert any("the sweep stops: 503 injected" in each for each in caplog.messages)
    assert 30 == done["enqueued"] + sweep(harness)["enqueued"]
    harness.run()
    assert {1} == set(ran(harness).values())


@pytest.mark.parametrize("method", ["Lookup", "RunQuery", "GetQueue", "GetTask", "Commit"])
def test_a_sweep_answers_whatever_is_unavailable(harness, method):
    """Nothing is lost by it; the next sweep does what this one could not."""
    harness.start("Chain/")
    harness.run()
    with without_tasks(harness):
        start(harness)
    harness.clock.sleep(180)
    with faults(harness, method):
        done = sweep(harness)
    assert (0, False) == (done["enqueued"], done["finished"])
    assert 1 == sweep(harness)["enqueued"]


def test_a_sweep_ends_when_its_time_is_up(harness):
    """Each call takes two seconds: after 25 it stops, and says that it has not finished."""
    harness.start("Chain/")
    harness.run()
    with without_tasks(harness):
        for _ in range(40):
            start(harness)
    harness.clock.sleep(180)
    before = harness.around

    def slow(rpc, carry_out):
        harness.clock.sleep(2)
        return before(rpc, carry_out)

    harness.around = slow
    began = harness.clock.now
    done = sweep(harness)
    assert not done["finished"]
    assert 25 <= harness.clock.now - began <= 40
    assert 0 < done["overdue"] < 40
    harness.around = before
    run_with_sweeps(harness)
    assert {1} == set(ran(harness).values())


@pytest.mark.parametrize("most", [1, 7, 8, 9, 39, 40, 41])
def test_a_sweep_looks_at_no_more_than_it_is_told_to(harness, most):
    """Sweep by sweep all of it is looked at, each step once, however long it has been overdue."""
    harness.start("Chain/")
    harness.run()
    with without_tasks(harness):
        for _ in range(40):
            start(harness)
    harness.clock.sleep(7200)
    counts = []
    while not counts or (counts[-1] and len(counts) < 50):
        counts.append(sweep_directly(harness.fantasm.services, most=most).enqueued)
    assert 40 == sum(counts)
    assert most >= max(counts)
    harness.run()
    assert {1} == set(ran(harness).values())


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_a_row_that_changes_meanwhile_holds_up_no_other(harness, change):
    """Those beside it are enqueued by the same sweep, and so is it, as it is then, if it is still there."""
    harness.start("Chain/")
    harness.run()
    with without_tasks(harness):
        for _ in range(40):
            start(harness)
    harness.clock.sleep(7200)
    store, before = harness.fantasm.services.store, harness.around
    (stored,) = store.lookup([task_key(rows(harness)[0].key.name)])
    another = (
        Delete(stored.row.key)
        if change == "gone"
        else Update(replace(stored.row, attempts=1), stored.version)
    )

    def around(rpc, carry_out):
        if rpc.method == "GetTask" and stored.row.step.name in rpc.request.name:
            harness.around = before
            store.commit(Commit((another,)))
        return before(rpc, carry_out)

    harness.around = around
    assert (39 if change == "gone" else 40) == sweep(harness)["enqueued"]
    assert 0 == sweep(harness)["overdue"]
    harness.run()
    assert {1} == set(ran(harness).values())


def test_more_steps_than_a_page_are_found_in_one_sweep(harness):
    """A purged queue with hundreds of tasks is whole again after one call."""
    for _ in range(600):
        harness.start("Slow/")
    purge(harness)
    done = sweep_later(harness)
    assert (600, {"task gone": 600}, True) == (done["enqueued"], done["reasons"], done["finished"])
    harness.run()
    assert ["completed"] * 600 == statuses(harness)


def fill_with_rows(harness, count, moment):
    """Rows of steps, as far as queries see them, straight into the server: each is overdue at ``moment(n)``."""
    commit = harness.datastore_server.service.methods["Commit"].call
    for begin in range(0, count, 500):
        request = types.CommitRequest.pb()(project_id="test", mode=types.CommitRequest.Mode.TRANSACTIONAL)
        request.single_use_transaction.read_write.SetInParent()
        for n in range(begin, min(begin + 500, count)):
            entity = request.mutations.add().insert
            entity.key.partition_id.project_id = "test"
            entity.key.path.add(kind="FantasmTask", name=f"{n:08x}-on-time")
            entity.properties["overdue"].string_value = overdue_mark("default", n % SHARDS, moment(n))
        commit(request)


def bill_of_a_sweep(on_time):
    """What a sweep costs that finds a lost step and a waiting one, beside rows that are on time."""
    with Harness(FSM) as harness:
        harness.start("Chain/")
        with without_tasks(harness):
            start(harness)
        harness.clock.sleep(180)
        fill_with_rows(harness, on_time, lambda n: harness.clock.now + n % 5_000)
        with counted(harness) as counts:
            assert {"never enqueued": 1, "waiting": 1} == sweep(harness)["reasons"]
        return counts


def test_what_is_on_time_costs_nothing_however_much_it_is():
    """A hundred rows in flight that are on time, or a hundred thousand: the same calls, nothing read of them."""
    few, many = bill_of_a_sweep(100), bill_of_a_sweep(100_000)
    assert few == many
    assert (SHARDS, 2, 3) == (
        few["RunQuery"] - 3 - 2,  # the look through instances: three statuses, what is in flight of two
        few["GetTask"],
        few["Commit"],
    )
    assert 10 >= few["read"]


def test_a_sweep_that_finds_nothing_is_a_lookup_a_query_for_each_shard_and_a_commit(harness):
    """Whatever ended before: that is what it costs every minute."""
    start(harness)
    harness.run()
    sweep_later(harness)
    with counted(harness) as counts:
        sweep_later(harness)
    assert {"Lookup": 1, "RunQuery": SHARDS, "Commit": 1, "read": 1} == counts


def test_rows_behind_the_watermark_are_found_by_the_daily_look(harness):
    """Somebody put back a row that is older than all that sweeps look at; a day after the last full look."""
    harness.start("Chain/")
    harness.run()
    assert sweep(harness)["finished"]
    with without_tasks(harness):
        start(harness)
    (row,) = rows(harness)
    harness.clock.sleep(3600)
    stored = harness.fantasm.services.store.lookup([task_key(row.key.name)])[0]
    early = replace(stored.row, overdue=stored.row.due - 7200)
    harness.fantasm.services.store.commit(Commit((Update(early, stored.version),)))
    assert [0] * 45 + [1, 0, 0] == [sweep_later(harness, 1800)["enqueued"] for _ in range(48)]
    harness.run()
    assert ["completed"] * 2 == statuses(harness)


def test_what_is_written_late_is_found_at_once(harness):
    """A transaction that began ten minutes ago commits steps that were due then."""
    harness.start("Chain/")
    harness.run()
    assert sweep_later(harness)["finished"]
    began = harness.clock.now
    assert sweep_later(harness, 500)["finished"]
    with without_tasks(harness):
        start(harness)
    (row,) = rows(harness)
    stored = harness.fantasm.services.store.lookup([task_key(row.key.name)])[0]
    late = replace(stored.row, due=began - 60, created=began - 60)
    harness.fantasm.services.store.commit(Commit((Update(late, stored.version),)))
    assert 1 == sweep(harness)["enqueued"]


def test_a_clock_that_was_ahead_hides_nothing_for_longer_than_a_day(harness):
    """A worker whose clock ran a week ahead swept, and left its watermark there."""
    harness.start("Chain/")
    harness.run()
    now = harness.clock.now
    harness.clock.now += 7 * DAY
    assert sweep(harness)["finished"]
    harness.clock.now = now
    with without_tasks(harness):
        start(harness)
    assert 1 == sweep_later(harness)["enqueued"]


def test_a_watermark_of_other_shards_is_begun_anew(harness):
    """A version with another number of them left it."""
    store = harness.fantasm.services.store
    sweep(harness)
    stored = store.lookup([watermark_key("default")])[0]
    store.commit(Commit((Update(replace(stored.row, marks=("zz",)), stored.version),)))
    with without_tasks(harness):
        start(harness)
    assert 1 == sweep_later(harness)["overdue"]


def is_look_for_end(rpc):
    """Whether a call asks what an instance has in flight."""
    if rpc.method != "RunQuery" or rpc.request.query.kind[0].name != "FantasmTask":
        return False
    filters = rpc.request.query.filter.composite_filter.filters
    return "in_flight" in [each.property_filter.property.name for each in filters]


def test_a_position_among_the_instances_that_is_unknown_is_left(harness):
    """A newer version knows more statuses."""
    store = harness.fantasm.services.store
    sweep(harness)
    (stored,) = store.lookup([watermark_key("default")])
    store.commit(Commit((Update(replace(stored.row, instances="dreaming/x"), stored.version),)))
    assert sweep(harness)["finished"]
    assert "" == store.lookup([watermark_key("default")])[0].row.instances


def end_unseen(harness):
    """An instance whose last step was committed by a worker that died, and whose task is gone."""
    instance = start(harness)
    for _ in range(2):
        harness.deliver(harness.next_attempt())
    die_before_looking_for_the_end(harness)
    return instance


def die_before_looking_for_the_end(harness):
    """A worker dies when it has committed the next step, and the queue is purged."""
    before = harness.around

    def around(rpc, carry_out):
        if is_look_for_end(rpc):
            raise Crash
        return before(rpc, carry_out)

    harness.around = around
    with pytest.raises(Crash):
        harness.deliver(harness.next_attempt())
    harness.around = before
    purge(harness)
    assert ([], 0) == (rows(harness), harness.tasks.depth())


def test_an_end_that_nobody_saw_is_found_within_a_day(harness):
    """Nothing of the instance is in flight, and it is said to run; others of which something is are let be."""
    sweep(harness)
    end_unseen(harness)
    harness.start("Side/")
    assert ["running", "running"] == statuses(harness)
    for _ in range(25):
        sweep_later(harness, 3600)
    assert ["completed", "running"] == statuses(harness)


def test_an_end_of_a_cancelled_instance_that_nobody_saw_is_found(harness):
    """The worker that deleted what it had in flight died then; one that has ended is let be."""
    ended = start(harness)
    cancel(harness.fantasm.services, ended)
    harness.run()
    cancel(harness.fantasm.services, start(harness))
    harness.deliver(harness.next_attempt())
    die_before_looking_for_the_end(harness)
    ends = [each.get("ended") for each in harness.datastore.query(kind="FantasmInstance").fetch()]
    assert 1 == ends.count(None)
    assert 1 == sweep_later(harness)["instances"]
    ends = [each.get("ended") for each in harness.datastore.query(kind="FantasmInstance").fetch()]
    assert 0 == ends.count(None)
    assert ["cancelled", "cancelled"] == statuses(harness)


def test_many_instances_are_looked_at_some_in_each_sweep(harness):
    """In several sweeps each of them once; the end that nobody saw is found wherever it lies."""
    end_unseen(harness)
    store = harness.fantasm.services.store
    for _ in range(2 * sweeping.INSTANCES + 20):
        harness.start("Slow/")
    looked = [sweep(harness)["instances"] for _ in range(5)]
    assert [sweeping.INSTANCES, sweeping.INSTANCES, 21, 0, 0] == looked
    assert 1 == statuses(harness).count("completed")
    stored = store.lookup([watermark_key("default")])[0]
    assert "" == stored.row.instances


def test_an_instance_that_cannot_be_looked_at_keeps_no_other_from_it(harness):
    """The services are unavailable at one of them: the next sweep goes on there."""
    sweep(harness)
    for _ in range(3):
        end_unseen(harness)
    harness.clock.sleep(DAY)
    before, asked = harness.around, []

    def around(rpc, carry_out):
        if is_look_for_end(rpc):
            asked.append(1)
            if len(asked) > 1:
                raise RpcError(grpc.StatusCode.UNAVAILABLE, "injected")
        return before(rpc, carry_out)

    harness.around = around
    sweep(harness)
    harness.around = before
    assert ["completed", "running", "running"] == statuses(harness)
    sweep(harness)
    assert ["completed"] * 3 == statuses(harness)
    assert InstanceStatus.COMPLETED == store_status(harness)


def store_status(harness):
    row = next(iter(harness.datastore.query(kind="FantasmInstance").fetch()))
    return harness.fantasm.services.store.lookup([instance_key(InstanceId(row["instance"]))])[0].row.status
