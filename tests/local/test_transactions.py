"""What transactions see, whom they meet, and reading at a past moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from datastore_backends import PROJECT, DatastoreBackend
from datastore_support import Low, by, identifiers, plain, properties, value_of, where
from google.api_core import exceptions

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.committing.committer import MAX_WAITING
from fantasm_gcp.local.datastore.committing.transactions import IDLE_LIFETIME, MAX_CHANGED_BYTES

START = 1_800_000_000.0
PATIENCE = 30.0


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def low(clock: Clock) -> Iterator[Low]:
    """An optimistic server of this process."""
    server = DatastoreServer(clock=clock)
    yield Low(DatastoreBackend("local-inprocess", "", server=server))
    server.close()


@pytest.fixture
def strict(clock: Clock) -> Iterator[DatastoreServer]:
    """A pessimistic server."""
    server = DatastoreServer(clock=clock, pessimistic=True, lock_seconds=PATIENCE)
    yield server
    server.close()


def client_of(server: DatastoreServer) -> Low:
    return Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))


def value(low: Low, key: dict[str, Any], **options: Any) -> Any:
    """The property ``v`` of an entity, or None where there is none."""
    found = low.lookup(key, **options).found
    return plain(found[0].entity.properties["v"]) if found else None


def inside(transaction: bytes) -> dict[str, Any]:
    return {"read_options": {"transaction": transaction}}


def at(moment: Any) -> dict[str, Any]:
    return {"read_options": {"read_time": moment}}


# -- one moment


@pytest.mark.parametrize("options", [{}, {"read_only": {}}])
def test_a_transaction_shows_the_moment_it_began(low: Low, options: dict[str, Any]) -> None:
    """What is changed, deleted or added afterwards it does not see, by key or by query, in any order."""
    for number in range(1, 6):
        low.put("K", number, v=number)
    transaction = low.begin(**options)
    low.put("K", 1, v=100)
    low.commit({"delete": low.key("K", 2)})
    low.put("K", 9, v=0)
    low.put("K", 3, v=-3)
    low.put("K", 3, v=-4)
    for name, expected in ((1, 1), (2, 2), (9, None), (3, 3)):
        assert expected == value(low, low.key("K", name), **inside(transaction))
    assert [1, 2, 3, 4, 5] == identifiers(low.query("K", **inside(transaction)))
    assert [5, 4, 3, 2, 1] == identifiers(low.query("K", order=by("-v"), **inside(transaction)))
    assert [2, 3] == identifiers(
        low.query(
            "K", order=by("v"), offset=1, limit=2, filter=where("v", "LESS_THAN", 50), **inside(transaction)
        )
    )
    projected = low.query("K", projection=properties("v"), **inside(transaction)).batch.entity_results
    assert [1, 2, 3, 4, 5] == [plain(result.entity.properties["v"]) for result in projected]
    assert [3, 9, 4, 5, 1] == identifiers(low.query("K", order=by("v")))


def test_a_transactions_pages_are_of_one_moment(low: Low) -> None:
    """A cursor of its first page goes on in the state it began with."""
    for number in range(1, 7):
        low.put("K", number, v=number)
    transaction = low.begin(read_only={})
    first = low.query("K", order=by("v"), limit=2, **inside(transaction)).batch
    low.commit({"delete": low.key("K", 3)})
    low.put("K", 5, v=0)
    rest = low.query("K", order=by("v"), start_cursor=first.end_cursor, **inside(transaction))
    assert [3, 4, 5, 6] == identifiers(rest)


def test_a_read_only_transaction_is_never_aborted(low: Low) -> None:
    """It commits although all that it read was changed."""
    low.put("K", 1, v=1)
    transaction = low.begin(read_only={})
    low.lookup(low.key("K", 1), **inside(transaction))
    low.query("K", **inside(transaction))
    low.put("K", 1, v=2)
    low.commit(transaction=transaction)


def test_a_deleted_and_written_again_entity_shows_what_it_was(low: Low) -> None:
    """Versions before and after a deletion are told apart."""
    low.put("K", 1, v=1)
    first = low.begin(read_only={})
    low.commit({"delete": low.key("K", 1)})
    second = low.begin(read_only={})
    low.put("K", 1, v=2)
    third = low.begin(read_only={})
    low.put("K", 1, v=3)
    assert [1, None, 2] == [value(low, low.key("K", 1), **inside(each)) for each in (first, second, third)]
    counts = [len(low.query("K", **inside(each)).batch.entity_results) for each in (first, second, third)]
    assert [1, 0, 1] == counts


# -- whom a transaction meets


@pytest.mark.parametrize(
    ("change", "aborted"),
    [
        ({"v": 1, "kind": "K"}, True),  # one more that the filter lets through
        ({"v": 2, "kind": "K"}, False),
        ({"v": 1, "kind": "Other"}, False),
    ],
)
def test_a_query_meets_what_it_would_find(low: Low, change: dict[str, Any], aborted: bool) -> None:
    """And not what its filter leaves out, though it be of the kind."""
    low.put("K", 1, v=1)
    transaction = low.begin()
    low.query("K", filter=where("v", "EQUAL", 1), **inside(transaction))
    low.put(change["kind"], 7, v=change["v"])
    if aborted:
        with pytest.raises(exceptions.Aborted):
            low.commit({"upsert": low.entity(low.key("X", 1))}, transaction=transaction)
    else:
        low.commit({"upsert": low.entity(low.key("X", 1))}, transaction=transaction)
    assert (not aborted) == bool(low.lookup(low.key("X", 1)).found)


@pytest.mark.parametrize(("changed", "aborted"), [(1, True), (2, True), (3, False)])
def test_a_query_meets_no_more_than_it_has_read(low: Low, changed: int, aborted: bool) -> None:
    """With a limit of two, the third result may change."""
    for number in (1, 2, 3):
        low.put("K", number, v=number)
    transaction = low.begin()
    low.query("K", order=by("v"), limit=2, **inside(transaction))
    low.put("K", changed, v=changed, w="changed")
    if aborted:
        with pytest.raises(exceptions.Aborted):
            low.commit({"upsert": low.entity(low.key("X", 1))}, transaction=transaction)
    else:
        low.commit({"upsert": low.entity(low.key("X", 1))}, transaction=transaction)


def test_a_query_up_to_a_cursor_meets_what_would_come_before_it(low: Low) -> None:
    """Though its last result lies further ahead: nothing was there between them, and that was read."""
    for number in (1, 3, 9):
        low.put("K", number, v=number)
    end = low.query("K", order=by("v"), limit=3).batch.end_cursor
    low.commit({"delete": low.key("K", 9)})
    transaction = low.begin()
    found = low.query("K", order=by("v"), end_cursor=end, **inside(transaction))
    assert [1, 3] == identifiers(found)
    low.put("K", 7, v=7)
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("X", 1))}, transaction=transaction)


def test_a_query_that_only_counts_what_it_skips_meets_one_more(low: Low) -> None:
    """Clients count with an offset and a limit of zero: what comes behind the last one counts too."""
    low.put("K", 1, v=1)
    transaction = low.begin()
    found = low.query("K", order=by("v"), offset=1000, limit=0, **inside(transaction))
    assert 1 == found.batch.skipped_results
    low.put("K", 2, v=2)
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("X", 1))}, transaction=transaction)


def test_what_leaves_a_querys_results_meets_it(low: Low) -> None:
    """An entity that the filter no longer lets through was a result."""
    low.put("K", 1, v=1)
    transaction = low.begin()
    low.query("K", filter=where("v", "EQUAL", 1), **inside(transaction))
    low.put("K", 1, v=2)
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("X", 1))}, transaction=transaction)


def test_a_write_that_changes_nothing_meets_nobody(low: Low) -> None:
    """The entity keeps its version, so what was read is still so."""
    low.put("K", 1, v=1)
    transaction = low.begin()
    low.lookup(low.key("K", 1), **inside(transaction))
    low.put("K", 1, v=1)
    low.commit({"upsert": low.entity(low.key("K", 1), v=2)}, transaction=transaction)


def test_what_large_changes_a_transaction_may_meet_is_forgotten_in_time(low: Low) -> None:
    """It is ABORTED then, whatever it has read: memory is not for ever."""
    transaction = low.begin()
    text = {"string_value": "x" * 1_000_000, "exclude_from_indexes": True}
    for number in range(1 + MAX_CHANGED_BYTES // 2_000_000):
        low.put("Other", 1, v=number, text=text)
    within = low.begin()
    low.commit({"upsert": low.entity(low.key("K", 2))}, transaction=within)
    low.put("Other", 1, v=-1, text=text)
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("K", 1))}, transaction=transaction)


def test_what_has_expired_is_forgotten_by_those_who_only_write(low: Low, clock: Clock) -> None:
    """A client that died in a transaction has nobody remember changes for it."""
    transaction = low.begin()
    low.put("K", 1, v=1)
    clock.now += IDLE_LIFETIME + 1
    low.put("K", 1, v=2)
    clock.now -= IDLE_LIFETIME + 1
    with pytest.raises(exceptions.InvalidArgument, match="expired"):
        low.commit(transaction=transaction)


def test_a_new_kind_meets_who_has_asked_for_all_kinds(low: Low) -> None:
    """A transaction that has asked must not build on what is no longer so; a known kind meets nobody."""
    low.put("K", 1, v=1)
    transaction = low.begin()
    assert ["K"] == identifiers(low.query("__kind__", **inside(transaction)))
    low.put("Other", 1, v=1)
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("X", 1))}, transaction=transaction)


def test_changes_before_a_transaction_do_not_meet_it(low: Low) -> None:
    """Also while another transaction keeps them remembered."""
    low.put("K", 1, v=1)
    earlier = low.begin()
    low.lookup(low.key("K", 1), **inside(earlier))
    low.put("K", 1, v=2)
    transaction = low.begin()
    low.lookup(low.key("K", 1), **inside(transaction))
    low.commit({"upsert": low.entity(low.key("K", 1), v=3)}, transaction=transaction)
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("K", 1), v=4)}, transaction=earlier)
    assert 3 == value(low, low.key("K", 1))


# -- past moments


def test_a_lookup_and_a_query_at_a_past_time_show_it(low: Low, clock: Clock) -> None:
    """Every commit's own time shows what it left."""
    times = []
    for number in (1, 2, 3):
        clock.now += 10
        times.append(low.put("K", 1, v=number).update_time)
        low.put("K", number + 10, v=number)
    for number, moment in enumerate(times, 1):
        assert number == value(low, low.key("K", 1), **at(moment))
        assert [1, *range(11, 10 + number)] == identifiers(low.query("K", **at(moment)))
        counted = low.query("K", filter=where("v", "EQUAL", number), **at(moment))
        assert [1] == identifiers(counted)


