"""The deployable application as it is deployed: under gunicorn, by the command of each runtime.

Every RPC is gRPC, every step an HTTP request to one of its workers, and callers prove who they are.
"""

from __future__ import annotations

import base64
import itertools
import json
import threading

import pytest
from deployed import Application, container_command, copy_deployed, entrypoint
from surroundings import CAMPAIGN, COMPLETE, PATIENCE, PROJECT, REGION, RUNS_AS, cloud

from fantasm_gcp.local.tasks import HttpDelivery
from fantasm_gcp.local.tasks.configuration.tokens import Issuer, OidcToken

APP_ENGINE = {
    "GAE_APPLICATION": f"e~{PROJECT}",
    "GAE_DEPLOYMENT_ID": "47",
    "GAE_ENV": "standard",
    "GAE_INSTANCE": "0066d924",
    "GAE_MEMORY_MB": "768",
    "GAE_RUNTIME": "python312",
    "GAE_SERVICE": "default",
    "GAE_VERSION": "20261124t101010",
    "GOOGLE_CLOUD_PROJECT": PROJECT,
}
CLOUD_RUN = {"K_SERVICE": "wire", "K_REVISION": "wire-00007-abc", "K_CONFIGURATION": "wire"}
TASKS, OPERATOR = "tasks@wire.iam.gserviceaccount.com", "boss@example.com"
CRON = {"X-Appengine-Cron": "true"}
ADMIN = {"X-Appengine-User-Email": OPERATOR, "X-Appengine-User-Is-Admin": "1"}
REFUSED = {401, 403}
ADDRESSES = itertools.count(1)

PRELOADED = """
import json
import sys
import threading
from pathlib import Path

def pre_fork(server, worker):
    import gc
    grpc = sys.modules.get("grpc")
    channels = [each for each in gc.get_objects() if grpc and isinstance(each, grpc.Channel)]
    found = {"application": "main" in sys.modules, "channels": len(channels), "threads": threading.active_count()}
    Path("before_fork.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A copy of the deployable files."""
    return copy_deployed(tmp_path_factory.mktemp("deployed"))


@pytest.fixture(scope="module")
def place():
    """What is around the applications of this module."""
    with cloud() as made:
        yield made


def served(application):
    """Starts an application, and stops it in the end: with status 0, and having told of no fault."""
    application.start()
    yield application
    application.terminate()
    said = application.ended(), "".join(application.lines)
    application.close()
    assert (0, False) == (said[0], "Traceback" in said[1]), said[1]


@pytest.fixture(scope="module")
def on_app_engine(place, directory):
    """The application as App Engine runs it."""
    application = Application(directory, entrypoint(directory), {**place.environ, **APP_ENGINE})
    yield from served(application)


@pytest.fixture(scope="module")
def on_cloud_run(place, directory):
    """The application as Cloud Run runs it, with tasks that go to its URL."""
    application = Application(directory, container_command(directory), {**place.environ, **CLOUD_RUN})
    application.environ |= {
        "FANTASM_TARGET": application.url,
        "FANTASM_SERVICE_ACCOUNT": TASKS,
        "FANTASM_OPERATORS": OPERATOR,
    }
    yield from served(application)


@pytest.fixture
def stoppable(place, directory):
    """An application on App Engine that is stopped by the test."""
    application = Application(directory, entrypoint(directory), {**place.environ, **APP_ENGINE})
    yield application
    place.gate.release()
    application.close()


def start_by_cron(application):
    return application.get_json(CAMPAIGN, CRON)["instance"]


def deliver_in_flight(place, application, answers):
    """Delivers the next task in a thread that ends with its answer; the step is in flight on return."""
    thread = threading.Thread(target=lambda: answers.append(place.deliver(application.by_app_engine())))
    thread.start()
    assert place.gate.reached.wait(PATIENCE), "".join(application.lines)
    return thread


def test_a_campaign_runs_on_app_engine(place, on_app_engine):
    """Started by cron, delivered by App Engine's headers, in the region that the metadata server names."""
    instance = start_by_cron(on_app_engine)
    assert {200} == set(place.run(on_app_engine.by_app_engine()))
    assert COMPLETE == place.outcome(instance)
    shown = on_app_engine.get_json(f"/fantasm/api/instances/{instance}", ADMIN)
    assert "completed" == shown["status"]
    assert [f"projects/{PROJECT}/locations/{REGION}/queues/default"] == list(place.tasks.queue_names())
    assert "instance/region" in place.asked


def test_an_instance_of_app_engine_warms_up_before_it_gets_work(on_app_engine):
    """Whoever asks, and it says nothing."""
    assert (204, "") == on_app_engine.request("/_ah/warmup")


def test_administrators_see_the_console(on_app_engine):
    """As pages, on App Engine, where its own front end says who they are."""
    status, text = on_app_engine.request("/fantasm/", ADMIN)
    assert (200, True) == (status, "<html" in text)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CloudTasks-QueueName": "default", "X-CloudTasks-TaskName": "t"},
        {"X-Goog-Authenticated-User-Email": f"accounts.google.com:{OPERATOR}"},
        {"X-Goog-Iap-Jwt-Assertion": "e30.e30.e30"},
        {"Authorization": "Bearer e30.e30.e30"},
        {"X-Appengine-User-Email": "somebody@example.org", "X-Appengine-User-Is-Admin": "0"},
    ],
    ids=["nothing", "tasks", "iap-email", "iap", "bearer", "somebody"],
)
@pytest.mark.parametrize("path", [CAMPAIGN, "/fantasm/", "/fantasm/api/instances", "/fantasm/sweep"])
def test_nobody_else_gets_in_on_app_engine(place, on_app_engine, path, headers):
    """Without proof, or with what anybody may write; nothing is started."""
    before = place.tasks.depth()
    address = {"X-Appengine-User-IP": f"2001:db8:{next(ADDRESSES):x}::1"}  # each has a budget of refusals
    status, _ = on_app_engine.request(path, headers | address)
    assert (True, before) == (status in REFUSED, place.tasks.depth()), status


