"""Kills the local servers with SIGKILL again and again while clients write, then looks at what is left.

    python -m benchmarks.kill_servers [--kills 50] [--seed N] [--seconds 300]

Both servers run in one process on files, each run on those of the run before. Threads put, change and delete
entities, alone and several in a commit, and create and delete tasks, alone and in batches; some tasks are
delivered. The process dies at a random number of acknowledged calls. Ends with status 0 when after each death
everything acknowledged is there and nothing by halves, with 1 when not or when the time is up.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from benchmarks.forked_servers import ForkedServers, Running
from benchmarks.local_server import HOST
from benchmarks.survivors import wrong_entities, wrong_tasks
from benchmarks.writers import LOCATION, Acknowledged, EntityWriter, TaskWriter

ENTITY_THREADS = 3
TASK_THREADS = 2
"""Threads that write to each of the two servers."""

MOST_CALLS = 80
"""Acknowledged calls of a run at most."""

MOST_SECONDS = 0.02
"""How long after such a call the process dies at most: calls are in flight then, some of them long."""

FAR_SECONDS = 20 * 86_400
"""How far ahead the tasks are that only wait."""


@dataclass
class Figures:
    """What was done, and in ``faults`` what is wrong after it."""

    kills: int = 0
    acknowledged: int = 0
    delivered: int = 0
    faults: list[str] = field(default_factory=list)


def kill_servers(directory: Path, kills: int, seed: int, seconds: float) -> Figures:
    """So many runs, with the servers' files in ``directory``; every process has ended afterwards.

    Stops at the first run with a fault. That it did not come to its end within ``seconds`` is one, too.
    """
    deadline = time.monotonic() + seconds
    chance = random.Random(seed)
    figures = Figures()
    with closing(_Worker()) as worker, ForkedServers(worker.url) as servers:
        for number in range(kills):
            if time.monotonic() > deadline:
                figures.faults.append(f"the time is up: {seconds:g} s")
                break
            _run(directory, servers, worker, f"{seed}-{number}", chance, figures)
            if figures.faults:
                break
        figures.delivered = len(worker.delivered)
    return figures


def _run(
    directory: Path,
    servers: ForkedServers,
    worker: _Worker,
    name: str,
    chance: random.Random,
    figures: Figures,
) -> None:
    running = servers.start(directory)
    acknowledged = Acknowledged(chance.randint(1, MOST_CALLS))
    queue = f"{LOCATION}/queues/q{name}"
    try:
        _create_queue(running, queue)
        entities, tasks = _writers(running, worker.url, name, queue, acknowledged)
        threads = [threading.Thread(target=writer.write) for writer in (*entities, *tasks)]
        for thread in threads:
            thread.start()
        acknowledged.reached.wait()
        time.sleep(chance.uniform(0, MOST_SECONDS))
    finally:
        servers.kill()
    for thread in threads:
        thread.join()
    figures.kills += 1
    figures.acknowledged += acknowledged.count
    figures.faults += [writer.fault for writer in (*entities, *tasks) if writer.fault]
    figures.faults += wrong_entities(directory, f"n{name}", entities)
    figures.faults += wrong_tasks(directory, queue, tasks, worker.delivered)


def _writers(
    running: Running, worker_url: str, name: str, queue: str, acknowledged: Acknowledged
) -> tuple[list[EntityWriter], list[TaskWriter]]:
    far = int(time.time()) + FAR_SECONDS
    host, namespace = running.datastore_host, f"n{name}"
    entities = [
        EntityWriter(host, namespace, f"e{each}-", f"{name}e{each}", acknowledged)
        for each in range(ENTITY_THREADS)
    ]
    tasks = [
        TaskWriter(
            running.tasks_host, queue, f"t{name}-{each}-", f"{name}t{each}", worker_url, far, acknowledged
        )
        for each in range(TASK_THREADS)
    ]
    return entities, tasks


def _create_queue(running: Running, queue: str) -> None:
    with grpc.insecure_channel(running.tasks_host) as channel:
        api: Any = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        api.create_queue(parent=LOCATION, queue={"name": queue})


class _Worker:
    """Gets the tasks that are due; ``delivered`` are their ids."""

    def __init__(self) -> None:
        self.delivered: set[str] = set()
        delivered = self.delivered

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                delivered.add(self.path.rpartition("/")[2])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Said by nobody."""

        self._http = ThreadingHTTPServer((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://{HOST}:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def main() -> int:
    """Runs it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--seconds", type=float, default=300.0, help="how long it may take")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        figures = kill_servers(Path(directory), options.kills, options.seed, options.seconds)
    print(f"{figures.kills} kills, {figures.acknowledged} calls acknowledged, {figures.delivered} deliveries")
    for fault in figures.faults[:20]:
        print(f"WRONG: {fault}")
    right = not figures.faults
    took = time.monotonic() - began
    print(f"{'right' if right else 'WRONG'} after {took:.0f} s, seed {options.seed}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
