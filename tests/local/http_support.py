"""Both local servers behind one door, and ways to speak HTTP to it, down to the bytes."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.routes import ROUTES as DATASTORE_ROUTES
from fantasm_gcp.local.http import Door, HttpService, Transcoder
from fantasm_gcp.local.rpc import Service, serve
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.local.tasks.routes import LOCATION_ROUTES, OPERATION_ROUTES, ROUTES

HOST = "127.0.0.1"


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Code, status and message of an error in Google's form; the code must be that of the response."""
        error = self.json["error"]
        assert self.status == error["code"]
        return error["code"], error["status"], error["message"]


@dataclass
class Served:
    """The servers, and the door that is open to them."""

    tasks: TasksServer
    datastore: DatastoreServer
    door: Door

    @property
    def address(self) -> str:
        return f"{HOST}:{self.door.port}"

    def send(
        self, method: str, path: str, body: bytes | Any = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; a body that is not bytes goes out as JSON."""
        kind = {} if isinstance(body, bytes) else {"Content-Type": "application/json"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(HOST, self.door.port, timeout=20)
        try:
            connection.request(method, path, content or None, {**kind, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def raw(self, *pieces: bytes, end: bool = True) -> bytes:
        """Everything that comes back for bytes; ``end`` says with them that there will be no more."""
        with socket.create_connection((HOST, self.door.port), timeout=20) as sock:
            for piece in pieces:
                sock.sendall(piece)
            if end:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)


def read_all(sock: socket.socket) -> bytes:
    """Everything until the peer ends, or has ended so that what we sent could not be delivered."""
    received = bytearray()
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionError:
        pass
    return bytes(received)


def application(tasks: TasksServer, datastore: DatastoreServer, fallback: Any = None) -> Transcoder:
    """The WSGI application of both servers."""
    return Transcoder(
        [
            HttpService(tasks.service, ROUTES),
            HttpService(tasks.locations, LOCATION_ROUTES),
            HttpService(tasks.operations, OPERATION_ROUTES),
            HttpService(datastore.service, DATASTORE_ROUTES),
        ],
        fallback,
    )


def services(tasks: TasksServer, datastore: DatastoreServer) -> list[Service]:
    return [tasks.service, tasks.locations, tasks.operations, datastore.service]


@contextmanager
def served(
    tasks: TasksServer, datastore: DatastoreServer, fallback: Any = None, **options: Any
) -> Iterator[Served]:
    """A door open to both servers."""
    wire, port = serve(services(tasks, datastore), HOST, 0)
    door = Door(HOST, 0, f"{HOST}:{port}", application(tasks, datastore, fallback), **options)
    try:
        yield Served(tasks, datastore, door)
    finally:
        door.close()
        wire.stop(None).wait()


@contextmanager
def both(directory: Path | None = None, fallback: Any = None, **options: Any) -> Iterator[Served]:
    """New servers, on files in a directory or in memory, and a door to them; names are free at once."""
    tasks = TasksServer(
        directory and directory / "tasks.sqlite", tombstone_seconds=0, queue_tombstone_seconds=0
    )
    datastore = DatastoreServer(directory and directory / "datastore.sqlite")
    try:
        with served(tasks, datastore, fallback, **options) as opened:
            yield opened
    finally:
        tasks.close()
        datastore.close()


def grpc_channel(opened: Served) -> grpc.Channel:
    """A gRPC channel through the door, with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    return grpc.insecure_channel(opened.address, options=options)
