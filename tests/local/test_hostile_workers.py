"""Workers that misbehave at the other end of a real socket: each is an attempt that ends, and no more."""

from __future__ import annotations

import datetime
import logging
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tasks_support import QUEUE, client_of, http_task

from fantasm_gcp.local.tasks import Delivery, Dispatcher, HttpDelivery, Response, TasksServer
from fantasm_gcp.local.tasks.dispatching.http_delivery import MAX_ANSWER

PATIENCE = 30.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

Serve = Callable[[socket.socket], None]


@contextmanager
def worker(serve: Serve, connections: int = 1) -> Iterator[str]:
    """The URL of a server that does as it is told with each of so many connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            for _ in range(connections):
                connected, _address = listening.accept()
                connected.settimeout(PATIENCE)
                with connected, suppress(OSError):
                    serve(connected)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        thread.join()


def read_head(connected: socket.socket) -> bytes:
    """The head of a request, and what came with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connected.recv(65_536)
        if not piece:
            raise ConnectionError("the other side hung up")
        head += piece
    return head


def saying(*pieces: bytes) -> Serve:
    """Answers these pieces, hangs up its half, and waits until the other side has hung up too."""

    def serve(connected: socket.socket) -> None:
        read_head(connected)
        for piece in pieces:
            connected.sendall(piece)
        connected.shutdown(socket.SHUT_WR)
        while connected.recv(65_536):
            continue

    return serve


def send(
    url: str, deadline: float = PATIENCE, body: bytes = b"", **options: ssl.SSLContext
) -> Response | None:
    return HttpDelivery({}, **options)(Delivery("t", "POST", url, {}, body, deadline))


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], (200, b"")),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK], (200, b"")),
        ([b"HTTP/1.1 102 Processing\r\n\r\n" * 50 + OK], (200, b"")),
        ([b"HTTP/1.0 103 Early Hints\r\n\r\nHTTP/1.1 404 No\r\n\r\nbody"], (404, b"body")),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"], (101, b"")),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n"], (200, b"abc")),
        ([b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: x\r\n\r\n"], (500, b"")),
        ([b"HTTP/1.0 200 OK\r\n\r\nto the end"], (200, b"to the end")),
        ([b"HTTP/1.1 204 No\r\nContent-Length: 10\r\n\r\n"], (204, b"")),
        ([b"HTTP/1.1 307 Away\r\nLocation: /\r\n\r\n"], (307, b"")),
        ([b"HTTP/1.1 999 Odd\r\nContent-Length: -5\r\n\r\nx"], (999, b"x")),
        ([b"HTTP/1.1 200\r\ncontent-length: 2, 2\r\n\r\nab"], (200, b"ab")),
    ],
)  # fmt: skip
def test_odd_answers_are_answers(pieces: list[bytes], expected: tuple[int, bytes]) -> None:
    """Interim ones are passed over, chunks are joined, and a redirect is not followed."""
    with worker(saying(*pieces)) as url:
        response = send(url)

    assert response is not None
    assert expected == (response.status, response.body)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"HTTP/1.1 200 OK"],
        [b"HTTP/1.1 200 OK\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1", b"0"],
        [b"HTTP/1.1 100 Continue\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\n\r\n"],
        [b"\x16\x03\x01\x02\x00\x01\x00"],
        [b"HTTP/1.1 20 Short\r\n\r\n"],
        [b"HTTP/1.1 2000 Long\r\n\r\n"],
        [b"HTTP/1.1 -1 Negative\r\n\r\n"],
        [b"HTTP/2.0\r\n\r\n"],
        [b"\r\n" * 1000],
        [b"x" * 200_000],
        [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nab\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000],
    ],
)
def test_garbage_and_answers_cut_short_are_no_answer(pieces: list[bytes]) -> None:
    """With a reason for the log, and of a kind that whoever delivers knows."""
    with worker(saying(*pieces)) as url, pytest.raises(OSError, match=r"\w"):
        send(url)


def test_a_connection_that_is_reset_is_no_answer() -> None:
    """Before anything was said, and in the middle of it."""
    for said in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab"):

        def reset(connected: socket.socket, said: bytes = said) -> None:
            read_head(connected)
            connected.sendall(said)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

        with worker(reset) as url, pytest.raises(OSError, match=r"\w"):
            send(url)


def test_who_answers_without_reading_has_answered() -> None:
    """A worker that refuses a body that it does not want to read is heard."""

    def refuse(connected: socket.socket) -> None:
        read_head(connected)
        connected.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        connected.shutdown(socket.SHUT_RDWR)

    body = b"x" * 5_000_000
    with worker(refuse) as url:
        try:
            response = send(url, body=body)
        except OSError:
            return  # the system may drop what was said when it resets the connection: that is no answer
    assert response is not None
    assert response.status == 413


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: ",
    ],
)
def test_who_trickles_is_given_up_at_the_deadline(opening: bytes) -> None:
    """Wherever in the answer it is."""
    gone = threading.Event()

    def trickle(connected: socket.socket) -> None:
        try:
            read_head(connected)
            connected.sendall(opening)
            while True:
                connected.sendall(b"1")
                gone.wait(0.01)
        except OSError:
            gone.set()

    with worker(trickle) as url:
        assert send(url, deadline=0.15) is None
    assert gone.is_set()


