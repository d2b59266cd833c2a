"""The engine holds against the adversary, and each guard that is left out is missed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chain
import pytest
import storm
import tangle
from guards import (
    CHAIN_GUARDS,
    DIRECTED_GUARDS,
    SEEN_AT,
    SIMULATED_GUARDS,
    STORM_GUARDS,
    TANGLE_GUARDS,
    Change,
)
from preloaded import Preloaded

import fantasm_gcp

SEEDS = 30
MOST_SEEDS = 300
PACKAGE = Path(fantasm_gcp.__file__).parent
GUARDS = CHAIN_GUARDS | STORM_GUARDS | TANGLE_GUARDS
HERE = Path(__file__).parent
STORM_SEEDS = 12
TANGLE_SEEDS = 24


@pytest.fixture
def silence():
    """Bad luck is logged by the thousand lines, each with a traceback."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("raises", [0.0, 0.3], ids=["calm", "raising"])
@pytest.mark.parametrize("part", range(4))
def test_nothing_is_lost_or_doubled_whatever_overlaps_and_dies(part, raises):
    """Overlapping, killed, repeated and late deliveries come to what one delivery of each comes to."""
    seeds = range(part * SEEDS, (part + 1) * SEEDS)
    assert dict.fromkeys(seeds, "ok") == {seed: chain.verdict(seed, raises) for seed in seeds}


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("raises", [0.0, 0.3], ids=["calm", "raising"])
@pytest.mark.parametrize("part", range(4))
def test_forks_groups_and_spawned_machines_hold_as_well(part, raises):
    """Each leaf is counted once, each child runs once, each instance is completed once."""
    seeds = range(part * STORM_SEEDS, (part + 1) * STORM_SEEDS)
    assert dict.fromkeys(seeds, "ok") == {seed: storm.verdict(seed, raises) for seed in seeds}


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("part", range(4))
def test_joins_commands_and_sweeps_hold_as_well(part):
    """Each context is in one batch, each end told once; nothing is parked for ever, lost for good or left."""
    seeds = range(part * TANGLE_SEEDS, (part + 1) * TANGLE_SEEDS)
    assert dict.fromkeys(seeds, "ok") == {
        seed: next(
            (each for each in (tangle.verdict(seed, 0.0), tangle.verdict(seed, 0.3)) if each != "ok"), "ok"
        )
        for seed in seeds
    }


def commands(guard: str) -> Iterator[list[str]]:
    """What shows that a guard is missing: the first that ends with status 1 does."""
    if guard in DIRECTED_GUARDS:
        test = HERE / DIRECTED_GUARDS[guard][0]
        yield ["pytest", "-q", "-p", "no:randomly", "-o", f"pythonpath={HERE}", str(test)]
    elif guard in SIMULATED_GUARDS:
        simulation = ["fantasm_gcp.testing.simulation", "--shrink", "0"]
        yield [*simulation, "3", "--from", str(SIMULATED_GUARDS[guard][0])]
        yield [*simulation, str(MOST_SEEDS)]
    else:
        program = Path(
            (chain if guard in CHAIN_GUARDS else storm if guard in STORM_GUARDS else tangle).__file__
        )
        if guard.partition(":")[0] in SEEN_AT:
            yield [program.stem, "2", str(SEEN_AT[guard.partition(":")[0]])]
        yield [program.stem, str(MOST_SEEDS)]


def changes(guard: str) -> tuple[Change, ...]:
    """What leaves a guard out."""
    with_more = SIMULATED_GUARDS | DIRECTED_GUARDS
    return with_more[guard][1] if guard in with_more else GUARDS[guard]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """The exit status and words of the adversary against each changed engine, two at a time."""
    guards = [*GUARDS, *SIMULATED_GUARDS, *DIRECTED_GUARDS]
    folders = {guard: tmp_path_factory.mktemp("engine") for guard in guards}

    def run(guard: str) -> tuple[int, str]:
        folder = folders[guard]
        shutil.copytree(PACKAGE, folder / "fantasm_gcp", ignore=shutil.ignore_patterns("*.pyc.*"))
        for change in changes(guard):
            leave_out(folder / "fantasm_gcp", change)
        worker = idle.pop()
        try:
            for command in commands(guard):
                status, words = worker.run(folder, command)
                if status:
                    break
        finally:
            idle.append(worker)
        return status, words

    with Preloaded() as first, Preloaded() as second, ThreadPoolExecutor(2) as pool:
        idle = [first, second]
        return dict(zip(guards, pool.map(run, guards), strict=True))


def leave_out(package: Path, change: Change) -> None:
    path = package / change.file
    source = path.read_text()
    assert 1 == source.count(change.old), f"{change.old!r} is not once in {change.file}"
    path.write_text(source.replace(change.old, change.new))


@pytest.mark.parametrize("guard", [*GUARDS, *SIMULATED_GUARDS, *DIRECTED_GUARDS])
def test_leaving_a_guard_out_breaks_an_invariant(verdicts, guard):
    """Without the guard, some seed loses or doubles something and says so, or its test fails."""
    status, words = verdicts[guard]
    assert (1, True) == (status, "seed " in words or " failed" in words), words
