"""What only our own server promises: limits, expiry, threads, files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from datastore_backends import PROJECT, DatastoreBackend
from datastore_support import Low, all_of, by, identifiers, plain, properties, value_of, where
from google.api_core import exceptions
from google.cloud.datastore_v1 import types

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.committing.transactions import IDLE_LIFETIME, LIFETIME, MAX_OPEN
from fantasm_gcp.local.datastore.entity.sizes import entity_size
from fantasm_gcp.local.datastore.storage.schema import SCHEMA_VERSION


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[DatastoreServer]:
    server = DatastoreServer(clock=clock)
    yield server
    server.close()


@pytest.fixture
def low(server: DatastoreServer) -> Low:
    return connect(server)


def connect(server: DatastoreServer) -> Low:
    return Low(DatastoreBackend("local-inprocess", "", server=server, namespace=""))


# -- limits


def test_an_entity_may_have_exactly_the_documented_size(low: Low) -> None:
    """1,048,572 bytes as the documentation adds them up are stored, one more is refused."""
    documented = len("K\0") + 8 + 16 + 32 + len("a\0") + len("b\0")  # of the key, the entity, the names
    half = 500_000
    for rest, fits in ((1_048_572 - documented - half, True), (1_048_573 - documented - half, False)):
        values = {name: {"blob_value": b"x" * size} for name, size in (("a", half), ("b", rest))}
        entity = low.entity(
            low.key("K", 1), **{n: v | {"exclude_from_indexes": True} for n, v in values.items()}
        )
        with (
            nullcontext() if fits else pytest.raises(exceptions.InvalidArgument, match="maximum entity size")
        ):
            low.commit({"upsert": entity})


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (None, 1),
        (True, 1),
        (7, 8),
        (1.5, 8),
        ("ü", 3),
        (b"\x00\x01", 2),
        ({"timestamp_value": {"seconds": 1}}, 8),
        ({"geo_point_value": {"latitude": 1}}, 16),
        ({"key_value": {"path": [{"kind": "Task", "name": "my_task_id"}]}}, 32),
        ({"key_value": {"partition_id": {"namespace_id": "ns"}, "path": [{"kind": "T", "id": 1}]}}, 29),
        ([1, "ab"], 11),
        ({"entity_value": {"properties": {"a": {"integer_value": 1}}}}, 42),
    ],
)
def test_every_value_has_its_documented_size(value: Any, size: int) -> None:
    """What the table of the documentation gives for its type, an embedded entity's being that of an entity."""
    fields = {"properties": {"v": value_of(value)}}
    assert 32 + 2 + size == entity_size(types.Entity.pb(types.Entity(fields)))


def test_an_entity_is_as_large_as_the_example_of_the_documentation() -> None:
    """A task of four properties has 139 bytes."""
    fields = {"type": "Personal", "done": False, "priority": 1, "description": "Learn Google Cloud Datastore"}
    message = types.Entity(
        key={"path": [{"kind": "Task", "id": 5730082031140864}]},
        properties={name: value_of(value) for name, value in fields.items()},
    )
    assert 139 == entity_size(types.Entity.pb(message))


def test_many_small_values_are_added_up_too(low: Low) -> None:
    """A message of 0.3 MB can be an entity of more than a mebibyte."""
    empty = {"entity_value": {}}
    entity = low.entity(low.key("K", 1), v={"array_value": {"values": [empty] * 33_000}})
    with pytest.raises(exceptions.InvalidArgument, match="maximum entity size"):
        low.commit({"upsert": entity})


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ({"string_value": "x" * 1500}, True),
        ({"string_value": "x" * 1501}, False),
        ({"string_value": "ü" * 751}, False),
        ({"blob_value": b"\x00" * 1500}, True),
        ({"blob_value": b"\x00" * 1501}, False),
        ({"string_value": "x" * 1501, "exclude_from_indexes": True}, True),
        ([{"string_value": "x" * 1501}], False),
        ({"entity_value": {"properties": {"inner": {"string_value": "x" * 1501}}}}, False),
        ({"geo_point_value": {"latitude": 90.5}}, False),
        ({"array_value": {"values": [{"array_value": {}}]}}, False),
        ({"array_value": {"values": [{"integer_value": 1}]}, "exclude_from_indexes": True}, False),
        ({"array_value": {}, "exclude_from_indexes": True}, False),
        ({"key_value": {"path": [{"kind": "K"}]}}, False),
        ({}, False),
    ],
)
def test_values_have_limits(low: Low, value: Any, fits: bool) -> None:
    """Indexed strings and blobs of 1500 bytes, by their UTF-8; lists hold no lists; keys are complete."""
    mutation = {"upsert": low.entity(low.key("K", 1), v=value)}
    if fits:
        low.commit(mutation)
    else:
        with pytest.raises(exceptions.InvalidArgument):
            low.commit(mutation)
    assert int(fits) == len(low.lookup(low.key("K", 1)).found)


