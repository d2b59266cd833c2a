"""The pages and the JSON API of the local Cloud Tasks server: what they show, do, and refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from tasks_support import LOCATION, QUEUE, START, Client, Clock, app_engine_task, http_task, task_name

from fantasm_gcp.local.pages import create_tasks_pages
from fantasm_gcp.local.tasks import Response, TasksServer

OTHER = f"{LOCATION}/queues/other"
HOSTILE = "\"'><script>alert(1)</script>&<img/src=x/onerror=alert(1)>"


def app_of(server: TasksServer, prefix: str | None = None, **options: Any) -> Flask:
    app = Flask("pages", static_folder=None)
    app.testing = True  # what goes wrong inside is raised, and not answered with 500
    app.register_blueprint(create_tasks_pages(server, **options), url_prefix=prefix)
    return app


@pytest.fixture
def web(server: TasksServer) -> FlaskClient:
    return app_of(server).test_client()


def create(client: Client, *task_ids: str, queue: str = QUEUE, **fields: Any) -> None:
    for task_id in task_ids:
        client.create_task(parent=queue, task={**http_task(**fields), "name": task_name(task_id, queue)})


class Outline(HTMLParser):
    """What of a page tests ask about: its elements with their attributes, and its forms."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.elements.append((tag, values))
        if tag == "form":
            self.forms.append((values["action"], {}))
        if tag in ("input", "select") and self.forms:
            self.forms[-1][1][values["name"]] = values.get("value", "")


def pages_of(server: TasksServer) -> Iterator[str]:
    """The path of every kind of page, the server having something for all of them."""
    yield "/"
    yield "/attempts"
    for queue in server.queues():
        yield f"/queues/{queue.name}"
        for task in server.tasks(queue.name)[0]:
            yield f"/tasks/{task.name}"


def fill(client: Client, server: TasksServer) -> None:
    """Everything that a page may show, and hostile texts wherever a client may put one."""
    create(client, "done", "failed", "flying")
    for status in (200, 500):
        attempt = server.lease()
        assert attempt is not None
        server.finish(attempt, Response(status), HOSTILE)
    server.lease()
    create(client, "first", "second", queue=OTHER)
    url = {
        "url": f"http://worker.example/{HOSTILE}",
        "headers": {"X-Mine": HOSTILE},
        "body": HOSTILE.encode(),
    }
    create(client, "hostile", queue=OTHER, http_request=url)
    target = {"relative_uri": f"/{HOSTILE}", "body": HOSTILE.encode()}
    target |= {"app_engine_routing": {"service": HOSTILE}}
    client.create_task(
        parent=OTHER,
        task={**app_engine_task(app_engine_http_request=target), "name": task_name("app", OTHER)},
    )
    server.fail_next(3, queue=OTHER, status=None, reach=True)
    server.fail_next(task=task_name("failed"))
    server.pause(OTHER)
    server.advance(5000)


# What is shown.


def test_the_first_page_shows_what_there_is(client: Client, server: TasksServer, web: FlaskClient) -> None:
    """Queues with state and depth, the clock's shift, faults, attempts."""
    fill(client, server)
    html = web.get("/").text

    for words in (
        '<span class="status paused">paused</span>',
        '<span class="status running">running</span>',
        "1 h 23 min ahead",
        "3 to fail",
        "no answer, worker called, in <code>other</code>",
        "at <code>work/failed</code>",
        "1 in flight",
        '<span class="status completed">200</span>',
        '<span class="status failed">500</span>',
    ):
        assert words in html


def test_nothing_that_a_client_says_becomes_markup(
    client: Client, server: TasksServer, web: FlaskClient
) -> None:
    """Not in a URL, a header, a body, a service, or the words of an exception; on no page."""
    fill(client, server)

    for path in pages_of(server):
        answer = web.get(path)
        outline = Outline(answer.text)
        assert answer.status_code == 200, path
        assert ["/assets/tasks.js"] == [each.get("src") for tag, each in outline.elements if tag == "script"]
        assert [] == [each for tag, each in outline.elements if tag == "img" or "onerror" in each], path
        assert [] == [each for _, each in outline.elements if "style" in each or "onclick" in each], path


