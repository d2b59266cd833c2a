"""The engine on every Datastore there is: ours over a socket and in process, and gcloud's emulators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from datastore_backends import skip_gap
from google.cloud import datastore

from fantasm_gcp.core.names import MAIN, StepName, instance_id
from fantasm_gcp.core.records import (
    Commit,
    Delete,
    Insert,
    Instance,
    InstanceStatus,
    Step,
    Task,
    Update,
    instance_key,
)
from fantasm_gcp.errors import AlreadyExistsError, ConflictError
from fantasm_gcp.testing import Harness

ROOT = Path(__file__).parents[2]
SUBSCRIBERS = 7


def make(backend, definitions):
    return Harness(
        definitions, datastore=backend.channel, project=backend.project, namespace=backend.namespace
    )


@pytest.fixture
def harness(datastore_backend):
    made = make(datastore_backend, ROOT / "fsm.yaml")
    yield made
    made.close()


@pytest.fixture
def store(harness):
    return harness.fantasm.services.store


def an_instance(n=1):
    name = instance_id("M", 1_800_000_000.25 + n, f"{n:04}")
    return Instance(name, "M", InstanceStatus.RUNNING, 1_800_000_000.25 + n, StepName("s"), "d")


def a_task(instance, n=0, context=b"{}"):
    step = Step(instance.id, "M", MAIN, "a", "e", "b", n)
    return Task(step, context, "default", "POST", due=2.5, first_attempt=1.5)


@pytest.mark.fantasm(190, 191)
def test_a_campaign_sends_and_counts_each_email_once(harness, datastore_backend):
    """The sample machine: continuation, staged writes, fan-in, a transactional state, completion."""
    client = harness.datastore
    for i in range(SUBSCRIBERS):
        entity = datastore.Entity(client.key("Subscriber", f"s{i}"))
        entity.update(name=str(i), email=f"{i}@example.org")
        client.put(entity)
    instance = harness.start("SendSubscriberEmail/").json["instance"]
    for _ in range(100):
        attempt = harness.next_attempt()
        if attempt is None:
            break
        harness.deliver(attempt)
        harness.answer(attempt)
    shown = harness.get(f"instances/{instance}")
    assert "completed" == shown["status"]
    # Where a full page can be known to be the last, there is no empty page after it.
    steps = SUBSCRIBERS if datastore_backend.name == "firestore" else SUBSCRIBERS + 1
    assert {"in_flight": 0, "failed": 0, "done": steps} == shown["states"]["SendEmail"]
    emails = [each["to"] for each in client.query(kind="OutboxEmail").fetch()]
    assert sorted(f"{i}@example.org" for i in range(SUBSCRIBERS)) == sorted(emails)
    assert SUBSCRIBERS == client.get(client.key("EmailBatch", instance))["counter"]


def test_rows_come_back_as_they_were_written(store):
    """Every field, at the version that the commit answered."""
    instance, task = an_instance(), a_task(an_instance(), context=b'{"a":"\xc3\xa9"}')
    versions = store.commit(Commit((Insert(instance), Insert(task))))
    found = store.lookup([instance.key, task.key])
    assert [instance, task] == [each.row for each in found]
    assert list(versions) == [each.version for each in found]


def test_a_taken_key_and_a_stale_version_write_nothing(store):
    """The whole commit is refused: inserts, updates and deletes alike."""
    instance, other = an_instance(1), an_instance(2)
    (version,) = store.commit(Commit((Insert(instance),)))
    with pytest.raises(AlreadyExistsError):
        store.commit(Commit((Insert(other), Insert(instance))))
    (second,) = store.commit(Commit((Update(another(instance), version),)))
    for stale in (Update(instance, version), Delete(instance.key, version)):
        with pytest.raises(ConflictError):
            store.commit(Commit((Insert(other), stale)))
    assert [another(instance), None] == [
        each and each.row for each in store.lookup([instance.key, other.key])
    ]
    store.commit(Commit((Delete(instance.key, second),)))
    with pytest.raises(ConflictError):
        store.commit(Commit((Update(instance, second), Insert(other))))
    assert [None, None] == list(store.lookup([instance.key, other.key]))


def another(instance):
    return replace(instance, closings=9)


def test_a_transaction_conflicts_with_what_was_written_after_it_read(store, datastore_backend):
    """A row that it read as missing was inserted meanwhile."""
    skip_gap(datastore_backend, "waiting")
    instance, other = an_instance(1), an_instance(2)
    transaction = store.begin()
    assert [None] == list(transaction.lookup([instance.key]))
    store.commit(Commit((Insert(instance),)))
    with pytest.raises(ConflictError):
        transaction.commit(Commit((Insert(other),)))
    assert [None] == list(store.lookup([other.key]))


def test_what_is_in_flight_and_what_failed_are_found(store):
    """By queries that need no composite index, which see every commit before them."""
    instance, other = an_instance(1), an_instance(2)
    tasks = [a_task(instance, n) for n in range(3)]
    store.commit(Commit(tuple(map(Insert, [*tasks, a_task(other)]))))
    assert {each.step.name for each in tasks} == set(store.in_flight(instance.id, 10))
    assert 2 == len(store.in_flight(instance.id, 2))
    assert not store.has_failed(instance.id)


def test_a_large_context_lies_in_chunks(store):
    """What no row takes comes back whole."""
    import random

    context = b'{"a":"' + random.Random(1).randbytes(1_500_000).hex().encode() + b'"}'
    task = a_task(an_instance(), context=context)
    store.commit(Commit((Insert(task),)))
    assert context == store.lookup([task.key])[0].row.context


def test_instances_are_listed_newest_first(harness, store):
    """With filters and a cursor, by single-property indexes."""
    for n in range(5):
        store.commit(Commit((Insert(an_instance(n)),)))
    history = harness.fantasm.history
    first = history.instances("M", "running", 3, "")
    rest = history.instances("M", "running", 3, first.cursor)
    assert [an_instance(n) for n in (4, 3, 2, 1, 0)] == [*first.items, *rest.items]
    assert () == history.instances("M", "completed", 3, "").items
    assert 5 == history.count_instances("M", InstanceStatus.RUNNING)
    assert history.instance(an_instance(1).id) == store.lookup([instance_key(an_instance(1).id)])[0].row
