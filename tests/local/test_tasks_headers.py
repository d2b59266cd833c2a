"""What an attempt sends, by what came before it; the tables are recordings of the real service."""

from __future__ import annotations

from typing import Any

import pytest
from tasks_support import QUEUE, Client, Clock, app_engine_task, http_task, task_name

from fantasm_gcp.local.tasks import Attempt, Delivery, Response, TasksServer
from fantasm_gcp.local.tasks.configuration.http_target import DEFAULT_SCOPE
from fantasm_gcp.local.tasks.configuration.tokens import OAuthToken, OidcToken, Token


@pytest.fixture
def clock() -> Clock:
    return Clock(1_602_727_873.950779)


def lease(server: TasksServer, clock: Clock) -> Attempt:
    """The next attempt, at its time."""
    moment = server.next_time()
    assert moment is not None
    clock.now = moment
    attempt = server.lease()
    assert attempt is not None
    return attempt


def after(server: TasksServer, clock: Clock, *statuses: int | None) -> Delivery:
    """The delivery that follows attempts with these answers, None being no answer."""
    for status in statuses:
        server.finish(lease(server, clock), None if status is None else Response(status))
    return lease(server, clock).delivery


def varying(delivery: Delivery, prefix: str) -> tuple[str | None, ...]:
    """Retry count, execution count, previous response and retry reason; None where there is none."""
    names = ("TaskRetryCount", "TaskExecutionCount", "TaskPreviousResponse", "TaskRetryReason")
    return tuple(delivery.headers.get(prefix + name) for name in names)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((), ("0", "0", None, None)),
        ((503,), ("1", "0", "503", "")),
        ((503, 404), ("2", "1", "404", "")),
        ((503, 404, 429), ("3", "2", "429", "")),
        ((503, 404, 429, 500), ("4", "2", "500", "")),
        ((503, 404, 429, 500, 302), ("5", "3", "302", "")),
        ((None,), ("1", "0", "504", "")),
        ((404, None), ("2", "1", "504", "")),
        ((None, 404), ("2", "1", "404", "")),
        ((599, 600), ("2", "1", "600", "")),
    ],
)
def test_an_http_target_counts_what_is_not_a_server_error(
    client: Client,
    server: TasksServer,
    clock: Clock,
    statuses: tuple[int | None, ...],
    expected: tuple[str | None, ...],
) -> None:
    """The reason is there and empty; no answer shows as 504."""
    client.create_task(parent=QUEUE, task=http_task("one"))

    assert expected == varying(after(server, clock, *statuses), "X-CloudTasks-")


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((), ("0", "0", None, None)),
        ((503,), ("1", "1", "503", "App Error")),
        ((503, 404), ("2", "2", "404", "App Error")),
        ((503, 404, 429, 500, 302), ("5", "5", "302", "App Error")),
        ((None,), ("1", "0", "0", "Instance Unavailable")),
        ((500, None), ("2", "1", "0", "Instance Unavailable")),
        ((None, 500), ("2", "1", "500", "App Error")),
    ],
)
def test_an_app_engine_target_counts_every_answer(
    client: Client,
    server: TasksServer,
    clock: Clock,
    statuses: tuple[int | None, ...],
    expected: tuple[str | None, ...],
) -> None:
    """No answer shows as response 0."""
    client.create_task(parent=QUEUE, task=app_engine_task("one"))

    assert expected == varying(after(server, clock, *statuses), "X-AppEngine-")


@pytest.mark.parametrize(
    ("task", "prefix", "expected"),
    [
        (http_task("one"), "X-CloudTasks-", ("1", "0", "0", "")),
        (app_engine_task("one"), "X-AppEngine-", ("1", "0", "0", "Instance Unavailable")),
    ],
)
def test_a_worker_that_was_not_reached_is_told_from_one_that_was_late(
    client: Client,
    server: TasksServer,
    clock: Clock,
    task: dict[str, Any],
    prefix: str,
    expected: tuple[str | None, ...],
) -> None:
    """Response 0 for both kinds of target; a real HTTP task has that beside 25 retries and 0 executions."""
    client.create_task(parent=QUEUE, task=task)
    server.finish(lease(server, clock), None, "ConnectionError: nobody answers")

    assert expected == varying(lease(server, clock).delivery, prefix)


