"""What `fantasm dev --demo` runs: the email campaign over a thousand subscribers, and a look at the result.

``MACHINE``, ``seed``, ``total`` and ``outcome`` are the names it looks for; a module of yours with these four
is run by `fantasm dev --demo your.module`.
"""

from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter

from fantasm_gcp.local.dev.demo import DemoOutcome

MACHINE = "SendSubscriberEmail"
SUBSCRIBERS = 1000
BATCH = 500  # the most entities that Datastore takes in one request


def seed(client: datastore.Client) -> None:
    """Puts the subscribers into Datastore that are not there yet."""
    there = {each.key.name for each in _keys(client, "Subscriber")}
    missing = []
    for number in range(1, SUBSCRIBERS + 1):
        subscriber = datastore.Entity(client.key("Subscriber", f"subscriber-{number:04}"))
        subscriber.update(email=f"subscriber-{number:04}@example.com", name=f"Subscriber {number}")
        if subscriber.key.name not in there:
            missing.append(subscriber)
    for first in range(0, len(missing), BATCH):
        client.put_multi(missing[first : first + BATCH])


def total(client: datastore.Client) -> int:
    """How many emails there are to send."""
    return len(_keys(client, "Subscriber"))


def outcome(client: datastore.Client, instance: str) -> DemoOutcome:
    """Whether each subscriber was sent one email and each email was counted once."""
    subscribers = total(client)
    outbox = client.query(kind="OutboxEmail", filters=[PropertyFilter("campaign", "=", instance)])
    recipients = [each["to"] for each in outbox.fetch()]
    batch = client.get(client.key("EmailBatch", instance)) or {}
    counted = batch.get("counter", 0)
    lines = [
        f"{subscribers:,} subscribers",
        f"{len(recipients):,} emails sent, to {len(set(recipients)):,} of them",
        f"{counted:,} emails counted",
    ]
    return DemoOutcome(
        subscribers == len(recipients) == len(set(recipients)) == counted,
        tuple(lines),
    )


def _keys(client: datastore.Client, kind: str) -> list[datastore.Entity]:
    query = client.query(kind=kind)
    query.keys_only()
    return list(query.fetch())
