"""Where the Node.js packages cannot be had, the reason is told, and nothing half-fetched is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from node_packages import UnavailableError, node_packages


def programs(directory: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Has these be the only programs that are found."""
    directory.mkdir()
    for name, script in scripts.items():
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


@pytest.mark.parametrize(
    ("scripts", "reason"),
    [
        ({}, "node is not installed"),
        ({"node": "echo v20.1.0"}, "npm is not installed"),
        ({"node": "echo v17.9.1", "npm": ""}, "the packages need Node.js 18, and here is v17.9.1"),
        ({"node": "echo nothing", "npm": ""}, "the packages need Node.js 18, and here is nothing"),
        ({"node": "exit 1", "npm": ""}, "the packages need Node.js 18, and here is none"),
        (
            {"node": "echo v18.0.0", "npm": "echo npm error code ENOTFOUND >&2; exit 1"},
            "npm cannot fetch the packages: npm error code ENOTFOUND",
        ),
        ({"node": "echo v18.0.0", "npm": "exit 1"}, "npm cannot fetch the packages: npm said nothing"),
    ],
    ids=["no node", "no npm", "old", "no version", "broken", "no network", "silent"],
)
def test_what_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: dict[str, str], reason: str
) -> None:
    """The reason is what the tests are skipped with."""
    programs(tmp_path / "bin", monkeypatch, **scripts)
    with pytest.raises(UnavailableError, match=f"^{re.escape(reason)}$"):
        node_packages(tmp_path)


def test_packages_are_fetched_once_and_again_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched completely is used again; what was not is fetched anew."""
    bin_directory, log, fails = tmp_path / "bin", tmp_path / "log", tmp_path / "fails"
    npm = f"echo $* >>{log}; [ ! -e {fails} ]"
    programs(bin_directory, monkeypatch, node="echo v22.0.0", npm=npm)
    fails.touch()
    with pytest.raises(UnavailableError):
        node_packages(tmp_path)
    fails.unlink()
    first = node_packages(tmp_path)
    assert first == node_packages(tmp_path)
    assert 2 == len(log.read_text().splitlines())
    assert "--ignore-scripts" in log.read_text()
