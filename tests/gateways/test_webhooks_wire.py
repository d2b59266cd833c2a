"""Webhooks over real connections: what arrives, what is not followed, and answers that never end."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import random
import socket
import traceback

import pytest
from raw_receiver import Authority, RawReceiver, endless, headers_of

from fantasm_gcp.gateways.checked_connections import MOST_ADDRESSES, Patience
from fantasm_gcp.gateways.webhooks import Webhooks
from fantasm_gcp.testing import VirtualClock

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
SHORT = Patience(connect=5, read=0.5, whole=10)
CUT = Patience(connect=5, read=5, whole=0.1)
LONG = Patience(connect=10, read=10, whole=60)


def webhooks_to(receiver: RawReceiver, patience: Patience = LONG, **options) -> Webhooks:
    """Allowed to post to one receiver, by both of its names."""
    hosts = (f"127.0.0.1:{receiver.port}", f"localhost:{receiver.port}", f"hooks.example.com:{receiver.port}")
    return Webhooks(
        SECRET, hosts, True, VirtualClock(), **({"patience": patience, "resolve": nowhere} | options)
    )


def nowhere(host: str, port: int) -> list[str]:
    raise AssertionError(f"nobody is to look {host} up")


def post(receiver: RawReceiver, patience: Patience = LONG, path: str = "/done?a=b") -> int:
    """One delivery by the receiver's address."""
    url = f"http://127.0.0.1:{receiver.port}{path}"
    return webhooks_to(receiver, patience).post(url, "Order-1", b'{"a":"\\u00fc"}')


def test_a_post_arrives_with_a_signature_and_nothing_else():
    """No cookie, no compression, no header that a library adds of its own; the signature is over the bytes."""
    with RawReceiver() as receiver:
        assert 204 == post(receiver)
        (request,) = receiver.requests
    assert request.startswith(b"POST /done?a=b HTTP/1.1\r\n")
    body = request.partition(b"\r\n\r\n")[2]
    signed = b"Order-1.1800000000." + body
    signature = base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()
    assert b'{"a":"\\u00fc"}' == body
    assert {
        "host": f"127.0.0.1:{receiver.port}",
        "accept-encoding": "identity",
        "connection": "close",
        "content-length": "14",
        "content-type": "application/json",
        "user-agent": "fantasm-gcp-webhooks",
        "webhook-id": "Order-1",
        "webhook-timestamp": "1800000000",
        "webhook-signature": f"v1,{signature}",
    } == headers_of(request)


def test_nothing_is_taken_from_the_environment(tmp_path, monkeypatch):
    """Neither a proxy, nor a password of a netrc, nor certificates."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "missing.pem"))
    with RawReceiver() as receiver:
        assert 204 == post(receiver)
        (request,) = receiver.requests
    assert "authorization" not in headers_of(request)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_leads_nowhere(status):
    """Its receiver is not asked, even if it is one that is allowed."""
    with RawReceiver() as other:
        location = f"Location: http://127.0.0.1:{other.port}/\r\nRefresh: 0; url=/other\r\n"
        with RawReceiver(
            f"HTTP/1.1 {status} Moved\r\n{location}Content-Length: 0\r\n\r\n".encode()
        ) as receiver:
            webhooks = Webhooks(
                SECRET, (f"127.0.0.1:{receiver.port}", f"127.0.0.1:{other.port}"), True, VirtualClock()
            )
            assert status == webhooks.post(f"http://127.0.0.1:{receiver.port}/", "Order-1", b"{}")
    assert (1, 0) == (len(receiver.requests), len(other.requests))


def test_an_answer_is_taken_by_its_status_whatever_its_body():
    """One without an end, one that is torn, one that unpacks to more than it is, one that does not come."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    bodies = [
        b"Content-Length: 100\r\n\r\ntorn",
        b"Transfer-Encoding: chunked\r\n\r\nno chunk",
        b"Content-Encoding: gzip\r\n\r\nno gzip",
        b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb), bomb),
        b"Content-Encoding: unheard-of\r\nContent-Type: \xff\r\nContent-Length: 0\r\n\r\n",
    ]
    for body in bodies:
        with RawReceiver(b"HTTP/1.1 200 OK\r\n" + body) as receiver:
            assert 200 == post(receiver)


def test_a_body_without_end_is_left_and_its_connection_closed():
    """Only its beginning is read."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        endless(b"more and more " * 1000)(connection)

    with RawReceiver(answer) as receiver:
        assert 200 == post(receiver)
        assert receiver.answered.wait(10)


def test_a_body_that_does_not_come_is_not_waited_for_longer_than_an_answer():
    """The status counts all the same."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n")
        connection.recv(1)

    with RawReceiver(answer) as receiver:
        assert 202 == post(receiver, SHORT)


