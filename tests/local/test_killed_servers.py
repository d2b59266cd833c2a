"""What clients were told is written outlives the process that wrote it, killed at any moment."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.forked_servers import DATASTORE_FILE, TASKS_FILE, ForkedServers
from benchmarks.kill_servers import Figures, kill_servers
from benchmarks.survivors import wrong_entities, wrong_tasks
from benchmarks.writers import LOCATION, Acknowledged, EntityWriter, TaskWriter
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.tasks import TasksServer

KILLS = 50
SECONDS = 120.0


def test_nothing_acknowledged_is_lost_and_nothing_is_there_by_halves(tmp_path: Path) -> None:
    """Fifty deaths by SIGKILL under writing clients, each on the files of the one before."""
    seed = random.SystemRandom().randrange(10**6)
    figures = kill_servers(tmp_path, KILLS, seed, SECONDS)
    assert ([], KILLS) == (figures.faults, figures.kills), f"seed {seed}"
    assert KILLS < figures.acknowledged
    assert 0 < figures.delivered


def test_a_run_without_kills_is_no_fault(tmp_path: Path) -> None:
    """Nothing is started for nothing."""
    assert Figures() == kill_servers(tmp_path, 0, 1, SECONDS)


def test_time_that_is_up_is_a_fault(tmp_path: Path) -> None:
    """A run that is cut short does not pass for one that was right."""
    assert ["the time is up: -1 s"] == kill_servers(tmp_path, 5, 1, -1).faults


def test_servers_that_do_not_start_or_die_by_themselves_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run never waits for servers that are not there, and never takes another death for its own."""
    with ForkedServers("http://127.0.0.1:9") as servers:
        with pytest.raises(RuntimeError, match="the servers do not start on missing"):
            servers.start(tmp_path / "missing")
        with pytest.raises(RuntimeError, match="had ended before they were killed"):
            servers.kill()
        assert servers.start(tmp_path).datastore_host.startswith("127.0.0.1:")
        servers.kill()
    assert "Error" in capfd.readouterr().err


def test_what_is_missing_from_the_files_is_a_fault(tmp_path: Path) -> None:
    """The judgement itself: an entity, an id, a waiting, a due and a deleted task of which nothing is left."""
    DatastoreServer(tmp_path / DATASTORE_FILE).close()
    nobody = Acknowledged(1)
    writer = EntityWriter("", "space", "e", "", nobody, state={"e1": 5, "e2": None}, ids={7: 1})
    assert ["e1 is None, and 5 was acknowledged", "Numbered 7 is None, and 1 was acknowledged"] == (
        wrong_entities(tmp_path, "space", [writer])
    )
    queue = f"{LOCATION}/queues/q"
    with_queue(tmp_path, queue)
    tasks = TaskWriter("", queue, "t", "", "", 0, nobody)
    waiting, due, done, deleted = (f"{queue}/tasks/{name}" for name in ("waiting", "due", "done", "deleted"))
    tasks.waiting, tasks.due, tasks.deleted = {waiting}, {due, done}, {deleted}
    assert [
        f"{waiting} is lost",
        f"{due} is lost, and was never delivered",
        f"the name {deleted} is free again",
        f"the name {done} is free again",
    ] == wrong_tasks(tmp_path, queue, [tasks], {"done"})


def with_queue(directory: Path, queue: str) -> None:
    """Makes the file of a Cloud Tasks server that has one queue."""
    server = TasksServer(directory / TASKS_FILE)
    create = server.service.methods["CreateQueue"]
    create.call(create.request(parent=LOCATION, queue={"name": queue}))
    server.close()
