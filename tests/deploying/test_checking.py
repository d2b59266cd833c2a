"""The checks of `fantasm doctor`, as pure functions of what gcloud answers."""

from __future__ import annotations

import pytest
from installations import (
    NUMBER,
    RUN_URL,
    answers_of,
    app_engine,
    cloud_run,
    database_answer,
    queue_answer,
    service_answer,
    ttl_answer,
)

from fantasm_gcp.deploying import Answer, Job, Queue, check_installation, questions
from fantasm_gcp.deploying.checking import check_project
from fantasm_gcp.deploying.deployed import find_deployed
from fantasm_gcp.deploying.findings import exit_status
from fantasm_gcp.deploying.questions import first_questions
from fantasm_gcp.deploying.reach import Reached, check_reached
from fantasm_gcp.settings import Settings

REFUSED = Answer(refusal="ERROR: (gcloud) PERMISSION_DENIED: you may not look")


def found(installation, answers):
    """Everything that is not well."""
    every = [*check_project(installation, answers), *check_installation(installation, answers)]
    return [each for each in every if each.severity != "ok"]


@pytest.mark.parametrize("make", [app_engine, cloud_run])
def test_an_installation_that_is_well_has_no_findings(make):
    """Every check says what it has seen, and none complains."""
    installation = make()
    answers = answers_of(installation)
    assert [] == found(installation, answers)
    assert set(answers) == {*first_questions(installation), *questions(installation)}


@pytest.mark.parametrize("make", [app_engine, cloud_run])
def test_what_may_not_be_looked_at_is_a_warning(make):
    """Every question may be refused; none of the checks fails, and none says that all is well."""
    installation = make()
    for name in questions(installation):
        answers = answers_of(installation) | {name: REFUSED}
        told = found(installation, answers)
        assert "warning" in {each.severity for each in told}, name
        assert any("you may not look" in each.words for each in told), name


@pytest.mark.parametrize(
    "junk", [None, [], {}, "text", 7, [None], [{}], [[]], {"bindings": None}, {"bindings": [{}]}]
)
@pytest.mark.parametrize("make", [app_engine, cloud_run])
def test_answers_of_any_form_break_no_check(make, junk):
    """gcloud's next release may print otherwise: then something is missing, and nothing raises."""
    installation = make()
    for name in answers_of(installation):
        answers = answers_of(installation) | {name: Answer(junk)}
        list(check_project(installation, answers))
        find_deployed(installation, answers) if installation.on_cloud_run else None
        list(check_installation(installation, answers))


def variants(value):
    """A tree of JSON, with each of its parts in turn replaced by what does not belong there."""
    yield from (None, 7, "x", [], {}, [None], ["x"], [{}])
    if isinstance(value, dict):
        for key, part in value.items():
            yield from (value | {key: each} for each in variants(part))
    elif isinstance(value, list):
        for n, part in enumerate(value):
            yield from ([*value[:n], each, *value[n + 1 :]] for each in variants(part))


@pytest.mark.parametrize("make", [app_engine, cloud_run])
def test_answers_with_parts_of_any_form_break_no_check(make):
    """Not at the top alone: wherever a check looks."""
    installation = make()
    answers = answers_of(installation)
    for name, answer in answers.items():
        for value in variants(answer.value if not isinstance(answer.value, list) else answer.value[:1]):
            said = answers | {name: Answer(value)}
            list(check_project(installation, said))
            if installation.on_cloud_run and name == "run":
                find_deployed(installation, said)
            list(check_installation(installation, said))


SPOILT_QUEUES = {
    "missing": ([], "error", "there is none in us-central1", "queues create default"),
    "paused": ([{"state": "PAUSED"}], "warning", "is PAUSED: its tasks wait", "queues resume default"),
    "disabled": ([{"state": "DISABLED"}], "error", "is DISABLED", "queues resume default"),
    "routed": (
        [{"appEngineRoutingOverride": {"service": "old", "host": "h"}}],
        "warning",
        "all of its tasks to service old",
        "--clear-routing-override",
    ),
    "rewritten": (
        [{"httpTarget": {"uriOverride": {"host": "evil"}}}],
        "error",
        "changes the URL",
        "--clear-http-uri-override",
    ),
    "slow": (
        [{"rateLimits": {"maxDispatchesPerSecond": 0.5}}],
        "warning",
        "0.5 tasks per second",
        "--max-dispatches-per-second=500",
    ),
}


