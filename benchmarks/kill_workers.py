"""Kills gunicorn's workers with SIGKILL in the middle of steps, then looks at what is left.

    python -m benchmarks.kill_workers [--kills 20] [--seed N] [--datastore local|gcloud] [--seconds 300]

Instances of several machines run all the while. Each worker dies at a moment that was chosen for it: before
or after an RPC, or inside an action. In the first half of a run the local Datastore server is killed, too,
and begins again on its data; in the second half the Cloud Tasks server is, and its tasks are deleted once.
Ends with status 0 when everything was done exactly once and nothing is left, with 1 when not or when the time
is up: then data and logs are kept, and it says where.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.deployment import Datastore, Deployment
from benchmarks.killing import Figures, Killing
from fantasm_gcp.local.dev.gcloud import GcloudDatastore
from fantasm_gcp.local.dev.servers import OpenError

SHOWN = 20
"""Faults that are printed."""


def kill_workers(
    directory: Path, kills: int, seed: int, seconds: float, datastore: Datastore | None = None
) -> Figures:
    """One run, with its data and logs in ``directory``; every process that it started has ended then.

    That it did not come to its end within ``seconds`` is a fault, too.
    """
    deadline = time.monotonic() + seconds
    with (
        Deployment(directory, datastore) as deployment,
        closing(Killing(deployment, seed, deadline)) as killing,
    ):
        return killing.run(kills)


def main() -> int:
    """Runs it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--datastore", choices=("local", "gcloud"), default="local")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long it may take")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="killed-"))
    began = time.monotonic()
    try:
        if options.datastore == "gcloud":
            figures = _with_gcloud(directory, options.kills, options.seed, options.seconds)
        else:
            figures = kill_workers(directory, options.kills, options.seed, options.seconds)
    except OpenError as error:
        print(error)
        return 1
    _show(figures)
    right = not figures.faults
    if right:
        shutil.rmtree(directory)
    else:
        print(f"data and logs are in {directory}")
    print(f"{'right' if right else 'WRONG'} after {time.monotonic() - began:.0f} s, seed {options.seed}")
    return 0 if right else 1


def _with_gcloud(directory: Path, kills: int, seed: int, seconds: float) -> Figures:
    emulator = GcloudDatastore(None, "killed")
    try:
        return kill_workers(directory, kills, seed, seconds, Datastore(emulator.host, "killed", ""))
    finally:
        emulator.close()


def _show(figures: Figures) -> None:
    print(f"{figures.kills.total()} workers killed:")
    for moment, times in sorted(figures.kills.items()):
        print(f"  {times:3} {moment}")
    servers = ", ".join(f"{server} {times}" for server, times in sorted(figures.servers.items()))
    print(f"servers killed: {servers or 'none'}")
    machines = ", ".join(f"{machine} {times}" for machine, times in sorted(figures.machines.items()))
    print(f"instances: {machines or 'none'}")
    print(f"steps: {figures.steps}, with more than one attempt: {figures.retried}")
    print(f"tasks deleted: {figures.lost}; steps enqueued again by {figures.sweeps} sweeps: {figures.mended}")
    print(f"starts and sweeps that had to be asked for again: {figures.repeated} times")
    for fault in figures.faults[:SHOWN]:
        print(f"WRONG: {fault}")
    if len(figures.faults) > SHOWN:
        print(f"... and {len(figures.faults) - SHOWN} more")


if __name__ == "__main__":
    sys.exit(main())
