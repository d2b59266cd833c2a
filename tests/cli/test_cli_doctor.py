"""`fantasm doctor`: what it asks, what it says, and with which status."""

from __future__ import annotations

import json
import os
import shlex
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from installations import PROJECT, REGION, answers_of, app_engine, cloud_run, service_answer
from installed import FakeGcloud, write_files

from fantasm_gcp.cli.main import main
from fantasm_gcp.deploying import Job, Queue, questions
from fantasm_gcp.deploying.questions import first_questions
from fantasm_gcp.settings import Settings

QUEUES = (Queue("default"), Queue("orders"))
JOBS = (
    Job("/fantasm/sweep", "every 1 minutes"),
    Job("/fantasm/fsm/FantasmScrubber/?age=90", "every day 03:00"),
)
SITES = {
    "app-engine": app_engine(queues=QUEUES, settings=Settings(database="orders")),
    "cloud-run": cloud_run(queues=QUEUES, jobs=JOBS),
}
REFUSED = "PERMISSION_DENIED"


@pytest.fixture
def gcloud(tmp_path, monkeypatch):
    """A gcloud that answers what it is told to."""
    fake = FakeGcloud(tmp_path)
    for name, text in fake.environ.items():
        monkeypatch.setenv(name, text)
    for name in [each for each in os.environ if each.startswith("FANTASM_")] + ["GOOGLE_CLOUD_PROJECT"]:
        monkeypatch.delenv(name, raising=False)
    write_files(".", queue_yaml=None)
    return fake


class Site(ThreadingHTTPServer):
    """Answers every request alike, and writes down what is asked."""

    def __init__(self):
        self.status, self.headers, self.asked = 403, {}, []
        super().__init__(("127.0.0.1", 0), Answering)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):  # http.server's name
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response_only(self.server.status)
        for name, text in ({"Date": self.date_time_string()} | self.server.headers).items():
            self.send_header(name, text)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    """What is served at the installation's URL."""
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer(gcloud, runtime, **changes):
    """Has gcloud answer as of an installation that is well, but for changes."""
    installation = SITES[runtime]
    asked = first_questions(installation) | questions(installation)
    said = {name: each.value for name, each in answers_of(installation).items()} | changes
    gcloud.answer({" ".join(asked[name][1:]): value for name, value in said.items()})


def doctor(runner, runtime, site, *arguments):
    names = [f"--project={PROJECT}", f"--url={site.url}", "--no-import"]
    if runtime == "cloud-run":
        names += [f"--region={REGION}", "--service=shop"]
    return runner.invoke(main, ["doctor", runtime, *names, *arguments])


APP_ENGINE_IS_WELL = """\
ok       definitions: fsm.yaml: 1 machine, 1 state, no problems
ok       project acme-prod: number 123456789012
ok       application: serves in us-central
ok       APIs: 7 that are needed are enabled
ok       service default: version 20261122t140000 serves
ok       queue default: running, up to 500.0 tasks per second and 1000 at a time
ok       queue orders: running, up to 500.0 tasks per second and 1000 at a time
ok       database orders: in Datastore mode, pessimistic, in us-central1
ok       TTL: FantasmStep, FantasmLog, FantasmMemo, FantasmPayload have a policy on expires
ok       roles of acme-prod@appspot.gserviceaccount.com: has roles/cloudtasks.enqueuer, roles/cloudtasks.viewer, \
roles/cloudtasks.taskDeleter, roles/datastore.user
ok       cron: /fantasm/sweep was called at 2026-11-22T14:03:00Z and answered 200
ok       reachable: {url}/fantasm/api/machines answers 403 to those who have no proof
ok       clock: this machine's and that of what answers agree
"""


def test_an_application_on_app_engine_that_is_well(runner, gcloud, site):
    """One line for each check, status 0; the region is that of the application."""
    answer(gcloud, "app-engine")
    told = doctor(runner, "app-engine", site)
    assert (APP_ENGINE_IS_WELL.format(url=site.url), 0) == (told.output, told.exit_code)
    assert [("/fantasm/api/machines", None)] == site.asked
    looking = {"describe", "list", "get-iam-policy", "read"}
    assert [] == [each for each in gcloud.take_calls() if not looking & set(each[:5])]


