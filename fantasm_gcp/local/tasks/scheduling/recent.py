"""The attempts that ended last, for people to look at; kept in memory and forgotten with the process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fantasm_gcp.local.tasks.scheduling.deliveries import Response
from fantasm_gcp.local.tasks.scheduling.faults import Fault

KEPT: Final = 200
"""How many attempts are kept."""

_MOST_REASON = 300  # characters: what an exception says may be as long as a page


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt as it went.

    ``number`` counts the task's attempts from 0. ``began`` and ``next_time`` are seconds of the epoch by the
    server's clock, ``took`` seconds by the clock that it was given, which moving it ahead does not change.
    ``status`` is what the queue was told, None for no answer, and ``reason`` why there was none, if that is
    known, or how an answer begins that was a failure. ``result`` is that of
    :class:`~fantasm_gcp.local.tasks.scheduling.schedule.Outcome`.
    """

    task: str
    number: int
    began: float
    took: float
    status: int | None
    result: str
    next_time: float | None
    fault: Fault | None
    reason: str


def said(response: Response | None) -> str:
    """What a worker says of its failure, in a line; "" of a success and of no answer."""
    if response is None or 200 <= response.status <= 299:
        return ""
    return " ".join(response.body.decode(errors="replace").split())


def shorten(reason: str) -> str:
    """A reason of bearable length."""
    return reason if len(reason) <= _MOST_REASON else f"{reason[: _MOST_REASON - 1]}…"
