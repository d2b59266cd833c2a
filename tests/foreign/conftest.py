"""Both local servers, and what the foreign clients need to reach them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign_servers import Servers, foreign_servers
from node_packages import UnavailableError, cache_directory, node_packages

pytest.register_assert_rewrite("ndb_parts", "python_datastore", "python_tasks", "refusals")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """New servers, which the environment names to every client that looks there."""
    with foreign_servers() as servers:
        for name, value in servers.environment.items():
            monkeypatch.setenv(name, value)
        yield servers


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node.js packages; skips where they cannot be had."""
    try:
        return node_packages(cache_directory(tmp_path_factory.getbasetemp()))
    except UnavailableError as error:
        pytest.skip(str(error))
