"""The dispatcher: threads, the ends of attempts, the log, stopping; and a whole run over loopback HTTP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from google.protobuf.duration_pb2 import Duration
from tasks_support import QUEUE, app_engine_task, client_of, http_task, task_name

from fantasm_gcp.local.tasks import Delivery, Dispatcher, HttpDelivery, Response, TasksServer

PATIENCE = 30.0
AT_ONCE = {"min_backoff": Duration(), "max_backoff": Duration()}


@pytest.fixture
def server() -> Iterator[TasksServer]:
    server = TasksServer()
    yield server
    server.close()


class Worker:
    """Answers deliveries from a list, then 200; says when it has seen enough of them."""

    def __init__(self, expected: int, *answers: Response | BaseException | None) -> None:
        self.seen: list[Delivery] = []
        self.done = threading.Event()
        self._expected = expected
        self._answers = list(answers)
        self._lock = threading.Lock()

    def __call__(self, delivery: Delivery) -> Response | None:
        with self._lock:
            self.seen.append(delivery)
            answer = self._answers.pop(0) if self._answers else Response(200)
            if len(self.seen) >= self._expected:
                self.done.set()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_what_was_waiting_and_what_comes_is_delivered(server: TasksServer) -> None:
    """Tasks of before the start and of after it, each once."""
    client = client_of(server)
    worker = Worker(20)
    for n in range(10):
        client.create_task(parent=QUEUE, task=http_task(f"t{n}"))
    dispatcher = Dispatcher(server, worker, threads=3)
    dispatcher.start()
    for n in range(10, 20):
        client.create_task(parent=QUEUE, task=http_task(f"t{n}"))

    assert worker.done.wait(PATIENCE)
    assert dispatcher.stop(PATIENCE)
    assert sorted(task_name(f"t{n}") for n in range(20)) == sorted(delivery.task for delivery in worker.seen)
    assert server.depth() == 0


def test_any_exception_is_a_worker_not_reached(server: TasksServer, caplog: pytest.LogCaptureFixture) -> None:
    """Even one that would end the process: the thread goes on, and the log says what it was."""
    worker = Worker(4, None, OSError("refused"), SystemExit(3))
    client_of(server).create_task(parent=QUEUE, task=http_task("one", retry_config=AT_ONCE))
    dispatcher = Dispatcher(server, worker, threads=1)
    with caplog.at_level(logging.DEBUG, "fantasm_gcp.local.tasks"):
        dispatcher.start()
        assert worker.done.wait(PATIENCE)
        assert dispatcher.stop(PATIENCE)

    assert [delivery.headers["X-CloudTasks-TaskRetryCount"] for delivery in worker.seen] == [
        "0",
        "1",
        "2",
        "3",
    ]
    previous = [delivery.headers["X-CloudTasks-TaskPreviousResponse"] for delivery in worker.seen[1:]]
    assert ["504", "0", "0"] == previous
    levels = [(record.levelname, record.getMessage().partition(" in ")[0]) for record in caplog.records]
    assert levels == [
        ("WARNING", "work/one attempt 1: no answer"),
        ("WARNING", "work/one attempt 2: no answer (OSError: refused)"),
        ("WARNING", "work/one attempt 3: no answer (SystemExit: 3)"),
        ("DEBUG", "work/one attempt 4: 200"),
    ]


def test_the_log_says_what_follows_a_failure(server: TasksServer, caplog: pytest.LogCaptureFixture) -> None:
    """The time of the next attempt, or the end of the task."""
    law = {**AT_ONCE, "max_attempts": 2}
    worker = Worker(2, Response(500), Response(404))
    client_of(server).create_task(parent=QUEUE, task=http_task("one", retry_config=law))
    dispatcher = Dispatcher(server, worker)
    dispatcher.start()
    assert worker.done.wait(PATIENCE)
    assert dispatcher.stop(PATIENCE)

    first, second = (record.getMessage() for record in caplog.records)
    assert "work/one attempt 1: 500 in " in first
    assert "; next in " in first
    assert "work/one attempt 2: 404 in " in second
    assert second.endswith("; out of attempts, task deleted")


def test_stopping_waits_for_what_is_in_flight(server: TasksServer) -> None:
    """Not beyond its time; nothing new begins; what was in flight is finished properly."""
    entered, leave = threading.Event(), threading.Event()

    def deliver(_: Delivery) -> Response:
        entered.set()
        leave.wait(PATIENCE)
        return Response(200)

    client = client_of(server)
    client.create_task(parent=QUEUE, task=http_task("one"))
    dispatcher = Dispatcher(server, deliver, threads=2)
    dispatcher.start()
    assert entered.wait(PATIENCE)

    assert dispatcher.stop(timeout=0) is False
    client.create_task(parent=QUEUE, task=http_task("two"))
    leave.set()
    assert dispatcher.stop(PATIENCE)
    assert ([task_name("two")], 1) == (server.due(), server.depth())


def test_a_queue_whose_worker_hangs_does_not_hold_up_the_others(server: TasksServer) -> None:
    """Of four threads it takes three; another queue has its attempt, and then the next."""
    client = client_of(server)
    let_go = threading.Event()
    others = Worker(2)

    def deliver(delivery: Delivery) -> Response | None:
        if delivery.url.endswith("/hang"):
            let_go.wait(PATIENCE)
            return Response(200)
        return others(delivery)

    for _ in range(12):
        client.create_task(parent=QUEUE, task={"http_request": {"url": "http://worker.example/hang"}})
    dispatcher = Dispatcher(server, deliver, threads=4)
    dispatcher.start()
    for _ in range(2):
        client.create_task(parent=f"{QUEUE}-other", task=http_task())
    assert others.done.wait(PATIENCE)
    assert 3 == sum(each.task.startswith(f"{QUEUE}/") for each in server.attempts_in_flight())
    let_go.set()
    assert server.wait_idle(PATIENCE)
    assert dispatcher.stop(PATIENCE)


def test_a_dispatcher_can_be_started_again(server: TasksServer) -> None:
    """But not while it runs, and not with no threads at all."""
    worker = Worker(1)
    dispatcher = Dispatcher(server, worker, threads=1)
    dispatcher.start()
    with pytest.raises(RuntimeError, match="is running"):
        dispatcher.start()
    assert dispatcher.stop(PATIENCE)
    assert dispatcher.stop(PATIENCE)
    client_of(server).create_task(parent=QUEUE, task=http_task("one"))
    dispatcher.start()
    assert worker.done.wait(PATIENCE)
    assert dispatcher.stop(PATIENCE)
    with pytest.raises(ValueError, match="at least one"):
        Dispatcher(server, worker, threads=0)


def test_closing_the_server_ends_the_threads(server: TasksServer) -> None:
    """A dispatcher without a server has nothing to wait for."""
    dispatcher = Dispatcher(server, Worker(1), threads=3)
    dispatcher.start()
    server.close()

    assert dispatcher.stop(PATIENCE)


def test_a_task_deleted_in_flight_ends_quietly(server: TasksServer, caplog: pytest.LogCaptureFixture) -> None:
    """Its worker's answer comes too late to matter."""
    client = client_of(server)

    def deliver(delivery: Delivery) -> Response:
        client.delete_task(name=delivery.task)
        return Response(500)

    client.create_task(parent=QUEUE, task=http_task("one"))
    dispatcher = Dispatcher(server, deliver, threads=1)
    finished = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda _: finished.set()  # type: ignore[assignment,method-assign]  # the shortest handler there is
    log = logging.getLogger("fantasm_gcp.local.tasks")
    log.addHandler(handler)
    dispatcher.start()
    assert finished.wait(PATIENCE)
    assert dispatcher.stop(PATIENCE)
    log.removeHandler(handler)

    assert caplog.records[0].getMessage().endswith("; the task was deleted meanwhile")
    assert (server.depth(), server.in_flight()) == (0, 0)


