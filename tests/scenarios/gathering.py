"""A continuation that writes one staged entity for each item, and a fan-in that notes its batches."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore


def note(context: Any, kind: str, **values: Any) -> None:
    entity = datastore.Entity(context.datastore.key(kind))
    entity.update(values)
    context.put(entity)


class Walk:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        item = int(token or 0)
        context["item"] = item
        return str(item + 1) if item + 1 < int(context["items"]) else None

    def execute(self, context: Any, obj: Any) -> str:
        context["filler"] = "x" * int(context.get("size", 0))
        return "ok"


class Gather:
    def execute(self, contexts: Any, obj: Any) -> str:
        note(contexts, "Batch", items=[each.get("item", 0) for each in contexts])
        contexts.context["gathered"] = len(contexts)
        return "ok"


class End:
    def execute(self, context: Any, obj: Any) -> None:
        note(context, "Ended", gathered=context["gathered"])


class Count:
    def execute(self, context: Any, obj: Any) -> str:
        context["count"] = context.get("count", 0) + 1
        return "again" if context["count"] % 3 else "enough"


class Twice:
    def execute(self, context: Any, obj: Any) -> str | None:
        return "again" if context["count"] < 6 else None
