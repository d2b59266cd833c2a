"""The files that are deployed: gcloud's own parsers take them, and they say what the application needs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from flask import Flask
from google_sdk import verdicts
from gunicorn.config import Config
from schemas import APP, BUILD, CRON, INDEX, problems

from fantasm_gcp import Fantasm, Settings
from fantasm_gcp.loader import load_indexes

ROOT = Path(__file__).parents[2]

KINDS = {
    "app.yaml": ("app", APP),
    "cron.yaml": ("configuration", CRON),
    "index.yaml": ("configuration", INDEX),
    "cloudbuild.yaml": ("build", BUILD),
}
"""The files, as what gcloud parses them, and their schema for where there is no gcloud."""

MUTATIONS = [
    ("app.yaml", "secure: always", "secure: yes"),
    ("app.yaml", "  login: admin", "  login: administrator"),
    ("app.yaml", "- url: /.*", "- uri: /.*"),
    ("app.yaml", "app_engine_apis: true", "app_engine_api: true"),
    ("app.yaml", "- warmup", "- warm"),
    ("app.yaml", "max_concurrent_requests", "concurrent_requests"),
    ("app.yaml", "max_instances: 10", "max_instances: ten"),
    ("cron.yaml", "url: /fantasm/sweep", "path: /fantasm/sweep"),
    ("cron.yaml", "min_backoff_seconds: 60", "min_backoff: 60"),
    ("index.yaml", "indexes: []", "indexes:\n- properties: []"),
    ("index.yaml", "indexes: []", "indices: []"),
    ("cloudbuild.yaml", "entrypoint: make", "entrypont: make"),
    ("cloudbuild.yaml", "  _RUNTIME:", "  RUNTIME:"),
    ("cloudbuild.yaml", "CLOUD_LOGGING_ONLY", "CLOUD_LOGGING"),
    ("cloudbuild.yaml", "args: [test]", "args: {test: 1}"),
    ("cloudbuild.yaml", "  script: |", "  scripts: |"),
]
"""Changes that gcloud refuses. Each is one that somebody could make by mistake."""

LATER = [
    ("app.yaml", "python312", "python3.12"),
    ("app.yaml", "script: auto", "script: main.app"),
    ("app.yaml", "app_engine_apis: true", "app_engine_apis: certainly"),
    ("cron.yaml", "every 1 minutes", "every 1 moment"),
    ("cron.yaml", "every day 03:00", "every day at 3"),
    ("cron.yaml", "job_retry_limit: 5", "job_retry_limit: 6"),
]
"""Changes that gcloud sends on, and App Engine refuses when they are deployed, or takes for something else."""

IDS = [f"{name}-{changed.strip()[:24]}" for name, _, changed in MUTATIONS + LATER]


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


def mutated(name, text, changed):
    """The text of a file with the first such text changed, which has to be there."""
    whole = (ROOT / name).read_text()
    assert text in whole
    return whole.replace(text, changed, 1)


@pytest.fixture(scope="module")
def app():
    """The paths of the sample application."""
    made = Flask("sample", root_path=str(ROOT))
    made.extensions["sample"] = Fantasm(made, Settings())
    return made


def test_gcloud_takes_the_files_and_refuses_mistakes(tmp_path):
    """Its own parsers read each file; of each mutation they say that it cannot be deployed."""
    wanted = [(name, "parsed") for name in KINDS] + [(name, "refused") for name, _, _ in MUTATIONS]
    asked = [(kind, ROOT / name) for name, (kind, _) in KINDS.items()]
    for number, (name, text, changed) in enumerate(MUTATIONS):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_text(mutated(name, text, changed))
        asked.append((KINDS[name][0], path))
    told = verdicts(asked)
    assert wanted == [(name, *answer) for (name, _), answer in zip(wanted, told, strict=True)]


def test_gcloud_understands_what_is_meant():
    """What the Admin API would get: who is let in, how the server is started, when cron calls."""
    app_yaml, cron, index = (
        each["parsed"]
        for each in verdicts([(kind, ROOT / name) for name, (kind, _) in list(KINDS.items())[:3]])
    )
    handlers = [(each["urlRegex"], each.get("login"), each["securityLevel"]) for each in app_yaml["handlers"]]
    assert [("/fantasm/.*", "LOGIN_ADMIN", "SECURE_ALWAYS"), ("/.*", None, "SECURE_ALWAYS")] == handlers
    assert read("app.yaml")["entrypoint"] == app_yaml["entrypoint"]["shell"]
    assert (True, ["INBOUND_SERVICE_WARMUP"]) == (app_yaml["appEngineApis"], app_yaml["inboundServices"])
    assert ["/fantasm/sweep", "/fantasm/fsm/FantasmScrubber/?age=90"] == [each["url"] for each in cron]
    assert [] == index


@pytest.mark.parametrize("name", KINDS)
def test_the_files_are_as_documented(name):
    """By the fields that App Engine and Cloud Build document, where no gcloud is needed."""
    assert [] == problems(read(name), KINDS[name][1])


@pytest.mark.parametrize(("name", "text", "changed"), MUTATIONS + LATER, ids=IDS)
def test_a_mistake_is_seen_without_gcloud(name, text, changed):
    """The schema refuses what gcloud or App Engine refuses."""
    assert problems(yaml.safe_load(mutated(name, text, changed)), KINDS[name][1])


def test_login_admin_has_the_apis_that_it_needs():
    """Without them App Engine's Python 3 knows no users, and nobody would be asked who he is."""
    told = read("app.yaml")
    assert told["app_engine_apis"] is True
    assert ["admin", None] == [each.get("login") for each in told["handlers"]]


