"""The extension in applications of all kinds: late, beside other routes, under a prefix, mounted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from operated import DEFINITIONS
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from fantasm_gcp import Fantasm, FantasmError, Settings, SettingsError, current_fantasm, mount
from fantasm_gcp.testing import Harness

ROOT = Path(__file__).parents[2]
ENVIRON = {"FANTASM_MODE": "local", "FANTASM_DEFINITIONS": str(DEFINITIONS.resolve())}


def paths_of(harness):
    """Runs everything to its end and answers where tasks were delivered, without their queries."""
    paths = []
    while (attempt := harness.next_attempt()) is not None:
        paths.append(attempt.delivery.url.partition("?")[0])
        assert "succeeded" == harness.deliver(attempt).result
    return paths


def below_office():
    """An application that a server mounts at /office: inside, its paths are without that."""
    app = Flask("office")
    app.config["APPLICATION_ROOT"] = "/office"
    app.wsgi_app = DispatcherMiddleware(NotFound(), {"/office": app.wsgi_app})
    return app


def test_tasks_go_to_where_the_application_is_mounted():
    """And what an answer links to is there, too."""
    with Harness(DEFINITIONS, application=below_office) as harness:
        answer = harness.client.get("/office/fantasm/fsm/Walk/").json
        paths = paths_of(harness)
        assert ["/office/fantasm/fsm/Walk/pseudo-init/pseudo-init/First/"] == paths[:1]
        assert all(each.startswith("/office/fantasm/fsm/Walk/") for each in paths)
        assert "completed" == harness.client.get(answer["status_url"]).json["status"]
        page = harness.client.get(answer["console_url"])
        assert (200, True) == (page.status_code, 'href="/office/fantasm/static/console.css"' in page.text)
        assert 404 == harness.client.get("/fantasm/").status_code


@pytest.mark.parametrize("path", ["", "fsm/Walk/", "fsm/Walk/a/b/c/", "api/instances", "sweep", "whatever"])
@pytest.mark.parametrize("settings", [Settings(definitions=str(DEFINITIONS)), Settings.from_environ(ENVIRON)])
def test_what_is_refused_is_not_answered_by_the_applications_own_pages(path, settings):
    """A page for 403 or 404 that forgets the status would tell Cloud Tasks that a step is done."""
    app = Flask("pages")
    for status in (400, 401, 403, 404, 405):
        app.register_error_handler(status, lambda error: "we are sorry")
    Fantasm(app, settings)
    environ = {"REMOTE_ADDR": "192.0.2.7"} if settings.is_local else {}
    answer = app.test_client().post(f"/fantasm/{path}", environ_overrides=environ)
    assert (403, True) == (answer.status_code, "error" in answer.json)
    assert "we are sorry" == app.test_client().get("/theirs").text


def test_an_application_may_get_the_extension_late():
    """The usual two lines of a Flask extension; routes that were there answer as before."""
    app = Flask("late")
    app.add_url_rule("/", "home", lambda: "mine")
    fantasm = Fantasm(settings=Settings.from_environ(ENVIRON))
    fantasm.init_app(app)
    client = app.test_client()
    assert ("mine", 200) == (client.get("/").text, client.get("/fantasm/graph/Walk").status_code)
    with app.app_context():
        assert fantasm is current_fantasm()


@pytest.mark.parametrize("prefix", ["/jobs/flows", "jobs/flows", "/jobs/flows/"])
def test_a_prefix_takes_the_place_of_the_files_root(prefix):
    """With or without slashes at its ends."""
    app = Flask("prefixed")
    Fantasm(app, Settings.from_environ(ENVIRON), url_prefix=prefix)
    statuses = [
        app.test_client().get(f"{root}/graph/Walk").status_code for root in ("/jobs/flows", "/fantasm")
    ]
    assert [200, 404] == statuses


@pytest.mark.parametrize("prefix", ["", "/", "/a//b", "/a/../b", "/a b", "/<machine>", "https://a/b", "/a?b"])
def test_what_is_no_prefix_is_refused(prefix):
    """The root itself is one that is not the extension's."""
    with pytest.raises(SettingsError, match="is no path"):
        Fantasm(Flask("prefixed"), Settings.from_environ(ENVIRON), url_prefix=prefix)


