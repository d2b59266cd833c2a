"""Actions of a team that moved, in the spellings that it always used."""

from __future__ import annotations

import logging
from typing import Any

from google.cloud import datastore

from fantasm_gcp import HaltMachineError, current_fantasm, startStateMachine
from fantasm_gcp.action import (
    ContinuationFSMAction,
    DatastoreContinuationFSMAction,
    FSMAction,
    ListContinuationFSMAction,
)
from machines.stage import put, ran

MONTH = "month"
SPLIT = "split"


class Events:
    FOUND = "found"


class FindAccountsEntry(FSMAction):
    def execute(self, context: Any, obj: Any) -> None:
        ran(context, "FindAccounts entry")
        context.logger.setLevel(logging.INFO)
        context.logger.debug("not kept")


class FindAccounts(DatastoreContinuationFSMAction):
    def getQuery(self, context: Any, obj: Any) -> Any:  # noqa: N802
        return context.datastore.query(kind="Account", order=["number"])

    def getBatchSize(self, context: Any, obj: Any) -> int:  # noqa: N802
        return 3

    def getKeysOnly(self, context: Any, obj: Any) -> bool:  # noqa: N802
        return True

    def execute(self, context: Any, obj: Any) -> str | None:
        ran(context, "FindAccounts")
        if not obj.results:
            return None
        context.logger.info("month %s: %d accounts", context[MONTH], len(obj.results), tags=["accounts"])
        context["accounts"] = obj.results
        context.setQueue("slow")
        return Events.FOUND


class SplitAccounts(ListContinuationFSMAction):
    def getList(self, context: Any, obj: Any) -> list[Any]:  # noqa: N802
        accounts: list[Any] = context["accounts"]
        return accounts

    def getBatchSize(self, context: Any, obj: Any) -> int:  # noqa: N802
        return 2

    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "SplitAccounts")
        context.pop("accounts")
        for account in obj.results[1:]:
            context.fork(data={"account": account})
        context["account"] = obj["result"]
        return SPLIT


class Bill(FSMAction):
    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "Bill")
        account = context.datastore.get(context["account"])
        if account["closed"]:
            raise HaltMachineError(f"account {account.key.id} is closed", logLevel=logging.ERROR)
        invoice = context.clone(replaceData={"account": account.key}, updateData={"month": context[MONTH]})
        startStateMachine(
            machineName="SendInvoice",
            contexts=[dict(invoice)],
            taskName=f"invoice-{context.instanceName}-{account.key.id}",
            method="GET",
            countdown=60,
            queueName="mail",
            headers={"X-Fantasm-Reason": context.machineName},
        )
        return "billed"


class Total(FSMAction):
    def execute(self, contexts: Any, obj: Any) -> None:
        ran(contexts, "Total")
        total = ContinuationFSMAction.checkFanInForTotalResultsCount(contexts, obj)
        sizes = sorted(ContinuationFSMAction.getResultsCount(each, obj) for each in contexts)
        client = current_fantasm().datastore
        with client.transaction():
            key = client.key("Bill", contexts.instanceName)
            bill = datastore.Entity(key)
            bill.update(accounts=total, billed=len(contexts), sizes=sizes)
            client.put(bill)
            startStateMachine(
                "Archive", {"bill": key}, taskName=key.name, transactional=True, raiseIfTaskExists=False
            )


class SendInvoice(FSMAction):
    def execute(self, context: Any, obj: Any) -> str:
        ran(context, "SendInvoice")
        context["started"] = context.getInstanceStartTime()
        return "sent"


class Sent(FSMAction):
    def execute(self, context: Any, obj: Any) -> None:
        ran(context, "Sent")
        put(
            context,
            "Invoice",
            account=context["account"].id,
            month=context["month"],
            started=context["started"].isoformat(),
            reason=context.headers["X-Fantasm-Reason"],
        )


class Archive(FSMAction):
    def execute(self, context: Any, obj: Any) -> None:
        ran(context, "Archive")
        if context.datastore.get(context["bill"]) is None:
            raise AssertionError("the machine started without its bill")