@pytest.mark.parametrize("name", ["", "__mine__", "____", "x" * 1501, "ü" * 751])
def test_property_names_have_limits(low: Low, name: str) -> None:
    """They are neither empty nor reserved nor over 1500 bytes."""
    with pytest.raises(exceptions.InvalidArgument):
        low.commit({"upsert": low.entity(low.key("K", 1), **{name: 1})})


def test_embedded_properties_filter_and_sort_what_is_read(low: Low) -> None:
    """By their path, in arrays too, and beside properties whose own names have the dots."""
    for number, (inner, rank) in enumerate([(1, 5), (1, 4), (2, 3)], start=1):
        deep = {"entity_value": {"properties": {"b": value_of(inner), "x": value_of(9)}}}
        low.put("K", number, a={"entity_value": {"properties": {"a": deep}}}, r=rank)
    low.put("K", 4, **{"a.a.b": 1, "r": 2})
    low.put("K", 5, a=[{"entity_value": {"properties": {"a.b": value_of(1)}}}], r=1)
    low.put("K", 6, a=1, r=0)
    assert [5, 4, 2, 1] == identifiers(low.query("K", filter=where("a.a.b", "EQUAL", 1), order=by("r")))
    both = all_of(where("a.a.b", "GREATER_THAN", 0), where("r", "LESS_THAN", 5))
    assert [5, 4, 2, 3] == identifiers(low.query("K", filter=both, order=by("a.a.b", "r")))


def test_an_entity_may_not_have_too_many_index_entries(low: Low) -> None:
    """20,000 values can be indexed, not more."""
    low.put("K", 1, v=list(range(20_000)))
    with pytest.raises(exceptions.InvalidArgument):
        low.put("K", 1, v=list(range(20_001)))
    assert 20_000 == len(low.lookup(low.key("K", 1)).found[0].entity.properties["v"].array_value.values)


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("", 1),
        ("K", 0),
        ("K", ""),
        ("K", "x" * 1501),
        ("x" * 1501, 1),
        ("P", None, "K", 1),
        ("K", None),
        ("K", 1) * 101,
        ("K", "x" * 1400) * 5,
    ],
    ids=["no path", "no kind", "zero", "no name", "long name", "long kind", "gap", "open", "deep", "long"],
)
def test_malformed_keys_are_refused_everywhere(low: Low, path: tuple[Any, ...]) -> None:
    """Lookup, delete, an ancestor filter and a key value."""
    key = low.key(*path)
    ancestor = where("__key__", "HAS_ANCESTOR", {"key_value": key})
    for call in (
        lambda: low.lookup(key),
        lambda: low.commit({"delete": key}),
        lambda: low.query("K", filter=ancestor),
        lambda: low.put("K", 1, v={"key_value": key}),
    ):
        with pytest.raises(exceptions.InvalidArgument):
            call()


@pytest.mark.parametrize("path", [("__K__", 1), ("K", "__n__"), ("__P__", 1, "K", 1)])
def test_reserved_keys_are_read_only(low: Low, path: tuple[Any, ...]) -> None:
    """They can be looked up, and not be written or deleted."""
    assert 1 == len(low.lookup(low.key(*path)).missing)
    for mutation in ({"upsert": low.entity(low.key(*path))}, {"delete": low.key(*path)}):
        with pytest.raises(exceptions.InvalidArgument):
            low.commit(mutation)


def test_a_request_names_one_project_and_database(low: Low) -> None:
    """A key or query of another is refused, and so is a request without a project."""
    with pytest.raises(exceptions.InvalidArgument, match="mismatched databases"):
        low.lookup(low.key("K", 1, project="other"))
    with pytest.raises(exceptions.InvalidArgument, match="mismatched databases"):
        low.api.lookup(
            request={
                "project_id": PROJECT,
                "database_id": "d",
                "keys": [{"partition_id": {"database_id": "e"}, "path": [{"kind": "K", "id": 1}]}],
            }
        )
    with pytest.raises(exceptions.InvalidArgument):
        low.api.lookup(request={"keys": [low.key("K", 1)]})


