"""Files that fail while they are served, for a disk that is full: what callers are told, and what is not lost.

SQLite refuses to write while ``PRAGMA query_only`` is on, with the same class of error as a full disk.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator

import pytest
from tasks_support import QUEUE, app_engine_task, client_of, refusal
from werkzeug.test import Client as Web

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.dev.front import build_datastore_front, build_tasks_front
from fantasm_gcp.local.tasks import Delivery, Dispatcher, Response, TasksServer
from fantasm_gcp.local.tasks.configuration.tokens import Issuer
from fantasm_gcp.local.tasks.storage.store import Store

PATIENCE = 30.0
READ_ONLY = "attempt to write a readonly database"


@pytest.fixture
def server() -> Iterator[TasksServer]:
    server = TasksServer()
    yield server
    server.close()


def fail(server: TasksServer, failing: bool) -> None:
    """The store fails from now on, or does no longer."""
    with server._state.lock:
        server._state.store._db.execute(f"PRAGMA query_only = {'ON' if failing else 'OFF'}")


class Lines(logging.Handler):
    """The lines of a log, and when the first and the next one are there."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._log = logging.getLogger(name)
        self.lines: list[logging.LogRecord] = []
        self.came = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record)
        self.came.release()

    def __enter__(self) -> Lines:
        self._log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)


def told_until_idle(server: TasksServer, dispatcher: Dispatcher) -> list[logging.LogRecord]:
    """What the log says of a store that fails when the dispatcher starts or soon after, and then no longer."""
    with Lines("fantasm_gcp.local.tasks") as log:
        dispatcher.start()
        assert log.came.acquire(timeout=PATIENCE)
        assert not log.came.acquire(timeout=0.05), "each try is told"
        fail(server, False)
        assert server.wait_idle(PATIENCE, scheduled=True)
    assert dispatcher.stop(PATIENCE)
    return log.lines


def test_a_caller_is_told_what_the_file_said_and_may_go_on_later(
    server: TasksServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is one line in the log, too, without the places in this program where it was met."""
    client = client_of(server)
    client.create_task(parent=QUEUE, task=app_engine_task())
    fail(server, True)
    expected = "INTERNAL", f"the local Cloud Tasks server's file failed: {READ_ONLY}"
    assert expected == refusal(lambda: client.create_task(parent=QUEUE, task=app_engine_task()))
    assert [f"the file of Cloud Tasks failed: {READ_ONLY}"] == caplog.messages
    assert caplog.records[0].exc_info is None
    assert 1 == len(list(client.list_tasks(parent=QUEUE)))
    fail(server, False)
    client.create_task(parent=QUEUE, task=app_engine_task())
    assert 2 == server.depth()


def test_a_control_says_what_the_file_said(server: TasksServer) -> None:
    """So does the button, instead of a defect of this program."""
    web = Web(build_tasks_front(server, Issuer()))
    fail(server, True)
    answer = web.post("/api/clock/advance", json={"seconds": 1}, base_url="http://localhost")
    assert (500, f"the local Cloud Tasks server's file failed: {READ_ONLY}") == (
        answer.status_code,
        answer.get_json()["error"],
    )
    fail(server, False)
    assert 200 == web.post("/api/reset", base_url="http://localhost").status_code


def test_a_datastore_that_cannot_be_emptied_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """In one line, to who asked and in the log."""
    server = DatastoreServer()
    web = Web(build_datastore_front(server))
    server._store._db.execute("PRAGMA query_only = ON")
    answer = web.post("/reset", base_url="http://localhost")
    assert (500, f"the local Datastore's file failed: {READ_ONLY}\n") == (answer.status_code, answer.text)
    assert [answer.text.rstrip()] == caplog.messages
    server._store._db.execute("PRAGMA query_only = OFF")
    assert "Ok\n" == web.post("/reset", base_url="http://localhost").text
    server.close()


def test_an_attempt_that_ends_while_the_store_fails_ends_when_it_works_again(server: TasksServer) -> None:
    """The worker is not called twice, the task is not held until a restart, and the log says it once."""
    called: list[Delivery] = []

    def deliver(delivery: Delivery) -> Response:
        called.append(delivery)
        fail(server, True)
        return Response(200)

    client_of(server).create_task(parent=QUEUE, task=app_engine_task())
    lines = told_until_idle(server, Dispatcher(server, deliver, threads=2, pause=0.001))
    assert (1, 0) == (len(called), server.depth())
    assert [f"the local Cloud Tasks server cannot go on: {READ_ONLY}; it tries again every 0.001 s"] == [
        record.getMessage() for record in lines
    ]
    assert not lines[0].exc_info


def test_an_attempt_that_cannot_begin_begins_when_the_store_works_again(server: TasksServer) -> None:
    """Of many threads that would begin it, one tries, and says so once."""
    client_of(server).create_task(parent=QUEUE, task=app_engine_task())
    fail(server, True)
    told_until_idle(server, Dispatcher(server, lambda _: Response(200), threads=8, pause=0.001))
    assert 0 == server.depth()


def test_a_dispatcher_stops_though_the_store_fails(server: TasksServer) -> None:
    """What has ended meanwhile stays in flight, and is delivered again at the next start."""
    reached = threading.Event()

    def deliver(_: Delivery) -> Response:
        fail(server, True)
        reached.set()
        return Response(200)

    client_of(server).create_task(parent=QUEUE, task=app_engine_task())
    dispatcher = Dispatcher(server, deliver, threads=2, pause=3600)
    dispatcher.start()
    assert reached.wait(PATIENCE)
    assert dispatcher.stop(PATIENCE)
    assert 1 == server.in_flight()


def test_a_commit_that_fails_leaves_no_transaction_open() -> None:
    """Some failures of COMMIT end the transaction, others leave that to who began it."""
    store = Store(None)
    store._db.executescript(
        "PRAGMA foreign_keys = ON; CREATE TABLE parents (id INTEGER PRIMARY KEY);"
        "CREATE TABLE children (parent REFERENCES parents DEFERRABLE INITIALLY DEFERRED);"
    )
    with pytest.raises(sqlite3.IntegrityError), store.transaction():
        store._db.execute("INSERT INTO children VALUES (1)")
    with store.transaction():
        store.add_task("name", 1, 0, 0, b"")
    assert 1 == store.count(None)
    store.close()
