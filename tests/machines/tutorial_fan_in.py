"""The tutorial's classes for emails that are counted many at once."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore

from machines import tutorial_count
from machines.stage import ran


class SendEmail(tutorial_count.SendEmail):
    pass


class CountEmail:
    def execute(self, list_of_contexts: Any, obj: Any) -> None:
        """Transactionally update our batch counter"""
        ran(list_of_contexts, "CountEmail")
        client = list_of_contexts.datastore

        def tx(count: int) -> None:
            key = client.key("EmailBatch", "1")  # key simplified for example
            batch = client.get(key)
            if not batch:
                batch = datastore.Entity(key)
                batch["counter"] = 0
            batch["counter"] += count
            client.put(batch)

        emails_sent = len(list_of_contexts)
        self.run_in_transaction(client, tx, emails_sent)

    def run_in_transaction(self, client: Any, tx: Any, *arguments: Any) -> None:
        with client.transaction():
            tx(*arguments)