def test_a_campaign_runs_on_cloud_run(place, on_cloud_run):
    """Every delivery shows a token that the application verifies with the certificates of who signed it."""
    started = on_cloud_run.get_json(CAMPAIGN, place.token(TASKS, on_cloud_run.url))
    assert {200} == set(place.run(HttpDelivery({}, place.issuer)))
    assert COMPLETE == place.outcome(started["instance"])
    operator = place.token(OPERATOR, on_cloud_run.url)
    assert "completed" == on_cloud_run.get_json(started["status_url"], operator)["status"]
    assert "project/project-id" in place.asked


def test_tasks_that_prove_nothing_are_refused_on_cloud_run(place, on_cloud_run):
    """Each wrong token keeps the step from running; the right one then has it run."""
    started = on_cloud_run.get_json(CAMPAIGN, place.token(TASKS, on_cloud_run.url))
    place.clock.move_to(place.tasks.next_time())
    attempt = place.tasks.lease()
    sent = attempt.delivery
    path = sent.url.removeprefix(on_cloud_run.url)

    def status(headers):
        return on_cloud_run.request(path, {**sent.headers, **headers}, sent.method, sent.body or None)[0]

    right = place.token(TASKS, on_cloud_run.url)["Authorization"]
    head, claims, _ = right.partition(" ")[2].split(".")
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    foreign = Issuer().id_token(OidcToken(TASKS, on_cloud_run.url))
    refused = {
        "nothing": status({}),
        "of App Engine": status({"X-AppEngine-QueueName": "default", "X-Appengine-Cron": "true"}),
        "an administrator": status(ADMIN),
        "for another": status(place.token(TASKS, "https://elsewhere.example")),
        "for this path": status(place.token(TASKS, sent.url)),
        "of another account": status(place.token("other@wire.iam.gserviceaccount.com", on_cloud_run.url)),
        "of the runtime's account": status(place.token(RUNS_AS, on_cloud_run.url)),
        "of an operator": status(place.token(OPERATOR, on_cloud_run.url)),
        "by another key": status({"Authorization": f"Bearer {foreign}"}),
        "unsigned": status({"Authorization": f"Bearer {unsigned}.{claims}."}),
        "no signature": status({"Authorization": f"Bearer {head}.{claims}.SIGNATURE_REMOVED_BY_GOOGLE"}),
        "expired": status(_shifted(place, -7200, on_cloud_run.url)),
        "of tomorrow": status(_shifted(place, 24 * 3600, on_cloud_run.url)),
    }
    assert {} == {name: each for name, each in refused.items() if each not in REFUSED}
    assert [] == place.outcome(started["instance"])["emails"]
    place.tasks.finish(attempt, None)
    assert {200} == set(place.run(HttpDelivery({}, place.issuer)))
    assert COMPLETE == place.outcome(started["instance"])


def _shifted(place, seconds, audience):
    place.token_shift = seconds
    try:
        return place.token(TASKS, audience)
    finally:
        place.token_shift = 0.0


def test_a_step_in_flight_ends_before_the_process_does(place, stoppable, directory):
    """SIGTERM: the step is answered, the process ends with status 0, and the next one goes on.

    That one is preloaded: its master has the application, but nothing open, when it makes its workers.
    """
    stoppable.start()
    instance = start_by_cron(stoppable)
    place.clock.move_to(place.tasks.next_time())
    place.gate.arm("Commit")
    answers = []
    thread = deliver_in_flight(place, stoppable, answers)
    stoppable.terminate()
    stoppable.wait_for("Worker exiting")  # the one that has nothing to do: both were told to stop
    assert [] == answers
    place.gate.release()
    thread.join(PATIENCE)
    assert ([200], 0) == (answers, stoppable.ended()), "".join(stoppable.lines)
    (directory / "preloaded.py").write_text(PRELOADED)
    stoppable.start("--preload --config preloaded.py")
    assert {200} == set(place.run(stoppable.by_app_engine()))
    assert COMPLETE == place.outcome(instance)
    found = json.loads((directory / "before_fork.json").read_text())
    assert {"application": True, "channels": 0, "threads": 1} == found


def test_what_a_killed_process_did_not_answer_is_delivered_again(place, stoppable):
    """SIGKILL before a commit and after one, of everything and of the workers alone: nothing is lost."""
    stoppable.start()
    instance = start_by_cron(stoppable)
    for after, kill in ((False, stoppable.kill), (True, stoppable.kill_workers)):
        place.clock.move_to(place.tasks.next_time())
        place.gate.arm("Commit", after=after)
        answers = []
        thread = deliver_in_flight(place, stoppable, answers)
        kill()
        thread.join(PATIENCE)
        place.gate.release()
        assert [0] == answers
        if kill == stoppable.kill:
            stoppable.start()
    statuses = place.run(stoppable.by_app_engine())
    assert 200 == statuses[-1]
    assert COMPLETE == place.outcome(instance)