def other(environ, start_response):
    """Somebody's WSGI application."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"other {environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]


@pytest.fixture
def mounted():
    return mount(other, Settings.from_environ(ENVIRON))


@pytest.mark.parametrize("path", ["/", "/fantasmagoria", "/fantas", "/other/fantasm/", "/_ah/warmup"])
def test_paths_elsewhere_go_to_the_other_application(mounted, path):
    """As they came."""
    assert f"other |{path}" == Client(mounted).get(path).text


@pytest.mark.parametrize(
    ("path", "status"), [("/fantasm/graph/Walk", 200), ("/fantasm/nothing", 404), ("/fantasm/graph/No", 404)]
)
def test_machines_are_served_beside_any_application(mounted, path, status):
    """Under their root, and nowhere else."""
    assert status == Client(mounted).get(path).status_code


def test_a_mounted_application_starts_machines(mounted):
    """Its extension is there to be used; a machine that is not there is refused."""
    with pytest.raises(FantasmError, match="unknown machine 'Nothing'"):
        mounted.fantasm.start_machine("Nothing")


DEPLOYED = {"GAE_ENV": "standard", "GOOGLE_CLOUD_PROJECT": "p", "FANTASM_LOCATION": "us-central1"}


def test_only_what_is_deployed_is_warmed_up():
    """Without Datastore that is no failure: the first step says what is wrong."""
    definitions = {"FANTASM_DEFINITIONS": ENVIRON["FANTASM_DEFINITIONS"]}
    near, far = Flask("near"), Flask("far")
    Fantasm(near, Settings.from_environ(ENVIRON))
    Fantasm(far, Settings.from_environ(DEPLOYED | definitions))
    assert 404 == near.test_client().get("/_ah/warmup").status_code
    assert "/_ah/warmup" in map(str, far.url_map.iter_rules())


def test_an_instance_that_warms_up_reads_once():
    """However often it is asked for: anybody may."""
    settings = {"mode": "", "runtime": "App Engine", "location": "x", "logs": "none", "iap_audience": "x"}
    reads = []

    def counting(rpc, carry_out):
        reads.append(rpc.method)
        return carry_out()

    with Harness(DEFINITIONS, settings=settings, around=counting) as harness:
        assert [204, 204] == [harness.client.get("/_ah/warmup").status_code for _ in range(2)]
    assert ["RunQuery"] == reads


BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "flask.md").read_text(), re.DOTALL)


@pytest.fixture
def printed(tmp_path, monkeypatch):
    """Runs a block of docs/flask.md in a directory with an fsm.yaml, and answers its names."""
    (tmp_path / "fsm.yaml").write_text(DEFINITIONS.read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FANTASM_MODE", "local")

    def run(block):
        names = {"__name__": "printed"}
        exec(BLOCKS[block], names)
        return names

    return run


def test_the_examples_of_the_guide_run_as_they_are_printed(printed):
    """The factory, the mounted site, and a session that decides who operates."""
    app = printed(0)["create_app"]()
    assert 200 == app.test_client().get("/fantasm/graph/Walk").status_code
    application = Client(printed(1)["application"])
    assert ("the site", 200) == (
        application.get("/").text,
        application.get("/fantasm/graph/Walk").status_code,
    )
    names = printed(2)
    names["app"].secret_key = "k"
    for user, role in (("boss", "operator"), ("clerk", "viewer"), ("else", None)):
        with names["app"].test_request_context():
            names["session"]["user"] = user
            assert role == names["authorize"](None)


@pytest.mark.parametrize("role", ["admin", "tasks", "scheduler", "starter", "invited", "", True, "Operator"])
def test_a_role_that_is_none_is_an_error_and_opens_nothing(role):
    """A mistake in an application's own function; the log has it. It makes nobody a queue or a scheduler."""
    app = Flask("wrong")
    settings = Settings.from_environ({"FANTASM_DEFINITIONS": ENVIRON["FANTASM_DEFINITIONS"]})
    Fantasm(app, settings, authorize=lambda request: role)
    assert 500 == app.test_client().get("/fantasm/graph/Walk").status_code


@pytest.mark.parametrize(
    ("role", "statuses"), [("viewer", [200, 403]), ("operator", [200, 404]), (None, [403, 403])]
)
def test_an_application_says_who_operates_it(role, statuses):
    """Looking, and commanding."""
    app = Flask("with users")
    settings = Settings.from_environ({"FANTASM_DEFINITIONS": ENVIRON["FANTASM_DEFINITIONS"]})
    Fantasm(app, settings, authorize=lambda request: role)
    client = app.test_client()
    shown = client.get("/fantasm/graph/Walk").status_code
    assert statuses == [shown, client.post("/fantasm/graph/No/x").status_code]


def test_a_start_link_is_made_for_as_long_as_a_replay_starts_nothing():
    """Ten days, or an hour where nothing is recorded; after that it is not good any more."""
    settings = {"start_secret": "a-secret-of-more-than-twenty-four-bytes"}
    with Harness(DEFINITIONS, settings=settings) as harness:
        path = harness.fantasm.start_url("Walk", {"a": "b"}, expires=10 * 24 * 3600)
        assert [True, False] == [harness.client.post(path).json["created"] for _ in range(2)]
        with pytest.raises(FantasmError, match="864,000 seconds at most"):
            harness.fantasm.start_url("Walk", expires=10 * 24 * 3600 + 1)
        light = harness.fantasm.start_url("Light", expires=3600)
        with pytest.raises(FantasmError, match="3,600 seconds at most"):
            harness.fantasm.start_url("Light", expires=3601)
        harness.clock.sleep(3601)
        assert [200, 403] == [harness.client.post(each).status_code for each in (path, light)]
        with pytest.raises(FantasmError, match="unknown machine"):
            harness.fantasm.start_url("Nothing")
