"""`fantasm setup`: scripts as they are printed, and commands as they are run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from installed import CRON_YAML, FakeGcloud, write_files

from fantasm_gcp.cli.main import main

GOLDEN = Path(__file__).with_name("golden_setup")
CLOUD_RUN = ("setup", "cloud-run", "--project=acme-prod", "--region=europe-west6", "--service=shop")
APP_ENGINE = ("setup", "app-engine", "--project=acme-prod", "--region=us-central1")
LOOKING = {"describe", "list", "get-iam-policy"}


@pytest.fixture
def gcloud(tmp_path, monkeypatch):
    """A gcloud that makes nothing but notes."""
    fake = FakeGcloud(tmp_path)
    for name, text in fake.environ.items():
        monkeypatch.setenv(name, text)
    for name in [each for each in os.environ if each.startswith("FANTASM_")] + ["GOOGLE_CLOUD_PROJECT"]:
        monkeypatch.delenv(name, raising=False)
    return fake


def changes(calls):
    """The commands that change something."""
    return [each for each in calls if not LOOKING & set(each[1:6])]


def makes(words):
    """Whether a command makes what can be made once."""
    return ("create" in words and "indexes" not in words) or "ttls" in words


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("app-engine", APP_ENGINE),
        ("cloud-run", (*CLOUD_RUN, "--secret=FANTASM_START_SECRET=start")),
        ("cloud-run-public", (*CLOUD_RUN, "--public", "--concurrency=8")),
    ],
)
def test_the_scripts_are_these(name, arguments, runner, gcloud, monkeypatch):
    """Word for word; `UPDATE_GOLDEN=1` writes them anew."""
    monkeypatch.setenv("FANTASM_OPERATORS", "ada@example.com,*@example.org") if "run" in name else None
    write_files(".")
    answer = runner.invoke(main, arguments)
    assert 0 == answer.exit_code, answer.output
    golden = GOLDEN / f"{name}.sh"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(answer.stdout)
    assert golden.read_text() == answer.stdout
    subprocess.run(["bash", "-n"], input=answer.stdout, text=True, check=True)
    subprocess.run(["sh", "-n"], input=answer.stdout, text=True, check=True)
    assert [] == gcloud.take_calls()


def run_script(script, gcloud):
    subprocess.run(["sh", "-c", script], check=True, env=gcloud.environ, capture_output=True)
    return gcloud.take_calls()


def run_apply(runner, arguments, gcloud):
    answer = runner.invoke(main, [*arguments, "--apply"])
    assert 0 == answer.exit_code, answer.output
    assert answer.stdout.endswith("done; `fantasm doctor` checks it\n")
    return gcloud.take_calls()


def check_repetition(first, second):
    """What can be made once is not made again, and nothing is done that was not done before."""
    again = [each for each in changes(first) if not makes(each)]
    updated = [["update" if word == "create" else word for word in each] for each in changes(first)]
    assert again == [each for each in changes(second) if each in again]
    assert {"queues", "jobs"} >= {each[1] for each in changes(second) if each not in again}
    assert [] == [each for each in changes(second) if each not in again and each not in updated]


def test_after_the_script_apply_does_no_harm(runner, gcloud):
    """They are the same commands; what is there is updated or left alone."""
    write_files(".")
    script = runner.invoke(main, APP_ENGINE).stdout
    check_repetition(run_script(script, gcloud), run_apply(runner, APP_ENGINE, gcloud))


def test_after_apply_the_script_does_no_harm(runner, gcloud):
    """On Cloud Run, where the project's number is in the URLs of the jobs."""
    write_files(".")
    applied = run_apply(runner, CLOUD_RUN, gcloud)
    check_repetition(applied, run_script(runner.invoke(main, CLOUD_RUN).stdout, gcloud))
    assert ["services", "enable"] == changes(applied)[0][:2]
    assert ["run", "deploy", "shop"] in [each[:3] for each in applied]
    assert "--uri=https://shop-123456789012.europe-west6.run.app/fantasm/sweep" in changes(applied)[-2]


def test_apply_stops_where_a_command_fails(runner, gcloud, capfd):
    """With gcloud's words, and how to go on; given again when it is mended, it goes on."""
    write_files(".")
    gcloud.fail("add-iam-policy-binding acme-prod")
    answer = runner.invoke(main, [*APP_ENGINE, "--apply"])
    assert 1 == answer.exit_code
    assert "PERMISSION_DENIED: it may not be done" in capfd.readouterr().err
    assert "give the same command again" in answer.stderr
    assert "gcloud projects add-iam-policy-binding acme-prod" in answer.stdout.splitlines()[-1]
    assert "deploy" not in [each[1] for each in gcloud.take_calls()]
    gcloud.fail("")
    assert 0 == runner.invoke(main, [*APP_ENGINE, "--apply"]).exit_code
    assert ["app", "deploy", "app.yaml", "cron.yaml"] == gcloud.take_calls()[-1][:4]


