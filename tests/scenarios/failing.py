"""Actions that do what the test tells them to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Script:
    """What the next attempts do: each is called with the context; when none is left the action succeeds."""

    attempts: list[Callable[[Any], Any]] = []  # noqa: RUF012  set anew by each test


class Only:
    def execute(self, context: Any, obj: Any) -> Any:
        return Script.attempts.pop(0)(context) if Script.attempts else None


class Says:
    def execute(self, context: Any, obj: Any) -> Any:
        return eval(context["says"])  # the test's own text
