"""What `fantasm setup` and `fantasm doctor` are made of: commands, in an order, that gcloud understands."""

from __future__ import annotations

import shlex
import subprocess
from itertools import product

import pytest
from google_sdk import refused_commands
from installations import (
    NUMBER,
    PROJECT,
    answers_of,
    app_engine,
    cloud_run,
    queue_answer,
    service_answer,
    ttl_answer,
)

from fantasm_gcp.core.definition import Definitions, Machine, State, Transition
from fantasm_gcp.deploying import (
    Answer,
    Command,
    Job,
    Queue,
    check_installation,
    plan,
    questions,
    render_script,
)
from fantasm_gcp.deploying.checking import check_project
from fantasm_gcp.deploying.cloud_run import job_ids, variables, written
from fantasm_gcp.deploying.commands import fill_number
from fantasm_gcp.deploying.deployed import find_deployed
from fantasm_gcp.deploying.installation import queues_of, region_of
from fantasm_gcp.deploying.questions import first_questions
from fantasm_gcp.deploying.roles import member_of
from fantasm_gcp.errors import SettingsError
from fantasm_gcp.settings import Settings

FULL = Queue(
    "mail",
    rate=10 / 60,
    concurrent=5,
    attempts=4,
    age=86400,
    min_backoff=0.1,
    max_backoff=3600.0,
    doublings=3,
    routing="service:old,version:v1",
    paused=True,
)
LIMITS = ("--attempt-deadline=60s", "--max-retry-attempts=5", "--max-retry-duration=90s", "--min-backoff=60s")
LIMITED = Job(
    "/fantasm/sweep", "*/5 * * * *", "Europe/Zurich", "", (*LIMITS, "--max-backoff=600s", "--max-doublings=2")
)
OTHERS = Settings(
    target="https://flows.example.com/office",
    service_account="t@acme-prod.iam.gserviceaccount.com",
    scheduler_account="s@another-one.iam.gserviceaccount.com",
    database="orders",
    operators=("ada@example.com", "*@example.org"),
)
INSTALLATIONS = {
    "app-engine": app_engine(),
    "app-engine full": app_engine(
        queues=(Queue("default"), FULL),
        region="europe-west1",
        database_location="eur3",
        files=frozenset({"cron.yaml", "index.yaml"}),
        settings=Settings(database="orders"),
    ),
    "cloud-run": cloud_run(),
    "cloud-run public": cloud_run(public=True, settings=Settings()),
    "cloud-run full": cloud_run(
        queues=(Queue("default"), FULL),
        jobs=(LIMITED,),
        settings=OTHERS,
        secrets={"FANTASM_START_SECRET": "start", "DATABASE_PASSWORD": "password"},
        variables={"FANTASM_OPERATORS": "ada@example.com,*@example.org", "FANTASM_QUEUE": "^mail^"},
        files=frozenset({"index.yaml"}),
    ),
}


def argvs(commands):
    """Every command line in commands, those that only look included."""
    return [words for each in commands for words in (each.check, each.argv, each.instead) if words]


def mends():
    """The commands of every finding that can be brought about."""
    for installation in INSTALLATIONS.values():
        answers = answers_of(installation)
        spoilt = {"rateLimits": {"maxDispatchesPerSecond": 0.1}, "httpTarget": {"uriOverride": {"host": "x"}}}
        spoilt |= {"state": "PAUSED", "appEngineRoutingOverride": {"service": "x"}}
        native = [{"name": f"x/{installation.database}", "type": "FIRESTORE_NATIVE"}]
        for changes in (
            {name: [] for name in answers},
            {"queues": [queue_answer(each.name) | spoilt for each in installation.queues]},
            {"databases": native, "ttls": [ttl_answer("FantasmInstance")], "swept": []},
            {"jobs": [each | {"state": "PAUSED"} for each in answers.get("jobs", Answer([])).items()]},
            {"jobs": [each | {"lastAttemptTime": ""} for each in answers.get("jobs", Answer([])).items()]},
            {"jobs": [each | {"schedule": ""} for each in answers.get("jobs", Answer([])).items()]},
            {"run policy": {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}},
            {"project": {"lifecycleState": "DELETE_REQUESTED"}},
        ):
            said = answers | {name: Answer(value) for name, value in changes.items()}
            told = [*check_project(installation, said), *check_installation(installation, said)]
            yield from (each.mend for each in told if each.mend)
        if installation.on_cloud_run:
            wrong = service_answer(installation, FANTASM_QUEU="x", FANTASM_TARGET=None)
            yield from (each.mend for each in find_deployed(installation, {"run": Answer([wrong])})[1])
            wrong = service_answer(installation, FANTASM_TARGET="app-engine")
            yield from (each.mend for each in find_deployed(installation, {"run": Answer([wrong])})[1])