def test_interim_answers_without_end_are_given_up_at_the_deadline() -> None:
    """Each of them is a whole answer, so nothing but the deadline ends it."""
    gone = threading.Event()

    def hint(connected: socket.socket) -> None:
        try:
            read_head(connected)
            while True:
                connected.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
                gone.wait(0.01)
        except OSError:
            gone.set()

    with worker(hint) as url:
        assert send(url, deadline=0.15) is None
    assert gone.is_set()


def test_who_never_reads_is_given_up_at_the_deadline() -> None:
    """The body is larger than what the systems in between hold."""
    over = threading.Event()

    def ignore(_: socket.socket) -> None:
        over.wait(PATIENCE)

    with worker(ignore) as url:
        assert send(url, deadline=0.15, body=b"x" * 50_000_000) is None
        over.set()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999999999\r\n\r\n",
    ],
)
def test_an_answer_without_end_is_an_answer_and_is_not_kept(head: bytes) -> None:
    """Nobody listens beyond the limit, and no more than the limit is ever held in memory."""

    def talk(connected: socket.socket) -> None:
        read_head(connected)
        connected.sendall(head)
        piece = b"x" * 1_000_000
        while True:
            connected.sendall(piece)

    with worker(talk) as url:
        tracemalloc.start()
        response = send(url)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert response is not None
    assert response.status == 200
    assert most < 3 * MAX_ANSWER
    assert len(response.body) <= 4096


def test_a_head_without_end_is_no_answer() -> None:
    """Interim answers count too: the limit is for all that is said."""

    def talk(connected: socket.socket) -> None:
        read_head(connected)
        piece = (b"HTTP/1.1 103 Early Hints\r\nX: " + b"x" * 60_000 + b"\r\n\r\n") * 20
        while True:
            connected.sendall(piece)

    with worker(talk) as url, pytest.raises(ConnectionError, match="too long"):
        send(url)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost that nobody has signed but itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


def encrypted(file: Path, serve: Serve) -> Serve:
    """Does as it is told behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def begin(connected: socket.socket) -> None:
        with context.wrap_socket(connected, server_side=True) as inner:
            serve(inner)

    return begin


def test_https_is_delivered_with_a_host_without_its_own_port(certified: Path) -> None:
    """A body of many TLS records too; the certificate is verified against what is trusted."""
    heads: list[bytes] = []

    def answer(connected: socket.socket) -> None:
        received = read_head(connected)
        heads.append(received.partition(b"\r\n\r\n")[0])
        while not received.endswith(b"end"):
            received += connected.recv(65_536)
        connected.sendall(OK)

    trusting = ssl.create_default_context(cafile=str(certified))
    with worker(encrypted(certified, answer)) as url:
        port = url.rstrip("/").rpartition(":")[2]
        response = send(f"https://localhost:{port}/", body=b"x" * 300_000 + b"end", context=trusting)

    assert response is not None
    assert response.status == 200
    assert f"\r\nHost: localhost:{port}\r\n".encode() in heads[0]


def test_a_bad_certificate_is_no_answer(certified: Path) -> None:
    """Nobody has signed it, or it is for another name."""
    trusting = ssl.create_default_context(cafile=str(certified))
    for name, options in (("localhost", {}), ("127.0.0.1", {"context": trusting})):
        with worker(encrypted(certified, saying(OK))) as url:
            port = url.rstrip("/").rpartition(":")[2]
            with pytest.raises(OSError, match=r"(?i)certificate"):
                send(f"https://{name}:{port}/", **options)


def test_a_worker_that_speaks_no_tls_is_no_answer() -> None:
    """Or that does not begin to, which ends at the deadline."""
    over = threading.Event()
    with worker(lambda connected: connected.sendall(OK)) as url, pytest.raises(OSError, match=r"\w"):
        send(url.replace("http:", "https:"))

    def ignore(_: socket.socket) -> None:
        over.wait(PATIENCE)

    with worker(ignore) as url:
        assert send(url.replace("http:", "https:"), deadline=0.15) is None
        over.set()


def test_no_worker_ends_a_thread_of_the_dispatcher(caplog: pytest.LogCaptureFixture) -> None:
    """After each of them the one thread there is delivers the next task, and the failed ones wait."""
    caplog.set_level(logging.CRITICAL, "fantasm_gcp.local.tasks")
    misdeeds = iter(
        [
            saying(),
            saying(b"\x00" * 100_000),
            saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            saying(b"HTTP/1.1 103 Hints\r\n\r\n"),
            saying(OK),
        ]
    )
    server = TasksServer()
    client = client_of(server)
    done = threading.Event()
    retry = {"min_backoff": {"seconds": 3600}, "max_backoff": {"seconds": 3600}}
    deliver = HttpDelivery({})

    def delivering(delivery: Delivery) -> Response | None:
        response = deliver(delivery)
        done.set()
        return response

    with worker(lambda connected: next(misdeeds)(connected), connections=6) as url:
        for number, bad in enumerate(["http://", "http://[::1/", "http://h\n/", *[url] * 6]):
            client.create_task(
                parent=QUEUE, task=http_task(f"t{number}", http_request={"url": bad}, retry_config=retry)
            )
        dispatcher = Dispatcher(server, delivering, threads=1)
        dispatcher.start()
        assert done.wait(PATIENCE)
        assert dispatcher.stop(PATIENCE)

    left = sorted(task.name.rpartition("/")[2] for task in client.list_tasks(parent=QUEUE))
    server.close()
    assert [f"t{number}" for number in range(8)] == left
