"""The machine's own module: constants, the first states, and a function beside the classes."""

from __future__ import annotations

import logging
from typing import Any

from machines.complex_places import Place, visit
from machines.complex_ways import AGAIN

START = "start"
ROUNDS = "rounds"


class Events:
    CHECK = "check"
    STOP = "stop"


class BeginEntry(Place):
    place, level, tags = "Begin entry", logging.DEBUG, ("entry",)


class Begin(Place):
    place = "Begin"

    def execute(self, context: Any, obj: Any) -> str:
        super().execute(context, obj)
        context["turns"] = context["checks"] = 0
        return START


class BeginExit(Place):
    place, level, tags = "Begin exit", logging.WARNING, ("exit", "first")


def on_start(context: Any, obj: Any) -> None:
    visit(context, "on start", logging.ERROR)


class WorkEntry(Place):
    place, level, tags = "Work entry", logging.DEBUG, ("entry",)

    def execute(self, context: Any, obj: Any) -> None:
        super().execute(context, obj)
        obj["turn"] = context["turns"] + 1


class Work(Place):
    """Three turns of it before it is checked."""

    place = "Work"

    def execute(self, context: Any, obj: Any) -> str:
        super().execute(context, obj)
        context["turns"] = obj.turn
        return Events.CHECK if context["turns"] % 3 == 0 else AGAIN


def leave_work(context: Any, obj: Any) -> None:
    visit(context, "Work exit")


def review(context: Any, obj: Any) -> str | None:
    """A final state's action that may go on."""
    visit(context, "Review")
    following: str | None = context.get("after-review")
    return following


def leave_quietly(context: Any, obj: Any) -> None:
    visit(context, "Quiet exit", logging.CRITICAL, "exit")
