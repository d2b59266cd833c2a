"""Google's SDK, where it is installed: its root, its Python, and what its own parsers say of a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_PARSERS = Path(__file__).with_name("sdk_parsers.py")
_COMMANDS = Path(__file__).with_name("sdk_commands.py")


def sdk_root():
    """Where the SDK lies; skips where there is none."""
    gcloud = shutil.which("gcloud")
    root = Path(gcloud).resolve().parents[1] if gcloud else None
    if root is None or not (root / "lib" / "googlecloudsdk").is_dir():
        pytest.skip("gcloud is not installed")
    return root


def sdk_python(root):
    """The interpreter that the SDK brings along; this one where it brings none."""
    bundled = root / "platform" / "bundledpythonunix" / "bin" / "python3"
    return str(bundled) if bundled.exists() else sys.executable


def verdicts(files):
    """What gcloud's parsers make of files: ``files`` is pairs of a kind and a path; one answer for each.

    An answer has ``parsed``, or ``refused`` with what gcloud says. Kinds are those of ``sdk_parsers.py``.
    """
    root = sdk_root()
    asked = json.dumps([[kind, str(path)] for kind, path in files])
    told = subprocess.run(
        [sdk_python(root), "-I", str(_PARSERS), str(root)],
        input=asked,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=_environ(),
    )
    assert 0 == told.returncode, told.stderr[-2000:]
    return json.loads(told.stdout)


def _environ():
    """Without the machine's own settings of gcloud, and without a word to anybody of what is done here."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "CLOUDSDK_CONFIG": tempfile.gettempdir() + "/gcloud-of-the-tests",
        "CLOUDSDK_CORE_DISABLE_FILE_LOGGING": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
    }


def files_for_upload(folder):
    """The files that gcloud would upload of a folder, as it lists them; relative, sorted."""
    told = subprocess.run(
        [sdk_root() / "bin" / "gcloud", "meta", "list-files-for-upload", folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=_environ(),
    )
    return sorted(told.stdout.split("\n")[:-1])


def refused_commands(commands):
    """Those of gcloud's commands, each without the word gcloud, that its own parser refuses. It runs none."""
    root = sdk_root()
    told = subprocess.run(
        [sdk_python(root), "-I", "-B", str(_COMMANDS), str(root)],
        input=json.dumps([list(each) for each in commands]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=_environ(),
    )
    assert 0 == told.returncode, told.stderr[-2000:]
    return [each for each, said in zip(commands, json.loads(told.stdout), strict=True) if said]
