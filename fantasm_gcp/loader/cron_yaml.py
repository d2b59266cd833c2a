"""cron.yaml, the file of App Engine that lists requests at regular times: from its text to frozen values.

What it may hold is what ``gcloud app deploy cron.yaml`` takes. Schedules are left as they are written: Cloud
Scheduler reads App Engine's English-like form as well as crontab's (its reference of ``Job.schedule``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fantasm_gcp.core.findings import Findings, quoted
from fantasm_gcp.core.node import Node
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader.fields import Fields, UnreadableError, is_null
from fantasm_gcp.loader.files import read_text
from fantasm_gcp.loader.tree import parse_tree

_URL = re.compile(r"/[!-~]*")
_LINE = re.compile(r"[ -~]*[!-~][ -~]*")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
_AGE = re.compile(r"([0-9]{1,9})([smhd])")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_COUNT = re.compile(r"[0-9]{1,9}")
_SPANS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ENTRY = ("description", "url", "schedule", "timezone", "target", "retry_parameters", "attempt_deadline")
_RETRY = ("job_retry_limit", "job_age_limit", "min_backoff_seconds", "max_backoff_seconds", "max_doublings")
_WANTED: Final[Mapping[str, str]] = {
    "url": "write the path that is asked for, as /fantasm/sweep",
    "schedule": "write it like 'every 1 minutes' or 'every day 03:00'",
    "timezone": "write it like Europe/Zurich",
    "job_age_limit": "write it like 90s, 30m, 12h or 2d",
}


@dataclass(frozen=True, slots=True)
class CronEntry:
    """One request at regular times. ``url`` is a path with its query; without a ``timezone`` times are UTC.

    ``attempt_deadline``, ``job_age_limit`` and the backoffs are in seconds; what is None is not written.
    """

    url: str
    schedule: str
    description: str = ""
    timezone: str = ""
    attempt_deadline: float | None = None
    job_retry_limit: int | None = None
    job_age_limit: int | None = None
    min_backoff_seconds: float | None = None
    max_backoff_seconds: float | None = None
    max_doublings: int | None = None


def load_cron(path: str | os.PathLike[str]) -> tuple[CronEntry, ...]:
    """Reads and parses a cron.yaml; raises :class:`DefinitionError` with every problem."""
    return parse_cron(read_text(path), os.fsdecode(path))


def parse_cron(text: str, file: str) -> tuple[CronEntry, ...]:
    """Parses the text of a cron.yaml; ``file`` is its name, for messages.

    Raises :class:`DefinitionError` with every problem.
    """
    findings = Findings()
    root = Fields(parse_tree(text, file, begins="cron"), "the file", ("cron",), findings)
    if root.usable and "cron" not in root.values:
        findings.error(root.place, "there is no 'cron'", "the file lists its requests under 'cron:'")
    entries = tuple(_read_entry(node, findings) for node in root.items("cron"))
    if findings.errors:
        raise DefinitionError(findings.in_order())
    return entries


def _read_entry(node: Node, findings: Findings) -> CronEntry:
    fields = Fields(node, "an entry", _ENTRY, findings, _WANTED)
    return CronEntry(
        fields.read("url", _matching(_URL, "url"), required=True) or "",
        fields.read("schedule", _matching(_LINE, "schedule"), required=True) or "",
        fields.read("description", str) or "",
        fields.read("timezone", _matching(_ZONE, "timezone")) or "",
        fields.read("attempt_deadline", _seconds),
        **_read_retry(fields.values.get("retry_parameters"), findings),
    )


def _read_retry(node: Node | None, findings: Findings) -> dict[str, Any]:
    if node is None or is_null(node):
        return {}
    fields = Fields(node, "retry_parameters", _RETRY, findings, _WANTED)
    return {
        "job_retry_limit": fields.read("job_retry_limit", _count),
        "job_age_limit": fields.read("job_age_limit", _age),
        "min_backoff_seconds": fields.read("min_backoff_seconds", _seconds),
        "max_backoff_seconds": fields.read("max_backoff_seconds", _seconds),
        "max_doublings": fields.read("max_doublings", _count),
    }


def _matching(pattern: re.Pattern[str], name: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise UnreadableError(f"{quoted(text)} is not allowed", _WANTED[name])
        return text

    return parse


def _age(text: str) -> int:
    found = _AGE.fullmatch(text)
    if found is None:
        raise UnreadableError(f"{quoted(text)} is no span of time", _WANTED["job_age_limit"])
    return int(found[1]) * _SPANS[found[2]]


def _seconds(text: str) -> float:
    if _NUMBER.fullmatch(text.removesuffix("s")) is None:
        raise UnreadableError(f"{quoted(text)} is no number of seconds")
    return float(text.removesuffix("s"))


def _count(text: str) -> int:
    if _COUNT.fullmatch(text) is None:
        raise UnreadableError(f"{quoted(text)} is no whole number")
    return int(text)
