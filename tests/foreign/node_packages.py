"""The Node.js packages that the scripts need: fetched once, kept beside the virtual environment.

They lie outside the source tree, in a directory that is named after what package.json asks for.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parent / "node"
_FETCH_SECONDS = 120.0
_INSTALL = (
    *("install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"),
    *("--fetch-retries=1", "--fetch-timeout=20000"),
)


class UnavailableError(Exception):
    """The packages cannot be had here; the message says why."""


def cache_directory(fallback: Path) -> Path:
    """Where packages are kept from run to run: in the virtual environment, else under ``fallback``."""
    return (fallback if sys.prefix == sys.base_prefix else Path(sys.prefix)) / "foreign-node"


def node_packages(cache: Path) -> Path:
    """The directory of the installed packages, for ``NODE_PATH``; fetched if not in ``cache``.

    Safe to call from several processes at a time. Raises :class:`UnavailableError`, and tries again when it
    is called again.
    """
    wanted = (SCRIPTS / "package.json").read_bytes()
    _check_node(json.loads(wanted)["engines"]["node"])
    directory = cache / hashlib.sha256(wanted).hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = directory / "complete"
        if not complete.exists():
            (directory / "package.json").write_bytes(wanted)
            _fetch(directory)
            complete.touch()
    return directory / "node_modules"


def _check_node(wanted: str) -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise UnavailableError(f"{program} is not installed")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60).stdout
    least = int(wanted.removeprefix(">="))
    match = re.match(r"v(\d+)\.", said)
    if match is None or int(match[1]) < least:
        raise UnavailableError(f"the packages need Node.js {least}, and here is {said.strip() or 'none'}")


def _fetch(directory: Path) -> None:
    try:
        done = subprocess.run(
            ["npm", *_INSTALL], cwd=directory, capture_output=True, text=True, timeout=_FETCH_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"npm did not fetch the packages in {_FETCH_SECONDS:g} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line] or ["npm said nothing"]
        raise UnavailableError(f"npm cannot fetch the packages: {said[0]}")
