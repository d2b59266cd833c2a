"""Every path: who gets in, and what comes out when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from fantasm_gcp import Fantasm, Settings
from fantasm_gcp.testing import Harness, Rpc

FSM = Path(__file__).parents[2] / "fsm.yaml"
STEP = "/fantasm/fsm/MyMachine/InitialState/ok/FinalState/"
COMMANDS = [
    *(
        f"/fantasm{api}/instances/nope/{each}"
        for api in ("", "/api")
        for each in ("cancel", "pause", "resume")
    ),
    *(f"/fantasm{api}/instances/nope/redrive" for api in ("", "/api")),
    *(f"/fantasm{api}/instances/nope/steps/nope/redrive" for api in ("", "/api")),
    *(f"/fantasm{api}/holds/release" for api in ("", "/api")),
    "/fantasm/api/redrive",
    "/fantasm/failures/redrive",
    "/fantasm/holds",
]
"""What is posted to alone."""

PATHS = [
    "/fantasm/",
    "/fantasm/machines/MyMachine",
    "/fantasm/instances",
    "/fantasm/instances/nope",
    "/fantasm/fsm/MyMachine/",
    "/fantasm/fsm/MyMachine",
    STEP,
    "/fantasm/api/machines",
    "/fantasm/api/instances",
    "/fantasm/api/instances/nope",
    "/fantasm/api/instances/nope/steps/nope",
    "/fantasm/api/instances/nope/children",
    "/fantasm/api/instances/nope/logs",
    "/fantasm/api/failures",
    "/fantasm/api/failures/steps",
    "/fantasm/sweep",
    "/fantasm/api/holds",
    "/fantasm/failures",
    "/fantasm/instances/nope/steps/nope",
    *COMMANDS,
    "/fantasm/graphviz/MyMachine/",
    "/fantasm/graph/MyMachine",
    "/fantasm/whatever",
]


@pytest.fixture
def harness():
    made = Harness(FSM)
    yield made
    made.close()


@pytest.fixture
def closed():
    app = Flask("closed")
    Fantasm(app, Settings(project="p", definitions=str(FSM)))
    return app.test_client()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
def test_outside_local_mode_every_path_is_closed(closed, path, method):
    """403, saying where to read what opens it; forged headers of a task change nothing."""
    forged = {"X-AppEngine-QueueName": "default", "X-Fantasm-Step": "s", "X-Fantasm-Instance": "i"}
    answer = closed.open(path, method=method, headers=forged)
    if method == "HEAD":
        assert 403 == answer.status_code
    else:
        assert (403, True) == (answer.status_code, "docs/security.md" in answer.json["error"])


def test_every_path_of_ours_is_tried():
    """The list above has them all; what is in the paths does not matter to who may come in."""
    app = Flask("rules")
    Fantasm(app, Settings(mode="local", definitions=str(FSM)))
    paths = app.url_map.bind("localhost")
    tried = {paths.match(path, method)[0] for path in PATHS for method in ("GET", "POST")}
    assert {rule.endpoint for rule in app.url_map.iter_rules()} - tried == {"static", "fantasm.static"}


def test_every_path_is_under_the_prefix():
    """An application's own paths are its own."""
    app = Flask("rules")
    Fantasm(app, Settings(mode="local", definitions=str(FSM)))
    rules = {rule.rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"}
    assert all(rule.startswith("/fantasm/") for rule in rules)
    assert {rule.endpoint.partition(".")[0] for rule in app.url_map.iter_rules()} == {"fantasm", "static"}


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_HOST": "evil.example:8080"},
        {"HTTP_HOST": "127.0.0.1.evil.example"},
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": "10.0.0.1", "HTTP_HOST": "localhost"},
    ],
)
def test_local_mode_answers_this_machine_only(harness, environ):
    """Another host, and a name of somebody else's that points here, are refused."""
    answer = harness.client.get("/fantasm/api/machines", environ_overrides=environ)
    assert 403 == answer.status_code


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:9", "[::1]:8080"])
def test_local_mode_has_many_names(harness, host):
    """By name or by address."""
    answer = harness.client.get("/fantasm/api/machines", environ_overrides={"HTTP_HOST": host})
    assert 200 == answer.status_code


