"""Actions that page through the orders of a test, and through the items of each."""

from __future__ import annotations

from typing import Any

from fantasm_gcp.action import ContinuationFSMAction, FSMAction, ListContinuationFSMAction
from machines.stage import put, ran

ITEMS_PAGE = 2


class Orders(ListContinuationFSMAction):
    """A branch for each order of a page: ``orders`` in the context has the number of items of each."""

    def get_list(self, context: Any, obj: Any) -> list[tuple[int, int]]:
        return list(enumerate(map(int, context["orders"].split(","))))

    def get_batch_size(self, context: Any, obj: Any) -> int:
        return int(context["size"])

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "Orders")
        for order, items in obj.results[1:]:
            context.fork({"order": order, "items": items})
        context["order"], context["items"] = obj.result
        return "order"


def split(context: Any, obj: Any) -> str:
    """A branch for each order, without a page of them."""
    ran(context, "Split")
    first, *others = enumerate(map(int, context["orders"].split(",")))
    for order, items in others:
        context.fork({"order": order, "items": items})
    context["order"], context["items"] = first
    return "order"


class Items(ListContinuationFSMAction):
    def get_list(self, context: Any, obj: Any) -> list[int]:
        return list(range(context["items"]))

    def get_batch_size(self, context: Any, obj: Any) -> int:
        return ITEMS_PAGE

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "Items")
        event: str = context["event"]
        return event


class Count(FSMAction):
    def execute(self, contexts: Any, obj: Any) -> None:
        ran(contexts, "Count")
        total = ContinuationFSMAction.total_results_count(contexts)
        put(contexts, "Counted", order=contexts[0]["order"], total=total, contexts=len(contexts))
