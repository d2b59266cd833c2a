"""Commands of gcloud as values, and a script of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

NUMBER: Final = "{project-number}"
"""Stands for the project's number, which Google gives and nobody knows by heart."""

_WIDTH: Final = 100
_SHELL_NUMBER: Final = '"$PROJECT_NUMBER"'


@dataclass(frozen=True, slots=True)
class Command:
    """One thing to do, and ``why``. Doing it again is harmless.

    ``argv`` runs; where there is a ``check``, only if that prints nothing, as it does where it fails. Else
    ``instead`` runs, which may be nothing: what was to be made is there. ``argv`` may be nothing, too.
    """

    argv: tuple[str, ...]
    why: str
    check: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()

    def needs_number(self) -> bool:
        """Whether the project's number stands in it."""
        return any(NUMBER in word for word in (*self.argv, *self.check, *self.instead))


def gcloud(project: str, *words: str) -> tuple[str, ...]:
    """A command of gcloud for a project, which asks nobody anything."""
    return ("gcloud", *words, f"--project={project}", "--quiet")


def ask_number(project: str) -> tuple[str, ...]:
    """The command that prints the project's number."""
    return ("gcloud", "projects", "describe", project, "--format=value(projectNumber)", "--quiet")


def fill_number(argv: Iterable[str], number: str) -> tuple[str, ...]:
    """A command with the project's number in its place."""
    return tuple(word.replace(NUMBER, number) for word in argv)


def render_command(argv: Iterable[str]) -> str:
    """A command in one line, quoted for a POSIX shell."""
    return " ".join(map(_quoted, argv))


def render_script(commands: Sequence[Command], title: str, project: str) -> str:
    """A script for a POSIX shell that runs the commands in their order and stops at the first that fails."""
    lines = ["#!/bin/sh", *_comment(title), "set -eu", "", 'there() { test -n "$("$@" 2>/dev/null)"; }']
    if any(each.needs_number() for each in commands):
        lines += [f"PROJECT_NUMBER=$({render_command(ask_number(project))})", 'test -n "$PROJECT_NUMBER"']
    for each in commands:
        lines += ["", *_comment(each.why), *_steps(each)]
    return "\n".join(lines) + "\n"


def _steps(command: Command) -> list[str]:
    if not command.check:
        return _wrapped(command.argv)
    test = _wrapped(("there", *command.check))
    if command.argv and not command.instead:
        return [*test[:-1], f"{test[-1]} ||", *_wrapped(command.argv, "  ")]
    if not command.argv:
        return _block("if ", test, command.instead, "fi")
    return [*_block("if ", test, command.instead, "else"), *_wrapped(command.argv, "  "), "fi"]


def _block(begins: str, test: list[str], then: Sequence[str], ends: str) -> list[str]:
    return [f"{begins}{test[0]}", *test[1:-1], *test[1:][-1:], "then", *_wrapped(then, "  "), ends]


def _wrapped(argv: Iterable[str], indent: str = "") -> list[str]:
    """A command in lines of bearable width, each but the last with a backslash at its end."""
    lines = [indent]
    for word in map(_quoted, argv):
        if lines[-1].strip() and len(lines[-1]) + len(word) > _WIDTH:
            lines[-1] += " \\"
            lines.append(f"{indent}    {word}")
        else:
            lines[-1] += f" {word}" if lines[-1].strip() else word
    return lines


def _quoted(word: str) -> str:
    """Quoted for a shell, but for the project's number, which the shell puts in."""
    before, number, after = word.partition(NUMBER)
    if not number:
        return shlex.quote(word)
    return (shlex.quote(before) if before else "") + _SHELL_NUMBER + (_quoted(after) if after else "")


def _comment(text: str) -> list[str]:
    """A comment of one line or more, of whatever text."""
    lines = ["#"]
    for word in text.split():
        if len(lines[-1]) + len(word) > _WIDTH and lines[-1] != "#":
            lines.append("#")
        lines[-1] += f" {word}"
    return lines
