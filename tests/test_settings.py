"""Settings from an environment: defaults, values, and what is refused."""

from __future__ import annotations

import traceback

import pytest

from fantasm_gcp import Settings, SettingsError
from fantasm_gcp.settings import complete


def test_an_empty_environment_gives_the_defaults():
    """And an empty value is as good as none."""
    bare = complete(Settings())
    assert bare == Settings.from_environ({}) == Settings.from_environ({"FANTASM_LOCATION": ""})


def test_variables_are_read_and_others_left_alone():
    """Only those of the table."""
    read = Settings.from_environ(
        {"GOOGLE_CLOUD_PROJECT": "p", "FANTASM_INLINE_LIMIT": "100", "PATH": "/bin", "FANTASM_MODE": "local"}
    )
    assert ("p", 100, True) == (read.project, read.inline_limit, read.is_local)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"FANTASM_LOCATON": "x"}, "did you mean FANTASM_LOCATION?"),
        ({"FANTASM_MODE": "lokal"}, 'only "local" is known'),
        ({"FANTASM_INLINE_LIMIT": "many"}, "FANTASM_INLINE_LIMIT='many'"),
        ({"FANTASM_INLINE_LIMIT": "-1"}, "from 0 to 90000"),
        ({"FANTASM_WEBHOOK_HOSTS": "hooks.example.com,*"}, "write whole names"),
        ({"FANTASM_WEBHOOK_HOSTS": "https://hooks.example.com"}, "FANTASM_WEBHOOK_HOSTS='https"),
        ({"FANTASM_WEBHOOK_HOST": "x"}, "did you mean FANTASM_WEBHOOK_HOSTS?"),
        ({"FANTASM_WEBHOOK_SECRET": "short"}, "FANTASM_WEBHOOK_SECRET cannot be used: secret 1 has 5 bytes"),
        ({"FANTASM_WEBHOOK_SECRET": "whsec_%"}, "what follows is not base64"),
        ({"FANTASM_RESUME_RATE": "0"}, "more than 0 and up to 500"),
        ({"FANTASM_RESUME_RATE": "-1"}, "more than 0 and up to 500"),
        ({"FANTASM_RESUME_RATE": "500.1"}, "more than 0 and up to 500"),
        ({"FANTASM_RESUME_RATE": "inf"}, "more than 0 and up to 500"),
        ({"FANTASM_RESUME_RATE": "nan"}, "more than 0 and up to 500"),
        ({"FANTASM_RESUME_RATE": "fast"}, "FANTASM_RESUME_RATE='fast'"),
        ({"FANTASM_MODE": "local", "GAE_ENV": "standard"}, "refused on App Engine"),
        ({"FANTASM_MODE": "local", "K_SERVICE": "s"}, "refused on Cloud Run"),
    ],
)
def test_what_cannot_be_used_is_refused(environ, words):
    """With a sentence that says what to set."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_environ(environ)
    assert words in str(raised.value)


def test_what_app_engine_sets_is_read():
    """And a rate may be a fraction, up to its limit."""
    read = Settings.from_environ(
        {"GAE_VERSION": "v7", "GAE_SERVICE": "mail", "GAE_ENV": "standard", "FANTASM_RESUME_RATE": "0.5"}
    )
    assert ("v7", "mail", 0.5) == (read.app_engine_version, read.app_engine_service, read.resume_rate)
    assert 500 == Settings.from_environ({"FANTASM_RESUME_RATE": "5e2"}).resume_rate
    assert ("", "", 50) == (
        Settings().app_engine_version,
        Settings().app_engine_service,
        Settings().resume_rate,
    )


def test_hosts_of_webhooks_are_kept_in_their_plain_form():
    """A list; without the variable, an empty one."""
    read = Settings.from_environ(
        {"FANTASM_WEBHOOK_HOSTS": " Hooks.Example.com , *.example.org:443,[::1]:80,"}
    )
    assert ("hooks.example.com", "*.example.org", "[::1]:80") == read.webhook_hosts
    assert () == Settings().webhook_hosts


SECRET = "hunter2-" * 4


def test_a_secret_is_in_nothing_that_is_printed():
    """Several are kept as they were given, but for the space around them."""
    read = Settings.from_environ({"FANTASM_WEBHOOK_SECRET": f" {SECRET} {SECRET}2\n"})
    assert f"{SECRET} {SECRET}2" == read.webhook_secret
    for shown in (repr(read), str(read), f"{read}", repr([read])):
        assert "hunter2" not in shown
        assert "webhook_hosts=()" in shown


@pytest.mark.parametrize(
    "secret", ["hunter2", f"{SECRET} hunter2", "whsec_hunter2hunter2!", f"whsec_{SECRET}"]
)
def test_a_secret_that_cannot_be_used_is_not_told(secret):
    """Neither in the message nor in what it was raised from: a log has the whole traceback."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_environ({"FANTASM_WEBHOOK_SECRET": secret})
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


