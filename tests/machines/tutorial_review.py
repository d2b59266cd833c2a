"""The classes of the tutorial's first machine."""

from __future__ import annotations

from typing import Any

from machines.stage import ran


class InitialStateClass:
    def execute(self, context: Any, obj: Any) -> str:  # called by Fantasm
        ran(context, "InitialState")
        arg1 = context["arg1"]  # query args become part of the machine context
        if arg1 == "something":
            # execute method returns the event to dispatch, driving the transition
            return "ok"
        else:
            return "review"


class ReviewAndRecoverStateClass:
    def execute(self, context: Any, obj: Any) -> str | None:
        ran(context, "ReviewAndRecoverState")
        return "ok" if context["arg1"] == "recovers" else None


class FinalStateClass:
    def execute(self, context: Any, obj: Any) -> None:
        ran(context, "FinalState")
