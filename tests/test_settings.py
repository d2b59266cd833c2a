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
