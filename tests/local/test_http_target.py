"""``Queue.http_target``: what a queue says of all its HTTP tasks, and what it may not say."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.tasks_v2 import types
from tasks_support import LOCATION, QUEUE, Client, app_engine_task, http_task, refusal, task_name
from werkzeug.test import Client as Browser

from fantasm_gcp.local.dev.front import build_tasks_front
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import Delivery, TasksServer
from fantasm_gcp.local.tasks.configuration.http_target import build_buffered, override_url
from fantasm_gcp.local.tasks.configuration.tokens import Issuer, OAuthToken, OidcToken
from fantasm_gcp.local.tasks.messages import Queue

EMAIL = "robot@demo.iam.gserviceaccount.com"
OIDC = {"service_account_email": EMAIL, "audience": "https://queue.example"}
OAUTH = {"service_account_email": EMAIL, "scope": "of-the-queue"}


def create(client: Client, **target: Any) -> Any:
    """A queue with that HTTP target."""
    return client.create_queue(parent=LOCATION, queue={"name": QUEUE, "http_target": target})


def delivered(client: Client, server: TasksServer, **request: Any) -> Delivery:
    """What an HTTP task of the queue is sent as."""
    http = {"url": "http://task.example:8080/of/task?by=task", **request}
    client.create_task(parent=QUEUE, task=http_task(http_request=http))
    attempt = server.lease()
    assert attempt is not None
    return attempt.delivery


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({}, "http://task.example:8080/of/task?by=task"),
        ({"scheme": "HTTPS"}, "https://task.example:8080/of/task?by=task"),
        ({"scheme": "SCHEME_UNSPECIFIED"}, "https://task.example:8080/of/task?by=task"),
        ({"scheme": "HTTP"}, "http://task.example:8080/of/task?by=task"),
        ({"host": "queue.example"}, "http://queue.example:8080/of/task?by=task"),
        ({"host": "[::1]"}, "http://[::1]:8080/of/task?by=task"),
        ({"port": 1}, "http://task.example:1/of/task?by=task"),
        ({"port": 0}, "http://task.example/of/task?by=task"),
        ({"path_override": {"path": "/of/queue"}}, "http://task.example:8080/of/queue?by=task"),
        ({"path_override": {"path": "of/queue"}}, "http://task.example:8080/of/queue?by=task"),
        ({"path_override": {}}, "http://task.example:8080?by=task"),
        ({"query_override": {"query_params": "by=queue"}}, "http://task.example:8080/of/task?by=queue"),
        ({"query_override": {}}, "http://task.example:8080/of/task"),
        (
            {
                "scheme": "HTTPS",
                "host": "queue.example",
                "port": 8443,
                "path_override": {"path": "/q"},
                "query_override": {"query_params": "q=1"},
                "uri_override_enforce_mode": "ALWAYS",
            },
            "https://queue.example:8443/q?q=1",
        ),
    ],
)
def test_each_part_of_a_uri_is_overridden_by_itself(
    client: Client, server: TasksServer, override: dict[str, Any], expected: str
) -> None:
    """What is not set is the task's; what is set to nothing is taken away."""
    create(client, uri_override=override)

    assert expected == delivered(client, server).url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://task.example", "http://task.example:1/q?q=1"),
        ("http://task.example/", "http://task.example:1/q?q=1"),
        ("http://task.example:8080/of/task?by=task", "http://task.example:8080/of/task?by=task"),
        ("http://task.example/of/task", "http://task.example:1/of/task?q=1"),
        ("http://task.example:8080?by=task", "http://task.example:8080/q?by=task"),
        ("http://", "http://queue.example:1/q?q=1"),
    ],
)
def test_if_not_exists_fills_what_a_task_leaves_open(
    client: Client, server: TasksServer, url: str, expected: str
) -> None:
    """A scheme and a host a task always has; a bare root is no path."""
    create(
        client,
        uri_override={
            "scheme": "HTTPS",
            "host": "queue.example",
            "port": 1,
            "path_override": {"path": "/q"},
            "query_override": {"query_params": "q=1"},
            "uri_override_enforce_mode": "IF_NOT_EXISTS",
        },
    )

    assert expected == delivered(client, server, url=url).url


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://[::1/",
        "http://h:x:y/",
        "http://a@b@c:9/",
        "https://h/\n?\r#",
        "http://h:99999999999999999999/",
        "http://?#?#",
        "ftp://h",
        "",
    ],
)
def test_no_url_keeps_an_attempt_from_beginning(url: str) -> None:
    """An error at that point would come again with every attempt, before those of other tasks."""
    override = types.UriOverride(host="h", port=1, path_override={"path": "p"}, query_override={})
    found = override_url(url, types.UriOverride.pb(override))

    assert found == "http://h:1/p" or found.startswith("https://h:1/p") or found == url


