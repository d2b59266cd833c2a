"""Starts that somebody has to confirm: which they are, what the page shows, and that its button starts it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from operated import DEFINITIONS, Seen
from werkzeug.test import TestResponse

from fantasm_gcp.testing import Harness
from fantasm_gcp.web.start_tokens import make_start_token

sys.path.insert(0, str(Path(__file__).parents[1] / "console"))

from console_stage import Element, read_page

SECRET = "a-secret-of-more-than-twenty-four-bytes"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
LINK = HTML | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
CROSS, SIBLING, SAME, NONE = (
    LINK | {"Sec-Fetch-Site": each} for each in ("cross-site", "same-site", "same-origin", "none")
)
PICTURE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.fixture
def harness() -> Iterator[Harness]:
    Seen.by_state.clear()
    with Harness(DEFINITIONS, settings={"start_secret": SECRET}) as made:
        yield made


@pytest.fixture
def remote() -> Iterator[Harness]:
    """An application that knows nobody but who has a token."""
    Seen.by_state.clear()
    settings = {"mode": "", "project": "secret-project", "start_secret": SECRET}
    with Harness(DEFINITIONS, settings=settings) as made:
        yield made


def instances(harness: Harness) -> list[str]:
    """The ids of all instances, as their rows have them behind a hash."""
    rows = harness.datastore.query(kind="FantasmInstance").fetch()
    return [each.key.name.partition("-")[2] for each in rows]


def context_of(harness: Harness, instance: str) -> dict[str, Any]:
    """The context that an instance was started with."""
    (first,) = harness.get(f"instances/{instance}")["in_flight"]["items"]
    return dict(first["context"])


def page_of(answer: TestResponse) -> Element:
    assert (200, "text/html", "no-store") == (
        answer.status_code,
        answer.mimetype,
        answer.headers["Cache-Control"],
    )
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    return read_page(answer.text)


def confirm(harness: Harness, page: Element, **headers: str) -> TestResponse:
    """Presses the button, as a browser does."""
    form = page.one("form")
    assert "post" == form.attributes["method"]
    hidden = {each.attributes["name"]: each.attributes["value"] for each in form.all("input")}
    sent = HTML | {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"} | headers
    return harness.client.post(form.attributes["action"], data=hidden, headers=sent)


def outcome(answer: TestResponse) -> str:
    if answer.status_code == 200:
        return "page" if answer.mimetype == "text/html" else "started"
    return {403: "refused"}.get(answer.status_code, str(answer.status_code))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "started"),
        ({"Accept": "*/*"}, "started"),
        (NONE, "started"),
        (SAME, "started"),
        (CROSS, "page"),
        (SIBLING, "page"),
        (PICTURE, "refused"),
        (PICTURE | {"Accept": "text/html"}, "refused"),
        (CROSS | {"Sec-Fetch-Dest": "iframe"}, "refused"),
        (CROSS | {"Sec-Fetch-Mode": "cors"}, "refused"),
        (NONE | {"Sec-Purpose": "prefetch;prerender"}, "page"),
        (SAME | {"Sec-Purpose": "prefetch"}, "page"),
        (CROSS | {"Sec-Purpose": "prefetch"}, "page"),
        (PICTURE | {"Sec-Purpose": "prefetch"}, "refused"),
        ({"Purpose": "prefetch"}, "page"),
        ({"X-Purpose": "preview"}, "page"),
        ({"X-Moz": "prefetch"}, "page"),
        (HTML, "page"),
        (HTML | {"Referer": "https://evil.example/"}, "page"),
        (HTML | {"Referer": "http://localhost/"}, "started"),
        ({"Referer": "https://evil.example/", "Accept": "image/*"}, "refused"),
    ],
)
@pytest.mark.parametrize("path", ["Walk/?a=b", "Walk?a=b"])
def test_a_start_that_nobody_asked_for_is_a_page_or_refused(
    harness: Harness, path: str, headers: dict[str, str], expected: str
) -> None:
    """A link of another site, and what is loaded ahead, asks first; what a page loads into itself is refused.

    A browser that does not say where it comes from is asked, too.
    """
    answer = harness.start(path, headers=headers)
    assert (expected, expected == "started") == (outcome(answer), bool(instances(harness)))


def test_the_button_starts_what_was_asked_for(harness: Harness) -> None:
    """With the tasks that the link would have made, and the instance's page comes next."""
    page = page_of(harness.start("Walk/?a=b&a=c&n%5B%5D=1", headers=CROSS))
    assert "Start Walk?" == page.one("h1").text
    assert [("a", "b"), ("a", "c"), ("n[]", "1")] == [
        (each.one("dt").text, each.one("dd").text) for each in page.one("dl").all("div")
    ]
    answer = confirm(harness, page)
    (instance,) = instances(harness)
    assert (303, f"/fantasm/instances/{instance}") == (answer.status_code, answer.location)
    assert {"a": ["b", "c"], "n": ["1"]} == context_of(harness, instance)
    attempt = harness.next_attempt()
    assert attempt is not None
    assert "GET" == attempt.delivery.method