@pytest.mark.parametrize("prefix", [None, "/fantasm/tasks"])
def test_every_link_and_form_of_every_page_leads_somewhere(
    client: Client, server: TasksServer, prefix: str | None
) -> None:
    """At the root and under a prefix: links are followed; forms are posted as they stand."""
    web = app_of(server, prefix).test_client()
    fill(client, server)
    html = {path: web.get(f"{prefix or ''}{path}").text for path in pages_of(server)}
    links, forms = set(), {}
    for text in html.values():
        outline = Outline(text)
        links |= {
            each["href"] for tag, each in outline.elements if tag == "a" and not each["href"].startswith("#")
        }
        links |= {each["src"] for tag, each in outline.elements if tag == "script"}
        forms |= {(action, tuple(fields.items())): fields for action, fields in outline.forms}

    for link in sorted(links):
        with web.get(link) as answer:
            assert answer.status_code == 200, link

    def turn(form: tuple[str, Any]) -> int:
        """What takes away from under others comes after them, and faults are taken back before any is used."""
        words = ("cancel", "", "drop", "purge", "reset")
        return max(n for n, word in enumerate(words) if word in form[0]) if "cancel" not in form[0] else 0

    for action, fields in sorted(forms, key=turn):
        posted = {"seconds": "1", **dict(fields)} if "advance" in action else dict(fields)
        answer = web.post(action, data=posted | ({"timeout": "0"} if "wait" in action else {}))
        assert answer.status_code == 303, (action, answer.text)
        shown = web.get(answer.headers["Location"])
        assert (200, 'class="notice"') == (shown.status_code, re.search(r'class="notice"', shown.text)[0])  # type: ignore[index]


def test_a_queue_is_shown_page_by_page(client: Client, server: TasksServer, web: FlaskClient) -> None:
    """Fifty tasks each; the last page says that it is."""
    create(client, *(f"t{n:03}" for n in range(101)))
    names, path = [], "/queues/work"
    while path:
        outline = Outline(web.get(path).text)
        names += [
            each["href"].rpartition("/")[2]
            for tag, each in outline.elements
            if tag == "a" and each.get("class") == "name"
        ]
        path = next((each["href"] for tag, each in outline.elements if each.get("rel") == "next"), "")

    assert [f"t{n:03}" for n in range(101)] == names


def test_many_queues_are_shown_page_by_page(client: Client, server: TasksServer, web: FlaskClient) -> None:
    """A hundred each."""
    for n in range(103):
        client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/q{n:03}"})
    first = web.get("/").text
    following = next(each["href"] for _, each in Outline(first).elements if each.get("rel") == "next")
    second = web.get(following).text

    assert (100, 3) == (first.count('<tr id="queue-'), second.count('<tr id="queue-'))


def test_a_body_is_shown_in_part_and_given_whole(
    client: Client, server: TasksServer, web: FlaskClient
) -> None:
    """Text cut between two characters, bytes that are no text; the file is never shown by a browser."""
    text = ("x" + "ü" * 5000).encode()
    create(client, "text", http_request={"url": "http://worker.example/", "body": text})
    create(client, "bytes", http_request={"url": "http://worker.example/", "body": b"\xff\x00\xfe"})

    shown = web.get("/tasks/work/text").text
    assert ("x" + "ü" * 2047 + "</pre>") in shown
    assert "Body, 9.8 KB" in shown
    assert ">ff 00 fe</pre>" in web.get("/tasks/work/bytes").text
    answer = web.get("/bodies/work/text")
    assert (text, "application/octet-stream", "attachment; filename=body.bin") == (
        answer.data,
        answer.mimetype,
        answer.headers["Content-Disposition"],
    )