def test_a_changed_target_takes_waiting_tasks_along(client: Client, server: TasksServer) -> None:
    """Overrides are applied when an attempt begins; the task itself stays what it was."""
    create(client, uri_override={"host": "first.example"})
    client.create_task(parent=QUEUE, task=http_task("one"))
    target = {"uri_override": {"host": "second.example"}}
    client.update_queue(
        queue={"name": QUEUE, "http_target": target}, update_mask={"paths": ["http_target.uri_override.host"]}
    )
    attempt = server.lease()

    assert attempt is not None
    assert attempt.delivery.url == "http://second.example/run"
    assert client.get_task(name=task_name("one")).http_request.url == "http://worker.example/run"


def test_a_target_can_be_taken_away(client: Client, server: TasksServer) -> None:
    """By an update that names the field and leaves it out."""
    create(client, uri_override={"host": "queue.example"})
    client.update_queue(queue={"name": QUEUE}, update_mask={"paths": ["http_target"]})

    assert delivered(client, server).url == "http://task.example:8080/of/task?by=task"


def test_a_method_without_a_body_leaves_the_body_out(client: Client, server: TasksServer) -> None:
    """The queue's method counts; the task is accepted with a body for its own."""
    create(client, http_method="GET")
    delivery = delivered(client, server, http_method="PUT", body=b"of the task")
    assert ("GET", b"") == (delivery.method, delivery.body)

    client.update_queue(queue={"name": QUEUE, "http_target": {"http_method": "PATCH"}})
    delivery = delivered(client, server, http_method="PUT", body=b"of the task")
    assert ("PATCH", b"of the task") == (delivery.method, delivery.body)


def test_headers_of_the_queue_replace_those_of_the_task(client: Client, server: TasksServer) -> None:
    """However they are spelt; those that the service sets itself are left out of both."""
    given = {
        "content-TYPE": "text/of-queue",
        "X-Queue": "1",
        "User-Agent": "forged",
        "X-CloudTasks-TaskName": "forged",
        "Host": "forged",
    }
    create(client, header_overrides=[{"header": {"key": k, "value": v}} for k, v in given.items()])
    headers = delivered(client, server, headers={"Content-Type": "text/of-task", "X-Task": "2"}).headers

    assert {
        "content-TYPE": "text/of-queue",
        "User-Agent": "Google-Cloud-Tasks",
        "X-Queue": "1",
        "X-Task": "2",
    } == {name: value for name, value in headers.items() if not name.startswith("X-CloudTasks-")}
    assert "forged" not in headers.values()