def test_a_read_only_transaction_can_begin_in_the_past(low: Low, clock: Clock) -> None:
    """All its reads show the time it names."""
    moment = low.put("K", 1, v=1).update_time
    clock.now += 60
    low.put("K", 1, v=2)
    transaction = low.begin(read_only={"read_time": moment})
    assert 1 == value(low, low.key("K", 1), **inside(transaction))
    assert moment == low.lookup(low.key("K", 1), **inside(transaction)).read_time


def test_an_aggregation_reads_the_past(low: Low, clock: Clock) -> None:
    """Counts, sums and averages are those of the moment."""
    low.put("K", 1, v=1)
    moment = low.put("K", 2, v=3).update_time
    clock.now += 1
    low.put("K", 3, v=100)
    low.commit({"delete": low.key("K", 1)})
    wanted = [{"alias": "n", "count": {}}, {"alias": "s", "sum": {"property": {"name": "v"}}}]
    request = {
        "project_id": PROJECT,
        "partition_id": {"project_id": PROJECT, "namespace_id": low.namespace},
        "aggregation_query": {"nested_query": {"kind": [{"name": "K"}]}, "aggregations": wanted},
        "read_options": {"read_time": moment},
    }
    found = low.api.run_aggregation_query(request=request).batch.aggregation_results[0].aggregate_properties
    assert {"n": 2, "s": 4} == {alias: plain(each) for alias, each in found.items()}


