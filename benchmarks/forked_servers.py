"""Both local servers on files, in a process that is made to be killed.

A process that has imported everything forks one for each directory that it reads from its standard input. The
fork opens the servers there, prints its two ports, and delivers due tasks to the URL it was given, until the
next line has it killed, or nobody is there to kill it. What it logs is not wanted.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from benchmarks.local_server import HOST
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import serve
from fantasm_gcp.local.tasks import Dispatcher, HttpDelivery, TasksServer

ROOT = Path(__file__).resolve().parents[1]
DATASTORE_FILE = "datastore"
TASKS_FILE = "tasks"
KILLED, FAILED = "killed", "failed"
_DELIVERIES = 2


@dataclass(frozen=True)
class Running:
    """The addresses of both servers of one process."""

    datastore_host: str
    tasks_host: str


class ForkedServers:
    """Starts and kills such processes one after the other; a context manager that ends them all."""

    def __init__(self, worker_url: str) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.forked_servers", worker_url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, directory: Path) -> Running:
        """Starts the servers on the files of a directory; those before must have been killed.

        Raises ``RuntimeError`` when they do not start, for a reason that stands in the standard error.
        """
        said = self._ask(str(directory))
        if said == FAILED:
            raise RuntimeError(f"the servers do not start on {directory.name}")
        datastore_port, tasks_port = said.split()
        return Running(f"{HOST}:{datastore_port}", f"{HOST}:{tasks_port}")

    def kill(self) -> None:
        """Kills the process with SIGKILL, and returns when it has ended and its files are free."""
        said = self._ask("kill")
        if said != KILLED:
            raise RuntimeError(f"the servers had ended before they were killed: {said or 'all of them'}")

    def _ask(self, line: str) -> str:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(f"{line}\n")
        self._parent.stdin.flush()
        return self._parent.stdout.readline().rstrip("\n")

    def __enter__(self) -> ForkedServers:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()  # the end of its input ends it, and whatever it has forked


def main(worker_url: str) -> None:
    """Forks a process for each directory that is named, and kills it at the next line."""
    logging.disable()
    while directory := sys.stdin.readline().rstrip("\n"):
        watched, watching = os.pipe()
        ready, telling = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(watching)
            os.close(ready)
            _serve_or_fail(Path(directory), worker_url, watched, telling)
        os.close(watched)
        os.close(telling)
        with open(ready) as stream:
            ports = stream.readline().rstrip("\n")
        status = None if ports else os.waitpid(pid, 0)[1]
        print(ports or FAILED, flush=True)
        sys.stdin.readline()
        if status is None:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        os.close(watching)
        killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        print(KILLED if killed else f"status {status}", flush=True)


def _serve_or_fail(directory: Path, worker_url: str, watched: int, telling: int) -> NoReturn:
    try:
        _serve(directory, worker_url, watched, telling)
    except Exception:  # noqa: BLE001  # told to whoever asked for them
        traceback.print_exc()
    os._exit(1)


def _serve(directory: Path, worker_url: str, watched: int, telling: int) -> None:
    """Tells its ports, and serves until it is killed or nobody holds the other end of the pipe any more."""
    datastore = DatastoreServer(directory / DATASTORE_FILE)
    tasks = TasksServer(directory / TASKS_FILE)
    # Held to the end: a gRPC server that nobody holds any more is closed.
    servers = [serve(each.service, HOST, 0) for each in (datastore, tasks)]
    Dispatcher(tasks, HttpDelivery(worker_url), _DELIVERIES).start()
    with open(telling, "w") as stream:
        print(*(port for _, port in servers), file=stream)
    os.read(watched, 1)


if __name__ == "__main__":
    main(sys.argv[1])
