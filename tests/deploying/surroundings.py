"""What the cloud has around an application: both local servers, the certificates of whoever signs tokens, and
a metadata server. Everything listens on this machine alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.cloud import datastore

from fantasm_gcp.gateways.clients import Channels, datastore_api, datastore_users
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.dev.front import build_tasks_front
from fantasm_gcp.local.http import Door
from fantasm_gcp.local.rpc import LocalChannel, serve
from fantasm_gcp.local.tasks import Delivery, Response, TasksServer
from fantasm_gcp.local.tasks.configuration.tokens import Issuer, OidcToken
from fantasm_gcp.settings import Settings
from fantasm_gcp.testing import Rpc, VirtualClock, intercepted

SUBSCRIBERS = 6
CAMPAIGN = "/fantasm/fsm/SendSubscriberEmail/"
PROJECT = "wire"
REGION = "europe-west4"
RUNS_AS = "runs-as@wire.iam.gserviceaccount.com"
METADATA = {
    "project/project-id": PROJECT,
    "project/numeric-project-id": "123456789",
    "instance/region": f"projects/123456789/regions/{REGION}",
    "instance/service-accounts/default/email": RUNS_AS,
}
PATIENCE = 60.0
"""Seconds after which a process that does not do what is waited for is taken for stuck."""


class Gate:
    """Holds up one call of the Datastore server, so that a test knows a step to be in flight.

    ``arm`` says which call: the next one of a method, before or after it is carried out. ``reached`` is set
    when it has come, and it goes on at ``release``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._method, self._after = "", False
        self.reached, self._go = threading.Event(), threading.Event()

    def arm(self, method: str, *, after: bool = False) -> None:
        with self._lock:
            self.reached, self._go = threading.Event(), threading.Event()
            self._method, self._after = method, after

    def release(self) -> None:
        self._go.set()

    def around(self, rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        with self._lock:
            stops, after, reached, go = rpc.method == self._method, self._after, self.reached, self._go
            if stops:
                self._method = ""
        if not stops:
            return carry_out()
        answer = carry_out() if after else None
        reached.set()
        go.wait(PATIENCE)
        return answer if after else carry_out()


class Cloud:
    """What the application talks to. The clock of the queues begins now and is moved by :meth:`run`.

    ``token_shift`` is in seconds: by how much the clock of whoever signs tokens is ahead.
    """

    def __init__(self, closing: ExitStack) -> None:
        self.clock = VirtualClock(time.time())
        self.gate = Gate()
        self.token_shift = 0.0
        self.issuer = Issuer(clock=lambda: time.time() + self.token_shift)
        rows = closing.enter_context(_closing(DatastoreServer()))
        self.tasks = closing.enter_context(_closing(TasksServer(clock=self.clock)))
        door = closing.enter_context(
            _closing(Door("127.0.0.1", 0, "", build_tasks_front(self.tasks, self.issuer)))
        )
        self.certificates = f"http://127.0.0.1:{door.port}/oauth2/v1/certs"
        served = serve(intercepted(rows.service, self.gate.around), "127.0.0.1", 0)
        queued = serve(self.tasks.service, "127.0.0.1", 0)
        for server, _ in (served, queued):
            closing.callback(lambda server=server: server.stop(None).wait())
        self.asked: list[str] = []
        self.environ = {
            "DATASTORE_EMULATOR_HOST": f"127.0.0.1:{served[1]}",
            "CLOUD_TASKS_EMULATOR_HOST": f"127.0.0.1:{queued[1]}",
            "GCE_METADATA_HOST": closing.enter_context(_metadata_server(self.asked)),
            "FANTASM_CERTIFICATES_URL": self.certificates,
        }
        channels = Channels(datastore=lambda: LocalChannel(rows.service))
        self.client: datastore.Client = datastore_users(
            channels, Settings(project=PROJECT), datastore_api(channels)
        )
        for i in range(SUBSCRIBERS):
            entity = datastore.Entity(self.client.key("Subscriber", f"s{i:02}"))
            entity.update(name=str(i), email=f"{i}@example.org")
            self.client.put(entity)

    def token(self, email: str, audience: str) -> dict[str, str]:
        """The header of a request that an account makes."""
        return {"Authorization": f"Bearer {self.issuer.id_token(OidcToken(email, audience))}"}

    def run(self, deliver: Callable[[Delivery], Response | None], most: int = 1_000) -> list[int]:
        """Delivers every task that is or becomes due, and answers the statuses; 0 is no answer."""
        statuses: list[int] = []
        while (moment := self.tasks.next_time()) is not None:
            assert len(statuses) < most, statuses
            self.clock.move_to(moment)
            statuses.append(self.deliver(deliver))
        return statuses

    def deliver(self, deliver: Callable[[Delivery], Response | None]) -> int:
        """Delivers the task that is due first, tells the queue, and answers the status."""
        attempt = self.tasks.lease()
        assert attempt is not None
        try:
            response = deliver(attempt.delivery)
        except OSError:
            response = None
        self.tasks.finish(attempt, response)
        return response.status if response else 0

    def outcome(self, instance: str) -> dict[str, Any]:
        """What a campaign has done, and what of it is still there."""
        emails = [
            each for each in self.client.query(kind="OutboxEmail").fetch() if each["campaign"] == instance
        ]
        counted = self.client.get(self.client.key("EmailBatch", instance))
        left = [
            each
            for kind in ("FantasmTask", "FantasmEntry", "FantasmFanIn")
            for each in self.client.query(kind=kind).fetch()
        ]
        row = next(e for e in self.client.query(kind="FantasmInstance").fetch() if e["instance"] == instance)
        return {
            "status": row["status"],
            "emails": sorted(each["to"] for each in emails),
            "counter": counted["counter"] if counted else 0,
            "left": left,
        }


COMPLETE = {
    "status": "completed",
    "emails": [f"{i}@example.org" for i in range(SUBSCRIBERS)],
    "counter": SUBSCRIBERS,
    "left": [],
}
"""What every campaign comes to: each email once, and each counted once."""


@contextmanager
def cloud() -> Iterator[Cloud]:
    with ExitStack() as closing:
        yield Cloud(closing)


@contextmanager
def _closing(server: Any) -> Iterator[Any]:
    try:
        yield server
    finally:
        server.close()


@contextmanager
def _metadata_server(asked: list[str]) -> Iterator[str]:
    """Answers what Google's metadata server does, and notes what it was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/computeMetadata/v1/")
            asked.append(path)
            known = self.headers["Metadata-Flavor"] == "Google"
            self.send_response(200 if known and path in METADATA else 403 if not known else 404)
            self.send_header("Metadata-Flavor", "Google")
            self.end_headers()
            self.wfile.write(METADATA.get(path, "").encode() if known else b"")

        def log_message(self, *_: Any) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
