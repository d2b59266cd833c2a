"""How the console words moments, durations, counts and what a step is doing."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fantasm_gcp.core.definition import NAME_PATTERN, Countdown, Definitions, Machine
from fantasm_gcp.core.records import Outcome, Record, Task, TaskStatus
from fantasm_gcp.core.step import landing
from fantasm_gcp.diagram.card import seconds as words_of_period
from fantasm_gcp.errors import Problem

GLYPHS: Final = {  # paths in a square of 12, so that no status is told by its colour alone
    "running": "M3.5 2L9.5 6L3.5 10z",
    "completed": "M2 6.5L5 9.5L10.5 3",
    "failed": "M6 1.5L11 10.5H1zM6 5v2.3M6 9v.1",
    "queued": "M2 3h8M2 6h8M2 9h5",
    "waiting": "M6 1.2a4.8 4.8 0 1 0 .01 0zM6 3.5V6l1.8 1.4",
    "collecting": "M1 1.8L5.5 6M1 6h10M1 10.2L5.5 6M8.8 3.8L11 6L8.8 8.2",
    "retrying": "M10 6a4 4 0 1 1-1.2-2.8L10 4.4M10 1.6v2.8H7.2",
    "paused": "M3.6 2v8M8.4 2v8",
    "parked": "M3.5 11V1.5h3a2.6 2.6 0 0 1 0 5.2h-3",
    "recovered": "M10 10.5V6a3 3 0 0 0-6 0v3.8M1.6 7.4L4 9.8L6.4 7.4",
    "skipped": "M2 2.5L7 6L2 9.5zM9.8 2.5v7",
    "cancelled": "M6 1.2a4.8 4.8 0 1 0 .01 0zM3.8 6h4.4",
    "halted": "M3 3h6v6H3z",
    "empty": "M6 1.8a4.2 4.2 0 1 0 .01 0zM3 9l6-6",
    "split": "M1 6h4M5 6L9.5 2.5M5 6L9.5 9.5M7 2.2h2.8v2.6M7 9.8h2.8V7.2",
    "spread": "M6 11V6L1.5 1.8M6 6V1.2M6 6L10.5 1.8",
}
"""The glyph of each status of an instance, of a step in flight, and of a step that is over."""

FOLDED_FROM, FOLDED_LINES = 400, 8
"""Characters and line ends of a logged message that is shown folded."""
FOLDED_TO = 120

_UNITS: Final = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def words_of_moment(seconds: float) -> str:
    """A moment as ``2026-11-22 03:51:23 UTC``."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def words_of_clock(seconds: float) -> str:
    """The time of day of a moment in UTC, to the millisecond: ``03:51:23.042``."""
    return datetime.fromtimestamp(seconds, UTC).time().isoformat(timespec="milliseconds")


def words_of_distance(seconds: float, now: float) -> str:
    """How long ago a moment was, or in how long it will be, in one unit: ``3 min ago``, ``in 20 s``."""
    distance = now - seconds
    if abs(distance) < 1:
        return "just now"
    size, unit = next(((size, unit) for size, unit, _, _ in _UNITS if abs(distance) >= size), (1, "s"))
    amount = f"{int(abs(distance) // size):,} {unit}"
    return f"{amount} ago" if distance > 0 else f"in {amount}"


