"""Queues, tasks and tombstones in one SQLite file, or in memory.

All times are whole microseconds. The caller holds one lock around every call: there is one connection, and
nothing here looks at the clock. A file belongs to one open store at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fantasm_gcp.errors import SettingsError
from fantasm_gcp.local.tasks.storage.shrinking import shrink

FORMAT = 2
"""Version of the tables, kept in the file as its ``user_version``; files of format 1 are brought up to it."""

NO_ANSWER = -1
"""What stands for the status of an attempt that got no answer in time."""

NOT_REACHED = 0
"""What stands for the status of an attempt whose request did not get through: nobody listens, or hung up."""

UNANSWERED = frozenset({NO_ANSWER, NOT_REACHED})
"""What stands for no status of an answer."""

_TABLES_1 = """
CREATE TABLE queues (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, queue BLOB NOT NULL);
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    queue INTEGER NOT NULL,
    due INTEGER NOT NULL,
    created INTEGER NOT NULL,
    leased INTEGER NOT NULL DEFAULT 0,
    dispatches INTEGER NOT NULL DEFAULT 0,
    responses INTEGER NOT NULL DEFAULT 0,
    executions INTEGER NOT NULL DEFAULT 0,
    previous INTEGER,
    first_dispatch INTEGER,
    last_schedule INTEGER,
    last_dispatch INTEGER,
    last_response INTEGER,
    task BLOB NOT NULL
);
CREATE INDEX waiting ON tasks (queue, leased, due);
CREATE TABLE tombstones (name TEXT PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
"""

# The shift of the clock, in one row; how long names of a queue's tasks stay taken, where it has its own say;
# and what lists and counts the tasks of one queue without reading those of the others.
_TABLES_2 = """
CREATE TABLE clock (shift INTEGER NOT NULL);
INSERT INTO clock VALUES (0);
ALTER TABLE queues ADD COLUMN tombstone INTEGER;
CREATE INDEX listed ON tasks (queue);
"""

_ROW = (
    "seq, name, queue, due, created, leased, dispatches, responses, executions, previous, "
    "first_dispatch, last_schedule, last_dispatch, last_response, task"
)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as stored; ``seq`` is given once and never again, ``name`` may return after its tombstone.

    ``dispatches`` counts attempts begun, ``responses`` those answered, ``executions`` those that the header
    TaskExecutionCount counts. ``previous`` is the status of the last finished attempt.
    """

    seq: int
    name: str
    queue: int
    due: int
    created: int
    leased: int
    dispatches: int
    responses: int
    executions: int
    previous: int | None
    first_dispatch: int | None
    last_schedule: int | None
    last_dispatch: int | None
    last_response: int | None
    task: bytes


class Store:
    """The tables and every statement on them."""

    def __init__(self, path: str | Path | None) -> None:
        """Opens or creates the file; None keeps all in memory.

        Raises ``OSError`` when another process has the file open, ``SettingsError`` when it is not a file of
        this version. Attempts that were in flight when the file was last closed are as if unanswered, and
        their tasks are due when they were.
        """
        self._db = _connect(path)
        try:
            # An exclusive file needs no shared memory beside it and refuses a second server.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            version = self._check(path)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._prepare(version)
        except sqlite3.Error as error:
            self._db.close()
            raise _explain(path, error) from error
        except SettingsError:
            self._db.close()
            raise

    def _check(self, path: str | Path | None) -> int:
        """The format of the file, 0 of an empty one; it is not changed, for it may be somebody else's."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            (foreign,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if foreign:
                raise SettingsError(
                    f"{path} is a database of something else: move it away, or name another place"
                )
        elif version not in range(1, FORMAT + 1):
            raise SettingsError(
                f"{path} has format {version} and this version reads formats 1 to {FORMAT}: "
                "delete the file, or use the version that wrote it"
            )
        return int(version)

    def _prepare(self, version: int) -> None:
        if version == 0:
            self._bring_up(_TABLES_1 + _TABLES_2)
        elif version == 1:
            self._bring_up(_TABLES_2)
        self._db.execute("UPDATE tasks SET leased = 0, previous = ? WHERE leased = 1", (NO_ANSWER,))

    def _bring_up(self, statements: str) -> None:
        """Makes the tables of this version; a crash on the way leaves the file as it was."""
        self._db.executescript(f"BEGIN; {statements} PRAGMA user_version = {FORMAT}; COMMIT;")

    def close(self) -> None:
        """Closes the file; nothing else may be called after it."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the statements inside, or none of them when an exception passes. Does not nest."""
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk, for one, has ended it already
                self._db.execute("ROLLBACK")
            raise

    def clear(self) -> None:
        """Forgets everything, tombstones and the clock's shift too.

        Numbers that were given to tasks are still not given again.
        """
        with self.transaction():
            self.keep_shift(0)
            for table in ("tasks", "queues", "tombstones"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608  # the three names above
        shrink(self._db)

    # The clock.

    def shift(self) -> int:
        """By how much the clock was moved ahead of the one that was given."""
        (shift,) = self._db.execute("SELECT shift FROM clock").fetchone()
        return int(shift)

    def keep_shift(self, shift: int) -> None:
        """Stores by how much the clock was moved ahead."""
        self._db.execute("UPDATE clock SET shift = ?", (shift,))

    # Queues.

    def queues(self) -> list[tuple[int, bytes, int | None]]:
        """Every queue: its number, its serialized message, and how long names of its tasks stay taken."""
        return self._db.execute("SELECT id, queue, tombstone FROM queues ORDER BY id").fetchall()

    def add_queue(self, name: str, message: bytes, tombstone: int | None = None) -> int:
        """Stores a new queue and answers its number; ``tombstone`` None leaves that time to the server."""
        cursor = self._db.execute(
            "INSERT INTO queues (name, queue, tombstone) VALUES (?, ?, ?)", (name, message, tombstone)
        )
        assert cursor.lastrowid is not None  # an INSERT always sets it
        return cursor.lastrowid

    def replace_queue(self, queue: int, message: bytes) -> None:
        """Stores the new message of a queue."""
        self._db.execute("UPDATE queues SET queue = ? WHERE id = ?", (message, queue))

    def keep_tombstone(self, queue: int, tombstone: int | None) -> None:
        """Stores how long names of a queue's tasks stay taken; None leaves that to the server."""
        self._db.execute("UPDATE queues SET tombstone = ? WHERE id = ?", (tombstone, queue))

    def remove_queue(self, queue: int) -> None:
        """Deletes a queue; its tasks are deleted apart, with :meth:`purge`."""
        self._db.execute("DELETE FROM queues WHERE id = ?", (queue,))

    # Tombstones: of tasks and of queues, whose names cannot be equal.

    def bury(self, name: str, expires: int) -> None:
        """Keeps a name from being used before ``expires``."""
        self._db.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?)", (name, expires))

    def unbury(self, name: str) -> None:
        """Lets a name be used again."""
        self._db.execute("DELETE FROM tombstones WHERE name = ?", (name,))

    def buried(self, name: str, now: int) -> bool:
        """Whether a name may not be used yet."""
        row = self._db.execute("SELECT expires FROM tombstones WHERE name = ?", (name,)).fetchone()
        return row is not None and row[0] > now

    def sweep(self, now: int, oldest: int) -> None:
        """Drops expired tombstones, and the tasks created before ``oldest`` that are not in flight."""
        with self.transaction():
            self._db.execute("DELETE FROM tombstones WHERE expires <= ?", (now,))
            self._db.execute("DELETE FROM tasks WHERE created < ? AND leased = 0", (oldest,))

    # Tasks.

    def add_task(self, name: str, queue: int, due: int, created: int, task: bytes) -> int | None:
        """Stores a task and answers its number; None when there is a task of that name."""
        try:
            cursor = self._db.execute(
                "INSERT INTO tasks (name, queue, due, created, task) VALUES (?, ?, ?, ?, ?)",
                (name, queue, due, created, task),
            )
        except sqlite3.IntegrityError:
            return None
        return cursor.lastrowid

    def task(self, name: str) -> TaskRow | None:
        """The task of that name."""
        row = self._db.execute(f"SELECT {_ROW} FROM tasks WHERE name = ?", (name,)).fetchone()  # noqa: S608  # a constant
        return None if row is None else TaskRow(*row)

    def task_numbered(self, seq: int) -> TaskRow | None:
        """The task of that number."""
        row = self._db.execute(f"SELECT {_ROW} FROM tasks WHERE seq = ?", (seq,)).fetchone()  # noqa: S608  # a constant
        return None if row is None else TaskRow(*row)

    def page(self, queue: int, after: int, limit: int, most_bytes: int) -> tuple[list[TaskRow], bool]:
        """Up to ``limit`` tasks of a queue with numbers above ``after``, in order, and whether more follow.

        Fewer when their messages have more than ``most_bytes`` together, but one at least, if there is one.
        """
        found = self._db.execute(
            f"SELECT {_ROW} FROM tasks WHERE queue = ? AND seq > ? ORDER BY seq LIMIT ?",  # noqa: S608  # a constant
            (queue, after, limit + 1),
        )
        rows: list[TaskRow] = []
        size = 0
        with closing(found):
            for row in found:
                task = TaskRow(*row)
                size += len(task.task)
                if rows and (len(rows) == limit or size > most_bytes):
                    return rows, True
                rows.append(task)
        return rows, False

    def head(self, queue: int) -> tuple[int, int] | None:
        """When the first waiting task of a queue is due, and its number."""
        found: tuple[int, int] | None = self._db.execute(
            "SELECT due, seq FROM tasks WHERE queue = ? AND leased = 0 ORDER BY due, seq LIMIT 1", (queue,)
        ).fetchone()
        return found

    def due(self, queue: int, now: int, limit: int) -> list[tuple[int, int, str]]:
        """Up to ``limit`` (-1: all) waiting tasks of a queue that are due: due time, number, name."""
        return self._db.execute(
            "SELECT due, seq, name FROM tasks WHERE queue = ? AND leased = 0 AND due <= ? "
            "ORDER BY due, seq LIMIT ?",
            (queue, now, limit),
        ).fetchall()

    def count(self, queue: int | None) -> int:
        """How many tasks a queue has, or all queues together."""
        if queue is None:
            row = self._db.execute("SELECT count(*) FROM tasks").fetchone()
        else:
            row = self._db.execute("SELECT count(*) FROM tasks WHERE queue = ?", (queue,)).fetchone()
        return int(row[0])

    def counts(self) -> dict[int, int]:
        """How many tasks each queue has, by its number; a queue without tasks is left out."""
        return dict(self._db.execute("SELECT queue, count(*) FROM tasks GROUP BY queue").fetchall())

    def begin_attempt(self, seq: int, now: int) -> None:
        """Records that an attempt has begun: the task is in flight and its count is one higher."""
        self._db.execute(
            "UPDATE tasks SET leased = 1, dispatches = dispatches + 1, "
            "first_dispatch = coalesce(first_dispatch, :now), "
            "last_schedule = due, last_dispatch = :now, last_response = NULL WHERE seq = :seq",
            {"now": now, "seq": seq},
        )

    def end_attempt(self, row: TaskRow, now: int, status: int, executions: int, due: int | None) -> None:
        """Records a failed attempt; ``due`` None leaves the task in flight, for another attempt holds it."""
        self._db.execute(
            "UPDATE tasks SET responses = ?, executions = ?, previous = ?, last_response = ?, "
            "due = ?, leased = ? WHERE seq = ?",
            (
                row.responses + (status not in UNANSWERED),
                executions,
                status,
                now,
                row.due if due is None else due,
                int(due is None),
                row.seq,
            ),
        )

    def remove_task(self, row: TaskRow, expires: int) -> None:
        """Deletes a task and keeps its name from being used before ``expires``."""
        with self.transaction():
            self.drop_task(row, expires)

    def drop_task(self, row: TaskRow, expires: int) -> None:
        """As :meth:`remove_task`, inside a transaction of the caller."""
        self._db.execute("DELETE FROM tasks WHERE seq = ?", (row.seq,))
        self.bury(row.name, expires)

    def purge(self, queue: int, expires: int) -> None:
        """Deletes all tasks of a queue, in flight or not, inside a transaction of the caller."""
        self._db.execute(
            # In the order of the table it goes into: three times as fast, for many.
            "INSERT OR REPLACE INTO tombstones SELECT name, ? FROM tasks WHERE queue = ? ORDER BY name",
            (expires, queue),
        )
        self._db.execute("DELETE FROM tasks WHERE queue = ?", (queue,))


def _connect(path: str | Path | None) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            ":memory:" if path is None else path, timeout=0, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _explain(path, error) from error


def _explain(path: str | Path | None, error: sqlite3.Error) -> Exception:
    if isinstance(error, sqlite3.OperationalError):
        hint = ": another server has it open" if "locked" in str(error) else ""
        return OSError(f"cannot use {path}{hint} ({error})")
    return SettingsError(f"{path} is not a file of the local Cloud Tasks server ({error})")
