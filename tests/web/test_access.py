"""Who gets in: every path, every caller, every runtime, as one table."""

from __future__ import annotations

import time

import pytest
import responses
from credentials import (
    AUDIENCE,
    IAP_AUDIENCE,
    assertion,
    certificates,
    iap_keys,
    id_token,
    without_signature,
)
from flask import Flask, Request
from operated import DEFINITIONS
from werkzeug.test import Client, EnvironBuilder

from fantasm_gcp import Fantasm, Settings
from fantasm_gcp.core.access import NOBODY, Caller, Identity, is_listed
from fantasm_gcp.settings import GOOGLE_CERTIFICATES
from fantasm_gcp.testing import Harness, VirtualClock
from fantasm_gcp.web.callers import address_of
from fantasm_gcp.web.start_tokens import TOKEN_ARGUMENT, make_start_token

SECRET = "a-secret-of-more-than-twenty-four-bytes"
TASKS_ACCOUNT = "tasks@test.iam.gserviceaccount.com"
SCHEDULER_ACCOUNT = "scheduler@test.iam.gserviceaccount.com"
STARTER = "starter@other.iam.gserviceaccount.com"
OPERATOR, VIEWER = "operator@example.com", "viewer@example.org"

STEP, SWEEP, START, LOOK, COMMAND, OPEN = "step", "sweep", "start", "look", "command", "open"

NEEDS = {
    "start": START,
    "step": STEP,
    "sweep": SWEEP,
    "static": OPEN,
    **dict.fromkeys(
        (
            *("graph", "graphviz", "unknown"),
            *("api_machines", "api_instances", "api_instance", "api_children", "api_logs", "api_step"),
            *("api_failures", "api_failed_steps", "api_holds"),
            *("console_home", "console_machine", "console_instances", "console_instance", "console_step"),
            "console_failures",
        ),
        LOOK,
    ),
    **dict.fromkeys(
        (
            *("api_cancel", "api_pause", "api_resume", "api_redrive_instance", "api_redrive_step"),
            *("api_redrive_matching", "api_hold", "api_release"),
            *("console_cancel", "console_pause", "console_resume", "console_redrive"),
            *("console_redrive_step", "console_redrive_matching", "console_hold", "console_release"),
        ),
        COMMAND,
    ),
}
"""Written by hand: an endpoint that is missing here makes the test red."""

MAY = {
    "nothing": (),
    "tasks": (STEP, START),
    "scheduler": (SWEEP, START),
    "starter": (START,),
    "viewer": (LOOK,),
    "operator": (SWEEP, START, LOOK, COMMAND),
    "everything": (STEP, SWEEP, START, LOOK, COMMAND),
    "invited": (START,),
}
SETTINGS = {
    "mode": "",
    "location": "us-central1",
    "logs": "none",
    "target": AUDIENCE,
    "audience": AUDIENCE,
    "service_account": TASKS_ACCOUNT,
    "scheduler_account": SCHEDULER_ACCOUNT,
    "iap_audience": IAP_AUDIENCE,
    "operators": (OPERATOR,),
    "viewers": (VIEWER, "*@example.org"),
    "starters": (STARTER,),
    "start_secret": SECRET,
}
RUNTIMES = {
    "App Engine": SETTINGS | {"runtime": "App Engine", "target": "app-engine"},
    "Cloud Run": SETTINGS | {"runtime": "Cloud Run", "cloud_run_service": "s"},
    "Cloud Run, which verifies": SETTINGS
    | {"runtime": "Cloud Run", "cloud_run_service": "s", "verified_by": "cloud-run"},
    "elsewhere": SETTINGS,
    "App Engine, bare": {"mode": "", "runtime": "App Engine", "location": "l", "logs": "none"}
    | {"iap_audience": "none"},
    "elsewhere, unconfigured": {"mode": ""},
    "local": {},
}
EVERYWHERE, CONFIGURED = tuple(RUNTIMES), tuple(list(RUNTIMES)[:4])
APP_ENGINE = ("App Engine", "App Engine, bare")


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def changed(email=TASKS_ACCOUNT, **changes):
    return lambda: bearer(id_token(email, **changes))


