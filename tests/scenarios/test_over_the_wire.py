"""The deployable application as it is deployed: gunicorn, gRPC to both servers, HTTP to the steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from google.cloud import datastore

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import serve
from fantasm_gcp.local.tasks import HttpDelivery, TasksServer
from fantasm_gcp.testing import VirtualClock

ROOT = Path(__file__).parents[2]
SUBSCRIBERS = 12
LISTENING = "Listening at: http://127.0.0.1:"


@pytest.fixture
def servers():
    """Both servers on ports of their own; the queue's clock begins now and is moved by the test."""
    clock = VirtualClock(time.time())
    rows, tasks = DatastoreServer(), TasksServer(clock=clock)
    wires = [serve(rows.service, "127.0.0.1", 0), serve(tasks.service, "127.0.0.1", 0)]
    yield clock, tasks, *(f"127.0.0.1:{port}" for _, port in wires)
    for wire, _ in wires:
        wire.stop(None).wait()
    tasks.close()
    rows.close()


@pytest.fixture
def address(servers):
    """Where gunicorn serves main:app, with two workers that are forked after the start."""
    _, _, rows, tasks = servers
    environ = {
        "PATH": os.environ["PATH"],
        "FANTASM_MODE": "local",
        "GOOGLE_CLOUD_PROJECT": "wire",
        "DATASTORE_EMULATOR_HOST": rows,
        "CLOUD_TASKS_EMULATOR_HOST": tasks,
    }
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--worker-class", "gthread"]
    command += ["--workers", "2", "--threads", "4", "--timeout", "0", "--no-control-socket", "main:app"]
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if LISTENING in line:
            break
    else:
        pytest.fail("".join(lines))
    yield "http://127.0.0.1:" + line.partition(LISTENING)[2].split()[0]
    process.terminate()
    process.communicate(timeout=30)
    assert 0 == process.returncode


def test_the_campaign_runs_over_real_wires(servers, address, monkeypatch):
    """Every RPC is gRPC, every step an HTTP request to one of two forked workers."""
    clock, tasks, rows, _ = servers
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", rows)
    client = datastore.Client(project="wire")
    for i in range(SUBSCRIBERS):
        entity = datastore.Entity(client.key("Subscriber", f"s{i:02}"))
        entity.update(name=str(i), email=f"{i}@example.org")
        client.put(entity)
    started = fetch(f"{address}/fantasm/fsm/SendSubscriberEmail/")
    deliver = HttpDelivery(address)
    statuses = set()
    while (moment := tasks.next_time()) is not None:
        clock.move_to(moment)
        attempt = tasks.lease()
        response = deliver(attempt.delivery)
        statuses.add(response.status)
        tasks.finish(attempt, response)
    shown = fetch(address + started["status_url"])
    assert ({200}, "completed") == (statuses, shown["status"])
    emails = [each["to"] for each in client.query(kind="OutboxEmail").fetch()]
    assert sorted(f"{i}@example.org" for i in range(SUBSCRIBERS)) == sorted(emails)
    counter = client.get(client.key("EmailBatch", started["instance"]))["counter"]
    assert SUBSCRIBERS == counter
    for page in ("/outbox", "/fantasm/", f"/fantasm/instances/{started['instance']}"):
        with urllib.request.urlopen(address + page, timeout=30) as answer:
            assert "<html" in answer.read().decode()


def fetch(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)
