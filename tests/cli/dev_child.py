"""A command of ours as a child process, with its output as lines that can be waited for."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


class Child:
    """Runs `fantasm` with arguments in a directory; a context manager that leaves nothing running."""

    def __init__(self, directory: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fantasm_gcp", *arguments],
            cwd=directory,
            env=clean_environ() | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.said.append(line.rstrip("\n"))
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    @property
    def output(self) -> str:
        """Everything it has said so far."""
        return "\n".join(self.said)

    def await_line(self, beginning: str) -> str:
        """The next line with this beginning; fails with what was said when the child ends before."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, give_up - time.monotonic()))
            except queue.Empty:
                line = None
            assert line is not None, f"no line {beginning!r} in:\n{self.output}"
            if line.startswith(beginning):
                return line

    def await_url(self) -> str:
        """Where it serves, once it does; the words in front of the address are stripped."""
        url = self.await_line("console").split()[1].removesuffix("/fantasm/")
        self.await_line("serving")
        return url

    def await_end(self) -> int:
        """Its exit status; everything was read then."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # has faulthandler say where each of its threads is
            self.process.wait(PATIENCE)
            self._reader.join(PATIENCE)
            raise AssertionError(f"it does not end:\n{self.output}") from None
        self._reader.join(PATIENCE)
        return status

    def stop(self) -> int:
        """Stops it as an operator does, and answers its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.await_end()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.await_end()


def run(directory: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Runs a command to its end: its exit status and what it said."""
    with Child(directory, *arguments, environ=environ) as child:
        status = child.await_end()
    return status, child.output


def clean_environ() -> dict[str, str]:
    """Nothing that was set for these tests or their surroundings, but the place of the packages."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
