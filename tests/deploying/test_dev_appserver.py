"""The application under gcloud's dev_appserver.py, with Google's Datastore emulator and the local Cloud Tasks."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from datastore_backends import PROJECT
from dev_appserver import ADMINISTRATOR, running_dev_appserver
from google.cloud import datastore
from ignoring import files_of, left_by_gcloud

from fantasm_gcp.local.rpc import serve
from fantasm_gcp.local.tasks import HttpDelivery, TasksServer
from fantasm_gcp.testing import VirtualClock

ROOT = Path(__file__).parents[2]
SUBSCRIBERS = 4
CONSOLE = "/fantasm/"


@dataclass(frozen=True)
class LocalTasks:
    """Cloud Tasks on this machine, with a clock that the test moves, and its address."""

    server: TasksServer
    clock: VirtualClock
    address: str


@pytest.fixture(scope="module")
def tasks():
    """Cloud Tasks over a wire."""
    clock = VirtualClock(time.time())
    server = TasksServer(clock=clock)
    wire, port = serve(server.service, "127.0.0.1", 0)
    yield LocalTasks(server, clock, f"127.0.0.1:{port}")
    wire.stop(None).wait()
    server.close()


@pytest.fixture(scope="module")
def rows(gcloud_datastore):
    """A client of the emulator, in a namespace of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATASTORE_EMULATOR_HOST", gcloud_datastore)
        client = datastore.Client(project=PROJECT, namespace=f"n{uuid.uuid4().hex[:12]}")
        yield client
        client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, gcloud_datastore, tasks, rows):
    """The files that would be uploaded, with app.yaml's own entrypoint, but for this machine alone."""
    folder = tmp_path_factory.mktemp("dev_appserver")
    uploaded = folder / "app"
    # With a Dockerfile beside app.yaml dev_appserver.py knows no runtime but custom; `gcloud app deploy` does.
    no_image = (ROOT / ".gcloudignore").read_text() + "\nDockerfile\n"
    for name in left_by_gcloud(no_image, files_of(ROOT)):
        (uploaded / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, uploaded / name)
    text = (uploaded / "app.yaml").read_text()
    assert 1 == text.count("--bind :$PORT")
    (uploaded / "app.yaml").write_text(text.replace("--bind :$PORT", "--bind 127.0.0.1:$PORT"))
    environ = {
        "DATASTORE_EMULATOR_HOST": gcloud_datastore,
        "CLOUD_TASKS_EMULATOR_HOST": tasks.address,
        "FANTASM_NAMESPACE": rows.namespace,
        # What the metadata server would tell, which is not there.
        "FANTASM_LOCATION": "us-central1",
        "FANTASM_IAP_AUDIENCE": f"/projects/1/apps/{PROJECT}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with running_dev_appserver(uploaded / "app.yaml", folder, PROJECT, environ) as running:
        yield running


def test_a_stranger_is_sent_to_the_login_page(server):
    """By `login: admin`, before the application hears of it; whatever headers of App Engine's he sends."""
    for headers in ({}, {"X_AppEngine_QueueName": "default"}, {"X_Appengine_Cron": "true"}):
        answer = server.get(CONSOLE, **headers)
        assert (302, True) == (answer.status, "/_ah/login" in answer.headers["location"])


def test_somebody_who_is_no_administrator_is_refused(server):
    """He has signed in, and that is not enough."""
    cookie = server.sign_in("bob@example.com", is_admin=False)
    assert 401 == server.get(CONSOLE, Cookie=cookie).status


def test_an_administrator_sees_the_console(server):
    """Who has signed in as one is an operator to the application, too."""
    cookie = server.sign_in("ada@example.com", is_admin=True)
    answer = server.get(CONSOLE, Cookie=cookie)
    assert (200, True) == (answer.status, "SendSubscriberEmail" in answer.text)


def test_who_passes_the_login_is_still_asked_by_the_application(server):
    """The development server lets this header pass and makes nobody an administrator by it."""
    assert 403 == server.get(CONSOLE, **ADMINISTRATOR).status


def test_other_paths_come_to_the_application_without_a_login(server):
    """Those that are not the engine's: the sample itself leads to the console, and itself refuses its outbox."""
    assert CONSOLE == server.get("/").headers["location"]
    assert 403 == server.get("/outbox").status


def test_the_campaign_runs_to_its_end(server, tasks, rows):
    """Started by cron; each step comes from the queue, through the development server, to gunicorn."""
    for number in range(SUBSCRIBERS):
        entity = datastore.Entity(rows.key("Subscriber", f"s{number}"))
        entity.update(name=str(number), email=f"{number}@example.org")
        rows.put(entity)
    answer = server.get("/fantasm/fsm/SendSubscriberEmail/", X_Appengine_Cron="true", **ADMINISTRATOR)
    assert 200 == answer.status, answer.text
    instance = json.loads(answer.text)["instance"]
    assert {200} == deliver_all(tasks, HttpDelivery(server.url))
    shown = server.get(
        f"/fantasm/api/instances/{instance}", Cookie=server.sign_in("ada@example.com", is_admin=True)
    )
    assert "completed" == json.loads(shown.text)["status"]
    assert SUBSCRIBERS == len(list(rows.query(kind="OutboxEmail").fetch()))
    assert SUBSCRIBERS == rows.get(rows.key("EmailBatch", instance))["counter"]


def deliver_all(tasks, deliver):
    """Delivers what is in the queue until nothing is; answers the statuses that there were."""
    statuses = set()
    while (moment := tasks.server.next_time()) is not None:
        tasks.clock.move_to(moment)
        attempt = tasks.server.lease()
        delivery = attempt.delivery
        response = deliver(replace(delivery, headers={**delivery.headers, **ADMINISTRATOR}))
        statuses.add(response.status)
        assert len(statuses) == 1, response
        tasks.server.finish(attempt, response)
    return statuses
