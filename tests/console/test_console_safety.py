"""The console under hostile content, wrong addresses and a store that fails."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from console_stage import (
    NOW,
    ORDERS,
    Element,
    Stage,
    application,
    definitions,
    instance,
    line,
    read_page,
    record,
    step,
    task,
)
from flask.testing import FlaskClient

from fantasm_gcp.core.definition import Machine, State, Transition
from fantasm_gcp.core.names import InstanceId, instance_id, step_name
from fantasm_gcp.core.records import Hold
from fantasm_gcp.errors import ConflictError, Problem, RefusedError, StoreError, UnavailableError

HOSTILE = """"><script>alert(1)</script><img src=x onerror='alert(2)'>{{ 7*7 }}&amp;\u202e"""
STEP = f"/instances/a/steps/{step('a').name}"
PATHS = (
    "/",
    "/machines/Orders",
    "/instances",
    "/instances/a",
    "/failures",
    "/failures?fingerprint=f00",
    STEP,
)


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.history.instances_ = [instance("a", "failed")]
    made.history.tasks_ = [task(step("a"), failed=True, error="E")]
    made.history.records_ = [record(step("a", "Receive", n=0))]
    made.history.lines_ = [line(step("a"), "x" * 1000, stack="S", tags=("t",))]
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    return application(stage).test_client()


def assert_harmless(page: Element) -> None:
    """Nothing on the page but the console's own script runs, and nothing is styled or handled in place."""
    scripts = page.all("script")
    assert ["/fantasm/static/console.js"] == [each.attributes.get("src") for each in scripts]
    assert [] == page.all("img")
    for element in page.walk():
        assert [] == [name for name in element.attributes if name == "style" or name.startswith("on")]
    for link in page.all("a"):
        assert re.match(r"/fantasm/|#", link.attributes["href"])


@pytest.mark.parametrize("path", [*PATHS, "/machines/Nope", "/instances/nope", "/instances?status=x"])
def test_pages_have_nothing_inline(client: FlaskClient, path: str) -> None:
    """A page works under a policy that forbids inline scripts, handlers and style attributes."""
    assert_harmless(read_page(client.get(f"/fantasm{path}").text))


def test_hostile_steps_are_text(stage: Stage, client: FlaskClient) -> None:
    """Errors, tracebacks, contexts, events, branches and notes stand as they are, as text."""
    at = replace(step("a"), branch=HOSTILE, event=HOSTILE, state=HOSTILE)
    context = json.dumps({HOSTILE: [HOSTILE]}).encode()
    stage.history.tasks_ = [
        task(replace(at, n=1), failed=True, error=HOSTILE, context=context),
        task(replace(at, n=2), error=HOSTILE, context=context),
    ]
    stage.history.records_ = [record(at, event=HOSTILE, note=HOSTILE, context=context)]

    page = read_page(client.get("/fantasm/instances/a").text)

    assert_harmless(page)
    assert HOSTILE == page.one("article").one("p", class_="error").text
    shown = page.one("section", id="over").one("pre").text
    assert {HOSTILE: [HOSTILE]} == json.loads(shown)


@pytest.mark.parametrize("editable", [True, False])
def test_a_hostile_failure_is_text(stage: Stage, client: FlaskClient, editable: bool) -> None:
    """On the page of failures, of their group, and of the step, where the context is to be edited."""
    named = HOSTILE.replace("/", "")  # which no name has: it would be another address
    at = replace(step("a"), branch=named, event=named, state=named)
    context = json.dumps({HOSTILE: ["</textarea>" + HOSTILE]}).encode() if editable else HOSTILE.encode()
    failed = task(at, failed=True, error=HOSTILE, context=context)
    stage.history.tasks_ = [
        failed,
        task(replace(at, machine=HOSTILE, target=HOSTILE), failed=True, error=HOSTILE, fingerprint=HOSTILE),
    ]

    for path in (
        "/failures",
        "/failures?fingerprint=f00",
        f"/failures?machine={quote(HOSTILE)}&fingerprint={quote(HOSTILE)}",
    ):
        page = read_page(client.get(f"/fantasm{path}").text)
        assert_harmless(page)
        assert HOSTILE in [each.text for each in page.all("p", class_="error")]
    page = read_page(client.get(f"/fantasm/instances/a/steps/{quote(failed.step.name)}").text)
    assert_harmless(page)
    assert HOSTILE == page.one("p", class_="error").text
    areas = page.all("textarea")
    assert editable == bool(areas)
    if editable:
        assert {HOSTILE: ["</textarea>" + HOSTILE]} == json.loads(str(areas[0].content[0]))


