"""Long runs by hand: ``python -m differential --seeds 1000 --from 0 [--emulator datastore]``.

Run it in the folder ``tests``, with ``PYTHONPATH=..:.``. It starts the emulators itself, prints each
difference, shrunk, as a program to replay, and ends with status 1 when there was any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import grpc
from datastore_backends import EMULATORS, CannotStart, running_emulator

from differential.comparison import Difference, compare, local, remote
from differential.gaps import avoided, gaps_of
from differential.generator import sequence
from differential.operations import Operation
from differential.replay import program
from differential.shrinking import shrunk


def main() -> int:
    """Runs what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m differential", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many sequences")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--emulator", choices=EMULATORS, action="append", help="both, unless named")
    parser.add_argument("--differences", type=int, default=5, help="stop after so many")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    found = 0
    for emulator in arguments.emulator or EMULATORS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with running_emulator(emulator, Path(folder)) as host, grpc.insecure_channel(host) as channel:
                    found += run(emulator, channel, seeds, arguments.differences)
            except CannotStart as reason:
                print(f"{emulator}: {reason}")
                return 2
    return int(found > 0)


def run(emulator: str, channel: grpc.Channel, seeds: range, most: int) -> int:
    """Compares with one emulator and prints what differs; how many sequences did."""
    sent = found = 0
    for seed in seeds:
        operations = sequence(seed, avoided(emulator))
        sent += len(operations)
        difference = compare(operations, local, remote(channel), gaps_of(emulator))
        if difference is not None:
            found += 1
            print(report(emulator, channel, operations, difference, seed))
        if found >= most:
            break
    print(f"{emulator}: {sent} operations, {found} differences")
    return found


def report(
    emulator: str, channel: grpc.Channel, operations: list[Operation], difference: Difference, seed: int
) -> str:
    """A difference in words, with the smallest sequence that shows it."""

    def shows(candidate: object) -> bool:
        assert isinstance(candidate, list)
        smaller = compare(candidate, local, remote(channel), gaps_of(emulator))
        return smaller is not None and smaller.signature() == difference.signature()

    smallest = shrunk(operations, shows)
    final = compare(smallest, local, remote(channel), gaps_of(emulator)) or difference
    return f"# seed {seed}, {emulator}\n{program(smallest, emulator)}\n{final.in_words()}\n"


if __name__ == "__main__":
    sys.exit(main())
