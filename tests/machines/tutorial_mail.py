"""A mail service that takes an idempotency key; and the subscribers that the tutorial writes to."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore

SENT: dict[str, str] = {}
"""Who got the mail of each key."""


def send_mail(to: str, key: str) -> None:
    SENT[key] = to


def subscribe(client: Any, count: int) -> None:
    for number in range(count):
        subscriber = datastore.Entity(client.key("Subscriber", f"{number:04}"))
        subscriber["email"] = address(number)
        client.put(subscriber)


def address(number: int) -> str:
    return f"{number}@example.org"
