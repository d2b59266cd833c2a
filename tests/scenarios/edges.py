"""Actions for faults that were found: pages of two, and a page that says nothing."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore

from examples.campaign import CountEmail
from fantasm_gcp import DatastoreContinuationFSMAction

__all__ = ["CountEmail", "Quiet", "SendEmail"]

fail_once = False


class SendEmail(DatastoreContinuationFSMAction):
    def get_query(self, context: Any, obj: Any) -> Any:
        return context.datastore.query(kind="Subscriber")

    def get_batch_size(self, context: Any, obj: Any) -> int:
        return 2

    def execute(self, context: Any, obj: Any) -> str | None:
        global fail_once
        for each in obj.results:
            email = datastore.Entity(context.datastore.key("OutboxEmail"))
            email["to"] = each["email"]
            context.put(email)
        if fail_once:
            fail_once = False
            raise RuntimeError("once")
        return "ok" if obj.results else None


class Quiet:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        return None

    def execute(self, context: Any, obj: Any) -> None:
        return None