def test_hostile_holds_and_receivers_are_text(stage: Stage, client: FlaskClient) -> None:
    """Notes are what an operator typed; who is told of an end is what a start said."""
    stage.history.holds_ = [
        Hold("default", "Orders", each, NOW - 9, HOSTILE) for each in ("", "Pay", HOSTILE)
    ]
    page = read_page(client.get("/fantasm/machines/Orders").text)
    assert_harmless(page)
    assert 3 == len(page.all("span", class_="message", dir="auto"))

    name = instance_id("W", NOW, "0" * 16)
    told = (step_name(name, "main", "pseudo-init", "pseudo-init", "Only", 0),)
    stage.history.instances_ = [replace(instance("a", "completed"), on_complete=(HOSTILE,), told=told)]
    page = read_page(client.get("/fantasm/instances/a").text)
    assert_harmless(page)
    assert HOSTILE in page.one("dl", id="facts").text


def test_a_hostile_log_is_text(stage: Stage, client: FlaskClient) -> None:
    """Messages come from users' users: message, tags, stack, action and branch stand as they are."""
    at = replace(step("a"), branch=HOSTILE, target=HOSTILE)
    more = {"tags": (HOSTILE, ""), "stack": HOSTILE, "action": HOSTILE}
    stage.history.lines_ = [
        line(at, HOSTILE, **more),
        replace(line(at, HOSTILE * 20, **more), name=HOSTILE),
        line(at, "\x00\x1b[31m\r\n\u2028", level=-5, index=1),
    ]

    page = read_page(client.get("/fantasm/instances/a").text)

    assert_harmless(page)
    log = page.one("div", id="log")
    assert [[HOSTILE * 20], [HOSTILE], [HOSTILE]] == [each.content for each in log.all("pre")]
    assert HOSTILE in [each.text for each in log.all("p", class_="message")]
    assert HOSTILE == log.rows()[0][4]


def test_hostile_facts_of_an_instance_are_text(stage: Stage, client: FlaskClient) -> None:
    """The note is what an action said, and the parent a row like any other."""
    stage.history.instances_ = [replace(instance("a", "cancelled"), note=HOSTILE, parent=InstanceId(HOSTILE))]

    page = read_page(client.get("/fantasm/instances/a").text)

    assert_harmless(page)
    assert [HOSTILE, HOSTILE] == [page.one("dl", id="facts").all("dd")[i].text for i in (4, 5)]


def test_a_hostile_instance_is_text(stage: Stage, client: FlaskClient) -> None:
    """Rows are data: an id and a machine that no start of ours makes are escaped in text and addresses."""
    stage.history.instances_ = [replace(instance("x", machine=HOSTILE), id=InstanceId(HOSTILE))]

    for path in ("/", "/instances"):
        page = read_page(client.get(f"/fantasm{path}").text)
        assert_harmless(page)
        assert HOSTILE in page.text