@pytest.mark.parametrize(
    ("shift", "error"),
    [
        (1, exceptions.InvalidArgument),  # in the future
        (-3601, exceptions.FailedPrecondition),
        (-3599, None),
    ],
)
def test_a_past_time_is_within_the_last_hour(
    low: Low, clock: Clock, shift: int, error: type[Exception] | None
) -> None:
    """Older ones and those to come are refused."""
    low.put("K", 1, v=1)
    clock.now += 7200
    low.put("K", 1, v=2)
    moment = {"seconds": int(clock.now) + shift}
    if error is None:
        assert 1 == value(low, low.key("K", 1), **at(moment))
    else:
        with pytest.raises(error):
            low.lookup(low.key("K", 1), **at(moment))


def test_a_time_finer_than_a_microsecond_is_refused(low: Low) -> None:
    """As the reference of ReadOptions says."""
    with pytest.raises(exceptions.InvalidArgument, match="microsecond"):
        low.lookup(low.key("K", 1), **at({"seconds": int(START) - 5, "nanos": 1}))


def test_the_past_outlives_a_restart_and_not_its_hour(tmp_path: Any, clock: Clock) -> None:
    """It lies in the file, and what is older than an hour leaves it."""
    path = tmp_path / "datastore.sqlite"
    server = DatastoreServer(path, clock)
    moment = client_of(server).put("K", 1, v=1).update_time
    clock.now += 5
    client_of(server).put("K", 1, v=2)
    server.close()
    server = DatastoreServer(path, clock)
    low = client_of(server)
    assert 1 == value(low, low.key("K", 1), **at(moment))
    clock.now += 3700
    for number in range(3):
        clock.now += 61
        low.put("Other", 1, v=number)
    (kept,) = server._store.select("SELECT count(*) FROM past", ()).fetchone()
    assert 2 == kept  # of Other: its own hour has just begun
    server.close()


