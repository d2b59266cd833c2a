"""Actions that note the scope they run in, for tests of what a trace comes to."""

from __future__ import annotations

import logging
from typing import Any

from fantasm_gcp.observing.scope import Scope, current

SEEN: list[tuple[str, Scope]] = []
"""The states that ran, in order, each with its scope."""

log = logging.getLogger("application")


def note() -> None:
    scope = current()
    assert scope is not None
    SEEN.append((scope.labels["fantasm_state"], scope))
    log.warning("in %s", scope.labels["fantasm_state"])


class Go:
    def execute(self, context: Any, obj: Any) -> str:
        note()
        return "ok"


class End:
    def execute(self, context: Any, obj: Any) -> None:
        note()


class Split:
    def execute(self, context: Any, obj: Any) -> str:
        note()
        for _ in range(int(context.get("forks", 2))):
            context.fork()
        return "ok"


class Breed(Split):
    def execute(self, context: Any, obj: Any) -> str:
        context.spawn("Child", [{} for _ in range(int(context["children"]))])
        return super().execute(context, obj)


class Walk:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        page = int(token or 0)
        obj.results = [page]
        return str(page + 1) if page < 2 else None

    def execute(self, context: Any, obj: Any) -> str:
        note()
        return "ok"


class Bear:
    def execute(self, context: Any, obj: Any) -> None:
        note()
        context.spawn("Child", {})
        context.spawn("Loose", {})


class Rude(Exception):
    """An exception that raises when it is asked for its words."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Try:
    def execute(self, context: Any, obj: Any) -> str:
        note()
        tried = sum(1 for state, _ in SEEN if state == "Try")
        if tried <= int(context.get("bad", 2)):
            raise Rude if context.get("rude") else RuntimeError(f"bad luck {tried}")
        return "ok"
