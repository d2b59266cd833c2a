"""Google's Python clients run a script against both servers, over each transport that they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from typing import Any

import grpc
import pytest
import python_datastore
import python_tasks
from foreign_servers import PATIENCE, PROJECT, Servers
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore, tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import (
    CloudTasksGrpcAsyncIOTransport,
    CloudTasksGrpcTransport,
    CloudTasksRestTransport,
)


def test_datastore_over_grpc(servers: Servers, subtests: pytest.Subtests) -> None:
    """The client as everybody makes it, which finds the server by its environment variable."""
    with closing(datastore.Client(project=PROJECT)) as client:
        check_datastore(client, servers, subtests)


def test_datastore_over_http(servers: Servers, subtests: pytest.Subtests) -> None:
    """The client without gRPC, which sends binary messages."""
    with closing(datastore.Client(project=PROJECT, _use_grpc=False)) as client:
        check_datastore(client, servers, subtests)


def check_datastore(client: Any, servers: Servers, subtests: pytest.Subtests) -> None:
    for part in python_datastore.PARTS:
        with subtests.test(part.__name__):
            part(client)
    assert 100 <= servers.calls.total()


def test_tasks_over_grpc(servers: Servers, subtests: pytest.Subtests) -> None:
    """The blocking client on a channel without TLS."""
    with grpc.insecure_channel(servers.tasks_host) as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        check_tasks(blocking(client), servers, subtests)


def test_tasks_over_rest(servers: Servers, subtests: pytest.Subtests) -> None:
    """The blocking client that sends JSON."""
    transport = CloudTasksRestTransport(
        host=servers.tasks_host, url_scheme="http", credentials=AnonymousCredentials()
    )
    with tasks_v2.CloudTasksClient(transport=transport) as client:
        check_tasks(blocking(client), servers, subtests)


def test_tasks_over_asyncio(servers: Servers, subtests: pytest.Subtests) -> None:
    """The asynchronous client, in an event loop that runs for each call."""
    with asyncio.Runner() as runner:
        channel = runner.run(_open(servers.tasks_host))
        client = tasks_v2.CloudTasksAsyncClient(transport=CloudTasksGrpcAsyncIOTransport(channel=channel))

        def call(method: str, /, **fields: Any) -> Any:
            return runner.run(_awaited(getattr(client, method)(**fields)))

        try:
            check_tasks(call, servers, subtests)
        finally:
            runner.run(channel.close())


async def _open(host: str) -> grpc.aio.Channel:
    """Made within the loop that it belongs to."""
    return grpc.aio.insecure_channel(host)


async def _awaited(calling: Any) -> Any:
    answer = await calling
    if isinstance(answer, AsyncIterator) or hasattr(answer, "pages"):
        return [each async for each in answer]
    if hasattr(answer, "operation"):
        return await answer.result(timeout=PATIENCE)
    return answer


def blocking(client: Any) -> Callable[..., Any]:
    """Calls of a blocking client."""

    def call(method: str, /, **fields: Any) -> Any:
        answer = getattr(client, method)(**fields)
        if isinstance(answer, Iterator) or hasattr(answer, "pages"):
            return list(answer)
        return answer.result(timeout=PATIENCE) if hasattr(answer, "operation") else answer

    return call


def check_tasks(call: Any, servers: Servers, subtests: pytest.Subtests) -> None:
    for part in python_tasks.PARTS:
        with subtests.test(part.__name__):
            part(call, servers)
    assert 50 <= servers.calls.total()