def test_what_cannot_be_seen_is_written_out(client: Client, server: TasksServer, web: FlaskClient) -> None:
    """Controls and changes of direction in a URL, a header, a body and an answer; zeros make a body binary."""
    hidden = "a\u202eb\x1b[31m"
    request = {"url": f"http://worker.example/?{hidden}", "headers": {"X-Mine": "a\u202eb"}}
    create(client, "text", http_request={**request, "body": hidden.encode()})
    create(client, "bytes", http_request={"url": "http://worker.example/", "body": b"a\x00b"})
    attempt = server.lease()
    assert attempt is not None
    server.finish(attempt, Response(500, body=f"failed: {hidden}".encode()))

    html = web.get("/tasks/work/text").text
    assert [] == re.findall("[\x00-\x08\x0b-\x1f\u202a-\u202e]", html + web.get("/queues/work").text)
    for words in ("/?a\\u202eb\\u001b[31m", "X-Mine: a\\u202eb", ">a\\u202eb\\u001b[31m</pre>"):
        assert words in html
    assert ">61 00 62</pre>" in web.get("/tasks/work/bytes").text


def test_a_failure_shows_what_the_worker_said(client: Client, server: TasksServer, web: FlaskClient) -> None:
    """The beginning of its answer in one line, in the API too; what a success said is of no interest."""
    create(client, "bad", "good")
    for response in (Response(422, body=b'{"error":\n "no <b>"}' + b"x" * 4000), Response(200, body=b"fine")):
        attempt = server.lease()
        assert attempt is not None
        server.finish(attempt, response)

    ended = web.get("/api/attempts").json["ended"]  # type: ignore[index]  # it is an object
    assert ["", '{"error": "no <b>"}xxx', 300] == [
        ended[0]["reason"],
        ended[1]["reason"][:22],
        len(ended[1]["reason"]),
    ]
    assert "{&#34;error&#34;: &#34;no &lt;b&gt;&#34;}xxx" in web.get("/tasks/work/bad").text


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (
            {"oidc_token": {"service_account_email": "a@b.example", "audience": "x<y"}},
            "a@b.example for x&lt;y",
        ),
        ({"oidc_token": {"service_account_email": "a@b.example"}}, "a@b.example, for its URL"),
        ({"oauth_token": {"service_account_email": "a@b.example"}}, "OAuth, a@b.example"),
        ({}, ""),
    ],
)
def test_a_task_shows_its_token_and_its_deadline(
    client: Client, web: FlaskClient, token: dict[str, Any], words: str
) -> None:
    """Whose it is and for whom: what a receiver that refuses it wants to see."""
    target = {
        "url": "https://googleapis.com/x" if "oauth_token" in token else "http://worker.example/",
        **token,
    }
    create(client, "one", http_request=target, dispatch_deadline={"seconds": 30})

    html = web.get("/tasks/work/one").text
    assert words in html
    assert bool(token) is ("<dt>Token</dt>" in html)
    assert "<dt>Deadline of an attempt</dt><dd>30 s</dd>" in html


def test_queues_of_several_projects_are_told_apart(client: Client, web: FlaskClient) -> None:
    """By project and location, which are left out as long as all have the same."""
    create(client, "one")
    assert LOCATION not in re.sub("<.*?>", "", web.get("/").text)

    elsewhere = "projects/another/locations/us-east1"
    client.create_task(parent=f"{elsewhere}/queues/work", task=http_task())

    words = re.sub("<.*?>", "", web.get("/").text)
    assert (1, 1) == (words.count(LOCATION), words.count(elsewhere))


def test_a_task_that_is_over_shows_what_is_remembered(
    client: Client, server: TasksServer, web: FlaskClient
) -> None:
    """Its attempts, for a link to it was just there; one that was never tried is not found."""
    create(client, "one", "two")
    attempt = server.lease()
    assert attempt is not None
    server.finish(attempt, Response(200))
    server.drop(task_name("two"))

    answer = web.get("/tasks/work/one")
    assert (200, True) == (answer.status_code, "This task is over." in answer.text)
    assert web.get("/tasks/work/two").status_code == 404


