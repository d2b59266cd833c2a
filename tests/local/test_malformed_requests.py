"""10,000 malformed requests, seeded: each gets a proper status, and the servers are as good as before.

Bytes that are no message, messages that no client sends, and HTTP that is none: through the handlers in the
process, over gRPC and over the HTTP port. INTERNAL, UNKNOWN, 500 or a connection without an answer is a fault.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from http_support import HOST, Served, both, grpc_channel, read_all, services
from malformed import LOCATION, http_request, json_request, malformed

from fantasm_gcp.local.datastore.routes import ROUTES as DATASTORE_ROUTES
from fantasm_gcp.local.rpc import LocalChannel, Method
from fantasm_gcp.local.tasks.routes import LOCATION_ROUTES, ROUTES

IN_PROCESS, OVER_GRPC, AS_JSON, AS_HTTP = 7000, 600, 1600, 800
GROWTH_BYTES = 40 * 1024 * 1024

FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}


def methods_of(opened: Served) -> list[tuple[str, Method]]:
    """Every method by its full name, in a fixed order."""
    found = services(opened.tasks, opened.datastore)
    return sorted((f"/{each.name}/{name}", method) for each in found for name, method in each.methods.items())


def outcomes(
    call: Callable[[str, bytes], Any], names: list[tuple[str, Method]], count: int, seed: int
) -> Any:
    """How often each status came, and the faults: method, body, code and message."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    faults = []
    for number in range(count):
        name, method = names[number % len(names)]
        body = malformed(name, method, chance)
        try:
            call(name, body)
            counts["OK"] += 1
        except grpc.RpcError as error:
            counts[error.code().name] += 1
            if error.code() in FAULTS:
                faults.append((name, body.hex()[:2000], error.code().name, error.details()))
    return counts, faults


def still_works(opened: Served) -> None:
    """One write and one read at each of the servers, and the files are consistent."""
    alive = f"/v2/{LOCATION}/queues/alive"
    opened.send("PATCH", alive, {})
    created = opened.send("POST", f"{alive}/tasks", {"task": {"httpRequest": {"url": "http://x.example/"}}})
    assert 200 == created.status, created.body
    key = {"partitionId": {"projectId": "proj"}, "path": [{"kind": "Alive", "name": "a"}]}
    commit = {"mode": "NON_TRANSACTIONAL", "mutations": [{"upsert": {"key": key}}]}
    assert 200 == opened.send("POST", "/v1/projects/proj:commit", commit).status
    assert "found" in opened.send("POST", "/v1/projects/proj:lookup", {"keys": [key]}).json


def assert_consistent(opened: Served, directory: Path) -> None:
    opened.tasks.close()
    opened.datastore.close()
    for name in ("tasks.sqlite", "datastore.sqlite"):
        with closing(sqlite3.connect(directory / name)) as database:
            assert [("ok",)] == database.execute("PRAGMA integrity_check").fetchall()


def test_bytes_that_are_no_request_get_a_proper_status_in_the_process(tmp_path: Path) -> None:
    """Thousands for all methods of both services; memory does not grow with them, the files stay whole."""
    with both(tmp_path) as opened:
        channel = LocalChannel(*services(opened.tasks, opened.datastore))
        calls = {name: channel.unary_unary(name) for name, _ in methods_of(opened)}

        def call(name: str, body: bytes) -> Any:
            return calls[name](body)

        names = methods_of(opened)
        outcomes(call, names, 300, seed=1)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            counts, faults = outcomes(call, names, IN_PROCESS - 300, seed=2)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert [] == faults
        assert counts["INVALID_ARGUMENT"] > counts.total() / 3, counts
        assert counts["OK"] > counts.total() / 100, counts
        assert grown < GROWTH_BYTES
        still_works(opened)
        assert_consistent(opened, tmp_path)


def test_bytes_that_are_no_request_get_a_proper_status_over_grpc(tmp_path: Path) -> None:
    """The same through the port; besides, methods that are none, and a message that is too long."""
    with both(tmp_path) as opened:
        with grpc_channel(opened) as channel:

            def call(name: str, body: bytes) -> Any:
                return channel.unary_unary(name)(body, timeout=20)

            counts, faults = outcomes(call, methods_of(opened), OVER_GRPC, seed=3)
            assert [] == faults
            assert counts.keys() <= {
                *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "ABORTED"),
                "UNIMPLEMENTED",
            }
            for name in ("/google.datastore.v1.Datastore/Nothing", "/Nothing/Lookup", "/a", "/" + "x" * 3000):
                with pytest.raises(grpc.RpcError) as caught:
                    call(name, b"")
                assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()
            with pytest.raises(grpc.RpcError) as caught:
                call("/google.datastore.v1.Datastore/Lookup", bytes(17 * 1024 * 1024))
            assert grpc.StatusCode.RESOURCE_EXHAUSTED == caught.value.code()
        still_works(opened)
        assert_consistent(opened, tmp_path)


def test_json_that_is_no_request_gets_a_proper_status(tmp_path: Path) -> None:
    """Every route in turn, over connections that stay open; each error has Google's form."""
    chance = random.Random(4)
    routes = [*ROUTES, *LOCATION_ROUTES, *DATASTORE_ROUTES]
    counts: Counter[int] = Counter()
    with both(tmp_path) as opened:
        with closing(http.client.HTTPConnection(HOST, opened.door.port, timeout=20)) as connection:
            for number in range(AS_JSON):
                method, path, body, headers = json_request(routes[number % len(routes)], chance)
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                content = response.read()
                counts[response.status] += 1
                what = (method, path[:300], body[:300], content)
                assert response.status in (200, 400, 403, 404, 409, 501), what
                if response.status != 200 and response.getheader("Content-Type", "").startswith(
                    "application/json"
                ):
                    assert method == "HEAD" or response.status == json.loads(content)["error"]["code"], what
        assert counts[200] > AS_JSON / 50, counts
        assert counts[400] > AS_JSON / 3, counts
        still_works(opened)
        assert_consistent(opened, tmp_path)


def test_bytes_that_are_no_http_get_a_proper_answer_or_none(tmp_path: Path) -> None:
    """Nothing at all only when nothing was asked; never 500, and the next connection is served."""
    chance = random.Random(5)
    with both(tmp_path) as opened:
        for _ in range(AS_HTTP):
            request = http_request(chance)
            with socket.create_connection((HOST, opened.door.port), timeout=20) as sock:
                try:
                    sock.sendall(request)
                    sock.shutdown(socket.SHUT_WR)
                except ConnectionError:
                    continue  # refused before it was all sent
                answer = read_all(sock)
            if request.strip() and not request.startswith(b"PRI"):
                assert answer.startswith(b"HTTP/1.1 "), (request[:500], answer[:500])
            assert not answer.startswith(b"HTTP/1.1 500"), (request[:500], answer[:500])
        still_works(opened)
        assert_consistent(opened, tmp_path)
