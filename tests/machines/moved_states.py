"""The namespace of one state."""

from __future__ import annotations

from typing import Any

from machines.moved_namespaces import GO_ON as THE_EVENT
from machines.stage import ran


class First:
    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "First")
        return THE_EVENT
