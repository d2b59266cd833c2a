"""The engine holds against the adversary, and each guard that is left out is missed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chain
import pytest
import storm
from guards import CHAIN_GUARDS, STORM_GUARDS, Change

import fantasm_gcp

SEEDS = 40
MOST_SEEDS = 300
PACKAGE = Path(fantasm_gcp.__file__).parent
GUARDS = CHAIN_GUARDS | STORM_GUARDS
STORM_SEEDS = 15


@pytest.mark.parametrize("raises", [0.0, 0.3], ids=["calm", "raising"])
@pytest.mark.parametrize("part", range(4))
def test_nothing_is_lost_or_doubled_whatever_overlaps_and_dies(part, raises):
    """Overlapping, killed, repeated and late deliveries come to what one delivery of each comes to."""
    seeds = range(part * SEEDS, (part + 1) * SEEDS)
    assert dict.fromkeys(seeds, "ok") == {seed: chain.verdict(seed, raises) for seed in seeds}


@pytest.mark.parametrize("raises", [0.0, 0.3], ids=["calm", "raising"])
@pytest.mark.parametrize("part", range(4))
def test_forks_groups_and_spawned_machines_hold_as_well(part, raises):
    """Each leaf is counted once, each child runs once, each instance is completed once."""
    seeds = range(part * STORM_SEEDS, (part + 1) * STORM_SEEDS)
    assert dict.fromkeys(seeds, "ok") == {seed: storm.verdict(seed, raises) for seed in seeds}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """The exit status and words of the adversary against each changed engine, two at a time."""
    folders = {guard: tmp_path_factory.mktemp("engine") for guard in GUARDS}

    def run(guard: str) -> tuple[int, str]:
        folder = folders[guard]
        shutil.copytree(PACKAGE, folder / "fantasm_gcp", ignore=shutil.ignore_patterns("__pycache__"))
        for change in GUARDS[guard]:
            leave_out(folder / "fantasm_gcp", change)
        program = storm if guard in STORM_GUARDS else chain
        command = [sys.executable, program.__file__, str(MOST_SEEDS)]
        result = subprocess.run(
            command, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False, timeout=300
        )
        return result.returncode, result.stdout + result.stderr[-2000:]

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(GUARDS, pool.map(run, GUARDS), strict=True))


def leave_out(package: Path, change: Change) -> None:
    path = package / change.file
    source = path.read_text()
    assert 1 == source.count(change.old), f"{change.old!r} is not once in {change.file}"
    path.write_text(source.replace(change.old, change.new))


@pytest.mark.parametrize("guard", GUARDS)
def test_leaving_a_guard_out_breaks_an_invariant(verdicts, guard):
    """Without the guard, some seed loses or doubles something, and says so."""
    status, words = verdicts[guard]
    assert (1, "seed ") == (status, words[:5]), words