def test_hostile_definitions_are_text(stage: Stage, client: FlaskClient) -> None:
    """The pages do not lean on the parser's rules for names."""
    states = (
        State(
            "S" + HOSTILE,
            HOSTILE,
            entry=HOSTILE,
            exit=HOSTILE,
            initial=True,
            fan_in=1,
            fan_in_group=HOSTILE,
            transitions=(Transition(HOSTILE, "S" + HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        ),
    )
    warning = Problem("warning", HOSTILE, 1, 1, HOSTILE, HOSTILE, HOSTILE)
    hostile = Machine("M", states, HOSTILE, context_types=((HOSTILE, HOSTILE),))
    stage.definitions = definitions(hostile, warnings=(warning,))

    for path in ("/", "/machines/M"):
        assert_harmless(read_page(client.get(f"/fantasm{path}").text))


@pytest.mark.parametrize("name", ["<script>", "%3Cscript%3E%22", "a%0Ab", "x" * 3000, "%F0%9F%91%BB", "%FF"])
@pytest.mark.parametrize("root", ["machines", "instances"])
def test_an_unknown_name_is_a_page_that_leads_on(client: FlaskClient, root: str, name: str) -> None:
    """Whatever the address says, the answer is 404, harmless, with links to what there is."""
    answer = client.get(f"/fantasm/{root}/{name}")

    assert (404, "text/html; charset=utf-8") == (answer.status_code, answer.content_type)
    page = read_page(answer.text)
    assert_harmless(page)
    assert [] != page.one("main").all("a")


def test_a_misspelt_machine_is_guessed(client: FlaskClient) -> None:
    """The page names the machine that was meant, and links to all there are."""
    page = read_page(client.get("/fantasm/machines/Ordres").text).one("main")

    assert "did you mean 'Orders'?" in page.text
    assert ["/fantasm/machines/Orders", "/fantasm/machines/Mails"] == [
        each.attributes["href"] for each in page.all("a")
    ]


def test_an_unknown_instance_leads_to_those_of_its_machine(client: FlaskClient) -> None:
    """An id begins with its machine's name."""
    page = read_page(client.get("/fantasm/instances/Orders-20261122035123-gone").text).one("main")

    assert ["/fantasm/instances?machine=Orders", "/fantasm/instances"] == [
        each.attributes["href"] for each in page.all("a")
    ]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("machine=Nope", 404),
        ("machine=Orders/failed", 404),
        ("machine=%3Cscript%3E", 404),
        ("status=done", 400),
        ("status=RUNNING", 400),
        ("cursor=wrong", 400),
    ],
)
def test_wrong_arguments_of_the_list_are_refused(client: FlaskClient, query: str, status: int) -> None:
    """A filter that nothing can match is an error and not an empty list; a cursor has to be one."""
    answer = client.get(f"/fantasm/instances?{query}")

    assert status == answer.status_code
    assert_harmless(read_page(answer.text))


def test_a_wrong_cursor_leads_to_the_page_without_it(client: FlaskClient) -> None:
    """An address that was cut is mended by leaving its arguments away."""
    answer = client.get("/fantasm/instances/a?over=cut")

    page = read_page(answer.text).one("main")
    assert 400 == answer.status_code
    assert ["/fantasm/instances/a"] == [each.attributes["href"] for each in page.all("a")]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnavailableError(HOSTILE), 500),
        (StoreError(HOSTILE), 500),
        (ConflictError(HOSTILE), 500),
        (RefusedError(HOSTILE), 400),
    ],
)
def test_a_store_that_fails_is_said_on_a_page(
    stage: Stage, client: FlaskClient, path: str, error: StoreError, status: int
) -> None:
    """The error is shown, and so is where to try again."""
    stage.history.broken = error

    path = path.partition("?")[0]
    answer = client.get(f"/fantasm{path}?status=")

    page = read_page(answer.text)
    assert (status, "text/html; charset=utf-8") == (answer.status_code, answer.content_type)
    assert_harmless(page)
    assert HOSTILE == page.one("pre").text
    again = f"/fantasm{path}?status=" if status == 500 else f"/fantasm{path}"
    assert [again] == [each.attributes["href"] for each in page.one("main").all("a")]


