"""Requests that a page of another site has a browser send: which are refused, and what lets a form in."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import Forbidden

from fantasm_gcp.console.page_tokens import FIELD, HEADER, cookie_name, keep, masked, new_secret, secret_of
from fantasm_gcp.core.access import Caller, Role
from fantasm_gcp.web.forgery import AHEAD, FROM_ELSEWHERE, NOT_OURS, check

PERSON = Caller("olga@example.com", frozenset({Role.OPERATOR}), ambient=True)
PROGRAM = Caller("robot@example.com", frozenset({Role.OPERATOR}))
TASKS = Caller("Cloud Tasks", frozenset({Role.TASKS}))
SECRET = bytes(range(32))
COOKIE = f"{cookie_name(is_local=False)}={base64.urlsafe_b64encode(SECRET).decode().rstrip('=')}"
HOST = "https://app.example.com"
OK = ""


@pytest.fixture(scope="module")
def app() -> Flask:
    blueprint = Blueprint("fantasm", __name__, url_prefix="/fantasm")
    for path, endpoint in (
        ("/fsm/<machine>/", "start"),
        ("/fsm/<machine>/<state>/<event>/<target>/", "step"),
        ("/sweep", "sweep"),
        ("/", "console_home"),
        ("/holds", "hold"),
    ):
        blueprint.add_url_rule(path, endpoint, lambda **_: "", methods=["GET", "POST", "DELETE"])
    made = Flask("forged")
    made.register_blueprint(blueprint)
    return made


def verdict(app: Flask, path: str, caller: Caller = PERSON, *, is_local: bool = False, **options: Any) -> str:
    """What a request is refused with; empty where it is let through."""
    with app.test_request_context(f"/fantasm{path}", base_url=HOST, **options):
        try:
            check(request, caller, is_local=is_local)
        except Forbidden as error:
            return str(error.description)
        return OK


SAME, NONE, CROSS, SIBLING = (
    {"Sec-Fetch-Site": each} for each in ("same-origin", "none", "cross-site", "same-site")
)
LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
LOGIN = {"Cookie": "session=1"}

POSTS: list[tuple[dict[str, str], str]] = [
    ({}, OK),
    ({"Accept": "text/html"}, OK),
    (SAME, NOT_OURS),
    (NONE, NOT_OURS),
    (CROSS, FROM_ELSEWHERE),
    (CROSS | LINK, FROM_ELSEWHERE),
    (SIBLING | LINK, FROM_ELSEWHERE),
    ({"Sec-Fetch-Site": ""}, FROM_ELSEWHERE),
    ({"Sec-Fetch-Site": "same-origin, cross-site"}, FROM_ELSEWHERE),
    ({"Sec-Fetch-Site": "SAME-ORIGIN"}, FROM_ELSEWHERE),
    (CROSS | {"Origin": HOST}, FROM_ELSEWHERE),
    ({"Origin": "https://evil.example"}, FROM_ELSEWHERE),
    ({"Origin": "null"}, FROM_ELSEWHERE),
    ({"Origin": ""}, FROM_ELSEWHERE),
    ({"Origin": "https://[::1"}, FROM_ELSEWHERE),
    ({"Origin": "https://app.example.com.evil.example"}, FROM_ELSEWHERE),
    ({"Origin": "https://app.example.com:8443"}, FROM_ELSEWHERE),
    ({"Origin": "https://app.example.com@evil.example"}, FROM_ELSEWHERE),
    ({"Origin": "https://evil.example", "Referer": f"{HOST}/fantasm/"}, FROM_ELSEWHERE),
    ({"Referer": "https://evil.example/"}, FROM_ELSEWHERE),
    ({"Referer": ""}, FROM_ELSEWHERE),
    ({"Origin": HOST}, NOT_OURS),
    ({"Origin": "https://APP.example.com"}, NOT_OURS),
    ({"Referer": f"{HOST}/fantasm/"}, NOT_OURS),
    (LOGIN, NOT_OURS),
    ({"Sec-Fetch-Mode": "cors"}, NOT_OURS),
    ({"sec-fetch-user": "?1"}, NOT_OURS),
]


@pytest.mark.parametrize(("headers", "expected"), POSTS)
@pytest.mark.parametrize("path", ["/holds", "/fsm/Walk/"])
def test_a_post_without_a_token_is_let_in_from_programs_alone(
    app: Flask, path: str, headers: dict[str, str], expected: str
) -> None:
    """By what the browser says of where it comes from first; who says nothing at all is no browser."""
    assert expected == verdict(app, path, method="POST", headers=headers)
    assert expected == verdict(app, path, method="DELETE", headers=headers)


@pytest.mark.parametrize(("headers", "expected"), POSTS)
def test_a_token_or_json_is_enough_where_the_source_is_not_another_site(
    app: Flask, headers: dict[str, str], expected: str
) -> None:
    """And helps nothing where it is: a token that leaked is not enough."""
    expected = FROM_ELSEWHERE if expected == FROM_ELSEWHERE else OK
    cookie = {"Cookie": f"{headers['Cookie']}; {COOKIE}" if "Cookie" in headers else COOKIE}
    form = {FIELD: masked(SECRET)}
    assert expected == verdict(app, "/holds", method="POST", headers=headers | cookie, data=form)
    proof = cookie | {HEADER: masked(SECRET)}
    assert expected == verdict(app, "/holds", method="POST", headers=headers | proof)
    assert expected == verdict(app, "/holds", method="POST", headers=headers, json={})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/x-www-form-urlencoded", NOT_OURS),
        ("multipart/form-data; boundary=b", NOT_OURS),
        ("text/plain", NOT_OURS),
        ("application/json", OK),
        (None, OK),
    ],
)
def test_a_form_that_says_nothing_of_where_it_is_may_be_anybodys(
    app: Flask, kind: str | None, expected: str
) -> None:
    """Very old browsers send neither Origin nor Referer; in local mode programs may send forms as well."""
    options = {"method": "POST", "data": b"", "content_type": kind}
    assert expected == verdict(app, "/holds", **options)
    assert OK == verdict(app, "/holds", is_local=True, **options)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_a_body_that_only_looks_like_json_is_none(app: Flask, kind: str) -> None:
    """A form of another site can be made to send such bytes, though not under that name."""
    options = {"headers": SAME, "data": b'{"a":"="}', "content_type": kind}
    assert NOT_OURS == verdict(app, "/holds", method="POST", **options)


@pytest.mark.parametrize("caller", [PROGRAM, TASKS])
@pytest.mark.parametrize(
    "headers", [CROSS, {"Origin": "null"}, LOGIN, CROSS | LINK | {"Sec-Purpose": "prefetch"}]
)
def test_who_shows_a_proof_of_his_own_is_not_asked(
    app: Flask, caller: Caller, headers: dict[str, str]
) -> None:
    """No page can have a browser add a bearer token, or be a queue."""
    for method in ("GET", "POST"):
        assert OK == verdict(app, "/fsm/Walk/", caller, method=method, headers=headers)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, OK),
        (SAME, OK),
        (NONE | LINK, OK),
        ({"Referer": f"{HOST}/"}, OK),
        ({"Cookie": COOKIE}, OK),
        (CROSS, FROM_ELSEWHERE),
        (CROSS | LINK, FROM_ELSEWHERE),
        (SIBLING | LINK, FROM_ELSEWHERE),
        ({"Referer": "https://evil.example/"}, FROM_ELSEWHERE),
        (LOGIN, FROM_ELSEWHERE),
        ({"Cookie": "__Host-fantasm-csrf=x"}, FROM_ELSEWHERE),
        (NONE | {"Sec-Purpose": "prefetch;prerender"}, AHEAD),
        (SAME | {"Purpose": "prefetch"}, AHEAD),
        (SAME | {"Sec-Purpose": "prerender"}, AHEAD),
        ({"X-Purpose": "preview"}, AHEAD),
        ({"X-Moz": "Prefetch"}, AHEAD),
    ],
)
@pytest.mark.parametrize("path", ["/fsm/Walk/", "/fsm/Walk/a/ok/b/", "/sweep"])
def test_a_get_that_acts_is_refused_from_elsewhere_and_ahead(
    app: Flask, path: str, headers: dict[str, str], expected: str
) -> None:
    """What is to be confirmed is refused here: it is asked for before, and a guard that forgets it is safe.

    An old browser with a session is taken in where it has our cookie, which none sends along for a picture.
    """
    assert expected == verdict(app, path, headers=headers)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, OK),
        (LOGIN, OK),
        (SAME, OK),
        (CROSS | LINK, OK),
        ({"Referer": "https://evil.example/"}, OK),
        (NONE | {"Sec-Purpose": "prefetch"}, OK),
        (CROSS, FROM_ELSEWHERE),
        (CROSS | {"Sec-Fetch-Mode": "no-cors"}, FROM_ELSEWHERE),
        (SIBLING | {"Sec-Fetch-Mode": "cors"}, FROM_ELSEWHERE),
        *(
            (CROSS | LINK | {"Sec-Fetch-Dest": each}, FROM_ELSEWHERE)
            for each in ("iframe", "frame", "embed", "object", "fencedframe")
        ),
    ],
)
def test_looking_is_refused_to_pages_that_load_something_into_themselves(
    app: Flask, headers: dict[str, str], expected: str
) -> None:
    """A link to a page may be followed; a page of another site cannot have it as a frame, picture or script."""
    assert expected == verdict(app, "/", headers=headers)


def test_a_token_is_different_each_time_and_means_the_same() -> None:
    """Nothing of it stays the same in two responses."""
    tokens = [masked(SECRET) for _ in range(50)]
    assert 50 == len(set(tokens))
    for at in range(0, 84, 4):
        assert 1 < len({each[at : at + 4] for each in tokens})


def with_token(app: Flask, given: str, cookie: str = COOKIE, **options: Any) -> str:
    return verdict(app, "/holds", method="POST", headers=SAME | {"Cookie": cookie, HEADER: given}, **options)


def masked_with(pad: bytes, secret: bytes) -> str:
    """A token as it is on a page, but the same each time: tests are named by their arguments."""
    both = pad + bytes(a ^ b for a, b in zip(pad, secret, strict=True))
    return base64.urlsafe_b64encode(both).decode().rstrip("=")


PAD = hashlib.sha256(b"pad").digest()
GOOD = masked_with(PAD, SECRET)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        GOOD[:-1],
        GOOD + "A",
        GOOD + "\u00e9",
        " " + GOOD,
        masked_with(PAD, bytes(32)),
        masked_with(PAD, SECRET[:-1] + b"\0"),
        GOOD[:43],
        "A" * 86,
        "-" * 86,
        "=" * 86,
        "A" * 100_000,
        COOKIE.partition("=")[2],
    ],
)
def test_what_is_no_token_of_the_cookie_is_refused(app: Flask, given: str) -> None:
    """Cut, longer, of another secret, or the secret as the cookie has it."""
    assert NOT_OURS == with_token(app, given)
    form = {"headers": SAME | {"Cookie": COOKIE}, "data": {FIELD: given}}
    assert NOT_OURS == verdict(app, "/holds", method="POST", **form)


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "__Host-fantasm-csrf=",
        COOKIE + "A",
        COOKIE[:-1],
        COOKIE.replace("__Host-", ""),
        COOKIE.replace("__Host-", "__host-"),
        "__Host-fantasm-csrf=" + "\u00e9" * 43,
    ],
)
def test_a_token_without_its_cookie_is_refused(app: Flask, cookie: str) -> None:
    """The cookie of local mode is none elsewhere: a subdomain could set that one."""
    assert NOT_OURS == with_token(app, GOOD, cookie)


def test_local_mode_has_a_cookie_of_its_own(app: Flask) -> None:
    """Without TLS there is no __Host- cookie."""
    local = COOKIE.replace("__Host-", "")
    assert (OK, NOT_OURS) == (
        with_token(app, GOOD, local, is_local=True),
        with_token(app, GOOD, COOKIE, is_local=True),
    )


def test_a_token_is_found_in_a_large_form(app: Flask) -> None:
    """A context that somebody edits may have megabytes, and stand before the token."""
    form = {"context": "ü" * 1_000_000, FIELD: GOOD}
    headers = SAME | {"Cookie": COOKIE}
    assert OK == verdict(app, "/holds", method="POST", headers=headers, data=form)
    multipart = {"data": form | {"context": "ü"}, "content_type": "multipart/form-data"}
    assert OK == verdict(app, "/holds", method="POST", headers=headers, **multipart)


def test_a_token_in_the_address_is_none(app: Flask) -> None:
    """Addresses are logged and passed on."""
    headers = SAME | {"Cookie": COOKIE}
    query = {FIELD: GOOD}
    assert NOT_OURS == verdict(app, "/holds", method="POST", headers=headers, query_string=query)


@pytest.mark.parametrize("is_local", [True, False])
def test_the_cookie_comes_back_as_the_secret(app: Flask, is_local: bool) -> None:
    """With what keeps it from scripts, other sites' forms, and where it can be, from plain HTTP."""
    secret, answer = new_secret(), Response()
    keep(answer, secret, is_local=is_local)
    cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert (["Secure"] if not is_local else []) + ["HttpOnly", "Path=/", "SameSite=Lax"] == attributes
    assert is_local != cookie.startswith("__Host-")
    with app.test_request_context(headers={"Cookie": cookie}):
        assert secret == secret_of(request, is_local=is_local)
        assert None is secret_of(request, is_local=not is_local)
