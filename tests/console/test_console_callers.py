"""Who sees what of the console: buttons for who may press them, and forms that show where they come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from console_stage import (
    NOW,
    OPERATOR,
    VIEWER,
    Element,
    Stage,
    application,
    instance,
    read_page,
    record,
    step,
    task,
)

import fantasm_gcp.console
from fantasm_gcp.console.page_tokens import FIELD, HEADER, cookie_name, is_masked_form
from fantasm_gcp.console.page_tokens import _decoded as decoded
from fantasm_gcp.core.access import NOBODY, Caller, Role
from fantasm_gcp.core.records import Hold
from fantasm_gcp.settings import Settings

FAILED = step("a")
PATHS = (
    "/",
    "/machines/Orders",
    "/instances",
    "/instances/a",
    "/instances/b",
    "/failures",
    "/failures?machine=Orders&state=Pay&fingerprint=f00",
    f"/instances/a/steps/{FAILED.name}",
    "/machines/Nope",
    "/instances?status=x",
)
PRODUCTION = Settings(project="shop")
HOSTILE = '"><script>alert(1)</script>@example.com'


@pytest.fixture
def stage() -> Stage:
    """An application with something to press on every page."""
    made = Stage(settings=PRODUCTION)
    made.history.instances_ = [instance("a", "failed"), instance("b")]
    made.history.tasks_ = [task(FAILED, failed=True, error="E"), task(step("b"))]
    made.history.records_ = [record(step("a", "Receive", n=0))]
    made.history.holds_ = [Hold("default", "Orders", "Pay", NOW - 9, "")]
    return made


def page(stage: Stage, path: str, caller: Caller | None = OPERATOR) -> Element:
    return read_page(application(stage, caller=caller).test_client().get(f"/fantasm{path}").text)


def posted(shown: Element) -> list[Element]:
    """The forms that change something."""
    return [each for each in shown.all("form") if each.attributes["method"] == "post"]


def words_of_bar(shown: Element) -> str:
    return shown.one("p", class_="where").text


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_every_form_has_the_token_of_the_cookie(stage: Stage, path: str, is_local: bool) -> None:
    """And so has the page's head, for the script; no two are alike, and none is the cookie's own."""
    stage.settings = Stage().settings if is_local else PRODUCTION
    client = application(stage).test_client()
    answer = client.get(f"/fantasm{path}", base_url="https://localhost")
    cookie = client.get_cookie(cookie_name(is_local=is_local))
    assert cookie is not None
    secret = decoded(cookie.value)
    assert secret is not None
    assert cookie.value not in answer.text
    shown = read_page(answer.text)
    tokens = [shown.one("meta", name="csrf-token").attributes["content"]]
    tokens += [each.one("input", name=FIELD).attributes["value"] for each in posted(shown)]
    assert {True} == {is_masked_form(each, secret) for each in tokens}
    again = client.get(f"/fantasm{path}", base_url="https://localhost")
    assert "Set-Cookie" not in again.headers
    assert not any(each in again.text for each in tokens)


def test_there_is_something_to_press_on_every_kind_of_page(stage: Stage) -> None:
    """Else the tests of this module would find nothing wrong with no forms."""
    pressed = {path: len(posted(page(stage, path))) for path in PATHS}
    assert [0, 3, 0, 3, 2, 1, 2, 3, 0, 0] == list(pressed.values()), pressed


@pytest.mark.parametrize("cookie", ["x", "", "A" * 44, "A" * 42 + "=", "A" * 42 + "\u00e9"])
def test_a_cookie_that_cannot_be_ours_is_replaced(stage: Stage, cookie: str) -> None:
    """Whoever wrote it."""
    client = application(stage).test_client()
    headers = {"Cookie": f"{cookie_name(is_local=False)}={cookie}"}
    assert "Set-Cookie" in client.get("/fantasm/", headers=headers).headers


@pytest.mark.parametrize("path", ["/static/console.css", "/api/machines"])
def test_only_pages_set_the_cookie(stage: Stage, path: str) -> None:
    """What a program asks for has none."""
    with application(stage).test_client().get(f"/fantasm{path}") as answer:
        assert (200, False) == (answer.status_code, "Set-Cookie" in answer.headers)


@pytest.mark.parametrize("caller", [VIEWER, NOBODY, None])
@pytest.mark.parametrize("path", PATHS)
def test_who_may_only_look_has_nothing_to_press(stage: Stage, path: str, caller: Caller | None) -> None:
    """No button, no field to edit, no command to copy; and without a guard's word nobody may anything."""
    shown = page(stage, path, caller)
    assert [] == posted(shown) + shown.all("textarea") + shown.all("details", class_="sure")
    assert "curl" not in shown.text
    filters = {each.text for form in shown.all("form") for each in form.all("button")}
    assert {"Show"} >= filters


def test_a_viewer_sees_why_a_step_failed_and_its_context(stage: Stage) -> None:
    """Everything that there is to see, under words that promise no more."""
    shown = page(stage, f"/instances/a/steps/{FAILED.name}", VIEWER)
    assert "E" == shown.one("p", class_="error").text
    assert '{ "a": 1 }' == shown.one("pre", aria_label="Context").text
    assert "has not failed" not in shown.text
    links = [each.text for each in page(stage, "/instances/a", VIEWER).one("article").all("a")]
    assert "Look at Pay, step 1 of branch main" in links
    assert not any(each.startswith(("Edit", "Skip")) for each in links)


def test_a_viewer_is_not_told_to_start_anything() -> None:
    """An empty console has other words for him."""
    empty = Stage(settings=PRODUCTION)
    for path in ("/", "/machines/Orders", "/instances"):
        words = page(empty, path, VIEWER).one("main").text
        assert "started yet" in words
        assert not re.search(r"Press Start|Start a machine|Start an instance", words)


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (OPERATOR, "signed in as olga@example.com (operator)"),
        (VIEWER, "signed in as vera@example.com (viewer)"),
        (Caller("both", frozenset({Role.VIEWER, Role.OPERATOR})), "signed in as both (operator)"),
        (Caller(HOSTILE, frozenset({Role.VIEWER})), f"signed in as {HOSTILE} (viewer)"),
        (NOBODY, ""),
    ],
)
def test_the_bar_tells_who_is_signed_in(stage: Stage, caller: Caller, expected: str) -> None:
    """And as what; a name is text."""
    shown = page(stage, "/", caller)
    assert words_of_bar(shown).endswith(expected)
    assert ("signed in" in words_of_bar(shown)) == bool(expected)
    assert 1 == len(shown.all("script"))


def test_local_mode_names_nobody(stage: Stage) -> None:
    """There is one person, at this machine."""
    stage.settings = Stage().settings
    assert "shop local mode" == words_of_bar(page(stage, "/"))


@pytest.mark.parametrize("caller", [NOBODY, Caller("i", frozenset({Role.INVITED}))])
def test_who_may_not_look_learns_nothing_from_the_bar(stage: Stage, caller: Caller) -> None:
    """Neither the project nor where to go on."""
    shown = page(stage, "/machines/Nope", caller)
    assert ([], "") == (shown.all("nav"), words_of_bar(shown))


def test_the_script_sends_the_token_and_tells_a_session_that_is_over() -> None:
    """By the names that the pages and the guard have for it."""
    script = (Path(fantasm_gcp.console.__file__).parent / "static/console.js").read_text()
    assert f'"{HEADER}"' in script
    assert "[name=csrf-token]" in script
    assert "[0, 401, 403].includes(answer.status)" in script
    assert "Session over: reload" in script
