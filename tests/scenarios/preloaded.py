"""Runs modules as programs, each in a fork of a process that has the libraries loaded.

Loading them takes longer than most of what is run. Nothing here may import ``fantasm_gcp``: what runs in a
fork loads the copy that it is told of.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = ("flask", "google.cloud.datastore", "google.cloud.tasks_v2", "pytest", "werkzeug.test", "yaml")
SECONDS = 300
"""How long a program may run."""


class Preloaded:
    """A process that forks; one program at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: Path, command: Sequence[str]) -> tuple[int, str]:
        """The exit status and the words of ``python -m`` with a command, in a folder and with its packages."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), *command]) + "\n")
        self._process.stdin.flush()
        status, words = json.loads(self._process.stdout.readline())
        return status, words

    def __enter__(self) -> Preloaded:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def main() -> None:
    """Takes commands from the standard input, one a line as JSON, and answers each with a line."""
    gc.disable()
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    gc.enable()
    for line in sys.stdin:
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if not child:
                _become(*json.loads(line), output=output)
            _, status = os.waitpid(child, 0)
            output.seek(0)
            words = output.read().decode(errors="backslashreplace")
        print(json.dumps([os.waitstatus_to_exitcode(status), words]), flush=True)


def _become(folder: str, *command: str, output: Any) -> NoReturn:
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    signal.alarm(SECONDS)
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv = list(command)
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    raise SystemExit(0)


if __name__ == "__main__":
    main()
