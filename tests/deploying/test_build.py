"""cloudbuild.yaml: its scripts run with programs in the place of gcloud and docker that write down their arguments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from google_sdk import refused_commands

ROOT = Path(__file__).parents[2]
BUILD = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
STEPS = {step["id"]: step for step in BUILD["steps"]}
GIVEN = {"PROJECT_ID": "shop-prod", "BUILD_ID": "b-1"}
HOSTILE = [
    "a; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    'a" && touch pwned "',
    "a\ntouch pwned",
    "'a b'*",
]

PROGRAM = """#!/bin/sh
printf '%s\\0' "$(basename "$0")" "$@" >>"$WRITTEN"
printf '\\n\\0' >>"$WRITTEN"
"""


def substituted(text, values):
    """As Cloud Build does it: in ``env``, once, wherever ``$NAME`` stands."""
    return re.sub(r"\$([A-Z_]+)", lambda found: values[found[1]], text)


@pytest.fixture
def run(tmp_path):
    """Runs the script of a step with substitutions; answers its status and the commands that it gave."""
    for name in ("gcloud", "docker"):
        (tmp_path / name).write_text(PROGRAM)
        (tmp_path / name).chmod(0o755)
    written = tmp_path / "written"

    def run_step(name, **substitutions):
        values = {**GIVEN, **BUILD["substitutions"], **substitutions}
        environ = dict(substituted(each, values).split("=", 1) for each in STEPS[name]["env"])
        environ |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "WRITTEN": str(written)}
        written.write_bytes(b"")
        script = tmp_path / "script"
        script.write_text(STEPS[name]["script"])
        told = subprocess.run([shutil.which("bash"), script], cwd=tmp_path, env=environ, capture_output=True)
        calls = written.read_bytes().decode().split("\0\n\0")[:-1]
        return told.returncode, [call.split("\0") for call in calls]

    return run_step


def test_the_tests_come_first():
    """Steps run one after the other, as long as none says otherwise."""
    assert ["test", "image", "deploy"] == list(STEPS)
    assert not [step for step in STEPS.values() if "waitFor" in step]
    assert ("make", ["test"]) == (STEPS["test"]["entrypoint"], STEPS["test"]["args"])


def test_every_substitution_is_used_and_every_use_has_a_value():
    """Cloud Build refuses a build where one of these is not so."""
    texts = [text for step in STEPS.values() for text in step.get("env", [])]
    used = {name for text in texts for name in re.findall(r"\$([A-Z_]+)", text)}
    assert used == set(BUILD["substitutions"]) | set(GIVEN)


def test_app_engine_is_deployed(run):
    """By default: the application and its cron jobs, without an image."""
    assert (0, []) == run("image")
    deployed = ["gcloud", "app", "deploy", "app.yaml", "cron.yaml", "--project=shop-prod", "--quiet"]
    assert (0, [deployed]) == run("deploy")


def test_cloud_run_is_deployed(run):
    """The image that was made is pushed, and is the one that is deployed."""
    chosen = {"_RUNTIME": "cloud-run", "_REGION": "europe-west1", "_SERVICE": "shop"}
    image = "europe-west1-docker.pkg.dev/shop-prod/cloud-run-source-deploy/shop:b-1"
    made = [["docker", "build", f"--tag={image}", "."], ["docker", "push", image]]
    deployed = ["gcloud", "run", "deploy", "shop", f"--image={image}", "--region=europe-west1"]
    assert (0, made) == run("image", **chosen)
    assert (0, [[*deployed, "--project=shop-prod", "--quiet"]]) == run("deploy", **chosen)


def test_gcloud_takes_the_commands(run):
    """Its own parser knows what the script calls it with."""
    calls = [
        call[1:] for runtime in ("app-engine", "cloud-run") for call in run("deploy", _RUNTIME=runtime)[1]
    ]
    assert (2, []) == (len(calls), refused_commands(calls))


def test_another_runtime_is_refused(run):
    """A misspelt one deploys nothing."""
    assert (2, []) == run("deploy", _RUNTIME="cloudrun")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", ["_SERVICE", "_REGION", "_REPOSITORY"])
def test_a_substitution_is_never_part_of_a_script(run, tmp_path, name, text):
    """Whatever somebody gives as one comes to the program as it is, in the argument where it belongs."""
    for step in ("image", "deploy"):
        _, plain = run(step, _RUNTIME="cloud-run", **{name: "PLAIN"})
        expected = [[argument.replace("PLAIN", text) for argument in call] for call in plain]
        assert (0, expected) == run(step, _RUNTIME="cloud-run", **{name: text})
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_runtime_is_refused(run, tmp_path, text):
    """It is compared, and not run."""
    assert ((0, []), (2, [])) == (run("image", _RUNTIME=text), run("deploy", _RUNTIME=text))
    assert not (tmp_path / "pwned").exists()
