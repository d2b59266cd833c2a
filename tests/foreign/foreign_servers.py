"""Both local servers for one foreign client, over sockets, with a worker that the tasks are delivered to."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.routes import ROUTES as DATASTORE_ROUTES
from fantasm_gcp.local.http import Door, HttpService, Transcoder
from fantasm_gcp.local.rpc import Method, Service, serve
from fantasm_gcp.local.tasks import Dispatcher, HttpDelivery, TasksServer
from fantasm_gcp.local.tasks.configuration.service_map import ServiceMap
from fantasm_gcp.local.tasks.dialects.firebase import FIREBASE_ROUTES, firebase_service
from fantasm_gcp.local.tasks.dialects.version_beta3 import beta3_service
from fantasm_gcp.local.tasks.routes import ROUTES as TASKS_ROUTES
from fantasm_gcp.local.tasks.routes import in_beta3

HOST = "127.0.0.1"
PROJECT = "foreign"
LOCATION = f"projects/{PROJECT}/locations/here"
PATIENCE = 20.0
"""Seconds after which what was waited for is taken not to come."""


class Worker:
    """A loopback HTTP server that keeps what is delivered to it.

    A path that begins with ``/fail/503/1`` is answered 503 the first time and 200 from then on; every other
    is answered 200. ``GET /received/<count><path>`` blocks until so many requests have come to that path, and
    answers them as JSON: this is for clients in other languages.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._received: dict[str, list[dict[str, Any]]] = {}
        handler = type("Handler", (_Handler,), {"worker": self})
        self._http = ThreadingHTTPServer((HOST, 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="worker")
        self._thread.start()
        self.url = f"http://{HOST}:{self._http.server_port}"

    def note(self, path: str, request: dict[str, Any]) -> int:
        """Keeps a request and answers how many came to that path before it."""
        with self._changed:
            earlier = self._received.setdefault(path, [])
            earlier.append(request)
            self._changed.notify_all()
            return len(earlier) - 1

    def received(self, path: str, count: int = 1) -> list[dict[str, Any]]:
        """What was delivered to a path, once it is that many requests; raises TimeoutError otherwise."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._received.get(path, ())) >= count, PATIENCE):
                raise TimeoutError(f"{path}: {len(self._received.get(path, ()))} of {count} deliveries")
            return list(self._received[path])

    def close(self) -> None:
        """Ends the server and its thread."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    worker: Worker

    def _deliver(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode("latin-1"),
        }
        earlier = self.worker.note(self.path, request)
        words = self.path.split("/")
        failing = words[1] == "fail" and earlier < int(words[3])
        self._answer(int(words[2]) if failing else 200, b"")

    def do_GET(self) -> None:
        asked = self.path.removeprefix("/received/")
        if asked == self.path:
            self._deliver()
            return
        count, slash, path = asked.partition("/")
        try:
            self._answer(200, json.dumps(self.worker.received(slash + path, int(count))).encode())
        except TimeoutError as error:
            self._answer(504, str(error).encode())

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _deliver  # noqa: N815  http.server's names

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are kept, not logged."""


@dataclass
class Servers:
    """Where both servers and the worker are, and how often each method was called."""

    datastore_host: str
    tasks_host: str
    worker: Worker
    tasks: TasksServer
    calls: Counter[str]

    @property
    def environment(self) -> dict[str, str]:
        """What a client in another process is told."""
        return {
            "DATASTORE_EMULATOR_HOST": self.datastore_host,
            "CLOUD_TASKS_EMULATOR_HOST": self.tasks_host,
            "WORKER_URL": self.worker.url,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }


@contextmanager
def foreign_servers() -> Iterator[Servers]:
    """New servers in memory, that deliver; everything has ended when the block has."""
    calls: Counter[str] = Counter()
    with ExitStack() as closing:
        worker = Worker()
        closing.callback(worker.close)
        datastore, tasks = DatastoreServer(), TasksServer(create_queues=False)
        closing.callback(datastore.close)
        closing.callback(tasks.close)
        counted = _counted(tasks.service, calls)
        hosts = [
            _open(closing, HttpService(_counted(datastore.service, calls), DATASTORE_ROUTES)),
            _open(
                closing,
                HttpService(counted, TASKS_ROUTES),
                HttpService(beta3_service(counted, tasks), in_beta3(TASKS_ROUTES)),
                HttpService(firebase_service(counted, ServiceMap(worker.url)), FIREBASE_ROUTES),
            ),
        ]
        dispatcher = Dispatcher(tasks, HttpDelivery(worker.url), threads=4)
        dispatcher.start()
        closing.callback(dispatcher.stop, PATIENCE)
        yield Servers(*hosts, worker, tasks, calls)


def _open(closing: ExitStack, *services: HttpService) -> str:
    """Opens a port for gRPC and HTTP, as the emulator has, and answers its address."""
    server, port = serve([each.service for each in services], HOST, 0)
    closing.callback(lambda: server.stop(0).wait())
    door = Door(HOST, 0, f"{HOST}:{port}", Transcoder(services))
    closing.callback(door.close)
    return f"{HOST}:{door.port}"


def _counted(service: Service, calls: Counter[str]) -> Service:
    """The same service, which counts what is asked of it."""
    lock = threading.Lock()

    def counted(name: str, method: Method) -> Method:
        def call(request: Any) -> Any:
            with lock:
                calls[name] += 1
            return method.call(request)

        return replace(method, call=call)

    return replace(service, methods={name: counted(name, each) for name, each in service.methods.items()})
