"""The built-in scrubber: old history goes, whole and for good; everything else stays."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import grpc
import pytest
import yaml
from campaign import FailAt
from google.cloud import datastore
from scrubbed import DAY, deliver_all, left, rows, scrub, write
from talking import Script

from fantasm_gcp.builtin import MACHINES
from fantasm_gcp.core.names import StepName, keyed_instance_id
from fantasm_gcp.core.parse import BUILT_IN_MACHINES
from fantasm_gcp.core.records import InstanceStatus
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.errors import NotThereError
from fantasm_gcp.gateways.scrubbing import INSTANCES_PER_PAGE, KEYS_PER_STEP
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.testing import Harness
from fantasm_gcp.testing.adversary import Adversary

FSM = Path(__file__).parent / "scrubbing.yaml"
KEY = {"Idempotency-Key": "k"}


@pytest.fixture(autouse=True)
def script():
    Script.failures, Script.lines = 0, 1


@pytest.fixture
def harness():
    with Harness(FSM) as made:
        yield made


@pytest.mark.fantasm(75)
def test_the_scrubber_is_part_of_every_application(harness):
    """It stands behind the application's own machines, has a state init, and says that it is built in."""
    machines = harness.get("machines")["machines"]

    assert ["Talk", "Brittle", "Quiet", "Light", "Long", *MACHINES] == [each["machine"] for each in machines]
    assert [False] * 5 + [True] * len(MACHINES) == [each["built_in"] for each in machines]
    (scrubber,) = (each for each in machines if each["machine"] == "FantasmScrubber")
    assert ["init", "find", "delete"] == [each["state"] for each in scrubber["states"]]
    assert () == harness.fantasm.definitions.warnings
    assert BUILT_IN_MACHINES == tuple(MACHINES)


def test_what_ended_long_ago_goes_and_all_else_stays(harness):
    """Of every status and machine, with rows of every kind."""
    for status in ("completed", "failed", "cancelled"):
        for machine in ("Quiet", "Talk"):
            name = f"{machine}-{status}"
            write(harness, f"{name}-old", status, machine=machine, steps=3, lines=2, failed=2, entries=2)
            write(harness, f"{name}-new", status, machine=machine, ended=89, steps=3, lines=2, failed=2)
    write(harness, "Quiet-running", "running", started=500, ended=None, steps=4)
    write(harness, "Quiet-ending", "cancelled", started=500, ended=None, steps=4)
    before = rows(harness)

    assert "completed" == scrub(harness)["status"]

    after = rows(harness)
    assert {name for name in left(harness) if name.endswith("-old")} == set()
    kept = {key: count for key, count in before.items() if key[1] and not key[1].endswith("-old")}
    assert kept == {key: count for key, count in after.items() if "FantasmScrubber" not in key[1]}
    assert ("FantasmEntry", "") not in after


def test_an_instance_that_was_started_under_a_name_is_kept_for_ten_days(harness):
    """Cloud Tasks remembers its tasks' names for nine: another start under the name would get no task."""
    Script.failures = 0

    def start():
        harness.start("Talk/", method="POST", headers={"Idempotency-Key": "monthly"})
        harness.run()

    start()
    harness.clock.sleep(60)
    scrub(harness, age=0)
    assert 1 == len([name for name in left(harness) if "Talk" in name])
    harness.clock.sleep(10 * DAY + 60)
    scrub(harness, age=0)
    assert [] == [name for name in left(harness) if "Talk" in name]
    start()
    (again,) = (name for name in left(harness) if "Talk" in name)
    assert "completed" == harness.get(f"instances/{again}")["status"]


def test_instances_that_really_ran_leave_nothing(harness):
    """A step that was given up, lines of a log, and the scrubber's own instances after their time."""
    Script.failures = 1
    names = [
        harness.start(f"{machine}/", method="POST").json["instance"]
        for machine in ("Brittle", "Talk", "Long")
    ]
    harness.run()
    assert set(names) == left(harness)
    first = scrub(harness, age=0.5)
    assert set(names) == left(harness)

    harness.clock.sleep(DAY)
    second = scrub(harness, age=0.5)

    assert {second["instance"]} == {name for _, name in rows(harness)}
    assert 404 == harness.client.get(f"/fantasm/api/instances/{first['instance']}").status_code


