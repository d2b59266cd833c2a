"""The task methods, through the real client: names, refusals, views, tombstones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration
from tasks_support import (
    QUEUE,
    START,
    Client,
    Clock,
    app_engine_task,
    client_of,
    http_task,
    refusal,
    task_name,
)

from fantasm_gcp.local.tasks import Response, TasksServer
from fantasm_gcp.local.tasks import messages as raw

GONE = (
    "The task no longer exists, though a task with this name existed recently. "
    "The task either successfully completed or was deleted."
)
FULL = tasks_v2.Task.View.FULL
BASIC = tasks_v2.Task.View.BASIC


def create(client: Client, task: dict[str, Any]) -> Any:
    return client.create_task(parent=QUEUE, task=task)


def http(**request: Any) -> dict[str, Any]:
    return {"http_request": {"url": "http://worker.example/", **request}}


def app_engine(**request: Any) -> dict[str, Any]:
    return {"app_engine_http_request": {"relative_uri": "/", **request}}


def test_a_missing_queue_is_created_by_its_first_task(client: Client) -> None:
    """In local use nobody has to provision queues."""
    create(client, http_task())

    assert client.get_queue(name=QUEUE).state == tasks_v2.Queue.State.RUNNING


def test_a_refused_task_creates_no_queue(client: Client) -> None:
    """A request that fails leaves nothing behind."""
    assert refusal(lambda: create(client, {}))[0] == "INVALID_ARGUMENT"

    assert refusal(lambda: client.get_queue(name=QUEUE))[0] == "NOT_FOUND"


def test_a_deleted_queue_is_not_created_again_by_a_task(client: Client) -> None:
    """Its name is not free yet, for the real service either."""
    create(client, http_task())
    client.delete_queue(name=QUEUE)

    assert refusal(lambda: create(client, http_task()))[0] == "NOT_FOUND"


def test_a_task_without_a_name_gets_one(client: Client) -> None:
    """A fresh one each time."""
    names = {create(client, http_task()).name for _ in range(20)}

    assert len(names) == 20
    assert names == {task.name for task in client.list_tasks(parent=QUEUE)}


@pytest.mark.parametrize("task_id", ["not a valid id", "a.b", "a/b", "a:b", "naïve", "x" * 501, "", "a\n"])
def test_a_task_id_that_is_not_allowed_is_refused(client: Client, task_id: str) -> None:
    """The words are those of the real service, with the id in them."""
    message = (
        f'Task ID "{task_id}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), '
        "or underscores (_). Task ID must between 1 and 500 characters."
    )

    assert ("INVALID_ARGUMENT", message) == refusal(
        lambda: create(client, {"name": task_name(task_id), **http_task()})
    )


def test_the_longest_task_id_is_taken(client: Client) -> None:
    """Five hundred characters of every kind that is allowed."""
    name = task_name(("aZ0-_" * 100)[:500])

    assert name == create(client, {"name": name, **http_task()}).name


def test_a_task_of_another_queue_is_refused(client: Client) -> None:
    """The parent says the queue, and the name must say the same."""
    message = (
        f"The queue name from request ('{QUEUE}') must be the same as the queue name in the named task "
        f"('{QUEUE}-other')."
    )
    task = {**http_task(), "name": f"{QUEUE}-other/tasks/one"}

    assert ("INVALID_ARGUMENT", message) == refusal(lambda: create(client, task))


MINUTE = Duration(seconds=60)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (http(url=""), "HttpRequest.url is required."),
        (http(url="www.example.com"), "HttpTarget.url must start with 'http://' or 'https://'."),
        (http(url="ftp://example.com"), "HttpTarget.url must start with 'http://' or 'https://'."),
        (http(url="HTTP://example.com"), "HttpTarget.url must start with 'http://' or 'https://'."),
        (
            {**http(), "dispatch_deadline": Duration(seconds=14, nanos=999_000_000)},
            "Task.dispatchDeadline must be between [15s, 30m].",
        ),
        (
            {**http(), "dispatch_deadline": Duration(seconds=1800, nanos=1_000_000)},
            "Task.dispatchDeadline must be between [15s, 30m].",
        ),
        ({**http(), "dispatch_deadline": Duration()}, "Task.dispatchDeadline must be between [15s, 30m]."),
        (
            {**app_engine(), "dispatch_deadline": Duration(seconds=14)},
            "Task.dispatchDeadline must be between [15s, 24h15s].",
        ),
        (
            {**app_engine(), "dispatch_deadline": Duration(seconds=86_416)},
            "Task.dispatchDeadline must be between [15s, 24h15s].",
        ),
        (
            {**http(), "retry_config": {"max_attempts": -2}},
            "RetryConfig.maxAttempts must be greater or equal to -1.",
        ),
        (
            {**http(), "retry_config": {"min_backoff": MINUTE, "max_backoff": Duration(seconds=59)}},
            "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.",
        ),
        (http(body=b"x" * 1_048_569), "Task size too large"),
        (app_engine(body=b"x" * 1_048_569), "Task size too large"),
    ],
)
def test_a_wrong_task_is_refused_in_the_words_of_the_real_service(
    client: Client, task: dict[str, Any], message: str
) -> None:
    """One row per rule, just beyond its bound."""
    assert ("INVALID_ARGUMENT", message) == refusal(lambda: create(client, task))


@pytest.mark.parametrize(
    "task",
    [
        {},
        http(http_method="GET", body=b"x"),
        http(http_method="DELETE", body=b"x"),
        app_engine(http_method="PATCH", body=b"x"),
        app_engine(relative_uri="run"),
        app_engine(relative_uri="/a b"),
        app_engine(relative_uri="/a\r\nHost: evil"),
        app_engine(relative_uri="/" + "x" * 2083),
        http(url="http://e.example/" + "x" * 2083),
        http(url="http://e.example/" + "é" * 400),
        http(headers={"X-Bad": "a\r\nX-Injected: b"}),
        http(headers={"X Bad": "a"}),
        http(headers={"": "a"}),
        http(headers={"X-Twice": "a", "x-twice": "b"}),
        http(headers={"X-Big": "x" * 81_920}),
        app_engine(headers={"X-Bad": "a\0b"}),
        http(oidc_token={"audience": "a"}),
        http(oidc_token={"service_account_email": "no email"}),
        http(oauth_token={"scope": "a"}),
    ],
)
def test_a_task_that_could_not_be_delivered_is_refused(client: Client, task: dict[str, Any]) -> None:
    """A header that would smuggle a second one, a body no method carries, and the like."""
    assert refusal(lambda: create(client, task))[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "task",
    [
        http(url="http://example.com/%zz?a=[b]"),
        http(url="https://example.com/é b"),
        {**http(), "dispatch_deadline": Duration(seconds=15)},
        {**http(), "dispatch_deadline": Duration(seconds=1800)},
        {**app_engine(), "dispatch_deadline": Duration(seconds=86_415)},
        app_engine(relative_uri="/" + "x" * 2082),
        http(oidc_token={"service_account_email": "robot@demo.iam.gserviceaccount.com"}),
        http(http_method="PATCH", body=b"x"),
        app_engine(http_method="PUT", body=b"x"),
    ],
)
def test_a_task_at_the_bounds_is_taken(client: Client, task: dict[str, Any]) -> None:
    """A URL with a wrong escape among them: the real service takes it."""
    assert create(client, task).name


def test_requests_with_numbers_that_mean_nothing_are_refused(server: TasksServer) -> None:
    """Raw messages can hold an unknown method, a timestamp and a duration out of range."""
    wrong = [
        raw.Task(http_request={"url": "http://e.example", "http_method": 99}),
        raw.Task(http_request={"url": "http://e.example"}, schedule_time={"seconds": 2**60}),
        raw.Task(http_request={"url": "http://e.example"}, schedule_time={"nanos": -1}),
        raw.Task(http_request={"url": "http://e.example"}, dispatch_deadline={"seconds": 20, "nanos": -1}),
        raw.Task(
            http_request={"url": "http://e.example"}, retry_config={"min_backoff": {"seconds": -(2**60)}}
        ),
    ]
    call = server.service.methods["CreateTask"].call

    refused = []
    for task in wrong:
        with pytest.raises(Exception, match="INVALID_ARGUMENT") as caught:
            call(raw.CreateTaskRequest(parent=QUEUE, task=task))
        refused.append(type(caught.value).__name__)

    assert ["RpcError"] * len(wrong) == refused


def test_the_request_of_a_caller_in_this_process_is_not_changed(server: TasksServer) -> None:
    """What the server completes is a copy."""
    request = raw.CreateTaskRequest(parent=QUEUE, task=raw.Task(http_request={"url": "http://e.example"}))
    before = request.SerializeToString()

    server.service.methods["CreateTask"].call(request)

    assert before == request.SerializeToString()


@pytest.mark.parametrize("make", [http, app_engine])
def test_the_largest_task_is_taken_and_one_byte_more_is_not(
    client: Client, make: Callable[..., dict[str, Any]]
) -> None:
    """The limit is on the stored message, for both kinds of target."""
    probe = create(client, {"name": task_name("probe"), **make(body=b"x" * 1_000_000)})
    full = client.get_task(request={"name": probe.name, "response_view": FULL})
    full.view = tasks_v2.Task.View.VIEW_UNSPECIFIED
    most = 1_000_000 + 1_048_569 - tasks_v2.Task.pb(full).ByteSize()

    create(client, {"name": task_name("exact"), **make(body=b"x" * most)})
    above = {"name": task_name("above"), **make(body=b"x" * (most + 1))}
    assert refusal(lambda: create(client, above)) == ("INVALID_ARGUMENT", "Task size too large")


@pytest.mark.parametrize(
    ("now", "zone"),
    [
        (datetime(2026, 12, 1, tzinfo=UTC), "2026-12-30T16:00:01-08:00"),
        (datetime(2026, 6, 1, tzinfo=UTC), "2026-06-30T17:00:01-07:00"),
    ],
)
def test_a_task_too_far_ahead_is_refused(client: Client, clock: Clock, now: datetime, zone: str) -> None:
    """Thirty days to the microsecond; the moment is worded in US Pacific time, whatever the season."""
    clock.now = now.timestamp()
    limit = now + timedelta(hours=720)
    message = (
        f"The Task.scheduleTime, {zone}, is too far in the future. "
        "Schedule time must be no more than 720h in the future."
    )

    assert limit == create(client, http_task(schedule_time=limit)).schedule_time
    far = http_task(schedule_time=limit + timedelta(seconds=1))
    assert ("INVALID_ARGUMENT", message) == refusal(lambda: create(client, far))
    just = http_task(schedule_time=limit + timedelta(microseconds=1))
    assert refusal(lambda: create(client, just))[0] == "INVALID_ARGUMENT"


def test_a_time_in_the_past_is_now(client: Client, clock: Clock) -> None:
    """A task is never due before it was created."""
    past = datetime.fromtimestamp(clock.now - 3600, UTC)

    assert clock.now == create(client, http_task(schedule_time=past)).schedule_time.timestamp()


def test_the_defaults_of_a_task_are_filled_in(client: Client) -> None:
    """POST, 10 minutes, due now, created at the whole second, root path and host on App Engine."""
    by_http = create(client, http_task())
    by_app_engine = create(client, {"app_engine_http_request": {"app_engine_routing": {"service": "worker"}}})

    request = by_app_engine.app_engine_http_request
    assert by_http.http_request.http_method == tasks_v2.HttpMethod.POST
    assert [task.dispatch_deadline.total_seconds() for task in (by_http, by_app_engine)] == [600, 600]
    assert (by_http.schedule_time.timestamp(), by_http.create_time.timestamp()) == (START, START - 0.25)
    assert (request.relative_uri, request.app_engine_routing.host) == ("/", "worker.demo.appspot.com")


@pytest.mark.parametrize("zero", [{}, {"dispatch_deadline": Duration()}])
def test_a_deadline_of_zero_is_the_default_on_app_engine(client: Client, zero: dict[str, Any]) -> None:
    """For an HTTP target it is an error instead."""
    assert create(client, app_engine_task(**zero)).dispatch_deadline.total_seconds() == 600


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            app_engine(body=b"x" * 17, headers={"X-Mixed-Case": "kept", "content-type": "application/json"}),
            {
                "Content-Length": "17",
                "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
                "X-Mixed-Case": "kept",
                "content-type": "application/json",
            },
        ),
        (
            app_engine(body=b"x"),
            {
                "Content-Length": "1",
                "Content-Type": "application/octet-stream",
                "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
            },
        ),
        (app_engine(), {"User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)"}),
        (
            http(body=b"x", headers={"content-type": "text/plain", "user-agent": "mine"}),
            {"User-Agent": "Google-Cloud-Tasks", "content-type": "text/plain"},
        ),
        (http(body=b"x"), {"User-Agent": "Google-Cloud-Tasks"}),
        (
            http(
                headers={
                    "HOST": "evil",
                    "content-length": "3",
                    "X-Google-Id": "a",
                    "x-appengine-queuename": "b",
                    "X-CloudTasks-TaskName": "c",
                    "Transfer-Encoding": "chunked",
                    "X-Ok": "é, b",
                }
            ),
            {"User-Agent": "Google-Cloud-Tasks", "X-Ok": "é, b"},
        ),
        (
            app_engine(headers={"host": "evil", "X-AppEngine-TaskName": "a", "X-CloudTasks-Note": "kept"}),
            {
                "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
                "X-CloudTasks-Note": "kept",
            },
        ),
    ],
)
def test_headers_are_stored_as_the_real_service_stores_them(
    client: Client, task: dict[str, Any], expected: dict[str, str]
) -> None:
    """Case is kept, what the service sets cannot be set, and every view shows the result."""
    created = create(client, task)
    shown = client.get_task(name=created.name)

    for seen in (created, shown):
        request = seen.http_request if "http_request" in task else seen.app_engine_http_request
        assert expected == dict(request.headers)


def test_a_basic_view_has_no_body_and_a_full_one_has(client: Client) -> None:
    """For every method that answers tasks; BASIC unless told otherwise."""
    task = {"name": task_name("one"), **http(body=b"secret")}

    def seen(view: Any) -> list[tuple[bytes, Any]]:
        options = {} if view is None else {"response_view": view}
        tasks = [
            client.create_task(request={"parent": QUEUE, "task": task, **options}),
            client.get_task(request={"name": task["name"], **options}),
            *client.list_tasks(request={"parent": QUEUE, **options}),
            client.run_task(request={"name": task["name"], **options}),
        ]
        client.delete_queue(name=QUEUE)
        return [(task.http_request.body, task.view) for task in tasks]

    server = TasksServer(tombstone_seconds=0, queue_tombstone_seconds=0)
    client = client_of(server)
    assert seen(None) == [(b"", BASIC)] * 4
    assert seen(BASIC) == [(b"", BASIC)] * 4
    assert seen(FULL) == [(b"secret", FULL)] * 4
    server.close()


def test_a_name_in_use_is_refused(client: Client) -> None:
    """A live task of the name is there."""
    create(client, http_task("one"))

    assert refusal(lambda: create(client, http_task("one"))) == (
        "ALREADY_EXISTS",
        "Requested entity already exists",
    )


def test_a_deleted_name_stays_taken_for_a_day(client: Client, clock: Clock) -> None:
    """To the second; and the methods say that the task was there."""
    create(client, http_task("one"))
    client.delete_task(name=task_name("one"))

    clock.advance(86_400 - 0.000_001)
    assert refusal(lambda: create(client, http_task("one"))) == (
        "ALREADY_EXISTS",
        "The task cannot be created because a task with this name existed too recently.",
    )
    assert refusal(lambda: client.get_task(name=task_name("one"))) == ("NOT_FOUND", GONE)
    clock.advance(0.000_001)
    assert refusal(lambda: client.get_task(name=task_name("one"))) == (
        "NOT_FOUND",
        "Requested entity was not found.",
    )
    create(client, http_task("one"))

    assert [task_name("one")] == [task.name for task in client.list_tasks(parent=QUEUE)]


def test_a_completed_name_stays_taken_for_a_day(client: Client, server: TasksServer, clock: Clock) -> None:
    """Success leaves a tombstone like deletion."""
    create(client, http_task("one"))
    attempt = server.lease()
    assert attempt is not None
    server.finish(attempt, Response(200))

    assert refusal(lambda: client.get_task(name=task_name("one"))) == ("NOT_FOUND", GONE)
    assert refusal(lambda: create(client, http_task("one")))[0] == "ALREADY_EXISTS"
    clock.advance(86_400)
    create(client, http_task("one"))


def test_a_tombstone_time_of_zero_frees_names_at_once(clock: Clock) -> None:
    """And the end of an attempt at the old task leaves the new one alone."""
    server = TasksServer(clock=clock, tombstone_seconds=0)
    client = client_of(server)
    create(client, http_task("one"))
    attempt = server.lease()
    assert attempt is not None
    client.delete_task(name=task_name("one"))
    create(client, http_task("one"))

    assert server.finish(attempt, Response(200)).result == "ignored"

    assert client.get_task(name=task_name("one")).dispatch_count == 0
    server.close()


@pytest.mark.parametrize("method", ["get_task", "delete_task", "run_task"])
def test_a_task_that_never_was_is_not_found(client: Client, method: str) -> None:
    """In an existing queue, other words than for a task that was there."""
    create(client, http_task())
    call = getattr(client, method)

    assert refusal(lambda: call(name=task_name("never"))) == ("NOT_FOUND", "Requested entity was not found.")
    assert refusal(lambda: call(name="never"))[0] == "INVALID_ARGUMENT"


def test_tasks_are_listed_page_by_page(client: Client) -> None:
    """Each task once, in the order of creation, of this queue alone."""
    names = [create(client, http_task(f"t{n}")).name for n in (3, 1, 2, 5, 4)]
    client.create_task(parent=f"{QUEUE}2", task=http_task())

    pages = list(client.list_tasks(request={"parent": QUEUE, "page_size": 2}).pages)

    assert [names[:2], names[2:4], names[4:]] == [[task.name for task in page.tasks] for page in pages]


def test_a_page_of_large_tasks_is_one_that_a_client_with_the_limit_of_grpc_can_take(client: Client) -> None:
    """Fewer tasks than asked for, each once; without bodies, more of them."""
    body = b"x" * 1_000_000
    names = [create(client, http(body=body)).name for _ in range(5)]

    full = list(client.list_tasks(request={"parent": QUEUE, "response_view": "FULL"}).pages)
    basic = client.list_tasks(request={"parent": QUEUE})

    assert [names[:3], names[3:]] == [[task.name for task in page.tasks] for page in full]
    assert all(type(page).pb(page).ByteSize() < 4 * 1024 * 1024 for page in full)
    assert (names, "") == ([task.name for task in basic.tasks], basic.next_page_token)


def test_a_listing_without_bodies_reads_no_more_than_it_can_hold(client: Client) -> None:
    """A thousand tasks of a megabyte are not taken into memory to show their names."""
    body = b"x" * 1_000_000
    names = [create(client, http(body=body)).name for _ in range(35)]

    pages = list(client.list_tasks(request={"parent": QUEUE}).pages)

    assert [names[:33], names[33:]] == [[task.name for task in page.tasks] for page in pages]


def test_a_listing_goes_on_past_what_was_deleted_meanwhile(client: Client) -> None:
    """Deleting the last task seen loses none of the rest."""
    for n in range(4):
        create(client, http_task(f"t{n}"))
    first = client.list_tasks(request={"parent": QUEUE, "page_size": 2})
    client.delete_task(name=task_name("t1"))

    rest = client.list_tasks(request={"parent": QUEUE, "page_size": 2, "page_token": first.next_page_token})

    assert [task_name("t2"), task_name("t3")] == [task.name for task in rest]
