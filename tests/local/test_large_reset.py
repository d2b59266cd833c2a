"""Deleting everything in a large file, which is replaced by an empty one."""

from __future__ import annotations

from pathlib import Path

import pytest
from datastore_backends import DatastoreBackend
from datastore_support import Low, by, identifiers, where

from fantasm_gcp.loader import CompositeIndex
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.storage.schema import put_in_place

INDEX = CompositeIndex("K", (("a", False), ("b", True)), ancestor=False)
LARGE = {"string_value": "x" * 1_000_000, "exclude_from_indexes": True}


def opened(path: Path) -> tuple[Low, DatastoreServer]:
    server = DatastoreServer(path, indexes=(INDEX,))
    return Low(DatastoreBackend("local-inprocess", "", server=server, namespace="")), server


def test_a_reset_of_a_large_file_leaves_a_small_one(tmp_path: Path) -> None:
    """It is locked as before; indexes stay declared, versions and ids go on, and what follows is kept.

    What a reset that was killed has left beside the file is in nobody's way.
    """
    path = tmp_path / "file"
    (tmp_path / "file-fresh").write_bytes(b"half a file")
    for log in ("wal", "journal"):
        (tmp_path / f"file-fresh-{log}").write_bytes(b"half a log")
    low, server = opened(path)
    for number in range(1, 13):
        version = low.put("K", number, a=1, b=number, text=LARGE).version
    taken = {low.put("L", None).key.path[0].id for _ in range(20)}
    assert sum(part.stat().st_size for part in tmp_path.iterdir()) > 12_000_000
    server.reset()
    assert path.stat().st_size < 1_000_000
    assert [] == identifiers(low.query("K"))
    assert [] == identifiers(low.query("__kind__"))
    with pytest.raises(OSError, match="in use"):
        DatastoreServer(path)
    assert version < low.put("K", 1, a=1, b=1).version
    assert not taken & {low.put("L", None).key.path[0].id for _ in range(20)}
    low.put("K", 2, a=1, b=2)
    server.close()
    assert ["file"] == [left.name for left in tmp_path.iterdir()]
    low, server = opened(path)
    assert [2, 1] == identifiers(low.query("K", filter=where("a", "EQUAL", 1), order=by("-b")))
    server.close()


def test_a_log_that_is_left_is_never_taken_for_that_of_the_new_file(tmp_path: Path) -> None:
    """The old file stays, and the new one goes."""
    for name in ("old", "old-wal", "new"):
        (tmp_path / name).write_text(name)
    assert not put_in_place(str(tmp_path / "new"), str(tmp_path / "old"))
    assert {"old": "old", "old-wal": "old-wal"} == {
        left.name: left.read_text() for left in tmp_path.iterdir()
    }
    (tmp_path / "new").write_text("new")
    (tmp_path / "old-wal").unlink()
    assert put_in_place(str(tmp_path / "new"), str(tmp_path / "old"))
    assert {"old": "new"} == {left.name: left.read_text() for left in tmp_path.iterdir()}


def test_the_name_that_means_memory_to_sqlite_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller who knows it has entities in memory, and no file of that name."""
    monkeypatch.chdir(tmp_path)
    server = DatastoreServer(":memory:")
    Low(DatastoreBackend("local-inprocess", "", server=server, namespace="")).put("K", 1, p=1)
    server.close()
    assert [] == list(tmp_path.iterdir())
