"""Actions of the machines that docs/api.md shows."""

from __future__ import annotations

from typing import Any


def charge(context: Any, obj: Any) -> None:
    context.logger.info("charging %s", context["card"])
    if context["card"] == "expired":
        raise ValueError("the card has expired")