FOUND = {
    "project/project-id": "shop",
    "project/numeric-project-id": "123",
    "instance/region": "projects/123/regions/europe-west1",
    "instance/service-accounts/default/email": "run@shop.iam.gserviceaccount.com",
}
URL = "https://cart-123.europe-west1.run.app"
ON_APP_ENGINE = {"GAE_ENV": "standard", "GAE_SERVICE": "cart", "GOOGLE_CLOUD_PROJECT": "shop"}
ON_CLOUD_RUN = {"K_SERVICE": "cart", "K_REVISION": "cart-00001"}
RUN, TASKS = "run@shop.iam.gserviceaccount.com", "tasks@b.example"
NOWHERE = {
    "project": "",
    "location": "us-central1",
    "service": "default",
    "target": "app-engine",
    "audience": "",
    "service_account": "",
    "scheduler_account": "",
    "iap_audience": "",
    "logs": "none",
    "queue": "default",
}
ON_GOOGLE = NOWHERE | {"project": "shop", "location": "europe-west1", "service": "cart", "logs": "json"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, NOWHERE),
        (ON_APP_ENGINE, ON_GOOGLE | {"iap_audience": "/projects/123/apps/shop"}),
        (ON_APP_ENGINE | {"GAE_ENV": "localdev"}, NOWHERE | {"project": "shop", "service": "cart"}),
        (
            ON_CLOUD_RUN,
            ON_GOOGLE
            | {"target": URL, "audience": URL, "service_account": RUN, "scheduler_account": RUN}
            | {"iap_audience": "/projects/123/locations/europe-west1/services/cart"},
        ),
        (
            ON_CLOUD_RUN
            | {"FANTASM_TARGET": "https://a.example/", "FANTASM_SERVICE_ACCOUNT": TASKS.title()}
            | {"FANTASM_AUDIENCE": "b", "FANTASM_SERVICE": "other", "FANTASM_LOGS": "text"},
            ON_GOOGLE
            | {"target": "https://a.example", "service_account": TASKS, "scheduler_account": TASKS}
            | {"audience": "b", "service": "other", "logs": "text"}
            | {"iap_audience": "/projects/123/locations/europe-west1/services/cart"},
        ),
        (
            {"FANTASM_TARGET": "https://a.example", "FANTASM_SCHEDULER_ACCOUNT": TASKS},
            NOWHERE
            | {"target": "https://a.example", "audience": "https://a.example", "scheduler_account": TASKS},
        ),
    ],
)
def test_what_is_not_given_is_found_from_the_runtime(environ, expected):
    """What is given stays; a second time changes and asks nothing."""
    found = complete(Settings.from_environ(environ), FOUND.__getitem__)
    assert expected == {name: getattr(found, name) for name in expected}
    assert (found, found.origins) == ((again := complete(found, {}.__getitem__)), again.origins)


def test_a_service_has_the_url_of_its_own_region_wherever_its_queues_are():
    """The same holds for what an assertion of IAP has to be for."""
    environ = ON_CLOUD_RUN | {"FANTASM_LOCATION": "us-central1"}
    found = complete(Settings.from_environ(environ), FOUND.__getitem__)
    assert ("us-central1", URL, URL) == (found.location, found.target, found.audience)
    assert "/projects/123/locations/europe-west1/services/cart" == found.iap_audience