def test_a_store_that_fails_is_logged(
    stage: Stage, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator finds the error in the log, not only the viewer on the page."""
    stage.history.broken = UnavailableError("gone")

    with caplog.at_level(logging.ERROR, "fantasm_gcp.console"):
        client.get("/fantasm/")

    assert ["UnavailableError: gone"] == [each.getMessage() for each in caplog.records]


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"{}", "{}"),
        (b"[1,2]", "[\n  1,\n  2\n]"),
        (b'{"a":"\\ud800"}', '{\n  "a": "\\ud800"\n}'),
        (b'{"a":"\xed\xa0\x80"}', '{\n  "a": "\\ud800"\n}'),
        (b'{"a":"\\u0000\\u001b"}', '{\n  "a": "\\u0000\\u001b"\n}'),
        (b"not json", "not json"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"[" * 3999, "[" * 3999),
        ('{"ä":"€"}'.encode(), '{\n  "ä": "€"\n}'),
    ],
)
def test_any_bytes_of_a_context_are_shown(
    stage: Stage, client: FlaskClient, encoded: bytes, expected: str
) -> None:
    """JSON is indented; half surrogates, control characters and what is no JSON at all break no page."""
    stage.history.records_ = [record(step("a"), context=encoded)]

    page = read_page(client.get("/fantasm/instances/a").text)

    shown = page.one("section", id="over").one("pre")
    assert [expected] == shown.content


@pytest.mark.parametrize("path", [*PATHS, "/machines/Nope", "/instances?cursor=wrong"])
def test_every_page_has_the_headers(client: FlaskClient, path: str) -> None:
    """Nothing is loaded from elsewhere, framed or cached; errors have the headers as well."""
    headers = client.get(f"/fantasm{path}").headers
    policy = dict(each.partition(" ")[::2] for each in headers["Content-Security-Policy"].split("; "))

    assert ("no-store", "nosniff") == (headers["Cache-Control"], headers["X-Content-Type-Options"])
    assert {
        "default-src": "'none'",
        "script-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    } == {name: value for name, value in policy.items() if name != "style-src"}


@pytest.mark.parametrize("path", ["/machines/Orders", "/instances/a"])
def test_the_policy_lets_the_style_of_the_diagram_in(client: FlaskClient, path: str) -> None:
    """The one inline style sheet of a page is the one whose hash the policy has, to the byte."""
    answer = client.get(f"/fantasm{path}")

    styles = read_page(answer.text).all("style")
    hashes = {
        base64.b64encode(hashlib.sha256(str(each.content[0]).encode()).digest()).decode() for each in styles
    }
    assert 1 == len(hashes)
    assert f"style-src 'self' 'sha256-{hashes.pop()}'" in answer.headers["Content-Security-Policy"]


def test_templates_of_the_application_do_not_change_the_console(tmp_path: Path, stage: Stage) -> None:
    """An application may have a home.html of its own, and its own rules for escaping."""
    (tmp_path / "home.html").write_text("mine")
    (tmp_path / "layout.html").write_text("mine")
    app = application(stage)
    app.template_folder = str(tmp_path)
    app.jinja_env.autoescape = False

    assert_harmless(read_page(app.test_client().get("/fantasm/").text))


@pytest.mark.parametrize("path", PATHS)
def test_reading_changes_nothing(client: FlaskClient, path: str) -> None:
    """The pages answer GET and HEAD only."""
    address = f"/fantasm{path}"
    assert [200, 405, 405] == [
        call(address).status_code for call in (client.head, client.post, client.delete)
    ]


def test_clocks_that_differ_break_no_page(stage: Stage, client: FlaskClient) -> None:
    """By another machine's clock an instance may begin in the future, or end before it began."""
    ahead = replace(instance("a", "completed"), started=NOW + 5, ended=NOW + 4)
    stage.history.instances_ = [ahead]
    stage.history.records_ = [record(step("a"), began=NOW + 5, took=-3)]

    page = read_page(client.get("/fantasm/instances/a").text)

    assert "0 ms" == page.one("dl", id="facts").all("dd")[3].text
    assert "in 5 s" in page.text


def test_names_in_the_page_are_unique(stage: Stage, client: FlaskClient) -> None:
    """A refresh finds regions and rows by their id; a step may be in flight and over for a moment."""
    stage.definitions = definitions(ORDERS)
    stage.history.tasks_ = [task(step("a", n=0)), task(step("a", n=1), failed=True, error="E")]
    stage.history.records_ = [record(step("a", n=0)), record(step("a", n=1))]
    stage.history.lines_ = [line(step("a", n=0)), line(step("a", n=0), index=1), line(step("a", n=1))]

    for path in PATHS:
        page = read_page(client.get(f"/fantasm{path}").text)
        ids = [each.attributes["id"] for each in page.walk() if "id" in each.attributes]
        assert sorted(set(ids)) == sorted(ids)
        assert all(each.attributes.get("id") for each in page.walk() if "data-live" in each.attributes)
