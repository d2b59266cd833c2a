"""Backends that speak the Datastore API: our server over a socket and in process, and gcloud's emulators."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import datastore
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.committing.committer import MAX_WAITING
from fantasm_gcp.local.rpc import WORKERS, LocalChannel, serve

PROJECT = "proj"
EMULATOR_START_SECONDS = 60
PATIENCE = 5.0
"""Seconds that a commit waits for another transaction in the pessimistic mode."""


@dataclass
class DatastoreBackend:
    """One Datastore a test runs against; ``host`` is empty when it is reached without a socket.

    ``namespace`` is the test's own: what it writes there no other test sees.
    """

    name: str
    host: str
    channels: list[grpc.Channel] = field(default_factory=list)
    server: DatastoreServer | None = None
    project: str = PROJECT
    namespace: str = field(default_factory=lambda: f"n{uuid.uuid4().hex[:12]}")

    def channel(self) -> grpc.Channel:
        """A channel to it, closed after the test."""
        if self.server is not None and not self.host:
            return LocalChannel(self.server.service)
        self.channels.append(grpc.insecure_channel(self.host))
        return self.channels[-1]

    def low_level(self) -> DatastoreClient:
        """The generated client on a channel of its own."""
        return DatastoreClient(transport=DatastoreGrpcTransport(channel=self.channel()))

    def client(self, namespace: str | None = None) -> datastore.Client:
        """The library's client for a namespace, the test's own unless one is given."""
        space = self.namespace if namespace is None else namespace
        if self.host:
            return datastore.Client(project=self.project, namespace=space)
        client = datastore.Client(project=self.project, namespace=space, credentials=_anonymous())
        client._datastore_api_internal = self.low_level()  # the only way to give it a channel
        return client


def _anonymous() -> Any:
    from google.auth.credentials import AnonymousCredentials

    return AnonymousCredentials()


EMULATOR_GAPS = {
    "operators": "the emulator does not know IN, NOT_IN, != and OR",
    "aggregations": "the emulator answers RunAggregationQuery with 501",
    "inequalities": "the emulator allows one inequality property and wants it sorted first",
    "times": "the emulator gives no times of entities and commits",
    "more results": "the emulator says MORE_RESULTS_AFTER_LIMIT whether or not there is a limit",
    "sequences": "the emulator carries out sequences of mutations that production refuses",
    "transforms": "the emulator silently ignores property transforms",
    "masks": "the emulator silently ignores property masks of mutations",
    "rollback": "the emulator keeps a transaction open when its commit fails",
    "moments": "the emulator aborts read-only transactions whose reads were changed",
    "vectors": "the emulator knows no vectors",
}

FIRESTORE_GAPS = {
    "transforms of time": "the emulator's request time is not the time of the commit",
    "bases": "the emulator reports no conflict unless the strategy is FAIL",
    "rollback": "the emulator rolls back a transaction of which the commit failed",
    "finished transactions": "the emulator rolls back transactions that are over",
    "waiting": "the emulator's transactions lock what they read, for which writers wait",
    "reads that begin": "the emulator does not release the lock of a lookup that began its transaction",
    "read-only commits": "the emulator refuses the commit of a read-only transaction",
    "empty arrays": "the emulator does not index an empty array as null",
    "sorted arrays": "the emulator gives an entity for each element of an array it sorts by",
    "ties": "the emulator sorts ties of a descending order by descending key",
    "more results": "the emulator says NO_MORE_RESULTS at a limit reached, MORE_RESULTS_AFTER_CURSOR elsewhere",
}
"""By the name of what a test would show; ``differential/gaps.py`` says more of each."""

PESSIMISTIC_GAPS = {"waiting": "in this mode writers wait for the locks of transactions"}

_GAPS = {"gcloud": EMULATOR_GAPS, "firestore": FIRESTORE_GAPS, "local-pessimistic": PESSIMISTIC_GAPS}

EMULATORS = ("datastore", "firestore")
"""gcloud's Datastore emulator, and its Firestore emulator in Datastore mode, as gcloud names them."""

_OPTIONS = {
    "datastore": ["--no-store-on-disk", "--use-firestore-in-datastore-mode", f"--project={PROJECT}"],
    "firestore": ["--database-mode=datastore-mode", f"--project={PROJECT}"],
}