def invited(machine="Walk", expires=60, secret=SECRET):
    moment = VirtualClock()()  # when the harness begins
    token = make_start_token(secret, machine, {}, expires=expires, now=moment)
    return {"query": {TOKEN_ARGUMENT: token}}


def now():
    return int(time.time())


CALLERS = {
    # who: (headers, what that proves on which runtimes)
    "nobody": (dict, {}),
    "a queue of App Engine": (lambda: {"X-AppEngine-QueueName": "default"}, {"tasks": APP_ENGINE}),
    "a task by all its headers": (
        lambda: {"X-AppEngine-QueueName": "q", "X-AppEngine-TaskName": "t", "X-Forwarded-For": "0.1.0.2"},
        {"tasks": APP_ENGINE},
    ),
    "cron of App Engine": (lambda: {"X-Appengine-Cron": "true"}, {"scheduler": APP_ENGINE}),
    "cron, but not quite": (lambda: {"X-Appengine-Cron": "1"}, {}),
    "an administrator, where operators are named": (
        lambda: {"X-AppEngine-User-Is-Admin": "1", "X-AppEngine-User-Email": "a@example.com"},
        {"viewer": ("App Engine",), "operator": ("App Engine, bare",)},
    ),
    "an administrator who is named": (
        lambda: {"X-AppEngine-User-Is-Admin": "1", "X-AppEngine-User-Email": OPERATOR},
        {"operator": APP_ENGINE},
    ),
    "signed in, no administrator": (
        lambda: {"X-AppEngine-User-Is-Admin": "0", "X-AppEngine-User-Email": "a@example.com"},
        {},
    ),
    "signed in, a viewer": (lambda: {"X-AppEngine-User-Email": VIEWER}, {"viewer": ("App Engine",)}),
    "signed in, of a viewer's domain": (lambda: {"X-AppEngine-User-Email": "v@example.org"}, {}),
    "a fake administrator": (lambda: {"X-AppEngine-Fake-Is-Admin": "1"}, {}),
    "headers of Cloud Tasks": (
        lambda: {"X-CloudTasks-QueueName": "default", "X-CloudTasks-TaskName": "t"},
        {},
    ),
    "headers of Cloud Scheduler": (lambda: {"X-CloudScheduler": "true"}, {}),
    "headers of IAP without an assertion": (
        lambda: {"X-Goog-Authenticated-User-Email": f"accounts.google.com:{OPERATOR}"},
        {},
    ),
    "the account of tasks": (changed(), {"tasks": CONFIGURED}),
    "the account of tasks, the other issuer": (changed(iss="accounts.google.com"), {"tasks": CONFIGURED}),
    "the account of the scheduler": (changed(SCHEDULER_ACCOUNT), {"scheduler": CONFIGURED}),
    "a starter": (changed(STARTER), {"starter": CONFIGURED}),
    "an operator by token": (changed(OPERATOR), {"operator": CONFIGURED}),
    "an operator in capitals": (changed(OPERATOR.upper()), {"operator": CONFIGURED}),
    "a viewer by token": (changed(VIEWER), {"viewer": CONFIGURED}),
    "one of a viewer's organization": (
        changed("v@example.org", hd="example.org"),
        {"viewer": CONFIGURED},
    ),
    "an address of that organization, and nothing more": (changed("v@example.org"), {}),
    "another organization": (changed("v@example.net", hd="example.org"), {}),
    "another account": (changed("tasks@other.iam.gserviceaccount.com"), {}),
    "an account that ends alike": (changed(f"x{OPERATOR}"), {}),
    "another audience": (changed(aud="https://other.example.com"), {}),
    "an audience with a path": (changed(aud=f"{AUDIENCE}/fantasm/"), {}),
    "no audience": (changed(aud=None), {}),
    "expired": (changed(iat=now() - 7200, exp=now() - 3600), {}),
    "of the future": (changed(iat=now() + 3600, exp=now() + 7200), {}),
    "an unverified email": (changed(email_verified=False), {}),
    "an email verified by word": (changed(email_verified="true"), {}),
    "no email": (changed(email=None), {}),
    "another issuer": (changed(iss="https://accounts.example.com"), {}),
    "an unsigned token": (changed(alg="none"), {}),
    "a token signed with the certificate": (changed(alg="HS256"), {}),
    "a token of another key": (changed(key="mallory"), {}),
    "a token of an unknown key": (changed(key="mallory", kid="kid-2"), {}),
    "no token": (lambda: bearer("garbage"), {}),
    "an empty token": (lambda: {"Authorization": "Bearer "}, {}),
    "two tokens": (lambda: bearer(f"{id_token(TASKS_ACCOUNT)},Bearer x"), {}),
    "a password": (lambda: {"Authorization": "Basic b3BlcmF0b3I6b3BlcmF0b3I="}, {}),
    "a bad token of an administrator": (
        lambda: bearer("garbage") | {"X-AppEngine-User-Is-Admin": "1"},
        {},
    ),
    "a token whose signature was removed": (
        lambda: bearer(without_signature(TASKS_ACCOUNT)),
        {"tasks": ("Cloud Run, which verifies",)},
    ),
    "a removed signature and another audience": (
        lambda: bearer(without_signature(TASKS_ACCOUNT, aud="https://other.example.com")),
        {},
    ),
    "a removed signature, expired": (
        lambda: bearer(without_signature(TASKS_ACCOUNT, iat=now() - 7200, exp=now() - 3600)),
        {},
    ),
    "a removed signature beside another's verified token": (
        lambda: (
            bearer(without_signature(OPERATOR))
            | {"X-Serverless-Authorization": f"Bearer {without_signature(STARTER)}"}
        ),
        {"starter": ("Cloud Run, which verifies",)},
    ),
    "a removed signature beside an empty header": (
        lambda: bearer(without_signature(OPERATOR)) | {"X-Serverless-Authorization": ""},
        {},
    ),
    "a token beside the header that Cloud Run would have verified": (
        lambda: bearer(id_token(OPERATOR)) | {"X-Serverless-Authorization": "Bearer garbage"},
        {"operator": ("App Engine", "Cloud Run", "elsewhere")},
    ),
    "an operator through IAP": (
        lambda: {"X-Goog-Iap-Jwt-Assertion": assertion(OPERATOR)},
        {"operator": CONFIGURED},
    ),
    "an operator through IAP, whose own token is beside it": (
        lambda: (
            {"X-Goog-Iap-Jwt-Assertion": assertion(OPERATOR)}
            | {"X-Serverless-Authorization": f"Bearer {without_signature('iap@g.iam.gserviceaccount.com')}"}
        ),
        {"operator": CONFIGURED},
    ),
    "the account of tasks through IAP": (
        lambda: {"X-Goog-Iap-Jwt-Assertion": assertion(TASKS_ACCOUNT)},
        {"tasks": CONFIGURED},
    ),
    "a viewer through IAP": (
        lambda: {"X-Goog-Iap-Jwt-Assertion": assertion(VIEWER)},
        {"viewer": CONFIGURED},
    ),
    "a stranger through IAP": (lambda: {"X-Goog-Iap-Jwt-Assertion": assertion("x@example.net")}, {}),
    "an assertion for another application": (
        lambda: {"X-Goog-Iap-Jwt-Assertion": assertion(OPERATOR, aud="/projects/7/apps/other")},
        {},
    ),
    "an assertion of another key": (
        lambda: {"X-Goog-Iap-Jwt-Assertion": assertion(OPERATOR, key="mallory")},
        {},
    ),
    "an ID token as an assertion": (lambda: {"X-Goog-Iap-Jwt-Assertion": id_token(OPERATOR)}, {}),
    "an assertion as an ID token": (lambda: bearer(assertion(OPERATOR, aud=AUDIENCE)), {}),
    "a start token": (invited, {"invited": CONFIGURED}),
    "a start token of another machine": (lambda: invited("Work"), {}),
    "a start token that has expired": (lambda: invited(expires=-1), {}),
    "a start token of another secret": (lambda: invited(secret="another-secret-of-twenty-four-bytes"), {}),
    "no start token": (lambda: {"query": {TOKEN_ARGUMENT: "garbage"}}, {}),
}


