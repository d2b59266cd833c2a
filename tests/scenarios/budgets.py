"""Actions that do nothing, so that what a step costs is the engine's own."""

from __future__ import annotations

from typing import Any

PAGES = 3


class Go:
    def execute(self, context: Any, obj: Any) -> str:
        return "ok"


class Stop:
    def execute(self, context: Any, obj: Any) -> None:
        return None


class Page:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        page = int(token or 1)
        return str(page + 1) if page < PAGES else None

    def execute(self, context: Any, obj: Any) -> str:
        return "ok"


class Fork:
    def execute(self, context: Any, obj: Any) -> str:
        context.fork()
        context.fork()
        return "ok"


class Once:
    def execute(self, context: Any, obj: Any) -> str:
        context.once("call", int)
        return "ok"


class Spawn:
    def execute(self, context: Any, obj: Any) -> None:
        context.spawn("Told", {}, join=True)
