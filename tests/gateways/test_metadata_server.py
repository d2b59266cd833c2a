"""What the metadata server is asked, and what is made of its answers."""

from __future__ import annotations

import gzip
import threading

import pytest
import responses
from raw_receiver import RawReceiver
from requests.exceptions import ConnectTimeout, ReadTimeout

from fantasm_gcp.errors import UnverifiedError
from fantasm_gcp.gateways.direct_requests import get
from fantasm_gcp.gateways.metadata import MOST_BYTES, PAUSES, TIMEOUT, Metadata
from fantasm_gcp.settings import CLOUD_RUN, Settings, complete

HOST = "metadata.google.internal"
ROOT = f"http://{HOST}/computeMetadata/v1/"
GOOGLE = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}


@pytest.fixture
def pauses():
    """The seconds that were waited, in order."""
    return []


@pytest.fixture
def metadata(pauses):
    return Metadata(HOST, pauses.append)


def answer_of(content: bytes, *headers: str, status="200 OK") -> bytes:
    lines = (f"HTTP/1.1 {status}", "Metadata-Flavor: Google", f"Content-Length: {len(content)}", *headers)
    return "\r\n".join((*lines, "", "")).encode() + content


@responses.activate
def test_a_value_is_asked_for_once(metadata):
    """With the header without which the server answers nobody."""
    responses.get(ROOT + "instance/region", body="projects/1/regions/europe-west6\n", headers=GOOGLE)
    for _ in range(3):
        assert "projects/1/regions/europe-west6" == metadata.find("instance/region")
    assert 1 == len(responses.calls)
    assert "Google" == responses.calls[0].request.headers["Metadata-Flavor"]


@responses.activate
def test_each_path_has_its_own_value(metadata):
    """One answer is never another's."""
    for name in ("project-id", "numeric-project-id"):
        responses.get(f"{ROOT}project/{name}", body=name, headers=GOOGLE)
    assert "project-id" == metadata.find("project/project-id")
    assert "numeric-project-id" == metadata.find("project/numeric-project-id")
    assert "project-id" == metadata.find("project/project-id")


@responses.activate
@pytest.mark.parametrize(
    "answer", [{"status": 404, "body": "<html>not found"}, {"body": ""}, {"body": " \n"}]
)
def test_what_is_not_there_is_empty_and_asked_for_again(metadata, answer):
    """An account may be given to the machine later."""
    path = "instance/service-accounts/default/email"
    responses.get(ROOT + path, headers=GOOGLE, **answer)
    assert "" == metadata.find(path)
    responses.replace(responses.GET, ROOT + path, body="me@example.com", headers=GOOGLE)
    assert "me@example.com" == metadata.find(path)


@responses.activate
@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "google"}, {"Metadata-Flavor": ""}])
def test_what_is_not_the_metadata_server_says_nothing(metadata, status, headers):
    """Networks answer for names that they do not know: that is no project, and no lack of one."""
    responses.get(ROOT + "project/project-id", status=status, body="evil", headers=headers)
    with pytest.raises(UnverifiedError, match="does not say project/project-id: what answers is not it"):
        metadata.find("project/project-id")


@responses.activate
@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 403, 429])
def test_another_status_is_no_answer(metadata, pauses, status):
    """Nor is it asked again at once, and a redirect is not followed."""
    headers = {**GOOGLE, "Location": "http://evil.example.com/"}
    body = "" if status == 204 else "evil"
    responses.get(ROOT + "project/project-id", status=status, body=body, headers=headers)
    with pytest.raises(UnverifiedError, match=f"it answers {status}"):
        metadata.find("project/project-id")
    assert 1 == len(responses.calls)
    assert [] == pauses


@responses.activate
@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"one\ntwo", b"a\x00b", b"a\x1b[0m", "a\u2028b".encode(), b"x" * (MOST_BYTES + 1)]
)
def test_what_is_no_value_is_no_answer(metadata, body):
    """It would become a setting, and stand in logs."""
    responses.get(ROOT + "project/project-id", body=body, headers=GOOGLE)
    with pytest.raises(UnverifiedError, match="does not say project/project-id"):
        metadata.find("project/project-id")


@responses.activate
@pytest.mark.parametrize(
    "failure",
    [
        {"body": ConnectionResetError()},
        {"body": ConnectTimeout()},
        {"body": ReadTimeout()},
        {"status": 500},
        {"status": 503},
    ],
    ids=["reset", "connection", "answer", "500", "503"],
)
def test_three_attempts_are_made_where_nothing_answers(metadata, pauses, failure):
    """With pauses between them; the next question begins anew."""
    for each in (failure, failure, {"body": "orders"}, failure, failure, failure):
        responses.get(ROOT + "project/project-id", headers=GOOGLE, **each)
    assert "orders" == metadata.find("project/project-id")
    assert list(PAUSES) == pauses
    other = Metadata(HOST, pauses.append)
    with pytest.raises(UnverifiedError, match="does not say project/project-id"):
        other.find("project/project-id")
    assert 6 == len(responses.calls)
    assert list(PAUSES) * 2 == pauses


