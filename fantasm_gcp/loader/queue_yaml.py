"""queue.yaml, the file of App Engine in which queues are configured: from its text to frozen values.

What it may hold, what is required and the defaults are those of ``gcloud app deploy queue.yaml``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fantasm_gcp.core.definition import QUEUE_PATTERN
from fantasm_gcp.core.findings import Findings, quoted
from fantasm_gcp.core.node import Node, Place
from fantasm_gcp.errors import DefinitionError, Problem
from fantasm_gcp.loader.fields import Fields, UnreadableError, is_null
from fantasm_gcp.loader.files import read_text
from fantasm_gcp.loader.tree import parse_tree

_MOST_PER_SECOND = 500
_MOST_CONCURRENT = 5000
_INT32 = 2**31 - 1
_LONGEST = 315_576_000_000  # seconds: 10,000 years, all that a Duration may hold
_SPANS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]*)?)/([smhd])")
_AGE = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e-?[0-9]+)?)([smhd])")
_TARGET = re.compile(r"(?:(?P<version>(?!-)[a-z0-9-]{1,100})\.)?(?P<service>(?!-)[a-z0-9-]{1,63})")


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One push queue of the file; what it leaves open has its default.

    ``rate`` is in dispatches per second, and 0 for a queue that is paused. ``task_retry_limit`` None stands
    for no limit, ``task_age_limit`` is in whole seconds, 0 for none, and the two backoffs are in seconds.
    ``version`` and ``service`` are those of its ``target``, empty without one. ``place`` is where it begins.
    """

    name: str
    place: Place
    rate: float
    bucket_size: int = 5
    max_concurrent_requests: int = 1000
    service: str = ""
    version: str = ""
    task_retry_limit: int | None = None
    task_age_limit: int = 0
    min_backoff_seconds: float = 0.1
    max_backoff_seconds: float = 3600.0
    max_doublings: int = 16


@dataclass(frozen=True, slots=True)
class QueueFile:
    """The queues of a queue.yaml in its order, and what in it has no effect."""

    queues: tuple[QueueEntry, ...]
    warnings: tuple[Problem, ...] = ()


def load_queues(path: str | os.PathLike[str]) -> QueueFile:
    """Reads and parses a queue.yaml; raises :class:`DefinitionError` with every problem."""
    return parse_queues(read_text(path), os.fsdecode(path))


def parse_queues(text: str, file: str) -> QueueFile:
    """Parses the text of a queue.yaml; ``file`` is its name, for messages.

    Raises :class:`DefinitionError` with every problem, warnings included.
    """
    findings = Findings()
    queues = _read_file(parse_tree(text, file, begins="queue"), findings)
    if findings.errors:
        raise DefinitionError(findings.in_order())
    return QueueFile(queues, findings.in_order())


def _read_file(tree: Node, findings: Findings) -> tuple[QueueEntry, ...]:
    known = ("queue", "total_storage_limit", "resume_paused_queues", "application")
    root = Fields(tree, "the file", known, findings)
    for name in ("total_storage_limit", "resume_paused_queues", "application"):
        root.note(name, "has no effect here")
    entries = root.items("queue")
    if root.usable and "queue" not in root.values:
        findings.error(root.place, "there is no 'queue'", "the file lists its queues under 'queue:'")
    queues: dict[str, QueueEntry] = {}
    for node in entries:
        entry = _read_entry(node, findings)
        if entry is not None and entry.name in queues:
            first = queues[entry.name].place.line
            findings.error(entry.place, f"there is a queue {entry.name!r} already, in line {first}")
        elif entry is not None:
            queues[entry.name] = entry
    return tuple(queues.values())


_ENTRY = (
    *("name", "rate", "bucket_size", "max_concurrent_requests"),
    *("mode", "target", "retry_parameters", "acl"),
)
_RETRY = ("task_retry_limit", "task_age_limit", "min_backoff_seconds", "max_backoff_seconds", "max_doublings")


