"""The actions of FantasmScrubber, the built-in machine that deletes the history of instances long ended.

What they read and write goes through ``context.datastore``, like that of any other action. An instance's own
row is the last to be deleted, and every deletion is in a transaction that has read it: as long as it lies
there, whoever scrubs finds what is left, nobody can start that instance anew by its idempotency key, and a
redrive that comes first saves the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fantasm_gcp.action import ContinuationFSMAction, DatastoreContinuationFSMAction, FSMAction
from fantasm_gcp.core.context import Context, StepObject
from fantasm_gcp.core.names import InstanceId, is_keyed
from fantasm_gcp.core.records import (
    Entry,
    Instance,
    InstanceStatus,
    LogLine,
    Memo,
    Record,
    Task,
    instance_key,
)
from fantasm_gcp.errors import StepError
from fantasm_gcp.gateways.payloads import KIND as PAYLOAD
from fantasm_gcp.gateways.rows import listed

AGE_DAYS = 90.0
"""The age where none is given."""

KEYS_PER_STEP = 400
"""Most rows that one step deletes: its transaction stays far below Datastore's 10 MiB, indexes included."""

INSTANCES_PER_PAGE = 50

KEYED_DAYS = 10
"""An instance that was started under a name is kept that long, whatever age is asked for.

Cloud Tasks remembers the names of its tasks for up to 9 days: another start under its name would get none.
"""

_DAY = 24 * 3600
_NOTE = "its history is being deleted"


class DeletePayloads(FSMAction):
    """Deletes payloads whose time is over, of any service: they are shared, and nothing refers to them.

    The query is part of the transaction: a payload that somebody writes anew meanwhile stays.
    """

    def execute(self, context: Context, obj: StepObject) -> str:  # noqa: ARG002  an action takes both
        ended_before(context)  # a wrong age is told before anything is deleted
        client = context.datastore
        query = client.query(kind=PAYLOAD)
        query.add_filter(filter=_condition("expires", "<", context.instance_start_time))
        query.keys_only()
        over = [each.key for each in query.fetch(limit=KEYS_PER_STEP)]
        client.delete_multi(over)
        return "more" if len(over) == KEYS_PER_STEP else "instances"


class FindEnded(DatastoreContinuationFSMAction):
    """Goes through the instances by their start; those of a page that ended long ago go on to be deleted."""

    def get_query(self, context: Context, obj: StepObject) -> Any:  # noqa: ARG002  its signature
        started, limit = listed("", "", ended_before(context))
        query = context.datastore.query(kind=Instance.kind)
        query.add_filter(filter=_condition(started, "<", limit))
        query.order = [started]
        return query

    def get_batch_size(self, context: Context, obj: StepObject) -> int:  # noqa: ARG002  its signature
        return INSTANCES_PER_PAGE

    def execute(self, context: Context, obj: StepObject) -> str | None:
        client, limit = context.datastore, ended_before(context)
        own = client.get(_key(client, context.instance_name))
        if own is None:
            raise StepError(
                "the scrubber cannot run at once: its own row tells which service's history is meant"
            )
        service = own["service"]
        kept = context.instance_start_time.timestamp() - KEYED_DAYS * _DAY
        context["instances"] = [
            each["instance"]
            for each in obj.results
            if each["service"] == service
            and _ended(each, min(limit, kept) if is_keyed(each["instance"]) else limit)
            and not _is_waited_for(client, each)
        ]
        return "found" if context["instances"] else None


@dataclass(frozen=True, slots=True)
class _Share:
    """Rows of one instance that one step deletes; ``is_rest`` tells that there are no others."""

    instance: str
    keys: list[Any]

    @property
    def is_rest(self) -> bool:
        return len(self.keys) < KEYS_PER_STEP