def test_a_service_on_cloud_run_that_is_well(runner, gcloud, site):
    """As JSON, for programs."""
    answer(gcloud, "cloud-run")
    told = doctor(runner, "cloud-run", site, "--format=json")
    found = json.loads(told.stdout)
    assert [] == [each for each in found if each["severity"] != "ok"]
    assert 0 == told.exit_code
    assert {"severity", "check", "words", "mend"} == set(found[0])
    assert {"access", "settings", "service shop", "job shop-sweep", "clock"} <= {
        each["check"] for each in found
    }


def test_an_app_yaml_that_keeps_tasks_out_is_told(runner, gcloud, site):
    """App Engine redirects them to a login then, and nothing runs."""
    write_files(
        ".", app_yaml="runtime: python312\nhandlers:\n- url: /.*\n  script: auto\n  login: required\n"
    )
    answer(gcloud, "app-engine")
    told = doctor(runner, "app-engine", site)
    assert "warning  app.yaml: /fantasm/ has login: required, which redirects tasks" in told.output
    assert 0 != told.exit_code


def test_an_error_is_told_with_what_mends_it(runner, gcloud, site):
    """Status 2; the command is on a line of its own, and a shell takes it."""
    answer(gcloud, "app-engine", queues=[])
    told = doctor(runner, "app-engine", site)
    assert 2 == told.exit_code
    lines = told.output.splitlines()
    at = lines.index("error    queue orders: there is none in us-central1: no task can be created in it")
    words = shlex.split(lines[at + 1].removeprefix("         mend: "))
    assert ["gcloud", "tasks", "queues", "create", "orders", "--location=us-central1"] == words[:6]


def test_what_gcloud_refuses_is_a_warning_with_its_words(runner, gcloud, site):
    """Status 1: whether it is well is not known."""
    answer(gcloud, "app-engine")
    gcloud.fail("logging read")
    told = doctor(runner, "app-engine", site)
    words = 'not checked: ERROR: (gcloud.logging.read.resource.type="gae_app" AND'
    assert 1 == told.exit_code
    assert any(each.startswith(f"warning  cron: {words}") for each in told.output.splitlines())


def test_without_the_project_nothing_else_is_asked(runner, gcloud, site):
    """Not logged in, or no such project: one error, with gcloud's words."""
    answer(gcloud, "app-engine")
    gcloud.fail("projects describe")
    told = doctor(runner, "app-engine", site)
    assert 2 == told.exit_code
    assert (
        "error    project acme-prod: ERROR: (gcloud.projects.describe.acme-prod) PERMISSION_DENIED"
        in told.output
    )
    assert 2 == len(gcloud.take_calls())


def test_without_an_application_nothing_else_is_asked(runner, gcloud, site):
    """It is made first."""
    answer(gcloud, "app-engine")
    gcloud.fail("app describe")
    told = doctor(runner, "app-engine", site)
    assert 2 == told.exit_code
    assert "mend: gcloud app create --region=us-central --project=acme-prod --quiet" in told.output
    assert 2 == len(gcloud.take_calls())


@pytest.mark.parametrize(
    ("status", "headers", "exit_code", "words"),
    [
        (200, {}, 2, "is open: it answers 200"),
        (302, {"Location": "https://accounts.google.com/x"}, 0, "to the login of accounts.google.com"),
        (302, {"Location": "/elsewhere"}, 2, "answers 302"),
        (503, {}, 2, "answers 503"),
        (403, {"Date": "Sat, 01 Jan 2000 00:00:00 GMT"}, 1, "ahead of the one that answers"),
        (403, {"Date": "not a date"}, 0, "answers 403"),
    ],
)
def test_what_answers_who_has_no_proof_is_looked_at(status, headers, exit_code, words, runner, gcloud, site):
    """A redirect is not followed."""
    answer(gcloud, "app-engine")
    site.status, site.headers = status, headers
    told = doctor(runner, "app-engine", site)
    assert (exit_code, True) == (told.exit_code, words in told.output), told.output
    assert 1 == len(site.asked)


def test_nobody_who_answers_is_an_error(runner, gcloud, site):
    """With the reason."""
    answer(gcloud, "app-engine")
    told = doctor(runner, "app-engine", site, "--url=http://127.0.0.1:1")
    assert (2, True) == (
        told.exit_code,
        "http://127.0.0.1:1/fantasm/api/machines does not answer:" in told.output,
    )