def test_a_silent_receiver_is_given_up():
    """It took the request and says nothing."""
    with RawReceiver(lambda connection: connection.recv(1)) as receiver:
        with pytest.raises(ConnectionError, match=r"^127\.0\.0\.1:\d+: .*timed out"):
            post(receiver, SHORT)
        assert receiver.answered.wait(10)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 1000 High\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=lambda answer: f"{answer[:20]!r}-{len(answer)}",
)
def test_what_is_no_answer_is_a_failed_attempt(answer):
    """Nothing, no HTTP, numbers that are no status, headers that are too many or too long."""
    with RawReceiver(answer) as receiver, pytest.raises(ConnectionError, match=r"^127\.0\.0\.1:\d+: "):
        post(receiver)


PIECES = [
    *(
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 204",
        b"HTTP/1.1 302 Found",
        b"HTTP/2 200",
        b"HTTP/1.1 100 Continue",
        b"ICY 200",
    ),
    *(b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\xff\xfe", b"\xe2\x80\xa8"),
    *(
        b"Content-Length: 1, 2",
        b"Content-Length: -5",
        b"Content-Length: 99999999999999999999",
        b"Content-Length: x",
    ),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"ffffffffffffffff", b"-1", b"0"),
    *(b"Content-Encoding: gzip", b"Content-Encoding: a, b, c", b"Content-Type: text/html; charset=\xff"),
    *(
        b"Set-Cookie: a=b; expires=never; domain=.",
        b"Set-Cookie: =;=;",
        b"Location: http://[",
        b"Location: //\xff",
    ),
    *(
        b"Connection: upgrade",
        b"Retry-After: tomorrow",
        b"WWW-Authenticate: Basic",
        b"Date: \xff",
        b"<html>",
        b"{}",
    ),
]


