"""Actions that do what the test tells them to, and a short chain for machines without records."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from google.cloud import datastore


class Script:
    act: Callable[[Any], Any]


class Acts:
    def execute(self, context: Any, obj: Any) -> Any:
        return Script.act(context)


class Hop:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        context["hops"] = context.get("hops", 0) + 1
        return None if token else "second"

    def execute(self, context: Any, obj: Any) -> str | None:
        return "ok" if context["hops"] == 2 else None


class WriteEnd:
    def execute(self, context: Any, obj: Any) -> None:
        entity = datastore.Entity(context.datastore.key("Thing", "end"))
        entity.update(n=json.dumps(context["n"], ensure_ascii=False), hops=context["hops"])
        context.put(entity)