def test_databases_do_not_see_each_other(low: Low) -> None:
    """The same key of two databases of a project is two entities."""
    key = {"path": [{"kind": "K", "id": 1}]}
    for database in ("", "second"):
        found = low.api.lookup(request={"project_id": PROJECT, "database_id": database, "keys": [key]})
        assert not found.found
        request = {"project_id": PROJECT, "database_id": database, "mode": "NON_TRANSACTIONAL"}
        low.api.commit(request={**request, "mutations": [{"insert": {"key": key}}]})


def test_a_request_over_ten_mebibytes_is_refused(low: Low) -> None:
    """Even where each entity would fit."""
    padding = {"blob_value": b"x" * 1_000_000, "exclude_from_indexes": True}
    mutations = [{"upsert": low.entity(low.key("K", number), v=padding)} for number in range(1, 12)]
    with pytest.raises(exceptions.InvalidArgument, match="exceeds the limit"):
        low.commit(*mutations)
    low.commit(*mutations[:10])
    assert 10 == low.aggregate("K", {"count": {}, "alias": "n"})["n"]


def test_large_results_come_in_batches(low: Low) -> None:
    """A batch stops short of the size that a client may take, and says that it is not finished."""
    padding = {"blob_value": b"x" * 1_000_000, "exclude_from_indexes": True}
    for number in range(1, 6):
        low.put("K", number, v=padding)
    batch = low.query("K").batch
    assert "NOT_FINISHED" == batch.more_results.name
    rest = low.query("K", start_cursor=batch.end_cursor)
    assert [1, 2, 3, 4, 5] == [r.entity.key.path[0].id for r in batch.entity_results] + identifiers(rest)


def test_a_cursor_of_another_order_is_refused(low: Low) -> None:
    """A cursor continues the query it came from, not one that sorts otherwise."""
    low.put("K", 1, v=1)
    cursor = low.query("K", order=by("v")).batch.end_cursor
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", order=by("-v"), start_cursor=cursor)


@pytest.mark.parametrize("flip", range(5, 15))
def test_a_damaged_cursor_is_refused(low: Low, flip: int) -> None:
    """Any byte changed makes it INVALID_ARGUMENT, not another place."""
    low.put("K", "name", v=1)
    cursor = bytearray(low.query("K", order=by("v")).batch.end_cursor)
    cursor[flip] ^= 1
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", order=by("v"), start_cursor=bytes(cursor))


# -- transactions


def test_an_idle_transaction_expires(low: Low, clock: Clock) -> None:
    """After 60 seconds without use; each use begins them anew."""
    transaction = low.begin()
    clock.now += IDLE_LIFETIME
    low.lookup(low.key("K", 1), read_options={"transaction": transaction})
    clock.now += IDLE_LIFETIME
    low.lookup(low.key("K", 1), read_options={"transaction": transaction})
    clock.now += IDLE_LIFETIME + 1
    with pytest.raises(exceptions.InvalidArgument, match="expired or is no longer valid"):
        low.commit(transaction=transaction)


def test_a_transaction_expires_however_busy(low: Low, clock: Clock) -> None:
    """After 270 seconds in all."""
    transaction = low.begin()
    for _ in range(9):
        clock.now += LIFETIME / 9
        low.lookup(low.key("K", 1), read_options={"transaction": transaction})
    clock.now += 1
    with pytest.raises(exceptions.InvalidArgument, match="expired or is no longer valid"):
        low.commit(transaction=transaction)


def test_abandoned_transactions_do_not_pile_up(low: Low) -> None:
    """The longest unused of too many is dropped."""
    oldest = low.begin()
    kept = low.begin()
    for _ in range(MAX_OPEN - 2):
        low.begin()
    low.lookup(low.key("K", 1), read_options={"transaction": oldest})
    newest = low.begin()
    low.commit(transaction=oldest)
    low.commit(transaction=newest)
    with pytest.raises(exceptions.InvalidArgument):
        low.commit(transaction=kept)


def test_a_transaction_belongs_to_one_database(low: Low) -> None:
    """Its id means nothing to another."""
    transaction = low.begin()
    request = {
        "project_id": PROJECT,
        "database_id": "second",
        "mode": "TRANSACTIONAL",
        "transaction": transaction,
    }
    with pytest.raises(exceptions.InvalidArgument):
        low.api.commit(request=request)
    low.commit(transaction=transaction)


