"""`fantasm settings`: every setting, its value, and where that comes from."""

import http.server
import json
import os
import threading
from dataclasses import fields

import pytest

from fantasm_gcp.cli.main import main
from fantasm_gcp.settings import Settings

SECRET = "hunter2-" * 4
ANSWERS = {
    "project/project-id": "shop-1",
    "project/numeric-project-id": "1234567",
    "instance/region": "projects/1234567/regions/europe-west6",
    "instance/service-accounts/default/email": "runs@shop-1.iam.gserviceaccount.com",
}


@pytest.fixture
def settings(runner, monkeypatch):
    """Runs the command in an environment that has the given variables, and no other setting."""
    known = [each.metadata["variable"] for each in fields(Settings) if each.metadata]
    for variable in [*known, "GAE_ENV", "GAE_INSTANCE", *os.environ]:
        if variable in known or variable.startswith(("FANTASM_", "GAE_")):
            monkeypatch.delenv(variable, raising=False)

    def invoke(*arguments, **environ):
        return runner.invoke(main, ["settings", *arguments], env=environ)

    return invoke


class _Metadata(http.server.BaseHTTPRequestHandler):
    """The metadata server: it answers only who names the flavor, and names it, too."""

    def do_GET(self):
        value = ANSWERS.get(self.path.removeprefix("/computeMetadata/v1/"), "")
        allowed = self.headers["Metadata-Flavor"] == "Google"
        self.send_response(403 if not allowed else 200 if value else 404)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(value)))
        self.end_headers()
        self.wfile.write(value.encode())

    def log_message(self, *_):
        """Tests print nothing."""


@pytest.fixture(scope="module")
def metadata_host():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Metadata)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def rows(answer):
    """The table: for each variable its value and where it comes from."""
    assert 0 == answer.exit_code, answer.output
    _, _, head, *lines = answer.stdout.splitlines()
    value, origin = head.index("VALUE"), head.index("COMES FROM")
    return {line[:value].strip(): (line[value:origin].strip(), line[origin:].strip()) for line in lines}


def listed(answer):
    """The JSON: each setting by its variable."""
    return {each["variable"]: each for each in json.loads(answer.stdout)["settings"]}


def test_every_setting_of_the_table_is_shown_once(settings):
    """In the order of the table; where nothing is set, the defaults."""
    answer = settings()
    shown = rows(answer)
    assert [each.metadata["variable"] for each in fields(Settings) if each.metadata] == list(shown)
    assert "runtime: neither App Engine nor Cloud Run" == answer.stdout.splitlines()[0]
    assert ("us-central1", "default") == shown["FANTASM_LOCATION"]
    assert ("", "not set") == shown["FANTASM_OPERATORS"]


def test_what_is_given_and_what_follows_from_it(settings):
    """A setting that is derived names the one that it comes from."""
    shown = rows(
        settings(
            FANTASM_TARGET="https://shop.example.com/",
            FANTASM_SERVICE_ACCOUNT="tasks@p.iam.gserviceaccount.com",
            FANTASM_OPERATORS="Ada@example.com, *@ops.example.com",
        )
    )
    assert ("https://shop.example.com", "environment") == shown["FANTASM_TARGET"]
    assert ("https://shop.example.com", "derived from FANTASM_TARGET") == shown["FANTASM_AUDIENCE"]
    assert ("tasks@p.iam.gserviceaccount.com", "derived from FANTASM_SERVICE_ACCOUNT") == shown[
        "FANTASM_SCHEDULER_ACCOUNT"
    ]
    assert ("ada@example.com, *@ops.example.com", "environment") == shown["FANTASM_OPERATORS"]


@pytest.mark.parametrize("form", ["table", "json"])
def test_of_a_secret_it_is_said_that_it_is_set(settings, form):
    """In neither form anything else."""
    given = {"FANTASM_START_SECRET": f"{SECRET} {SECRET}2", "FANTASM_WEBHOOK_SECRET": SECRET}
    answer = settings("--format", form, **given)
    assert 0 == answer.exit_code
    assert "hunter2" not in answer.output
    if form == "table":
        assert ("set", "environment") == rows(answer)["FANTASM_START_SECRET"]
    else:
        assert "set" == listed(answer)["FANTASM_WEBHOOK_SECRET"]["value"]


def test_a_secret_that_cannot_be_used_is_not_said_either(settings):
    """The message names the variable alone."""
    answer = settings(FANTASM_START_SECRET="hunter2")
    assert 2 == answer.exit_code
    assert answer.output.startswith("fantasm: FANTASM_START_SECRET cannot be used")
    assert "hunter2" not in answer.output


def test_json_has_values_as_they_are(settings):
    """Numbers and lists; what is derived is marked."""
    told = listed(settings("--format", "json", FANTASM_TARGET="http://127.0.0.1:9", FANTASM_VIEWERS="a@b.ch"))
    assert ["a@b.ch"] == told["FANTASM_VIEWERS"]["value"]
    assert 24576 == told["FANTASM_INLINE_LIMIT"]["value"]
    expected = {
        "variable": "FANTASM_AUDIENCE",
        "value": "http://127.0.0.1:9",
        "origin": "FANTASM_TARGET",
        "derived": True,
        "known": True,
    }
    assert expected == told["FANTASM_AUDIENCE"]


