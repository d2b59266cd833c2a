"""The index of what becomes overdue, on every Datastore there is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fantasm_gcp.core.names import MAIN, StepName, instance_id
from fantasm_gcp.core.records import (
    Commit,
    Insert,
    Instance,
    InstanceStatus,
    Step,
    Task,
    TaskStatus,
    Update,
    Upsert,
    Watermark,
    watermark_key,
)
from fantasm_gcp.gateways.clients import Channels, datastore_api
from fantasm_gcp.gateways.datastore import DatastoreStore
from fantasm_gcp.gateways.rows import GRACE, PARKED_GRACE, SHARDS
from fantasm_gcp.gateways.wire import Place, Wire

NOW = 1_800_000_000.0
MINUTE = 60.0


@pytest.fixture
def stores(datastore_backend):
    """The stores of two services in one place."""
    api = datastore_api(Channels(datastore=datastore_backend.channel))

    def of(service):
        place = Place(datastore_backend.project, namespace=datastore_backend.namespace, service=service)
        return DatastoreStore(Wire(place, lambda: api), lambda: None, lambda: NOW)

    return of("default"), of("other")


@pytest.fixture
def store(stores):
    return stores[0]


def a_task(n, due=NOW, **changes):
    step = Step(instance_id("M", NOW, "0001"), "M", MAIN, "a", "e", "b", n)
    return replace(Task(step, b'{"a":1}', "default", "POST", due=due), **changes)


def insert(store, *new):
    store.commit(Commit(tuple(map(Insert, new))))


def found(store, since, until, limit=100):
    """The rows of all shards that become overdue in the minutes from one moment to another."""
    ranges = zip(store.overdue_marks(since), store.overdue_marks(until), strict=True)
    return [each.row for pair in ranges for each in store.overdue(*pair, limit)]


def test_steps_are_found_from_the_minute_on_in_which_they_become_overdue(store):
    """A queued one a minute after it is due, a parked one a day after; not what has failed or waits."""
    queued = [a_task(n) for n in range(20)]
    parked = a_task(20, status=TaskStatus.PARKED)
    insert(
        store, *queued, parked, a_task(21, status=TaskStatus.FAILED), a_task(22, status=TaskStatus.WAITING)
    )
    assert [] == found(store, 0, NOW + GRACE - MINUTE)
    assert queued == sorted(found(store, 0, NOW + GRACE), key=lambda each: each.step.n)
    assert [parked] == found(store, NOW + GRACE + MINUTE, NOW + PARKED_GRACE)
    assert [] == found(store, NOW + PARKED_GRACE + MINUTE, NOW + 1e6)


def test_what_was_looked_at_is_found_at_its_next_time(store):
    """And no more at the time that it was found at."""
    insert(store, a_task(0))
    shard = next(i for i in range(SHARDS) if store.overdue(*range_of(store, i, NOW + GRACE), 1))
    (stored,) = store.overdue(*range_of(store, shard, NOW + GRACE), 1)
    later = replace(stored.row, looks=1, overdue=NOW + 7200)
    store.commit(Commit((Update(later, stored.version),)))
    assert [] == found(store, 0, NOW + 7200 - MINUTE)
    assert [later] == found(store, 0, NOW + 7200)


def range_of(store, shard, until):
    return store.overdue_marks(0)[shard], store.overdue_marks(until)[shard]


def test_the_oldest_of_a_shard_come_first_and_no_more_than_are_asked_for(store):
    """Whatever the order in which they were written."""
    tasks = [a_task(n, due=NOW + (n * 7 % 40) * MINUTE) for n in range(40)]
    insert(store, *tasks)
    for shard in range(SHARDS):
        everything = store.overdue(*range_of(store, shard, NOW + 1e6), 100)
        moments = [each.row.due for each in everything]
        assert sorted(moments) == moments
        assert everything[:2] == store.overdue(*range_of(store, shard, NOW + 1e6), 2)
    assert 40 == len(found(store, 0, NOW + 1e6))


def test_both_ends_of_a_range_belong_to_it(store):
    """So a range may be looked through again from the value that was last seen."""
    insert(store, a_task(0))
    assert [1, 1, 0, 0] == [
        len(found(store, NOW + since, NOW + until))
        for since, until in ((GRACE, GRACE), (0, GRACE), (0, GRACE - 1), (GRACE + MINUTE, GRACE + 3600))
    ]


def test_a_range_that_ends_before_it_begins_is_empty(store):
    """A clock went backwards."""
    insert(store, a_task(0))
    assert [] == found(store, NOW + 7200, NOW)


def test_rows_come_with_versions_that_can_be_written_at(store):
    """As those that are looked up by key, with their contexts, however large."""
    large = b'{"a":"' + random.Random(1).randbytes(1_500_000).hex().encode() + b'"}'
    insert(store, a_task(0), a_task(1, context=large))
    ranges = (range_of(store, shard, NOW + GRACE) for shard in range(SHARDS))
    rows = [each for pair in ranges for each in store.overdue(*pair, 10)]
    assert rows == list(store.lookup([each.row.key for each in rows]))
    assert {a_task(0).context, large} == {each.row.context for each in rows}
    store.commit(Commit(tuple(Update(replace(each.row, looks=7), each.version) for each in rows)))
    assert {7} == {each.row.looks for each in store.lookup([each.row.key for each in rows])}


def test_services_do_not_see_each_other(stores):
    """Neither their steps nor their instances, though they lie in one kind."""
    mine, others = stores
    insert(mine, a_task(0), an_instance(0))
    insert(others, a_task(1), an_instance(1))
    assert [[0], [1]] == [[each.step.n for each in found(store, 0, NOW + GRACE)] for store in stores]
    for n, store in enumerate(stores):
        assert [an_instance(n)] == [each.row for each in store.instances(InstanceStatus.RUNNING, "", 9)]


def an_instance(n, status=InstanceStatus.RUNNING):
    return Instance(instance_id("M", NOW + n, f"{n:04}"), "M", status, NOW + n, StepName("s"), "d")


def test_instances_of_a_status_come_page_by_page(store):
    """By the names of their rows, each once, with their versions."""
    instances = [an_instance(n) for n in range(7)]
    insert(store, *instances, an_instance(8, InstanceStatus.PAUSED), an_instance(9, InstanceStatus.COMPLETED))
    seen, after = [], ""
    while page := store.instances(InstanceStatus.RUNNING, after, 3):
        seen += page
        after = page[-1].row.key.name
    assert sorted(each.key.name for each in instances) == [each.row.key.name for each in seen]
    assert seen == list(store.lookup([each.row.key for each in seen]))
    assert [an_instance(8, InstanceStatus.PAUSED)] == [
        each.row for each in store.instances(InstanceStatus.PAUSED, "", 3)
    ]


@pytest.mark.parametrize("instances", ["", "running/", "cancelled/0123-M-1"])
def test_a_watermark_comes_back_as_it_was_written(store, instances):
    """It is there once for a service, and written over."""
    watermark = Watermark("default", store.overdue_marks(NOW), NOW + 0.5, instances)
    store.commit(Commit((Upsert(replace(watermark, full=0.0)),)))
    store.commit(Commit((Upsert(watermark),)))
    assert [watermark, None] == [
        each and each.row for each in store.lookup([watermark_key("default"), watermark_key("other")])
    ]


def test_marks_sort_as_moments_do(store):
    """In every shard, over all the years that there are; they are equal within a minute."""
    moments = [0, 59, 60, 1e6, 1e9, 1.8e9, 1.8e9 + 60, 4e9, 2.5e11]
    for marks in zip(*(store.overdue_marks(each) for each in moments), strict=True):
        assert sorted(marks) == list(marks)
        assert marks[0] == marks[1]
        assert len(moments) - 1 == len(set(marks))
