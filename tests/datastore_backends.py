"""Backends that speak the Datastore API: our server over a socket and in process, and gcloud's emulator."""

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import datastore
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import LocalChannel, serve

PROJECT = "proj"
EMULATOR_START_SECONDS = 60


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


@pytest.fixture(scope="session")
def gcloud_datastore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of gcloud's emulator, started once; skips where it cannot be."""
    for program in ("gcloud", "java"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("emulator")
    command = ["gcloud", "beta", "emulators", "datastore", "start", "--no-store-on-disk", "--quiet"]
    command += ["--use-firestore-in-datastore-mode", f"--host-port={host}", f"--project={PROJECT}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--data-dir={folder}"], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _await_start(process, host, folder / "log")
            yield host
        finally:
            _stop(process, host)


def _await_start(process: subprocess.Popen[bytes], host: str, log: Path) -> None:
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
    pytest.skip(f"gcloud's Datastore emulator does not start: {log.read_text(errors='replace')[-500:]}")


def _stop(process: subprocess.Popen[bytes], host: str) -> None:
    try:
        with urllib.request.urlopen(f"http://{host}/shutdown", data=b"", timeout=10):
            process.wait(10)
    except (OSError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)  # the group is this process's own: it began a session
    process.wait()


@pytest.fixture(params=["local-wire", "local-inprocess", "gcloud"])
def datastore_backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DatastoreBackend]:
    """Each Datastore in turn, with a namespace of the test's own."""
    monkeypatch.delenv("DATASTORE_EMULATOR_HOST", raising=False)
    if request.param == "gcloud":
        backend = DatastoreBackend("gcloud", request.getfixturevalue("gcloud_datastore"))
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", backend.host)
        yield backend
        _close(backend)
        return
    server = DatastoreServer()
    if request.param == "local-inprocess":
        yield DatastoreBackend("local-inprocess", "", server=server)
        server.close()
        return
    wire, port = serve(server.service, "127.0.0.1", 0)
    backend = DatastoreBackend("local-wire", f"127.0.0.1:{port}", server=server)
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", backend.host)
    yield backend
    _close(backend)
    wire.stop(None).wait()
    server.close()


def _close(backend: DatastoreBackend) -> None:
    for channel in backend.channels:
        channel.close()
