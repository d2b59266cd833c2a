"""What is said at the start of a clock that was moved ahead in an earlier run."""

from __future__ import annotations

from datetime import timedelta

import click


def tell_shift(seconds: float) -> None:
    """One line, unless the clock of Cloud Tasks is that of this machine."""
    if seconds:
        ahead = timedelta(seconds=round(seconds))
        click.echo(f"clock      of tasks is {ahead} ahead of this machine's, until a reset on its pages")
