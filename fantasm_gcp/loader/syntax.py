"""Errors of YAML's own, told where the mistake is: that is often above the place where the parser gave up."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from fantasm_gcp.core.attributes import ATTRIBUTES
from fantasm_gcp.core.findings import quoted
from fantasm_gcp.core.node import Place
from fantasm_gcp.errors import Problem
from fantasm_gcp.loader.lines import Lines

_NAMES = frozenset(each.name for each in ATTRIBUTES)
_NO_SPACE_BEHIND_DASH = re.compile(r" *(?:- +)*(?P<dash>-)(?P<name>\w+) *:")
_NO_SPACE_BEHIND_COLON = re.compile(r" *(?:- *)*(?P<name>\w+)(?P<colon>:)(?P<value>\S.*)")
_DASHES = re.compile(r"( *)((?:- +)*)")
_FARTHEST = 1000
_LONGEST = 1000
"""How many lines above the error, and how much of a line, are looked at."""


def syntax_problem(error: yaml.YAMLError, lines: Lines) -> Problem:
    """The problem that an error of a parser of PyYAML is; the first explanation that fits."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return lines.at(None).error(f"YAML error: {error}")
    place = lines.at(error.problem_mark or error.context_mark)
    if (begun := _open_quote(error, place, lines)) is not None:
        return begun.error(
            "YAML error: the quote that begins here is not closed in its line",
            "close it at the end of its text",
        )
    before = _before(place.line, lines)
    for number in (place.line, *before[:1]):
        if (problem := _missing_space(number, lines)) is not None:
            return problem
    line = lines.text(place.line)
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation:
        tabs = place.column <= len(indentation)
        hint = "YAML does not allow tabs for indentation; use spaces" if tabs else ""
    else:
        in_flow = "flow" in (error.context or "")
        hint = "" if in_flow else _misplaced(error.problem or "", place, before, lines)
    doing = f" {error.context}" if error.context else ""
    return place.error(f"YAML error{doing}: {error.problem}", hint)


def _before(line: int, lines: Lines) -> list[int]:
    """The lines above one that hold something, the nearest first."""
    above = range(line - 1, max(0, line - 1 - _FARTHEST), -1)
    return [each for each in above if lines.text(each).strip() and lines.text(each).lstrip()[0] != "#"]


def _open_quote(error: yaml.MarkedYAMLError, place: Place, lines: Lines) -> Place | None:
    """Where a quote begins that is never closed, or only by the one that was to begin another text."""
    if error.context == "while scanning a quoted scalar":
        return lines.at(error.context_mark)
    mark = lines.text(place.line)[: place.column - 1].rstrip()[-1:]
    if not mark or mark not in "'\"":
        return None
    for number in _before(place.line, lines):
        text = lines.text(number)[:_LONGEST]
        if mark in text:
            last = text.rindex(mark)
            begins = text[:last].rstrip()[-1:] in (":", "-", ",", "[", "{")
            return lines.point(number, last + 1) if begins and text.count(mark) % 2 else None
    return None


def _missing_space(number: int, lines: Lines) -> Problem | None:
    """``-name: M`` and ``event:go``, which YAML takes for text; told for names of attributes only."""
    text = lines.text(number)[:_LONGEST]
    if (found := _NO_SPACE_BEHIND_DASH.match(text)) and found["name"] in _NAMES:
        place = lines.point(number, found.start("dash") + 1)
        return place.error("YAML error: there is no space after the dash", f"write '- {found['name']}:'")
    if (found := _NO_SPACE_BEHIND_COLON.match(text)) and found["name"] in _NAMES:
        place = lines.point(number, found.start("colon") + 1)
        written = quoted(f"{found['name']}: {found['value'].rstrip()}")
        return place.error("YAML error: there is no space after the colon", f"write {written}")
    return None


def _misplaced(said: str, place: Place, before: list[int], lines: Lines) -> str:
    """The hint for a line whose indentation is none of those it could have, or an empty string."""
    here, _ = _columns(lines.text(place.line))
    if not before or place.column <= here:
        return ""
    line = f"line {place.line} is indented by {_spaces(here)}"
    nearest = before[0]
    inside = _columns(lines.text(nearest))[1]
    if said.startswith("mapping values are not allowed"):
        return f"{line}, line {nearest} by {inside}" if here > inside else ""
    if "expected" not in said:
        return ""
    levels = dict(_levels(before, lines))
    if here in levels:
        is_item = lines.text(place.line).lstrip().startswith("- ")
        return (
            f"{line} like line {levels[here]}, but begins with a dash" if is_item and here == inside else ""
        )
    less = max((each for each in levels if each < here), default=None)
    more = min((each for each in levels if each > here), default=None)
    neighbours = [f"line {levels[each]} by {each}" for each in (more, less) if each is not None]
    if more is not None and less is not None and levels[more] == levels[less]:
        neighbours = [f"what is in line {levels[more]} by {less} or {more}"]
    return f"{line}, {' and '.join(neighbours)}" if neighbours else ""


def _levels(before: list[int], lines: Lines) -> Iterator[tuple[int, int]]:
    """The indentations that are in force, with the nearest line of each."""
    limit = None
    for number in before:
        indent, inside = _columns(lines.text(number))
        for level in dict.fromkeys((inside, indent)):
            if limit is None or level < limit:
                yield level, number
        limit = indent if limit is None else min(limit, indent)
        if limit == 0:
            return


def _columns(text: str) -> tuple[int, int]:
    """How far a line is indented, and how far what stands behind its dashes is."""
    found = _DASHES.match(text[:_LONGEST])
    assert found is not None
    return len(found[1]), len(found[0])


def _spaces(count: int) -> str:
    return "1 space" if count == 1 else f"{count} spaces"
