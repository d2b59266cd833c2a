"""Version v2beta3 of Cloud Tasks, as its clients speak it: what they send, word for word, and what they read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2beta3
from google.cloud.tasks_v2beta3.services.cloud_tasks.transports import CloudTasksGrpcTransport, rest_base
from google.cloud.tasks_v2beta3.services.cloud_tasks.transports import (
    CloudTasksRestTransport as RestTransport,
)
from http_support import Answer, Served, both
from tasks_support import Clock

from fantasm_gcp.local.dev.front import build_tasks_front
from fantasm_gcp.local.http import Door
from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.local.tasks.configuration.tokens import Issuer
from fantasm_gcp.local.tasks.dialects.version_beta3 import beta3_service
from fantasm_gcp.local.tasks.routes import LOCATION_ROUTES, OPERATION_ROUTES, ROUTES, in_beta3
from fantasm_gcp.local.tasks.scheduling.deliveries import Response

LOCATION = "projects/local/locations/here"
QUEUE = f"{LOCATION}/queues/work"
HTTP = {"url": "http://worker.example/run", "headers": {"A": "é"}, "body": b"\x00\xff"}


@pytest.fixture
def server() -> Iterator[TasksServer]:
    server = TasksServer(clock=Clock())
    yield server
    server.close()


@pytest.fixture
def client(server: TasksServer) -> Any:
    """The official client of v2beta3."""
    channel = LocalChannel(beta3_service(server.service, server), server.operations)
    return tasks_v2beta3.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


@pytest.fixture
def opened() -> Iterator[Served]:
    """The whole port of Cloud Tasks, with services where firebase-admin's functions are."""
    with both() as beneath:
        services = {"default": "http://127.0.0.1:8080", "mail": "http://127.0.0.1:9090"}
        door = Door("127.0.0.1", 0, "", build_tasks_front(beneath.tasks, Issuer(), services=services))
        yield Served(beneath.tasks, beneath.datastore, door)
        door.close()


def ask(opened: Served, method: str, path: str, body: Any = b"") -> Answer:
    return opened.send(method, path, body, {"Content-Type": "application/json"})


def test_every_route_of_the_official_client_is_there() -> None:
    """Its transport's bindings: verb, path and body, and more only where v2 has more."""
    known = {
        (each.verb, each.template, each.body)
        for each in in_beta3((*ROUTES, *LOCATION_ROUTES, *OPERATION_ROUTES))
    }
    rules = vars(rest_base._BaseCloudTasksRestTransport).items()
    options = [
        option for name, rule in rules if name.startswith("_Base") for option in rule._get_http_options()
    ]
    assert set() == {(each["method"].upper(), each["uri"], each.get("body", "")) for each in options} - known


def test_a_queue_keeps_what_it_was_given(client: Any, server: TasksServer) -> None:
    """Limits, retries, the HTTP target and its empty parts, under the numbers of either version."""
    given = {
        "name": QUEUE,
        "rate_limits": {"max_dispatches_per_second": 5, "max_concurrent_dispatches": 3},
        "retry_config": {"max_attempts": -1, "min_backoff": {"seconds": 2}},
        "http_target": {"uri_override": {"host": "h.example", "port": 0, "path_override": {}}},
        "stackdriver_logging_config": {"sampling_ratio": 0.5},
    }
    made = client.create_queue(parent=LOCATION, queue=given)
    assert tasks_v2beta3.Queue.Type.PUSH == made.type_
    assert made == client.get_queue(name=QUEUE)
    assert [made] == list(client.list_queues(parent=LOCATION))
    stored = server.queue(QUEUE).message
    assert (5, -1, 2) == (
        stored.rate_limits.max_dispatches_per_second,
        stored.retry_config.max_attempts,
        stored.retry_config.min_backoff.seconds,
    )
    override = stored.http_target.uri_override
    assert ("h.example", True, True, False) == (
        override.host,
        override.HasField("port"),
        override.HasField("path_override"),
        override.HasField("query_override"),
    )
    assert 0.5 == made.stackdriver_logging_config.sampling_ratio


def test_routing_lies_one_message_deeper(client: Any, server: TasksServer) -> None:
    """In what is sent, in what is answered and in the mask of an update."""
    routed = {"name": QUEUE, "app_engine_http_queue": {"app_engine_routing_override": {"service": "a"}}}
    made = client.create_queue(parent=LOCATION, queue=routed)
    assert "a" == made.app_engine_http_queue.app_engine_routing_override.service
    assert "a" == server.queue(QUEUE).message.app_engine_routing_override.service
    routed["app_engine_http_queue"] = {"app_engine_routing_override": {"service": "b"}}
    for path in ("app_engine_http_queue", "app_engine_http_queue.app_engine_routing_override.service"):
        client.update_queue(queue=routed, update_mask={"paths": [path]})
        assert "b" == server.queue(QUEUE).message.app_engine_routing_override.service
        routed["app_engine_http_queue"] = {"app_engine_routing_override": {"service": "b"}}


