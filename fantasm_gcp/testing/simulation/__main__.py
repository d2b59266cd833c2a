"""Runs seeds until one breaks an invariant: ``python -m fantasm_gcp.testing.simulation 2000``.

The exit status is 1 where one did; what it printed then leads to the fault.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from fantasm_gcp.testing.simulation.report import render_run
from fantasm_gcp.testing.simulation.run import Run, first_broken, simulate, simulate_seed
from fantasm_gcp.testing.simulation.shrinking import MOST_RUNS, shrink
from fantasm_gcp.testing.simulation.tape import Tape, parse_tape

CHUNK = 100
"""Seeds that one process runs at a time."""


def main() -> int:
    """The program; see the module."""
    parser = argparse.ArgumentParser("fantasm_gcp.testing.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="?", type=int, default=100, help="how many seeds to run")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first of them")
    parser.add_argument("--tape", help="run this tape instead, and print what happened")
    parser.add_argument("--shrink", type=int, default=MOST_RUNS, help="how many runs shrinking may take")
    parser.add_argument("--processes", type=int, default=1, help="how many processes share the seeds")
    options = parser.parse_args()
    if options.tape is not None:
        return _replay(options.tape)
    began = time.monotonic()
    seeds = range(options.first, options.first + options.seeds)
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    for broken in _run(chunks, options.processes):
        if broken is not None:
            _print_failure(broken, simulate_seed(broken), options.shrink)
            return 1
    sys.stdout.write(f"ok: {options.seeds} seeds from {options.first}, {time.monotonic() - began:.0f} s\n")
    return 0


def _run(chunks: Iterable[range], processes: int) -> Iterator[int | None]:
    """For each chunk the first seed that breaks something, or None."""
    if processes == 1:
        yield from map(first_broken, chunks)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(first_broken, chunks)
        finally:
            pool.shutdown(cancel_futures=True)


def _print_failure(seed: int, run: Run, most: int) -> None:
    sys.stdout.write(f"seed {seed}: {run.broken[0]}\n")
    sys.stdout.flush()
    if most:
        sys.stdout.write(render_run(shrink(run, most=most), f"seed {seed}, shrunk"))
    else:
        sys.stdout.write(render_run(run, f"seed {seed}"))


def _replay(text: str) -> int:
    run = simulate(Tape(parse_tape(text)))
    sys.stdout.write(render_run(run, "replayed" if run.broken else "replayed: nothing is broken"))
    return 1 if run.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