def test_an_answer_of_any_bytes_is_a_status_or_a_failed_attempt():
    """Pieces of answers put together at random: nothing else is raised, whatever a library makes of them."""
    chance, made = random.Random(5), []

    def answer(connection: socket.socket) -> None:
        start = chance.choice([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n", b""])
        made.append(start + b"".join(chance.choices(PIECES, k=chance.randint(0, 8))))
        connection.sendall(made[-1])

    with RawReceiver(answer) as receiver:
        statuses = [_status_or_none(receiver) for _ in range(400)]
    assert 400 == len(made)
    assert {None, 200} <= set(statuses)


def _status_or_none(receiver: RawReceiver) -> int | None:
    try:
        return post(receiver)
    except ConnectionError:
        return None


def test_an_answer_that_never_comes_to_the_point_is_cut():
    """Each piece comes in time, so only the limit of the whole ends it."""
    with (
        RawReceiver(endless(b"HTTP/1.1 100 Continue\r\n\r\n")) as receiver,
        pytest.raises(ConnectionError, match=r"no answer within 0\.1 seconds"),
    ):
        post(receiver, CUT)


def test_nobody_there_is_told_without_path_and_query():
    """They may hold a token, and failures are logged."""
    with RawReceiver() as receiver:
        pass
    secret = "nekot"[::-1]  # so that a traceback does not have it from this line
    with pytest.raises(ConnectionError, match=r"no connection to 127\.0\.0\.1") as raised:
        post(receiver, path=f"/{secret}?{secret}")
    assert secret not in "".join(traceback.format_exception(raised.value))


# Looking hosts up


def test_a_host_is_looked_up_once_and_what_was_checked_is_connected_to():
    """The name is known to nobody else: a connection that the libraries made would not come here."""
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["8.8.8.8"]

    with RawReceiver() as receiver:
        webhooks = webhooks_to(receiver, resolve=resolve)
        assert 204 == webhooks.post(f"http://localhost:{receiver.port}/", "Order-1", b"{}")
        assert [("localhost", receiver.port)] == asked
        assert f"localhost:{receiver.port}" == headers_of(receiver.requests[0])["host"]


@pytest.mark.parametrize(
    "found", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["127.0.0.1", "169.254.169.254"], ["::ffff:127.0.0.1"]]
)
def test_a_host_that_leads_inside_is_not_connected_to(found):
    """One address that is not public is enough, wherever it stands."""
    with RawReceiver() as receiver:
        webhooks = webhooks_to(receiver, resolve=lambda host, port: found)
        with pytest.raises(ConnectionError, match="is not a public address; FANTASM_WEBHOOK_HOSTS can allow"):
            webhooks.post(f"https://hooks.example.com:{receiver.port}/", "Order-1", b"{}")
    assert [] == receiver.requests


def test_a_host_that_nobody_knows_is_a_failed_attempt():
    """It may be known later."""

    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with RawReceiver() as receiver:
        webhooks = webhooks_to(receiver, resolve=resolve)
        with pytest.raises(ConnectionError, match=r"^hooks\.example\.com:\d+: .*Name or service not known"):
            webhooks.post(f"https://hooks.example.com:{receiver.port}/", "Order-1", b"{}")


def test_the_next_address_is_tried_where_one_takes_no_connection():
    """A few of them; the request is sent once."""
    with RawReceiver() as receiver:
        url = f"http://localhost:{receiver.port}/"
        found = ["127.0.0.2", "127.0.0.1"]
        webhooks = webhooks_to(receiver, resolve=lambda host, port: found)
        assert 204 == webhooks.post(url, "Order-1", b"{}")
        assert 1 == len(receiver.requests)
        found[:] = [f"127.0.0.{i}" for i in range(2, MOST_ADDRESSES + 2)] + ["127.0.0.1"]
        with pytest.raises(ConnectionError, match=r"no connection to 127\.0\.0\.2: .*; 127\.0\.0\.3: "):
            webhooks.post(url, "Order-1", b"{}")
        found.clear()
        with pytest.raises(ConnectionError, match="no connection"):
            webhooks.post(url, "Order-1", b"{}")


def test_this_machine_is_looked_up_by_the_system():
    """Without a function of the test's."""
    with RawReceiver() as receiver:
        webhooks = Webhooks(SECRET, (f"localhost:{receiver.port}",), True, VirtualClock())
        assert 204 == webhooks.post(f"http://localhost:{receiver.port}/", "Order-1", b"{}")


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")
def test_an_address_of_ipv6_is_connected_to():
    """It has brackets in the URL and in the header, and none where it is connected to."""
    try:
        receiver = RawReceiver(host="::1")
    except OSError:
        pytest.skip("there is no IPv6 on this machine")
    with receiver:
        webhooks = Webhooks(SECRET, (f"[::1]:{receiver.port}",), True, VirtualClock(), resolve=nowhere)
        assert 204 == webhooks.post(f"http://[0:0::1]:{receiver.port}/", "Order-1", b"{}")
        assert f"[::1]:{receiver.port}" == headers_of(receiver.requests[0])["host"]


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def deliver_to_name(receiver: RawReceiver, authority: Authority | None, patience: Patience = LONG) -> int:
    """One delivery by a name that leads to this machine."""
    webhooks = webhooks_to(
        receiver,
        patience,
        resolve=lambda host, port: ["127.0.0.1"],
        authorities=str(authority.file) if authority else None,
    )
    return webhooks.post(f"https://hooks.example.com:{receiver.port}/done", "Order-1", b"{}")


def test_the_certificate_is_that_of_the_name_and_not_of_the_address(authority):
    """The receiver is told which name is meant before it shows a certificate."""
    context, asked = authority.context_for("hooks.example.com"), []
    context.sni_callback = lambda connection, name, _: asked.append(name)
    with RawReceiver(context=context) as receiver:
        assert 204 == deliver_to_name(receiver, authority)
        assert f"hooks.example.com:{receiver.port}" == headers_of(receiver.requests[0])["host"]
    assert ["hooks.example.com"] == asked


def test_another_hosts_certificate_is_refused(authority):
    """Nothing is sent."""
    with (
        RawReceiver(context=authority.context_for("other.example.com")) as receiver,
        pytest.raises(ConnectionError, match=r"certificate is not valid for 'hooks\.example\.com'"),
    ):
        deliver_to_name(receiver, authority)
    assert [] == receiver.requests


def test_a_certificate_of_an_unknown_authority_is_refused(authority):
    """Only those are trusted that everybody trusts."""
    with (
        RawReceiver(context=authority.context_for("hooks.example.com")) as receiver,
        pytest.raises(ConnectionError, match="certificate verify failed"),
    ):
        deliver_to_name(receiver, None)
    assert [] == receiver.requests


def test_an_encrypted_answer_that_never_comes_to_the_point_is_cut(authority):
    """The limit of the whole holds under TLS, too."""
    context = authority.context_for("hooks.example.com")
    with (
        RawReceiver(endless(b"HTTP/1.1 100 Continue\r\n\r\n"), context=context) as receiver,
        pytest.raises(ConnectionError, match=r"no answer within 0\.5 seconds"),
    ):
        deliver_to_name(receiver, authority, Patience(connect=5, read=5, whole=0.5))


def test_a_receiver_without_encryption_gets_nothing(authority):
    """It answers what is no beginning of TLS."""
    with (
        RawReceiver(b"HTTP/1.1 400 Bad Request\r\n\r\n") as receiver,
        pytest.raises(ConnectionError, match=r"hooks\.example\.com"),
    ):
        deliver_to_name(receiver, authority, Patience(connect=0.1, read=0.1, whole=5))
    assert [] == receiver.requests