def test_the_style_sheet_is_for_everybody(closed):
    """Also for who has a start link and nothing else; it is in this package, and has nothing of the application."""
    with closed.get("/fantasm/static/console.css") as style, closed.get("/fantasm/static/x") as other:
        assert (200, "text/css", 404) == (style.status_code, style.mimetype, other.status_code)


def test_a_page_of_another_site_cannot_start_anything(harness):
    """Neither by an image's URL nor by a link that is followed: that one leads to a page that asks."""
    for mode, status in (("no-cors", 403), ("cors", 403), ("navigate", 200)):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
        answer = harness.start("MyMachine/", headers=headers)
        assert (status, status == 200) == (answer.status_code, "Nothing has been started" in answer.text)
    assert [] == harness.get("instances")["instances"]
    assert 200 == harness.start("MyMachine/", headers={"Sec-Fetch-Site": "none"}).status_code


OWN = ("http://localhost", "http://LOCALHOST", "https://localhost", None)
OTHERS = ("http://evil.example", "http://localhost:81", "http://localhost.evil.example", "null", "", "x")


@pytest.mark.parametrize("path", [*COMMANDS, "/fantasm/fsm/MyMachine/", "/fantasm/api/holds"])
def test_a_form_of_another_site_is_refused(harness, path):
    """By its origin, and by what browsers say of where it comes from; programs say neither."""
    for origin in OTHERS:
        answer = harness.client.post(path, headers={"Origin": origin})
        assert (403, True) == (answer.status_code, "page of another site" in answer.json["error"]), origin
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Origin": "http://localhost"}
        assert 403 == harness.client.post(path, headers=headers).status_code
    for origin in OWN:
        headers = {"Sec-Fetch-Site": "same-origin"} | ({"Origin": origin} if origin else {})
        assert 403 != harness.client.post(path, headers=headers, json={}).status_code, origin
        answer = harness.client.post(path, headers=headers)
        assert (403, True) == (answer.status_code, "page of the console" in answer.json["error"]), origin
    assert [] == list(harness.datastore.query(kind="FantasmHold").fetch())