class CannotStart(Exception):
    """An emulator that is not to be had on this machine, and why."""


@contextmanager
def running_emulator(name: str, folder: Path) -> Iterator[str]:
    """One of :data:`EMULATORS` while it is needed: its host and port. What it writes lies in ``folder``.

    Raises :class:`CannotStart`; nothing is left running then.
    """
    for program in ("gcloud", "java"):
        if shutil.which(program) is None:
            raise CannotStart(f"{program} is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    track = ["beta"] if name == "datastore" else []
    command = [
        "gcloud",
        *track,
        "emulators",
        name,
        "start",
        "--quiet",
        f"--host-port={host}",
        *_OPTIONS[name],
    ]
    if name == "datastore":
        command.append(f"--data-dir={folder}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _await_start(process, host, folder / "log", name)
            yield host
        finally:
            _stop(process, host)


def _await_start(process: subprocess.Popen[bytes], host: str, log: Path, name: str) -> None:
    deadline = time.monotonic() + EMULATOR_START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://{host}/", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            break
    said = log.read_text(errors="replace")[-500:]
    raise CannotStart(f"gcloud's {name.capitalize()} emulator does not start: {said}")


def _stop(process: subprocess.Popen[bytes], host: str) -> None:
    """Asks it to end, then ends its process group, which is its own: it began a session."""
    with (
        suppress(OSError, subprocess.TimeoutExpired),  # it is ended below, whatever keeps it
        urllib.request.urlopen(f"http://{host}/shutdown", data=b"", timeout=10),
    ):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # gcloud is a script: Java may outlive it
    process.wait()


def _session_emulator(name: str, folder: Path) -> Iterator[str]:
    with ExitStack() as stack:
        try:
            host = stack.enter_context(running_emulator(name, folder))
        except CannotStart as reason:
            pytest.skip(str(reason))
        yield host


@pytest.fixture(scope="session")
def gcloud_datastore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of gcloud's Datastore emulator, started once; skips where it cannot be."""
    yield from _session_emulator("datastore", tmp_path_factory.mktemp("emulator"))


@pytest.fixture(scope="session")
def gcloud_firestore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same for gcloud's Firestore emulator in Datastore mode."""
    yield from _session_emulator("firestore", tmp_path_factory.mktemp("emulator"))


_EMULATED = {"gcloud": "gcloud_datastore", "firestore": "gcloud_firestore"}
"""Backends that are emulators, and the fixtures that start them."""


BACKENDS = ("local-wire", "local-inprocess", "gcloud")


@pytest.fixture(params=BACKENDS)
def datastore_backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DatastoreBackend]:
    """Each Datastore in turn, with a namespace of the test's own."""
    yield from _backend(request, monkeypatch)


@pytest.fixture(name="datastore_backend", params=(*BACKENDS, "local-pessimistic", "firestore"))
def with_firestore(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DatastoreBackend]:
    """The same, ours in its other mode, and the Firestore emulator: for who names this fixture its own."""
    yield from _backend(request, monkeypatch)


def skip_gap(backend: DatastoreBackend, gap: str) -> None:
    """Skips a test on an emulator that has a named gap; ``KeyError`` for a gap that none has."""
    if not any(gap in reasons for reasons in _GAPS.values()):
        raise KeyError(gap)
    reasons = _GAPS.get(backend.name, {})
    if gap in reasons:
        pytest.skip(reasons[gap])


def _backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatastoreBackend]:
    monkeypatch.delenv("DATASTORE_EMULATOR_HOST", raising=False)
    if request.param in _EMULATED:
        backend = DatastoreBackend(request.param, request.getfixturevalue(_EMULATED[request.param]))
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", backend.host)
        yield backend
        _close(backend)
        return
    server = DatastoreServer(pessimistic=request.param == "local-pessimistic", lock_seconds=PATIENCE)
    if request.param == "local-inprocess":
        yield DatastoreBackend("local-inprocess", "", server=server)
        server.close()
        return
    wire, port = serve(server.service, "127.0.0.1", 0, WORKERS + MAX_WAITING)
    backend = DatastoreBackend(request.param, f"127.0.0.1:{port}", server=server)
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", backend.host)
    yield backend
    _close(backend)
    wire.stop(None).wait()
    server.close()


def _close(backend: DatastoreBackend) -> None:
    for channel in backend.channels:
        channel.close()