class DeleteInstances(ContinuationFSMAction):
    """Deletes instances with all of their rows, as many as one step can; the rest is the next step's."""

    def continuation(self, context: Context, obj: StepObject, token: str | None = None) -> None:  # noqa: ARG002  its signature
        """Finds the rows. A transaction that queried would conflict with every step of every machine."""
        room, shares = KEYS_PER_STEP, list[_Share]()
        for name in context["instances"]:
            share = _Share(name, list(islice(_rows_of(context.datastore, name), KEYS_PER_STEP)))
            room -= len(share.keys) + 1
            if shares and room < 0:
                break
            shares.append(share)
            if room <= 0:
                break
        obj["shares"] = shares

    def execute(self, context: Context, obj: StepObject) -> str | None:
        client, limit = context.datastore, ended_before(context)
        rows = client.get_multi([_key(client, share.instance) for share in obj["shares"]])
        found = {each["instance"]: each for each in rows}
        done = set()
        for share in obj["shares"]:
            row = found.get(share.instance)
            if row is None or not _ended(row, limit):  # scrubbed by another, or running again
                done.add(share.instance)
                continue
            client.delete_multi(share.keys)
            if share.is_rest:
                client.delete(row.key)
                done.add(share.instance)
            elif row["status"] != InstanceStatus.CANCELLED:
                client.put(_stopped(row))
        context["instances"] = [name for name in context["instances"] if name not in done]
        return "more" if context["instances"] else None


def ended_before(context: Context) -> float:
    """The moment that instances must have ended before, in seconds of the epoch: the same on every step.

    Raises ``StepError`` for an age that is none: trying again would not help.
    """
    age = context.get("age", AGE_DAYS)
    is_number = isinstance(age, int | float) and not isinstance(age, bool)
    if not is_number or not math.isfinite(age) or age < 0:
        raise StepError(f"age={age!r} cannot be used: it is a number of days, 0 or more")
    return max(0.0, context.instance_start_time.timestamp() - float(age) * _DAY)


def _ended(row: Any, limit: float) -> bool:
    """Whether an instance ended before a moment; one that runs has no end, cancelled or not."""
    ended = row.get("ended")
    goes_on = row["status"] in (InstanceStatus.RUNNING, InstanceStatus.PAUSED)
    has_end = not goes_on and ended is not None
    return has_end and bool(ended.timestamp() < limit)


def _is_waited_for(client: Any, row: Any) -> bool:
    """Whether the instance that spawned this one to wait for it has not come to its end.

    It may go on only by this one, where that has failed; and its join is to see how all of them ended.
    """
    if not row.get("joined"):
        return False
    parent = client.get(_key(client, row["parent"]))
    statuses = (InstanceStatus.RUNNING, InstanceStatus.PAUSED, InstanceStatus.FAILED)
    return parent is not None and parent["status"] in statuses


def _rows_of(client: Any, instance: str) -> Iterator[Any]:
    """The keys of an instance's rows, all but its own, whatever a failed step holds on to first."""
    for task in _query(client, Task.kind, "instance", instance).fetch():
        if "window" in task:  # a fan-in step that failed: its entries know nothing but their window
            yield from _keys(client, Entry.kind, "window", task["window"])
        yield task.key
    yield from _keys(client, Entry.kind, "joining", instance)
    for kind in (Record.kind, LogLine.kind, Memo.kind):
        yield from _keys(client, kind, "instance", instance)


def _keys(client: Any, kind: str, name: str, value: str) -> Iterator[Any]:
    query = _query(client, kind, name, value)
    query.keys_only()
    return (each.key for each in query.fetch(limit=KEYS_PER_STEP))


def _query(client: Any, kind: str, name: str, value: str) -> Any:
    query = client.query(kind=kind)
    query.add_filter(filter=_condition(name, "=", value))
    return query


def _condition(name: str, operator: str, value: Any) -> Any:
    from google.cloud.datastore.query import PropertyFilter  # when it runs: applications start without it

    return PropertyFilter(name, operator, value)  # type: ignore[no-untyped-call]  # the client is untyped


def _key(client: Any, instance: str) -> Any:
    return client.key(*instance_key(InstanceId(instance)))


def _stopped(row: Any) -> Any:
    """An instance that takes more than one step to delete: cancelled, so that no redrive finds half of it."""
    row["status"], row["note"] = InstanceStatus.CANCELLED.value, _NOTE
    for machine in ("", row["machine"]):
        name, value = listed(machine, InstanceStatus.CANCELLED, row["started"].timestamp())
        row[name] = value
    return row