@pytest.mark.parametrize(
    ("of_queue", "of_task", "expected"),
    [
        ({"oidc_token": OIDC}, {}, OidcToken(EMAIL, "https://queue.example")),
        (
            {"oauth_token": OAUTH},
            {"oidc_token": {**OIDC, "audience": "t"}},
            OAuthToken(EMAIL, "of-the-queue"),
        ),
        ({}, {"oidc_token": {**OIDC, "audience": "t"}}, OidcToken(EMAIL, "t")),
        (
            {"uri_override": {"host": "h"}},
            {"oidc_token": {"service_account_email": EMAIL}},
            OidcToken(EMAIL, "http://h:8080/of/task?by=task"),
        ),
        ({"http_method": "PUT"}, {}, None),
    ],
)
def test_the_token_of_the_queue_replaces_that_of_the_task(
    client: Client,
    server: TasksServer,
    of_queue: dict[str, Any],
    of_task: dict[str, Any],
    expected: OidcToken | OAuthToken | None,
) -> None:
    """Of either kind; the audience of a task that names none is the URL that is called."""
    create(client, **of_queue)

    assert expected == delivered(client, server, **of_task).token


def test_app_engine_tasks_are_not_affected(client: Client, server: TasksServer) -> None:
    """They have a routing override of their own."""
    target = {"uri_override": {"host": "h"}, "http_method": "PUT", "oidc_token": OIDC}
    create(client, **target)
    client.create_task(parent=QUEUE, task=app_engine_task())
    attempt = server.lease()

    assert attempt is not None
    delivery = attempt.delivery
    assert ("/run", "POST", None) == (delivery.url, delivery.method, delivery.token)


def overriding(*headers: tuple[str, str]) -> dict[str, Any]:
    return {"header_overrides": [{"header": {"key": key, "value": value}} for key, value in headers]}


@pytest.mark.parametrize(
    "target",
    [
        {"uri_override": {"host": ""}},
        {"uri_override": {"host": "h/path"}},
        {"uri_override": {"host": "h:80"}},
        {"uri_override": {"host": "user@h"}},
        {"uri_override": {"port": -1}},
        {"uri_override": {"port": 65_536}},
        {"uri_override": {"scheme": 3}},
        {"uri_override": {"uri_override_enforce_mode": 3}},
        {"uri_override": {"path_override": {"path": "/a?b"}}},
        {"uri_override": {"query_override": {"query_params": "a#b"}}},
        {"http_method": 8},
        {"oidc_token": {"service_account_email": EMAIL}},
        {"oidc_token": {"audience": "a"}},
        {"oauth_token": {"service_account_email": EMAIL}},
        {"oauth_token": {"scope": "s"}},
        overriding(("", "x")),
        overriding(("a b", "x")),
        overriding(("X", "a\r\nY: b")),
        overriding(("X", "1"), ("x", "2")),
        overriding(("X", "x" * (80 * 1024 - 1))),
    ],
)
def test_a_target_that_is_wrong_is_refused(client: Client, target: dict[str, Any]) -> None:
    """At creation and at an update, which changes nothing then."""
    assert refusal(lambda: create(client, **target))[0] == "INVALID_ARGUMENT"
    create(client, http_method="PUT")
    queue = {"name": QUEUE, "http_target": target}
    assert refusal(lambda: client.update_queue(queue=queue))[0] == "INVALID_ARGUMENT"
    assert client.get_queue(name=QUEUE).http_target == types.HttpTarget(http_method="PUT")


def test_an_update_of_a_part_is_checked_with_what_is_there(client: Client) -> None:
    """An audience alone is enough for a queue that has the account."""
    create(client, oidc_token=OIDC)
    part = {"name": QUEUE, "http_target": {"oidc_token": {"audience": "another"}}}
    mask = {"paths": ["http_target.oidc_token.audience"]}
    changed = client.update_queue(queue=part, update_mask=mask)

    assert (EMAIL, "another") == (
        changed.http_target.oidc_token.service_account_email,
        changed.http_target.oidc_token.audience,
    )
    part = {"name": QUEUE, "http_target": {"oidc_token": {"audience": ""}}}
    assert refusal(lambda: client.update_queue(queue=part, update_mask=mask))[0] == "INVALID_ARGUMENT"


