"""How long a new instance takes to begin: `python -m benchmarks.cold_start`, some minutes for --times 5.

The sample application is started by app.yaml's own entrypoint, as on App Engine, with the local servers
beside it in this process, and is timed from its start: until it listens, until /_ah/warmup is answered, and
until the first start of a machine and the first step are. With and without compiled files: what a Dockerfile
without `compileall`, or with PYTHONDONTWRITEBYTECODE, costs. By --workers another number than app.yaml's:
App Engine asks an instance once to warm up, which is one worker of several.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import serve
from fantasm_gcp.local.tasks import HttpDelivery, TasksServer

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
MOST_SECONDS = 60.0
MACHINE = "/fantasm/fsm/MyMachine/?arg1=ok"
COLUMNS = ("listens", "warmed up", "first start", "first step", "second step")


def main() -> None:
    """Times the start in each way, and prints a table of medians in seconds."""
    given = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    given.add_argument("--times", type=int, default=5, help="starts of each kind")
    given.add_argument("--workers", type=int, default=0, help="workers of gunicorn, instead of app.yaml's")
    asked = given.parse_args()
    print(f"| | {' | '.join(COLUMNS)} |")
    print(f"| --- |{' --- |' * len(COLUMNS)}")
    with servers() as (tasks, environ):
        for compiled in (True, False):
            for warm in (True, False):
                taken = [
                    time_start(tasks, environ, compiled, warm, asked.workers) for _ in range(asked.times)
                ]
                print(f"| {_kind(compiled, warm)} | {' | '.join(_medians(taken))} |", flush=True)


def _kind(compiled: bool, warm: bool) -> str:
    return f"{'compiled' if compiled else 'not compiled'}, {'warmed up' if warm else 'not warmed up'}"


def _medians(taken: list[dict[str, float]]) -> Iterator[str]:
    for column in COLUMNS:
        known = [each[column] for each in taken if column in each]
        yield f"{statistics.median(known):.2f}" if known else ""


@contextmanager
def servers() -> Iterator[tuple[TasksServer, dict[str, str]]]:
    """The local Datastore and Cloud Tasks, and the environment of an application that uses them."""
    with ExitStack() as undo:
        rows, tasks = DatastoreServer(), TasksServer()
        hosts = []
        for server in (rows, tasks):
            wire, port = serve(server.service, HOST, 0)
            undo.callback(server.close)
            undo.callback(_stop, wire)
            hosts.append(f"{HOST}:{port}")
        yield (
            tasks,
            {
                "PATH": os.environ["PATH"],
                "GAE_ENV": "standard",
                "GAE_SERVICE": "default",
                "GAE_VERSION": "v1",
                "GOOGLE_CLOUD_PROJECT": "cold",
                "FANTASM_LOCATION": "us-central1",
                "FANTASM_IAP_AUDIENCE": "/projects/1/apps/cold",  # given, so that no metadata server is asked
                "DATASTORE_EMULATOR_HOST": hosts[0],
                "CLOUD_TASKS_EMULATOR_HOST": hosts[1],
            },
        )


def _stop(wire: grpc.Server) -> None:
    wire.stop(None).wait()


def time_start(
    tasks: TasksServer, environ: Mapping[str, str], compiled: bool, warm: bool, workers: int
) -> dict[str, float]:
    """One start of the application: when each thing was reached, in seconds from the start.

    The two steps are the time that each took, because the queue's own time is between them.
    """
    with tempfile.TemporaryDirectory() as empty:
        # An empty place for compiled files that nothing is written to: as if there were none.
        uncompiled = {"PYTHONPYCACHEPREFIX": empty, "PYTHONDONTWRITEBYTECODE": "1"}
        environ = {**environ, **({} if compiled else uncompiled)}
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        begun = time.perf_counter()
        process = subprocess.Popen(
            entrypoint(workers),
            cwd=ROOT,
            env={**environ, "PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _measure(process, f"http://{HOST}:{port}", tasks, warm, begun)
        finally:
            process.terminate()
            process.wait(MOST_SECONDS)


def entrypoint(workers: int) -> list[str]:
    """app.yaml's, on this machine alone."""
    line = re.search("(?m)^entrypoint: (.*)$", (ROOT / "app.yaml").read_text())
    assert line is not None
    text = line[1].replace("--bind :$PORT", f"--bind {HOST}:$PORT")
    if workers:
        text = re.sub(r"--workers \d+", f"--workers {workers}", text)
    return ["sh", "-c", f"exec {shlex.quote(sys.executable)} -m {text}"]


def _measure(
    process: subprocess.Popen[bytes], url: str, tasks: TasksServer, warm: bool, begun: float
) -> dict[str, float]:
    taken = {}
    _await_listening(process, url)
    taken["listens"] = time.perf_counter() - begun
    if warm:
        _request(f"{url}/_ah/warmup")
        taken["warmed up"] = time.perf_counter() - begun
    _request(url + MACHINE, {"X-Appengine-Cron": "true"})
    taken["first start"] = time.perf_counter() - begun
    deliver = HttpDelivery(url)
    for column in ("first step", "second step"):
        attempt = tasks.lease()
        while attempt is None:  # its time is a moment away
            time.sleep(0.005)
            attempt = tasks.lease()
        asked = time.perf_counter()
        response = deliver(attempt.delivery)
        taken[column] = time.perf_counter() - asked
        if response is None or response.status != 200:
            raise ChildProcessError(f"the step was answered {response}")
        tasks.finish(attempt, response)
    return taken


def _await_listening(process: subprocess.Popen[bytes], url: str) -> None:
    port = int(url.rpartition(":")[2])
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.005)
    raise ChildProcessError("gunicorn does not listen")


def _request(url: str, headers: Mapping[str, str] | None = None) -> None:
    """Requests a URL that has to be there; raises ``OSError`` where the answer is none of success."""
    asked = urllib.request.Request(url, headers=dict(headers or {}))
    with urllib.request.urlopen(asked, timeout=MOST_SECONDS) as answer:
        answer.read()


if __name__ == "__main__":
    main()