def test_tasks_are_those_of_v2(client: Any, server: TasksServer) -> None:
    """Made, seen, run, attempted and deleted; attempts are counted under other numbers, too."""
    asked = {"http_request": HTTP, "dispatch_deadline": {"seconds": 20}}
    made = client.create_task(parent=QUEUE, task=asked)
    full = client.get_task(request={"name": made.name, "response_view": "FULL"})
    assert (b"\x00\xff", "é", 20) == (
        full.http_request.body,
        full.http_request.headers["A"],
        full.dispatch_deadline.seconds,
    )
    attempt = server.lease()
    assert attempt is not None
    server.finish(attempt, Response(503))
    [seen] = client.list_tasks(parent=QUEUE)
    assert (1, 1, 14) == (seen.dispatch_count, seen.response_count, seen.last_attempt.response_status.code)
    assert made.name == client.run_task(name=made.name).name
    client.delete_task(name=made.name)
    with pytest.raises(exceptions.NotFound, match="existed recently"):
        client.get_task(name=made.name)


def test_a_batch_is_answered_in_messages_of_its_version(client: Any) -> None:
    """Now and when it is asked for again: clients unpack what an operation holds as their own types."""
    requests = [{"parent": QUEUE, "task": {"http_request": HTTP}}, {"parent": QUEUE, "task": {"name": "x"}}]
    batch = {"parent": QUEUE, "requests": requests, "request_id": "one"}
    operation = client.batch_create_tasks(request=batch)
    assert 1 == len(operation.result(timeout=1).tasks)
    assert [1] == list(operation.metadata.failed_requests)
    assert operation.operation == client.get_operation({"name": operation.operation.name})
    assert operation.operation == client.batch_create_tasks(request=batch).operation


def test_statistics_come_when_the_mask_names_them(client: Any, server: TasksServer) -> None:
    """Nothing else does then; without a mask everything but them."""
    client.create_queue(parent=LOCATION, queue={"name": QUEUE})
    for _ in range(3):
        client.create_task(parent=QUEUE, task={"http_request": HTTP})
    attempts = [server.lease(), server.lease()]
    assert attempts[0] is not None
    server.finish(attempts[0], Response(200))
    masked = client.get_queue(request={"name": QUEUE, "read_mask": {"paths": ["stats", "type"]}})
    assert (2, 1, 1, 500) == (
        masked.stats.tasks_count,
        masked.stats.concurrent_dispatches_count,
        masked.stats.executed_last_minute_count,
        masked.stats.effective_execution_rate,
    )
    assert masked.stats.oldest_estimated_arrival_time
    assert ("", tasks_v2beta3.Queue.Type.PUSH) == (masked.name, masked.type_)
    assert not client.get_queue(name=QUEUE).stats
    [named] = client.list_queues(request={"parent": LOCATION, "read_mask": {"paths": ["name"]}})
    assert tasks_v2beta3.Queue(name=QUEUE) == named
    with pytest.raises(exceptions.InvalidArgument):
        client.get_queue(request={"name": QUEUE, "read_mask": {"paths": ["nothing"]}})


def test_every_answer_of_the_last_minute_is_counted(client: Any, server: TasksServer) -> None:
    """Of as many as there are, failures too; not those of other queues, of before, or that did not come."""

    def attempt(queue: str, response: Response | None) -> None:
        name = client.create_task(parent=queue, task={"http_request": HTTP}).name
        leased = server.lease(name, force=True)
        assert leased is not None
        server.finish(leased, response)

    attempt(QUEUE, Response(200))
    server.advance(60)
    for status in [200] * 200 + [503]:
        attempt(QUEUE, Response(status))
    attempt(QUEUE, None)
    attempt(f"{QUEUE}-other", Response(200))
    stats = client.get_queue(request={"name": QUEUE, "read_mask": {"paths": ["stats"]}}).stats
    assert 201 == stats.executed_last_minute_count


@pytest.mark.parametrize(
    ("extra", "words"),
    [({"type_": "PULL"}, "push queues only"), ({"task_ttl": {"seconds": 864_000}}, "task_ttl"), ({"tombstone_ttl": {"seconds": 3600}}, "tombstone_ttl")],
)  # fmt: skip
def test_what_only_v2beta3_can_ask_for_is_refused_by_name(client: Any, extra: Any, words: str) -> None:
    """Instead of being left out without a word."""
    with pytest.raises(exceptions.MethodNotImplemented, match=words):
        client.create_queue(parent=LOCATION, queue={"name": QUEUE, **extra})
    with pytest.raises(exceptions.MethodNotImplemented, match="pull_message"):
        client.create_task(parent=QUEUE, task={"pull_message": {"tag": "a"}})


