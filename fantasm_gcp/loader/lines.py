"""The lines of a definition file, and the places in them."""

from __future__ import annotations

import re
from typing import Protocol

from fantasm_gcp.core.node import Place

_LINE_END = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


class Mark(Protocol):
    """What both parsers of PyYAML mark a point of the text with; they count from 0."""

    line: int
    column: int


class Lines:
    """The lines of a text, counted as YAML counts them."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._whole = text
        self._lines = _LINE_END.split(text)
        self._shown: dict[int, str] = {}

    def text(self, line: int) -> str:
        """A line as it is; an empty one behind the end."""
        return self._lines[line - 1] if line <= len(self._lines) else ""

    def at(self, mark: Mark | None) -> Place:
        """The place of a mark; without one, the beginning."""
        return self.point(mark.line + 1, mark.column + 1) if mark else self.point(1, 1)

    def at_index(self, index: int) -> Place:
        """The place of a character of the text."""
        before = _LINE_END.split(self._whole[:index])
        return self.point(len(before), len(before[-1]) + 1)

    def point(self, line: int, column: int) -> Place:
        """A place by its numbers, which count from 1."""
        if line not in self._shown:
            text = self.text(line)
            if not text.isprintable():
                text = "".join(each if each.isprintable() else " " for each in text)
            self._shown[line] = text
        return Place(self._file, line, column, self._shown[line])