@pytest.mark.parametrize(
    "value",
    [
        "line\nline\r\nline\r",
        "\x00\x1b\u202e\u2028",
        "\"><script>alert(1)</script>'{{7*7}}&amp;",
        "ü€\U0001f600",
        "a+b c%20d=e&f;g#h",
        "x" * 3000,
        " ",
        "",
    ],
)
def test_arguments_are_shown_as_text_and_started_to_the_byte(harness: Harness, value: str) -> None:
    """A form would change line ends; the address that it is posted to does not."""
    asked = harness.start(f"Walk/?v={quote(value, safe='')}&%22%3E%3Cimg%3E=1", headers=CROSS)
    assert "<script>alert" not in asked.text
    page = page_of(asked)
    assert [] == page.all("img") + page.all("b")
    shown = page.one("dl").all("dd")[0].text
    assert len(shown) < 300
    assert ("(3,000 characters)" in shown) == (len(value) == 3000)
    confirm(harness, page)
    (instance,) = instances(harness)
    context = context_of(harness, instance)
    assert value == context["v"]
    assert 2 == len(context)


@pytest.mark.parametrize(
    "query", ["a=%FF&b=%", "a=%C3", "&&=&a", "%22%3E=1", "a=\u00fc".encode().decode("latin-1")]
)
def test_a_strange_address_is_posted_to_as_it_is(harness: Harness, query: str) -> None:
    """What it means is up to the start, and the same with and without the page."""
    plain = harness.client.get("/fantasm/fsm/Walk/", query_string=query)
    answer = harness.client.get("/fantasm/fsm/Walk/", query_string=query, headers=CROSS)
    confirmed = confirm(harness, page_of(answer), Accept="*/*")
    assert plain.status_code == confirmed.status_code
    if plain.status_code == 200:
        contexts = [context_of(harness, each.json["instance"]) for each in (plain, confirmed)]
        assert contexts[0] == contexts[1]


def test_many_arguments_are_counted(harness: Harness) -> None:
    """The page stays small."""
    query = "&".join(f"a{i}={i}" for i in range(60))
    page = page_of(harness.start(f"Walk/?{query}", headers=CROSS))
    assert (50, True) == (len(page.all("dt")), "and 10 more" in page.text)
    confirm(harness, page)
    (instance,) = instances(harness)
    assert 60 == len(context_of(harness, instance))


def test_a_page_without_its_cookie_starts_nothing(harness: Harness) -> None:
    """What another site can have a browser post is the form, not the cookie that belongs to it."""
    page = page_of(harness.start("Walk/", headers=CROSS))
    harness.client.delete_cookie("fantasm-csrf")
    assert 403 == confirm(harness, page).status_code
    assert [] == instances(harness)


def test_the_method_that_is_asked_for_is_kept(harness: Harness) -> None:
    """It is an argument like others."""
    confirm(harness, page_of(harness.start("Walk/?method=POST", headers=CROSS)))
    attempt = harness.next_attempt()
    assert attempt is not None
    assert "POST" == attempt.delivery.method


def test_an_unknown_machine_has_no_page(harness: Harness) -> None:
    """404 as without it; nothing of the address is on a page."""
    assert 404 == harness.start("<b>/", headers=CROSS).status_code


def test_looking_with_head_starts_nothing_and_asks_nothing(harness: Harness) -> None:
    """A program is told what there is, and a page of another site nothing."""
    statuses = [harness.start("Walk/", method="HEAD", headers=each).status_code for each in ({}, CROSS)]
    assert [405, 403] == statuses


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, 200),
        ("*/*", 200),
        ("application/json", 200),
        ("application/json, text/html", 200),
        ("text/html;q=0.5, application/json", 200),
        ("text/html", 303),
        (HTML["Accept"], 303),
        ("nonsense;;,", 200),
    ],
)
def test_who_posts_a_form_is_led_on_and_a_program_is_answered(
    harness: Harness, accept: str | None, expected: int
) -> None:
    """By whether HTML is what it likes best."""
    headers = {"Accept": accept} if accept else {}
    answer = harness.start("Walk/", method="POST", headers=headers)
    assert (expected, expected == 200) == (answer.status_code, answer.is_json)


