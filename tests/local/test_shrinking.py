"""A database that was emptied gives back what it took."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tasks_support import QUEUE, client_of, http_task

from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.local.tasks.storage.shrinking import shrink

LARGE = 18_000_000


def size(directory: Path) -> int:
    return sum(each.stat().st_size for each in directory.iterdir())


def test_a_queue_server_that_was_reset_is_small(tmp_path: Path) -> None:
    """Numbers of tasks go on, though the tables are written anew."""
    server = TasksServer(tmp_path / "tasks.sqlite")
    client = client_of(server)
    client.create_task(parent=QUEUE, task=http_task())
    before = server.lease()
    server._state.store.add_task("large", 1, 0, 0, bytes(LARGE))
    assert size(tmp_path) > LARGE
    server.reset()
    assert size(tmp_path) < 1_000_000
    client.create_task(parent=QUEUE, task=http_task())
    after = server.lease()
    assert before is not None
    assert after is not None
    assert before.seq < after.seq
    server.close()


def test_a_disk_too_full_to_shrink_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """What is free is used again, and the log says why the file stays large."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000)); DELETE FROM t;")
    db.execute("PRAGMA query_only = ON")
    shrink(db, most_free=1)
    assert 1 == len(caplog.messages)
    assert caplog.messages[0].startswith("a file stays as large as it was: ")
    db.execute("PRAGMA query_only = OFF")
    shrink(db, most_free=1)
    assert (0,) == db.execute("PRAGMA freelist_count").fetchone()
    db.close()
