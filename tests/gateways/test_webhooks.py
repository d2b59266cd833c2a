"""Which webhooks are sent and refused, what a delivery makes of an answer, and the machine that delivers."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
import requests
import responses

from fantasm_gcp.core.context import Context, StepObject
from fantasm_gcp.core.retry import gives_up
from fantasm_gcp.errors import FantasmError, SettingsError, StartError, StepError
from fantasm_gcp.gateways.webhooks import OUTCOME_KEYS, DeliverWebhook, Webhooks, body_of
from fantasm_gcp.loader import BUILT_IN_FILE, load_definitions
from fantasm_gcp.testing import VirtualClock

KEY = "hunter2-" * 4
URL = "https://hooks.example.com/token?token"
OUTCOME = {
    "instance": "Order-20260131225900-0123456789abcdef",
    "machine": "Order",
    "status": "completed",
    "started": "2026-01-31T22:59:00.000Z",
    "ended": "2026-01-31T23:59:00.000Z",
    "parent": None,
    "note": "ümlaut",
    "failed_steps": 0,
    "definition": "0123456789abcdef",
}
BODY = (
    b'{"type":"fantasm.instance.completed","timestamp":"2026-01-31T23:59:00.000Z","data":'
    b'{"instance":"Order-20260131225900-0123456789abcdef","machine":"Order","status":"completed",'
    b'"started":"2026-01-31T22:59:00.000Z","ended":"2026-01-31T23:59:00.000Z","parent":null,'
    b'"note":"\\u00fcmlaut","failed_steps":0,"definition":"0123456789abcdef"}}'
)


def make_webhooks(secret=KEY, hosts=("hooks.example.com",), local=False, **options) -> Webhooks:
    return Webhooks(secret, hosts, local, VirtualClock(), **options)


# What may be posted to


@pytest.mark.parametrize(
    ("webhooks", "url", "words"),
    [
        (make_webhooks(secret=""), URL, "set FANTASM_WEBHOOK_SECRET"),
        (make_webhooks(secret=" \n"), URL, "set FANTASM_WEBHOOK_SECRET"),
        (make_webhooks(hosts=()), URL, "add hooks.example.com to FANTASM_WEBHOOK_HOSTS"),
        (
            make_webhooks(),
            "https://hooks.example.com:81/",
            "add hooks.example.com:81 to FANTASM_WEBHOOK_HOSTS",
        ),
        (make_webhooks(), "https://[::1]/", "add [::1] to FANTASM_WEBHOOK_HOSTS"),
        (make_webhooks(), "https://10.0.0.1/", "add 10.0.0.1 to FANTASM_WEBHOOK_HOSTS"),
        (make_webhooks(local=True), "http://localhost/", "add localhost:80 to FANTASM_WEBHOOK_HOSTS"),
        (make_webhooks(local=True), "https://localhost/", "add localhost to FANTASM_WEBHOOK_HOSTS"),
        (make_webhooks(), "http://hooks.example.com/", "by https:// alone"),
        (make_webhooks(local=True), "http://hooks.example.com/", "by https:// alone"),
        (make_webhooks(hosts=("localhost:80",)), "http://localhost/", "by https:// alone"),
        (make_webhooks(hosts=("10.0.0.1:80",), local=True), "http://10.0.0.1/", "by https:// alone"),
        (make_webhooks(), "hooks.example.com", "has to begin with https://"),
        (make_webhooks(), "https://hooks.example.com@evil.example/", "a user name or password"),
        (make_webhooks(), None, "a URL is a text"),
    ],
)
def test_a_refusal_says_what_to_configure(webhooks, url, words):
    """By the check at a start and by the post itself; nothing is sent, and no path is told."""
    with pytest.raises(StartError) as raised:
        webhooks.check(url)
    assert words in str(raised.value)
    assert "token" not in str(raised.value)
    with pytest.raises(StartError), responses.RequestsMock():
        webhooks.post(url, "Order-1", b"{}")


@pytest.mark.parametrize(
    ("hosts", "local", "url"),
    [
        (("hooks.example.com",), False, URL),
        (("*.example.com",), False, URL),
        (("10.0.0.1:8443",), False, "https://10.0.0.1:8443/"),
        (("localhost:80",), True, "http://localhost/"),
        (("127.8.8.8:80",), True, "http://127.8.8.8/"),
        (("[::1]:9000",), True, "http://[::1]:9000/"),
        (("localhost",), True, "https://localhost/"),
    ],
)
def test_what_is_on_the_list_passes_the_check(hosts, local, url):
    """Without being looked up."""

    def resolve(host, port):
        raise AssertionError("nobody is to be asked")

    make_webhooks(hosts=hosts, local=local, resolve=resolve).check(url)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"secret": "hunter2"}, "FANTASM_WEBHOOK_SECRET cannot be used: secret 1 has 7 bytes"),
        ({"hosts": ("hooks.example.com", "*")}, "FANTASM_WEBHOOK_HOSTS cannot be used"),
    ],
)
def test_settings_that_cannot_be_used_stop_it_at_once(options, words):
    """A setting may come from somewhere else than the environment."""
    with pytest.raises(SettingsError) as raised:
        make_webhooks(**options)
    assert words in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_nothing_that_prints_it_shows_a_secret():
    """As a text, for developers, in a message."""
    webhooks = make_webhooks()
    assert not [each for each in (str(webhooks), repr(webhooks), f"{webhooks}") if "hunter2" in each]


@pytest.mark.parametrize("delivery", ["", "a b", "a\r\nX-Evil: yes", "a.b", "ü", "a" * 501])
def test_a_delivery_is_named_like_an_instance(delivery):
    """A name with a dot could sign for another moment, one with a line break could add headers."""
    with pytest.raises(ValueError, match="is not of letters"), responses.RequestsMock():
        make_webhooks().post(URL, delivery, b"{}")


def test_requests_is_loaded_by_the_first_post():
    """Whoever sends no webhooks does not pay for it."""
    code = (
        "import sys; from fantasm_gcp.gateways.webhooks import Webhooks;"
        "Webhooks('k' * 24, ('a.example',), False, float).check('https://a.example/');"
        "print([each for each in ('requests', 'urllib3', 'google.cloud', 'grpc') if each in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == result.stdout.strip()


# One delivery


def deliver(
    answer: int | Exception, *, webhooks: object = None, **changes: object
) -> list[requests.PreparedRequest]:
    """Runs the action where the receiver answers so; answers what was sent."""
    scope = SimpleNamespace(
        webhooks=webhooks or make_webhooks(),
        instance="FantasmWebhook-1",
        logger=logging.getLogger("fantasm_gcp.actions"),
    )
    context = Context(scope, {"url": URL, "outcome": dict(OUTCOME)} | changes)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as fake:
        if isinstance(answer, Exception):
            fake.post(URL, body=answer)
        else:
            fake.post(URL, status=answer, body="what a receiver says")
        try:
            assert DeliverWebhook().execute(context, StepObject()) is None
        finally:
            sent = [call.request for call in fake.calls]
    assert {"url": URL, "outcome": OUTCOME} | changes == context
    return sent


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_delivery_ends_with_any_2xx(status):
    """One request, signed, with the outcome as its body."""
    (sent,) = deliver(status)
    assert BODY == sent.body
    assert ("POST", URL) == (sent.method, sent.url)
    assert ("FantasmWebhook-1", "1800000000") == (
        sent.headers["webhook-id"],
        sent.headers["webhook-timestamp"],
    )
    assert sent.headers["webhook-signature"].startswith("v1,")


def test_every_attempt_is_the_same_delivery():
    """Its name and its body are equal; two secrets sign with two signatures."""
    webhooks = make_webhooks(secret=f"{KEY} whsec_{base64.b64encode(b'n' * 24).decode()}")
    (first,), (second,) = (deliver(200, webhooks=webhooks) for _ in range(2))
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert 2 == len(first.headers["webhook-signature"].split(" "))


@pytest.mark.parametrize("status", [100, 199, 300, 302, 307, 400, 401, 403, 404, 409, 411, 429, 500, 503])
def test_any_other_answer_is_an_attempt_that_failed(status):
    """It is tried again: even what looks like the request's fault may be mended by the receiver."""
    with pytest.raises(FantasmError, match=f"^hooks.example.com answered {status}, and not 2xx$") as raised:
        deliver(status)
    assert not isinstance(raised.value, StepError)