def test_gcloud_understands_every_command():
    """Its own parser takes each: that of what is installed, of what is asked, and of what mends."""
    commands = [words for each in INSTALLATIONS.values() for words in argvs(plan(each))]
    for each in INSTALLATIONS.values():
        commands += [*first_questions(each).values(), *questions(each).values()]
    gcloud = [tuple(shlex.split(each)) for each in mends() if each.startswith("gcloud ")]
    assert {"--enable-ttl", "--disable-ttl", "resume", "undelete", "--type=datastore-mode"} <= {
        word for each in gcloud for word in each
    }
    # The number's place in it is the shell's business.
    asked = {fill_number(words[1:], NUMBER) for words in [*gcloud, *commands]}
    wrong = [("tasks", "queues", "create", "q", "--max-tries=1"), ("tasks", "queue", "list")]
    assert wrong == refused_commands([*wrong, *sorted(asked)])


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_every_command_names_its_project_and_asks_nobody(name):
    """gcloud's own configuration has no say in it."""
    installation = INSTALLATIONS[name]
    asked = [*first_questions(installation).values(), *questions(installation).values()]
    for words in [*argvs(plan(installation)), *asked]:
        assert "gcloud" == words[0]
        assert "--quiet" in words
        assert f"--project={PROJECT}" in words or (words[1] == "projects" and PROJECT in words)


READING = {"describe", "list", "get-iam-policy", "read"}


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_checks_and_questions_only_read(name):
    """A doctor changes nothing."""
    installation = INSTALLATIONS[name]
    checks = [each.check for each in plan(installation) if each.check]
    for words in [*checks, *first_questions(installation).values(), *questions(installation).values()]:
        assert READING & set(words[1:6]), words


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_what_is_made_once_is_looked_for_first(name):
    """Making something that is there is an error of gcloud's, so each `create` has a check."""
    for each in plan(INSTALLATIONS[name]):
        if "create" in each.argv and "indexes" not in each.argv:
            assert each.check, each.argv


def test_a_service_is_closed_before_a_version_that_relies_on_it():
    """In between anybody could write Cloud Run's marker into a token."""
    commands = plan(cloud_run())
    closing = next(n for n, each in enumerate(commands) if "remove-iam-policy-binding" in each.instead)
    deploying = next(n for n, each in enumerate(commands) if each.argv[1:3] == ("run", "deploy"))
    assert closing < deploying
    assert "--invoker-iam-check" in commands[deploying].argv


def test_a_public_service_does_not_trust_cloud_run():
    """Whatever an earlier deployment, or this shell, says."""
    installation = cloud_run(public=True, settings=Settings(), variables={"FANTASM_VERIFIED_BY": "cloud-run"})
    commands = plan(installation)
    assert "FANTASM_VERIFIED_BY" not in variables(installation)
    deploying = next(each.argv for each in commands if each.argv[1:3] == ("run", "deploy"))
    assert "--remove-env-vars=FANTASM_VERIFIED_BY" in deploying


def test_a_service_is_opened_after_the_version_before_has_lost_its_requests():
    """gcloud's own flag opens it earlier, when that version may still believe what everybody writes."""
    commands = plan(cloud_run(public=True, settings=Settings()))
    assert not any("--allow-unauthenticated" in words for words in argvs(commands))
    steps = [each.argv[1:4] for each in commands if each.argv[1] == "run"]
    assert [
        ("run", "deploy", "shop"),
        ("run", "services", "update-traffic"),
        ("run", "services", "add-iam-policy-binding"),
    ] == steps
    opening = next(each for each in commands if "--member=allUsers" in each.argv)
    assert ((), True) == (opening.check, "--role=roles/run.invoker" in opening.argv)