def test_a_service_that_trusts_cloud_run_and_is_public_is_an_error(runner, gcloud, site):
    """The worst that can be configured."""
    answer(
        gcloud,
        "cloud-run",
        **{"run policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}},
    )
    told = doctor(runner, "cloud-run", site)
    assert 2 == told.exit_code
    assert "error    access: FANTASM_VERIFIED_BY=cloud-run, but requests of everybody get in" in told.output


def test_variables_as_deployed_are_read(runner, gcloud, site):
    """Not those of this shell."""
    answer(gcloud, "cloud-run", run=[service_answer(SITES["cloud-run"], FANTASM_QUEU="x")])
    told = doctor(runner, "cloud-run", site)
    assert 2 == told.exit_code
    assert (
        "error    settings: as deployed: unknown setting FANTASM_QUEU; did you mean FANTASM_QUEUE?"
        in told.output
    )
    assert (
        "mend: gcloud run services update shop --region=us-central1 --remove-env-vars=FANTASM_QUEU"
        in told.output
    )


def test_a_service_that_is_not_deployed_is_an_error(runner, gcloud, site):
    """With the command that deploys it; what else there is, is checked as it is planned."""
    answer(gcloud, "cloud-run", run=[])
    told = doctor(runner, "cloud-run", site)
    assert 2 == told.exit_code
    assert "error    service shop: there is none in us-central1" in told.output
    assert "mend: gcloud run deploy shop --source=." in told.output


def test_problems_of_definitions_are_counted(runner, gcloud, site):
    """`fantasm check` has them."""
    answer(gcloud, "app-engine")
    write_files(
        ".",
        queue_yaml=None,
        fsm_yaml="state_machines:\n- name: Order\n  queue: orders\n  states:\n  - name: take\n    action: shop.Take\n    initial: true\n    final: true\n  - name: lost\n    final: true\n",
    )
    told = doctor(runner, "app-engine", site)
    assert 1 == told.exit_code
    assert (
        "warning  definitions: fsm.yaml can be used, warnings: 1\n         mend: fantasm check fsm.yaml\n"
        in told.output
    )


def test_a_cron_yaml_that_is_not_there_is_told(runner, gcloud, site):
    """It does not keep everything else from being checked."""
    answer(gcloud, "app-engine")
    write_files(".", queue_yaml=None)
    os.remove("cron.yaml")
    told = doctor(runner, "app-engine", site)
    assert (1, True) == (
        told.exit_code,
        "warning  cron: cron.yaml has no entry for /fantasm/sweep" in told.output,
    )


def test_words_of_others_move_no_cursor(runner, gcloud, site):
    """What Google answers is printed, and not obeyed."""
    answer(gcloud, "app-engine", versions=[{"id": "v\x1b[2J\nerror    x", "traffic_split": 1}])
    told = doctor(runner, "app-engine", site)
    assert "\x1b" not in told.output
    assert 13 == len(told.output.splitlines())


def test_no_json_is_no_answer(runner, gcloud, site):
    """A gcloud that prints something else is told."""
    answer(gcloud, "app-engine", ttls="WARNING: {")
    told = doctor(runner, "app-engine", site)
    assert (1, True) == (told.exit_code, "warning  TTL: not checked: gcloud printed no JSON" in told.output)


def test_doctor_needs_gcloud(runner, gcloud, site, monkeypatch, tmp_path):
    """Nothing can be looked at without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    told = doctor(runner, "app-engine", site)
    assert (2, True) == (told.exit_code, "there is no gcloud on the PATH" in told.stderr)


@pytest.mark.parametrize(
    "url", ["ftp://x", "x", "https://", "https://[x", "https://x?y", "file:///etc/passwd"]
)
def test_a_url_that_is_none_is_refused(url, runner, gcloud, site):
    """Before anything is asked."""
    answer(gcloud, "app-engine")
    told = doctor(runner, "app-engine", site, f"--url={url}")
    assert (2, True) == (told.exit_code, "is no URL like https://name.example.com" in told.stderr)
    assert [] == gcloud.take_calls()


def test_the_installation_that_is_planned_is_the_one_that_is_checked(runner, gcloud, site):
    """What setup makes, doctor finds well: their names are the same."""
    installation = replace(SITES["cloud-run"], settings=Settings(verified_by="cloud-run"))
    answer(
        gcloud,
        "cloud-run",
        run=[service_answer(installation, FANTASM_SERVICE_ACCOUNT=installation.task_account)],
    )
    assert 0 == doctor(runner, "cloud-run", site).exit_code