def test_a_buffered_task_goes_to_the_target_of_its_queue(client: Client, server: TasksServer) -> None:
    """BufferTask gives a body and no task; the Content-Type of its request is kept, JSON the default."""
    override = {"host": "queue.example", "path_override": {"path": "/q"}, "uri_override_enforce_mode": 1}
    queue = types.Queue.pb(create(client, uri_override=override, http_method="PUT"))
    for task_id, content_type in (("mine", ""), ("", "text/plain")):
        buffered = build_buffered(queue, task_id, b'{"a": 1}', content_type)
        client.create_task(request=types.CreateTaskRequest.deserialize(buffered.SerializeToString()))
    first, second = server.lease(), server.lease()

    assert first is not None
    assert second is not None
    assert (task_name("mine"), "PUT", "https://queue.example/q", b'{"a": 1}') == (
        first.task,
        first.delivery.method,
        first.delivery.url,
        first.delivery.body,
    )
    assert ["application/json", "text/plain"] == [
        attempt.delivery.headers["Content-Type"] for attempt in (first, second)
    ]
    assert second.task.rpartition("/")[2].isdecimal()


@pytest.mark.parametrize("target", [None, {"http_method": 1}, {"uri_override": {"port": 1}}])
def test_there_is_no_buffering_without_a_host_to_send_to(target: dict[str, Any] | None) -> None:
    """A queue without an HTTP target, or with one that leaves the host to the task."""
    queue = Queue(name=QUEUE, **({} if target is None else {"http_target": target}))

    with pytest.raises(RpcError, match="INVALID_ARGUMENT"):
        build_buffered(queue, "", b"")


def buffered(server: TasksServer, path: str, body: bytes, kind: str | None = None) -> tuple[int, Any]:
    """The status and the JSON that BufferTask answers over HTTP."""
    front = Browser(build_tasks_front(server, Issuer()))
    answer = front.post(f"/v2/{QUEUE}/{path}:buffer", data=body, content_type=kind)
    return answer.status_code, answer.json


def test_buffering_takes_the_body_of_a_request_as_it_is(client: Client, server: TasksServer) -> None:
    """JSON that is no message, text, bytes or nothing; with a name of its own or a new one."""
    create(client, uri_override={"host": "queue.example", "path_override": {"path": "/q"}})
    sent = [
        ("tasks/a", b'{"message": "hi"}', "application/json"),
        ("tasks/b", b"\x00\xff", "application/octet-stream"),
        ("tasks/c", b"plain", None),
        ("tasks", b"", None),
    ]
    answers = [buffered(server, *each) for each in sent]
    received = {}
    while (attempt := server.lease()) is not None:
        delivery = attempt.delivery
        received[attempt.task] = (delivery.url, delivery.headers["Content-Type"], delivery.body)

    assert [200] * 4 == [status for status, _ in answers]
    names = [answer["task"]["name"] for _, answer in answers]
    assert [task_name(each) for each in "abc"] == names[:3]
    assert {
        name: ("https://queue.example/q", kind or "application/json", body)
        for name, (_, body, kind) in zip(names, sent, strict=True)
    } == received


def test_buffering_refuses_as_the_other_methods_do(client: Client, server: TasksServer) -> None:
    """A queue that is not there or has no target, a name that is taken or none, a body that is too large."""
    assert (404, "NOT_FOUND") == refused(buffered(server, "tasks", b""))
    create(client, http_method="PUT")
    assert (400, "INVALID_ARGUMENT") == refused(buffered(server, "tasks", b""))
    client.update_queue(queue={"name": QUEUE, "http_target": {"uri_override": {"host": "h"}}})
    assert 200 == buffered(server, "tasks/one", b"")[0]
    assert (409, "ALREADY_EXISTS") == refused(buffered(server, "tasks/one", b""))
    assert (400, "INVALID_ARGUMENT") == refused(buffered(server, "tasks/a.b", b""))
    assert (400, "INVALID_ARGUMENT") == refused(buffered(server, "tasks/two", b"x" * 1_048_570))
    assert server.depth() == 1


def refused(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["status"]
