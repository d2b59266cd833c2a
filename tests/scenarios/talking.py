"""Actions that log, and fail when the test tells them to."""

from __future__ import annotations

from typing import Any


class Script:
    """How many attempts are still to fail, and how many lines each logs."""

    failures = 0
    lines = 1


class Only:
    def execute(self, context: Any, obj: Any) -> None:
        for n in range(Script.lines):
            context.logger.info("line %d", n, tags=["numbered"])
        if Script.failures:
            Script.failures -= 1
            try:
                raise RuntimeError("as told")
            except RuntimeError:
                context.logger.exception("failing")
                raise


class Says:
    def execute(self, context: Any, obj: Any) -> str | None:
        context.logger.info(type(self).__name__)
        return "ok" if context.state_name == "Begin" else None


class Enter(Says):
    pass


class Leave(Says):
    pass


class Pass(Says):
    pass
