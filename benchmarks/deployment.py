"""An application as it is deployed, on this machine: gunicorn, the local servers, a process for each.

Everything is a child of this process and is ended by its id; nothing listens but at 127.0.0.1.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks.workload import SCENARIOS

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
WORKERS, THREADS = 2, 8
"""As in app.yaml."""

GUNICORN = """
import flask, grpc, google.cloud.datastore, google.cloud.tasks_v2
from gunicorn.app.wsgiapp import run
run()
"""
"""Gunicorn with modules loaded before it forks. Its workers make the application after that, as in app.yaml,
and need not load for a second each time that one was killed.
"""

DELIVERIES = 12
"""Attempts that the queue has in flight at most: fewer than the workers have threads."""

END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Datastore:
    """A Datastore that somebody else started: an emulator's address, and where in it to work."""

    host: str
    project: str
    namespace: str


class Child:
    """A process with its output in a file; ended by its id at the latest by :meth:`end`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environ: Mapping[str, str],
        *,
        tells: bool = False,
        descriptors: Sequence[int] = (),
    ) -> None:
        """``tells`` keeps what it prints for :meth:`line`; ``descriptors`` are files that it inherits."""
        self._command = command
        with log.open("ab") as file:
            self.popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{SCENARIOS}", **environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if tells else file,
                stderr=file,
                pass_fds=descriptors,
                text=True,
            )

    def line(self) -> str:
        """The next line that it prints; raises ``ChildProcessError`` when it ends instead."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().strip()
        if not line:
            raise ChildProcessError(f"{self._command} ended with {self.popen.wait(END_SECONDS)}")
        return line

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self.popen.kill()
        self._reap()

    def end(self) -> int:
        """Ends it in its own way, or by SIGKILL where that takes too long; its status. Idempotent."""
        self.popen.terminate()
        try:
            self.popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
        self._reap()
        return self.popen.returncode

    def _reap(self) -> None:
        self.popen.wait()
        for each in (self.popen.stdin, self.popen.stdout):
            if each is not None:
                each.close()


class Server:
    """A local server as a child; killed and begun again it has the same file and the same port."""

    def __init__(self, kind: str, directory: Path, *more: str) -> None:
        self._kind, self._more = kind, more
        self._directory = directory
        self._port = 0
        self.begin()

    @property
    def host(self) -> str:
        return f"{HOST}:{self._port}"

    def begin(self) -> None:
        """Starts it, and returns when it listens."""
        file = self._directory / f"{self._kind}.sqlite"
        command = [sys.executable, "-m", "benchmarks.local_server", self._kind, str(file), str(self._port)]
        self.child = Child([*command, *self._more], self._directory / f"{self._kind}.log", {}, tells=True)
        try:
            self._port = int(self.child.line())
        except ChildProcessError:
            self.child.end()
            raise

    def kill_and_begin_again(self) -> None:
        """Ends it by SIGKILL, and starts it on its file."""
        self.child.kill()
        self.begin()

    def end(self) -> None:
        self.child.end()


class Deployment:
    """The servers and gunicorn, from now until :meth:`close`; a context manager.

    ``datastore`` is an emulator to work with instead of the local server. ``moments`` is the directory of the
    appointments. Logs and data lie in ``directory``. Leaving it raises ``ChildProcessError`` where gunicorn
    did not end as it should.
    """

    def __init__(self, directory: Path, datastore: Datastore | None = None) -> None:
        self.directory = directory
        self.moments = directory / "moments"
        self.moments.mkdir()
        with ExitStack() as undo:
            self._closing = undo
            listening = undo.enter_context(socket.create_server((HOST, 0), backlog=512))
            self.url = f"http://{HOST}:{listening.getsockname()[1]}"
            self.rows = None if datastore else Server("datastore", directory)
            if self.rows:
                undo.callback(self.rows.end)
            self.datastore = datastore or Datastore(self.rows.host if self.rows else "", "killed", "")
            self.tasks = Server("tasks", directory, self.url, str(DELIVERIES))
            undo.callback(self.tasks.end)
            self.gunicorn = self._serve(listening)
            undo.callback(self.gunicorn.end)
            self._closing = undo.pop_all()

    def _serve(self, listening: socket.socket) -> Child:
        descriptor = listening.fileno()
        command = [sys.executable, "-c", GUNICORN, "--bind", f"fd://{descriptor}"]
        command += [
            "--no-control-socket",
            "--worker-class",
            "gthread",
            "--workers",
            str(WORKERS),
            "--threads",
            str(THREADS),
        ]
        environ = {
            "FANTASM_MODE": "local",
            "FANTASM_DEFINITIONS": "killed.yaml",
            "FANTASM_NAMESPACE": self.datastore.namespace,
            "GOOGLE_CLOUD_PROJECT": self.datastore.project,
            "DATASTORE_EMULATOR_HOST": self.datastore.host,
            "CLOUD_TASKS_EMULATOR_HOST": self.tasks.host,
            "KILLED_MOMENTS": str(self.moments),
        }
        log = self.directory / "gunicorn.log"
        return Child(
            [*command, "--timeout", "0", "--graceful-timeout", "5", "killed:create_app()"],
            log,
            environ,
            descriptors=[descriptor],
        )

    def get(self, path: str, headers: Mapping[str, str], timeout: float = 10.0) -> bytes:
        """One request; raises ``OSError`` or ``HTTPException`` for no answer, ``OSError`` for all but 2xx."""
        request = urllib.request.Request(self.url + path, headers=dict(headers))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout) as answer:
            return bytes(answer.read())

    def close(self) -> None:
        """Ends every process. Idempotent."""
        self._closing.close()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and self.gunicorn.popen.returncode:
            raise ChildProcessError(f"gunicorn ended with status {self.gunicorn.popen.returncode}")