@pytest.mark.parametrize("change", ["insert", "update", "delete"])
def test_any_change_of_a_kind_conflicts_with_a_query_of_it(low: Low, change: str) -> None:
    """Queries of the kind, of its count and of all kinds, but not of another kind."""
    low.put("K", 1, v=1)
    query = {"partition_id": {"project_id": PROJECT}, "project_id": PROJECT}
    transactions = [low.begin() for _ in range(4)]
    low.query("K", read_options={"transaction": transactions[0]})
    low.query(read_options={"transaction": transactions[1]})
    low.api.run_aggregation_query(
        request={
            **query,
            "read_options": {"transaction": transactions[2]},
            "aggregation_query": {"nested_query": {"kind": [{"name": "K"}]}, "aggregations": [{"count": {}}]},
        }
    )
    low.query("Other", read_options={"transaction": transactions[3]})
    low.commit(
        {
            "insert": {"insert": low.entity(low.key("K", 2))},
            "update": {"update": low.entity(low.key("K", 1), v=2)},
            "delete": {"delete": low.key("K", 1)},
        }[change]
    )
    for transaction in transactions[:3]:
        with pytest.raises(exceptions.Aborted):
            low.commit(transaction=transaction)
    low.commit(transaction=transactions[3])


def test_a_commit_that_fails_half_way_leaves_no_trace(low: Low) -> None:
    """Neither entities nor index entries nor names nor a version, and later commits work."""
    before = low.put("Old", 1, v=1).version
    with pytest.raises(exceptions.AlreadyExists):
        low.commit(
            {"insert": low.entity(low.key("New", None), fresh=1)},
            {"delete": low.key("Old", 3)},
            {"insert": low.entity(low.key("Old", 1))},
            single_use_transaction={},
        )
    assert [] == identifiers(low.query("New", filter=where("fresh", "EQUAL", 1)))
    low.put("New", 1, fresh=1)
    assert [1] == identifiers(low.query("New", filter=where("fresh", "EQUAL", 1)))
    read = 1  # the reading in between has taken a moment, which is a version, of a clock that stands
    assert before + 1 + read == low.lookup(low.key("New", 1)).found[0].version


# -- ids, reset, close


def test_a_reserved_id_is_never_allocated() -> None:
    """Two servers allocate the same sequence, unless the first of it is reserved."""
    first, second = DatastoreServer(), DatastoreServer()
    try:
        allocate = {"project_id": PROJECT, "keys": [{"path": [{"kind": "K"}]}]}
        taken = connect(first).api.allocate_ids(request=allocate).keys[0]
        other = connect(second)
        other.api.reserve_ids(request={"project_id": PROJECT, "keys": [taken]})
        assert taken.path[0].id != other.api.allocate_ids(request=allocate).keys[0].path[0].id
    finally:
        first.close()
        second.close()


def test_reset_empties_the_server_and_versions_go_on(server: DatastoreServer, low: Low) -> None:
    """Entities, queries and transactions are gone, and what is written then has a higher version."""
    version = low.put("K", 1, v=1).version
    transaction = low.begin()
    server.reset()
    assert [] == identifiers(low.query("K", filter=where("v", "EQUAL", 1)))
    with pytest.raises(exceptions.InvalidArgument):
        low.commit(transaction=transaction)
    assert version < low.put("K", 1, v=1).version
    assert [1] == identifiers(low.query("K", filter=where("v", "EQUAL", 1)))


def test_a_closed_server_answers_unavailable(server: DatastoreServer, low: Low) -> None:
    """Closing twice is no error."""
    server.close()
    server.close()
    request = {"project_id": PROJECT, "mode": "NON_TRANSACTIONAL"}
    with pytest.raises(exceptions.ServiceUnavailable):
        low.api.commit(request=request)


def test_no_two_commits_share_an_update_time(low: Low, clock: Clock) -> None:
    """Not even when the clock stands still or goes back."""
    times = []
    for number in range(3):
        times.append(low.put("K", 1, v=number).update_time)
        clock.now -= 10
    assert sorted(set(times)) == times


def test_an_update_time_guards_a_write(low: Low) -> None:
    """Conflict detection by update time works as by version."""
    old = low.put("K", 1, v=1).update_time
    new = low.put("K", 1, v=2).update_time
    fail = {"conflict_resolution_strategy": "FAIL"}
    with pytest.raises(exceptions.FailedPrecondition):
        low.commit({"update": low.entity(low.key("K", 1), v=3), "update_time": old, **fail})
    low.commit({"update": low.entity(low.key("K", 1), v=4), "update_time": new, **fail})
    assert 4 == plain(low.lookup(low.key("K", 1)).found[0].entity.properties["v"])


# -- threads