@pytest.mark.parametrize(
    ("email", "domain", "is_on_it"),
    [
        ("a@shop.iam.gserviceaccount.com", "", True),
        ("A@Shop.IAM.gserviceaccount.com", "", True),
        ("a@other.iam.gserviceaccount.com", "", False),
        ("a@xshop.iam.gserviceaccount.com", "", False),
        ("a@other.iam.gserviceaccount.com", "shop.iam.gserviceaccount.com", False),
        ("a@example.com", "example.com", True),
        ("A@Example.com", "EXAMPLE.com", True),
        ("a@example.com", "", False),
        ("a@sub.example.com", "example.com", False),
        ("a@example.org", "example.com", False),
        ("a@evilgserviceaccount.com", "", False),
        ("*@example.com", "", False),
        ("one@example.org", "", True),
        ("One@example.org", "else.example", True),
    ],
)
def test_a_list_has_those_of_a_project_and_of_an_organization_that_is_proved(email, domain, is_on_it):
    """A program's project is in its address; of a person the address alone proves no organization."""
    accounts = ("*@shop.iam.gserviceaccount.com", "*@example.com", "*@evilgserviceaccount.com")
    assert is_on_it == is_listed(Identity(email, domain), (*accounts, "one@example.org"))


@pytest.mark.parametrize(
    ("email", "is_one"),
    [
        ("a@shop.iam.gserviceaccount.com", True),
        ("A@SHOP.IAM.GSERVICEACCOUNT.COM", True),
        ("shop@appspot.gserviceaccount.com", True),
        ("a@gserviceaccount.com", True),
        ("a@evilgserviceaccount.com", False),
        ("a@gserviceaccount.com.example", False),
        ("gserviceaccount.com@example.com", False),
    ],
)
def test_service_accounts_are_known_by_googles_domains(email, is_one):
    """A browser sends nothing in the name of one, and Cloud Run takes no token of one for gcloud."""
    assert is_one is Identity(email).is_service_account


