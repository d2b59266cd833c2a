"""The Dockerfile, and what is uploaded: a linter's rules, and each of its commands as it will run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from dockerfiles import command, lint, parse_dockerfile
from google_sdk import files_for_upload
from ignoring import files_of, left_by_docker, left_by_gcloud
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

MISTAKES = [
    ("FROM python:3.12-slim", "FROM python:slim"),
    ("FROM python:3.12-slim", "FROM python"),
    ("FROM python:3.12-slim", "FROM python:latest"),
    ("PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"),
    ("PYTHONUNBUFFERED=1", "FANTASM_START_SECRET=abc"),
    ("COPY requirements.txt .", "COPY requirement.txt ."),
    ("COPY . .", "ADD . ."),
    (" --no-cache-dir", ""),
    ("RUN python -m compileall", "RUN python -m py_compile"),
    ("USER 10001", "USER app"),
    ("USER 10001", "USER 0"),
    ("\nUSER 10001\n", "\n"),
    ("USER 10001\n", "USER 10001\nRUN pip install --no-cache-dir wheel\n"),
    ('CMD ["sh", "-c", "exec gunicorn', 'CMD ["sh", "-c", "gunicorn'),
    ('CMD ["sh", "-c", "', "CMD exec "),
    (":$PORT", ":8080"),
    ("WORKDIR", "WORKDIRECTORY"),
]


@pytest.fixture(scope="module")
def names():
    """Every file of the project."""
    return files_of(ROOT)


@pytest.fixture(scope="module")
def image(tmp_path_factory, names):
    """A folder with what the Dockerfile copies, compiled as it says."""
    folder = tmp_path_factory.mktemp("image")
    for name in left_by_docker((ROOT / ".dockerignore").read_text(), names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    line = next(each for each in runs() if "compileall" in each)
    subprocess.run(["sh", "-c", line], cwd=folder, env=environ(), check=True, timeout=60)
    return folder


def runs():
    return [each.rest for each in parse_dockerfile(DOCKERFILE) if each.word == "RUN"]


def environ(**more):
    """What the image gives, with this Python where that of the image would be."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1", **more}


def test_the_dockerfile_has_no_mistakes():
    """It is pinned, compiled, not root's, without a cache, and its server gets SIGTERM."""
    assert [] == lint(DOCKERFILE, lambda name: (ROOT / name).exists())


@pytest.mark.parametrize(("text", "changed"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_seen(text, changed):
    """A change of the Dockerfile that somebody could make."""
    assert text in DOCKERFILE
    assert lint(DOCKERFILE.replace(text, changed, 1), lambda name: (ROOT / name).exists())


def test_both_runtimes_have_the_same_python():
    """What was tried on one is what runs on the other."""
    version = re.search(r"FROM python:(\d+)\.(\d+)", DOCKERFILE).groups()
    tested = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())["steps"][0]["name"]
    runtime = yaml.safe_load((ROOT / "app.yaml").read_text())["runtime"]
    assert ("python" + "".join(version), "python:" + ".".join(version)) == (runtime, tested)


def test_requirements_are_whole():
    """Whatever one of them needs is one of them: nothing is installed in a version that was not tested."""
    listed = re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.txt").read_text())
    pinned = {canonicalize_name(name) for name in listed}
    needed = {
        canonicalize_name(each.name)
        for name in pinned
        for each in map(Requirement, metadata.requires(name) or [])
        if each.marker is None or each.marker.evaluate({"extra": ""})
    }
    assert set() == needed - pinned


def test_what_is_installed_here_is_what_is_required():
    """The line of the Dockerfile finds nothing to do, in the environment of the tests, without an index."""
    line = next(each for each in runs() if "pip install" in each)
    offline = f"{line} --no-index --dry-run --quiet"
    told = subprocess.run(
        ["sh", "-c", f"python -m {offline}"],
        cwd=ROOT,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (0, "") == (told.returncode, told.stdout), told.stderr


def test_the_image_has_what_the_application_imports_and_nothing_else(names):
    """The packages whole, with their templates and definitions; no test, no page, no secret."""
    left = left_by_docker((ROOT / ".dockerignore").read_text(), [*names, ".env", "examples/x.pyc"])
    assert set(needed(names)) <= set(left)
    assert {"LICENSE"} == set(left) - set(needed(names))


def test_what_is_uploaded_is_what_the_runtimes_need(names):
    """gcloud's files: what the application imports, the files that the builders read, and no more."""
    left = left_by_gcloud((ROOT / ".gcloudignore").read_text(), [*names, ".env", "examples/x.pyc"])
    read_there = {".dockerignore", "Dockerfile", "LICENSE", "app.yaml", "cron.yaml", "index.yaml"}
    assert set(needed(names)) <= set(left)
    assert read_there == set(left) - set(needed(names))


def needed(names):
    """The files of the application: all of its packages, and what lies beside them."""
    beside = ("main.py", "fsm.yaml", "requirements.txt")
    return [each for each in names if each.startswith(("fantasm_gcp/", "examples/")) or each in beside]


def test_gcloud_lists_the_same_files(names):
    """What gcloud says of .gcloudignore is what was computed here of it."""
    left = left_by_gcloud((ROOT / ".gcloudignore").read_text(), names)
    assert left == files_for_upload(ROOT)


def test_everything_is_compiled_whatever_the_time_of_a_file(image):
    """A .pyc file is used although a builder has set another time on its source."""
    sources = list(image.rglob("*.py"))
    compiled = {each.name.partition(".cpython")[0] for each in image.rglob("*.pyc")}
    assert (True, set()) == (bool(sources), {each.stem for each in sources} - compiled)
    header = next(image.glob("__pycache__/main.*.pyc")).read_bytes()[4:8]
    assert 1 == int.from_bytes(header, "little")  # by PEP 552: by contents, and never looked at again


def test_the_server_of_the_image_serves_and_ends(image):
    """CMD, in a folder that has only what the image has: nobody is let in, and SIGTERM ends it with status 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [each.replace(":$PORT", "127.0.0.1:$PORT") for each in command(parse_dockerfile(DOCKERFILE))]
    server = subprocess.Popen(
        arguments, cwd=image, env=environ(PORT=str(port)), stderr=subprocess.PIPE, text=True
    )
    try:
        said = next(line for line in server.stderr if "Booting worker" in line or "rror" in line)
        assert "Booting worker" in said
        assert 403 == status(f"http://127.0.0.1:{port}/fantasm/")
    finally:
        server.send_signal(signal.SIGTERM)
        _, rest = server.communicate(timeout=30)
    assert (0, False) == (server.returncode, "Traceback" in rest)
    where = [sys.executable, "-c", "import fantasm_gcp; print(fantasm_gcp.__file__)"]
    told = subprocess.run(where, cwd=image, capture_output=True, text=True, check=True)
    assert str(image / "fantasm_gcp" / "__init__.py") == told.stdout.strip()


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