def words_of_duration(seconds: float) -> str:
    """A duration in seconds as ``85 ms``, ``1.24 s``, ``3 min 4 s``; one below zero is clocks that differ."""
    if seconds < 1:
        return f"{max(0, int(seconds * 1000))} ms"
    if seconds < 60:
        return f"{int(seconds * 100) / 100:g} s"
    for size, unit, smaller, smaller_unit in _UNITS:
        if seconds >= size:
            rest = int(seconds % size // smaller)
            whole = f"{int(seconds // size):,} {unit}"
            return f"{whole} {rest} {smaller_unit}" if rest else whole
    raise AssertionError("every duration from a minute up is in the table of units")


def words_of_size(count: int) -> str:
    """A number of bytes as ``812 bytes`` or ``12.3 KB``."""
    if count < 1000:
        return f"{count} byte" if count == 1 else f"{count} bytes"
    return f"{count / 1000:,.1f} KB" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"


def words_of_wait(countdown: Countdown) -> str:
    """How long a step waits before it is due: ``5 s``, ``5 s to 10 s``."""
    least, most = words_of_period(countdown.minimum), words_of_period(countdown.maximum)
    return least if least == most else f"{least} to {most}"


def words_of_level(level: int) -> str:
    """The name of a level of the ``logging`` module: ``warning``, ``level 25``."""
    return logging.getLevelName(level).lower()


def tone_of_level(level: int) -> str:
    """The class of a level's colour; it goes with the word."""
    if level >= logging.ERROR:
        return "failed"
    return "warning" if level >= logging.WARNING else "plain"


def fold(message: str) -> str:
    """The beginning of a message that is too long for a row of a table; empty for one that is not."""
    line = message.partition("\n")[0]
    if len(message) <= FOLDED_FROM and message.count("\n") < FOLDED_LINES:
        return ""
    return line if len(line) <= FOLDED_TO else f"{line[:FOLDED_TO]}…"


def words_of_count(count: int) -> str:
    """A number with its thousands apart: ``12,345``."""
    return f"{count:,}"


def standing(task: Task, now: float) -> str:
    """What a step that is not over is doing, in the word for it: one of :data:`GLYPHS`."""
    if task.status is not TaskStatus.QUEUED:
        return task.status.value
    if task.failure is not None:
        return "retrying"
    if task.due > now:
        return "waiting" if task.collection is None else "collecting"
    return "queued"


def words_of_notice(done: str, event: str) -> str:
    """What a command did, where its page does not show it: by its word in the page's address.

    Words that no command leaves there are ignored, because anybody may write an address.
    """
    if done == "skipped":
        by = event if re.fullmatch(NAME_PATTERN, event) else "the event that was chosen"
        return f"The step is skipped: its branch goes on by {by}." if event else _SKIPPED_TO_THE_END
    return _NOTICES.get(done, "")


_SKIPPED_TO_THE_END: Final = "The step is skipped: its branch ends there."
_NOTICES: Final = {
    "unchanged": "The step has not failed (any more): nothing was changed.",
    "unmatched": "No failed step matches now: there was nothing to run again.",
}


def join_behind(machine: Machine | None, record: Record) -> str:
    """The join that a branch went to by a step that is over; empty where there was none."""
    state = landing(machine, record.step) if machine else None
    transition = state.transition(record.event) if state and record.event else None
    there = machine.state(transition.to) if machine and transition else None
    acted = record.outcome in (Outcome.COMPLETED, Outcome.RECOVERED, Outcome.SKIPPED)
    return there.name if acted and record.ends_branch and there is not None and there.join else ""


def queues_of(machine: Machine) -> tuple[str, ...]:
    """The queues that a machine's steps use, its own first."""
    others = (each.queue for state in machine.states for each in state.transitions if each.queue)
    return tuple(dict.fromkeys((machine.queue, *others)))


@dataclass(frozen=True, slots=True)
class Warnings:
    """What a definition file is warned about: by machine, and what is in none of them."""

    by_machine: dict[str, tuple[Problem, ...]]
    elsewhere: tuple[Problem, ...]


def sorted_warnings(definitions: Definitions) -> Warnings:
    """The warnings, each with the machine that it stands in."""
    spans = [_span(definitions, name) for name in definitions.machines if (name,) in definitions.places]
    found: dict[str, list[Problem]] = {}
    for each in definitions.warnings:
        around = [span for span in spans if span.file == each.file and span.first <= each.line <= span.last]
        owner = min(around, key=lambda span, at=each: span.distance(at), default=None)  # type: ignore[misc]
        found.setdefault(owner.machine if owner is not None else "", []).append(each)
    elsewhere = tuple(found.pop("", ()))
    return Warnings({machine: tuple(problems) for machine, problems in found.items()}, elsewhere)


@dataclass(frozen=True, slots=True)
class _Span:
    """The lines that a machine stands in, and the place of its name."""

    machine: str
    file: str
    first: int
    last: int
    line: int
    column: int

    def distance(self, problem: Problem) -> tuple[bool, int, int]:
        """From the name: the nearest above is that of the machine, where states are an alias of another's."""
        below = (self.line, self.column) > (problem.line, problem.column)
        return below, abs(self.line - problem.line), abs(self.column - problem.column)


def _span(definitions: Definitions, machine: str) -> _Span:
    name = definitions.places[machine,]
    lines = [
        at.line for path, at in definitions.places.items() if path[0] == machine and at.file == name.file
    ]
    return _Span(machine, name.file, min(lines), max(lines), name.line, name.column)
