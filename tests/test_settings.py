"""Settings from an environment: defaults, values, and what is refused."""

from __future__ import annotations

import pytest

from fantasm_gcp import Settings, SettingsError


def test_an_empty_environment_gives_the_defaults():
    """And an empty value is as good as none."""
    assert Settings() == Settings.from_environ({}) == Settings.from_environ({"FANTASM_LOCATION": ""})


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
        ({"FANTASM_MODE": "local", "GAE_ENV": "standard"}, "refused on App Engine"),
        ({"FANTASM_MODE": "local", "K_SERVICE": "s"}, "refused on Cloud Run"),
    ],
)
def test_what_cannot_be_used_is_refused(environ, words):
    """With a sentence that says what to set."""
    with pytest.raises(SettingsError) as raised:
        Settings.from_environ(environ)
    assert words in str(raised.value)
