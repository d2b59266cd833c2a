"""gRPC and HTTP/1.1 at one port: who comes in how, and what cannot bring it down."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.cloud.datastore_v1 import types
from http_support import HOST, Served, both, grpc_channel, read_all
from tasks_support import client_over, http_task

from fantasm_gcp.local.http import Door, Patience
from fantasm_gcp.local.http.door import PREFACE
from fantasm_gcp.local.rpc import serve

QUEUE = "projects/demo/locations/here/queues/work"
LOOKUP = types.LookupRequest.serialize(
    types.LookupRequest(project_id="p", keys=[types.Key(path=[{"kind": "K", "name": "a"}])])
)

Start = Callable[..., Any]


class Pages:
    """A WSGI application: paths that echo, stream, fail, wait and lie."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.go_on = threading.Event()
        self.closed = threading.Event()
        self.dribbled = threading.Event()

    def __call__(self, environ: dict[str, Any], start: Start) -> Any:
        return getattr(self, environ["PATH_INFO"].strip("/") or "root")(environ, start)

    def root(self, environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [("Content-Length", "2"), ("X-Query", environ["QUERY_STRING"])])
        return [b"ok"]

    def echo(self, environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [])
        yield environ["wsgi.input"].read()

    def stream(self, environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [("Content-Type", "text/plain")])
        try:
            yield from (b"one", b"", b"two")
        finally:
            self.closed.set()

    def fail(self, environ: dict[str, Any], start: Start) -> Any:
        raise FileNotFoundError("secret")

    def late(self, environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [])
        yield b"begun"
        raise ValueError("too late")

    def wait(self, environ: dict[str, Any], start: Start) -> Any:
        self.waiting.set()
        self.go_on.wait(20)
        return self.root(environ, start)

    def short(self, environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [("Content-Length", "10")])
        return [b"four"]

    def long(self, environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [("Content-Length", "2")])
        return [b"four", b"more"]

    def none(self, environ: dict[str, Any], start: Start) -> Any:
        start("204 No Content", [])
        return [b""]

    def dribble(self, environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [])
        try:
            while True:
                yield b"x" * 65536
        finally:
            self.dribbled.set()


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def opened(pages: Pages) -> Iterator[Served]:
    with both(fallback=pages) as opened:
        yield opened


def connect(opened: Served) -> socket.socket:
    return socket.create_connection((HOST, opened.door.port), timeout=20)


def lookup(channel: grpc.Channel) -> bytes:
    return channel.unary_unary("/google.datastore.v1.Datastore/Lookup")(LOOKUP, timeout=20)


def test_both_protocols_are_served_at_one_port(opened: Served) -> None:
    """gRPC, JSON, and what is neither."""
    with grpc_channel(opened) as channel:
        created = client_over(channel).create_task(parent=QUEUE, task=http_task())
        assert 1 == len(types.LookupResponse.deserialize(lookup(channel)).missing)
    assert created.name == opened.send("GET", f"/v2/{created.name}").json["name"]
    assert (200, b"ok") == (opened.send("GET", "/").status, opened.send("GET", "/").body)


def test_one_connection_serves_many_requests(opened: Served) -> None:
    """With and without bodies, answered in chunks and in one piece."""
    connection = http.client.HTTPConnection(HOST, opened.door.port, timeout=20)
    connection.connect()
    first = connection.sock
    for body, path, expected in (
        (b"", "/", b"ok"),
        (b"unread", "/", b"ok"),
        (b"read", "/echo", b"read"),
        (b"", "/stream", b"onetwo"),
        (b"", "/none", b""),
        (iter([b"a", b"b" * 70_000]), "/echo", b"a" + b"b" * 70_000),
        (iter([b"unread" * 1000]), "/", b"ok"),
    ):
        connection.request(
            "POST",
            path,
            body,
            encode_chunked=not isinstance(body, bytes),
            headers={} if isinstance(body, bytes) else {"Transfer-Encoding": "chunked"},
        )
        assert expected == connection.getresponse().read()
        assert first is connection.sock
    connection.close()