@pytest.mark.parametrize("how", SPOILT_QUEUES)
def test_a_queue_that_hinders_steps_is_told(how):
    """Each with the command that mends it."""
    changes, severity, words, mend = SPOILT_QUEUES[how]
    installation = app_engine()
    answers = answers_of(installation) | {
        "queues": Answer([queue_answer("default") | each for each in changes])
    }
    (told,) = found(installation, answers)
    assert severity == told.severity
    assert words in told.words
    assert mend in told.mend


def test_a_queue_that_is_to_be_paused_or_slow_or_routed_may_be():
    """queue.yaml said so."""
    queue = Queue("default", rate=0.5, routing="service:old", paused=True)
    installation = app_engine(queues=(queue,))
    spoilt = {"state": "PAUSED", "appEngineRoutingOverride": {"service": "old"}}
    answers = answers_of(installation) | {"queues": Answer([queue_answer("default") | spoilt])}
    assert [] == found(installation, answers)


def test_a_queue_of_a_like_name_is_another():
    """`default` is not there because `my-default` and `default2` are."""
    installation = app_engine()
    others = [queue_answer("my-default"), queue_answer("default2")]
    assert [("error", "queue default")] == [
        (each.severity, each.check)
        for each in found(installation, answers_of(installation) | {"queues": Answer(others)})
    ]


SPOILT_DATABASES = {
    "missing": ([], "there is no such database", "databases create '--database=(default)'"),
    "another": ([database_answer("orders")], "there is no such database", "databases create"),
    "native": (
        [database_answer("(default)") | {"type": "FIRESTORE_NATIVE"}],
        "not in Datastore mode",
        "--type=datastore-mode",
    ),
    "entity groups": (
        [database_answer("(default)") | {"concurrencyMode": "OPTIMISTIC_WITH_ENTITY_GROUPS"}],
        "25 of them",
        "databases/(default)?updateMask=concurrencyMode",
    ),
}


@pytest.mark.parametrize("how", SPOILT_DATABASES)
def test_a_database_that_does_not_do_is_an_error(how):
    """The engine refuses to start on it."""
    value, words, mend = SPOILT_DATABASES[how]
    installation = app_engine()
    (told,) = found(installation, answers_of(installation) | {"databases": Answer(value)})
    assert "error" == told.severity
    assert words in told.words
    assert mend in told.mend


@pytest.mark.parametrize("mode", ["OPTIMISTIC", "PESSIMISTIC"])
def test_both_ways_of_transactions_do(mode):
    """What is asked for is that they are not those of entity groups."""
    installation = app_engine()
    value = [database_answer("(default)") | {"concurrencyMode": mode}]
    assert [] == found(installation, answers_of(installation) | {"databases": Answer(value)})


def test_ttl_policies_that_are_missing_broken_or_harmful_are_told():
    """One finding for each kind, and one for the kind that is to have none."""
    installation = app_engine()
    kinds = [
        ttl_answer("FantasmStep"),
        ttl_answer("FantasmLog", "NEEDS_REPAIR"),
        ttl_answer("FantasmMemo", "CREATING"),
    ]
    told = found(
        installation, answers_of(installation) | {"ttls": Answer([*kinds, ttl_answer("FantasmInstance")])}
    )
    assert ["FantasmPayload", "the", "FantasmInstance"] == [each.words.split()[0] for each in told]
    assert ["--enable-ttl", "--enable-ttl", "--disable-ttl"] == [
        next(word for word in each.mend.split() if word.endswith("able-ttl")) for each in told
    ]


def test_apis_that_are_not_enabled_are_named():
    """And only they are in the command."""
    installation = app_engine()
    answers = answers_of(installation)
    answers["services"].value.pop()
    (told,) = found(installation, answers)
    assert "not enabled: iam.googleapis.com" == told.words
    assert "gcloud services enable iam.googleapis.com --project=acme-prod --quiet" == told.mend


