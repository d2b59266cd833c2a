"""Driving a harness: starting, delivering, and seeing what is created."""

from __future__ import annotations

from collections import Counter
from typing import Any

from google.cloud import datastore

from fantasm_gcp.testing import Harness, Rpc


def finish(harness: Harness, url: str, **options: Any) -> str:
    """Starts a machine and delivers everything; the instance has to be completed, with nothing left."""
    instance = start(harness, url, **options)
    harness.run(500)
    ended(harness, instance)
    return instance


def start(harness: Harness, url: str, **options: Any) -> str:
    answer = harness.start(url, **options)
    assert 200 == answer.status_code, answer.text
    instance: str = answer.json["instance"]
    return instance


def ended(harness: Harness, instance: str) -> None:
    assert "completed" == harness.get(f"instances/{instance}")["status"]
    for kind in ("FantasmTask", "FantasmEntry", "FantasmFanIn"):
        assert [] == rows(harness, kind)


def rows(harness: Harness, kind: str) -> list[Any]:
    return list(harness.datastore.query(kind=kind).fetch())


def deliver_all(harness: Harness) -> list[str]:
    """Delivers everything and answers the names of the tasks, one for each attempt, in order."""
    names = []
    while (attempt := harness.next_attempt()) is not None:
        names.append(attempt.task)
        assert 500 > len(names), "the machine does not end"
        harness.deliver(attempt)
    return names


def steps(harness: Harness, instance: str) -> list[dict[str, Any]]:
    """The steps that are over, by their numbers."""
    items = harness.get(f"instances/{instance}?limit=1000")["steps"]["items"]
    return sorted(items, key=lambda each: each["n"])


def states(harness: Harness, instance: str) -> Counter[str]:
    return Counter(each["state"] for each in steps(harness, instance))


def put_items(harness: Harness, count: int) -> None:
    for number in range(count):
        item = datastore.Entity(harness.datastore.key("Item", f"{number:04}"))
        item["number"] = number
        harness.datastore.put(item)


class Created:
    """Keeps every task that is created, as it was asked for."""

    def __init__(self, harness: Harness) -> None:
        self.tasks: list[Any] = []
        harness.around = self._around

    def _around(self, rpc: Rpc, carry_out: Any) -> Any:
        if rpc.method == "CreateTask":
            self.tasks.append(rpc.request.task)
        elif rpc.method == "BatchCreateTasks":
            self.tasks += [each.task for each in rpc.request.requests]
        return carry_out()

    def to(self, state: str) -> list[Any]:
        """Those whose step leads to a state."""
        return [each for each in self.tasks if path_of(each).endswith(f"/{state}/")]


def path_of(task: Any) -> str:
    """The path that a task requests, without its query."""
    path: str = task.app_engine_http_request.relative_uri.partition("?")[0]
    return path


def queue_of(task: Any) -> str:
    """The short name of the queue that a task was created in."""
    queue: str = task.name.split("/queues/")[1].split("/")[0]
    return queue
