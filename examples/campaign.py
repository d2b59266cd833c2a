"""An email campaign: one email for each subscriber, counted exactly once under any crash."""

from datetime import UTC, datetime

from google.cloud import datastore

from fantasm_gcp import Context, Contexts, DatastoreContinuationFSMAction, FSMAction, StepObject


class SendEmail(DatastoreContinuationFSMAction):
    """Sends an email to the one subscriber of its page."""

    def get_query(self, context: Context, obj: StepObject) -> datastore.Query:
        return context.datastore.query(kind="Subscriber")

    def execute(self, context: Context, obj: StepObject) -> str | None:
        subscriber = obj.result
        if subscriber is None:
            return None  # the page behind the last subscriber
        email = datastore.Entity(context.datastore.key("OutboxEmail"))
        email.update(
            campaign=context.instance_name,
            to=subscriber["email"],
            subject=f"News for {subscriber['name']}",
            sent=datetime.now(UTC),
        )
        context.put(email)  # written when this step commits, so once, however often it is tried
        return "ok"


class CountEmail(FSMAction):
    """Adds the emails sent in the last seconds to the campaign's counter, in one transaction."""

    def execute(self, contexts: Contexts, obj: StepObject) -> None:
        client = contexts.datastore
        key = client.key("EmailBatch", contexts.instance_name)
        batch = client.get(key) or datastore.Entity(key)
        batch["counter"] = batch.get("counter", 0) + len(contexts)
        client.put(batch)
