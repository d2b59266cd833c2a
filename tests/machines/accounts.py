"""The classes of a user's notes: a query without cursors, and a fan-in that counts."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore

from fantasm_gcp.action import DatastoreContinuationFSMAction, FSMAction
from machines.stage import ran


class AllAccountsClass(DatastoreContinuationFSMAction):
    def getQuery(self, context: Any, obj: Any) -> Any:  # noqa: N802
        return context.datastore.query(kind="Accounts")

    def execute(self, context: Any, obj: Any) -> str | None:
        ran(context, "AllAccounts")
        if not obj["result"]:
            return None
        return "peraccount"


# Fan in here every X seconds


class CountAccountsClass(FSMAction):
    def execute(self, contexts: Any, obj: Any) -> None:
        """Transactionally update our batch counter"""
        ran(contexts, "CountAccounts")
        client = contexts.datastore
        batch_key = client.key("Batch", "num_accounts")

        def tx() -> None:
            batch = client.get(batch_key)
            if not batch:
                # For whatever reason it was not already created in previous state
                batch = datastore.Entity(batch_key)
                batch["counter"] = 0
                client.put(batch)
            batch["counter"] += len(contexts)
            client.put(batch)

        with client.transaction():
            tx()
