"""Google's own Datastore emulator, which gcloud starts, in place of the local Datastore server.

It needs gcloud with the component ``cloud-datastore-emulator``, and Java. It knows no aggregation and no
``IN``, ``!=`` and ``OR``; what it adds is that nobody here wrote it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import deque
from contextlib import suppress
from pathlib import Path

from fantasm_gcp.local.dev.opening import HOST, OpenError

START_SECONDS = 60.0
"""How long the emulator may take until it answers."""

STOP_SECONDS = 5.0
"""How long each way of ending it is given."""

_POLL_SECONDS = 0.1


class GcloudDatastore:
    """The emulator as a child in a process group of its own, from now until :meth:`close`.

    Its data lies under ``directory``, or nowhere for long where that is None. Raises :class:`OpenError` when
    gcloud or Java is missing, or it does not answer within ``patience`` seconds; nothing is left running.
    """

    def __init__(
        self,
        directory: Path | None,
        project: str,
        patience: float = START_SECONDS,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._stop_seconds = stop_seconds
        self._command = _command(directory, project)
        self._said: deque[str] = deque(maxlen=20)
        self._closed = False
        self._temporary = tempfile.TemporaryDirectory() if directory is None else None
        port = _free_port()
        self.host = f"{HOST}:{port}"
        where = self._temporary.name if self._temporary else str(directory)
        self._child = subprocess.Popen(  # noqa: S603  # our own words, and gcloud as it was found
            [*self._command, f"--host-port={self.host}", f"--data-dir={where}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for this process, which then ends that one
        )
        self._listener = threading.Thread(target=self._listen, name="gcloud", daemon=True)
        self._listener.start()
        try:
            self._await_answer(patience)
        except BaseException:
            self.close()
            raise

    def _listen(self) -> None:
        """Reads what the child says, so that it is not held up, and keeps the last of it."""
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.strip():
                self._said.append(line.strip())

    def _await_answer(self, patience: float) -> None:
        give_up = time.monotonic() + patience
        while not self._answers("/"):
            if self._child.poll() is not None:
                self._listener.join(STOP_SECONDS)
                raise OpenError(f"gcloud's Datastore emulator ended at its start: {self._reason()}")
            if time.monotonic() > give_up:
                raise OpenError(f"gcloud's Datastore emulator did not answer within {patience:g} s")
            time.sleep(_POLL_SECONDS)

    def _reason(self) -> str:
        """Of what it said, the line that tells most: the first error, or else the last line."""
        errors = [line for line in self._said if "ERROR" in line]
        return (errors or [*self._said][-1:] or ["it said nothing"])[0]

    def _answers(self, path: str, body: bytes | None = None) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.host}{path}", body, timeout=STOP_SECONDS) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def close(self) -> None:
        """Asks it to end, then ends its process group. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._child.poll() is None:
            self._answers("/shutdown", b"")
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(self._stop_seconds)
        for ending in (signal.SIGTERM, signal.SIGKILL):
            # The group may outlive its first process: gcloud is a script that starts Java.
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, ending)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(self._stop_seconds)
        self._listener.join(STOP_SECONDS)
        if self._child.stdout is not None and not self._listener.is_alive():
            self._child.stdout.close()
        if self._temporary is not None:
            self._temporary.cleanup()


def _command(directory: Path | None, project: str) -> list[str]:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise OpenError(
            "--datastore=gcloud needs gcloud: install the Google Cloud CLI, or leave the option out "
            "to use the local Datastore server"
        )
    if shutil.which("java") is None:
        raise OpenError(
            "--datastore=gcloud needs Java: install a JRE (Debian: default-jre-headless), or leave the "
            "option out to use the local Datastore server"
        )
    return [
        gcloud,
        "--quiet",
        *("beta", "emulators", "datastore", "start"),
        "--use-firestore-in-datastore-mode",
        f"--project={project}",
        *([] if directory else ["--no-store-on-disk"]),
    ]


def _free_port() -> int:
    """A port that nothing listened at a moment ago; the emulator cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
