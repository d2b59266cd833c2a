"""Actions that note when they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.cloud import datastore

from fantasm_gcp.action import FSMAction
from machines.stage import ran

LAPS = 2


class Watch:
    """The clock, and the moments at which the states of each number ran."""

    clock: Callable[[], float]
    moments: dict[int, list[tuple[str, float]]]

    @classmethod
    def begin(cls, clock: Callable[[], float]) -> None:
        cls.clock, cls.moments = clock, {}


def note(context: Any) -> None:
    ran(context, context.state_name)
    Watch.moments.setdefault(context["number"], []).append((context.state_name, Watch.clock()))


class First(FSMAction):
    def execute(self, context: Any, obj: Any) -> str:
        note(context)
        context["sum"] = 0
        return "go"


class Second(FSMAction):
    """Comes back to itself for every third number."""

    def execute(self, context: Any, obj: Any) -> str:
        note(context)
        context["sum"] += context["number"]
        context["laps"] = context.get("laps", 0) + 1
        return "again" if context["number"] % 3 == 0 and context["laps"] < LAPS else "go"


class Third(FSMAction):
    def execute(self, context: Any, obj: Any) -> str:
        note(context)
        context["sum"] += 1
        return "go"


class Last(FSMAction):
    def execute(self, context: Any, obj: Any) -> None:
        note(context)
        client = context.datastore
        key = client.key("Sum", "all")
        total = client.get(key) or datastore.Entity(key)
        total["sum"] = total.get("sum", 0) + context["sum"]
        total["instances"] = total.get("instances", 0) + 1
        client.put(total)
