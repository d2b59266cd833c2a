"""What was answered to a question, and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fantasm_gcp.deploying.commands import Command, render_command

Severity: TypeAlias = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The JSON that gcloud has printed, or why there is none, in its own words."""

    value: Any = None
    refusal: str = ""

    def items(self) -> list[Mapping[str, Any]]:
        """The objects of a list; nothing where there is none."""
        return items_of(self.value)

    def fields(self) -> Mapping[str, Any]:
        """The fields of an object; nothing where there is none."""
        return fields_of(self.value)


Answers: TypeAlias = Mapping[str, Answer]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found. ``mend`` is the command that mends it, for a shell; empty where none does."""

    severity: Severity
    check: str
    words: str
    mend: str = ""


def ok(check: str, words: str) -> Finding:
    return Finding("ok", check, words)


def warning(check: str, words: str, mend: Command | str = "") -> Finding:
    return Finding("warning", check, words, _rendered(mend))


def error(check: str, words: str, mend: Command | str = "") -> Finding:
    return Finding("error", check, words, _rendered(mend))


def unseen(check: str, answer: Answer) -> Finding:
    """Of what gcloud was not allowed or not able to look at: it may be well, and may be not."""
    return Finding("warning", check, f"not checked: {answer.refusal}")


def exit_status(findings: Iterable[Finding]) -> int:
    """0 when all is well, 1 when there are only warnings, 2 when there are errors."""
    found = {each.severity for each in findings}
    return 2 if "error" in found else 1 if "warning" in found else 0


def last_part(name: object) -> str:
    """The last part of a resource's name, ``projects/…/queues/default``."""
    return str(name).rpartition("/")[2]


def fields_of(value: object) -> Mapping[str, Any]:
    """The fields of an object of JSON; nothing where it is none: what gcloud prints is not ours."""
    return value if isinstance(value, dict) else {}


def items_of(value: object) -> list[Mapping[str, Any]]:
    """The objects in a list of JSON; nothing where it is none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _rendered(mend: Command | str) -> str:
    return mend if isinstance(mend, str) else render_command(mend.argv)