def test_every_path_of_the_engine_is_behind_login_admin(app):
    """Each of them meets the handler that only tasks, cron and administrators pass; nothing else does."""
    handlers = read("app.yaml")["handlers"]
    fantasm = app.extensions["sample"]
    asked = {
        rule.rule: next(each for each in handlers if re.fullmatch(each["url"], rule.rule)).get("login")
        for rule in app.url_map.iter_rules()
    }
    root = f"{fantasm.definitions.root}/"
    assert asked[root + "sweep"] == "admin"
    assert {path: "admin" if path.startswith(root) else None for path in asked} == asked


def test_the_server_of_app_yaml_takes_its_options(monkeypatch):
    """gunicorn's own parser reads the entrypoint: a server that serves on the port App Engine gives."""
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)
    asked = gunicorn_options(read("app.yaml")["entrypoint"])
    assert (["main:app"], [":$PORT"], "gthread") == (asked.args, asked.bind, asked.worker_class)
    assert (0, True) == (asked.timeout, asked.control_socket_disable)


def test_app_engine_sends_no_more_requests_than_there_are_threads():
    """One that waits inside the instance is not seen by the scaling."""
    asked = gunicorn_options(read("app.yaml")["entrypoint"])
    most = read("app.yaml")["automatic_scaling"]["max_concurrent_requests"]
    assert most == asked.workers * asked.threads


def gunicorn_options(line):
    """What gunicorn makes of a command line."""
    program, *arguments = shlex.split(line)
    assert program == "gunicorn"
    return Config().parser().parse_args(arguments)


def test_the_examples_of_settings_can_be_used():
    """The commented env_variables of app.yaml, when somebody takes the signs away."""
    text = (ROOT / "app.yaml").read_text()
    block = re.sub("(?m)^# ?", "", text[text.index("# env_variables:") :])
    variables = yaml.safe_load(block)["env_variables"]
    assert {"FANTASM_NAMESPACE", "FANTASM_QUEUE"} < set(variables)
    assert [] == problems({**read("app.yaml"), "env_variables": variables}, APP)
    assert variables["FANTASM_QUEUE"] == Settings.from_environ(variables).queue


def test_cron_calls_what_is_there(app):
    """The sweeper each minute, and a machine that exists each day."""
    paths = app.url_map.bind("localhost")
    asked = {
        job["url"]: paths.match(job["url"].partition("?")[0], "GET") for job in read("cron.yaml")["cron"]
    }
    assert {
        "/fantasm/sweep": ("fantasm.sweep", {}),
        "/fantasm/fsm/FantasmScrubber/?age=90": ("fantasm.start", {"machine": "FantasmScrubber"}),
    } == asked
    assert "FantasmScrubber" in app.extensions["sample"].definitions.machines


def test_index_yaml_is_one_that_the_local_datastore_reads():
    """`fantasm dev` takes it for the whole truth: a query that needs an index is refused there."""
    assert () == tuple(load_indexes(ROOT / "index.yaml").indexes)
