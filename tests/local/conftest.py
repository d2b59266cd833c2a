"""A local Cloud Tasks server for each test, under a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tasks_support import Client, Clock, client_of

from fantasm_gcp.local.tasks import TasksServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[TasksServer]:
    server = TasksServer(clock=clock)
    yield server
    server.close()


@pytest.fixture
def client(server: TasksServer) -> Client:
    """The real client, in this process."""
    return client_of(server)