@pytest.mark.parametrize("kind", ["steps", "lines", "failed", "entries"])
@pytest.mark.parametrize("count", [KEYS_PER_STEP - 1, KEYS_PER_STEP, 2 * KEYS_PER_STEP + 1])
def test_an_instance_of_any_size_goes(harness, kind, count):
    """More rows than one step deletes take several; a neighbour that is to stay loses none."""
    write(harness, "big", "failed", **{kind: count})
    write(harness, "small", "failed", steps=3)
    write(harness, "young", ended=1, steps=3)

    shown = scrub(harness)

    assert {"young"} == left(harness)
    assert 3 <= shown["states"]["delete"]["done"] + 2 <= 2 + 1 + (count + 6) // KEYS_PER_STEP + 1


@pytest.mark.parametrize("count", [INSTANCES_PER_PAGE, INSTANCES_PER_PAGE + 1, 3 * INSTANCES_PER_PAGE + 7])
def test_any_number_of_instances_goes(harness, count):
    """Page by page, whatever their order; those that stay are in between."""
    for n in range(count):
        write(harness, f"old-{n}", started=100 + n, steps=2)
        if n % 10 == 0:
            write(harness, f"new-{n}", started=100.5 + n, ended=1)

    scrub(harness)

    assert {f"new-{n}" for n in range(0, count, 10)} == left(harness)


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        (90, {"89.99", "1", "0.01"}),
        ("90.0", {"89.99", "1", "0.01"}),
        (1, {"1", "0.01"}),
        (0.5, {"0.01"}),
        (0, set()),
        ("1e-9", set()),
        ("1e300", {"90.01", "89.99", "1", "0.01"}),
    ],
)
def test_the_age_is_in_days_since_the_end(harness, age, kept):
    """Fractions count; what ended exactly that long ago stays."""
    for ended in ("90.01", "89.99", "1", "0.01"):
        write(harness, ended, started=200, ended=float(ended))

    scrub(harness, age)

    assert kept == left(harness)


def test_without_an_age_it_is_ninety_days(harness):
    """As in Fantasm."""
    write(harness, "old", ended=90.5)
    write(harness, "new", ended=89.5)

    harness.start("FantasmScrubber/")
    harness.run()

    assert {"new"} == left(harness)


@pytest.mark.parametrize("age", ["-1", "-0.001", "nan", "inf", "-inf", "1&age=2"])
def test_an_age_that_is_none_fails_at_once(harness, age):
    """It is told what an age is, deletes nothing, and is not tried again."""
    write(harness, "old")

    shown = scrub(harness, age)

    (failed,) = shown["failed"]["items"]
    assert ("failed", 1) == (shown["status"], failed["attempts"])
    assert failed["error"].startswith("StepError: age=")
    assert failed["error"].endswith("cannot be used: it is a number of days, 0 or more")
    assert {"old"} == left(harness)


@pytest.mark.parametrize("age", [True, None, [], "soon", {"days": 3}])
def test_an_age_by_json_is_checked_as_well(harness, age):
    """What is text is refused at the start where it is no number."""
    answer = harness.start("FantasmScrubber/", method="POST", json={"age": age})
    harness.run()

    if answer.status_code == 200:
        assert "failed" == harness.get(f"instances/{answer.json['instance']}")["status"]
    else:
        assert (400, True) == (answer.status_code, "age" in answer.json["error"])


def test_an_age_that_is_no_number_starts_nothing(harness):
    """The start answers why."""
    answer = harness.start("FantasmScrubber/?age=old")

    assert 400 == answer.status_code
    assert "age" in answer.json["error"]