@responses.activate
def test_each_attempt_has_little_time(metadata):
    """What App Engine documents: the first request of a process waits for this."""
    responses.get(ROOT + "project/project-id", body="orders", headers=GOOGLE)
    metadata.find("project/project-id")
    assert TIMEOUT == responses.calls[0].request.req_kwargs["timeout"]
    assert max(TIMEOUT) <= 2


def test_nobody_listening_is_told(pauses):
    """Over a real connection that is refused."""
    with RawReceiver() as receiver:
        port = receiver.port
    with pytest.raises(UnverifiedError, match="does not say project/project-id"):
        Metadata(f"127.0.0.1:{port}", pauses.append).find("project/project-id")


@pytest.mark.parametrize("host", ["", "..", "a b", "[", "127.0.0.1:99999999", "x" * 300])
def test_a_host_that_is_none_is_told(pauses, host):
    """Whatever the environment says."""
    with pytest.raises(UnverifiedError, match="does not say project/project-id"):
        Metadata(host, pauses.append).find("project/project-id")


def test_many_threads_ask_once():
    """The others wait for the one answer."""
    with RawReceiver(answer_of(b"orders")) as receiver:
        metadata = Metadata(f"127.0.0.1:{receiver.port}")
        barrier, found = threading.Barrier(8), []

        def find():
            barrier.wait(10)
            found.append(metadata.find("project/project-id"))

        threads = [threading.Thread(target=find) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(10)
    assert ["orders"] * 8 == found
    assert 1 == len(receiver.requests)


def test_the_environment_does_not_say_who_is_asked(monkeypatch, tmp_path):
    """No proxy gets between, no password of a netrc is sent, and no packed answer is asked for."""
    with RawReceiver(answer_of(b"proxy")) as proxy, RawReceiver(answer_of(b"orders")) as receiver:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login ann password hunter2\n")
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert "orders" == Metadata(f"127.0.0.1:{receiver.port}").find("project/project-id")
    assert [] == proxy.requests
    asked = receiver.requests[0].lower()
    assert asked.startswith(b"get /computemetadata/v1/project/project-id http/1.1\r\n")
    assert b"\r\nmetadata-flavor: google\r\n" in asked
    assert b"\r\naccept-encoding: identity\r\n" in asked
    assert b"authorization" not in asked


@responses.activate
def test_the_settings_are_completed_with_what_is_found(metadata):
    """As an application on Cloud Run does it."""
    for path, value in {
        "project/project-id": "orders",
        "project/numeric-project-id": "123",
        "instance/region": "projects/123/regions/europe-west6",
        "instance/service-accounts/default/email": "run@orders.iam.gserviceaccount.com",
    }.items():
        responses.get(ROOT + path, body=value, headers=GOOGLE)
    settings = complete(Settings.from_environ({"K_SERVICE": "shop"}), metadata.find)
    assert CLOUD_RUN == settings.runtime
    assert "https://shop-123.europe-west6.run.app" == settings.audience
    assert "run@orders.iam.gserviceaccount.com" == settings.service_account


# One GET


def test_an_answer_is_read_to_the_limit_and_not_further():
    """Exactly so much is an answer; one byte more is none."""
    for size in (99, 100):
        with RawReceiver(answer_of(b"x" * size)) as receiver:
            answer = get(f"http://127.0.0.1:{receiver.port}/", headers={}, timeout=(5, 5), most=100)
        assert (200, size) == (answer.status, len(answer.content))
    with (
        RawReceiver(answer_of(b"x" * 101)) as receiver,
        pytest.raises(ConnectionError, match="larger than 100 bytes"),
    ):
        get(f"http://127.0.0.1:{receiver.port}/", headers={}, timeout=(5, 5), most=100)


def test_a_packed_answer_stays_packed():
    """Nobody asked for one; unpacked it could be of any size."""
    packed = gzip.compress(b"x" * 10_000_000)
    with RawReceiver(answer_of(packed, "Content-Encoding: gzip")) as receiver:
        answer = get(f"http://127.0.0.1:{receiver.port}/", headers={}, timeout=(5, 5), most=100_000)
    assert packed == answer.content


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_half_an_answer_is_none(sent):
    """A server that goes away in between has said nothing."""
    with RawReceiver(sent) as receiver, pytest.raises(ConnectionError):
        get(f"http://127.0.0.1:{receiver.port}/", headers={}, timeout=(5, 5), most=100)