def test_a_receiver_that_is_gone_is_not_asked_again():
    """The step fails at once."""
    with pytest.raises(StepError, match="answered 410: it wants no more of these"):
        deliver(410)


@pytest.mark.parametrize(
    "trouble",
    [
        requests.ConnectTimeout(f"{URL} timed out"),
        requests.ReadTimeout(f"{URL} timed out"),
        requests.exceptions.SSLError(f"{URL} is not safe"),
        requests.ConnectionError(f"{URL} went away"),
    ],
)
def test_trouble_on_the_way_is_an_attempt_that_failed(trouble):
    """It has the host in front."""
    with pytest.raises(ConnectionError, match=f"^hooks.example.com: {type(trouble).__name__}: "):
        deliver(trouble)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "https://other.example.com/"}, "other.example.com is not allowed"),
        ({"url": "https://u:p@hooks.example.com/"}, "a user name or password"),
        ({"url": None}, "a URL is a text"),
        ({"url": [URL]}, "a URL is a text"),
        ({"outcome": None}, "no outcome"),
        ({"outcome": "completed"}, "no outcome"),
        ({"outcome": {}}, "is none of an instance"),
        ({"outcome": OUTCOME | {"status": "running"}}, "is none of an instance"),
        ({"outcome": OUTCOME | {"status": ["completed"]}}, "is none of an instance"),
        ({"outcome": OUTCOME | {"note": {"a": 1}}}, "is none of an instance"),
        ({"outcome": OUTCOME | {"failed_steps": float("nan")}}, "is none of an instance"),
    ],
)
def test_what_cannot_be_delivered_fails_at_once(changes, words):
    """A URL that the settings refuse by now, and a start by somebody who wrote what is no outcome."""
    with pytest.raises(StepError) as raised:
        deliver(200, **changes)
    assert words in str(raised.value)


