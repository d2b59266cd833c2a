"""What the file keeps: over a close, over a kill, and against other files."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tasks_support import LOCATION, QUEUE, Clock, client_of, http_task, refusal, task_name

import fantasm_gcp
from fantasm_gcp.errors import SettingsError
from fantasm_gcp.local.tasks import Response, TasksServer
from fantasm_gcp.local.tasks.storage.store import Store

CHILD = """
import sys
from fantasm_gcp.local.tasks import Response, TasksServer
from fantasm_gcp.local.tasks import messages as raw

server = TasksServer(sys.argv[1], clock=lambda: 1000.0)
create = server.service.methods["CreateTask"].call
for task_id in ("done", "killed", "waiting"):
    task = raw.Task(name=f"{sys.argv[2]}/tasks/{task_id}", http_request={"url": "http://worker.example/"})
    create(raw.CreateTaskRequest(parent=sys.argv[2], task=task))
server.finish(server.lease(), Response(200))
attempt = server.lease()
print(attempt.task, flush=True)
sys.stdin.read()
"""


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    """An attempt in flight is delivered again, and counts; a success stays a success; no name is free."""
    path = tmp_path / "tasks.db"
    root = Path(fantasm_gcp.__file__).parent.parent
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), QUEUE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert child.stdout is not None
    in_flight = child.stdout.readline().strip()
    child.kill()
    child.communicate()

    server = TasksServer(path, clock=Clock(1000.5))
    client = client_of(server)
    assert in_flight == task_name("killed")
    assert [task_name("killed"), task_name("waiting")] == server.due()
    attempt = server.lease()
    assert attempt is not None
    assert tuple(
        attempt.delivery.headers[f"X-CloudTasks-Task{name}"]
        for name in ("RetryCount", "ExecutionCount", "PreviousResponse")
    ) == ("1", "0", "504")
    assert "completed or was deleted" in refusal(lambda: client.get_task(name=task_name("done")))[1]
    assert refusal(lambda: client.create_task(parent=QUEUE, task=http_task("done")))[0] == "ALREADY_EXISTS"
    server.close()


def test_an_attempt_lost_in_a_crash_is_tried_again_even_if_it_was_the_last(tmp_path: Path) -> None:
    """Nobody knows how it ended; only its next failure ends the task."""
    path = tmp_path / "tasks.db"
    clock = Clock()
    server = TasksServer(path, clock=clock)
    client_of(server).create_task(parent=QUEUE, task=http_task("one", retry_config={"max_attempts": 1}))
    assert server.lease() is not None
    server.close()

    server = TasksServer(path, clock=clock)
    attempt = server.lease()

    assert attempt is not None
    assert server.finish(attempt, Response(500)).result == "exhausted"
    server.close()


def test_queues_and_counts_outlive_a_close(tmp_path: Path) -> None:
    """Configuration, state, attempts and the names of deleted queues."""
    path = tmp_path / "tasks.db"
    clock = Clock()
    server = TasksServer(str(path), clock=clock)
    client = client_of(server)
    client.create_queue(
        parent=LOCATION, queue={"name": QUEUE, "rate_limits": {"max_concurrent_dispatches": 3}}
    )
    client.create_queue(parent=LOCATION, queue={"name": f"{QUEUE}2"})
    client.delete_queue(name=f"{QUEUE}2")
    client.create_task(parent=QUEUE, task=http_task("one"))
    attempt = server.lease()
    assert attempt is not None
    server.finish(attempt, Response(404))
    queue, task = client.pause_queue(name=QUEUE), client.get_task(name=task_name("one"))
    server.close()

    server = TasksServer(path, clock=clock)
    client = client_of(server)

    assert (queue, task) == (client.get_queue(name=QUEUE), client.get_task(name=task_name("one")))
    again = {"name": f"{QUEUE}2"}
    assert refusal(lambda: client.create_queue(parent=LOCATION, queue=again))[0] == "FAILED_PRECONDITION"
    client.resume_queue(name=QUEUE)
    clock.advance(1)
    attempt = server.lease()
    assert attempt is not None
    assert attempt.delivery.headers["X-CloudTasks-TaskPreviousResponse"] == "404"
    server.close()


def test_numbers_of_tasks_are_not_given_again_after_a_reset(tmp_path: Path) -> None:
    """An attempt of before the reset can never be taken for one of after it."""
    path = tmp_path / "tasks.db"
    server = TasksServer(path, clock=Clock())
    seqs = []
    for _ in range(2):
        client_of(server).create_task(parent=QUEUE, task=http_task("one"))
        attempt = server.lease()
        assert attempt is not None
        seqs.append(attempt.seq)
        server.reset()
    server.close()

    assert seqs[0] < seqs[1]


def test_a_full_disk_is_told_as_such_and_done_with_once_there_is_room() -> None:
    """It ends the transaction itself: that there is none to roll back is not what went wrong."""
    store = Store(None)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"), store.transaction():
        store.add_task("large", 1, 0, 0, bytes(1_000_000))
    store._db.execute("PRAGMA max_page_count = 100000")
    with store.transaction():
        store.add_task("large", 1, 0, 0, bytes(1_000_000))
    assert 1 == store.count(None)
    store.close()


def test_a_file_belongs_to_one_server_at_a_time(tmp_path: Path) -> None:
    """The second is told so; when the first has closed, it may have it."""
    path = tmp_path / "tasks.db"
    first = TasksServer(path)
    with pytest.raises(OSError, match="another server has it open"):
        TasksServer(path)
    first.close()

    TasksServer(path).close()


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    """A text, a database of something else, another version: refused, and not changed."""
    text = tmp_path / "text"
    text.write_text("not a database, and long enough to be taken for the header of one " * 20)
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE precious (x)")
    db.close()
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    before = text.read_text()
    for path in (text, foreign, newer):
        with pytest.raises(SettingsError, match=path.name):
            TasksServer(path)

    assert before == text.read_text()
    with sqlite3.connect(foreign) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]
    db.close()


def test_a_file_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    """The folder is missing."""
    with pytest.raises(OSError, match="cannot use"):
        TasksServer(tmp_path / "none" / "tasks.db")


def test_a_new_file_says_its_format(tmp_path: Path) -> None:
    """The version of the tables is the file's user_version."""
    path = tmp_path / "tasks.db"
    TasksServer(path).close()
    with sqlite3.connect(path) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()

    assert version == 2
