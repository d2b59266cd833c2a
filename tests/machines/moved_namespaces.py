"""The machine's namespace: its constants, and actions without a state's namespace."""

from __future__ import annotations

from typing import Any

from machines.stage import ran

GO_ON = GO = "go-on"


class Ways:
    GO_ON = "go-on"


class OnTheWay:
    def execute(self, context: Any, obj: Any) -> None:
        ran(context, "OnTheWay")


class Last:
    def execute(self, context: Any, obj: Any) -> None:
        ran(context, "Last")
