"""Tasks with HTTP targets: what of a callback reaches Cloud Tasks, and what proves who sends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fantasm_gcp.core.callback import Callback
from fantasm_gcp.core.definition import RetryPolicy
from fantasm_gcp.engine.ports import QueueState, TaskState
from fantasm_gcp.errors import SettingsError
from fantasm_gcp.gateways.clients import Channels, tasks_api
from fantasm_gcp.gateways.cloud_tasks import CloudTasksQueue, HttpTarget, task_pb
from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.local.tasks.configuration.tokens import OidcToken
from fantasm_gcp.settings import Settings

CALLBACK = Callback(
    name="hash-step",
    queue="default",
    method="POST",
    url="/fantasm/fsm/M/a/e/b/",
    headers={"X-Fantasm-Step": "hash-step", "Content-Type": "application/json"},
    body=b'{"a": 1}',
    due=None,
    retry=RetryPolicy(task_retry_limit=3, min_backoff_seconds=10),
)
ACCOUNT = "tasks@p.iam.gserviceaccount.com"
TARGET = HttpTarget("https://app.example", ACCOUNT, "https://audience.example")
LONGEST = 2083
QUEUES = "projects/p/locations/l/queues"
PARENT = f"{QUEUES}/default"


@pytest.fixture
def server():
    made = TasksServer(clock=lambda: 1e9)
    yield made
    made.close()


def deliveries(server, target, *callbacks):
    """What the local Cloud Tasks delivers of callbacks that are created there in one call."""
    api = tasks_api(Channels(tasks=lambda: LocalChannel(server.service)))
    CloudTasksQueue("p", "l", lambda: api, target=target).create(callbacks)
    return [server.lease().delivery for _ in callbacks]


def test_a_task_is_a_request_to_a_url_with_a_token(server):
    """The URL is whole, no service of App Engine is named, and the request is that of the callback."""
    (sent,) = deliveries(server, TARGET, CALLBACK)
    assert ("https://app.example/fantasm/fsm/M/a/e/b/", None) == (sent.url, sent.service)
    assert ("POST", b'{"a": 1}') == (sent.method, sent.body)
    assert OidcToken(ACCOUNT, "https://audience.example") == sent.token
    assert CALLBACK.headers.items() <= dict(sent.headers).items()


def test_the_tasks_of_a_batch_go_to_the_url_as_one_alone_does(server):
    """Each with a token."""
    sent = deliveries(server, TARGET, *(replace(CALLBACK, name=f"n{i}") for i in range(3)))
    assert 3 * [("https://app.example/fantasm/fsm/M/a/e/b/", ACCOUNT)] == [
        (each.url, each.token.email) for each in sent
    ]


def test_who_serves_a_url_has_all_the_time_that_cloud_tasks_gives(server):
    """Half an hour; App Engine's own limit follows the scaling of the service, and stays."""
    assert 1800 == deliveries(server, TARGET, CALLBACK)[0].deadline
    assert not task_pb(PARENT, CALLBACK).HasField("dispatch_deadline")


def test_without_an_account_there_is_no_token(server):
    """A local server takes none."""
    (sent,) = deliveries(server, HttpTarget("http://localhost:8080"), CALLBACK)
    assert (None, "http://localhost:8080/fantasm/fsm/M/a/e/b/") == (sent.token, sent.url)


def test_a_version_or_service_is_no_part_of_a_request_to_a_url(server):
    """An instance that App Engine pinned goes on where its tasks go now."""
    (sent,) = deliveries(server, TARGET, replace(CALLBACK, target="v1.default"))
    assert ("https://app.example/fantasm/fsm/M/a/e/b/", "") == (sent.url, sent.version)


@pytest.mark.parametrize(("over", "kept"), [(0, True), (1, False)])
def test_a_query_that_makes_the_url_too_long_is_left_out(server, over, kept):
    """It only shows the context to people; the whole URL may have 2,083 characters, with its host."""
    path = f"{CALLBACK.url}?a="
    filler = "x" * (LONGEST - len(TARGET.url + path) + over)
    (sent,) = deliveries(server, TARGET, replace(CALLBACK, method="GET", body=b"", url=path + filler))
    assert TARGET.url + (path + filler if kept else CALLBACK.url) == sent.url


def test_retries_are_the_same_whatever_the_target():
    """The engine gives up; backoff is the transition's."""
    by_url, by_app_engine = task_pb(PARENT, CALLBACK, TARGET), task_pb(PARENT, CALLBACK)
    assert by_app_engine.retry_config == by_url.retry_config
    assert 10 == by_url.retry_config.min_backoff.seconds


def test_the_target_is_that_of_the_settings():
    """App Engine, a URL with an account, or a URL of this machine without one."""
    url = Settings(target="https://app.example", service_account=ACCOUNT, audience="a")
    assert HttpTarget("https://app.example", ACCOUNT, "a") == HttpTarget.of(url)
    assert [None, None] == [HttpTarget.of(Settings(target=each)) for each in ("", "app-engine")]
    local = Settings(mode="local", target="http://localhost:8080")
    assert HttpTarget("http://localhost:8080") == HttpTarget.of(local)


def test_tasks_that_would_prove_nothing_are_not_made():
    """Each would be refused when it comes, and nobody would see why."""
    with pytest.raises(SettingsError, match="FANTASM_SERVICE_ACCOUNT"):
        HttpTarget.of(Settings(target="https://app.example"))


def test_another_queue_takes_the_place_of_the_one_called_default(server):
    """For all that is asked of it, alone and in batches; queues with names of their own stay as they are."""
    api = tasks_api(Channels(tasks=lambda: LocalChannel(server.service)))
    queue = CloudTasksQueue("p", "l", lambda: api, default="work")
    callbacks = [replace(CALLBACK, name=f"n{i}") for i in range(2)]
    queue.create(callbacks)
    queue.create([replace(CALLBACK, name="n2"), replace(CALLBACK, name="n3", queue="mail")])
    names = {each.name for path in ("work", "mail") for each in api.list_tasks(parent=f"{QUEUES}/{path}")}
    assert {f"{QUEUES}/work/tasks/n{i}" for i in range(3)} | {f"{QUEUES}/mail/tasks/n3"} == names
    assert (QueueState.RUNNING, TaskState.WAITING) == (queue.state("default"), queue.look_at("default", "n0"))
    queue.delete("default", ["n0", "n1"])
    assert TaskState.GONE is queue.look_at("default", "n1")


@pytest.mark.parametrize(("target", "service"), [(None, "staging"), ("mail", "mail"), ("v2.mail", "mail")])
def test_what_names_no_service_goes_to_the_one_that_runs(server, target, service):
    """What names one goes there, whichever service made the task; batches as well."""
    api = tasks_api(Channels(tasks=lambda: LocalChannel(server.service)))
    queue = CloudTasksQueue("p", "l", lambda: api, service="staging")
    queue.create([replace(CALLBACK, name=f"n{i}", target=target) for i in range(2)])
    assert {service} == {server.lease().delivery.service for _ in range(2)}
