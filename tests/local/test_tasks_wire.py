"""The server behind a real port, and many threads at once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest
from google.api_core.exceptions import AlreadyExists, InvalidArgument
from tasks_support import (
    LOCATION,
    QUEUE,
    Client,
    Clock,
    client_of,
    client_over,
    http_task,
    refusal,
    task_name,
)

from fantasm_gcp.local.rpc import serve
from fantasm_gcp.local.tasks import Response, TasksServer


@pytest.fixture
def wired(server: TasksServer) -> Iterator[Client]:
    """The real client over a socket."""
    listening, port = serve(server.service, "127.0.0.1", 0)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield client_over(channel)
    listening.stop(None).wait()


def test_every_method_works_over_the_wire(wired: Client) -> None:
    """The same client, the same answers as in one process."""
    queue = wired.create_queue(parent=LOCATION, queue={"name": QUEUE})
    assert [queue] == list(wired.list_queues(parent=LOCATION))
    assert queue == wired.update_queue(queue=queue)
    wired.pause_queue(name=QUEUE)
    assert queue == wired.resume_queue(name=QUEUE)
    task = wired.create_task(parent=QUEUE, task=http_task("one"))
    assert task == wired.get_task(name=task.name)
    requests = [{"parent": QUEUE, "task": http_task(f"b{n}")} for n in range(3)]
    created = wired.batch_create_tasks(request={"parent": QUEUE, "requests": requests}).result().tasks
    assert [task, *created] == list(wired.list_tasks(parent=QUEUE))
    assert wired.run_task(name=task.name).dispatch_count == 1
    wired.batch_delete_tasks(request={"parent": QUEUE, "names": [one.name for one in created]}).result()
    wired.delete_task(name=task.name)
    wired.purge_queue(name=QUEUE)
    wired.delete_queue(name=QUEUE)

    assert refusal(lambda: wired.get_queue(name=QUEUE))[0] == "NOT_FOUND"


def test_a_refusal_keeps_its_code_and_words_over_the_wire(wired: Client) -> None:
    """The exception class that users catch is the real one."""
    wired.create_task(parent=QUEUE, task=http_task("one"))

    with pytest.raises(AlreadyExists, match="Requested entity already exists"):
        wired.create_task(parent=QUEUE, task=http_task("one"))
    assert refusal(lambda: wired.get_iam_policy(request={"resource": QUEUE}))[0] == "UNIMPLEMENTED"


def test_a_call_that_would_wait_too_long_is_refused(server: TasksServer, wired: Client) -> None:
    """Above 30 s, in the words of the real service, over the wire and in one process; none is let through."""
    for client in (wired, client_of(server)):
        code, words = refusal(partial(client.create_queue, parent=LOCATION, timeout=60))
        date = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}-0[78]:00"
        expected = rf"The request deadline is {date}\. The deadline cannot be more than 30s in the future\."
        assert (code, True) == ("INVALID_ARGUMENT", re.fullmatch(expected, words) is not None)
        client.create_task(parent=QUEUE, task=http_task(), timeout=30)
        client.create_task(parent=QUEUE, task=http_task(), timeout=None)


@pytest.mark.parametrize("text", ["x" * 20_000, "é" * 20_000])
def test_a_refusal_of_a_long_text_keeps_its_code(wired: Client, text: str) -> None:
    """Its words are cut to what the headers of gRPC can hold, twice where there is a link."""
    code, words = refusal(partial(wired.create_task, parent=QUEUE, task=http_task(text)))
    assert ("INVALID_ARGUMENT", f'Task ID "{text[:99]}', "…") == (code, words[:108], words[-1])


def test_a_wrong_name_comes_with_a_link_to_what_is_right(server: TasksServer, wired: Client) -> None:
    """The detail that recordings of the real service have; over the wire and in one process."""
    where = "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues"
    for client in (wired, client_of(server)):
        found = []
        for call in (
            partial(client.get_queue, name="work"),
            partial(client.create_task, parent=QUEUE, task=http_task("not a valid id")),
            partial(client.create_task, parent=QUEUE, task={}),
        ):
            with pytest.raises(InvalidArgument) as caught:
                call()
            found.append(
                [(link.description, link.url) for each in caught.value.details for link in each.links]
            )
        assert [
            [("Definition of queue name", f"{where}#Queue.FIELDS.name")],
            [("Definition of task ID", f"{where}.tasks#Task.FIELDS.name")],
            [],
        ] == found


def test_the_largest_task_passes_the_wire(wired: Client) -> None:
    """No limit of gRPC comes before that of the service, for ten such tasks in one answer either."""
    body = b"x" * 1_000_000
    for n in range(10):
        task = http_task(f"t{n}", http_request={"url": "http://worker.example/", "body": body})
        wired.create_task(parent=QUEUE, task=task)

    listed = list(wired.list_tasks(request={"parent": QUEUE, "page_size": 3, "response_view": "FULL"}))

    assert [body] * 10 == [task.http_request.body for task in listed]


@pytest.mark.parametrize("over_the_wire", [False, True])
def test_of_many_who_create_one_name_exactly_one_wins(
    server: TasksServer, wired: Client, over_the_wire: bool
) -> None:
    """The others all get ALREADY_EXISTS, whether the winner's task is there still or done."""
    client = wired if over_the_wire else client_of(server)
    together = threading.Barrier(8)

    def create(round_: int) -> bool:
        together.wait(timeout=30)
        try:
            client.create_task(parent=QUEUE, task=http_task(f"round-{round_}"))
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for round_ in range(10):
            wins = list(pool.map(create, [round_] * 8))
            assert wins.count(True) == 1
    assert server.depth() == 10


def test_many_threads_lease_each_task_once() -> None:
    """While others create, nothing is lost and nothing is given twice."""
    # The clock stands still: with the default rate there would be no tokens beyond the first burst.
    server = TasksServer(clock=Clock(), max_dispatches_per_second=1e6)
    client = client_of(server)
    names = [task_name(f"t{n}") for n in range(200)]
    created = threading.Event()

    def create() -> list[str]:
        for name in names:
            client.create_task(parent=QUEUE, task={**http_task(), "name": name})
        created.set()
        return []

    def work() -> list[str]:
        taken = []
        while True:
            last = created.is_set()
            attempt = server.lease()
            if attempt is not None:
                taken.append(attempt.task)
                server.finish(attempt, Response(200))
            elif last:
                return taken

    with ThreadPoolExecutor(5) as pool:
        runs = [pool.submit(create), *(pool.submit(work) for _ in range(4))]
        taken = [name for run in runs for name in run.result(timeout=60)]
    depth = server.depth()
    server.close()

    assert (sorted(names), 0) == (sorted(taken), depth)