def test_threads_count_without_losing_one(server: DatastoreServer) -> None:
    """Many threads that read and write one counter in transactions lose no increment."""
    low = connect(server)
    low.put("Counter", 1, n=0)
    low.put("Aborts", 1)
    committed: list[int] = []

    def work() -> None:
        mine = connect(server)
        done = 0
        while done < 25:
            transaction = mine.begin()
            try:
                found = mine.lookup(mine.key("Counter", 1), read_options={"transaction": transaction})
                number = plain(found.found[0].entity.properties["n"])
                mine.commit(
                    {"update": mine.entity(mine.key("Counter", 1), n=number + 1)}, transaction=transaction
                )
            except exceptions.Aborted:
                continue
            done += 1
        committed.append(done)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [25] * 8 == committed
    assert 200 == plain(low.lookup(low.key("Counter", 1)).found[0].entity.properties["n"])


# -- files


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    """Entities, indexes, versions and the sequence of ids go on where they were."""
    path = tmp_path / "datastore.sqlite"
    server = DatastoreServer(path)
    low = connect(server)
    version = low.put("K", "a", v=1).version
    allocate = {"project_id": PROJECT, "keys": [{"path": [{"kind": "K"}]}]}
    taken = low.api.allocate_ids(request=allocate).keys[0].path[0].id
    server.close()
    server = DatastoreServer(path)
    low = connect(server)
    try:
        assert ["a"] == identifiers(low.query("K", filter=where("v", "EQUAL", 1)))
        assert version == low.lookup(low.key("K", "a")).found[0].version
        assert version < low.put("K", "a", v=2).version
        assert taken != low.api.allocate_ids(request=allocate).keys[0].path[0].id
    finally:
        server.close()


def test_a_file_is_opened_by_one_server_at_a_time(tmp_path: Path) -> None:
    """A second server gets an error rather than a chance to damage it."""
    server = DatastoreServer(tmp_path / "datastore.sqlite")
    try:
        with pytest.raises(OSError, match="in use"):
            DatastoreServer(tmp_path / "datastore.sqlite")
    finally:
        server.close()
    DatastoreServer(tmp_path / "datastore.sqlite").close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """It is left as it is, with a message that says what to do."""
    path = tmp_path / "datastore.sqlite"
    DatastoreServer(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(ValueError, match="newer"):
        DatastoreServer(path)


def test_a_file_that_is_no_database_of_ours_is_left_alone(tmp_path: Path) -> None:
    """Neither text nor the database of another program is written to."""
    text = tmp_path / "text"
    text.write_text("not a database " * 1000)
    with pytest.raises(OSError, match="cannot open"):
        DatastoreServer(text)
    assert "not a database " * 1000 == text.read_text()
    path = tmp_path / "other.sqlite"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE theirs (x)")
    database.close()
    with pytest.raises(ValueError, match="another program"):
        DatastoreServer(path)


def test_an_explosion_of_projected_arrays_is_refused(low: Low) -> None:
    """Two long arrays multiply: more than 20,000 rows of one entity are refused."""
    low.put("K", 1, x=list(range(200)), y=list(range(200)))
    with pytest.raises(exceptions.InvalidArgument):
        low.query("K", projection=properties("x", "y"))


def test_a_path_that_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    """A folder that is not there."""
    with pytest.raises(OSError, match="cannot open"):
        DatastoreServer(tmp_path / "nowhere" / "datastore.sqlite")


_WRITER = """
import sys
from datastore_backends import DatastoreBackend
from datastore_support import Low
from fantasm_gcp.local.datastore import DatastoreServer
low = Low(DatastoreBackend("local-inprocess", "", server=DatastoreServer(sys.argv[1]), namespace=""))
for number in range(1, 100_000):
    low.commit({"insert": low.entity(low.key("K", number), v=number)},
               {"upsert": low.entity(low.key("Last", 1), v=number)}, single_use_transaction={})
    print(number, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 37, 150])
def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    """After kill -9 every acknowledged commit is there, whole, and the indexes agree with the entities."""
    path = tmp_path / "datastore.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
    )
    assert writer.stdout is not None
    try:
        for _ in range(acknowledged):
            last = int(writer.stdout.readline())
    finally:
        writer.kill()
    printed = writer.stdout.read().split("\n")
    writer.stdout.close()
    writer.wait()
    last = max([last, *(int(line) for line in printed[:-1])])
    server = DatastoreServer(path)
    low = connect(server)
    try:
        count = low.aggregate("K", {"count": {}, "alias": "n"})["n"]
        assert count >= last
        assert count == plain(low.lookup(low.key("Last", 1)).found[0].entity.properties["v"])
        assert [count] == identifiers(low.query("K", order=by("-v"), limit=1))
        assert [1] == identifiers(
            low.query("Last", filter=where("v", "EQUAL", count), projection=properties("__key__"))
        )
    finally:
        server.close()
