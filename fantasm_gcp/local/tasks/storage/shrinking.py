"""Giving back to the disk what a database that was emptied no longer needs."""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

log = logging.getLogger("fantasm_gcp.local")

MOST_FREE: Final = 4096
"""Pages, of 4 KiB each, that may lie free in a file: a test that resets often should not wait for a disk."""


def shrink(db: sqlite3.Connection, most_free: int = MOST_FREE) -> None:
    """Makes the file, or the memory, as small as what is in it, if more than so many pages are free.

    Called outside a transaction. SQLite writes what is left anew, so this is for a database that has next to
    nothing in it. A disk that is too full for that is no error: the free pages are used again.
    """
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    if free <= most_free:
        return
    try:
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        log.warning("a file stays as large as it was: %s", error)
