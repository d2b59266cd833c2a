"""The local servers of one process: opened on one directory, served at a port each, closed together."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import grpc

from fantasm_gcp.errors import SettingsError
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.committing.committer import MAX_WAITING
from fantasm_gcp.local.dev.configuration import StartQueues
from fantasm_gcp.local.dev.front import build_datastore_front, build_tasks_front
from fantasm_gcp.local.dev.opening import HOST, OpenError, Opening
from fantasm_gcp.local.dev.unusable import explain_file, explain_port
from fantasm_gcp.local.http import Door
from fantasm_gcp.local.http.application import Wsgi
from fantasm_gcp.local.rpc import WORKERS, LocalChannel, Service, serve
from fantasm_gcp.local.tasks import Deliver, Dispatcher, TasksServer
from fantasm_gcp.local.tasks.configuration.queue_yaml import QUEUE_YAML_TOMBSTONE
from fantasm_gcp.local.tasks.configuration.tokens import Issuer
from fantasm_gcp.local.tasks.dialects.version_beta3 import beta3_service

DATASTORE_FILE = "datastore.sqlite"
TASKS_FILE = "tasks.sqlite"

THREADS = 4
"""Deliveries at a time. More do not make a machine faster, they keep one slow action from holding up all."""

_GRACE = 1.0
_STOP_SECONDS = 5.0


class LocalServers:
    """The servers that were asked for, on files under a directory, or in memory where it is None.

    ``datastore_host`` and ``tasks_host`` are their addresses, for gRPC and HTTP alike, empty for one that was
    not asked for. ``issuer`` signs what the deliveries of their tasks carry. A context manager; leaving it
    closes everything, as :meth:`close` does.

    Raises :class:`OpenError`, with nothing left open.
    """

    def __init__(
        self,
        directory: Path | None,
        opening: Opening | None = None,
        *,
        datastore: bool = True,
        tasks: bool = True,
    ) -> None:
        self._opening = opening = opening or Opening()
        self._dispatcher: Dispatcher | None = None
        self._datastore: DatastoreServer | None = None
        self._tasks: TasksServer | None = None
        self.issuer = Issuer(opening.issuer)
        self.datastore_host = self.tasks_host = ""
        with ExitStack() as undo:
            self._closing = undo
            if directory is not None:
                _prepare(directory)
            if datastore:
                self._datastore = _open_datastore(directory, opening)
                undo.callback(self._datastore.close)
                front = build_datastore_front(self._datastore, opening.names)
                # A commit that waits holds a thread, and what it waits for needs another one.
                workers = WORKERS + MAX_WAITING if opening.pessimistic else WORKERS
                services = [self._datastore.service]
                self.datastore_host = self._serve(services, front, opening.datastore_port, workers)
            if tasks:
                self._tasks = _open_tasks(directory, opening)
                undo.callback(self._tasks.close)
                front = build_tasks_front(
                    self._tasks, self.issuer, opening.names, self._datastore, opening.services
                )
                services = [self._tasks.service, self._tasks.locations, self._tasks.operations]
                services.append(beta3_service(self._tasks.service, self._tasks))
                self.tasks_host = self._serve(services, front, opening.tasks_port)
            self._closing = undo.pop_all()

    def _serve(self, services: Sequence[Service], front: Wsgi, port: int, workers: int = WORKERS) -> str:
        """Opens the port of a server: gRPC goes on to a port of its own, the rest is for its front."""
        server, inner = serve(services, HOST, 0, workers)
        host = self._opening.host
        try:
            door = Door(host, port, f"{HOST}:{inner}", front)
        except OSError as error:
            server.stop(None)
            raise explain_port(host, port, error) from error
        self._closing.callback(door.close)
        # Stopped first, while calls in flight can still be answered through the door.
        self._closing.callback(lambda: server.stop(_GRACE).wait(_STOP_SECONDS))
        return f"[{host}]:{door.port}" if ":" in host else f"{host}:{door.port}"

    def declare(self, queues: StartQueues) -> None:
        """Has queues be there: those of queue.yaml as it says, others as they are, or by default."""
        assert self._tasks is not None
        for queue in queues.configured:
            self._tasks.declare_queue(queue, QUEUE_YAML_TOMBSTONE)
        present = set(self._tasks.queue_names())
        for queue in queues.named:
            # Declared in any case: after a reset it is there again.
            as_it_is = self._tasks.queue(queue.name).message if queue.name in present else queue
            self._tasks.declare_queue(as_it_is)

    def clock_shift(self) -> float:
        """By how many seconds the clock of Cloud Tasks is ahead of this machine's."""
        assert self._tasks is not None
        return self._tasks.clock().shift

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


def _open_datastore(directory: Path | None, opening: Opening) -> DatastoreServer:
    path = None if directory is None else directory / DATASTORE_FILE
    try:
        return DatastoreServer(
            path,
            pessimistic=opening.pessimistic,
            indexes=opening.indexes,
            require_indexes=opening.require_indexes,
            newer_indexes=opening.newer_indexes,
        )
    except (OSError, ValueError, sqlite3.Error) as error:
        raise explain_file(path, error) from error


def _open_tasks(directory: Path | None, opening: Opening) -> TasksServer:
    path = None if directory is None else directory / TASKS_FILE
    try:
        return TasksServer(path, create_queues=opening.create_queues)
    except (OSError, SettingsError, sqlite3.Error) as error:
        raise explain_file(path, error) from error
