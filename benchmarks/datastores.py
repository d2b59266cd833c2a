"""The Datastores that are measured beside each other: the local server and Google's two emulators."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc

from benchmarks.local_server import HOST
from fantasm_gcp.local.dev.gcloud import GcloudDatastore, OpenError

ROOT = Path(__file__).resolve().parents[1]
IN_MEMORY = ":memory:"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


class LocalServer:
    """One of the local servers in a process of its own; ends with :meth:`close`."""

    def __init__(self, *arguments: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.local_server", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdout is not None
        self.host = f"{HOST}:{int(self._child.stdout.readline())}"

    def resident_mebibytes(self) -> float:
        """What the process has in memory."""
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def close(self) -> None:
        """Ends the process."""
        self._child.kill()
        self._child.communicate()


@contextmanager
def firestore_emulator(project: str) -> Iterator[str]:
    """The host of the Firestore emulator in Datastore mode; raises ``OpenError`` where it does not run."""
    for program in ("gcloud", "java"):
        if shutil.which(program) is None:
            raise OpenError(f"{program} is not installed")
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        host = f"{HOST}:{probe.getsockname()[1]}"
    command = ["gcloud", "--quiet", "emulators", "firestore", "start", "--database-mode=datastore-mode"]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [*command, f"--host-port={host}", f"--project={project}"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _answers(child, host):
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
                raise OpenError(f"the Firestore emulator does not start: {lines[-1].strip()}")
            yield host
        finally:
            _end(child, host)


def _answers(child: subprocess.Popen[bytes], host: str) -> bool:
    give_up = time.monotonic() + _START_SECONDS
    with grpc.insecure_channel(host) as channel:
        ready = grpc.channel_ready_future(channel)
        while time.monotonic() < give_up and child.poll() is None:
            with suppress(grpc.FutureTimeoutError):
                ready.result(0.2)
                return True
        ready.cancel()
    return False


def _end(child: subprocess.Popen[bytes], host: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, subprocess.TimeoutExpired):
        opener.open(f"http://{host}/shutdown", b"", timeout=_STOP_SECONDS).close()
        child.wait(_STOP_SECONDS)
    # gcloud is a script that starts Java: the group is this process's own, for it began a session.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


@contextmanager
def gcloud_emulator(project: str) -> Iterator[str]:
    """The host of gcloud's Datastore emulator; raises ``OpenError`` where it does not run."""
    emulator = GcloudDatastore(None, project)
    try:
        yield emulator.host
    finally:
        emulator.close()


@contextmanager
def local_datastore(file: str) -> Iterator[str]:
    """The host of the local Datastore server on a file."""
    server = LocalServer("datastore", file, "0")
    try:
        yield server.host
    finally:
        server.close()