def test_the_past_of_large_entities_does_not_fill_a_disk(clock: Clock) -> None:
    """The oldest of it goes, and what is still there reads as it was."""
    server = DatastoreServer(clock=clock)
    server._store.most_past_bytes = 1_000_000
    low = client_of(server)
    moments = []
    for number in range(30):
        clock.now += 1
        text = {"string_value": "x" * 100_000, "exclude_from_indexes": True}
        moments.append(low.put("K", 1, v=number, text=text).update_time)
        (size,) = server._store.select("SELECT coalesce(sum(length(body)), 0) FROM past", ()).fetchone()
        assert 1_000_000 >= size
    assert 27 == value(low, low.key("K", 1), **at(moments[27]))
    with pytest.raises(exceptions.FailedPrecondition, match="too old"):
        low.lookup(low.key("K", 1), **at(moments[1]))
    server.close()


def test_a_commit_that_is_undone_does_not_read_the_past() -> None:
    """Inserts that come second are an everyday thing, and the past may be long."""
    server = DatastoreServer()
    low = client_of(server)
    for number in range(4):
        low.commit(*({"upsert": low.entity(low.key("K", id_), v=number)} for id_ in range(1, 501)))
    counted = [0]

    def count() -> None:
        counted[0] += 1

    server._store._db.set_progress_handler(count, 10)
    with pytest.raises(exceptions.AlreadyExists):
        low.commit({"insert": low.entity(low.key("K", 1), v=1)})
    server._store._db.set_progress_handler(None, 0)
    assert 1500 > 10 * counted[0]
    server.close()


# -- the pessimistic mode


def until(holds: Callable[[], bool]) -> None:
    """Lets other threads run until something holds."""
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up, "it never came to hold"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MAX_WAITING + 2) as threads:
        yield threads


def put_later(pool: ThreadPoolExecutor, server: DatastoreServer, *path: Any, **fields: Any) -> Future[Any]:
    """A write in another thread."""
    low = client_of(server)
    return pool.submit(lambda: low.put(*path, **fields))


def test_a_writer_waits_for_a_reading_transaction(strict: DatastoreServer, pool: ThreadPoolExecutor) -> None:
    """Nobody is aborted: the transaction commits what it computed, then the writer has its turn."""
    low = client_of(strict)
    low.put("K", 1, v=1)
    transaction = low.begin()
    assert 1 == value(low, low.key("K", 1), **inside(transaction))
    writer = put_later(pool, strict, "K", 1, v=10)
    until(lambda: strict.waiting == 1)
    assert 1 == value(low, low.key("K", 1), **inside(transaction))
    low.commit({"update": low.entity(low.key("K", 1), v=2)}, transaction=transaction)
    written = writer.result(PATIENCE)
    assert 10 == value(low, low.key("K", 1))
    assert written.version == low.lookup(low.key("K", 1)).found[0].version


