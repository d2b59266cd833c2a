"""docs/webhooks.md is true: the request that it prints is what is sent, its receiver verifies what is posted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
import time
from http.server import HTTPServer
from pathlib import Path

import pytest
from raw_receiver import RawReceiver

from fantasm_gcp import Settings
from fantasm_gcp.gateways.checked_connections import MOST_READ, Patience
from fantasm_gcp.gateways.webhooks import USER_AGENT, Webhooks, body_of
from fantasm_gcp.loader import parse_text

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OUTCOME = {
    "instance": "Order-20260131225900-8d2f61c07ab3e594",
    "machine": "Order",
    "status": "failed",
    "started": "2026-01-31T22:59:00.000Z",
    "ended": "2026-01-31T23:59:00.000Z",
    "parent": None,
    "note": None,
    "failed_steps": 2,
    "definition": "9c1185a5c5e9fc54",
}
DELIVERY = "FantasmWebhook-20260131235900-5f0c3bd6a1e94728"


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_request_is_sent_as_it_is_printed():
    """Every byte of it; the secret of the example has the bytes 0 to 31, the host is this machine's."""
    with RawReceiver() as receiver:
        webhooks = Webhooks(SECRET, (f"localhost:{receiver.port}",), True, lambda: 1769903940.5)
        webhooks.post(f"http://localhost:{receiver.port}/orders", DELIVERY, body_of(OUTCOME))
        (request,) = receiver.requests
    (printed,) = blocks_of("http")
    sent = request.decode().replace("\r\n", "\n").replace(f"localhost:{receiver.port}", "hooks.example.com")
    assert printed == sent + "\n"


@pytest.fixture
def example():
    """The receiver as it is printed, with a secret."""
    (code,) = blocks_of("python")
    names = {}
    exec(code, names)
    names["SECRET"] = SECRET
    return names


@pytest.fixture
def served(example):
    """The receiver, serving; answers its port."""
    example["Receiver"].log_message = lambda *_: None
    with HTTPServer(("127.0.0.1", 0), example["Receiver"]) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_receiver_verifies_a_real_post(example, served, capsys):
    """Once: the same delivery again is answered and not worked on."""
    webhooks = Webhooks(SECRET, (f"127.0.0.1:{served}",), True, time.time)
    url = f"http://127.0.0.1:{served}/"
    assert [204, 204] == [webhooks.post(url, DELIVERY, body_of(OUTCOME)) for _ in range(2)]
    assert f"{OUTCOME}\n" == capsys.readouterr().out
    assert {DELIVERY} == example["seen"]


@pytest.mark.parametrize(
    ("secret", "late", "status"),
    [
        (f"another-secret-of-24-bytes {SECRET}", 0, 204),
        (f"{SECRET} another-secret-of-24-bytes", 0, 204),
        ("another-secret-of-24-bytes", 0, 400),
        (SECRET, 400, 400),
        (SECRET, -400, 400),
    ],
)
def test_the_receiver_takes_one_right_signature_of_a_recent_moment(example, served, secret, late, status):
    """Of several while the secret changes; none of another secret, of long ago, or of times to come."""
    webhooks = Webhooks(secret, (f"127.0.0.1:{served}",), True, lambda: time.time() - late)
    assert status == webhooks.post(f"http://127.0.0.1:{served}/", DELIVERY, body_of(OUTCOME))
    assert (status == 204) is (DELIVERY in example["seen"])


def test_the_receiver_takes_nothing_that_was_changed(example):
    """Another delivery, another moment, another byte, no signature, something that is none."""
    signed = f"{DELIVERY}.1000.".encode() + b"{}"
    signature = base64.b64encode(hmac.digest(bytes(range(32)), signed, hashlib.sha256)).decode()
    headers = {"webhook-id": DELIVERY, "webhook-timestamp": "1000", "webhook-signature": f"v1,{signature}"}
    genuine = example["is_genuine"]
    assert genuine(headers, b"{}", SECRET, 1300)
    assert not genuine(headers, b"{} ", SECRET, 1000)
    assert not genuine(headers, b"{}", SECRET, 1301)
    for name, value in [
        *(("webhook-id", each) for each in ("", "another")),
        *(("webhook-timestamp", each) for each in ("", "1001", "1000.0", "²", "-1000", "1_000")),
        *(("webhook-signature", each) for each in ("", "v1,", signature, f"v2,{signature}", "v1,ü", "v1a")),
    ]:
        assert not genuine(headers | {name: value}, b"{}", SECRET, 1000), (name, value)
        assert not genuine({key: each for key, each in headers.items() if key != name}, b"{}", SECRET, 1000)


def test_what_the_page_says_of_settings_can_be_set():
    """Each entry of the list, the local one, and the machine of the example."""
    entries = re.findall(r"^\| `(.*?)` \| (?:this host|every host)", PAGE, re.MULTILINE)
    assert 3 == len(entries)
    environ = {
        "FANTASM_WEBHOOK_HOSTS": ",".join([*entries, "10.1.2.3", "[2001:db8::7]:8443", "localhost:9000"])
    }
    assert 6 == len(Settings.from_environ(environ).webhook_hosts)
    (machine,) = parse_text(blocks_of("yaml")[0], "fsm.yaml")
    webhooks = Webhooks(SECRET, ("hooks.example.com",), False, time.time)
    for url in (*machine.on_complete, *machine.on_failure):
        webhooks.check(url)


def test_the_page_tells_of_every_key():
    """And of no other, but for the statuses."""
    told = json.loads(body_of(OUTCOME))
    table = PAGE[PAGE.index("| `type`") : PAGE.index("Later versions")]
    named = {
        each.removeprefix("data.") for each in re.findall(r"`([a-z_.]+)`", table) if "fantasm" not in each
    }
    assert {"type", "timestamp", *told["data"]} == named
    assert USER_AGENT in PAGE


def test_the_page_has_the_bounds_right():
    """In seconds and in bytes."""
    most = Patience()
    assert (
        f"**Bounds**: {most.connect:g} seconds to connect, {most.read:g} for each next piece of the answer, "
        f"{most.whole:g} for the whole, and {MOST_READ // 1024} KiB of its body"
    ) in " ".join(PAGE.split())
