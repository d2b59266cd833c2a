"""How fast the local servers are, beside Google's emulators on the same machine, and what memory they take.

    python -m benchmarks.emulators [--against gcloud,firestore] [--seconds 1.5]

The same Python clients call each server over gRPC from this process, by one thread and by eight. An emulator
that is not installed is left out, and the reason is printed. It takes some three minutes, and Linux, which
tells what a process has in memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc

from benchmarks.datastores import (
    IN_MEMORY,
    ROOT,
    LocalServer,
    firestore_emulator,
    gcloud_emulator,
    local_datastore,
)
from benchmarks.loads import BATCH, PROJECT, DatastoreLoad, TasksLoad, datastore_client, rate, tasks_client
from benchmarks.local_server import HOST
from fantasm_gcp.local.dev.gcloud import OpenError
from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import Dispatcher, TasksServer, WsgiDelivery

THREADS = (1, 8)
ENTITIES = 10_000
MANY = 100_000
DELIVERED = 1500
DISPATCHERS = 8
RATE = 1_000_000.0
"""Dispatches per second that a queue may make: it is not what is measured."""

Row = tuple[str, ...]


def measure_datastore(host: str, seconds: float) -> list[float]:
    """Puts, gets, transactions and queries per second, each by one thread and by several."""
    client = datastore_client(host)
    load = DatastoreLoad(client, ENTITIES)
    load.fill()
    acts = (load.put, load.get, load.transaction, load.query)
    return [rate(act, threads, seconds) for act in acts for threads in THREADS]


def compare_datastores(against: Iterable[str], seconds: float, directory: Path) -> list[Row]:
    """A row for each Datastore, the local ones first."""
    backends: dict[str, Callable[[], AbstractContextManager[str]]] = {
        "local, on a file": lambda: local_datastore(str(directory / "datastore")),
        "local, in memory": lambda: local_datastore(IN_MEMORY),
    }
    emulators = {
        "gcloud": ("gcloud's Datastore emulator", lambda: gcloud_emulator(PROJECT)),
        "firestore": ("Firestore emulator", lambda: firestore_emulator(PROJECT)),
    }
    backends |= dict(emulators[name] for name in against)
    rows: list[Row] = [
        ("", *(f"{what} x{n}" for what in ("put", "get", "transaction", "query") for n in THREADS))
    ]
    for name, backend in backends.items():
        try:
            with backend() as host:
                rows.append((name, *(f"{figure:.0f}" for figure in measure_datastore(host, seconds))))
        except OpenError as error:
            rows.append((name, f"left out: {error}"))
        print(f"  {name} done", file=sys.stderr)
    return rows


def measure_tasks(file: str, url: str, seconds: float) -> Row:
    """Creations and deliveries per second of a server in a process of its own."""
    with closing(LocalServer("tasks", file, "0", url, str(DISPATCHERS), str(RATE))) as server:
        client = tasks_client(grpc.insecure_channel(server.host))
        waiting = TasksLoad(client, url, waiting=True)
        creates = [rate(waiting.create, threads, seconds) for threads in THREADS]
        batches = [rate(waiting.create_batch, threads, seconds) * BATCH for threads in THREADS]
        client.purge_queue(name=f"projects/{PROJECT}/locations/here/queues/work")
        load = TasksLoad(client, url, waiting=False)
        figures = [*creates, *batches, load.deliveries(DELIVERED, load.left)]
    return tuple(f"{figure:.0f}" for figure in figures)


def measure_in_process(file: str | None) -> str:
    """Tasks per second that are created and delivered without a socket."""

    def answer(_: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        start("200 OK", [])
        return []

    with closing(TasksServer(file, max_dispatches_per_second=RATE)) as server:
        dispatcher = Dispatcher(server, WsgiDelivery(answer), DISPATCHERS)
        dispatcher.start()
        client = tasks_client(LocalChannel(server.service))
        figure = TasksLoad(client, "http://worker.example/", waiting=False).deliveries(
            DELIVERED, server.depth
        )
        dispatcher.stop()
    return f"{figure:.0f}"


def compare_tasks(seconds: float, directory: Path) -> list[Row]:
    """A row for Cloud Tasks on a file and one for Cloud Tasks in memory."""
    heads = ("create", "batch-created")
    rows: list[Row] = [("", *(f"{what} x{n}" for what in heads for n in THREADS), "dispatched", "in process")]
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.emulators", "--worker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout is not None
        url = f"http://{HOST}:{int(worker.stdout.readline())}/"
        for name, file in (
            ("local, on a file", str(directory / "tasks")),
            ("local, in memory", IN_MEMORY),
        ):
            own = None if file == IN_MEMORY else f"{file}-in-process"
            rows.append((name, *measure_tasks(file, url, seconds), measure_in_process(own)))
            print(f"  tasks {name} done", file=sys.stderr)
    finally:
        worker.kill()
        worker.communicate()
    return rows


def measure_memory(directory: Path) -> list[Row]:
    """What the processes have in memory when they are new, and with many entities and many tasks."""
    rows: list[Row] = [("MiB", "new", f"{MANY:,} entities", "new", f"{MANY:,} tasks")]
    for name, files in (
        ("local, on a file", (str(directory / "entities"), str(directory / "waiting"))),
        ("local, in memory", (IN_MEMORY, IN_MEMORY)),
    ):
        with closing(LocalServer("datastore", files[0], "0")) as server:
            figures = [server.resident_mebibytes()]
            DatastoreLoad(datastore_client(server.host), MANY).fill()
            figures.append(server.resident_mebibytes())
        with closing(LocalServer("tasks", files[1], "0", "http://127.0.0.1:9/", "1")) as server:
            figures.append(server.resident_mebibytes())
            load = TasksLoad(
                tasks_client(grpc.insecure_channel(server.host)), "http://worker.example/", waiting=True
            )
            for _ in range(MANY // BATCH):
                load.create_batch(0)
            figures.append(server.resident_mebibytes())
        rows.append((name, *(f"{figure:.0f}" for figure in figures)))
        print(f"  memory {name} done", file=sys.stderr)
    return rows


def render(rows: list[Row]) -> str:
    """The rows as text, with columns as wide as what is in them; a row that tells a reason is not cut."""
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[each]) for row in full) for each in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = []
    for name, *cells in rows:
        if len(cells) < len(rows[0]) - 1:
            lines.append(f"{name:<{widths[0]}}  {cells[0]}")
        else:
            right = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
            lines.append("  ".join((f"{name:<{widths[0]}}", *right)))
    return "\n".join(lines)


def machine() -> str:
    """What the figures depend on, in a line."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    load = os.getloadavg()[0]
    versions = (
        f"Python {platform.python_version()}, grpcio {grpc.__version__}, SQLite {sqlite3.sqlite_version}"
    )
    return f"{os.cpu_count()} x {model}; {versions}; load before {load:.1f}"


def serve_worker() -> None:
    """Answers everything 200, at the port it prints, until there is no more standard input."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response_only(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Said by nobody."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def main() -> int:
    """Runs it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", default="gcloud,firestore", help="emulators beside the local server")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each rate is measured")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve_worker()
        return 0
    against = [name for name in options.against.split(",") if name]
    unknown = set(against) - {"gcloud", "firestore"}
    if unknown:
        parser.error(f"--against knows gcloud and firestore, not {', '.join(sorted(unknown))}")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as directory:
        print("\nDatastore, calls per second by 1 and 8 threads")
        print(render(compare_datastores(against, options.seconds, Path(directory))), flush=True)
        print("\nCloud Tasks, tasks per second")
        print(render(compare_tasks(options.seconds, Path(directory))), flush=True)
        print("\nMemory of the server's process")
        print(render(measure_memory(Path(directory))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