def test_pages_are_fit_for_everybody(client: Client, server: TasksServer, web: FlaskClient) -> None:
    """One heading of the first rank, every control named, tables with captions, a way past the bar."""
    fill(client, server)
    for path in pages_of(server):
        html = web.get(path).text
        outline = Outline(html)
        tags = [tag for tag, _ in outline.elements]
        assert (1, tags.count("table"), tags.count("table")) == (
            tags.count("h1"),
            tags.count("caption"),
            html.count('role="region"'),
        ), path
        assert ("html", {"lang": "en"}) in outline.elements
        assert 'class="skip" href="#content"' in html
        controls = len(re.findall(r"<(?:select|input(?! type=\"hidden\"))", html))
        assert controls == len(re.findall(r"<label>[^<]+<(?:select|input)", html)), path
        assert [] == re.findall(r"<button[^>]*>\s*</button>", html)
        ids = [each["id"] for _, each in outline.elements if "id" in each]
        assert sorted(set(ids)) == sorted(ids), path


def test_certificates_are_linked_when_there_are_any(server: TasksServer) -> None:
    """Where the factory says they are."""
    web = app_of(server, certificates_url="/oauth2/v1/certs?a=1&b").test_client()
    assert 'href="/oauth2/v1/certs?a=1&amp;b"' in web.get("/").text


# The JSON API.


def test_the_api_does_everything_the_controls_do(
    client: Client, server: TasksServer, web: FlaskClient, clock: Clock
) -> None:
    """Each request of the table once, with what it answers."""
    create(client, "one", schedule_time=datetime.fromtimestamp(START + 3600, UTC))
    create(client, "two")
    one = task_name("one")

    def post(path: str, **fields: Any) -> Any:
        answer = web.post(f"/api/{path}", json=fields)
        assert answer.status_code == 200, answer.text
        return answer.json

    assert {"queue": QUEUE, "state": "PAUSED"} == post("queues/work/pause")
    assert {"queue": QUEUE, "state": "RUNNING"} == post(f"queues/{QUEUE}/resume")
    assert {"state": "PAUSED"} == post("pause")
    assert "PAUSED" == web.get("/api/queues/work").json["state"]
    assert {"state": "RUNNING"} == post("resume")
    assert {"idle": False} == post("wait", timeout=0)
    assert {"task": task_name("two")} == post("step", queue="work")
    server.finish(server.lease(), Response(200))  # type: ignore[arg-type]
    assert {"idle": True} == post("wait", timeout=0)
    assert {"idle": False} == post("wait", timeout=0, scheduled=True)
    assert {"now": "2027-01-15T09:00:00.250Z", "shift_seconds": 3600.0} == post("clock/advance", seconds=3600)
    assert [one] == server.due()
    assert {"fault": 1} == post("fail-next", count=2, status=None, queue="work", reach=True)
    assert {"fault": 2} == post("fail-next", task="work/one", status=503)
    assert [
        {"fault": 1, "left": 2, "queue": QUEUE, "task": None, "status": None, "reach": True},
        {"fault": 2, "left": 1, "queue": None, "task": one, "status": 503, "reach": False},
    ] == web.get("/api/faults").json["faults"]
    assert {"task": one, "times": 2} == post("tasks/work/one/run", times=2, overlapping=False)
    server.finish(server.lease(), Response(200))  # type: ignore[arg-type]
    attempts = web.get("/api/attempts").json
    assert ([1], ["overlapped", "succeeded"], None) == (
        [each["number"] for each in attempts["in_flight"]],
        [each["result"] for each in attempts["ended"]],
        attempts["ended"][0]["status"],
    )
    assert {"fault": 2} == post("faults/2/cancel")
    assert {} == post("faults/cancel")
    assert {"faults": []} == web.get("/api/faults").json
    assert (True, 2) == (
        web.get("/api/tasks/work/one").json["in_flight"],
        web.get(f"/api/tasks/{one}").json["attempts"],
    )
    assert {"task": one} == post(f"tasks/{one}/drop")
    create(client, "three")
    assert {"queue": QUEUE, "depth": 0} == post("queues/work/purge")
    assert {} == post("reset")
    assert ({"queues": []}, 0.0) == (
        web.get("/api/queues").json,
        web.get("/api/clock").json["shift_seconds"],
    )