@pytest.mark.parametrize(
    ("parent", "binding", "severity"),
    [
        (None, {}, "error"),
        ({"type": "folder", "id": "1"}, {}, "warning"),
        (None, {"role": "roles/editor", "members": ["group:all@example.com"]}, "warning"),
        (None, {"role": "projects/acme-prod/roles/own", "members": ["user:a@example.com"]}, "warning"),
    ],
)
def test_a_role_that_is_not_seen_may_come_from_elsewhere(parent, binding, severity):
    """It is an error only where there is no elsewhere."""
    installation = app_engine()
    answers = answers_of(installation)
    answers["project"].value["parent"] = parent
    answers["policy"].value["bindings"] = [*answers["policy"].value["bindings"][1:], binding]
    (told,) = found(installation, answers)
    assert severity == told.severity
    assert "roles/cloudtasks.enqueuer" in told.words
    assert told.mend.endswith("--role=roles/cloudtasks.enqueuer --condition=None --quiet")


def test_a_role_under_a_condition_does_not_count():
    """Nobody here can tell whether the condition holds."""
    installation = app_engine()
    answers = answers_of(installation)
    answers["policy"].value["bindings"][0]["condition"] = {"expression": "request.time < x"}
    assert ["error"] == [each.severity for each in found(installation, answers)]


def test_a_role_of_another_account_does_not_count():
    """A member that begins or ends alike is another."""
    installation = app_engine()
    answers = answers_of(installation)
    answers["policy"].value["bindings"][0]["members"] = [
        "serviceAccount:not-acme-prod@appspot.gserviceaccount.com"
    ]
    assert ["error"] == [each.severity for each in found(installation, answers)]


def test_basic_roles_have_what_is_needed():
    """Old projects give their application the role of an editor."""
    installation = app_engine()
    answers = answers_of(installation)
    member = f"serviceAccount:{installation.account}"
    answers["policy"] = Answer({"bindings": [{"role": "roles/editor", "members": [member]}]})
    assert [] == found(installation, answers)
    assert any("far more" in each.words for each in check_installation(installation, answers))


def test_the_application_is_in_the_region_of_its_queues():
    """App Engine alone calls us-central1 us-central."""
    answers = answers_of(app_engine())
    told = list(check_project(app_engine(region="europe-west6"), answers))
    assert ("error", True) == (told[-1].severity, "is in us-central, not in europe-west6" in told[-1].words)


def test_a_location_of_the_settings_is_where_the_application_is():
    """It would look for its queues elsewhere."""
    settings = Settings.from_environ({"FANTASM_LOCATION": "europe-west6"})
    told = list(check_project(app_engine(settings=settings), answers_of(app_engine())))
    assert "FANTASM_LOCATION=europe-west6" in told[-1].words


@pytest.mark.parametrize(
    ("entries", "severity", "words"),
    [
        ([], "warning", "is cron.yaml deployed?"),
        ([{"timestamp": "T", "protoPayload": {"status": 403}}], "error", "answered 403"),
        ([{"timestamp": "T", "protoPayload": {}}], "error", "answered None"),
    ],
)
def test_the_log_tells_whether_cron_calls_the_sweeper(entries, severity, words):
    """Nothing lists App Engine's cron jobs, so their requests are looked for."""
    installation = app_engine()
    (told,) = found(installation, answers_of(installation) | {"swept": Answer(entries)})
    assert severity == told.severity
    assert words in told.words


@pytest.mark.parametrize("make", [app_engine, cloud_run])
def test_a_cron_yaml_without_the_sweeper_is_told(make):
    """Nothing would run again what is lost."""
    installation = make(jobs=(Job("/mine", "every 1 hours"),))
    assert any(
        "no entry for /fantasm/sweep" in each.words for each in found(installation, answers_of(installation))
    )


def test_no_version_that_serves_is_an_error():
    """Versions without traffic do not serve."""
    installation = app_engine()
    idle = [{"id": "v1", "traffic_split": 0.0}]
    (told,) = found(installation, answers_of(installation) | {"versions": Answer(idle)})
    assert "gcloud app deploy app.yaml cron.yaml --project=acme-prod --quiet" == told.mend


PUBLIC = {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}


def test_a_public_service_that_trusts_cloud_run_is_an_error():
    """Anybody could write the marker of Cloud Run's into a token."""
    installation = cloud_run()
    (told,) = found(installation, answers_of(installation) | {"run policy": Answer(PUBLIC)})
    assert "error" == told.severity
    assert "anybody can say to be anybody" in told.words
    assert "remove-iam-policy-binding shop --region=us-central1 --member=allUsers" in told.mend


