"""cron.yaml: what of it reaches Cloud Scheduler, and what is told at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader.cron_yaml import CronEntry, load_cron, parse_cron

ENTRY = "cron:\n- url: /fantasm/sweep\n  schedule: every 1 minutes\n"


def problems(text):
    """Every problem of a text, as it is told."""
    with pytest.raises(DefinitionError) as refused:
        parse_cron(text, "cron.yaml")
    return str(refused.value)


def test_an_entry_has_what_is_written_and_no_more():
    """Cloud Scheduler has defaults of its own."""
    assert (CronEntry("/fantasm/sweep", "every 1 minutes"),) == parse_cron(ENTRY, "cron.yaml")


def test_every_attribute_is_read():
    """In the units that App Engine takes them in."""
    text = ENTRY + (
        "  description: Sweeps\n  timezone: Europe/Zurich\n  target: default\n  attempt_deadline: 90.5s\n"
        "  retry_parameters:\n    job_retry_limit: 5\n    job_age_limit: 2d\n    min_backoff_seconds: 2.5\n"
        "    max_backoff_seconds: 3600\n    max_doublings: 0\n"
    )
    (entry,) = parse_cron(text, "cron.yaml")
    assert (
        CronEntry(
            *("/fantasm/sweep", "every 1 minutes", "Sweeps", "Europe/Zurich", 90.5),
            *(5, 172800, 2.5, 3600.0, 0),
        )
        == entry
    )


def test_the_sample_has_the_sweeper_and_the_scrubber():
    """They are what a deployment needs."""
    entries = load_cron(Path(__file__).parents[2] / "cron.yaml")
    assert ["/fantasm/sweep", "/fantasm/fsm/FantasmScrubber/?age=90"] == [each.url for each in entries]


@pytest.mark.parametrize("text", ["cron:\n", "cron: []\n"])
def test_a_file_may_list_nothing(text):
    """App Engine has no jobs then."""
    assert () == parse_cron(text, "cron.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cron.yaml:1:1"),
        ("jobs: []\n", "no attribute 'jobs'"),
        ("cron: 7\n", "cron is a list"),
        ("cron:\n- 7\n", "an entry is a mapping"),
        ("cron:\n- schedule: every 1 minutes\n", "an entry needs 'url'"),
        ("cron:\n- url: /x\n", "an entry needs 'schedule'"),
        (
            ENTRY + "  urll: /x\n",
            "cron.yaml:4:3: error: an entry has no attribute 'urll'; did you mean 'url'?",
        ),
        (ENTRY.replace("/fantasm", "fantasm"), "write the path that is asked for"),
        (ENTRY.replace("/fantasm", "https://x/fantasm"), "write the path that is asked for"),
        (ENTRY.replace("/fantasm/sweep", '"/a b"'), "write the path that is asked for"),
        (ENTRY.replace("every 1 minutes", '" "'), "write it like 'every 1 minutes'"),
        (ENTRY.replace("every 1 minutes", '"every\\nminute"'), "write it like 'every 1 minutes'"),
        (ENTRY + '  timezone: "--x"\n', "write it like Europe/Zurich"),
        (ENTRY + "  attempt_deadline: soon\n", "no number of seconds"),
        (ENTRY + "  retry_parameters: 7\n", "retry_parameters is a mapping"),
        (ENTRY + "  retry_parameters:\n    job_retry_limit: -1\n", "no whole number"),
        (ENTRY + "  retry_parameters:\n    job_age_limit: 5w\n", "no span of time"),
        (ENTRY + "  retry_parameters:\n    retries: 5\n", "no attribute 'retries'"),
    ],
)
def test_what_cannot_be_used_is_told_at_its_place(text, words):
    """Every problem at once, as of every other file."""
    assert words in problems(text)
