"""The tutorial's classes as the migration guide has them: the transaction is the step's own."""

from __future__ import annotations

from typing import Any

from machines import tutorial_count, tutorial_fan_in


class SendEmail(tutorial_count.SendEmail):
    pass


class CountEmail(tutorial_fan_in.CountEmail):
    def run_in_transaction(self, client: Any, tx: Any, *arguments: Any) -> None:
        tx(*arguments)
