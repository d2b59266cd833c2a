"""Actions of an email batch, and of the machine that validates it."""

from __future__ import annotations

from typing import Any

from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter

from fantasm_gcp.action import DatastoreContinuationFSMAction, FSMAction
from machines.stage import put, ran

PAGE = 5
CHECKED_PAGE = 7
VALIDATION_WAIT = 6 * 3600


class Prepare(FSMAction):
    """Makes the row that the batch is counted in."""

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "Prepare")
        batch = datastore.Entity(context.datastore.key("Batch", context.instance_name))
        batch.update(issue=context["issue"], sent=0, skipped=0)
        context.put(batch)
        context["subject"] = f"Issue {context['issue']}"
        return "prepared"


class SendEntry(FSMAction):
    def execute(self, context: Any, obj: Any) -> None:
        ran(context, "Send entry")
        obj.subject = context["subject"].upper()


class Send(DatastoreContinuationFSMAction):
    """Puts an email into the outbox for each subscriber of its page who wants one."""

    def get_query(self, context: Any, obj: Any) -> Any:
        return context.datastore.query(kind="Subscriber", order=["number"])

    def get_batch_size(self, context: Any, obj: Any) -> int:
        return PAGE

    def continuation(self, context: Any, obj: Any, token: Any = None) -> Any:
        ran(context, "Send continuation")
        return super().continuation(context, obj, token)

    def execute(self, context: Any, obj: Any) -> str | None:
        if not obj.results:
            ran(context, "Send empty page")
            return None
        ran(context, "Send")
        wanted = [each for each in obj.results if each["wants"]]
        for each in wanted:
            put(context, "Email", batch=context.instance_name, to=each["email"], subject=obj.subject)
        context["sent"], context["skipped"] = len(wanted), len(obj.results) - len(wanted)
        return "sent"


class CountEntry(FSMAction):
    def execute(self, contexts: Any, obj: Any) -> None:
        ran(contexts, "Count entry")
        obj.sent = sum(each["sent"] for each in contexts)


class Count(FSMAction):
    """Adds up what was sent; whoever does so first orders the validation."""

    def execute(self, contexts: Any, obj: Any) -> None:
        ran(contexts, "Count")
        client = contexts.datastore
        batch = client.get(client.key("Batch", contexts.instance_name))
        batch["sent"] += obj.sent
        batch["skipped"] += sum(each["skipped"] for each in contexts)
        client.put(batch)
        contexts.spawn(
            "ValidateBatch",
            {"batch": batch.key},
            countdown=VALIDATION_WAIT,
            task_name=f"validate-{contexts.instance_name}",
        )


class Check(DatastoreContinuationFSMAction):
    """Looks for the emails of the subscribers of its page."""

    def get_query(self, context: Any, obj: Any) -> Any:
        return context.datastore.query(kind="Subscriber", order=["-number"])

    def get_batch_size(self, context: Any, obj: Any) -> int:
        return CHECKED_PAGE

    def continuation(self, context: Any, obj: Any, token: Any = None) -> Any:
        ran(context, "Check continuation")
        return super().continuation(context, obj, token)

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "Check")
        context["missing"], context["surplus"] = [], []
        for each in obj["results"]:
            found = _emails(context, each["email"])
            if found < each["wants"]:
                context["missing"].append(each["email"])
            elif found > each["wants"]:
                context["surplus"].append(each["email"])
        return "checked"


def _emails(context: Any, to: str) -> int:
    """How many emails of a batch went to an address."""
    filters = [PropertyFilter("batch", "=", context["batch"].name), PropertyFilter("to", "=", to)]
    return len(list(context.datastore.query(kind="Email", filters=filters).fetch()))


class Verdict(FSMAction):
    """Collects what was found; it is whole when all subscribers were checked."""

    def execute(self, contexts: Any, obj: Any) -> None:
        ran(contexts, "Verdict")
        client = contexts.datastore
        key = client.key("Verdict", contexts.context["batch"].name)
        verdict = client.get(key) or datastore.Entity(key)
        for name in ("missing", "surplus"):
            found = [email for each in contexts for email in each[name]]
            verdict[name] = sorted([*verdict.get(name, []), *found])
        verdict["checked"] = verdict.get("checked", 0) + sum(map(Check.results_count, contexts))
        total = Check.total_results_count(contexts)
        verdict["of"] = verdict.get("of") if total is None else total
        client.put(verdict)