def _read_entry(node: Node, findings: Findings) -> QueueEntry | None:
    """One queue; None when a part of it cannot be used, which is in the findings then."""
    before = findings.errors
    fields = Fields(node, "a queue", _ENTRY, findings, _WANTED)
    name = fields.read("name", _name, required=True)
    if fields.read("mode", _mode) == "pull":
        place = fields.values["mode"].place
        findings.error(place, "Cloud Tasks has no pull queues", "take the queue out, or make it 'push'")
        return None
    fields.note("acl", "is for pull queues and has no effect here")
    rate = fields.read("rate", _rate, required=True)
    rest: dict[str, Any] = {
        "bucket_size": fields.read("bucket_size", _counted(_MOST_PER_SECOND, 5)),
        "max_concurrent_requests": fields.read("max_concurrent_requests", _counted(_MOST_CONCURRENT, 1000)),
        **(fields.read("target", _target) or {}),
        **_read_retry(fields.values.get("retry_parameters"), findings),
    }
    if findings.errors > before:
        return None
    return QueueEntry(
        name, fields.place, rate, **{key: given for key, given in rest.items() if given is not None}
    )


def _read_retry(node: Node | None, findings: Findings) -> dict[str, Any]:
    if node is None or is_null(node):
        return {}
    fields = Fields(node, "retry_parameters", _RETRY, findings, _WANTED)
    limit = fields.read("task_retry_limit", _counted(_INT32 - 1))
    least = fields.read("min_backoff_seconds", _seconds(0.1))
    most = fields.read("max_backoff_seconds", _seconds(3600))
    if least and most and least > most:
        place = fields.values["min_backoff_seconds"].place
        findings.error(place, f"min_backoff_seconds {least:g} is more than max_backoff_seconds {most:g}")
    # Of two backoffs in the wrong order, the one that is not written gives way.
    return {
        "task_retry_limit": limit,
        "task_age_limit": fields.read("task_age_limit", _age),
        "min_backoff_seconds": least or (min(0.1, most) if most else None),
        "max_backoff_seconds": most or (max(3600.0, least) if least else None),
        "max_doublings": fields.read("max_doublings", _counted(_INT32, 16)),
    }


_WANTED: Final[Mapping[str, str]] = {
    "name": "1 to 100 letters, digits and dashes",
    "rate": "write it like 5/s, 10.5/m, 100/h or 1/d, or 0 for a paused queue",
    "target": "write service or version.service",
    "task_age_limit": "write it like 90s, 30m, 12h or 2d",
}


def _name(text: str) -> str:
    if re.fullmatch(QUEUE_PATTERN, text) is None:
        raise UnreadableError(f"{quoted(text)} is not allowed", _WANTED["name"])
    return text


def _mode(text: str) -> str:
    if text not in ("push", "pull"):
        raise UnreadableError(f"{quoted(text)} is not allowed", "it is push")
    return text


def _rate(text: str) -> float:
    if text == "0":
        return 0.0
    match = _RATE.fullmatch(text)
    if match is None:
        raise UnreadableError(f"{quoted(text)} is no rate", _WANTED["rate"])
    rate = float(match[1]) / _SPANS[match[2]]
    if rate > _MOST_PER_SECOND:
        raise UnreadableError(f"{quoted(text)} is more than {_MOST_PER_SECOND} per second")
    return rate


def _age(text: str) -> int:
    match = _AGE.fullmatch(text)
    if match is None:
        raise UnreadableError(f"{quoted(text)} is no span of time", _WANTED["task_age_limit"])
    age = float(match[1]) * _SPANS[match[2]]
    if not 1 <= age <= _LONGEST:
        raise UnreadableError(f"{quoted(text)} is not between 1 second and 10,000 years")
    return int(age)


def _target(text: str) -> dict[str, str]:
    match = _TARGET.fullmatch(text)
    if match is None:
        raise UnreadableError(f"{quoted(text)} is no version and service", _WANTED["target"])
    return {"service": match["service"], "version": match["version"] or ""}


def _counted(most: int, default: int | None = None) -> Callable[[str], int]:
    """Reads a whole number from 0 to ``most``; where there is a ``default``, 0 is a way to write that."""

    def parse(text: str) -> int:
        if _INTEGER.fullmatch(text) is None:
            raise UnreadableError(f"{quoted(text)} is no whole number")
        if text.startswith("-") or len(text) > len(str(most)) or int(text) > most:
            raise UnreadableError(f"{quoted(text)} is not between 0 and {most}")
        if int(text) == 0 and default is not None:
            raise _stands_for_default(default)
        return int(text)

    return parse


def _seconds(default: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if not 0 <= number <= _LONGEST:
            raise UnreadableError(f"{quoted(text)} is no number of seconds")
        if number == 0:
            raise _stands_for_default(default)
        return number

    return parse


def _stands_for_default(default: float) -> UnreadableError:
    return UnreadableError(
        f"0 stands for the default, {default:g}", "neither gcloud nor the API can say 0", warning=True
    )