def test_the_api_lists_tasks_page_by_page(client: Client, web: FlaskClient) -> None:
    """A hundred each, by the ``after`` that the answer before had as ``next``."""
    create(client, *(f"t{n:03}" for n in range(250)))
    names: list[str] = []
    after: int | None = 0
    while after is not None:
        page = web.get(f"/api/tasks?queue=work&after={after}").json
        names += [each["name"].rpartition("/")[2] for each in page["tasks"]]
        after = page["next"]

    assert [f"t{n:03}" for n in range(250)] == names


def test_large_tasks_come_fewer_at_a_time(client: Client, web: FlaskClient) -> None:
    """In the API and on the page of the queue, which are asked for every other second."""
    body = b"x" * 1_000_000
    for n in range(9):
        create(client, f"t{n}", http_request={"url": "http://worker.example/", "body": body})

    first = web.get("/api/tasks?queue=work").json
    rest = web.get(f"/api/tasks?queue=work&after={first['next']}").json

    assert (8, 1, None) == (len(first["tasks"]), len(rest["tasks"]), rest["next"])
    assert f"after={first['next']}" in web.get("/queues/work").text


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("clock/advance", "{", 400, "not JSON"),
        ("clock/advance", "[1]", 400, "no object"),
        ("clock/advance", "[" * 60_000, 400, "JSON"),
        ("clock/advance", "\xff\xfe", 400, "not JSON"),
        ("clock/advance", "", 400, "by how many seconds"),
        ("clock/advance", '{"second": 5}', 400, "did you mean seconds?"),
        ("clock/advance", '{"seconds": "soon"}', 400, "seconds must be a number"),
        ("clock/advance", '{"seconds": true}', 400, "seconds must be a number"),
        ("clock/advance", '{"seconds": [5]}', 400, "seconds must be a number"),
        ("clock/advance", '{"seconds": -5}', 400, "0 or more"),
        ("clock/advance", '{"seconds": NaN}', 400, "0 or more"),
        ("clock/advance", '{"seconds": 1e999}', 400, "0 or more"),
        ("clock/advance", '{"seconds": 1' + "0" * 400 + "}", 400, "seconds must be a number"),
        ("clock/advance", '{"seconds": 1' + "0" * 5000 + "}", 400, "not JSON"),
        ("clock/advance", '{"seconds": ' + " " * 70_000 + "5}", 413, "exceeds"),
        ("wait", '{"timeout": 601}', 400, "0 to 600"),
        ("wait", '{"timeout": -1}', 400, "0 to 600"),
        ("wait", '{"timeout": NaN}', 400, "0 to 600"),
        ("wait", '{"scheduled": "perhaps"}', 400, "true or false"),
        ("step", '{"queue": 5}', 400, "queue must be a text"),
        ("step", '{"queue": "none"}', 404, "No queue has the id"),
        ("step", '{"queue": "projects/p"}', 400, "Queue name must be formatted"),
        ("step", f'{{"queue": "{OTHER}"}}', 404, "Queue does not exist"),
        ("fail-next", '{"count": 1.5}', 400, "whole number"),
        ("fail-next", '{"count": 1e400}', 400, "whole number"),
        ("fail-next", '{"count": 0}', 400, "1 to 1000000"),
        ("fail-next", '{"status": 200}', 400, "not the status of a failure"),
        ("fail-next", '{"reach": 1}', 400, "true or false"),
        ("fail-next", '{"task": "one"}', 404, "QUEUE/TASK"),
        ("fail-next", f'{{"task": "{QUEUE}/tasks/a.b"}}', 400, "Task ID"),
        ("faults/1/cancel", "", 404, "api/faults lists"),
        ("faults/x/cancel", "", 404, "api/faults lists"),
        ("faults/99999999999999999999/cancel", "", 404, "api/faults lists"),
        ("tasks/work/one/run", '{"times": 101}', 400, "1 to 100"),
        ("tasks/work/none/run", "", 404, "not found"),
        ("tasks/work/none/drop", "", 404, "not found"),
        ("tasks/one/run", "", 404, "QUEUE/TASK"),
        ("queues/none/pause", "", 404, "There are work"),
        ("queues/pause", "", 405, "asked for by GET"),
        ("pause/work", "", 404, "There is no api/pause/work"),
        ("reset", '{"sure": true}', 400, "no fields here"),
        ("clock", "", 405, "asked for by GET"),
        ("nonsense/%3Cb%3E", "", 404, "There is no api/nonsense"),
    ],
    ids=lambda value: str(value)[:40].encode("unicode_escape").decode(),
)
def test_a_wrong_request_says_what_to_do(
    client: Client, server: TasksServer, web: FlaskClient, path: str, body: str, status: int, words: str
) -> None:
    """As JSON, with a proper status, and nothing has changed."""
    create(client, "one")
    before = (server.queues(), server.tasks(QUEUE), server.clock(), server.faults())

    answer = web.post(f"/api/{path}", data=body.encode("latin-1"))

    assert (status, True) == (answer.status_code, words in answer.json["error"]), answer.json["error"]
    assert before == (server.queues(), server.tasks(QUEUE), server.clock(), server.faults())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/tasks", 400),
        ("/api/tasks?queue=work&after=-1", 400),
        ("/api/tasks?queue=work&after=99999999999999999999", 400),
        ("/api/tasks?queue=work&after=x", 400),
        ("/api/tasks?queue=nope", 404),
        ("/api/tasks/work", 404),
        ("/api/tasks/work/one%00", 400),
        ("/api/queues/nope", 404),
        ("/api/reset", 405),
        ("/queues/nope", 404),
        ("/queues/work?after=x", 400),
        ("/queues/projects/p", 400),
        ("/tasks/work/nope", 404),
        ("/tasks/work/" + "x" * 600, 400),
        ("/bodies/work/nope", 404),
        ("/?after=" + "%00%ff" * 10, 200),
        ("/?done=%3Cscript%3E", 200),
        ("/do/reset", 405),
    ],
)
def test_looking_for_what_is_not_there(client: Client, web: FlaskClient, path: str, status: int) -> None:
    """A page or JSON, as was asked; never a crash."""
    create(client, "one")
    answer = web.get(path)

    assert (status, path.startswith("/api/")) == (answer.status_code, answer.is_json)
    assert "<script>" not in answer.text


