"""A small application in a directory of its own, for commands that run there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from dev_child import Child
from small_application import write_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An application with two machines and three demonstrations."""
    return write_project(tmp_path / "party")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running `fantasm dev` that keeps nothing."""
    directory = write_project(tmp_path_factory.mktemp("served") / "party")
    with Child(directory, "dev", "--memory", "--port", "0") as child:
        yield child.await_url()
        assert child.stop() == 0


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Runs commands in this process, in an empty directory, with a path for modules that is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return CliRunner()
