"""Start tokens: what they grant, to whom they are no use, and that a replay starts nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from itsdangerous import Signer, URLSafeSerializer
from operated import DEFINITIONS, Seen

from fantasm_gcp.cli.main import main
from fantasm_gcp.core.signing import parse_keys
from fantasm_gcp.errors import IdentityError, SettingsError, StartError
from fantasm_gcp.testing import Harness
from fantasm_gcp.web.start_tokens import (
    LONGEST,
    MOST_EXPIRES,
    TOKEN_ARGUMENT,
    StartGrant,
    make_start_token,
    read_start_token,
    start_path,
)

SECRET = "a-secret-of-more-than-twenty-four-bytes"
OTHER = "whsec_" + "QUJD" * 8
NOW = 1_795_319_483.5


def made(context: dict[str, Any] | None = None, **options: Any) -> str:
    options = {"secret": SECRET, "machine": "Walk", "expires": 60, "now": NOW} | options
    secret, machine = options.pop("secret"), options.pop("machine")
    return make_start_token(secret, machine, context or {}, **options)


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"a": "1", "b": [1, 2.5, True, None, {"c": "ü\u202e\x00😀"}]},
        {"a": "x" * 100_000},
        {"n": 2**70},
    ],
)
def test_a_token_grants_what_it_was_made_with(context: dict[str, Any]) -> None:
    """To the value; text that repeats is packed, so that a token stays short."""
    token = made(context, nonce="order-17")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token)
    grant = read_start_token(SECRET, token, NOW)
    assert StartGrant("Walk", context, "order-17", 1_795_319_544) == grant


def test_tokens_have_nonces_of_their_own() -> None:
    """Two links are two instances."""
    nonces = {read_start_token(SECRET, made(), NOW).nonce for _ in range(20)}
    assert 20 == len(nonces)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in nonces)


@pytest.mark.parametrize(("later", "is_good"), [(0, True), (60.4, True), (60.5, False), (1e9, False)])
def test_a_token_is_good_for_its_time(later: float, is_good: bool) -> None:
    """And rounded up to a second."""
    token = made(expires=60)
    if is_good:
        read_start_token(SECRET, token, NOW + later)
    else:
        with pytest.raises(IdentityError, match="expired"):
            read_start_token(SECRET, token, NOW + later)


def test_secrets_rotate() -> None:
    """The first signs, all verify; one that is gone opens nothing any more."""
    old, new = made(secret=OTHER), made(secret=f"{SECRET} {OTHER}")
    for secret in (f"{SECRET} {OTHER}", f"{OTHER} {SECRET}", SECRET):
        assert "Walk" == read_start_token(secret, new, NOW).machine
    with pytest.raises(IdentityError):
        read_start_token(OTHER, new, NOW)
    assert "Walk" == read_start_token(f"{SECRET} {OTHER}", old, NOW).machine
    with pytest.raises(IdentityError):
        read_start_token(SECRET, old, NOW)


def signed(content: Any, **changes: Any) -> str:
    """What somebody with the secret can sign, who is not this library."""
    signing = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    options = {"salt": "fantasm_gcp.start.v1", "signer_kwargs": signing} | changes
    return str(URLSafeSerializer(list(parse_keys(SECRET)), **options).dumps(content))


CONTENT = {"m": "Walk", "c": {}, "n": "n", "e": 2_000_000_000}


def test_the_tokens_of_the_next_tests_are_nearly_good() -> None:
    """What they change is what makes them bad."""
    assert "n" == read_start_token(SECRET, signed(CONTENT), NOW).nonce


BAD_TOKENS = [
    "",
    ".",
    "..",
    "a.b",
    "a" * LONGEST,
    "." * LONGEST,
    ".eJw." + "A" * 40,
    "\u00e9.x",
    "\ud800",
    "a b",
    "a\n",
    "\x00",
    signed(CONTENT) + "A",
    signed(CONTENT)[:-1],
    signed(CONTENT)[1:],
    "." + signed(CONTENT),
    signed(CONTENT).upper(),
    signed(CONTENT) + "\n",
    signed(CONTENT, salt="fantasm_gcp.start.v2"),
    signed(CONTENT, salt="itsdangerous"),
    signed(CONTENT, signer_kwargs={"key_derivation": "hmac"}),
    signed(CONTENT, signer_kwargs={"key_derivation": "none"}),
    signed([]),
    signed("Walk"),
    signed(None),
    signed({**CONTENT, "e": "2000000000"}),
    signed({**CONTENT, "e": None}),
    signed({each: CONTENT[each] for each in "mcn"}),
    made(secret=OTHER, nonce="n"),
]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=map(str, range(len(BAD_TOKENS))))
def test_what_was_not_made_here_is_refused(token: str) -> None:
    """Whatever it is, and never as anything but an IdentityError."""
    with pytest.raises(IdentityError):
        read_start_token(SECRET, token, NOW)


def test_every_changed_character_is_noticed() -> None:
    """A token is good to the last bit that counts."""
    token = made({"a": "b"})
    for at in range(len(token) - 1):  # the last one has bits that no byte has
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(IdentityError):
            read_start_token(SECRET, changed, NOW)


def test_nothing_is_unpacked_before_the_signature_is_good() -> None:
    """A small token may stand for a thousand times its size."""
    bomb = Signer(b"x" * 24).sign(b"." + b"eJw" + b"A" * 100).decode()
    with pytest.raises(IdentityError):
        read_start_token(SECRET, bomb, NOW)


@pytest.mark.parametrize("secret", ["", " "])
def test_without_a_secret_no_token_is_made_or_read(secret: str) -> None:
    """Nothing is signed with nothing."""
    with pytest.raises(SettingsError, match="FANTASM_START_SECRET"):
        made(secret=secret)
    with pytest.raises(IdentityError):
        read_start_token(secret, made(), NOW)


@pytest.mark.parametrize(
    ("context", "options"),
    [
        ({"a": (1, 2)}, {}),
        ({"a": {1: 2}}, {}),
        ({1: 2}, {}),
        ({"a": float("nan")}, {}),
        ({"a": float("inf")}, {}),
        ({"a": b"x"}, {}),
        ({"a": object()}, {}),
        ({"__im__": "1"}, {}),
        ({"__token": "1"}, {}),
        ({"": "x"}, {}),
        ({"a\n": "x"}, {}),
        ({"x" * 501: "x"}, {}),
        ({"a": "half \ud800"}, {}),
        ({"a": hashlib.shake_256(b"").hexdigest(3000)}, {}),
        ({}, {"expires": MOST_EXPIRES + 1}),
        ({}, {"expires": float("inf")}),
        ({}, {"expires": float("nan")}),
        ({}, {"nonce": ""}),
        ({}, {"nonce": "a b"}),
        ({}, {"nonce": "x" * 501}),
    ],
)
def test_what_cannot_be_granted_is_refused_when_it_is_asked_for(
    context: dict[Any, Any], options: dict[str, Any]
) -> None:
    """Not when the token is used: whoever has it then can do nothing about it."""
    with pytest.raises(StartError):
        made(context, **options)


@pytest.fixture
def harness() -> Iterator[Harness]:
    Seen.by_state.clear()
    settings = {"mode": "", "start_secret": SECRET}
    with Harness(DEFINITIONS, settings=settings) as made:
        yield made


def url(
    harness: Harness, machine: str = "Walk", context: dict[str, Any] | None = None, **options: Any
) -> str:
    options = {"now": harness.clock(), "machine": machine} | options
    return start_path("/fantasm", machine, made(context, **options))


def instances(harness: Harness) -> list[Any]:
    return list(harness.datastore.query(kind="FantasmInstance").fetch())


def test_a_token_opens_a_start_and_its_replay_answers_the_same(harness: Harness) -> None:
    """By POST, or by a GET that asks for JSON, in the query or in a form, as often as it comes."""
    path = url(harness, "Walk", {"a": "b"}, nonce="order-17")
    token, json = path.partition("=")[2], {"Accept": "application/json"}
    first = harness.client.get(path, headers=json)
    assert (200, True) == (first.status_code, first.json["created"])
    for again in (
        harness.client.get(path, headers=json),
        harness.client.post(path),
        harness.client.post("/fantasm/fsm/Walk/", data={TOKEN_ARGUMENT: token}),
        harness.client.post(url(harness, "Walk", {"a": "b"}, nonce="order-17")),
    ):
        assert (200, False, first.json["instance"]) == (
            again.status_code,
            again.json["created"],
            again.json["instance"],
        )
    assert 1 == len(instances(harness))


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"query_string": {"a": "c"}}, 400),
        ({"query_string": {"a": "b"}}, 400),
        ({"query_string": {"method": "GET"}}, 400),
        ({"query_string": {"__im__": "1"}}, 400),
        ({"method": "POST", "data": {"x": "1"}}, 400),
        ({"method": "POST", "json": {"x": "1"}}, 400),
        ({"method": "POST", "json": {}}, 400),
        ({"method": "POST", "data": b"x", "content_type": "text/plain"}, 400),
        ({"method": "POST", "data": {"x": "y" * 20_000}}, 413),
        ({"headers": {"Idempotency-Key": "mine"}}, 400),
        ({"headers": {"X-Fantasm-On-Complete": "Walk"}}, 400),
        ({"headers": {"x-fantasm-queue": "other"}}, 400),
        ({"headers": {"X-FANTASM-STEP": "s"}}, 400),
    ],
)
def test_a_request_with_a_token_adds_nothing_to_it(
    harness: Harness, options: dict[str, Any], status: int
) -> None:
    """No argument, no queue, nobody who is told, no key: nothing is started."""
    path, _, query = url(harness).partition("?")
    given = {TOKEN_ARGUMENT: query.partition("=")[2]} | options.pop("query_string", {})
    answer = harness.client.open(path, query_string=given, **options)
    assert (status, []) == (answer.status_code, instances(harness)), answer.text


def test_two_tokens_are_none(harness: Harness) -> None:
    """Which one was verified would not be clear."""
    one, other = (url(harness).partition("=")[2] for _ in range(2))
    for given in (
        {"path": "/fantasm/fsm/Walk/", "query_string": f"__token={one}&__token={other}"},
        {
            "path": "/fantasm/fsm/Walk/",
            "query_string": f"__token={one}",
            "method": "POST",
            "data": {"__token": other},
        },
    ):
        assert 400 == harness.client.open(**given).status_code
    assert [] == instances(harness)


@pytest.mark.parametrize(
    ("machine", "options", "path"),
    [
        ("Work", {}, "/fantasm/fsm/Walk/"),
        ("Walk", {"now": 0}, "/fantasm/fsm/Walk/"),
        ("Walk", {"secret": OTHER}, "/fantasm/fsm/Walk/"),
        ("Walk", {}, "/fantasm/"),
        ("Walk", {}, "/fantasm/api/machines"),
        ("Walk", {}, "/fantasm/sweep"),
        ("Walk", {}, "/fantasm/api/holds"),
        ("Walk", {}, "/fantasm/fsm/Walk/First/ok/Second/"),
    ],
)
def test_a_token_opens_nothing_else(
    harness: Harness, machine: str, options: dict[str, Any], path: str
) -> None:
    """Another machine, another path, too late, or not ours."""
    token = made(machine=machine, **({"now": harness.clock()} | options))
    for method in ("GET", "POST"):
        answer = harness.client.open(path, method=method, query_string={TOKEN_ARGUMENT: token})
        assert answer.status_code in (401, 403), path
        assert token not in answer.text
    assert [] == instances(harness)


def test_a_token_in_a_large_form_is_not_looked_for(harness: Harness) -> None:
    """Nobody has a megabyte read before it is known who it is from."""
    token = url(harness).partition("=")[2]
    form = {TOKEN_ARGUMENT: token, "x": "y" * 20_000}
    assert harness.client.post("/fantasm/fsm/Walk/", data=form).status_code in (401, 403)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    (tmp_path / "fsm.yaml").write_text(
        "root_url: /work\n"
        "state_machines:\n"
        "- name: Hello\n"
        "  states:\n"
        "  - {name: Only, initial: True, final: True, action: actions.Greet}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FANTASM_START_SECRET", SECRET)
    return monkeypatch


def run(*arguments: str) -> tuple[int, str]:
    answer = CliRunner().invoke(main, ["token", *arguments])
    return answer.exit_code, answer.output.strip()


def test_the_command_prints_a_url_that_starts(environ: pytest.MonkeyPatch) -> None:
    """Under the root of the definitions, or the one that --url names."""
    code, text = run("Hello", "a=1", "b[]=2", "--expires", "2d", "--key", "k", "--url", "https://x.example")
    address, _, token = text.partition("/fsm/Hello/?__token=")
    grant = read_start_token(SECRET, token, NOW)
    assert (0, "https://x.example/work", {"a": "1", "b": ["2"]}, "k") == (
        code,
        address,
        grant.context,
        grant.nonce,
    )
    assert run("Hello", "--url", "https://x.example/there/")[1].startswith(
        "https://x.example/there/fsm/Hello/"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Helo"], "did you mean 'Hello'"),
        (["Hello", "a"], "is not like name=value"),
        (["Hello", "__im__=1"], "is reserved"),
        (["Hello", "--expires", "0s"], "no time like"),
        (["Hello", "--expires", "1"], "no time like"),
        (["Hello", "--expires", "1w"], "no time like"),
        (["Hello", "--expires", "\u0661h"], "no time like"),
        (["Hello", "--expires", "11d"], "864,000 seconds at most"),
        (["Hello", "--key", "a b"], "nonce"),
        (["Hello", "--url", "x.example"], "no URL like"),
    ],
)
def test_the_command_says_what_is_wrong(
    environ: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """With the status for wrong usage."""
    code, text = run(*arguments)
    assert (2, True) == (code, words in text), text


def test_the_command_needs_the_secret_and_does_not_say_it(environ: pytest.MonkeyPatch) -> None:
    """A wrong one is named by its variable alone."""
    environ.setenv("FANTASM_START_SECRET", "too-short")
    code, text = run("Hello")
    assert (2, True, False) == (code, "FANTASM_START_SECRET" in text, "too-short" in text)
    environ.delenv("FANTASM_START_SECRET")
    assert "FANTASM_START_SECRET" in run("Hello")[1]
