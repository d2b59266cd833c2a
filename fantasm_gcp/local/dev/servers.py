"""The local servers of one process: opened on one directory, served over gRPC, closed together."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import grpc

from fantasm_gcp.errors import FantasmError, SettingsError
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import LocalChannel, Service, serve
from fantasm_gcp.local.tasks import Deliver, Dispatcher, TasksServer

HOST = "127.0.0.1"
"""The only address that anything here listens at."""

DATASTORE_FILE = "datastore.sqlite"
TASKS_FILE = "tasks.sqlite"

THREADS = 4
"""Deliveries at a time. More do not make a machine faster, they keep one slow action from holding up all."""

_GRACE = 1.0


class OpenError(FantasmError):
    """A server cannot be opened; the message says why, and what to do."""


class LocalServers:
    """The servers that were asked for, on files under a directory, or in memory where it is None.

    ``datastore_host`` and ``tasks_host`` are their gRPC addresses, empty for one that was not asked for.
    A context manager; leaving it closes everything, as :meth:`close` does.

    Raises :class:`OpenError`, with nothing left open.
    """

    def __init__(self, directory: Path | None, *, datastore: bool = True, tasks: bool = True) -> None:
        self._dispatcher: Dispatcher | None = None
        self._datastore: DatastoreServer | None = None
        self._tasks: TasksServer | None = None
        self.datastore_host = self.tasks_host = ""
        with ExitStack() as undo:
            self._closing = undo
            if directory is not None:
                _prepare(directory)
            if datastore:
                self._datastore = _open_datastore(directory)
                undo.callback(self._datastore.close)
                self.datastore_host = self._serve(self._datastore.service)
            if tasks:
                self._tasks = _open_tasks(directory)
                undo.callback(self._tasks.close)
                self.tasks_host = self._serve(self._tasks.service)
            self._closing = undo.pop_all()

    def _serve(self, service: Service) -> str:
        server, port = serve(service, HOST, 0)
        self._closing.callback(lambda: server.stop(_GRACE).wait())
        return f"{HOST}:{port}"

    def datastore_channel(self) -> grpc.Channel:
        """A channel to the Datastore server that stays in the process."""
        assert self._datastore is not None
        return LocalChannel(self._datastore.service)

    def tasks_channel(self) -> grpc.Channel:
        """A channel to the Cloud Tasks server that stays in the process."""
        assert self._tasks is not None
        return LocalChannel(self._tasks.service)

    def dispatch(self, deliver: Deliver, threads: int = THREADS) -> None:
        """Begins to deliver what is due."""
        assert self._tasks is not None
        self._dispatcher = Dispatcher(self._tasks, deliver, threads)
        self._dispatcher.start()

    def stop_dispatching(self, timeout: float) -> int:
        """Begins no attempt any more, waits for those in flight, and answers how many did not end in time.

        These are delivered again when the same directory is next opened. Idempotent.
        """
        if self._dispatcher is None or self._tasks is None or self._dispatcher.stop(timeout):
            return 0
        return self._tasks.in_flight()

    def close(self) -> None:
        """Closes servers and files without waiting for deliveries. Idempotent."""
        self._closing.close()

    def __enter__(self) -> LocalServers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.close()


def _prepare(directory: Path) -> None:
    """Makes the directory, which keeps itself out of a repository."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        ignore = directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")
    except OSError as error:
        raise OpenError(
            f"the data directory {directory} cannot be used: {error.strerror or error}"
        ) from error


def _open_datastore(directory: Path | None) -> DatastoreServer:
    if directory is None:
        return DatastoreServer()
    path = directory / DATASTORE_FILE
    try:
        return DatastoreServer(path)
    except OSError as error:
        raise _refused(path, error) from error
    except (ValueError, sqlite3.Error) as error:
        raise OpenError(f"{path} cannot be used: {error}") from error


def _open_tasks(directory: Path | None) -> TasksServer:
    if directory is None:
        return TasksServer()
    path = directory / TASKS_FILE
    try:
        return TasksServer(path)
    except OSError as error:
        raise _refused(path, error) from error
    except (SettingsError, sqlite3.Error) as error:
        raise OpenError(f"{path} cannot be used: {error}") from error


def _refused(path: Path, error: OSError) -> OpenError:
    """What stands in the way of a file; in use is by far the most frequent."""
    if not os.access(path.parent, os.W_OK):
        return OpenError(f"the data directory {path.parent} is not writable")
    if "locked" in str(error):
        return OpenError(
            f"the data in {path.parent} is in use, perhaps by another fantasm dev: "
            "stop that one, or choose another directory with --data"
        )
    return OpenError(f"{path} cannot be used: {error.__cause__ or error}")