@pytest.mark.parametrize("how", ["rollback", "expiry", "reset"])
def test_a_writer_goes_on_when_the_other_is_over(
    strict: DatastoreServer, pool: ThreadPoolExecutor, clock: Clock, how: str
) -> None:
    """However it ends."""
    low = client_of(strict)
    transaction = low.begin()
    low.query("K", filter=where("v", "EQUAL", 1), **inside(transaction))
    writer = put_later(pool, strict, "K", 1, v=1)
    until(lambda: strict.waiting == 1)
    if how == "rollback":
        low.api.rollback(request={"project_id": PROJECT, "transaction": transaction})
    elif how == "expiry":
        clock.now += IDLE_LIFETIME + 1
    else:
        strict.reset()
    writer.result(PATIENCE)
    assert 1 == value(low, low.key("K", 1))


def test_readers_share_and_strangers_pass(strict: DatastoreServer) -> None:
    """Two transactions read one entity at once, and a write of another entity waits for none."""
    low = client_of(strict)
    low.put("K", 1, v=1)
    first, second = low.begin(), low.begin()
    for transaction in (first, second):
        assert 1 == value(low, low.key("K", 1), **inside(transaction))
    low.put("K", 2, v=2)
    low.commit({"upsert": low.entity(low.key("K", 3))}, transaction=first)
    low.commit({"upsert": low.entity(low.key("K", 4))}, transaction=second)


def test_of_two_that_wait_for_each_other_one_is_aborted(
    strict: DatastoreServer, pool: ThreadPoolExecutor
) -> None:
    """Both have read what both will write: the second to commit loses, the first has its way."""
    low = client_of(strict)
    low.put("K", 1, v=0)
    first, second = low.begin(), low.begin()
    for transaction in (first, second):
        low.lookup(low.key("K", 1), **inside(transaction))
    update = {"update": low.entity(low.key("K", 1), v=1)}
    waiting = pool.submit(lambda: client_of(strict).commit(update, transaction=first))
    until(lambda: strict.waiting == 1)
    with pytest.raises(exceptions.Aborted):
        low.commit({"update": low.entity(low.key("K", 1), v=2)}, transaction=second)
    waiting.result(PATIENCE)
    assert 1 == value(low, low.key("K", 1))


def test_a_commit_that_waits_goes_before_those_that_come_later(
    strict: DatastoreServer, pool: ThreadPoolExecutor
) -> None:
    """A transaction that began after it and read the same is aborted, at a read and at its commit."""
    low = client_of(strict)
    low.put("K", 1, v=1)
    earlier = low.begin()
    low.lookup(low.key("K", 1), **inside(earlier))
    writer = put_later(pool, strict, "K", 1, v=10)
    until(lambda: strict.waiting == 1)
    later = [low.begin(), low.begin()]
    for transaction in later:
        assert 1 == value(low, low.key("K", 1), **inside(transaction))
    low.commit(transaction=earlier)
    writer.result(PATIENCE)
    with pytest.raises(exceptions.Aborted):
        low.commit({"update": low.entity(low.key("K", 1), v=2)}, transaction=later[0])
    with pytest.raises(exceptions.Aborted):
        low.lookup(low.key("K", 1), **inside(later[1]))
    assert 10 == value(low, low.key("K", 1))


def test_a_transaction_whose_commit_was_aborted_can_be_rolled_back_once(low: Low) -> None:
    """So a client that rolls back after every error sees the ABORTED; committed again it cannot be."""
    low.put("K", 1, v=1)
    transaction = low.begin()
    low.lookup(low.key("K", 1), **inside(transaction))
    low.put("K", 1, v=2)
    with pytest.raises(exceptions.Aborted):
        low.commit(transaction=transaction)
    with pytest.raises(exceptions.InvalidArgument):
        low.commit(transaction=transaction)
    low.api.rollback(request={"project_id": PROJECT, "transaction": transaction})
    with pytest.raises(exceptions.InvalidArgument):
        low.api.rollback(request={"project_id": PROJECT, "transaction": transaction})


