"""The tutorial's class for a state that is final."""

from __future__ import annotations

from typing import Any

from machines import tutorial_mail as mail
from machines.stage import ran


class SendEmail:
    def continuation(self, context: Any, obj: Any, token: Any = None) -> Any:
        """Execute a query using an optional cursor, and store a single result in obj['subscriber']"""
        ran(context, "continuation")
        query = context.datastore.query(kind="Subscriber")
        page = query.fetch(limit=1, start_cursor=token)
        subscriber = next(iter(page), None)
        obj["subscriber"] = subscriber  # obj dict passes info to execute() method
        return page.next_page_token  # return token for next continuation() method

    def execute(self, context: Any, obj: Any) -> None:
        """Send an email to a single subscriber"""
        ran(context, "SendEmail")
        subscriber = obj["subscriber"]
        if subscriber:  # possible none were returned
            # note: this 'side-effect' performed as last step for idempotency
            mail.send_mail(to=subscriber["email"], key=context.idempotency_key)
