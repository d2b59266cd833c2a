"""BatchCreateTasks and BatchDeleteTasks, through the real client."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from tasks_support import QUEUE, Client, client_of, http_task, refusal, task_name

from fantasm_gcp.local.tasks import TasksServer

Created = tasks_v2.BatchCreateTasksMetadata.State
Deleted = tasks_v2.BatchDeleteTasksMetadata.State


def request_for(*tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"parent": QUEUE, "requests": [{"parent": QUEUE, "task": task} for task in tasks], **fields}


def test_a_batch_creates_its_tasks_and_is_done_at_once(client: Client, server: TasksServer) -> None:
    """The operation needs no polling."""
    operation = client.batch_create_tasks(
        request=request_for(http_task("one"), http_task("two"), http_task())
    )

    assert operation.done()
    assert [task_name("one"), task_name("two")] == [task.name for task in operation.result().tasks][:2]
    assert (operation.metadata.state, dict(operation.metadata.failed_requests)) == (Created.SUCCEEDED, {})
    assert operation.operation.name.startswith("projects/demo/locations/here/operations/")
    assert (server.depth(QUEUE), len(server.due())) == (3, 3)


def test_each_request_of_a_batch_fails_by_itself(client: Client) -> None:
    """The others are carried out, and the metadata says which failed and why."""
    wrong = {"name": task_name("bad id"), **http_task()}
    operation = client.batch_create_tasks(
        request=request_for(http_task("one"), wrong, http_task("one"), {}, http_task("two"))
    )

    failed = {index: status.code for index, status in operation.metadata.failed_requests.items()}
    assert [task_name("one"), task_name("two")] == [task.name for task in operation.result().tasks]
    assert (failed, operation.metadata.state) == ({1: 3, 2: 6, 3: 3}, Created.PARTIALLY_SUCCEEDED)
    assert operation.metadata.failed_requests[2].message == "Requested entity already exists"


def test_a_batch_of_which_nothing_succeeds_is_aborted(client: Client) -> None:
    """The operation has an error; the metadata has the reasons."""
    client.create_task(parent=QUEUE, task=http_task("one"))
    operation = client.batch_create_tasks(request=request_for(http_task("one")))

    with pytest.raises(exceptions.Aborted) as caught:
        operation.result()

    assert caught.value.message == (
        "None of the requests succeeded, refer to BatchCreateTasksMetadata.failed_requests "
        "for individual error details"
    )
    assert list(operation.metadata.failed_requests) == [0]


def test_a_repeated_request_id_is_carried_out_once(client: Client, server: TasksServer) -> None:
    """A retry after a lost answer gets the first answer, and other ids are other batches."""
    first = client.batch_create_tasks(request=request_for(http_task(), request_id="a"))
    again = client.batch_create_tasks(request=request_for(http_task(), request_id="a"))
    client.batch_create_tasks(request=request_for(http_task(), request_id="b"))

    assert first.operation == again.operation
    assert server.depth() == 2


def test_a_batch_deletes_what_is_there(client: Client) -> None:
    """Names that are not there fail by themselves, and a name given twice fails the second time."""
    client.batch_create_tasks(request=request_for(http_task("one"), http_task("two"), http_task("three")))
    names = [task_name(task_id) for task_id in ("one", "none", "three", "one")]

    operation = client.batch_delete_tasks(request={"parent": QUEUE, "names": names})
    operation.result()

    failed = {index: status.code for index, status in operation.metadata.failed_requests.items()}
    assert (failed, operation.metadata.state) == ({1: 5, 3: 5}, Deleted.PARTIALLY_SUCCEEDED)
    assert [task_name("two")] == [task.name for task in client.list_tasks(parent=QUEUE)]
    assert refusal(lambda: client.create_task(parent=QUEUE, task=http_task("one")))[0] == "ALREADY_EXISTS"


def test_a_batch_deletes_the_next_task_due(client: Client, server: TasksServer) -> None:
    """What is due next is looked up anew."""
    client.batch_create_tasks(request=request_for(http_task("one"), http_task("two")))
    assert [task_name("one")] == server.due(limit=1)
    assert server.next_time() is not None

    client.batch_delete_tasks(request={"parent": QUEUE, "names": [task_name("one")]}).result()

    attempt = server.lease()
    assert attempt is not None
    assert task_name("two") == attempt.task


@pytest.mark.parametrize(
    "request_fields",
    [
        {"parent": QUEUE, "requests": []},
        {"parent": QUEUE, "requests": [{"parent": QUEUE, "task": http_task()}] * 101},
        {"parent": QUEUE, "requests": [{"parent": f"{QUEUE}2", "task": http_task()}]},
        {"parent": QUEUE, "requests": [{"task": http_task()}]},
        {"parent": "work", "requests": [{"parent": "work", "task": http_task()}]},
    ],
)
def test_a_batch_that_is_no_batch_is_refused_whole(
    client: Client, server: TasksServer, request_fields: dict[str, Any]
) -> None:
    """None, over 100, another queue, no queue: nothing of it is carried out."""
    assert refusal(lambda: client.batch_create_tasks(request=request_fields))[0] == "INVALID_ARGUMENT"
    assert server.depth() == 0


@pytest.mark.parametrize("names", [[], [task_name("a")] * 1001, [task_name("a", f"{QUEUE}2")]])
def test_a_deletion_that_is_no_batch_is_refused_whole(client: Client, names: list[str]) -> None:
    """None, over 1,000, another queue."""
    client.create_task(parent=QUEUE, task=http_task("a"))

    code, _ = refusal(lambda: client.batch_delete_tasks(request={"parent": QUEUE, "names": names}))

    assert code == "INVALID_ARGUMENT"
    assert client.get_task(name=task_name("a"))


def test_a_batch_of_a_missing_queue_is_not_found() -> None:
    """When this server creates no queues."""
    server = TasksServer(create_queues=False)
    client = client_of(server)

    assert refusal(lambda: client.batch_create_tasks(request=request_for(http_task())))[0] == "NOT_FOUND"
    names = {"parent": QUEUE, "names": [task_name("a")]}
    assert refusal(lambda: client.batch_delete_tasks(request=names))[0] == "NOT_FOUND"
    server.close()


def test_large_answers_are_not_all_remembered(server: TasksServer, client: Client) -> None:
    """Beyond some megabytes the first are forgotten: asked again, their names are taken."""
    body = b"x" * 1_000_000

    def ask(number: int) -> Any:
        tasks = [
            http_task(f"t{number}-{each}", http_request={"url": "http://w.example/", "body": body})
            for each in range(9)
        ]
        requests = [{"parent": QUEUE, "task": task, "response_view": "FULL"} for task in tasks]
        request = {"parent": QUEUE, "requests": requests, "request_id": str(uuid.UUID(int=number))}
        return client.batch_create_tasks(request=request)

    for number in range(5):
        ask(number)
    assert 9 == len(ask(4).result().tasks)
    with pytest.raises(exceptions.Aborted):
        ask(0).result()
