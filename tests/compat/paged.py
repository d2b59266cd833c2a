"""Continuations over the items of a test, each place with an action of its own."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore
from ledger import Ledger

from fantasm_gcp.action import DatastoreContinuationFSMAction, ListContinuationFSMAction


class Begin:
    def execute(self, context: Any, obj: Any) -> str:
        Ledger.enter("initial action")
        return "next"


class BeginEntry:
    def execute(self, context: Any, obj: Any) -> None:
        Ledger.enter("initial entry")


class PageEntry:
    def execute(self, context: Any, obj: Any) -> None:
        Ledger.enter("entry")


class Pages(DatastoreContinuationFSMAction):
    """Pages of two; the last one, of ten items, is empty, and ends its branch."""

    def get_query(self, context: Any, obj: Any) -> Any:
        return context.datastore.query(kind="Item", order=["number"])

    def get_batch_size(self, context: Any, obj: Any) -> int:
        return int(context.get("size", 2))

    def continuation(self, context: Any, obj: Any, token: str | None = None) -> Any:
        Ledger.enter("continuation", token)
        return super().continuation(context, obj, token)

    def execute(self, context: Any, obj: Any) -> str | None:
        if not obj["results"]:
            Ledger.enter("empty page", dict(context))
            return None
        context["numbers"] = [each["number"] for each in obj["results"]]
        Ledger.enter("action", [dict(context), obj["result"]["number"]])
        return "next"


class Insistent(Pages):
    """Goes on also from an empty page."""

    def execute(self, context: Any, obj: Any) -> str:
        context["numbers"] = [each["number"] for each in obj["results"]]
        Ledger.enter("action", [dict(context), obj["result"] and obj["result"]["number"]])
        return "next"


class Listed(ListContinuationFSMAction):
    """Pages of a list, in Fantasm's spelling."""

    def getList(self, context: Any, obj: Any) -> list[int]:  # noqa: N802
        return list(range(int(context["length"])))

    def getBatchSize(self, context: Any, obj: Any) -> int:  # noqa: N802
        return int(context["size"])

    def continuation(self, context: Any, obj: Any, token: str | None = None) -> Any:
        Ledger.enter("continuation", token)
        return super().continuation(context, obj, token)

    def execute(self, context: Any, obj: Any) -> str:
        assert obj["result"] == (obj["results"][0] if obj["results"] else None)
        context["numbers"] = obj["results"]
        return "collect" if "collect" in context else "next"


class Three:
    """Three pages, without Datastore; the token is a number."""

    key = "outer"

    def continuation(self, context: Any, obj: Any, token: str | None = None) -> int | None:
        Ledger.enter("continuation", token)
        context[self.key] = int(token or 0)
        return context[self.key] + 1 if context[self.key] < 2 else None

    def execute(self, context: Any, obj: Any) -> str:
        Ledger.enter("action", dict(context))
        return "next"


class ThreeInside(Three):
    key = "inner"


class CollectEntry:
    def execute(self, contexts: Any, obj: Any) -> None:
        Ledger.enter("collect entry", [each["numbers"] for each in contexts])


class Collect:
    """Adds up what arrived, in the transaction that the step commits with."""

    def execute(self, contexts: Any, obj: Any) -> str:
        client = contexts.datastore
        key = client.key("Total", contexts.instanceName)
        total = client.get(key) or datastore.Entity(key)
        total["sum"] = total.get("sum", 0) + sum(sum(each["numbers"]) for each in contexts)
        total["contexts"] = total.get("contexts", 0) + len(contexts)
        client.put(total)
        Ledger.enter("collect", [each["numbers"] for each in contexts])
        return "next"


class End:
    def execute(self, context: Any, obj: Any) -> None:
        Ledger.enter("final action", dict(context))