def test_a_writer_that_waited_too_long_is_aborted(clock: Clock) -> None:
    """With nothing written."""
    server = DatastoreServer(clock=clock, pessimistic=True, lock_seconds=0)
    low = client_of(server)
    low.put("K", 1, v=1)
    transaction = low.begin()
    low.lookup(low.key("K", 1), **inside(transaction))
    with pytest.raises(exceptions.Aborted):
        low.commit({"upsert": low.entity(low.key("K", 1), v=2)}, {"upsert": low.entity(low.key("K", 2), v=2)})
    assert [1] == identifiers(low.query("K"))
    assert 1 == value(low, low.key("K", 1))
    server.close()


def test_a_transaction_that_has_expired_holds_nobody_up(clock: Clock) -> None:
    """Though nobody has asked for it since."""
    server = DatastoreServer(clock=clock, pessimistic=True, lock_seconds=0)
    low = client_of(server)
    low.put("K", 1, v=1)
    low.lookup(low.key("K", 1), **inside(low.begin()))
    clock.now += IDLE_LIFETIME + 1
    low.put("K", 1, v=2)
    assert 2 == value(low, low.key("K", 1))
    server.close()


def test_waiting_never_takes_all_threads(strict: DatastoreServer, pool: ThreadPoolExecutor) -> None:
    """Beyond a number of waiting commits further ones are aborted at once."""
    low = client_of(strict)
    transaction = low.begin()
    low.lookup(low.key("K", 1), **inside(transaction))
    writers = [put_later(pool, strict, "K", 1, v=number) for number in range(MAX_WAITING)]
    until(lambda: strict.waiting == MAX_WAITING)
    with pytest.raises(exceptions.Aborted):
        low.put("K", 1, v=-1)
    low.commit(transaction=transaction)
    for writer in writers:
        writer.result(PATIENCE)


def test_closing_ends_the_waiting(clock: Clock, pool: ThreadPoolExecutor) -> None:
    """With UNAVAILABLE."""
    server = DatastoreServer(clock=clock, pessimistic=True, lock_seconds=PATIENCE)
    low = client_of(server)
    transaction = low.begin()
    low.lookup(low.key("K", 1), **inside(transaction))
    writer = put_later(pool, server, "K", 1, v=1)
    until(lambda: server.waiting == 1)
    server.close()
    with pytest.raises(exceptions.ServiceUnavailable):
        writer.result(PATIENCE)


def test_what_a_waiting_commit_fills_in_is_filled_in_once(
    strict: DatastoreServer, pool: ThreadPoolExecutor
) -> None:
    """Ids are allocated and values incremented by the try that counts, not by those before."""
    low = client_of(strict)
    low.put("K", 1, v=1)
    transaction = low.begin()
    low.lookup(low.key("K", 1), **inside(transaction))
    increment = {"property": "v", "increment": value_of(5)}
    mutations = [
        {"upsert": low.entity(low.key("K", 1), v=1), "property_transforms": [increment]},
        {"insert": low.entity(low.key("New", None), v=1)},
    ]
    writer = pool.submit(lambda: client_of(strict).commit(*mutations))
    until(lambda: strict.waiting == 1)
    low.commit(transaction=transaction)
    results = writer.result(PATIENCE).mutation_results
    assert 2 == len(results)
    assert 6 == value(low, low.key("K", 1))
    assert [results[1].key.path[-1].id] == identifiers(low.query("New"))


def test_a_counter_under_contention_loses_nothing(strict: DatastoreServer, pool: ThreadPoolExecutor) -> None:
    """Eight threads that read and write one entity, trying again when aborted, count to forty."""
    client_of(strict).put("K", 1, v=0)
    ready = threading.Barrier(MAX_WAITING)

    def count() -> None:
        low = client_of(strict)
        ready.wait(PATIENCE)
        for _ in range(5):
            while True:
                transaction = low.begin()
                try:
                    seen = value(low, low.key("K", 1), **inside(transaction))
                    low.commit({"update": low.entity(low.key("K", 1), v=seen + 1)}, transaction=transaction)
                except exceptions.Aborted:
                    continue
                break

    for counting in [pool.submit(count) for _ in range(MAX_WAITING)]:
        counting.result(2 * PATIENCE)
    low = client_of(strict)
    assert 40 == value(low, low.key("K", 1))