def test_a_script_stops_where_a_command_fails(runner, gcloud):
    """With the status of a failure."""
    write_files(".")
    script = runner.invoke(main, APP_ENGINE).stdout
    gcloud.fail("app create")
    done = subprocess.run(
        ["sh", "-c", script], env=gcloud.environ, capture_output=True, text=True, check=False
    )
    assert 0 != done.returncode
    assert "PERMISSION_DENIED" in done.stderr
    assert ["app", "create"] == gcloud.take_calls()[-1][:2]


@pytest.mark.parametrize("said", ["", "no number"])
def test_apply_does_not_begin_without_the_project(said, runner, gcloud):
    """Nothing is made in a project that is not found."""
    write_files(".")
    gcloud.answer({"projects describe acme-prod": said})
    answer = runner.invoke(main, [*CLOUD_RUN, "--apply"])
    assert (1, True) == (answer.exit_code, "does not find project acme-prod" in answer.stderr)
    assert 1 == len(gcloud.take_calls())


def test_apply_passes_on_why_gcloud_does_not_find_the_project(runner, gcloud):
    """Nobody may be logged in, say."""
    write_files(".")
    gcloud.fail("projects describe")
    answer = runner.invoke(main, [*CLOUD_RUN, "--apply"])
    assert (1, True) == (answer.exit_code, "gcloud says: ERROR" in answer.stderr), answer.stderr


def test_apply_needs_gcloud(runner, gcloud, monkeypatch, tmp_path):
    """The script can be printed without."""
    write_files(".")
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = runner.invoke(main, [*APP_ENGINE, "--apply"])
    assert (2, True) == (answer.exit_code, "there is no gcloud on the PATH" in answer.stderr)
    assert 0 == runner.invoke(main, APP_ENGINE).exit_code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("app-engine", "--region=us-central1"), "which project?"),
        (("app-engine", "--project=acme-prod"), "which region?"),
        (("cloud-run", "--project=acme-prod"), "which region?"),
        (
            ("cloud-run", "--project=; rm -rf /", "--region=us-central1"),
            "project '; rm -rf /' cannot be used",
        ),
        (("cloud-run", "--project=acme-prod", "--region=us-central1;id"), "region 'us-central1;id'"),
        (("cloud-run", "--project=acme-prod", "--region=us-central1", "--service=$(id)"), "service '$(id)'"),
        (("cloud-run", "--project=acme-prod", "--region=us-central1", "--account=me"), "account 'me'"),
        (
            ("cloud-run", "--project=acme-prod", "--region=us-central1", "--secret=X"),
            "--secret 'X' is not like",
        ),
        (("cloud-run", "--project=acme-prod", "--region=us-central1", "--secret=A B=x"), "--secret 'A B=x'"),
        (("cloud-run", "--project=acme-prod", "--region=us-central1", "--secret=A=x,B=y"), "secret 'x,B=y'"),
        (("cloud-run", "--project=acme-prod", "--region=us-central1", "--concurrency=0"), "--concurrency"),
        (
            ("app-engine", "--project=acme-prod", "--region=us-central1", "--public"),
            "--public is for cloud-run",
        ),
        (
            ("app-engine", "--project=acme-prod", "--region=us-central1", "--secret=A=x"),
            "--secret is for cloud-run",
        ),
        (
            ("app-engine", "--project=acme-prod", "--region=us-central1", "--service=shop"),
            "--service is for cloud-run",
        ),
        (
            ("cloud-run", "--project=acme-prod", "--region=us-central1", "--secret=FANTASM_STRT_SECRET=s"),
            "did you mean FANTASM_START_SECRET?",
        ),
        (("compute-engine", "--project=acme-prod"), "compute-engine"),
    ],
)
def test_what_cannot_be_installed_is_refused(arguments, words, runner, gcloud):
    """With status 2, and without a line of a script."""
    write_files(".")
    answer = runner.invoke(main, ["setup", *arguments])
    assert (2, "") == (answer.exit_code, answer.stdout)
    assert words in answer.stderr


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"fsm_yaml": None}, "there is no file 'fsm.yaml'"),
        ({"fsm_yaml": "state_machines: 7\n"}, "fsm.yaml:1:"),
        ({"app_yaml": None}, "there is no file 'app.yaml'"),
        (
            {"app_yaml": "runtime: python312\nenv_variables:\n  FANTASM_QUEU: x\n"},
            "did you mean FANTASM_QUEUE?",
        ),
        (
            {"app_yaml": "runtime: python312\nenv_variables:\n  FANTASM_MODE: local\n"},
            "refused on App Engine",
        ),
        ({"cron_yaml": None}, "there is no file 'cron.yaml'"),
        ({"cron_yaml": "cron:\n- url: fantasm/sweep\n  schedule: every 1 minutes\n"}, "cron.yaml:2:"),
        ({"cron_yaml": "cron:\n- url: /fantasm/sweep\n"}, "an entry needs 'schedule'"),
        ({"queue_yaml": "queue:\n- name: a b\n  rate: 1/s\n"}, "queue.yaml:2:"),
    ],
)
def test_files_with_problems_are_told_at_their_place(files, words, runner, gcloud):
    """As `fantasm check` does."""
    write_files(".", **files)
    answer = runner.invoke(main, APP_ENGINE)
    assert (2, "") == (answer.exit_code, answer.stdout)
    assert words in answer.stderr


