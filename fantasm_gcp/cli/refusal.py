"""How a verb says that it cannot go on."""

from __future__ import annotations

from typing import IO, Any

import click


class Refusal(click.ClickException):
    """Ends the command with a message on standard error, one line if that is possible, and exit status 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"fantasm: {self.message}", file=file, err=file is None)


class Failure(Refusal):
    """As :class:`Refusal`, where there was nothing wrong with what was asked for: exit status 1."""

    exit_code = 1