def test_cron_starts_the_scrubber(harness):
    """The line of cron.yaml is a path that there is, and its age an age."""
    jobs = yaml.safe_load((FSM.parents[2] / "cron.yaml").read_text())["cron"]
    (job,) = (each for each in jobs if "FantasmScrubber" in each["url"])
    write(harness, "old", ended=90.5)
    write(harness, "new", ended=89.5)

    assert 200 == harness.client.get(job["url"]).status_code
    harness.run()

    assert {"new"} == left(harness)


def test_instances_of_another_service_stay(harness):
    """Two services of one project leave each other's rows alone."""
    write(harness, "mine")
    write(harness, "theirs")
    client = harness.datastore
    (theirs,) = (
        each for each in client.query(kind="FantasmInstance").fetch() if each["instance"] == "theirs"
    )
    theirs["service"] = "other"
    client.put(theirs)

    scrub(harness)

    assert {"theirs"} == left(harness)


def a_payload(harness, name, days):
    entity = datastore.Entity(harness.datastore.key("FantasmPayload", name), exclude_from_indexes=["content"])
    entity["content"] = b"x"
    entity["expires"] = datetime.fromtimestamp(harness.clock() + days * DAY, UTC)
    return entity


def payloads(harness):
    return {each.key.name for each in harness.datastore.query(kind="FantasmPayload").fetch()}


@pytest.mark.parametrize("count", [0, 1, KEYS_PER_STEP, KEYS_PER_STEP + 1])
def test_payloads_whose_time_is_over_go(harness, count):
    """Whatever the age of instances."""
    made = [a_payload(harness, f"over-{n}", -1) for n in range(count)]
    for begin in range(0, count, 400):
        harness.datastore.put_multi(made[begin : begin + 400])
    harness.datastore.put(a_payload(harness, "fresh", 1))

    scrub(harness, age=10_000)

    assert {"fresh"} == payloads(harness)


def test_a_payload_of_the_engine_goes_when_its_time_is_over(harness):
    """The engine writes when that is, where the scrubber can find it."""
    noise = "".join(f"{n * 2654435761 % 2**32:08x}" for n in range(300_000))
    name = harness.start("Quiet/", method="POST", json={"noise": noise}).json["instance"]
    harness.run()
    assert [] != list(payloads(harness))

    harness.clock.sleep(399 * DAY)
    scrub(harness)
    assert ([], True) == (list(left(harness) & {name}), bool(payloads(harness)))
    harness.clock.sleep(2 * DAY)
    scrub(harness)

    assert set() == payloads(harness)


def test_a_payload_that_is_written_anew_meanwhile_stays(harness):
    """Its deletion loses to the write, and its step is done again."""
    harness.datastore.put_multi([a_payload(harness, "over", -1), a_payload(harness, "anew", -1)])
    fresh = a_payload(harness, "anew", 400)

    def around(rpc, carry_out):
        deletes = rpc.method == "Commit" and any(
            each.delete.path and each.delete.path[-1].kind == "FantasmPayload"
            for each in rpc.request.mutations
        )
        if deletes:
            harness.around = lambda _, carry_out: carry_out()
            # A transaction takes in all that its client writes, but only in the thread that it is of.
            writer = threading.Thread(target=harness.datastore.put, args=[fresh])
            writer.start()
            writer.join()
        return carry_out()

    harness.around = around
    scrub(harness)

    assert {"anew"} == payloads(harness)


FAULTS = [
    pytest.param("before", None, (0, 1), id="crash-before"),
    pytest.param("after", grpc.StatusCode.UNAVAILABLE, (0,), id="unavailable-after"),
    pytest.param("before", grpc.StatusCode.ABORTED, (1,), id="aborted-before"),
]
"""Each with its turns among the RPCs of a method: the two answered faults share them, a crash has them all."""


def scrub_with(fault, write_rows):
    """One scrub under a fault; what is left, and how many RPCs it took."""
    with Harness(FSM, around=fault.around) as harness:
        write_rows(harness)
        started = harness.start("FantasmScrubber/?age=90").json["instance"]
        deliver_all(harness, fault)
        return left(harness), rows(harness), harness.get(f"instances/{started}")["status"]


