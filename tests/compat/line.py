"""Three states in a row, each place with an action of its own; and other machines made of them."""

from __future__ import annotations

from typing import Any

from ledger import Ledger


class Place:
    """Notes its run, and leaves a trail in the context."""

    place = ""
    event: str | None = None

    def execute(self, context: Any, obj: Any) -> str | None:
        context["trail"] = [*context.get("trail", []), self.place]
        Ledger.enter(self.place, list(context["trail"]))
        return self.event


class InitialEntry(Place):
    place = "initial entry"


class InitialAction(Place):
    place = "initial action"
    event = "next"


class InitialExit(Place):
    place = "initial exit"


class InitialTransition(Place):
    place = "initial transition"


class NormalEntry(Place):
    place = "normal entry"


class NormalAction(Place):
    place = "normal action"
    event = "next"


class NormalExit(Place):
    place = "normal exit"


class NormalTransition(Place):
    place = "normal transition"


class FinalEntry(Place):
    place = "final entry"


class FinalAction(Place):
    place = "final action"


class FinalExit(Place):
    place = "final exit"


class Again(Place):
    """Five rounds, then on."""

    place = "normal action"

    def execute(self, context: Any, obj: Any) -> str:
        super().execute(context, obj)
        context["rounds"] = context.get("rounds", 0) + 1
        return "again" if context["rounds"] <= 5 else "next"
