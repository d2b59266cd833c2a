"""The deployable application in processes of its own, by the commands that the runtimes run."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dockerfiles import command, parse_dockerfile
from ignoring import files_of, left_by_gcloud
from surroundings import PATIENCE

from fantasm_gcp.loader import read_app_yaml
from fantasm_gcp.local.tasks import HttpDelivery

ROOT = Path(__file__).parents[2]


def entrypoint(directory: Path) -> str:
    """What App Engine runs."""
    return read_app_yaml(directory / "app.yaml").entrypoint


def container_command(directory: Path) -> str:
    """What Cloud Run runs, in a container that has the copy."""
    shell, option, line = command(parse_dockerfile((directory / "Dockerfile").read_text()))
    assert ("sh", "-c") == (shell, option)
    return line.removeprefix("exec ")


class Application:
    """The application under gunicorn, started by ``command`` on a port that is kept.

    The port is bound here and inherited, so a process that follows another one serves the same URL, and who
    connects meanwhile waits. ``environ`` is all that a process has beside PATH and PORT.
    """

    def __init__(self, directory: Path, command: str, environ: Mapping[str, str]) -> None:
        self.directory, self.command = directory, command
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {"PATH": os.environ["PATH"], "PORT": str(self.port), **environ}
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._process: subprocess.Popen[str] | None = None

    def start(self, arguments: str = "") -> None:
        """Starts a process; ``arguments`` are more of gunicorn's, before which those of the command go."""
        program, *words = shlex.split(self.command)
        assert ("gunicorn", True) == (program, ":$PORT" in words)
        descriptor = self.listener.fileno()
        bound = [f"fd://{descriptor}" if each == ":$PORT" else each for each in words]
        self.lines = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *bound],
            cwd=self.directory,
            env={**self.environ, "GUNICORN_CMD_ARGS": arguments},
            pass_fds=[descriptor],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=[self._process], daemon=True)
        self._reader.start()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._said:
                    self.lines.append(line)
                    self._said.notify_all()

    def wait_for(self, *texts: str) -> str:
        """Waits until the process has written a line with all of the texts, and answers it."""

        def found() -> str:
            return next((each for each in self.lines if all(text in each for text in texts)), "")

        with self._said:
            assert self._said.wait_for(found, PATIENCE), f"never said {texts}:\n{''.join(self.lines)}"
            return found()

    def terminate(self) -> None:
        """Tells the process to stop, as a runtime that takes an instance away."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process and its workers at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.ended()

    def kill_workers(self) -> None:
        """Ends the workers at once: their master makes others."""
        for line in list(self.lines):
            if "Booting worker with pid: " in line:
                os.kill(int(line.rpartition(" ")[2]), signal.SIGKILL)

    def ended(self) -> int:
        """Waits for the end, and for the last of what the process writes, and answers the status."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self.listener.close()

    def request(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> tuple[int, str]:
        """The status and body of a request; redirects are not followed."""
        request = urllib.request.Request(self.url + path, body, dict(headers or {}), method=method)
        try:
            with _OPENER.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def get_json(self, path: str, headers: Mapping[str, str]) -> Any:
        """What a path answers with 200."""
        status, text = self.request(path, headers)
        assert 200 == status, text
        return json.loads(text)

    def by_app_engine(self) -> HttpDelivery:
        """Delivers what is for App Engine, which adds its headers."""
        return HttpDelivery(self.url)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def copy_deployed(directory: Path) -> Path:
    """A copy of the files that ``gcloud`` uploads; of the others only what Python has compiled of these."""
    for name in left_by_gcloud((ROOT / ".gcloudignore").read_text(), files_of(ROOT)):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, directory / name)
        compiled = importlib.util.cache_from_source(name) if name.endswith(".py") else ""
        if compiled and (ROOT / compiled).exists():
            (directory / compiled).parent.mkdir(exist_ok=True)
            shutil.copy2(ROOT / compiled, directory / compiled)
    return directory
