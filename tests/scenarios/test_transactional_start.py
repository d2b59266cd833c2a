"""A start inside a caller's transaction: the machine runs if that commits, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.cloud import datastore

from fantasm_gcp import StartError, UnavailableError
from fantasm_gcp.testing import Crash, Harness

HERE = Path(__file__).parent


@pytest.fixture
def harness():
    with Harness(HERE / "leaving.yaml") as made, made.app.app_context():
        yield made


def noted(harness):
    return sorted(each["number"] for each in harness.datastore.query(kind="Noted").fetch())


def order(client, number=1):
    """What the caller writes in its transaction."""
    entity = datastore.Entity(client.key("Order", str(number)))
    client.put(entity)


def fail_after_start(harness, **options):
    """A transaction that writes an order, starts a machine, and fails."""
    client = harness.fantasm.datastore
    with client.transaction():
        order(client)
        started(harness, **options)
        raise LookupError


def started(harness, number=1, **options):
    client = harness.fantasm.datastore
    return harness.fantasm.start_machine(
        "Child", {"number": number}, transaction=client.current_transaction, **options
    )


@pytest.mark.fantasm(146)
def test_it_runs_when_the_transaction_commits(harness):
    """The caller's write and the start are one."""
    client = harness.fantasm.datastore
    with client.transaction():
        order(client)
        (one,) = started(harness)
        assert one.created
    harness.run()
    assert ([1], "completed") == (noted(harness), harness.get(f"instances/{one.instance}")["status"])


@pytest.mark.fantasm(146)
def test_it_does_not_run_when_the_transaction_fails(harness):
    """Its task looks for the rows for five minutes, and goes away."""
    client = harness.fantasm.datastore
    began = harness.clock()
    with pytest.raises(LookupError):
        fail_after_start(harness)
    assert 1 < harness.run()
    assert ([], []) == (noted(harness), list(client.query(kind="FantasmInstance").fetch()))
    assert 300 <= harness.clock() - began < 1000


def test_a_task_that_comes_before_the_commit_waits_for_it(harness):
    """A delivery while the transaction is still under way is answered 500, and comes again."""
    client = harness.fantasm.datastore
    with client.transaction():
        started(harness)
        attempt = harness.next_attempt()
        assert 500 == harness.answer(attempt)
        harness.tasks.finish(attempt, None)
    harness.run()
    assert [1] == noted(harness)


def test_a_crash_after_the_commit_loses_nothing(harness):
    """Nothing has to be done then."""

    def around(rpc, carry_out):
        answer = carry_out()
        if rpc.method == "Commit":
            raise Crash
        return answer

    client = harness.fantasm.datastore
    harness.around = around
    with pytest.raises(Crash), client.transaction():
        started(harness)
    harness.around = lambda _, carry_out: carry_out()
    harness.run()
    assert [1] == noted(harness)


def test_a_start_whose_task_cannot_be_created_fails_the_transaction(harness):
    """Better no order than one that is never worked on."""
    client = harness.fantasm.datastore
    harness.tasks.close()
    with pytest.raises((UnavailableError, ValueError)):
        fail_after_start(harness)
    assert [] == list(client.query(kind="Order").fetch())


def test_a_name_starts_one_instance_whoever_asks(harness):
    """In one transaction, in a later one, and without one."""
    client = harness.fantasm.datastore
    created = []
    for _ in range(2):
        with client.transaction():
            created.append(started(harness, task_name="once")[0].created)
        harness.run()
    created.append(harness.fantasm.start_machine("Child", {"number": 5}, task_name="once")[0].created)
    harness.run()
    assert ([True, False, False], [1]) == (created, noted(harness))


@pytest.mark.parametrize("later", [0, 30, 3600])
def test_a_transaction_tried_again_under_the_same_name_starts_it(harness, later):
    """The task of the one that failed may be there still, or its name be used up."""
    client = harness.fantasm.datastore
    with pytest.raises(LookupError):
        fail_after_start(harness, task_name="once")
    harness.clock.sleep(later)
    if later > 300:
        harness.run()
    with client.transaction():
        started(harness, task_name="once")
    harness.run()
    assert [1] == noted(harness)


def test_several_contexts_start_together(harness):
    """Each with its countdown, all or none."""
    client = harness.fantasm.datastore
    with client.transaction():
        harness.fantasm.start_machine(
            "Child",
            [{"number": 1}, {"number": 2}],
            countdown=[0, 600],
            transaction=client.current_transaction,
        )
    harness.run()
    assert [1, 2] == noted(harness)


def test_a_machine_without_records_cannot_take_part(harness):
    """It has no rows that could be part of the transaction."""
    client = harness.fantasm.datastore
    with client.transaction(), pytest.raises(StartError, match="keeps no records"):
        harness.fantasm.start_machine("LightChild", transaction=client.current_transaction)


def test_fantasms_spelling_takes_the_transaction_that_is_under_way(harness):
    """`transactional=True`, and an error where there is none."""
    from fantasm_gcp import current_fantasm, startStateMachine

    with pytest.raises(StartError, match="no transaction is under way"):
        startStateMachine("Child", {"number": 1}, transactional=True)
    with current_fantasm().datastore.transaction():
        startStateMachine("Child", {"number": 1}, transactional=True)
        assert [] == noted(harness)
    harness.run()
    assert [1] == noted(harness)
