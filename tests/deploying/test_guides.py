"""The deployment guides: each command on them is one that there is, each file one that is taken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest
import yaml
from google.cloud import datastore
from google_sdk import refused_commands
from guides import GUIDES, ROOT, blocks, run, with_setup
from schemas import APP, CRON, problems

from fantasm_gcp.cli.main import main
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import serve
from fantasm_gcp.settings import COMMAND_LINE, Settings

PROGRAMS = ("gcloud", "fantasm", "pip")
"""What the guides call, beside Python; here each is a program that writes down its arguments."""

PROGRAM = """#!/bin/sh
cat >/dev/null
printf '%s\\0' "$(basename "$0")" "$@" >>"$WRITTEN"
printf '\\n\\0' >>"$WRITTEN"
printf '%s' "$ANSWER"
"""

guides = pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """The commands of each guide as its shell gives them, where what is asked for is there and where it is not."""
    folder = tmp_path_factory.mktemp("programs")
    for name in PROGRAMS:
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)
    given = {}
    for guide in GUIDES:
        for answer in ("", "123456789012"):
            given.setdefault(guide, []).extend(_given(guide, folder, answer))
    return given


def _given(guide, folder, answer):
    written = folder / "written"
    written.write_bytes(b"")
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    environ = {"PATH": path, "WRITTEN": str(written), "ANSWER": answer}
    for block in blocks(guide, "sh"):
        # A project without a number stops what `fantasm setup` prints, and so it should.
        text = block.replace('test -n "$PROJECT_NUMBER"', "PROJECT_NUMBER=123456789012")
        told = subprocess.run(
            ["sh", "-eu", "-c", text], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
        )
        assert (0, "") == (told.returncode, told.stderr), block
    return [tuple(call.split("\0")) for call in written.read_bytes().decode().split("\0\n\0")[:-1]]


@guides
def test_what_setup_prints_is_on_the_page(guide):
    """`python tests/deploying/guides.py` writes it anew."""
    assert with_setup(guide.read_text()) == guide.read_text()


@guides
def test_the_page_calls_the_programs_it_should(guide, commands):
    """The shell takes every block, and what it calls are these programs, with the same project everywhere."""
    assert set(PROGRAMS) == {program for program, *_ in commands[guide]}
    told = {word for call in commands[guide] for word in call if word.startswith("--project")}
    assert {"--project=shop-prod"} == told


def test_gcloud_takes_every_command(commands):
    """gcloud's own parser, which knows each command, flag, choice and argument of the installed version."""
    asked = sorted(
        {tuple(call) for calls in commands.values() for program, *call in calls if program == "gcloud"}
    )
    assert [] == refused_commands(asked)


def test_gcloud_refuses_what_is_no_command():
    """So the test before this one finds something."""
    wrong = [
        ("tasks", "queues", "create", "default", "--locaton=europe-west1"),
        ("run", "deploy", "fantasm", "--concurrency=many"),
        ("tasks", "queue", "list"),
        ("run", "deploy", "fantasm", "--iap"),
        ("tasks", "queues", "create"),
    ]
    assert wrong == refused_commands([*wrong, ("tasks", "queues", "list")])


def test_fantasm_has_every_command(commands):
    """Its verbs, options, choices and arguments."""
    asked = {tuple(call) for calls in commands.values() for program, *call in calls if program == "fantasm"}
    assert {"setup", "doctor", "check", "settings", "start"} <= {verb for verb, *_ in asked}
    for verb, *arguments in sorted(asked):
        taken(verb, arguments)


@pytest.mark.parametrize(
    "line", ["start", "start Machine --uri=x", "setup nowhere", "doctor app-engine --apply"]
)
def test_fantasm_refuses_what_is_no_command(line):
    """So the test before this one finds something."""
    verb, *arguments = line.split()
    with pytest.raises(click.UsageError):
        taken(verb, arguments)


def taken(verb, arguments):
    """Parses a command without running it or reading what it would read."""
    command = main.get_command(click.Context(main), verb)
    assert command is not None, verb
    context = click.Context(command, info_name=verb)
    found, _, _ = command.make_parser(context).parse_args(list(arguments))
    for parameter in command.params:
        given = found.get(parameter.name)
        if isinstance(given, str | list | tuple):  # else it is click's mark of what was not given
            parameter.type_cast_value(context, given)
        elif parameter.required:
            raise click.MissingParameter(ctx=context, param=parameter)


@guides
def test_commands_that_only_look_run(guide):
    """`fantasm check`, `settings` and `setup`, as the page has them, on the sample application."""
    for block in blocks(guide, "sh"):
        exported = " ".join(re.findall("(?m)^export (.*)$", block))
        for line in re.findall("(?m)^fantasm ((?:check|settings|setup) .*)$", block):
            if "--apply" not in line:
                told = run(f"{exported} {line}")
                assert 0 == told.exit_code, told.output


@guides
def test_files_on_the_page_are_taken(guide):
    """Parts of app.yaml and cron.yaml, by their schemas; the settings in them can be used."""
    for block in blocks(guide, "yaml"):
        told = yaml.safe_load(block)
        if "cron" in told:
            assert [] == problems(told, CRON)
        else:
            assert [] == problems({"runtime": "python312", **told}, APP)
            Settings.from_environ({"GAE_ENV": "standard", **told.get("env_variables", {})})


@guides
def test_subscribers_are_made_as_the_page_says(guide, monkeypatch):
    """The program runs, here against the local Datastore, and there are a thousand."""
    rows = DatastoreServer()
    wire, port = serve(rows.service, "127.0.0.1", 0)
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", f"127.0.0.1:{port}")
    try:
        (program,) = blocks(guide, "python")
        exec(program, {})
        client = datastore.Client(project="shop-prod")
        count = client.aggregation_query(client.query(kind="Subscriber")).count(alias="all").fetch()
        assert 1000 == next(iter(count))[0].value
    finally:
        wire.stop(None).wait()
        rows.close()


@guides
def test_settings_that_are_named_exist(guide):
    """A setting that was renamed is not left behind; of `FANTASM_...` nothing is asked."""
    known = {each.metadata["variable"] for each in fields(Settings) if each.metadata} | set(COMMAND_LINE)
    assert set() == set(re.findall(r"\b(?:FANTASM|GAE)_[A-Z_]*[A-Z]\b", guide.read_text())) - known


@guides
def test_links_lead_to_headings(guide):
    """Those with a #, in this page and in others."""
    for page, heading in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", guide.read_text()):
        text = (guide.parent / page if page else guide).read_text()
        anchors = {
            re.sub(r"[^\w -]", "", each.lower()).strip().replace(" ", "-")
            for each in re.findall("(?m)^#+ (.*)$", text)
        }
        assert heading in anchors, f"{page}#{heading}"


def test_both_guides_are_found():
    """The README and the page on operating lead to them."""
    told = (ROOT / "README.md").read_text()
    assert {each.name for each in GUIDES} <= set(re.findall(r"docs/(deploy-[\w-]+\.md)", told))