def test_each_value_says_where_it_came_from():
    """The environment, the metadata server, the runtime, another setting, or nowhere."""
    found = complete(Settings.from_environ(ON_CLOUD_RUN | {"FANTASM_QUEUE": "q"}), FOUND.__getitem__)
    assert {
        "queue": "environment",
        "cloud_run_service": "environment",
        "project": "metadata server",
        "target": "metadata server",
        "audience": "FANTASM_TARGET",
        "scheduler_account": "FANTASM_SERVICE_ACCOUNT",
        "service": "Cloud Run",
        "logs": "Cloud Run",
        "namespace": "default",
    }.items() <= found.origins.items()


def test_half_a_name_of_what_the_metadata_server_does_not_know_is_not_made():
    """A service without its own URL cannot work; an audience for no project would be worse than none."""
    with pytest.raises(SettingsError, match="set FANTASM_TARGET"):
        complete(Settings.from_environ(ON_CLOUD_RUN), lambda path: "")
    found = complete(Settings.from_environ(ON_CLOUD_RUN | {"FANTASM_TARGET": URL}), lambda path: "")
    assert ("", "", "") == (found.service_account, found.iap_audience, found.project)
    assert complete(Settings.from_environ(ON_APP_ENGINE), lambda path: "").iap_audience == ""


@pytest.mark.parametrize("environ", [{"GAE_INSTANCE": "i"}, {"GAE_ENV": "flex"}, {"GAE_ENV": "STANDARD"}])
def test_a_runtime_in_which_headers_prove_nothing_is_refused(environ):
    """App Engine's flexible environment; local mode would be open there, and nothing else would be safe."""
    with pytest.raises(SettingsError, match="neither App Engine standard nor Cloud Run"):
        Settings.from_environ(environ | {"FANTASM_MODE": "local"})


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("FANTASM_TARGET", "cloud-run", "https URL is needed"),
        ("FANTASM_TARGET", "http://app.example.com", "https URL is needed"),
        ("FANTASM_TARGET", "https://app.example.com/?a=b", "https URL is needed"),
        ("FANTASM_CERTIFICATES_URL", "http://www.googleapis.com/certs", "https URL is needed"),
        ("FANTASM_CERTIFICATES_URL", "app-engine", "https URL is needed"),
        ("FANTASM_OPERATORS", "ada", "is no account"),
        ("FANTASM_OPERATORS", "*", "is no account"),
        ("FANTASM_OPERATORS", "*@*.com", "is no account"),
        ("FANTASM_OPERATORS", "a@example.com b@example.com", "is no account"),
        ("FANTASM_OPERATORS", "*@gmail.com", "is everybody"),
        ("FANTASM_VIEWERS", "a@b.example,*@appspot.gserviceaccount.com", "is everybody"),
        ("FANTASM_STARTERS", "*@cloudbuild.gserviceaccount.com", "is everybody"),
        ("FANTASM_STARTERS", "*@gserviceaccount.com", "is everybody"),
        ("FANTASM_SERVICE_ACCOUNT", "*@example.com", "one account is needed"),
        ("FANTASM_SERVICE_ACCOUNT", "a@example.com,b@example.com", "one account is needed"),
        ("FANTASM_VERIFIED_BY", "me", 'what is known is "cloud-run"'),
        ("FANTASM_LOGS", "xml", "what is known is"),
        ("FANTASM_QUEUE", "a_b", "a queue has"),
    ],
)
def test_who_may_do_what_is_written_plainly_or_refused(variable, text, words):
    """A list that says more than was meant would open the application."""
    with pytest.raises(SettingsError, match=variable) as raised:
        Settings.from_environ({variable: text})
    assert words in str(raised.value)


def test_a_verification_that_is_cloud_runs_is_refused_elsewhere():
    """On App Engine nobody takes signatures away: such a token is a forged one."""
    with pytest.raises(SettingsError, match="FANTASM_VERIFIED_BY is for Cloud Run"):
        Settings.from_environ(ON_APP_ENGINE | {"FANTASM_VERIFIED_BY": "cloud-run"})


def test_single_accounts_of_everybodys_domains_may_be_named():
    """Only the wildcard is refused; case does not count."""
    read = Settings.from_environ({"FANTASM_OPERATORS": "Ada@Gmail.com, *@example.com,"})
    assert ("ada@gmail.com", "*@example.com") == read.operators
