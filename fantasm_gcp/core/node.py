"""A definition file as a tree of frozen values, each with its place in the file.

The loader makes the tree (it knows YAML), ``core.draft`` reads it (it knows the attributes). An alias in
the file is the same node again, so a node's place is always where its text was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fantasm_gcp.errors import Problem


@dataclass(frozen=True, slots=True)
class Place:
    """A point in a file; ``line`` and ``column`` count from 1, ``source`` is the text of the line.

    ``source`` has one character per column: tabs and unprintable characters are already replaced.
    """

    file: str
    line: int
    column: int
    source: str

    def error(self, message: str, hint: str = "") -> Problem:
        """A problem here, because of which the file cannot be used."""
        return Problem("error", self.file, self.line, self.column, self.source, message, hint)

    def warning(self, message: str, hint: str = "") -> Problem:
        """A problem here, in spite of which the file can be used."""
        return Problem("warning", self.file, self.line, self.column, self.source, message, hint)


ScalarKind: TypeAlias = Literal["text", "bool", "int", "float", "null", "date"]
"""What YAML 1.1 makes of a scalar: ``on`` is a bool, ``1:30`` an int, ``2026-01-01`` a date."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: ``text`` as written, without quotes; ``value`` of the Python type of its kind.

    The value of a date is None: no attribute takes one.
    """

    place: Place
    kind: ScalarKind
    text: str
    value: str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list, in the order of the file."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the file, what ``<<`` merges in behind what is written.

    A key written twice is there twice; a key that is also merged in is there once, as written.
    """

    place: Place
    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """A value that is well-formed YAML but of no use to anybody; ``message`` says why."""

    place: Place
    message: str
    hint: str = ""


Node: TypeAlias = Scalar | Sequence | Mapping | Broken