def test_a_short_name_of_several_queues_is_refused(client: Client, web: FlaskClient) -> None:
    """Of two locations: with an example of a full name, which works."""
    for location in (LOCATION, "projects/demo/locations/there"):
        client.create_queue(parent=location, queue={"name": f"{location}/queues/work"})

    answer = web.post("/api/queues/work/pause")
    assert (409, f"name one in full, for example {QUEUE}" in answer.json["error"]) == (
        answer.status_code,
        True,
    )
    assert web.post(f"/api/queues/{QUEUE}/pause").status_code == 200


def test_a_closed_server_is_unavailable(server: TasksServer, web: FlaskClient) -> None:
    """On pages and in JSON."""
    server.close()
    assert [503] * 4 == [
        web.get("/").status_code,
        web.get("/api/queues").status_code,
        web.post("/api/reset").status_code,
        web.post("/do/pause").status_code,
    ]


# Safety.

SECURED = (
    "/",
    "/attempts",
    "/api/queues",
    "/assets/tasks.css",
    "/assets/tasks.js",
    "/queues/none",
    "/api/none",
)


@pytest.mark.parametrize("path", SECURED)
def test_every_answer_forbids_what_it_does_not_need(web: FlaskClient, path: str) -> None:
    """No inline script, no frame, no guess at types; errors and files too."""
    with web.get(path) as answer:
        headers = answer.headers
    policy = headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "nosniff" == headers["X-Content-Type-Options"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "Cross-Site"},
        {"Sec-Fetch-Site": "new-kind"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://evil.example/localhost"},
        {"Origin": "http://localhost, http://evil.example"},
        {"Origin": "http://evil.example@localhost"},
        {"Origin": "http://[::1"},
        {"Origin": "localhost"},
    ],
)
@pytest.mark.parametrize("path", ["/api/pause", "/do/pause", "/api/none"])
def test_no_page_of_another_site_changes_anything(
    client: Client, server: TasksServer, web: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    """403 before anything is looked at."""
    create(client, "one")

    assert 403 == web.post(path, headers=headers).status_code
    assert server.queue(QUEUE).running


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"},
        {"Host": "[::1]:8080", "Origin": "http://[::1]:8080"},
        {"Host": "LocalHost:8080", "Origin": "http://localhost:8080"},
        {"Host": "localhost", "Origin": "https://localhost"},
    ],
)
def test_programs_and_own_pages_may(client: Client, web: FlaskClient, headers: dict[str, str]) -> None:
    """With no origin, or with that of the page itself."""
    create(client, "one")

    assert 200 == web.post("/api/pause", headers=headers).status_code


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "10.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "[::]",
        "[fe80::1]",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost:x",
        "localhost/evil",
        "2130706433",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/queues", "/assets/tasks.js"])
