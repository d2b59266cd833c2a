"""Kills `fantasm dev` with SIGKILL again and again during the sample campaign, then looks at what is left.

    python -m benchmarks.kill9 [--kills 20] [--seed N] [--seconds 600]

Each run continues the data of the one before and is killed at a random moment, while it starts or while it
works; the last one is let run to its end. Ends with status 0 when every campaign has sent and counted one
email for each of its 1,000 subscribers and no task is left, with 1 when not or when the time is up.
"""

from __future__ import annotations

import argparse
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fantasm_gcp.gateways.clients import Channels, datastore_api, datastore_users
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.dev.servers import DATASTORE_FILE, TASKS_FILE
from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
SUBSCRIBERS = 1000
STARTING = 1.0
"""Seconds within which a run that is to be killed while it starts is killed."""
WORKING = 0.3
"""Seconds after the campaign's first line within which the others are: short, so that all fall into one."""


class Run:
    """One `fantasm dev --demo --exit`, with its output as lines that can be waited for."""

    def __init__(self, data: Path) -> None:
        command = [sys.executable, "-m", "fantasm_gcp", "dev", "--demo", "--exit", "--port", "0", "--data"]
        self.child = subprocess.Popen(
            [*command, str(data)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.said.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def await_campaign(self, deadline: float) -> None:
        """Returns when the campaign was started or continued, or the run has ended."""
        while True:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            if line is None or line.startswith(("instance", "continues")):
                return

    def kill_after(self, seconds: float) -> bool:
        """Kills it, unless it ends by itself before."""
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return True
        return False


def main() -> int:
    """Runs it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--seconds", type=float, default=600.0, help="how long it may take")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        try:
            ok = kill_again_and_again(Path(directory), options.kills, options.seed, began + options.seconds)
        except (queue.Empty, subprocess.TimeoutExpired):
            print(f"the time is up: {options.seconds:g} s")
            ok = False
    print(f"{'right' if ok else 'WRONG'} after {time.monotonic() - began:.0f} s, seed {options.seed}")
    return 0 if ok else 1


def kill_again_and_again(data: Path, kills: int, seed: int, deadline: float) -> bool:
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        if time.monotonic() > deadline:
            raise queue.Empty
        run = Run(data)
        try:
            if chance.random() < 0.25:
                moment, seconds = "starting", chance.uniform(0, STARTING)
            else:
                moment, seconds = "working", chance.uniform(0, WORKING)
                run.await_campaign(deadline)
            killed[moment] += run.kill_after(seconds)
        finally:
            run.child.kill()
            run.child.wait()
        if run.child.returncode not in (0, -9):
            print("".join(run.said))
            return False
    print(f"{killed['starting']} kills while starting, {killed['working']} while working; the last run:")
    last = Run(data)
    try:
        status = last.child.wait(max(0.0, deadline - time.monotonic()))
    finally:
        last.child.kill()
        last.child.wait()
    print("".join(last.said[-6:]), end="")
    return look_at(data) and status == 0


def look_at(data: Path) -> bool:
    """Whether every campaign in the data is right, asked of the files and of nothing that ran."""
    server, tasks = DatastoreServer(data / DATASTORE_FILE), TasksServer(data / TASKS_FILE)
    try:
        channels = Channels(lambda: LocalChannel(server.service))
        client: Any = datastore_users(channels, Settings(project="local"), datastore_api(channels))
        sent = Counter(each["campaign"] for each in client.query(kind="OutboxEmail").fetch())
        to = {(each["campaign"], each["to"]) for each in client.query(kind="OutboxEmail").fetch()}
        counted = {each.key.name: each["counter"] for each in client.query(kind="EmailBatch").fetch()}
        left = tasks.depth()
    finally:
        server.close()
        tasks.close()
    print(f"campaigns {len(sent)}, emails {sorted(sent.values())}, counted {sorted(counted.values())}")
    print(f"emails to different subscribers {len(to)}, tasks left {left}")
    expected = dict.fromkeys(counted, SUBSCRIBERS)
    return bool(sent) and expected == counted == dict(sent) and len(to) == sent.total() and left == 0


if __name__ == "__main__":
    sys.exit(main())
