"""The namespace of two states."""

from __future__ import annotations

import logging
from typing import Any

from machines.complex_places import Place, visit


class Events:
    BACK = "go-back"


def enter_check(context: Any, obj: Any) -> None:
    visit(context, "Check entry", logging.INFO, "entry")


class Check(Place):
    """Sends it back as many times as there are rounds, and then to the end that was asked for."""

    place = "Check"

    def execute(self, context: Any, obj: Any) -> str:
        super().execute(context, obj)
        context["checks"] += 1
        ending: str = context["ending"]
        return Events.BACK if context["checks"] <= context["rounds"] else ending


def on_stop(context: Any, obj: Any) -> None:
    visit(context, "on stop")


class StopEntry(Place):
    place = "Stop entry"


class Stop(Place):
    place = "Stop"


class StopExit(Place):
    place, level, tags = "Stop exit", logging.WARNING, ("exit", "last")
