"""Actions of a report in three fan-in stages; amounts are decimals and days are dates all the way."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal
from typing import Any

from google.cloud import datastore

from fantasm_gcp.action import (
    ContinuationFSMAction,
    DatastoreContinuationFSMAction,
    FSMAction,
    ListContinuationFSMAction,
)
from machines.stage import put, ran

CUSTOMERS_PAGE = 2
RANGE = 4
RANGES_PAGE = 2
HEADER = ("region", "customers", "rows", "amount", "first", "last")


class Customers(DatastoreContinuationFSMAction):
    """A branch for each customer of the page, and one for the page itself."""

    def get_query(self, context: Any, obj: Any) -> Any:
        return context.datastore.query(kind="Customer", order=["number"])

    def get_batch_size(self, context: Any, obj: Any) -> int:
        return CUSTOMERS_PAGE

    def continuation(self, context: Any, obj: Any, token: Any = None) -> Any:
        ran(context, "Customers continuation")
        return super().continuation(context, obj, token)

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "Customers")
        context["part"] = "manifest"
        for each in obj.results:
            context.fork(
                {
                    "part": "rows",
                    "customer": each.key,
                    "region": each["region"],
                    "count": each["rows"],
                }
            )
        return "listed"


def which_part(context: Any, obj: Any) -> str:
    ran(context, "Part")
    part: str = context.pop("part")
    return part


class Manifest(FSMAction):
    """Learns the number of customers from the pages of them."""

    def execute(self, contexts: Any, obj: Any) -> str | None:
        ran(contexts, "Manifest")
        report = _report(contexts)
        report["listed"] += sum(ContinuationFSMAction.results_count(each, obj) for each in contexts)
        total = ContinuationFSMAction.total_results_count(contexts, obj)
        report["of"] = report["of"] if total is None else total
        return _whole(contexts, report)


class Rows(ListContinuationFSMAction):
    """Reads the rows of a customer, some ranges of them at a time."""

    def get_list(self, context: Any, obj: Any) -> list[tuple[int, int]]:
        count = context["count"]
        return [(first, min(first + RANGE, count)) for first in range(0, count, RANGE)]

    def get_batch_size(self, context: Any, obj: Any) -> int:
        return RANGES_PAGE

    def continuation(self, context: Any, obj: Any, token: Any = None) -> Any:
        ran(context, "Rows continuation")
        return super().continuation(context, obj, token)

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "Rows")
        client = context.datastore
        numbers = [number for first, end in obj["results"] for number in range(first, end)]
        keys = [client.key("Row", number + 1, parent=context["customer"]) for number in numbers]
        found = client.get_multi(keys)
        assert len(keys) == len(found)
        context["rows"] = [(date.fromisoformat(each["day"]), Decimal(each["amount"])) for each in found]
        return "read"


class CollectRows(FSMAction):
    """The first stage: goes on when the last range of a customer's rows is there, and all before it."""

    def execute(self, contexts: Any, obj: Any) -> str | None:
        ran(contexts, "CollectRows")
        (customer,) = {each["customer"] for each in contexts}
        key = contexts.datastore.key("CustomerTotal", f"{contexts.instance_name}-{customer.name}")
        total = contexts.datastore.get(key) or datastore.Entity(key)
        rows = [row for each in contexts for row in each["rows"]]
        total["ranges"] = total.get("ranges", 0) + sum(map(ContinuationFSMAction.results_count, contexts))
        for each in contexts:
            page = each.pages[-1]
            if page.last:
                total["of"] = page.before + page.size
        total["rows"] = total.get("rows", 0) + len(rows)
        total["amount"] = str(Decimal(total.get("amount", "0")) + sum(amount for _, amount in rows))
        days = [*total.get("days", []), *(day.isoformat() for day, _ in rows)]
        total["days"] = [min(days), max(days)] if days else []
        contexts.datastore.put(total)
        if total.get("of") != total["ranges"]:
            return None
        region = contexts.context["region"]
        contexts.context.clear()
        contexts.context.update(
            region=region,
            rows=total["rows"],
            amount=Decimal(total["amount"]),
            days=tuple(map(date.fromisoformat, total["days"])),
        )
        return "whole"


class CollectCustomers(FSMAction):
    """The second stage: adds customers up to what this window has of a region."""

    def execute(self, contexts: Any, obj: Any) -> str:
        ran(contexts, "CollectCustomers")
        assert 1 == len({each["region"] for each in contexts})
        contexts.context["customers"] = len(contexts)
        contexts.context["rows"] = sum(each["rows"] for each in contexts)
        contexts.context["amount"] = sum(each["amount"] for each in contexts)
        contexts.context["days"] = _ends(day for each in contexts for day in each["days"])
        return "added"


class CollectRegions(FSMAction):
    """The third stage: goes on when all customers are there."""

    def execute(self, contexts: Any, obj: Any) -> str | None:
        ran(contexts, "CollectRegions")
        report = _report(contexts)
        lines = json.loads(report["lines"])
        for each in contexts:
            customers, rows, amount, days = lines.get(each["region"], (0, 0, "0", []))
            ends = _ends((*map(date.fromisoformat, days), *each["days"]))
            lines[each["region"]] = (
                customers + each["customers"],
                rows + each["rows"],
                str(Decimal(amount) + each["amount"]),
                [day.isoformat() for day in ends],
            )
            report["customers"] += each["customers"]
        report["lines"] = json.dumps(lines)
        return _whole(contexts, report)


def _ends(days: Any) -> tuple[date, ...]:
    found = sorted(days)
    return (found[0], found[-1]) if found else ()


def _report(contexts: Any) -> datastore.Entity:
    """The row that the report is collected in."""
    key = contexts.datastore.key("Report", contexts.instance_name)
    report = contexts.datastore.get(key)
    if report is None:
        report = datastore.Entity(key, exclude_from_indexes=("lines",))
        report.update(listed=0, customers=0, of=None, lines="{}")
    return report


def _whole(contexts: Any, report: datastore.Entity) -> str | None:
    """Writes the row back; the event of the one call after which nothing is missing."""
    contexts.datastore.put(report)
    if not report["of"] == report["listed"] == report["customers"]:
        return None
    contexts.context.clear()
    return "whole"


class Write(FSMAction):
    """Makes the file and keeps it with the step."""

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "Write")
        client = context.datastore
        report = client.get(client.key("Report", context.instance_name))
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(HEADER)
        for region, (customers, rows, amount, days) in sorted(json.loads(report["lines"]).items()):
            writer.writerow((region, customers, rows, amount, *(days or ("", ""))))
        context["content"] = text.getvalue().encode()
        file = datastore.Entity(client.key("ReportFile"), exclude_from_indexes=("content",))
        file.update(instance=context.instance_name, content=context["content"])
        client.put(file)
        return "written"


def publish(context: Any, obj: Any) -> None:
    ran(context, "Publish")
    put(context, "Published", instance=context.instance_name, content=context["content"])