def test_a_fault_without_an_answer_is_a_worker_that_was_late(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """Also when the worker it called could not be reached."""
    client.create_task(parent=QUEUE, task=http_task("one"))
    server.fail_next(status=None, reach=True)
    server.finish(lease(server, clock), None, "ConnectionError: nobody answers")

    assert ("1", "0", "504", "") == varying(lease(server, clock).delivery, "X-CloudTasks-")


@pytest.mark.parametrize(
    ("task", "prefix", "agent"),
    [
        (http_task("one"), "X-CloudTasks-", "Google-Cloud-Tasks"),
        (app_engine_task("one"), "X-AppEngine-", "AppEngine-Google; (+http://code.google.com/appengine)"),
    ],
)
def test_the_first_attempt_has_these_headers_and_no_others(
    client: Client,
    server: TasksServer,
    clock: Clock,
    task: dict[str, Any],
    prefix: str,
    agent: str,
) -> None:
    """Queue and task by their short names, the time with its microseconds."""
    client.create_task(parent=QUEUE, task=task)

    expected = {
        "User-Agent": agent,
        f"{prefix}QueueName": "work",
        f"{prefix}TaskName": "one",
        f"{prefix}TaskRetryCount": "0",
        f"{prefix}TaskExecutionCount": "0",
        f"{prefix}TaskETA": "1602727873.950779",
    }
    assert expected == after(server, clock).headers


def test_the_eta_is_that_of_the_attempt(client: Client, server: TasksServer, clock: Clock) -> None:
    """A retry has its own time, however late it is leased."""
    client.create_task(parent=QUEUE, task=http_task("one"))
    server.finish(lease(server, clock), Response(500))
    clock.advance(50)
    attempt = server.lease()

    assert attempt is not None
    assert attempt.delivery.headers["X-CloudTasks-TaskETA"] == "1602727874.050779"


def test_a_delivery_has_all_that_the_task_says(client: Client, server: TasksServer, clock: Clock) -> None:
    """Method, URL, headers, body and deadline, for both kinds of target."""
    http: dict[str, Any] = {
        "url": "https://worker.example/run?a=1",
        "http_method": "PUT",
        "headers": {"Content-Type": "application/json"},
        "body": b"{}",
    }
    by_http = client.create_task(
        parent=QUEUE, task=http_task("a", http_request=http, dispatch_deadline={"seconds": 20})
    )
    app_engine: dict[str, Any] = {
        "relative_uri": "/run?a=1",
        "http_method": "GET",
        "headers": {"X-Mine": "yes"},
    }
    by_app_engine = client.create_task(
        parent=QUEUE, task=app_engine_task("b", app_engine_http_request=app_engine)
    )

    first, second = lease(server, clock).delivery, lease(server, clock).delivery

    assert (by_http.name, by_app_engine.name) == (first.task, second.task)
    assert (
        first.method,
        first.url,
        first.body,
        first.deadline,
    ) == ("PUT", "https://worker.example/run?a=1", b"{}", 20.0)
    assert (first.service, first.headers["Content-Type"]) == (None, "application/json")
    assert (second.method, second.url, second.body, second.deadline) == ("GET", "/run?a=1", b"", 600.0)
    assert (second.service, second.host) == ("default", "demo.appspot.com")
    assert second.headers["X-Mine"] == "yes"


def test_a_delivery_carries_what_is_to_be_signed(client: Client, server: TasksServer, clock: Clock) -> None:
    """The token itself is made when the delivery is sent: it is not in the headers yet."""
    token = {"service_account_email": "robot@demo.example", "audience": "https://worker.example"}
    task = http_task("one", http_request={"url": "https://worker.example/", "oidc_token": token})
    client.create_task(parent=QUEUE, task=task)

    assert client.get_task(name=task_name("one")).http_request.oidc_token.audience == "https://worker.example"
    delivery = lease(server, clock).delivery
    assert delivery.token == OidcToken("robot@demo.example", "https://worker.example")
    assert "Authorization" not in delivery.headers


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"oidc_token": {}}, OidcToken("robot@demo.example", "http://worker.example/run?a=é")),
        ({"oauth_token": {}}, OAuthToken("robot@demo.example", DEFAULT_SCOPE)),
        ({"oauth_token": {"scope": "s"}}, OAuthToken("robot@demo.example", "s")),
    ],
)
def test_a_token_that_names_no_audience_and_no_scope_has_the_default(
    client: Client, server: TasksServer, clock: Clock, asked: dict[str, dict[str, str]], expected: Token
) -> None:
    """The audience is the URL of the task as it was given; the scope that of the whole platform."""
    ((kind, fields),) = asked.items()
    token = {"service_account_email": "robot@demo.example", **fields}
    request = {"url": "http://worker.example/run?a=é", kind: token}
    client.create_task(parent=QUEUE, task=http_task("one", http_request=request))

    assert expected == lease(server, clock).delivery.token


def test_headers_keep_their_case_and_those_of_the_service_are_overridden(
    client: Client, server: TasksServer, clock: Clock
) -> None:
    """An HTTP target gets no Content-Type by default; App Engine's agent is appended to that of a task."""
    given = {
        "content-type": "text/plain",
        "user-agent": "mine",
        "HOST": "elsewhere.example",
        "content-LENGTH": "1",
        "x-cloudtasks-taskname": "forged",
        "X-AppEngine-TaskName": "forged",
        "x-google-anything": "forged",
        "X-MiXed": "Kept",
    }
    for kind, extra in (("http_request", {"url": "http://w.example/"}), ("app_engine_http_request", {})):
        client.create_task(parent=QUEUE, task={kind: {**extra, "headers": given, "body": b"abc"}})
    by_http, by_app_engine = (lease(server, clock).delivery.headers for _ in range(2))

    own = {name: value for name, value in by_http.items() if not name.startswith("X-CloudTasks-")}
    assert {"content-type": "text/plain", "X-MiXed": "Kept", "User-Agent": "Google-Cloud-Tasks"} == own
    own = {name: value for name, value in by_app_engine.items() if not name.startswith("X-AppEngine-")}
    assert {
        "content-type": "text/plain",
        "X-MiXed": "Kept",
        "Content-Length": "3",
        "User-Agent": "mine AppEngine-Google; (+http://code.google.com/appengine)",
        "x-cloudtasks-taskname": "forged",
    } == own
    assert "forged" not in {by_http["X-CloudTasks-TaskName"], by_app_engine["X-AppEngine-TaskName"]}
