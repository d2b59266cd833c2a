"""Staged writes, transactional states and contention: what commits with a step, and what does not."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
import staging
from google.api_core.exceptions import NotFound
from google.cloud import datastore

from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.testing import Harness

HERE = Path(__file__).parent


@pytest.fixture
def harness():
    staging.Script.act = lambda context: None
    made = Harness(HERE / "staging.yaml")
    yield made
    made.close()


def act(harness, machine, action):
    staging.Script.act = action
    return harness.start(f"{machine}/").json["instance"]


def things(harness):
    return {each.key.name: dict(each) for each in harness.datastore.query(kind="Thing").fetch()}


def thing(client, name, **values):
    entity = datastore.Entity(client.key("Thing", name))
    entity.update(values)
    return entity


def test_staged_writes_happen_when_the_step_commits(harness):
    """Puts and deletes of one action, all together; a later one wins over an earlier one of the same key."""
    harness.datastore.put(thing(harness.datastore, "old"))

    def action(context):
        context.put(thing(context.datastore, "a", n=0))
        context.put(thing(context.datastore, "a", n=1))
        context.put(thing(context.datastore, "b", n=2))
        context.delete(context.datastore.key("Thing", "old"))
        assert {"old"} == set(things(harness))

    act(harness, "Plain", action)
    harness.run()
    assert {"a": {"n": 1}, "b": {"n": 2}} == things(harness)


@pytest.mark.parametrize("machine", ["Plain", "Transactional"])
def test_nothing_that_a_failing_attempt_staged_is_written(harness, machine):
    """The attempt that succeeds is the one whose writes count."""
    attempts = []

    def action(context):
        attempts.append(context.idempotency_key)
        context.put(thing(context.datastore, f"attempt-{len(attempts)}"))
        if len(attempts) < 3:
            raise ValueError("not yet")

    act(harness, machine, action)
    harness.run()
    assert {"attempt-3"} == set(things(harness))
    assert 1 == len(set(attempts))


def test_a_transactional_state_reads_and_writes_with_the_step(harness):
    """What it put through the client is not there before the commit, and not at all after an error."""

    def action(context):
        client = context.datastore
        client.put(thing(client, "put"))
        client.delete(client.key("Thing", "gone"))
        assert client.get(client.key("Thing", "put")) is None
        if not action.failed:
            action.failed = True
            raise ValueError("once")

    action.failed = False
    harness.datastore.put(thing(harness.datastore, "gone"))
    act(harness, "Transactional", action)
    harness.deliver(harness.next_attempt())
    assert {"gone"} == set(things(harness))
    harness.run()
    assert {"put"} == set(things(harness))


def test_contention_runs_a_transactional_action_again(harness):
    """Somebody else changes what it read: it reads again, and nothing is lost."""
    client = harness.datastore
    client.put(thing(client, "counter", n=0))
    interfered = []

    def action(context):
        counter = context.datastore.get(context.datastore.key("Thing", "counter"))
        if len(interfered) < 3:
            interfered.append(counter["n"])
            outside = client.transaction().__class__(client)
            outside.begin()
            outside.put(thing(client, "counter", n=counter["n"] + 10))
            outside.commit()
        counter["n"] += 1
        context.datastore.put(counter)

    instance = act(harness, "Transactional", action)
    harness.deliver(harness.next_attempt())
    assert ([0, 10, 20], {"n": 31}) == (interfered, things(harness)["counter"])
    assert 1 == harness.get(f"instances/{instance}")["steps"]["items"][0]["attempts"]


def test_an_error_of_another_service_in_a_transactional_state_is_the_actions_own(harness):
    """It is recorded and retried like any exception, not taken for contention."""

    def action(context):
        raise NotFound("no such bucket")

    instance = act(harness, "Transactional", action)
    harness.deliver(harness.next_attempt())
    (step,) = harness.get(f"instances/{instance}")["in_flight"]["items"]
    assert (1, "NotFound: 404 no such bucket") == (step["attempts"], step["error"])


@pytest.mark.parametrize("machine", ["Plain", "Transactional"])
def test_an_entity_that_datastore_refuses_is_a_failed_attempt(harness, machine):
    """The error is the vendor's; the step's row keeps it."""

    def action(context):
        entity = thing(context.datastore, "big", text="x" * 1_600_000)
        entity.exclude_from_indexes.add("text")
        context.put(entity)

    instance = act(harness, machine, action)
    harness.deliver(harness.next_attempt())
    (step,) = harness.get(f"instances/{instance}")["in_flight"]["items"]
    assert (1, True) == (step["attempts"], step["error"].startswith("RefusedError"))


def test_an_outcome_in_memory_is_committed_without_acting_again(harness):
    """Commits that conflict or answer nothing are tried again; the action ran once."""
    calls, refusals = [], []

    def around(rpc, carry_out):
        if rpc.method == "Commit" and calls and len(refusals) < 6:
            refusals.append(rpc)
            raise RpcError((grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE)[len(refusals) % 2], "busy")
        return carry_out()

    instance = act(harness, "Plain", lambda context: calls.append(1))
    harness.around = around
    assert "succeeded" == harness.deliver(harness.next_attempt()).result
    assert (1, 6) == (len(calls), len(refusals))
    assert "completed" == harness.get(f"instances/{instance}")["status"]


def test_contention_that_does_not_end_is_left_to_a_later_delivery(harness):
    """Bounded: the answer is 500, the queue tries again, the step is not counted as failing."""
    calls = []

    def around(rpc, carry_out):
        if rpc.method == "Commit":
            raise RpcError(grpc.StatusCode.ABORTED, "busy")
        return carry_out()

    instance = act(harness, "Plain", lambda context: calls.append(1))
    harness.around = around
    assert "retry" == harness.deliver(harness.next_attempt()).result
    harness.around = lambda _, carry_out: carry_out()
    (step,) = harness.get(f"instances/{instance}")["in_flight"]["items"]
    assert ("queued", None) == (step["status"], step["error"])
    harness.run()
    assert "completed" == harness.get(f"instances/{instance}")["status"]


def test_a_crash_between_commit_and_enqueue_is_mended_by_the_next_delivery(harness):
    """The start too, which is answered all the same: the sweeper, or the same start again, enqueues it."""

    def around(rpc, carry_out):
        if rpc.method == "CreateTask":
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "down")
        return carry_out()

    harness.around = around
    key = {"Idempotency-Key": "k"}
    first = harness.start("Plain/", headers=key)
    assert (200, 0) == (first.status_code, harness.tasks.depth())
    harness.around = lambda _, carry_out: carry_out()
    second = harness.start("Plain/", headers=key)
    assert (200, 1) == (second.status_code, harness.tasks.depth())


def test_many_staged_writes_are_one_commit(harness):
    """Five hundred entities and the step's own rows."""

    def action(context):
        for i in range(500):
            context.put(thing(context.datastore, str(i + 1)))

    act(harness, "Plain", action)
    harness.run()
    assert 500 == len(things(harness))