def test_who_says_nothing_of_himself_is_nobody_and_no_browsers():
    """Whoever makes a caller has to say more for each."""
    assert (NOBODY, False, frozenset()) == (Caller(), Caller().ambient, Caller().roles)


@pytest.fixture(scope="module", params=RUNTIMES)
def served(request):
    """The name of a runtime, and an application on it."""
    with Harness(DEFINITIONS, settings=RUNTIMES[request.param]) as made:
        yield request.param, made


def rules(app):
    """Every path of the application, with each of its methods."""
    paths = app.url_map.bind("localhost")
    sample = {"machine": "Walk", "filename": "console.css"}
    for rule in sorted(app.url_map.iter_rules(), key=str):
        prefix, _, name = rule.endpoint.rpartition(".")
        if prefix == "fantasm":
            for method in sorted(rule.methods - {"OPTIONS", "HEAD"}):
                need = COMMAND if name == "unknown" and method != "GET" else NEEDS[name]
                values = {each: sample.get(each, "x") for each in rule.arguments}
                yield name, need, method, paths.build(rule.endpoint, values, method)


@pytest.mark.parametrize("who", CALLERS)
def test_every_path_lets_in_who_has_proved_what_it_needs(served, who):
    """And nobody else; what the answer to them is beyond that, other tests tell."""
    runtime, harness = served
    make, proofs = CALLERS[who]
    made = make()
    query = made.pop("query", {})
    client = Client(harness.app, use_cookies=False)  # with the cookie of a page, a POST needs its token
    role = next((role for role, runtimes in proofs.items() if runtime in runtimes), "nothing")
    expected, found = {}, {}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        web.get(GOOGLE_CERTIFICATES, json=certificates())
        web.get("https://www.gstatic.com/iap/verify/public_key", json=iap_keys())
        for name, need, method, path in rules(harness.app):
            allowed = MAY["everything" if runtime == "local" and not query else role]
            if runtime == "local" and query:
                allowed = [each for each in MAY["everything"] if each != START]
            answer = client.open(path, method=method, headers=made, query_string=query)
            expected[name, method] = need == OPEN or need in allowed
            found[name, method] = answer.status_code not in (401, 403, 429)
            answer.close()
    assert expected == found