def test_a_link_of_another_site_leads_to_pages(harness):
    """Somebody follows it; its page cannot read or change anything by that."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Origin": "null"}
    assert 200 == harness.client.get("/fantasm/failures", headers=headers).status_code
    assert (
        403
        == harness.client.get(
            "/fantasm/failures", headers=headers | {"Sec-Fetch-Mode": "no-cors"}
        ).status_code
    )


@pytest.mark.parametrize(
    "path", [each for each in PATHS if each not in COMMANDS and ("nope" in each or "whatever" in each)]
)
def test_what_is_not_there_is_404(harness, path):
    """With a sentence, not a traceback."""
    answer = harness.client.get(path)
    assert 404 == answer.status_code
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/fantasm/api/instances?limit=0", 400),
        ("/fantasm/api/instances?limit=1001", 400),
        ("/fantasm/api/instances?limit=x", 400),
        ("/fantasm/api/instances?limit=%C2%B2", 400),
        ("/fantasm/api/instances?cursor=%F0%9F%92%A9", 400),
        ("/fantasm/api/instances?cursor=abcd", 400),
        ("/fantasm/api/instances?status=odd", 400),
        ("/fantasm/api/instances?machine=Nope", 404),
        ("/fantasm/api/failures?machine=" + "x" * 501, 400),
        ("/fantasm/api/failures?state=%C3%A9", 400),
        ("/fantasm/api/failures/steps?cursor=abcd", 400),
        ("/fantasm/api/failures/steps?limit=0", 400),
        ("/fantasm/graph/MyMachine?format=pdf", 400),
        ("/fantasm/graph/Nope", 404),
        ("/fantasm/api/instances/" + "x" * 2000, 404),
        ("/fantasm/api/instances/" + "\U0001f600" * 400, 404),
        ("/fantasm/api/instances/nope/steps/" + "\U0001f600" * 400, 404),
        ("/fantasm/api/instances/nope?failed_cursor=abcd", 404),
        (STEP, 400),
    ],
)
def test_wrong_arguments_are_answered_as_json(harness, path, status):
    """A status that fits and one sentence."""
    answer = harness.client.get(path)
    assert status == answer.status_code
    assert answer.json["error"]


def test_other_methods_are_405(harness):
    """With the methods that there are."""
    answer = harness.client.put("/fantasm/api/machines")
    assert (405, "GET") == (answer.status_code, answer.headers["Allow"])
    assert 405 == harness.client.post("/fantasm/api/machines").status_code


def test_forged_headers_of_a_carried_step_are_refused(harness):
    """A step that says it carries everything, and does not."""
    headers = {"X-Fantasm-Step": "s", "X-Fantasm-Instance": "i", "X-Fantasm-Guarantee": "at_least_once"}
    assert 400 == harness.client.get(STEP, headers=headers).status_code
    headers |= {"X-Fantasm-Branch": "b", "X-Fantasm-Number": "x"}
    assert 400 == harness.client.get(STEP, headers=headers).status_code
    for chain in ("5", "[1]", "{"):
        headers |= {"X-Fantasm-Number": "1", "X-Fantasm-Chain": chain}
        assert 400 == harness.client.get(STEP, headers=headers).status_code


def test_a_step_that_never_was_is_done(harness):
    """An unknown step has nothing to replay: it is acked, and nothing is written."""
    headers = {"X-Fantasm-Step": "s", "X-Fantasm-Instance": "i", "X-AppEngine-TaskRetryCount": "x"}
    answer = harness.client.get(STEP, headers=headers)
    assert (200, "replayed") == (answer.status_code, answer.json["verdict"])
    assert [] == list(harness.datastore.query(kind="FantasmStep").fetch())


def test_an_unexpected_error_is_answered_without_its_traceback(harness):
    """500 and the kind of error; the log has the rest."""

    def around(rpc: Rpc, carry_out):
        raise ZeroDivisionError("secret")

    harness.around = around
    answer = harness.client.get("/fantasm/api/instances")
    assert (500, False) == (answer.status_code, "secret" in answer.text)


@pytest.mark.parametrize(
    ("form", "begins"), [("svg", "<"), ("dot", "digraph"), ("mermaid", "stateDiagram-v2")]
)
@pytest.mark.parametrize("path", ["/fantasm/graphviz/MyMachine/", "/fantasm/graph/MyMachine"])
def test_a_machine_is_drawn(harness, path, form, begins):
    """Under Fantasm's two addresses, as SVG or text."""
    answer = harness.client.get(f"{path}?format={form}")
    assert (200, True) == (answer.status_code, answer.text.lstrip().startswith(begins))
    assert {"svg": "image/svg+xml"}.get(form, "text/plain") == answer.mimetype


def test_instances_are_listed_newest_first_with_filters_and_a_cursor(harness):
    """Pages of two, by machine and by status."""
    started = []
    for i in range(5):
        started.append(harness.start(("MyMachine/", "SendSubscriberEmail/")[i % 2]).json["instance"])
        harness.clock.sleep(1)
    listed, cursor = [], ""
    while True:
        page = harness.get(f"instances?limit=2&cursor={cursor}")
        listed += [each["instance"] for each in page["instances"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert started[::-1] == listed
    of_machine = harness.get("instances?machine=SendSubscriberEmail&status=running")["instances"]
    assert [started[3], started[1]] == [each["instance"] for each in of_machine]
    harness.run()
    assert [] == harness.get("instances?status=running")["instances"]
    assert 5 == len(harness.get("instances?status=completed")["instances"])
    counts = {each["machine"]: each["instances"] for each in harness.get("machines")["machines"]}
    assert {"running": 0, "paused": 0, "completed": 3, "failed": 0, "cancelled": 0} == counts["MyMachine"]