def test_accounts_of_another_project_are_not_made():
    """They have to be there."""
    made = [
        each.argv[4]
        for each in plan(INSTALLATIONS["cloud-run full"])
        if each.argv[1:4] == ("iam", "service-accounts", "create")
    ]
    assert ["fantasm-run", "t", "fantasm-build"] == made


def test_nobody_has_a_role_of_a_whole_project_that_is_not_needed():
    """The application four, the one that builds one; tasks and Cloud Scheduler none."""
    granted = [
        (each.argv[4].partition(":")[2].partition("@")[0], each.argv[5].removeprefix("--role=roles/"))
        for each in plan(cloud_run())
        if each.argv[1:3] == ("projects", "add-iam-policy-binding")
    ]
    assert [
        ("fantasm-run", "cloudtasks.enqueuer"),
        ("fantasm-run", "cloudtasks.viewer"),
        ("fantasm-run", "cloudtasks.taskDeleter"),
        ("fantasm-run", "datastore.user"),
        ("fantasm-build", "run.builder"),
    ] == granted


def test_another_audience_is_told_to_cloud_run():
    """It takes tokens for its own URL only, otherwise."""
    deploying = next(
        each.argv for each in plan(INSTALLATIONS["cloud-run full"]) if each.argv[1:3] == ("run", "deploy")
    )
    assert "--add-custom-audiences=https://flows.example.com/office" in deploying
    assert not any("custom-audiences" in word for each in argvs(plan(cloud_run())) for word in each)


HOSTILE = [
    "; rm -rf",
    "$(id)",
    "`id`",
    "a b",
    "a'b",
    'a"b',
    "-x",
    "--flag",
    "a\nb",
    "",
    "A",
    "a" * 64,
    "ä",
    "a_b",
]


@pytest.mark.parametrize("bad", HOSTILE)
@pytest.mark.parametrize(
    "name", ["project", "region", "service", "number", "database_location", "runtime_account"]
)
def test_names_that_are_none_are_refused(name, bad):
    """Whoever writes them; quoting is the second line."""
    if bad == "" and name in ("database_location", "runtime_account"):
        return
    with pytest.raises(SettingsError, match="cannot be used"):
        cloud_run(**{name: bad})


@pytest.mark.parametrize("bad", [each for each in HOSTILE if each])
def test_names_of_settings_that_are_none_are_refused(bad):
    """A database, an account and a secret are parts of commands, too."""
    for changes in ({"settings": Settings(database=bad)}, {"settings": Settings(service_account=bad)}):
        with pytest.raises(SettingsError, match="cannot be used"):
            cloud_run(**changes)
    if bad not in ("A", "a" * 64, "a_b", "-x", "--flag"):
        with pytest.raises(SettingsError, match="cannot be used"):
            cloud_run(secrets={"X": bad})


def test_projects_of_a_domain_have_accounts_of_their_own_form():
    """Old App Engine projects are named so."""
    installation = app_engine(project="example.com:shop-1")
    assert "shop-1.example.com@appspot.gserviceaccount.com" == installation.account
    assert "x@shop-1.example.com.iam.gserviceaccount.com" == installation.own_account("x")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"A": "1", "B": "2"}, "A=1,B=2"),
        ({"A": "1,2"}, "^;^A=1,2"),
        ({"A": "1,2", "B": "x;y"}, "^|^A=1,2|B=x;y"),
        ({"A": "^x^"}, "A=^x^"),
        ({"A": "=,=;"}, "^|^A==,=;"),
    ],
)
def test_variables_have_a_delimiter_that_is_in_none(values, text):
    """As `gcloud topic escaping` has it."""
    assert text == written(values)


@pytest.mark.parametrize("bad", ["a\nb", "a\0b", ",;|~%%:::"])
def test_variables_that_gcloud_cannot_take_are_refused(bad):
    """Rather than cut."""
    with pytest.raises(SettingsError):
        written({"A": bad})