def old_and_new(harness):
    write(harness, "large", "failed", steps=250, lines=100, failed=1, entries=60)
    write(harness, "small", steps=2)
    write(harness, "young", "failed", ended=1, failed=2)
    write(harness, "running", "running", ended=None, steps=1)


@pytest.mark.parametrize(("when", "error", "turns"), FAULTS)
def test_a_fault_at_any_rpc_leaves_no_orphan(when, error, turns):
    """One fault at each RPC in turn: what is to go is gone in the end, and nothing else."""
    undisturbed = FailAt(-1, "before", None)
    expected = scrub_with(undisturbed, old_and_new)[1]
    methods = undisturbed.methods
    for n in (n for n, each in enumerate(methods) if methods[:n].count(each) % 2 in turns):
        names, found, status = scrub_with(FailAt(n, when, error), old_and_new)
        assert ({"young", "running"}, "completed") == (names, status), f"{error} {when} RPC {n}"
        assert set(_without_scrubber(expected)) == set(_without_scrubber(found)), f"{error} {when} RPC {n}"


def _without_scrubber(found):
    return {key: count for key, count in found.items() if not key[1].startswith("FantasmScrubber-")}


def during(harness, n, act):
    """Does something between two RPCs of what is delivered next: before the n-th. Whether it came to that."""
    count = 0
    done = []

    def around(rpc, carry_out):
        nonlocal count
        if count == n:
            count += 1
            harness.around = lambda _, carry_out: carry_out()
            done.append(act())
            harness.around = around
        count += 1
        return carry_out()

    harness.around = around
    return done


@pytest.mark.parametrize("size", [2, KEYS_PER_STEP + 5], ids=["small", "large"])
def test_a_redrive_in_the_middle_wins_or_loses_cleanly(size):
    """Before any RPC: the instance is whole and its step runs, or the redrive is refused and all is gone."""
    won = lost = 0
    for n in range(200):
        with Harness(FSM) as harness:
            write(harness, "again", "failed", steps=0, failed=size)
            tasks = [each.key.name for each in harness.datastore.query(kind="FantasmTask").fetch()]
            started = harness.start("FantasmScrubber/?age=90").json["instance"]
            done = during(harness, n, partial(redrive_all, harness, (tasks[0], tasks[-1])))
            harness.run()
            harness.around = lambda _, carry_out: carry_out()
            assert "completed" == harness.get(f"instances/{started}")["status"]
            if not done:
                break
            assert done[0] in ([True, True], [False, False]), f"RPC {n}"
            if all(done[0]):
                won += 1
                expected = {"FantasmInstance": 1, "FantasmStep": 2, "FantasmTask": size - 2}
                assert {kind: count for kind, count in expected.items() if count} == {
                    kind: count for (kind, of), count in rows(harness).items() if of == "again"
                }, f"RPC {n}"
            else:
                lost += 1
                assert set() == left(harness), f"RPC {n}"
    assert won > 0
    assert lost > 0


def redrive_all(harness, names):
    """Whether each was run again."""
    done = []
    for name in names:
        try:
            done.append(redrive(harness.fantasm.services, StepName(name)))
        except NotThereError:
            done.append(False)
    return done


def test_a_start_under_the_same_key_in_the_middle_is_never_scrubbed():
    """Before any RPC: it finds the old instance still there, or begins a new one that keeps all of its rows."""
    began = found = 0
    for n in range(200):
        with Harness(FSM) as harness:
            name = write(
                harness, keyed_instance_id("Talk", "k"), machine="Talk", steps=3, lines=KEYS_PER_STEP
            )
            harness.start("FantasmScrubber/?age=90")
            done = during(
                harness, n, lambda: harness.start("Talk/", method="POST", headers=KEY).json["created"]
            )
            harness.run()
            harness.around = lambda _, carry_out: carry_out()
            if not done:
                break
            if done[0]:
                began += 1
                assert "completed" == harness.get(f"instances/{name}")["status"], f"RPC {n}"
                assert {"FantasmInstance": 1, "FantasmStep": 1, "FantasmLog": 1} == {
                    kind: count for (kind, of), count in rows(harness).items() if of == name
                }, f"RPC {n}"
            else:
                found += 1
                assert set() == left(harness), f"RPC {n}"
    assert began > 0
    assert found > 3