def test_requests_that_come_together_are_answered_in_turn(opened: Served) -> None:
    """Pipelined, the last one ending the connection."""
    request = b"GET /?%d HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = opened.raw(
        b"".join(request % n for n in range(5)),
        b"\r\nGET /?last HTTP/1.1\r\nConnection: close\r\n\r\n",
        end=False,
    )

    assert [b"0", b"1", b"2", b"3", b"4", b"last"] == [
        line.partition(b": ")[2] for line in answer.split(b"\r\n") if line.startswith(b"X-Query")
    ]


def test_http_1_0_is_answered_until_the_connection_ends(opened: Served) -> None:
    """No chunks, and no waiting for another request."""
    answer = opened.raw(b"GET /stream HTTP/1.0\r\n\r\n", end=False)

    assert b"onetwo" == answer.partition(b"\r\n\r\n")[2]


def test_who_speaks_http_1_0_need_not_name_the_host(pages: Pages) -> None:
    """A load balancer's check is answered under the address at which it asked."""

    def name(environ: dict[str, Any], start: Start) -> Any:
        start("200 OK", [])
        return [environ.get("HTTP_HOST", "nobody").encode()]

    with both(fallback=name) as opened:
        assert opened.raw(b"GET / HTTP/1.0\r\n\r\n").endswith(f"\r\n\r\n{opened.address}".encode())
        assert opened.raw(b"GET / HTTP/1.0\r\nHost: me\r\n\r\n").endswith(b"\r\n\r\nme")
        assert opened.raw(b"GET / HTTP/1.1\r\n\r\n", end=True).count(b"nobody")


def test_a_client_may_ask_often_whether_the_server_is_there(opened: Served) -> None:
    """gRPC's own limit is two pings in five minutes, after which it closes the connection (RFC 9113, 6.7)."""
    settings, acknowledged = b"\0\0\0\4\0\0\0\0\0", b"\0\0\x08\6\1\0\0\0\0"
    with connect(opened) as sock:
        sock.sendall(PREFACE + settings)
        for number in range(8):
            ping = b"ping %03d" % number
            sock.sendall(b"\0\0\x08\6\0\0\0\0\0" + ping)
            said = b""
            while acknowledged + ping not in said:
                said += sock.recv(65536)
            assert b"too_many_pings" not in said


def test_head_has_no_body(opened: Served) -> None:
    """But the headers of the body; the connection goes on."""
    answer = opened.raw(b"HEAD / HTTP/1.1\r\n\r\nHEAD /none HTTP/1.1\r\n\r\n")

    assert b"Content-Length: 2" in answer
    assert not answer.rstrip(b"\r\n").endswith(b"ok")
    assert 2 == answer.count(b"HTTP/1.1 20")


def test_an_application_that_fails_is_answered_for(opened: Served, caplog: pytest.LogCaptureFixture) -> None:
    """500 without its text, which is logged; cut off when the answer had begun."""
    answer = opened.send("GET", "/fail")
    assert (500, "INTERNAL") == (answer.status, answer.json["error"]["status"])
    assert b"secret" not in answer.body
    assert "secret" in caplog.text
    with pytest.raises(http.client.IncompleteRead):
        opened.send("GET", "/late")