@pytest.mark.parametrize(
    "word", ["a b", "$HOME", "`id`", "'", '"', "\\", "a\nb", "*", "~", "", "!x", "#", "&&", ";"]
)
def test_a_script_hands_every_word_over_as_it_is(word, tmp_path):
    """Whatever a shell would make of it, in a command, beside the project's number, and in a comment."""
    (tmp_path / "gcloud").write_text('#!/bin/sh\nfor each; do printf "%s\\0" "$each"; done\n')
    (tmp_path / "gcloud").chmod(0o755)
    command = Command(("gcloud", "run", word, word + "{project-number}" + word), f"why {word}\n touch bad")
    script = render_script([command], f"title {word}", PROJECT)
    # The number itself is what this gcloud prints for the question.
    script = script.replace("PROJECT_NUMBER=$(", "PROJECT_NUMBER=7 # $(")
    done = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert ["run", word, f"{word}7{word}", ""] == done.stdout.split("\0")
    assert ["gcloud"] == [each.name for each in tmp_path.iterdir()]


@pytest.mark.parametrize(("there", "makes", "instead"), [*product([False, True], repeat=3)])
def test_a_script_runs_what_the_check_asks_for(there, makes, instead, tmp_path):
    """The one where it prints nothing, the other where it prints something, and fails with neither."""
    check = ("gcloud", "look")
    command = Command(
        ("gcloud", "make") if makes else (), "why", check, ("gcloud", "change") if instead else ()
    )
    if not makes and not instead:
        return
    says = "echo it" if there else "exit 1"
    (tmp_path / "gcloud").write_text(f'#!/bin/sh\nif test "$1" = look; then {says}; else echo "$1"; fi\n')
    (tmp_path / "gcloud").chmod(0o755)
    script = render_script([command, Command(("gcloud", "last"), "why")], "title", PROJECT)
    done = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    wanted = ("change" if instead else "") if there else ("make" if makes else "")
    assert [*wanted.split(), "last"] == done.stdout.split()


def machine(name, queue, *others):
    transitions = tuple(Transition(f"e{n}", "s", queue=each) for n, each in enumerate(others))
    return Machine(name, (State("s", initial=True, final=True, transitions=transitions),), queue=queue)


def test_the_queues_are_those_that_machines_send_tasks_to():
    """Each once; the one called default is that of the settings; what queue.yaml says comes first."""
    made = Definitions(
        {each.name: each for each in (machine("M", "default", "mail", None), machine("N", "slow", "mail"))}
    )
    settings = Settings(queue="shop")
    assert ["shop", "mail", "slow"] == [each.name for each in queues_of(made, settings, [])]
    assert FULL in queues_of(made, settings, [FULL])
    assert ["other", "default"] == [
        each.name
        for each in queues_of(Definitions({"M": machine("M", "default")}), Settings(), [Queue("other")])
    ]


def test_jobs_of_like_paths_have_names_of_their_own():
    """Else one would take the other's place."""
    jobs = (
        Job("/fantasm/sweep", "a"),
        Job("/fantasm/sweep?x=1", "b"),
        Job("/", "c"),
        Job("/mine/$(id)", "d"),
    )
    names = list(job_ids(cloud_run(jobs=jobs)).values())
    assert ["shop-sweep", "shop-sweep-2", "shop-root", "shop-mine-id"] == names


@pytest.mark.parametrize(
    ("account", "member"),
    [
        ("*@example.com", "domain:example.com"),
        ("ada@example.com", "user:ada@example.com"),
        ("x@p.iam.gserviceaccount.com", "serviceAccount:x@p.iam.gserviceaccount.com"),
        ("7-compute@developer.gserviceaccount.com", "serviceAccount:7-compute@developer.gserviceaccount.com"),
        ("x@gserviceaccount.com.example.com", "user:x@gserviceaccount.com.example.com"),
    ],
)
def test_accounts_are_members_of_the_right_kind(account, member):
    """A policy tells people, service accounts and domains apart."""
    assert member == member_of(account)


def test_app_engine_calls_two_regions_otherwise():
    """And everything else does not."""
    assert ["us-central1", "europe-west1", "europe-west6"] == [
        region_of(each) for each in ("us-central", "europe-west", "europe-west6")
    ]
    assert ["us-central", "asia-east2"] == [
        app_engine(region=each).app_engine_region for each in ("us-central1", "asia-east2")
    ]
