"""What the Python clients do with Cloud Tasks, and what they must be answered; part by part.

Each part is given ``call``, which calls a method of whichever client there is, and has its answer awaited
where the client is an asynchronous one.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any, Protocol

import pytest
from foreign_servers import LOCATION, PATIENCE, Servers
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from refusals import refused

QUEUE = f"{LOCATION}/queues/work"
OTHER = f"{LOCATION}/queues/other"


class Call(Protocol):
    """Calls a client's method by its name; a listing is answered as a list, an operation as its result."""

    def __call__(self, method: str, /, **fields: Any) -> Any: ...


def task_name(identifier: str, queue: str = QUEUE) -> str:
    return f"{queue}/tasks/{identifier}"


def http(servers: Servers, path: str, **fields: Any) -> dict[str, Any]:
    """A task that is delivered to the worker."""
    request = {"url": servers.worker.url + path, **fields.pop("request", {})}
    return {"http_request": request, **fields}


def later(seconds: int) -> Timestamp:
    """So many seconds from now."""
    return Timestamp(seconds=int(time.time()) + seconds)


def gone(call: Call, name: str) -> str:
    """The words with which a task is not found, once it is deleted: a moment after the worker has answered."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        try:
            call("get_task", name=name)
        except exceptions.NotFound as error:
            return str(error.message)
    raise TimeoutError(name)


def queues_are_made_changed_and_listed(call: Call, servers: Servers) -> None:
    made = call("create_queue", parent=LOCATION, queue={"name": QUEUE, "retry_config": {"max_doublings": 5}})
    assert (QUEUE, 5, 100, 500.0) == (
        made.name,
        made.retry_config.max_doublings,
        made.retry_config.max_attempts,
        made.rate_limits.max_dispatches_per_second,
    )
    again = {"parent": LOCATION, "queue": {"name": QUEUE}}
    refused("ALREADY_EXISTS", "Queue already exists", lambda: call("create_queue", **again))
    refused("NOT_FOUND", "Queue does not exist", lambda: call("get_queue", name=OTHER))
    made = call("update_queue", queue={"name": OTHER, "rate_limits": {"max_concurrent_dispatches": 3}})
    assert 3 == made.rate_limits.max_concurrent_dispatches
    changed = call(
        "update_queue",
        queue={
            "name": OTHER,
            "rate_limits": {"max_concurrent_dispatches": 9},
            "retry_config": {"max_attempts": 7},
        },
        update_mask=FieldMask(paths=["retry_config.max_attempts"]),
    )
    assert (3, 7) == (changed.rate_limits.max_concurrent_dispatches, changed.retry_config.max_attempts)
    assert {QUEUE, OTHER} == {queue.name for queue in call("list_queues", parent=LOCATION)}
    assert 2 == len(call("list_queues", request={"parent": LOCATION, "page_size": 1}))
    assert QUEUE == call("get_queue", name=QUEUE).name


def a_paused_queue_waits(call: Call, servers: Servers) -> None:
    assert tasks_v2.Queue.State.PAUSED == call("pause_queue", name=OTHER).state
    task = call("create_task", parent=OTHER, task=http(servers, "/paused"))
    assert [task.name] == [each.name for each in call("list_tasks", parent=OTHER)]
    assert tasks_v2.Queue.State.RUNNING == call("resume_queue", name=OTHER).state
    servers.worker.received("/paused")
    assert "no longer exists" in gone(call, task.name)


def an_http_task_is_delivered_as_made(call: Call, servers: Servers) -> None:
    request = {"http_method": "PUT", "headers": {"X-Own": "mine"}, "body": b"\x00body\xff"}
    call("create_task", parent=QUEUE, task=http(servers, "/http?a=b", name=task_name("h1"), request=request))
    [got] = servers.worker.received("/http?a=b")
    assert ("PUT", "\x00body\xff", "mine") == (got["method"], got["body"], got["headers"]["x-own"])
    assert "h1" == got["headers"]["x-cloudtasks-taskname"]
    assert "Google-Cloud-Tasks" == got["headers"]["user-agent"]
    assert "The task no longer exists, though" in gone(call, task_name("h1"))
    again = {"parent": QUEUE, "task": http(servers, "/again", name=task_name("h1"))}
    refused(
        "ALREADY_EXISTS", "a task with this name existed too recently", lambda: call("create_task", **again)
    )


def an_app_engine_task_is_delivered(call: Call, servers: Servers) -> None:
    call(
        "create_task", parent=QUEUE, task={"app_engine_http_request": {"relative_uri": "/app", "body": b"x"}}
    )
    [got] = servers.worker.received("/app")
    assert ("POST", "x", "work") == (got["method"], got["body"], got["headers"]["x-appengine-queuename"])
    assert got["headers"]["user-agent"].startswith("AppEngine-Google")
    assert "application/octet-stream" == got["headers"]["content-type"]


def a_failed_attempt_is_tried_again(call: Call, servers: Servers) -> None:
    retry = {"min_backoff": Duration(nanos=1000), "max_backoff": Duration(nanos=2000)}
    call("create_task", parent=QUEUE, task=http(servers, "/fail/503/2/h", retry_config=retry))
    *_, got = servers.worker.received("/fail/503/2/h", 3)
    assert "2" == got["headers"]["x-cloudtasks-taskretrycount"]
    assert "503" == got["headers"]["x-cloudtasks-taskpreviousresponse"]
    app = {"app_engine_http_request": {"relative_uri": "/fail/404/1/a"}, "retry_config": retry}
    call("create_task", parent=QUEUE, task=app)
    _, got = servers.worker.received("/fail/404/1/a", 2)
    assert "App Error" == got["headers"]["x-appengine-taskretryreason"]
    assert "1" == got["headers"]["x-appengine-taskexecutioncount"]


def the_future_waits_until_it_is_run(call: Call, servers: Servers) -> None:
    at = later(3600)
    name = task_name("later")
    task = http(servers, "/later", name=name, schedule_time=at, request={"body": b"deep"})
    made = call("create_task", parent=QUEUE, task=task)
    assert dt.datetime.fromtimestamp(at.seconds, dt.UTC) == made.schedule_time
    assert dt.timedelta(seconds=600) == made.dispatch_deadline
    assert (0, b"") == (made.dispatch_count, made.http_request.body)
    full = call("get_task", request={"name": name, "response_view": "FULL"})
    assert b"deep" == full.http_request.body
    assert name == call("run_task", name=name).name
    assert "deep" == servers.worker.received("/later")[0]["body"]
    gone(call, name)


def tasks_are_deleted_and_listed_by_pages(call: Call, servers: Servers) -> None:
    names = [task_name(f"page{n}") for n in range(7)]
    for name in names:
        call("create_task", parent=QUEUE, task=http(servers, "/no", name=name, schedule_time=later(900)))
    listed = call("list_tasks", request={"parent": QUEUE, "page_size": 3})
    assert set(names) == {task.name for task in listed}
    call("delete_task", name=names[0])
    refused("NOT_FOUND", "no longer exists", lambda: call("delete_task", name=names[0]))
    refused("NOT_FOUND", "entity was not found", lambda: call("get_task", name=task_name("never")))
    assert call("purge_queue", name=QUEUE).purge_time is not None
    assert [] == call("list_tasks", parent=QUEUE)


def batches_keep_what_succeeds(call: Call, servers: Servers) -> None:
    def create(*identifiers: str) -> list[dict[str, Any]]:
        tasks = [
            http(servers, f"/batch/{each}", name=task_name(each), schedule_time=later(900))
            for each in identifiers
        ]
        return [{"parent": QUEUE, "task": task} for task in tasks]

    result = call("batch_create_tasks", request={"parent": QUEUE, "requests": create("b1", "b2", "b1")})
    assert [task_name("b1"), task_name("b2")] == [task.name for task in result.tasks]
    with pytest.raises(exceptions.GoogleAPICallError, match="None of the requests succeeded"):
        call("batch_create_tasks", request={"parent": QUEUE, "requests": create("b1", "b2")})
    call("batch_delete_tasks", request={"parent": QUEUE, "names": [task_name("b1"), task_name("gone")]})
    assert [task_name("b2")] == [task.name for task in call("list_tasks", parent=QUEUE)]
    foreign = {"parent": QUEUE, "names": [task_name("x", OTHER)]}
    refused("INVALID_ARGUMENT", "tasks of its parent", lambda: call("batch_delete_tasks", request=foreign))
    call("delete_task", name=task_name("b2"))


def what_is_wrong_with_a_task_is_told(call: Call, servers: Servers) -> None:
    def bad(words: str, **task: Any) -> None:
        refused("INVALID_ARGUMENT", words, lambda: call("create_task", parent=QUEUE, task=task))

    fine = http(servers, "/no")
    bad("HttpRequest.url is required", http_request={"url": ""})
    bad("must start with 'http://' or 'https://'", http_request={"url": "mailto:x"})
    bad("can contain only letters", name=task_name("a.b"), **fine)
    bad("too far in the future", schedule_time=later(31 * 86_400), **fine)
    bad(r"between \[15s, 30m\]", dispatch_deadline=Duration(seconds=14), **fine)
    bad("", http_request={"url": "http://x/", "http_method": "GET", "body": b"b"})
    bad("", name=task_name("x", OTHER), **fine)
    missing = f"{LOCATION}/queues/missing"
    refused("NOT_FOUND", "Queue does not exist", lambda: call("create_task", parent=missing, task=fine))


def policies_are_not_served(call: Call, servers: Servers) -> None:
    refused("UNIMPLEMENTED", "IAM", lambda: call("get_iam_policy", request={"resource": QUEUE}))


def a_deleted_queue_is_gone_for_a_while(call: Call, servers: Servers) -> None:
    call("delete_queue", name=OTHER)
    refused("NOT_FOUND", "", lambda: call("delete_queue", name=OTHER))
    again = {"parent": LOCATION, "queue": {"name": OTHER}}
    refused("FAILED_PRECONDITION", "existed too recently", lambda: call("create_queue", **again))
    assert [QUEUE] == [queue.name for queue in call("list_queues", parent=LOCATION)]


PARTS = (
    queues_are_made_changed_and_listed,
    a_paused_queue_waits,
    an_http_task_is_delivered_as_made,
    an_app_engine_task_is_delivered,
    a_failed_attempt_is_tried_again,
    the_future_waits_until_it_is_run,
    tasks_are_deleted_and_listed_by_pages,
    batches_keep_what_succeeds,
    what_is_wrong_with_a_task_is_told,
    policies_are_not_served,
    a_deleted_queue_is_gone_for_a_while,
)
"""In this order: the first makes the queues and the last deletes one."""