def test_a_body_of_another_length_than_was_said_ends_the_connection(opened: Served) -> None:
    """Too short is seen by the peer; too long is cut, and the next answer begins where it should."""
    with pytest.raises(http.client.IncompleteRead):
        opened.send("GET", "/short")
    answer = opened.raw(b"GET /long HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    assert b"\r\n\r\nfoHTTP/1.1 200 OK" in answer


def test_what_the_application_answers_with_is_closed(opened: Served, pages: Pages) -> None:
    """Also when the peer goes away in the middle of it."""
    opened.send("GET", "/stream")
    assert pages.closed.wait(20)
    with connect(opened) as sock:
        sock.sendall(b"GET /dribble HTTP/1.1\r\n\r\n")
        assert sock.recv(100)
    assert pages.dribbled.wait(20)
    assert 200 == opened.send("GET", "/").status


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", 400),
        (b"GET ftp://x/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"GET / HTTP/1.1\r\nHost: here\r\nContent-Length : 1\r\n\r\nx", 400),
        (b"GET / HTTP/1.1\r\n Host: here\r\n\r\n", 400),
        (b"DELETE / HTTP/1.1\r\nHost: here\r\n", 400),
        (b"DELETE / HTTP/1.1\r\nHost: he", 400),
        (b"DELETE / HTTP/1.1", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd", 400),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 400),
        (b"GET http://x/?a HTTP/1.1\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 200),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nA: b\r\n\r\n", 200),
    ],
    ids=lambda value: str(value if isinstance(value, int) else value[:30]),
)  # fmt: skip
def test_framing_that_is_in_doubt_is_refused(opened: Served, request_: bytes, status: int) -> None:
    """And what only looks odd is not."""
    assert b"HTTP/1.1 %d " % status == opened.raw(request_)[:13]


def test_a_client_of_tls_is_told_at_once_that_nobody_speaks_it(
    opened: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """In words that its library knows; otherwise it would wait for a handshake until its patience ends."""
    context = ssl.create_default_context()
    for _ in range(2):
        with connect(opened) as sock, pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
            context.wrap_socket(sock, server_hostname="localhost")

    assert ["a client speaks TLS"] == [each.getMessage()[:19] for each in caplog.records]


def test_a_preface_may_come_in_pieces(opened: Served) -> None:
    """It is joined to gRPC once it is whole; so is a request whose first letters could be a preface."""
    with connect(opened) as sock:
        for place in range(len(PREFACE)):
            sock.sendall(PREFACE[place : place + 1])
        sock.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")  # an empty SETTINGS frame
        assert b"\x04" == sock.recv(9)[3:4]  # the server's SETTINGS
    assert b"HTTP/1.1 200" == opened.raw(b"P", b"R", b"OPFIND / HTTP/1.1\r\n\r\n")[:12]


def test_half_a_preface_and_then_nothing_is_let_go(opened: Served) -> None:
    """As is a connection that says nothing at all."""
    assert b"" == opened.raw(PREFACE[:10])
    assert b"" == opened.raw()


def test_a_peer_that_ends_its_half_still_gets_its_answer(opened: Served) -> None:
    """Over HTTP."""
    assert b"ok" == opened.raw(b"GET / HTTP/1.1\r\n\r\n")[-2:]


def test_large_messages_pass_the_tunnel(opened: Served) -> None:
    """More than any buffer holds, there and back, several at a time."""
    body = bytes(range(256)) * 3600
    with grpc_channel(opened) as channel, ThreadPoolExecutor(4) as pool:
        client = client_over(channel)
        task = http_task(http_request={"url": "http://worker.example/", "body": body})
        created = list(pool.map(lambda _: client.create_task(parent=QUEUE, task=task), range(8)))
        request = {"parent": QUEUE, "response_view": "FULL"}
        assert [body] * 8 == [each.http_request.body for each in client.list_tasks(request=request)]
        assert 8 == len({each.name for each in created})


def test_both_protocols_work_at_the_same_time(opened: Served) -> None:
    """Many threads of each."""

    def over_grpc(_: int) -> int:
        with grpc_channel(opened) as channel:
            return sum(len(types.LookupResponse.deserialize(lookup(channel)).missing) for _ in range(10))

    def over_http(_: int) -> int:
        headers = {"Content-Type": "application/x-protobuf"}
        return sum(opened.send("POST", "/v1/projects/p:lookup", LOOKUP, headers).status for _ in range(10))

    with ThreadPoolExecutor(12) as pool:
        wired, sent = pool.map(over_grpc, range(6)), pool.map(over_http, range(6))
        assert ([10] * 6, [2000] * 6) == (list(wired), list(sent))


def test_idle_connections_make_room_for_new_ones(pages: Pages) -> None:
    """Ten times as many as there may be: silent ones, half requests, and ones that wait between requests."""
    with both(fallback=pages, limit=20) as opened:
        kept = http.client.HTTPConnection(HOST, opened.door.port, timeout=20)
        kept.request("GET", "/")
        assert b"ok" == kept.getresponse().read()
        crowd = []
        for number in range(200):
            sock = connect(opened)
            if number % 2:
                sock.sendall(b"PRI * HT")
            crowd.append(sock)
        assert 200 == opened.send("GET", "/").status
        with grpc_channel(opened) as channel:
            assert lookup(channel)
        for sock in crowd:
            sock.close()
        kept.close()


def test_busy_connections_are_not_ended_for_new_ones(pages: Pages) -> None:
    """The new one is, until there is room again."""
    with both(fallback=pages, limit=1) as opened, connect(opened) as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert pages.waiting.wait(20)
        with connect(opened) as refused:
            assert b"" == read_all(refused)
        pages.go_on.set()
        assert read_all(sock).endswith(b"ok")


def test_headers_that_never_come_make_room_for_new_connections(pages: Pages) -> None:
    """Each of them holds a thread, and would for twenty seconds."""
    patience = Patience(prompt=0)
    with both(fallback=pages, limit=3, patience=patience) as opened:
        crowd = [connect(opened) for _ in range(3)]
        for sock in crowd:
            sock.sendall(b"GET / HTTP/1.1\r\nA: b\r\n")
        while [True] * 3 != [each.reading_since is not None for each in list(opened.door._served)]:
            pass
        for _ in range(3):
            assert 200 == opened.send("GET", "/").status
        for sock in crowd:
            sock.close()


def test_slow_peers_are_let_go(pages: Pages) -> None:
    """Silent from the start, within the headers, within a body, and between two requests."""
    patience = Patience(first_bytes=0.05, idle=0.05, headers=0.05, body=0.05, linger=0.05)
    with both(fallback=pages, patience=patience) as opened:
        assert b"" == opened.raw(end=False)
        assert b"" == opened.raw(PREFACE[:5], end=False)
        assert b"HTTP/1.1 408" == opened.raw(b"GET / HTT", end=False)[:12]
        assert b"HTTP/1.1 408" == opened.raw(b"GET / HTTP/1.1\r\nA: b\r\n", end=False)[:12]
        posted = b"POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\nxx"
        assert b"HTTP/1.1 408" == opened.raw(posted, end=False)[:12]
    with both(fallback=pages, patience=Patience(idle=0.05, body=0.05)) as opened:
        assert opened.raw(b"GET / HTTP/1.1\r\n\r\n", end=False).endswith(b"ok")
        with connect(opened) as sock:
            sock.sendall(b"GET /dribble HTTP/1.1\r\n\r\n")
            assert pages.dribbled.wait(20)


def test_a_request_in_flight_is_given_time_when_the_door_closes(pages: Pages) -> None:
    """It is answered; nothing of the door's is left."""
    with both(fallback=pages) as opened:
        with connect(opened) as sock, connect(opened) as idle, grpc_channel(opened) as channel:
            lookup(channel)
            sock.sendall(b"GET /wait HTTP/1.1\r\n\r\n")
            assert pages.waiting.wait(20)
            closing = threading.Thread(target=opened.door.close, kwargs={"grace": 20})
            closing.start()
            assert b"" == read_all(idle)
            pages.go_on.set()
            assert read_all(sock).endswith(b"ok")
            closing.join()
        opened.door.close()
        assert set() == {each.name for each in threading.enumerate()} & {"door", "http"}
        with pytest.raises(ConnectionRefusedError):
            connect(opened)


def test_a_port_that_is_taken_is_an_error(opened: Served) -> None:
    """Of the class that callers expect."""
    with pytest.raises(OSError, match="in use"):
        Door(HOST, opened.door.port, "", lambda environ, start: [])


def test_without_grpc_behind_it_the_door_still_serves_http(pages: Pages) -> None:
    """None at all, or one that is gone: those connections end."""
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]
    for address in ("", f"{HOST}:{port}", "unix:/nowhere"):
        door = Door(HOST, 0, address, pages)
        try:
            with socket.create_connection((HOST, door.port), timeout=20) as sock:
                sock.sendall(PREFACE)
                assert read_all(sock)[:12] == (b"" if address else b"HTTP/1.1 505")
            with socket.create_connection((HOST, door.port), timeout=20) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                assert read_all(sock).endswith(b"ok")
        finally:
            door.close()


def test_one_grpc_server_serves_several_services(opened: Served) -> None:
    """And a port that is taken is an ``OSError``."""
    with pytest.raises(OSError, match="in use"):
        serve([opened.tasks.service, opened.datastore.service], HOST, opened.door.port)