class Receiver(BaseHTTPRequestHandler):
    """A worker behind a socket that answers 503 to the first delivery of each task."""

    seen: list[tuple[str, str, dict[str, str], bytes]]
    done: threading.Event
    expected: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.command, self.path, dict(self.headers), body))
        retries = self.headers["X-AppEngine-TaskRetryCount"] or self.headers["X-CloudTasks-TaskRetryCount"]
        self.send_response(503 if retries == "0" else 200)
        self.end_headers()
        if len(self.seen) >= self.expected:
            self.done.set()

    def log_message(self, *_: object) -> None:
        """The test's output is not the place for an access log."""


def test_tasks_reach_a_real_worker_and_are_tried_until_it_is_well(server: TasksServer) -> None:
    """Both kinds of target over a socket, header by header and byte by byte."""

    class ThisReceiver(Receiver):
        seen: list[tuple[str, str, dict[str, str], bytes]] = []  # noqa: RUF012  # one receiver, one test
        done = threading.Event()
        expected = 4

    listener = ThreadingHTTPServer(("127.0.0.1", 0), ThisReceiver)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{listener.server_port}"
    body = bytes(range(256)) * 100
    client = client_of(server)
    http = {"url": f"{base}/by/http?x=é", "body": body, "headers": {"X-Mine": "é"}}
    client.create_task(parent=QUEUE, task=http_task("a", http_request=http, retry_config=AT_ONCE))
    app_engine = {"relative_uri": "/by/app?x=1", "body": body}
    client.create_task(
        parent=QUEUE, task=app_engine_task("b", app_engine_http_request=app_engine, retry_config=AT_ONCE)
    )
    dispatcher = Dispatcher(server, HttpDelivery(base))
    dispatcher.start()
    assert ThisReceiver.done.wait(PATIENCE)
    assert dispatcher.stop(PATIENCE)
    listener.shutdown()
    thread.join()
    listener.server_close()

    seen = sorted(ThisReceiver.seen, key=lambda one: (one[1], "TaskPreviousResponse" in "".join(one[2])))
    assert server.depth() == 0
    assert [path for _, path, _, _ in seen] == ["/by/app?x=1"] * 2 + ["/by/http?x=%C3%A9"] * 2
    assert {body} == {content for _, _, _, content in seen}
    host = base.removeprefix("http://")
    assert {
        "Host": host,
        "Connection": "close",
        "Content-Length": "25600",
        "Content-Type": "application/octet-stream",
        "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
        "X-AppEngine-QueueName": "work",
        "X-AppEngine-TaskName": "b",
        "X-AppEngine-TaskRetryCount": "1",
        "X-AppEngine-TaskExecutionCount": "1",
        "X-AppEngine-TaskPreviousResponse": "503",
        "X-AppEngine-TaskRetryReason": "App Error",
    } == {name: value for name, value in seen[1][2].items() if name != "X-AppEngine-TaskETA"}
    assert {
        "Host": host,
        "Connection": "close",
        "Content-Length": "25600",
        "User-Agent": "Google-Cloud-Tasks",
        "X-Mine": "é".encode().decode("latin-1"),
        "X-CloudTasks-QueueName": "work",
        "X-CloudTasks-TaskName": "a",
        "X-CloudTasks-TaskRetryCount": "1",
        "X-CloudTasks-TaskExecutionCount": "0",
        "X-CloudTasks-TaskPreviousResponse": "503",
        "X-CloudTasks-TaskRetryReason": "",
    } == {name: value for name, value in seen[3][2].items() if name != "X-CloudTasks-TaskETA"}