def test_on_cloud_run_the_metadata_server_says_the_rest(settings, metadata_host):
    """What is given stays; what is not is found, and the origin says so. Queues may be in another region."""
    answer = settings(K_SERVICE="shop", GCE_METADATA_HOST=metadata_host, FANTASM_LOCATION="us-east1")
    shown = rows(answer)
    assert "runtime: Cloud Run" == answer.stdout.splitlines()[0]
    assert ("shop-1", "derived from metadata server") == shown["GOOGLE_CLOUD_PROJECT"]
    assert ("us-east1", "environment") == shown["FANTASM_LOCATION"]
    assert "https://shop-1234567.europe-west6.run.app" == shown["FANTASM_TARGET"][0]
    assert ("runs@shop-1.iam.gserviceaccount.com", "derived from metadata server") == shown[
        "FANTASM_SERVICE_ACCOUNT"
    ]


def test_on_app_engine_the_tasks_are_app_engine_s(settings, metadata_host):
    """It is the runtime that says so."""
    answer = settings(GAE_ENV="standard", GAE_SERVICE="mail", GCE_METADATA_HOST=metadata_host)
    shown = rows(answer)
    assert ("app-engine", "derived from App Engine") == shown["FANTASM_TARGET"]
    assert ("mail", "environment") == shown["GAE_SERVICE"]
    assert "/projects/1234567/apps/shop-1" == shown["FANTASM_IAP_AUDIENCE"][0]


def test_without_a_metadata_server_the_rest_is_shown_with_status_1(settings):
    """It is asked once; what it would have said is unknown, and JSON has null for it."""
    answer = settings("--format", "json", K_SERVICE="shop", GCE_METADATA_HOST="127.0.0.1:1")
    told = listed(answer)
    assert 1 == answer.exit_code
    assert "the metadata server does not say project/project-id" in answer.stderr
    assert (None, False) == (told["FANTASM_TARGET"]["value"], told["FANTASM_TARGET"]["known"])
    assert ("json", True) == (told["FANTASM_LOGS"]["value"], told["FANTASM_LOGS"]["known"])


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("FANTASM_TARGE", "FANTASM_TARGET"),
        ("FANTASM_OPERATOR", "FANTASM_OPERATORS"),
        ("FANTASM_TOKN", "FANTASM_TOKEN"),
        ("FANTASM_URLL", "FANTASM_URL"),
    ],
)
def test_an_unknown_variable_is_an_error_with_a_suggestion(settings, variable, meant):
    """Those of the command line are known, and suggested, too."""
    answer = settings(**{variable: "x"})
    expected = f"fantasm: unknown setting {variable}; did you mean {meant}?\n"
    assert (2, expected) == (answer.exit_code, answer.output)


def test_variables_of_the_command_line_are_none_of_an_application_s(settings):
    """They are left alone, and not shown."""
    answer = settings(FANTASM_URL="https://x.example.com", FANTASM_TOKEN=SECRET)
    assert 0 == answer.exit_code
    assert "hunter2" not in answer.output


def test_an_app_yaml_is_shown_as_app_engine_would_give_it(settings, tmp_path):
    """In place of this environment; what App Engine finds has a name in <>."""
    (tmp_path / "app.yaml").write_text(
        "runtime: python312\nservice: mail\nenv_variables:\n"
        "  FANTASM_OPERATORS: ada@example.com\n  FANTASM_RESUME_RATE: 20\n"
    )
    answer = settings("--app-yaml", str(tmp_path / "app.yaml"), FANTASM_RESUME_RATE="7", K_SERVICE="x")
    shown = rows(answer)
    assert "runtime: App Engine" == answer.stdout.splitlines()[0]
    assert ("ada@example.com", "app.yaml") == shown["FANTASM_OPERATORS"]
    assert ("20.0", "app.yaml") == shown["FANTASM_RESUME_RATE"]
    assert ("mail", "App Engine") == shown["GAE_SERVICE"]
    assert ("", "not set") == shown["K_SERVICE"]
    assert ("<REGION>", "derived from metadata server") == shown["FANTASM_LOCATION"]
    assert "/projects/<NUMBER>/apps/<PROJECT>" == shown["FANTASM_IAP_AUDIENCE"][0]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("FANTASM_MODE: local", "FANTASM_MODE=local is refused on App Engine"),
        ("FANTASM_VERIFIED_BY: cloud-run", "FANTASM_VERIFIED_BY is for Cloud Run"),
        ("FANTASM_OPERATOR: a@b.ch", "did you mean FANTASM_OPERATORS?"),
        ("FANTASM_RESUME_RATE: 1_0", "app.yaml:3:24: error: FANTASM_RESUME_RATE is not quoted"),
    ],
)
def test_an_app_yaml_that_would_not_start_is_refused(settings, tmp_path, monkeypatch, lines, words):
    """Before it is deployed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.yaml").write_text(f"runtime: python312\nenv_variables:\n  {lines}\n")
    answer = settings("--app-yaml", "app.yaml")
    assert 2 == answer.exit_code
    assert words in answer.output


def test_an_app_yaml_that_is_not_there_is_refused(settings):
    """With where it was looked for."""
    answer = settings("--app-yaml", "app.yml")
    assert 2 == answer.exit_code
    assert "there is no file 'app.yml' in" in answer.output