@pytest.mark.parametrize("runtime", ["", "App Engine"])
def test_a_removed_signature_proves_nothing_where_cloud_run_is_not_in_front(runtime):
    """Even if a setting says so: nobody else takes signatures away."""
    settings = SETTINGS | {"runtime": runtime, "verified_by": "cloud-run"}
    with Harness(DEFINITIONS, settings=settings) as harness:
        answer = harness.client.get("/fantasm/graph/Walk", headers=bearer(without_signature(OPERATOR)))
        assert 401 == answer.status_code


@pytest.mark.parametrize(
    ("address", "status"), [("127.0.0.1", 400), ("::1", 400), ("192.0.2.7", 401), ("", 401)]
)
def test_headers_of_the_development_server_are_trusted_from_this_machine_alone(address, status):
    """The application's own port may be open to the network, and nothing strips them there."""
    settings = SETTINGS | {"runtime": "App Engine", "app_engine_environment": "localdev"}
    with Harness(DEFINITIONS, settings=settings) as harness:
        answer = harness.client.post(
            "/fantasm/fsm/Walk/a/b/c/",
            headers={"X-AppEngine-QueueName": "default"},
            environ_overrides={"REMOTE_ADDR": address},
        )
        assert status == answer.status_code


def test_a_refusal_tells_people_and_programs_what_it_takes_and_not_what_was_wrong(caplog):
    """The log has why, on one line, whatever the path has in it."""
    with Harness(DEFINITIONS, settings=SETTINGS) as harness:
        program = harness.client.get("/fantasm/api/x%1by", headers=changed(aud="else")())
        person = harness.client.get("/fantasm/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (401, "application/json") == (program.status_code, program.mimetype)
    assert (401, "text/html") == (person.status_code, person.mimetype)
    assert ["Bearer", "Bearer"] == [each.headers["WWW-Authenticate"] for each in (program, person)]
    for answer in (program, person):
        assert ("viewers and operators" in answer.text, "audience" in answer.text) == (True, False)
    lines = [each.message for each in caplog.records if each.name == "fantasm_gcp.guard"]
    assert 2 == len(lines)
    assert "/fantasm/api/x\\x1by" in lines[0]
    assert "else" in lines[0]


def test_refusals_without_end_are_answered_shortly_and_proofs_are_still_taken(caplog):
    """A step's are the same always: 429 would slow the queue down."""
    with Harness(DEFINITIONS, settings=SETTINGS) as harness, responses.RequestsMock() as web:
        web.get(GOOGLE_CERTIFICATES, json=certificates())
        statuses = [harness.client.get("/fantasm/").status_code for _ in range(200)]
        step = harness.client.post("/fantasm/fsm/Walk/a/b/c/").status_code
        operator = harness.client.get("/fantasm/api/holds", headers=changed(OPERATOR)()).status_code
        late = harness.client.get("/fantasm/")
    assert ({401, 429}, 401, 200) == (set(statuses), step, operator)
    assert (429, True) == (late.status_code, int(late.headers["Retry-After"]) > 0)
    assert len([each for each in caplog.records if each.name == "fantasm_gcp.guard"]) < 50


FORGED = {"X-Forwarded-For": "198.51.100.1, 198.51.100.2", "X-AppEngine-User-IP": "198.51.100.3"}


@pytest.mark.parametrize(
    ("runtime", "headers", "expected"),
    [
        ("", FORGED, "192.0.2.7"),
        ("App Engine", FORGED, "198.51.100.3"),
        ("App Engine", {}, "192.0.2.7"),
        ("Cloud Run", FORGED, "198.51.100.2"),
        ("Cloud Run", {"X-Forwarded-For": "198.51.100.2"}, "198.51.100.2"),
        ("Cloud Run", {}, ""),
    ],
)
def test_an_address_is_what_the_runtime_in_front_has_written(runtime, headers, expected):
    """And nothing that a caller can change to be counted as another, or as somebody else."""
    request = Request(
        EnvironBuilder(headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.7"}).get_environ()
    )
    assert expected == address_of(request, Settings(runtime=runtime))


def test_certificates_that_cannot_be_read_are_no_refusal():
    """The same request is right a moment later: Cloud Tasks has to send it again."""
    with Harness(DEFINITIONS, settings=SETTINGS) as harness, responses.RequestsMock() as web:
        web.get(GOOGLE_CERTIFICATES, status=503)
        step = harness.client.post("/fantasm/fsm/Walk/a/b/c/", headers=changed()())
        looked = harness.client.get("/fantasm/api/holds", headers=changed(OPERATOR)())
    assert (424, 500) == (step.status_code, looked.status_code)


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        (dict, [200, 404]),
        (changed(VIEWER), [200, 403]),
        (changed("nobody@example.net"), [403, 403]),
        (changed(VIEWER, aud="else"), [401, 401]),
        (lambda: {"X-Goog-Iap-Jwt-Assertion": assertion(VIEWER)}, [200, 403]),
    ],
)
def test_the_applications_own_word_adds_nothing_to_what_is_proved(headers, statuses):
    """A session of an operator beside a token of a viewer, of nobody, or of another audience."""
    app = Flask("sessions")
    settings = Settings(**SETTINGS | {"definitions": str(DEFINITIONS), "project": "p"})
    Fantasm(app, settings, authorize=lambda _: "operator")
    client = Client(app, use_cookies=False)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        web.get(GOOGLE_CERTIFICATES, json=certificates())
        web.get("https://www.gstatic.com/iap/verify/public_key", json=iap_keys())
        looked = client.get("/fantasm/graph/Walk", headers=headers())
        commanded = client.put("/fantasm/nothing", headers=headers(), json={})
    assert statuses == [looked.status_code, commanded.status_code]


