"""What the tests of the local Cloud Tasks server share: a clock, a client, names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import TasksServer

LOCATION = "projects/demo/locations/here"
QUEUE = f"{LOCATION}/queues/work"

Client: TypeAlias = Any
"""A ``CloudTasksClient``: it takes mappings where its annotations ask for messages."""

START = 1_800_000_000.25


class Clock:
    """A clock that moves when told to."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def client_of(server: TasksServer) -> Client:
    """The real client, to a server of this process."""
    return client_over(LocalChannel(server.service))


def client_over(channel: grpc.Channel) -> Client:
    """The real client over any channel."""
    return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def task_name(task_id: str, queue: str = QUEUE) -> str:
    """The full name of a task."""
    return f"{queue}/tasks/{task_id}"


def http_task(task_id: str = "", **fields: Any) -> dict[str, Any]:
    """A task with an HTTP target; ``fields`` replace or add to the task's own."""
    task: dict[str, Any] = {"http_request": {"url": "http://worker.example/run"}, **fields}
    return {"name": task_name(task_id), **task} if task_id else task


def app_engine_task(task_id: str = "", **fields: Any) -> dict[str, Any]:
    """A task with an App Engine target; ``fields`` replace or add to the task's own."""
    task: dict[str, Any] = {"app_engine_http_request": {"relative_uri": "/run"}, **fields}
    return {"name": task_name(task_id), **task} if task_id else task


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """The status code's name and the message with which a call is refused."""
    with pytest.raises(exceptions.GoogleAPICallError) as caught:
        call()
    assert caught.value.grpc_status_code is not None
    return caught.value.grpc_status_code.name, caught.value.message