def test_gcloud_beta_is_answered(opened: Served) -> None:
    """What `gcloud beta tasks` sends, masks with names of v2 and in camel case included."""
    path = f"/v2beta3/{QUEUE}"
    made = {
        "httpTarget": {"uriOverride": {"host": "h.example", "pathOverride": {}, "scheme": "HTTPS"}},
        "name": QUEUE,
    }
    body = ask(opened, "POST", f"/v2beta3/{LOCATION}/queues?alt=json", {**made, "type": "PUSH"}).json
    assert ("PUSH", "HTTPS") == (body["type"], body["httpTarget"]["uriOverride"]["scheme"])
    mask = "appEngineRoutingOverride,retryConfig.maxAttempts"
    routed = {
        "appEngineHttpQueue": {"appEngineRoutingOverride": {"service": "w"}},
        "retryConfig": {"maxAttempts": 5},
    }
    changed = ask(opened, "PATCH", f"{path}?updateMask={mask}&alt=json", {"name": QUEUE, **routed}).json
    assert "w" == changed["appEngineHttpQueue"]["appEngineRoutingOverride"]["service"]
    assert 5 == changed["retryConfig"]["maxAttempts"]
    buffered = ask(opened, "POST", f"{path}/tasks/xx:buffer?alt=json", {})
    assert f"{QUEUE}/tasks/xx" == buffered.json["task"]["name"]
    listed = ask(opened, "GET", "/v2beta3/projects/local/locations?alt=json&pageSize=100").json
    assert [LOCATION] == [each["name"] for each in listed["locations"]]


def test_the_client_over_rest_is_answered(opened: Served) -> None:
    """The paths lead to these messages and not to those of v2."""
    transport = RestTransport(host=opened.address, url_scheme="http", credentials=AnonymousCredentials())
    client: Any  # it takes mappings where its annotations ask for messages
    with tasks_v2beta3.CloudTasksClient(transport=transport) as client:
        made = client.create_queue(parent=LOCATION, queue={"name": QUEUE})
        assert tasks_v2beta3.Queue.Type.PUSH == made.type_
        task = client.create_task(parent=QUEUE, task={"http_request": HTTP})
        found = client.get_task(request={"name": task.name, "response_view": "FULL"})
        assert b"\x00\xff" == found.http_request.body


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        (
            "GET",
            "/v2beta2/projects/local/locations/here/queues",
            "this server has v2 and v2beta3, not v2beta2",
        ),
        ("GET", "/v1/projects/local", "this server has v2 and v2beta3, not v1"),
        ("POST", "/v2/projects/local:import", "Method not found."),
        ("POST", "/v2/projects/local/locations/here/queues", "Method not found."),
    ],
)
def test_what_is_no_method_is_refused_in_json(opened: Served, method: str, path: str, words: str) -> None:
    """Clients read Google's form of an error; a page for people says nothing to them."""
    verb = "PUT" if method == "POST" else method
    code, status, message = ask(opened, verb, path).error
    assert (404, "NOT_FOUND") == (code, status)
    assert words in message


def test_firebase_admin_is_answered(opened: Served) -> None:
    """Paths without a version, a task without a URL, and an answer that holds the task under a name with a slash."""
    queue = "projects/local/locations/us-central1/queues/mail"
    request = {
        "url": "",
        "oidcToken": {"serviceAccountEmail": "emulated-service-acct@email.com"},
        "body": "eyJhIjoxfQ==",
    }
    headers = {"Content-Type": "application/json"}
    task = {"httpRequest": {**request, "headers": headers}, "dispatchDeadline": "20s"}
    made = ask(opened, "POST", f"/{queue}/tasks", {"task": {**task, "name": f"{queue}/tasks/a"}})
    assert (200, f"/{queue}/tasks/a") == (made.status, made.json["task"]["name"])
    assert "http://127.0.0.1:9090/" == opened.tasks.task(f"{queue}/tasks/a").message.http_request.url
    other = f"{queue[:-4]}other"
    made = ask(opened, "POST", f"/{other}/tasks", {"task": task}).json["task"]
    assert "http://127.0.0.1:8080/" == opened.tasks.task(made["name"][1:]).message.http_request.url
    url = {"task": {"httpRequest": {**request, "url": "http://own.example/x"}}}
    made = ask(opened, "POST", f"/{other}/tasks", url).json["task"]
    assert "http://own.example/x" == opened.tasks.task(made["name"][1:]).message.http_request.url
    assert (
        409 == ask(opened, "POST", f"/{queue}/tasks", {"task": {**task, "name": f"{queue}/tasks/a"}}).status
    )
    assert 200 == ask(opened, "DELETE", f"/{queue}/tasks/a").status
    assert 404 == ask(opened, "DELETE", f"/{queue}/tasks/a").status
