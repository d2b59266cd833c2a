"""Delivery over HTTP, against servers that misbehave, and into a WSGI application."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.validate import validator

import pytest

from fantasm_gcp.local.tasks import Delivery, HttpDelivery, Response, WsgiDelivery

StartResponse = Callable[..., Any]


def delivery(url: str, **fields: Any) -> Delivery:
    return Delivery(
        **{"task": "t", "method": "POST", "url": url, "headers": {}, "body": b"", "deadline": 30.0, **fields}
    )


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that reads the head of one request and then does what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            connected, _ = listening.accept()
            with connected:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connected.recv(65_536)
                serve(connected)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def test_an_answer_is_handed_back_with_the_beginning_of_its_body() -> None:
    """The rest of a long body is read, so that the worker can finish, and dropped."""
    sent = b"HTTP/1.1 404 No\r\nX-Why: because\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    with answering(lambda connected: connected.sendall(sent)) as url:
        response = HttpDelivery({})(delivery(url))

    assert response is not None
    assert (response.status, response.headers["X-Why"], response.body) == (404, "because", b"x" * 4096)


def test_a_redirect_is_not_followed() -> None:
    """It is an answer like others."""
    sent = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with answering(lambda connected: connected.sendall(sent)) as url:
        response = HttpDelivery({})(delivery(url))

    assert response is not None
    assert response.status == 302


def test_a_worker_that_never_answers_is_given_up_at_the_deadline() -> None:
    """The connection is closed, and there is no answer."""
    closed = threading.Event()

    def stay_silent(connected: socket.socket) -> None:
        assert connected.recv(1) == b""
        closed.set()

    with answering(stay_silent) as url:
        assert HttpDelivery({})(delivery(url, deadline=0.05)) is None

    assert closed.is_set()


@pytest.mark.parametrize("opening", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_the_deadline_is_for_the_whole_answer(opening: bytes) -> None:
    """A worker that sends a byte now and then, in its head or its body, does not gain time by it."""
    gone = threading.Event()

    def drip(connected: socket.socket) -> None:
        try:
            connected.sendall(opening or b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                connected.sendall(b"x")
                gone.wait(0.01)
        except OSError:
            gone.set()

    with answering(drip) as url:
        assert HttpDelivery({})(delivery(url, deadline=0.2)) is None

    assert gone.is_set()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_is_no_answer(sent: bytes) -> None:
    """A connection cut short among it: a status without its body is not an answer."""

    def send(connected: socket.socket) -> None:
        connected.sendall(sent)
        connected.shutdown(socket.SHUT_WR)
        connected.settimeout(30)
        while connected.recv(65_536):
            continue

    with answering(send) as url, pytest.raises(OSError, match=r"\w"):
        HttpDelivery({})(delivery(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://:80/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://[::1/",
        "http://h\n/",
    ],
)
def test_a_url_that_leads_nowhere_is_no_answer(url: str) -> None:
    """The real service takes such tasks too."""
    with pytest.raises(OSError, match=r"\w"):
        HttpDelivery({})(delivery(url))


def test_nobody_listening_is_no_answer() -> None:
    """A refused connection is told from a passed deadline, for the log."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    with pytest.raises(ConnectionError):
        HttpDelivery({})(delivery(f"http://127.0.0.1:{port}/"))


def test_an_app_engine_service_has_its_own_base() -> None:
    """Services without one go to that of "default"; without that, there is no answer."""
    sent = b"HTTP/1.1 204 No\r\n\r\n"
    with answering(lambda connected: connected.sendall(sent)) as url:
        own = HttpDelivery({"worker": f"{url}/", "default": "http://127.0.0.1:1"})
        assert own(delivery("/run", service="worker")) is not None
    with answering(lambda connected: connected.sendall(sent)) as url:
        assert HttpDelivery(url)(delivery("/run", service="worker")) is not None
    with pytest.raises(ConnectionError, match="service 'worker'"):
        HttpDelivery({"other": url})(delivery("/run", service="worker"))


def echo(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application that answers its environ's text values, a line each, and the body."""
    start_response("203 Fine", [("Content-Type", "text/plain"), ("X-Length", environ["CONTENT_LENGTH"])])
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    lines = [f"{key}={value}" for key, value in environ.items() if isinstance(value, str)]
    return ["\n".join(lines).encode("latin-1"), b"\n", body]


def test_a_wsgi_application_gets_a_correct_environ() -> None:
    """The standard library's checker watches the whole call."""
    sent = delivery(
        "/päth/a%2Fb?q=1&r=%20",
        headers={"Content-Type": "text/x", "X-AppEngine-TaskName": "t", "X-Mine": "é"},
        body=b"body",
        service="default",
        host="demo.appspot.com",
    )

    response = WsgiDelivery(validator(echo))(sent)

    lines = dict(line.partition("=")[::2] for line in response.body.decode().split("\n") if "=" in line)
    assert (response.status, response.headers["X-Length"]) == (203, "4")
    assert response.body.endswith(b"\nbody")
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/päth/a/b",
        "QUERY_STRING": "q=1&r=%20",
        "SERVER_NAME": "demo.appspot.com",
        "SERVER_PORT": "80",
        "HTTP_HOST": "demo.appspot.com",
        "REMOTE_ADDR": "0.1.0.2",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "4",
        "HTTP_X_APPENGINE_TASKNAME": "t",
        "HTTP_X_MINE": "é",
        "wsgi.url_scheme": "http",
    }
    assert expected == {key: lines[key] for key in expected}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (delivery("https://worker.example/run"), ("https", "worker.example", "443", "/run")),
        (delivery("http://u:p@worker.example:8080"), ("http", "worker.example:8080", "8080", "/")),
        (delivery("http://[::1]:81/x#y"), ("http", "[::1]:81", "81", "/x")),
        (delivery("//double/x", service="default"), ("http", "localhost", "80", "//double/x")),
    ],
)
def test_a_wsgi_application_sees_the_url_it_was_sent_to(
    sent: Delivery, expected: tuple[str, str, str, str]
) -> None:
    """Scheme, host, port and path; a path that begins with two slashes is a path still."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return []

    assert WsgiDelivery(app)(sent).status == 200
    keys = ("wsgi.url_scheme", "HTTP_HOST", "SERVER_PORT", "PATH_INFO")
    assert expected == tuple(seen[0][key] for key in keys)


def test_an_application_may_start_late_and_write_by_hand() -> None:
    """A generator begins its response when it is iterated; its end is always closed."""
    ended: list[bool] = []

    def app(_: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            start_response("200 OK", [])(b"by hand, ")
            yield b"late"
        finally:
            ended.append(True)

    assert (Response(200, {}, b"by hand, late"), [True]) == (WsgiDelivery(app)(delivery("http://h/")), ended)


def test_a_failing_application_answers_500(caplog: pytest.LogCaptureFixture) -> None:
    """Before or after it has started its response, or without ever starting it; the log has the cause."""

    def at_once(_: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        raise LookupError("at once")

    def midway(_: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"some"
        raise LookupError("midway")

    def never(_: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        return []

    assert [WsgiDelivery(app)(delivery("http://h/")).status for app in (at_once, midway, never)] == [500] * 3
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_application_that_ends_its_process_ends_the_call(error: type[BaseException]) -> None:
    """A test plays a crash that way, and must see it."""

    def app(_: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        raise error

    with pytest.raises(error):
        WsgiDelivery(app)(delivery("http://h/"))
