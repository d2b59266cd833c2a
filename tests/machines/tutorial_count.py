"""The tutorial's classes for an email and a count of it, one by one."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore

from machines import tutorial_mail as mail
from machines import tutorial_send
from machines.stage import ran


class SendEmail(tutorial_send.SendEmail):
    # no change to continuation()

    def execute(self, context: Any, obj: Any) -> str | None:
        ran(context, "SendEmail")
        subscriber = obj["subscriber"]
        if subscriber:
            mail.send_mail(to=subscriber["email"], key=context.idempotency_key)
            # only change is to emit event ok
            return "ok"
        return None


class CountEmail:
    def execute(self, context: Any, obj: Any) -> None:
        """Transactionally update our batch counter"""
        ran(context, "CountEmail")
        client = context.datastore

        def tx() -> None:
            key = client.key("EmailBatch", "1")  # key simplified for example
            batch = client.get(key)
            if not batch:
                batch = datastore.Entity(key)
                batch["counter"] = 0
            batch["counter"] += 1
            client.put(batch)

        with client.transaction():
            tx()
