"""Actions that count themselves, ways to lose their tasks, and sweeping for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import grpc
from google.cloud import datastore

from fantasm_gcp.gateways.clients import Channels, tasks_api
from fantasm_gcp.local.rpc import LocalChannel, RpcError
from fantasm_gcp.testing import Harness

FSM = Path(__file__).parent / "swept.yaml"
QUEUES = "projects/test/locations/us-central1/queues"
SOON = 180.0
"""Seconds after which everything that should have run by now is overdue, whatever the minute."""


class Count:
    """Counts, within the step's transaction, how often each state of an instance has run."""

    def execute(self, context: Any, obj: Any) -> str | None:
        client = context.datastore
        key = client.key("Ran", f"{context.instance_name}/{context.state_name}")
        ran = client.get(key) or datastore.Entity(key)
        ran["times"] = ran.get("times", 0) + 1
        context.put(ran)
        return None if context.state_name == "Three" else "ok"


class Acts:
    """Does what the test says, each time."""

    act: ClassVar[Callable[[Any], Any]]

    def execute(self, context: Any, obj: Any) -> Any:
        return type(self).act(context)


def sweep(harness: Harness) -> Any:
    """Has the sweeper called, as cron does it."""
    answer = harness.client.post("/fantasm/sweep")
    assert answer.status_code == 200, answer.text
    return answer.json


def sweep_later(harness: Harness, seconds: float = SOON) -> Any:
    harness.clock.sleep(seconds)
    return sweep(harness)


def run_with_sweeps(harness: Harness, most: int = 20) -> None:
    """Delivers and sweeps, a few minutes apart, until nothing is overdue and nothing due."""
    for _ in range(most):
        harness.run()
        if not rows(harness):
            return
        sweep_later(harness)
    raise AssertionError(f"still in flight: {[each.key.name for each in rows(harness)]}")


def start(harness: Harness, machine: str = "Chain") -> str:
    """Starts an instance, which is answered whether its task can be created or not."""
    return str(harness.start(f"{machine}/").json["instance"])


@contextmanager
def faults(harness: Harness, *methods: str, code: Any = grpc.StatusCode.UNAVAILABLE) -> Iterator[None]:
    """These methods of the servers answer an error meanwhile."""
    before = harness.around

    def around(rpc: Any, carry_out: Callable[[], Any]) -> Any:
        if rpc.method in methods:
            raise RpcError(code, "injected")
        return before(rpc, carry_out)

    harness.around = around
    try:
        yield
    finally:
        harness.around = before


def without_tasks(harness: Harness) -> Any:
    """No task can be created meanwhile."""
    return faults(harness, "CreateTask", "BatchCreateTasks")


@contextmanager
def counted(harness: Harness) -> Iterator[Counter[str]]:
    """Counts the calls to the servers by method, and the entities that they read, as ``read``."""
    before, counts = harness.around, Counter[str]()

    def around(rpc: Any, carry_out: Callable[[], Any]) -> Any:
        counts[rpc.method] += 1
        response = before(rpc, carry_out)
        if rpc.method == "Lookup":
            counts["read"] += len(rpc.request.keys)
        elif rpc.method == "RunQuery":
            counts["read"] += len(response.batch.entity_results)
        return response

    harness.around = around
    try:
        yield counts
    finally:
        harness.around = before


def cloud_tasks(harness: Harness) -> Any:
    """A client of the queue's server that no fault gets in the way of."""
    return tasks_api(Channels(tasks=lambda: LocalChannel(harness.tasks.service)))


def purge(harness: Harness, queue: str = "default") -> None:
    cloud_tasks(harness).purge_queue(name=f"{QUEUES}/{queue}")


def rows(harness: Harness) -> list[Any]:
    """The rows of the steps in flight."""
    return list(harness.datastore.query(kind="FantasmTask").fetch())


def ran(harness: Harness) -> dict[str, int]:
    """How often each state of each instance has run."""
    return {each.key.name: each["times"] for each in harness.datastore.query(kind="Ran").fetch()}


def statuses(harness: Harness) -> list[str]:
    return sorted(each["status"] for each in harness.datastore.query(kind="FantasmInstance").fetch())