@pytest.mark.parametrize(
    ("runtime", "headers", "status"),
    [
        ("Cloud Run, which verifies", lambda: bearer(without_signature(OPERATOR)), 403),
        ("Cloud Run, which verifies", lambda: bearer(without_signature(STARTER)), 200),
        ("Cloud Run", lambda: bearer(id_token(OPERATOR)), 200),
        ("App Engine", lambda: {"X-Goog-Iap-Jwt-Assertion": assertion(OPERATOR)}, 403),
        ("App Engine", lambda: {"X-Goog-Iap-Jwt-Assertion": assertion(STARTER)}, 200),
        ("App Engine", lambda: {"X-AppEngine-User-Email": OPERATOR}, 403),
    ],
)
def test_a_form_is_asked_for_its_page_where_a_browser_may_have_attached_the_proof(runtime, headers, status):
    """It attaches a person's; a program's, and a token that nobody attaches but its owner, are enough."""
    with Harness(DEFINITIONS, settings=RUNTIMES[runtime]) as harness, responses.RequestsMock() as web:
        web.assert_all_requests_are_fired = False
        web.get(GOOGLE_CERTIFICATES, json=certificates())
        web.get("https://www.gstatic.com/iap/verify/public_key", json=iap_keys())
        form = {"data": {"a": "1"}, "headers": headers() | {"Cookie": "session=1"}}
        answer = Client(harness.app, use_cookies=False).post("/fantasm/fsm/Walk/", **form)
    assert status == answer.status_code


def test_a_session_of_the_applications_own_does_not_post_without_a_page():
    """A browser attaches it, whoever wrote the page that has the form."""
    app = Flask("sessions")
    settings = Settings(**SETTINGS | {"definitions": str(DEFINITIONS), "project": "p"})
    Fantasm(app, settings, authorize=lambda _: "operator")
    client = Client(app, use_cookies=False)
    answer = client.post("/fantasm/holds", data={"machine": "Walk"}, headers={"Cookie": "session=1"})
    assert (403, True) == (answer.status_code, "page of the console" in answer.json["error"])