def test_a_start_that_keeps_no_records_has_a_page_of_its_own(harness: Harness) -> None:
    """There is no page of such an instance to go to."""
    answer = harness.start("Light/", method="POST", headers=HTML)
    page = page_of(answer)
    assert ("Light is started", True) == (page.one("h1").text, "Light-" in page.one("code").text)


def token(harness: Harness, context: dict[str, Any] | None = None) -> str:
    return make_start_token(SECRET, "Walk", context or {}, expires=60, now=harness.clock(), nonce="n")


@pytest.mark.parametrize("headers", [NONE, SAME, CROSS, HTML, PICTURE, {"X-Purpose": "preview"}])
@pytest.mark.parametrize("is_local", [True, False])
def test_a_browser_with_a_token_is_asked(
    harness: Harness, remote: Harness, headers: dict[str, str], is_local: bool
) -> None:
    """Whoever the link is sent to opens it to look, and so do previews."""
    asked = harness if is_local else remote
    page = page_of(asked.start(f"Walk/?__token={token(asked)}", headers=headers))
    assert "None: its context is empty." in page.text
    assert [] == instances(asked)


def test_the_button_of_an_invitation_starts_once(remote: Harness) -> None:
    """Who may not look learns the id, and nothing else of this application."""
    context = {"who": "<b>", "list": [1, "x"]}
    page = page_of(remote.start(f"Walk/?__token={token(remote, context)}", headers=CROSS))
    assert [("who", "<b>"), ("list", "[1, 'x']")] == [
        (each.one("dt").text, each.one("dd").text) for each in page.all("div")
    ]
    assert ([], False) == (page.all("nav"), "secret-project" in page.text)
    words = [page_of(confirm(remote, page)) for _ in range(2)]
    (instance,) = instances(remote)
    assert ["Walk is started", "Walk was started before"] == [each.one("h1").text for each in words]
    assert {instance} == {each.one("code").text for each in words}
    assert [] == words[0].all("a", class_="brand") + words[0].all("nav")


def test_a_token_of_another_machine_has_no_page(remote: Harness) -> None:
    """A page would ask whether to start a machine that the token is not for."""
    answer = remote.start(f"Work/?__token={token(remote)}", headers=CROSS)
    assert (403, False) == (answer.status_code, "Nothing has been started" in answer.text)


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain", "image/*", "text/html"])
def test_whatever_opens_a_link_with_a_token_to_look_starts_nothing(
    remote: Harness, accept: str | None
) -> None:
    """A scanner, a preview, a program that says nothing of itself: all get the page."""
    headers = {} if accept is None else {"Accept": accept}
    answer = remote.start(f"Walk/?__token={token(remote)}", headers=headers)
    assert (200, "text/html", []) == (answer.status_code, answer.mimetype, instances(remote))


@pytest.mark.parametrize(
    "options", [{"method": "POST"}, {"headers": {"Accept": "application/json"}}], ids=["post", "json"]
)
def test_a_program_with_a_token_posts_or_asks_for_json(remote: Harness, options: dict[str, Any]) -> None:
    """It gets JSON."""
    assert remote.start(f"Walk/?__token={token(remote)}", **options).json["created"]


def test_who_shows_a_link_that_is_not_good_is_told_so(remote: Harness) -> None:
    """In words for somebody who has no account here."""
    answer = remote.start(f"Walk/?__token={token(remote)}x", headers={"Accept": "text/html"})
    assert (403, True) == (answer.status_code, "this link is not good" in answer.text), answer.text


def test_an_application_that_is_mounted_elsewhere_is_posted_to_there(harness: Harness) -> None:
    """The form's address has the prefix that a server in front has cut off."""
    environ = {"SCRIPT_NAME": "/team", "PATH_INFO": "/fantasm/fsm/Walk/"}
    answer = harness.client.get("/", environ_overrides=environ, headers=CROSS)
    assert "/team/fantasm/fsm/Walk/" == page_of(answer).one("form").attributes["action"]