def test_a_service_without_the_iam_check_is_public():
    """Whatever its policy says."""
    installation = cloud_run()
    answers = answers_of(installation)
    answers["run"].value[0]["metadata"]["annotations"]["run.googleapis.com/invoker-iam-disabled"] = "true"
    (told,) = found(installation, answers)
    assert "error" == told.severity
    assert "run services update shop --region=us-central1 --invoker-iam-check" in told.mend


def test_a_closed_service_that_does_not_know_it_is_an_error():
    """It would refuse every token, because each comes without its signature."""
    settings = Settings(project="acme-prod", location="us-central1", target=RUN_URL)
    (told,) = found(cloud_run(settings=settings), answers_of(cloud_run()))
    assert told.mend.startswith(
        "gcloud run services update shop --region=us-central1 --update-env-vars=FANTASM_VERIFIED_BY=cloud-run"
    )


def test_a_public_service_that_verifies_tokens_itself_is_well():
    """That is the other way."""
    settings = Settings(project="acme-prod", location="us-central1", target=RUN_URL)
    answers = answers_of(cloud_run()) | {"run policy": Answer(PUBLIC)}
    assert [] == found(cloud_run(settings=settings), answers)


def test_who_has_to_come_and_may_not_is_named():
    """Tasks, Cloud Scheduler, and the people of the settings."""
    settings = Settings(
        verified_by="cloud-run", target=RUN_URL, operators=("ada@example.com", "*@example.org")
    )
    installation = cloud_run(settings=settings)
    told = found(installation, answers_of(installation) | {"run policy": Answer({"etag": "x"})})
    members = [word for each in told for word in each.mend.split() if word.startswith("--member")]
    assert [
        "--member=serviceAccount:fantasm-tasks@acme-prod.iam.gserviceaccount.com",
        "--member=serviceAccount:fantasm-scheduler@acme-prod.iam.gserviceaccount.com",
        "--member=domain:example.org",
        "--member=user:ada@example.com",
    ] == members


def test_everybody_with_a_google_account_is_worth_a_warning():
    """The application asks again, but everybody starts its instances."""
    installation = cloud_run()
    answers = answers_of(installation)
    answers["run policy"].value["bindings"][0]["members"].append("allAuthenticatedUsers")
    assert ["warning"] == [each.severity for each in found(installation, answers)]


def test_tasks_whose_tokens_may_not_be_made_are_told():
    """The application has to act as the tasks' account."""
    installation = cloud_run()
    (told,) = found(installation, answers_of(installation) | {"task policy": Answer({"etag": "x"})})
    assert "--role=roles/iam.serviceAccountUser" in told.mend


SPOILT_JOBS = {
    "missing": (None, "error", "nothing calls /fantasm/sweep", "jobs create http shop-sweep"),
    "paused": ({"state": "PAUSED"}, "warning", "it does not run", "jobs resume shop-sweep"),
    "elsewhere": (
        {"httpTarget": {"uri": "https://other.example.com/fantasm/sweep"}},
        "error",
        f"calls https://other.example.com/fantasm/sweep, not {RUN_URL}/fantasm/sweep",
        "jobs update http shop-sweep",
    ),
    "seldom": ({"schedule": "every 24 hours"}, "error", "runs every 24 hours", "jobs update http"),
    "failing": ({"status": {"code": 7}}, "error", "failed (code 7", ""),
    "new": ({"lastAttemptTime": None}, "warning", "has not run yet", "jobs run shop-sweep"),
}


@pytest.mark.parametrize("how", SPOILT_JOBS)
def test_a_job_that_does_not_do_what_it_should_is_told(how):
    """Without the sweeper what is lost stays lost."""
    change, severity, words, mend = SPOILT_JOBS[how]
    installation = cloud_run()
    answers = answers_of(installation)
    first = answers["jobs"].value.pop(0)
    if change is not None:
        answers["jobs"].value.append(first | change)
    (told,) = found(installation, answers)
    assert severity == told.severity
    assert words in told.words
    assert mend in told.mend


@pytest.mark.parametrize("token", [{}, {"serviceAccountEmail": "x@y.z"}, {"audience": "https://other"}])
def test_a_job_with_another_token_is_refused_by_the_application(token):
    """Its account and its audience both count."""
    installation = cloud_run()
    answers = answers_of(installation)
    answers["jobs"].value[0]["httpTarget"]["oidcToken"] = token
    assert ["error"] == [each.severity for each in found(installation, answers)]