@pytest.mark.parametrize("seed", range(10))
def test_two_scrubbers_at_once_under_bad_luck(seed):
    """Killed, repeated, reordered and overlapping, with an operator who redrives: nothing half-deleted."""
    with Harness(FSM) as harness:
        old_and_new(harness)
        for _ in range(2):
            harness.start("FantasmScrubber/?age=90")
        (young, *_) = (
            each.key.name
            for each in harness.datastore.query(kind="FantasmTask").fetch()
            if each["instance"] == "young"
        )
        adversary = Adversary(harness, seed)
        adversary.command(lambda: redrive(harness.fantasm.services, StepName(young)))
        adversary.run()
        assert {"young", "running"} == left(harness)
        assert ("FantasmEntry", "") not in rows(harness)


def test_other_machines_do_not_hold_it_up(harness):
    """Its transactions touch no row that others write: it needs no more deliveries than steps."""
    for n in range(5):
        write(harness, f"old-{n}", steps=3)
    busy = iter(range(10_000))

    def around(rpc, carry_out):
        harness.around = lambda _, carry_out: carry_out()
        write(harness, f"busy-{next(busy)}", "running", ended=None, steps=1, failed=1)
        harness.around = around
        return carry_out()

    harness.start("FantasmScrubber/?age=90")
    harness.around = around
    deliveries = harness.run()

    assert 3 == deliveries
    assert set() == {name for name in left(harness) if name.startswith("old-")}


@pytest.mark.parametrize("size", [1, 99, 100, 133, 134, KEYS_PER_STEP])
def test_no_step_deletes_more_than_it_may(harness, size):
    """Instances share a step as far as they fit into it, and none is begun that does not."""
    deleted = []

    def around(rpc, carry_out):
        if rpc.method == "Commit":
            kinds = [each.delete.path[-1].kind for each in rpc.request.mutations if each.delete.path]
            deleted.append(sum(kind in ("FantasmStep", "FantasmInstance") for kind in kinds))
        return carry_out()

    for n in range(8):
        write(harness, f"old-{n}", started=100 + n, steps=size)
    harness.around = around
    shown = scrub(harness)

    assert set() == left(harness)
    assert 8 * (size + 1) == sum(deleted)
    assert max(deleted) <= KEYS_PER_STEP
    fitting = KEYS_PER_STEP // (size + 1)
    steps = -(-8 // fitting) if fitting else 8 * 2
    assert steps == shown["states"]["delete"]["done"]


def test_an_instance_that_takes_several_steps_is_shown_as_being_deleted(harness):
    """Until its last row is gone it says so, is found under its status, and cannot be redriven."""
    write(harness, "large", "failed", steps=KEYS_PER_STEP, failed=1)
    harness.start("FantasmScrubber/?age=90")
    for _ in range(3):
        harness.deliver(harness.next_attempt())

    shown = harness.get("instances/large")
    assert ("cancelled", "its history is being deleted") == (shown["status"], shown["note"])
    for query in ("status=cancelled", "status=cancelled&machine=Quiet"):
        assert ["large"] == [each["instance"] for each in harness.get(f"instances?{query}")["instances"]]
    assert [] == harness.get("instances?status=failed")["instances"]
    assert 1 == harness.fantasm.history.count_instances("Quiet", InstanceStatus.CANCELLED)
    harness.run()
    assert set() == left(harness)


def test_datastore_that_is_down_is_waited_for(harness):
    """The scrubber is a machine like any other: it is retried until it gets through."""
    write(harness, "old")
    harness.start("FantasmScrubber/?age=90")

    def around(rpc, carry_out):
        raise RpcError(grpc.StatusCode.UNAVAILABLE, "down")

    harness.around = around
    for _ in range(3):
        harness.deliver(harness.next_attempt())
    harness.around = lambda _, carry_out: carry_out()
    harness.run()

    assert set() == left(harness)
