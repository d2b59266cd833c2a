"""The official Node.js clients run a script against both servers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from foreign_servers import PATIENCE, Servers
from node_packages import SCRIPTS

DATASTORE_METHODS = {
    *("Lookup", "RunQuery", "RunAggregationQuery", "BeginTransaction", "Commit", "Rollback"),
    *("AllocateIds", "ReserveIds"),
}
TASKS_METHODS = {
    *("ListQueues", "GetQueue", "CreateQueue", "UpdateQueue", "DeleteQueue", "PurgeQueue", "PauseQueue"),
    *("ResumeQueue", "ListTasks", "GetTask", "CreateTask", "DeleteTask", "RunTask"),
}
"""The batch methods are missing: the client's version 6.3 has none in v2."""


def run_script(
    script: str, servers: Servers, packages: Path, transport: str = "grpc"
) -> subprocess.CompletedProcess[str]:
    """One script with the addresses of the servers in its environment, and with no metadata server to ask."""
    environment = os.environ | servers.environment
    environment |= {"NODE_PATH": str(packages), "METADATA_SERVER_DETECTION": "none", "TRANSPORT": transport}
    return subprocess.run(
        ["node", str(SCRIPTS / script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
    )


def check_steps(done: subprocess.CompletedProcess[str], subtests: pytest.Subtests) -> None:
    """Each step by itself, named as the script names it; a script that breaks off is wrong, too."""
    for line in done.stdout.splitlines():
        result = json.loads(line)
        with subtests.test(result["step"]):
            assert "" == result["problem"]
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_datastore_client_is_answered_as_by_datastore(
    servers: Servers, packages: Path, subtests: pytest.Subtests, transport: str
) -> None:
    """Values, mutations, queries, aggregations and transactions, by more than a hundred calls."""
    check_steps(run_script("datastore.cjs", servers, packages, transport), subtests)
    assert set(servers.calls) == DATASTORE_METHODS
    assert 100 <= servers.calls.total()


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_tasks_client_is_answered_as_by_cloud_tasks(
    servers: Servers, packages: Path, subtests: pytest.Subtests, transport: str
) -> None:
    """Queues, tasks, their delivery and what is refused, by some ninety calls."""
    check_steps(run_script("tasks.cjs", servers, packages, transport), subtests)
    assert set() == TASKS_METHODS - set(servers.calls)
    assert 90 <= servers.calls.total()