def test_the_deployed_variables_decide_what_is_checked():
    """What the service says of its accounts, not what a plan would give it."""
    planned = cloud_run(settings=Settings())
    own = service_answer(
        planned, FANTASM_SERVICE_ACCOUNT="t@acme-prod.iam.gserviceaccount.com", FANTASM_DATABASE="orders"
    )
    installation, told = find_deployed(planned, {"run": Answer([own])})
    assert "t@acme-prod.iam.gserviceaccount.com" == installation.task_account
    assert ("orders", RUN_URL, RUN_URL) == (installation.database, installation.url, installation.audience)
    assert [("ok", f"tasks go to {RUN_URL}, with tokens of t@acme-prod.iam.gserviceaccount.com")] == [
        (each.severity, each.words) for each in told
    ]


@pytest.mark.parametrize(
    ("variables", "words", "mend"),
    [
        ({"FANTASM_QUEU": "x"}, "did you mean FANTASM_QUEUE?", "--remove-env-vars=FANTASM_QUEU "),
        ({"FANTASM_MODE": "local"}, "FANTASM_MODE=local is refused", ""),
        ({"FANTASM_TARGET": "app-engine"}, "sends tasks to App Engine", "--remove-env-vars=FANTASM_TARGET"),
        ({"FANTASM_LOCATION": "europe-west6"}, "looked for in europe-west6", ""),
        ({"GOOGLE_CLOUD_PROJECT": "another-one"}, "works on project another-one", ""),
        ({"FANTASM_DATABASE": "NO WAY"}, "database 'NO WAY' cannot be used", ""),
    ],
)
def test_deployed_variables_that_cannot_be_right_are_told(variables, words, mend):
    """As the application itself would see them."""
    planned = cloud_run(settings=Settings())
    _, (told,) = find_deployed(planned, {"run": Answer([service_answer(planned, **variables)])})
    assert told.severity in ("warning", "error")
    assert words in told.words
    assert mend in f"{told.mend} "


@pytest.mark.parametrize(
    ("reached", "severity", "words"),
    [
        (Reached("u", 403), "ok", "answers 403"),
        (Reached("u", 401), "ok", "answers 401"),
        (Reached("u", 302, location="https://accounts.google.com/o/oauth2"), "ok", "the login of"),
        (Reached("u", 302, location="https://accounts.google.com.evil.example/"), "error", "answers 302"),
        (Reached("u", 302, location="//[bad"), "error", "answers 302"),
        (Reached("u", 200), "error", "is open"),
        (Reached("u", 204), "error", "is open"),
        (Reached("u", 404), "error", "404"),
        (Reached("u", 500), "error", "answers 500"),
        (Reached("u", 0, "refused"), "error", "does not answer: refused"),
    ],
)
def test_who_has_no_proof_is_to_be_refused(reached, severity, words):
    """Everything else is an error."""
    (told,) = check_reached(reached)
    assert severity == told.severity
    assert words in told.words


@pytest.mark.parametrize(
    ("ahead", "severity"), [(0.4, "ok"), (-5.0, "ok"), (5.1, "warning"), (-3600.0, "warning")]
)
def test_a_clock_that_is_wrong_is_told(ahead, severity):
    """By the date of an answer."""
    assert severity == list(check_reached(Reached("u", 403, ahead=ahead)))[1].severity


def test_the_exit_status_is_that_of_the_worst():
    """0, 1 or 2."""
    installation = app_engine()
    well = list(check_installation(installation, answers_of(installation)))
    warned = list(check_installation(installation, answers_of(installation) | {"ttls": Answer([])}))
    wrong = list(check_installation(installation, answers_of(installation) | {"queues": Answer([])}))
    assert [0, 1, 2, 0] == [exit_status(each) for each in (well, warned, [*warned, *wrong], [])]


def test_a_project_that_is_being_deleted_is_an_error():
    """Nothing else is asked about it then."""
    installation = cloud_run()
    answers = answers_of(installation)
    answers["project"].value["lifecycleState"] = "DELETE_REQUESTED"
    (told,) = check_project(installation, answers)
    assert ("error", "gcloud projects undelete acme-prod") == (told.severity, told.mend)


def test_the_number_of_the_project_is_in_the_urls():
    """It is known by the time a check needs it."""
    assert f"https://shop-{NUMBER}.us-central1.run.app" == cloud_run().run_url