def test_without_webhooks_a_delivery_fails_at_once():
    """Where the engine runs without them."""
    scope = SimpleNamespace(webhooks=None, instance="FantasmWebhook-1", logger=logging.getLogger("x"))
    with pytest.raises(StepError, match="not configured"):
        DeliverWebhook().execute(Context(scope, {"url": URL, "outcome": OUTCOME}), StepObject())


@pytest.mark.parametrize(
    ("answer", "level", "begins"),
    [
        (204, "INFO", "hooks.example.com answered 204 after "),
        (503, "INFO", "hooks.example.com answered 503 after "),
        (410, "INFO", "hooks.example.com answered 410 after "),
        (requests.ReadTimeout("timed out"), "WARNING", "no answer after "),
    ],
)
def test_an_attempt_logs_one_line_without_what_is_secret(answer, level, begins, caplog):
    """Who, what and how long; neither the secret nor the path nor the signature."""
    caplog.set_level("DEBUG", "fantasm_gcp")
    try:
        deliver(answer)
    except (FantasmError, ConnectionError):
        assert answer != 204
    (line,) = caplog.records
    assert level == line.levelname
    assert line.getMessage().startswith(begins)
    assert "hooks.example.com" in line.getMessage()
    assert not [each for each in ("hunter2", "token", "v1,", "receiver says") if each in line.getMessage()]


# The body


def test_a_body_is_the_same_bytes_for_the_same_outcome():
    """Whatever the order of the context, and whatever else a later version adds to it."""
    turned = dict(reversed(OUTCOME.items())) | {"more": {"a": 1}}
    assert BODY == body_of(OUTCOME) == body_of(turned)
    assert list(OUTCOME_KEYS) == list(json.loads(BODY)["data"])


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_body_tells_how_it_ended(status):
    """In its type and in its status; what an older version did not tell is null."""
    told = json.loads(body_of({"status": status, "ended": "2026-01-31T23:59:00.000Z", "note": "\ud800"}))
    assert f"fantasm.instance.{status}" == told["type"]
    assert (status, None, "\ud800") == tuple(told["data"][key] for key in ("status", "machine", "note"))


# The machine


def test_the_machine_keeps_its_log_and_gives_up_after_three_days_and_ten_attempts(tmp_path):
    """The first retry comes after 10 seconds, the time between two doubles up to an hour."""
    (tmp_path / "fsm.yaml").write_text(
        "state_machines: [{name: M, states: [{name: S, initial: on, final: on}]}]"
    )
    machine = load_definitions(tmp_path / "fsm.yaml", built_in=BUILT_IN_FILE).machine("FantasmWebhook")
    policy, day = machine.retry, 24 * 3600
    assert machine.persistent_logging
    assert (10, 3600) == (policy.min_backoff_seconds, policy.max_backoff_seconds)
    assert 10 * 2 ** (policy.max_doublings - 1) < 3600 < 10 * 2**policy.max_doublings
    assert [False, False, False, True] == [
        gives_up(policy, attempts, age)
        for attempts, age in ((9, 4 * day), (10, 3 * day), (90, 2 * day), (10, 3 * day + 1))
    ]
    assert f"{DeliverWebhook.__module__}.{DeliverWebhook.__name__}" == machine.initial.action