def test_a_name_that_is_not_this_machines_is_not_answered(web: FlaskClient, path: str, host: str) -> None:
    """Looking included: what a rebound name reads is read by whoever owns the name."""
    with web.get(path, headers={"Host": host}) as answer:
        assert answer.status_code in (400, 403)
    assert web.post("/api/reset", headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "app.localhost:8080", "127.0.0.1", "127.1.2.3:8080", "[::1]:8080"]
)
def test_every_name_of_this_machine_is_answered(web: FlaskClient, host: str) -> None:
    """With and without a port."""
    assert 200 == web.get("/", headers={"Host": host}).status_code


def test_other_hosts_are_answered_when_they_are_named(server: TasksServer) -> None:
    """With any port, and no others."""
    web = app_of(server, hosts=["Dev.Example"]).test_client()

    assert [200, 403] == [
        web.get("/", headers={"Host": host}).status_code for host in ("dev.example:8080", "sub.dev.example")
    ]


@pytest.mark.parametrize(
    ("back", "at"),
    [
        ("//evil.example", ""),
        ("http://evil.example", ""),
        ("queue", "//evil.example"),
        ("task", "http://evil.example/"),
        ("queue", "..\r\nX: y"),
        ("queue", "\\\\evil.example"),
    ],
)
def test_no_form_leads_to_another_site(client: Client, web: FlaskClient, back: str, at: str) -> None:
    """Whatever it says of the page to go back to."""
    create(client, "one")
    location = web.post("/do/pause", data={"back": back, "at": at}).headers["Location"]

    assert re.match(r"/(\?|queues/|tasks/)", location), location
    assert "\r" not in location


def test_a_form_with_a_field_too_many_is_refused(server: TasksServer, web: FlaskClient) -> None:
    """As a page that says so."""
    answer = web.post("/do/reset", data={"sure": "yes"})

    assert (400, True) == (answer.status_code, "There is no field" in answer.text)
    assert 413 == web.post("/do/reset", data={"sure": "x" * 70_000}).status_code
