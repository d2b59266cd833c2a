"""What the ignore files leave: by the rules of .dockerignore, and those of .gcloudignore, which are git's."""

from __future__ import annotations

import os
import re
from pathlib import Path


def files_of(root):
    """Every file below a folder, relative, in order; without what only this machine has (.git, .venv, caches)."""
    skipped = re.compile(r"\.git|\.venv|\.fantasm|__pycache__|\.[a-z_]+_cache")
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if not skipped.fullmatch(each)]
        found += [(Path(folder) / each).relative_to(root).as_posix() for each in names]
    return sorted(found)


def left_by_docker(patterns, names):
    """The names that a .dockerignore leaves: the last pattern that matches a name, or a folder it is in, counts."""
    rules = [(each.startswith("!"), _docker_pattern(each.lstrip("!"))) for each in _lines(patterns)]
    return [name for name in names if not _is_ignored(name, rules)]


def left_by_gcloud(patterns, names):
    """The names that a .gcloudignore leaves."""
    rules = [(each.startswith("!"), _git_pattern(each.lstrip("!"))) for each in _lines(patterns)]
    return [name for name in names if not _is_ignored(name, rules)]


def _lines(text):
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _is_ignored(name, rules):
    ignored = False
    for is_exception, pattern in rules:
        if pattern.fullmatch(name):
            ignored = not is_exception
    return ignored


def _docker_pattern(pattern):
    """Always from the root: ``**`` is any number of folders, ``*`` a part of one name."""
    return re.compile(_parts(pattern.strip("/")) + "(/.*)?")


def _git_pattern(pattern):
    """At any depth, unless there is a slash before its end; with a slash at its end a folder only."""
    is_folder, is_rooted = pattern.endswith("/"), "/" in pattern.rstrip("/")
    start = "" if is_rooted else "(.*/)?"
    return re.compile(start + _parts(pattern.strip("/")) + ("/.*" if is_folder else "(/.*)?"))


def _parts(pattern):
    escaped = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
    return escaped.replace(r"\?", "[^/]")