def test_the_users_client_shares_the_engines_connection(harness):
    """There is no public way to give the client its connection; this pins the way that is used."""
    client = harness.fantasm.services.store.client()
    seen = []
    harness.around = lambda rpc, carry_out: (seen.append(rpc.method), carry_out())[1]
    client.get(client.key("Thing", "x"))
    with client.transaction():
        client.put(thing(client, "y"))
    assert ["Lookup", "BeginTransaction", "Commit"] == seen


def test_a_machine_at_least_once_runs_to_its_end_without_records(harness):
    """By GET and by POST: staged writes happen, tasks carry typed contexts, nothing else is kept."""
    for method in ("GET", "POST"):
        harness.start("Light/?method=" + method, method="POST", json={"n": [1, "é", None]})
        harness.run()
        seen = things(harness)
        assert {"end": {"n": '[1, "é", null]', "hops": 2}} == seen
        for kind in ("FantasmInstance", "FantasmTask", "FantasmStep"):
            assert [] == list(harness.datastore.query(kind=kind).fetch())
        harness.datastore.delete(harness.datastore.key("Thing", "end"))


def test_a_machine_at_least_once_retries_and_the_queue_gives_up(harness):
    """The policy is the task's own; a step that cannot be mended is dropped at once."""
    calls = []

    def action(context):
        calls.append(1)
        raise ValueError("always")

    staging.Script.act = action
    harness.start("LightFailing/")
    assert (3, 3) == (harness.run(), len(calls))
    calls.clear()
    staging.Script.act = lambda context: "nope"
    harness.start("LightFailing/")
    assert 1 == harness.run()


@pytest.mark.parametrize(("method", "size"), [("GET", 7_000), ("POST", 95_000)])
def test_a_context_that_no_task_carries_is_refused_at_the_start(harness, method, size):
    """413 with advice, where a machine keeps no rows to put it into."""
    answer = harness.start(f"Light/?method={method}", method="POST", json={"a": "x" * size})
    assert 413 == answer.status_code
    assert {"GET": "method=POST", "POST": "exactly_once"}[method] in answer.json["error"]
