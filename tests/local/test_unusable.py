"""Files and ports that cannot be used: what is said, and that nothing of somebody else is changed."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fantasm_gcp.local.dev.opening import OpenError, Opening
from fantasm_gcp.local.dev.servers import LocalServers
from fantasm_gcp.local.dev.unusable import explain_file, explain_port

FILES = ("datastore.sqlite", "tasks.sqlite")


def make_database(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in ("CREATE TABLE precious (x)", "INSERT INTO precious VALUES (1)", *statements):
        db.execute(statement)
    db.commit()
    db.close()


def refused(directory: Path) -> str:
    with pytest.raises(OpenError) as caught:
        LocalServers(directory)
    return str(caught.value)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("statements", "expected"),
    [((), "move it away"), (("PRAGMA user_version = 99",), "99")],
    ids=["foreign", "newer"],
)
def test_a_database_that_is_not_ours_is_left_as_it_is_byte_by_byte(
    tmp_path: Path, file: str, statements: tuple[str, ...], expected: str
) -> None:
    """Not even its mode of journal is another afterwards, and the words name the file once."""
    path = tmp_path / file
    make_database(path, *statements)
    before = path.read_bytes()
    said = refused(tmp_path)
    assert said.startswith(f"{path} cannot be used: it ")
    assert 1 == said.count(file)
    assert expected in said
    assert before == path.read_bytes()


def cut(path: Path) -> None:
    """As a copy that was not finished."""
    path.write_bytes(path.read_bytes()[:5000])


def scribble(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", [cut, scribble])
def test_a_damaged_file_is_told_with_what_to_do(
    tmp_path: Path, file: str, damage: Callable[[Path], None]
) -> None:
    """It is not deleted: somebody may want to save what is left."""
    LocalServers(tmp_path).close()
    damage(tmp_path / file)
    said = refused(tmp_path)
    assert said.startswith(f"{tmp_path / file} cannot be used: ")
    assert "move it away, or choose another directory with --data" in said


@pytest.mark.parametrize("file", FILES)
def test_a_directory_where_a_file_should_be_is_told(tmp_path: Path, file: str) -> None:
    """SQLite says only that it cannot open it."""
    (tmp_path / file).mkdir()
    expected = f"{tmp_path / file} cannot be used: it is no file; choose another directory with --data"
    assert expected == refused(tmp_path)


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    """SQLite cannot tell a full database from a full disk; the person can."""
    error = OSError("cannot open it")
    error.__cause__ = sqlite3.OperationalError("database or disk is full")
    path = tmp_path / "tasks.sqlite"
    assert f"{path} cannot be used: the disk is full" == str(explain_file(path, error))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", "192.0.2.1 is no address of this machine"),
        ("no host at all", "the host no host at all is not known"),
    ],
)
def test_a_host_that_is_not_here_is_not_taken_for_a_port_in_use(host: str, expected: str) -> None:
    """Nothing listens there that could be stopped."""
    with pytest.raises(OpenError, match=expected):
        LocalServers(None, Opening(host=host))


def test_a_port_is_only_taken_for_in_use_when_it_is() -> None:
    """A process that may open no more files has nothing to stop that listens there."""
    said = str(explain_port("127.0.0.1", 8081, OSError(errno.EMFILE, "no")))
    assert "port 8081 of 127.0.0.1 cannot be used (Too many open files)" == said


def test_a_port_that_needs_rights_is_told() -> None:
    """Which ports those are is the system's business; by default they end at 1023."""
    said = str(explain_port("127.0.0.1", 80, PermissionError(errno.EACCES, "no")))
    assert "choose one above 1023" in said
