"""Clients that few projects have: each runs where it is installed, and its test is skipped elsewhere.

What they send is in tests/local/test_version_beta3.py too, which needs none of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from foreign_servers import LOCATION, PROJECT, Servers
from google.auth.credentials import AnonymousCredentials

QUEUE = f"{LOCATION}/queues/work"


def gcloud(servers: Servers, configuration: Path, *words: str) -> Any:
    """What Google's command line tool answers, without credentials and with a configuration of its own."""
    environment = {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"http://{servers.tasks_host}/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CONFIG": str(configuration),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_PROJECT": PROJECT,
    }
    command = ["gcloud", *words, "--location=here", "--format=json"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_makes_queues_and_tasks(servers: Servers, tmp_path: Path) -> None:
    """One command of each version: v2, and v2beta3 for `gcloud beta`."""
    queue = gcloud(servers, tmp_path, "beta", "tasks", "queues", "create", "work", "--max-attempts=3")
    assert (QUEUE, "PUSH", 3) == (queue["name"], queue["type"], queue["retryConfig"]["maxAttempts"])
    target = f"--url={servers.worker.url}/gcloud"
    words = "tasks", "create-http-task", "--queue=work", target, "--body-content=hello"
    assert gcloud(servers, tmp_path, *words)["name"].startswith(f"{QUEUE}/tasks/")
    assert "hello" == servers.worker.received("/gcloud")[0]["body"]


def test_the_client_of_discovery_documents(servers: Servers) -> None:
    """google-api-python-client, of Cloud Tasks in both versions and of Datastore, told where they are."""
    discovery = pytest.importorskip(
        "googleapiclient.discovery", reason="google-api-python-client is not installed"
    )

    def build(name: str, version: str, host: str) -> Any:
        options = {"api_endpoint": f"http://{host}/"}
        return discovery.build(name, version, credentials=AnonymousCredentials(), client_options=options)

    for version in ("v2", "v2beta3"):
        with build("cloudtasks", version, servers.tasks_host) as client:
            queues = client.projects().locations().queues()
            name = f"{LOCATION}/queues/{version}"
            assert name == queues.create(parent=LOCATION, body={"name": name}).execute()["name"]
            request = {"url": f"{servers.worker.url}/{version}", "body": base64.b64encode(b"hello").decode()}
            queues.tasks().create(parent=name, body={"task": {"httpRequest": request}}).execute()
            assert "hello" == servers.worker.received(f"/{version}")[0]["body"]
            assert name in [each["name"] for each in queues.list(parent=LOCATION).execute()["queues"]]
    entity = {"key": {"path": [{"kind": "K", "name": "k"}]}, "properties": {"n": {"integerValue": "7"}}}
    commit = {"mode": "NON_TRANSACTIONAL", "mutations": [{"upsert": entity}]}
    query = {"gqlQuery": {"queryString": "SELECT * FROM K WHERE n = 7", "allowLiterals": True}}
    with build("datastore", "v1", servers.datastore_host) as client:
        projects = client.projects()
        projects.commit(projectId=PROJECT, body=commit).execute()
        [found] = projects.runQuery(projectId=PROJECT, body=query).execute()["batch"]["entityResults"]
    assert {"integerValue": "7"} == found["entity"]["properties"]["n"]


def test_gcloud_aio(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """gcloud-aio-taskqueue and gcloud-aio-datastore, which find the servers by variables."""
    taskqueue = pytest.importorskip("gcloud.aio.taskqueue", reason="gcloud-aio-taskqueue is not installed")
    datastore = pytest.importorskip("gcloud.aio.datastore", reason="gcloud-aio-datastore is not installed")
    monkeypatch.setenv("CLOUDTASKS_EMULATOR_HOST", servers.tasks_host)
    servers.tasks.declare_queue(servers.tasks.service.methods["GetQueue"].response(name=QUEUE))

    async def script() -> None:
        async with taskqueue.PushQueue(PROJECT, "work", location="here") as queue:
            request = {"url": f"{servers.worker.url}/aio", "body": base64.b64encode(b"hello").decode()}
            await queue.create({"httpRequest": request})
        async with datastore.Datastore(PROJECT) as store:
            key = datastore.Key(PROJECT, [datastore.PathElement("K", name="k")])
            await store.upsert(key, {"n": 7})
            assert 7 == (await store.lookup([key]))["found"][0].entity.properties["n"]

    asyncio.run(script())
    assert "hello" == servers.worker.received("/aio")[0]["body"]


def test_firebase_admin(servers: Servers) -> None:
    """A task queue of functions, which names no URL: the task goes to the service that is the function."""
    firebase_admin = pytest.importorskip("firebase_admin", reason="firebase-admin is not installed")
    functions = pytest.importorskip("firebase_admin.functions", reason="firebase-admin is not installed")
    servers.tasks.declare_queue(servers.tasks.service.methods["GetQueue"].response(name=QUEUE))
    app = firebase_admin.initialize_app(options={"projectId": PROJECT}, name="foreign")
    try:
        queue = functions.task_queue("locations/here/functions/work", app=app)
        later = functions.TaskOptions(task_id="later", schedule_delay_seconds=900)
        assert "later" == queue.enqueue({"n": 2}, later)
        queue.delete("later")
        queue.enqueue({"n": 1})
        assert {"n": 1} == json.loads(servers.worker.received("/")[0]["body"])
    finally:
        firebase_admin.delete_app(app)