BEHIND_LOGIN = """\
runtime: python312
app_engine_apis: true
handlers:
- url: /fantasm/.*
  script: auto
  login: admin
"""


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"app_yaml": BEHIND_LOGIN}, ""),
        ({"app_yaml": BEHIND_LOGIN.replace("admin", "required")}, "redirects tasks and cron"),
        ({"app_yaml": BEHIND_LOGIN.replace("true", "false")}, "without app_engine_apis: true"),
        ({"app_yaml": BEHIND_LOGIN.replace("fantasm", "flows")}, "no handler has login: admin for /fantasm/"),
        ({"cron_yaml": CRON_YAML.replace("/sweep", "/swept")}, "cron.yaml has no entry for /fantasm/sweep"),
    ],
)
def test_files_that_do_not_go_together_are_told(files, words, runner, gcloud):
    """A warning beside the script: they may be meant so."""
    write_files(".", **files)
    answer = runner.invoke(main, APP_ENGINE)
    assert 0 == answer.exit_code
    assert bool(words) == answer.stderr.startswith("warning: ")
    assert words in answer.stderr


@pytest.mark.parametrize(("file", "words"), [("Dockerfile", ""), ("README.md", "there is no Dockerfile")])
def test_a_container_that_nobody_describes_is_told(file, words, runner, gcloud):
    """Cloud Run would start a server of its own choice in it."""
    write_files(".")
    Path(file).write_text("FROM python:3.12-slim\n")
    answer = runner.invoke(main, CLOUD_RUN)
    assert 0 == answer.exit_code
    assert words in answer.stderr


def test_tasks_of_a_cloud_run_service_do_not_go_to_app_engine(runner, gcloud, monkeypatch):
    """They would come to another application, if to any."""
    monkeypatch.setenv("FANTASM_TARGET", "app-engine")
    write_files(".")
    answer = runner.invoke(main, CLOUD_RUN)
    assert (2, "") == (answer.exit_code, answer.stdout)
    assert "FANTASM_TARGET=app-engine" in answer.stderr


def test_schedules_and_descriptions_are_words_and_no_commands(runner, gcloud, tmp_path):
    """Whatever cron.yaml holds reaches gcloud as it is."""
    hostile = 'cron:\n- url: "/fantasm/sweep?a=$(touch${IFS}bad)"\n  schedule: "every 1 minutes; touch bad"\n  description: "`touch bad` $(touch bad)\\n touch bad"\n'
    write_files(".", cron_yaml=hostile)
    parts = runner.invoke(main, CLOUD_RUN).stdout.split("\n\n")
    calls = run_script("\n\n".join([*parts[:2], parts[-1]]), gcloud)  # its head, and the job
    assert not Path("bad").exists()
    assert "--schedule=every 1 minutes; touch bad" in calls[-1]


def test_the_project_and_the_region_may_come_from_the_environment(runner, gcloud, monkeypatch):
    """An option comes first; what contradicts is refused."""
    write_files(".")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "other-one")
    monkeypatch.setenv("FANTASM_LOCATION", "europe-west6")
    told = runner.invoke(main, ["setup", "cloud-run"]).stdout
    assert "--location=europe-west6" in told
    assert "--project=other-one" in told
    assert "--project=acme-prod" in runner.invoke(main, CLOUD_RUN).stdout
    answer = runner.invoke(main, ["setup", "cloud-run", "--region=us-central1"])
    assert (2, True) == (answer.exit_code, "queues have to be where the application is" in answer.stderr)


def test_settings_of_this_shell_that_app_engine_will_not_see_are_told(runner, gcloud, monkeypatch):
    """On App Engine app.yaml is what counts."""
    write_files(".")
    monkeypatch.setenv("FANTASM_DATABASE", "elsewhere")
    monkeypatch.setenv("FANTASM_URL", "http://127.0.0.1:8080")
    answer = runner.invoke(main, APP_ENGINE)
    assert "--database=orders" in answer.stdout
    assert "elsewhere" not in answer.stdout
    assert "warning: FANTASM_DATABASE is set here but otherwise in app.yaml" in answer.stderr
    assert "FANTASM_URL" not in answer.stderr


def test_secrets_are_in_no_command(runner, gcloud, monkeypatch):
    """Nor is local mode, an emulator, or a token of the command line."""
    write_files(".")
    secret = "0123456789abcdef0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("FANTASM_START_SECRET", secret)
    monkeypatch.setenv("FANTASM_TOKEN", secret)
    monkeypatch.setenv("FANTASM_MODE", "local")
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:8081")
    monkeypatch.setenv("FANTASM_INLINE_LIMIT", "100")
    answer = runner.invoke(main, CLOUD_RUN)
    assert 0 == answer.exit_code, answer.output
    assert secret not in answer.output
    assert "FANTASM_MODE" not in answer.output
    assert "EMULATOR" not in answer.output
    assert "FANTASM_INLINE_LIMIT=100" in answer.stdout
    assert "keep it in Secret Manager, and name it with --secret FANTASM_START_SECRET=NAME" in answer.stderr
