"""Why a file of the data or a port cannot be used, and what to do about it."""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
from pathlib import Path

from fantasm_gcp.local.dev.opening import OpenError

_ELSEWHERE = "choose another directory with --data"


def explain_file(path: Path | None, error: Exception) -> OpenError:
    """What stands in the way of the file at ``path``, None for one in memory; in use is the most frequent.

    ``error`` is what the opening of a store has raised, with SQLite's error as its cause if that was one.
    """
    if path is None:
        return OpenError(f"a database in memory cannot be used: {error}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return OpenError(f"the data directory {path.parent} is not writable")
    cause = error.__cause__ or error
    if "locked" in str(cause):
        return OpenError(
            f"the data in {path.parent} is in use, perhaps by another fantasm dev or fantasm emulator: "
            f"stop that one, or {_ELSEWHERE}"
        )
    return OpenError(f"{path} cannot be used: {_what_is_wrong(path, cause)}")


def _what_is_wrong(path: Path, cause: BaseException) -> str:
    if path.exists() and not path.is_file():
        return f"it is no file; {_ELSEWHERE}"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "it may not be read and written by who runs this"
    if "full" in str(cause):
        return "the disk is full"
    if isinstance(cause, sqlite3.OperationalError) and "unable to open" in str(cause):
        return f"{cause}; {_ELSEWHERE}"
    if isinstance(cause, sqlite3.Error):
        return f"it is damaged, or of another program ({cause}); move it away, or {_ELSEWHERE}"
    text = str(cause)
    rest = text.removeprefix(f"{path} ")
    return text if rest == text else f"it {rest}"


def explain_port(host: str, port: int, error: OSError) -> OpenError:
    """Why nothing can listen at ``host:port``; another program that does is the most frequent."""
    if not _is_known(host):
        return OpenError(f"the host {host} is not known: give an address of this machine with --host")
    # What the system calls it; the standard library may have added to it.
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.EADDRNOTAVAIL:
        return OpenError(f"{host} is no address of this machine ({reason}): give one with --host")
    if error.errno == errno.EACCES:
        return OpenError(f"port {port} of {host} is not for everybody ({reason}): choose one above 1023")
    said = f"port {port} of {host} cannot be used ({reason})"
    if error.errno != errno.EADDRINUSE:  # too many files are open, for one
        return OpenError(said)
    return OpenError(f"{said}: stop what listens there, or choose another port, 0 for a free one")


def _is_known(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except socket.gaierror:
        return False
