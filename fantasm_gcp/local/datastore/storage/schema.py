"""The SQLite file's tables, opening it, and putting an empty one in its place."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress

SCHEMA_VERSION = 3

IN_MEMORY = ":memory:"
"""The name of a database that is in no file."""

_SCHEMA = """
CREATE TABLE scopes (
  id INTEGER PRIMARY KEY, project TEXT, database TEXT, namespace TEXT, UNIQUE (project, database, namespace));
CREATE TABLE kinds (id INTEGER PRIMARY KEY, scope INTEGER, name TEXT, UNIQUE (scope, name));
CREATE TABLE properties (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE entities (
  scope INTEGER, key BLOB, kind INTEGER, version INTEGER, created INTEGER, updated INTEGER, body BLOB,
  UNIQUE (scope, key));
CREATE TABLE entries (
  kind INTEGER, property INTEGER, value BLOB, key BLOB, several INTEGER,
  PRIMARY KEY (kind, property, value, key)) WITHOUT ROWID;
CREATE TABLE reserved (scope INTEGER, key BLOB, PRIMARY KEY (scope, key)) WITHOUT ROWID;
CREATE TABLE counters (version INTEGER, clock INTEGER, ids INTEGER);
INSERT INTO counters VALUES (0, 0, 0);
"""
_PAST = """
CREATE TABLE past (
  seq INTEGER PRIMARY KEY, scope INTEGER, key BLOB, kind INTEGER, version INTEGER, created INTEGER,
  updated INTEGER, body BLOB, until INTEGER);
CREATE INDEX past_by_key ON past (scope, key, until);
ALTER TABLE counters ADD COLUMN complete_from INTEGER NOT NULL DEFAULT 0;
UPDATE counters SET complete_from = clock;
"""
# Of what an older file holds nobody knows: all of it is taken for mixed.
_MIXED = """
CREATE TABLE mixed (kind INTEGER, property INTEGER, PRIMARY KEY (kind, property)) WITHOUT ROWID;
INSERT INTO mixed SELECT k.id, p.id FROM kinds k CROSS JOIN properties p
  WHERE EXISTS (SELECT 1 FROM entries WHERE kind = k.id AND property = p.id);
"""


def open_database(name: str) -> sqlite3.Connection:
    """The database of that file, for this process alone, with all tables.

    Raises ``OSError`` when it cannot be opened or is open elsewhere, ``ValueError`` when it was written by a
    newer version or by another program.
    """
    try:
        db = sqlite3.connect(
            name, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=512
        )
    except sqlite3.Error as error:
        raise OSError(f"cannot open {name}: {error}") from error
    try:
        _prepare(db, name)
    except sqlite3.Error as error:
        db.close()
        raise OSError(f"cannot open {name}, perhaps it is in use: {error}") from error
    except ValueError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, name: str) -> None:
    # One process owns the file: what is remembered in memory must not be changed by another.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    # Looked at before anything is set, which is kept in the file: it may be somebody else's.
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise ValueError(f"{name} has schema {version}, newer than {SCHEMA_VERSION}: use a newer fantasm-gcp")
    if version == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
        raise ValueError(f"{name} is another program's database: move it away, or name another place")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA cache_size = -65536")
    # 32 MB of log before it is folded into the file: many small scattered writes cost a third of it.
    db.execute("PRAGMA wal_autocheckpoint = 8000")
    if version < SCHEMA_VERSION:
        steps = "".join((_SCHEMA, _PAST, _MIXED)[version:])
        db.executescript(f"BEGIN; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")
    db.execute("BEGIN IMMEDIATE")  # takes the file, or finds that it is taken
    db.execute("COMMIT")


def empty_database(name: str, counters: tuple[int, int, int, int]) -> str:
    """Makes a file without entities beside a file: its name. ``counters`` are the columns of that table.

    Raises ``OSError`` when it cannot be written.
    """
    fresh = f"{name}-fresh"
    for leftover in (fresh, f"{fresh}-wal", f"{fresh}-journal"):
        with suppress(FileNotFoundError):
            os.remove(leftover)
    with closing(open_database(fresh)) as db:
        sql = "UPDATE counters SET version = ?, clock = ?, ids = ?, complete_from = ?"
        try:
            db.execute(sql, counters)
        except sqlite3.Error as error:
            raise OSError(f"cannot write {fresh}: {error}") from error
    return fresh


def put_in_place(fresh: str, name: str) -> bool:
    """Has a closed file take the place of another closed one, at once or, killed meanwhile, not at all.

    Answers false, and removes it, when the other one has left a log, which would be taken for that of the new
    one, or is in use.
    """
    with suppress(PermissionError):
        shutil.copymode(name, fresh)
        if not os.path.exists(f"{name}-wal"):
            os.replace(fresh, name)
            return True
    os.remove(fresh)
    return False
