"""Places of the complex machine: each notes its run, logs a line, and fails when a test tells it to."""

from __future__ import annotations

import logging
from typing import Any

from machines.stage import RUNS, ran

FAILING: set[str] = set()
"""Places that fail on their first run."""


def visit(context: Any, place: str, level: int = logging.INFO, *tags: str) -> None:
    ran(context, place)
    context.logger.log(level, "%s %d", place, RUNS[place], tags=tags)
    context["trail"] = [*context.get("trail", []), place]
    if place in FAILING and RUNS[place] == 1:
        raise RuntimeError(f"{place} fails")


class Place:
    """An action that is a place, and returns nothing."""

    place = ""
    level = logging.INFO
    tags: tuple[str, ...] = ()

    def execute(self, context: Any, obj: Any) -> str | None:
        visit(context, self.place, self.level, *self.tags)
        return None
