"""Telling of the end of an instance: by starting a machine, or by a webhook, which is a machine as well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fantasm_gcp.core.commits import ending_status
from fantasm_gcp.core.moments import iso
from fantasm_gcp.core.names import StepName, digest, instance_id
from fantasm_gcp.core.receivers import is_url
from fantasm_gcp.core.records import Instance, InstanceStatus
from fantasm_gcp.core.step import Start, deferred_start, first_task, later_in
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.starting import definition_hash

WEBHOOK = "FantasmWebhook"
"""The built-in machine that posts."""

MOST_COUNTED = 1000
"""Failed steps that are counted for an outcome."""


def told_of(services: Services, row: Instance, failed: bool, now: float) -> list[Start]:
    """The starts by which others are told that an instance ends.

    They are recorded whatever guarantee their machines have: they happen once. Where this deployment does
    not know one of the machines, its start waits for one that does, and fails after a while as any step.
    """
    status = ending_status(row, failed)
    receivers = row.on_complete if status is InstanceStatus.COMPLETED else row.on_failure
    if not receivers:
        return []
    outcome = outcome_of(services, row, status, now)
    return [_start(services, row, receiver, i, outcome, now) for i, receiver in enumerate(receivers)]


def outcome_of(services: Services, row: Instance, status: InstanceStatus, now: float) -> dict[str, Any]:
    """What is told of an instance that ends ``now``: the context of a machine, the body of a webhook."""
    failed = 0
    if status is InstanceStatus.FAILED:
        where = {"instance": row.id, "status": "failed"}
        failed = len(services.store.steps(where, "", MOST_COUNTED))
    return {
        "instance": row.id,
        "machine": row.machine,
        "status": status.value,
        "started": iso(row.started),
        "ended": iso(now),
        "parent": row.parent,
        "note": row.note or None,
        "failed_steps": failed,
        "definition": row.definition,
    }


def _start(
    services: Services, row: Instance, receiver: str, index: int, outcome: dict[str, Any], now: float
) -> Start:
    context = {"url": receiver, "outcome": outcome} if is_url(receiver) else outcome
    name = WEBHOOK if is_url(receiver) else receiver
    machine = services.definitions.machines.get(name)
    nonce = digest(row.id, "told", str(row.closings), str(row.commands), str(index), length=16)
    encoded = services.codec.encode(context)
    instance = Instance(
        instance_id(name, now, nonce),
        name,
        InstanceStatus.RUNNING,
        now,
        first_step=StepName(""),
        definition="",
        parent=row.id,
    )
    if machine is None:
        task = deferred_start(instance, encoded, now)
        return _within(row, Start(replace(instance, first_step=task.step.name), task), now)
    task = first_task(machine, instance.id, encoded, "POST", now, now, pinned=services.pin)
    instance = replace(
        instance,
        first_step=task.step.name,
        definition=definition_hash(machine),
        pinned=task.pinned,
        on_complete=machine.on_complete,
        on_failure=machine.on_failure,
    )
    return _within(row, Start(instance, task), now)


def _within(row: Instance, start: Start, now: float) -> Start:
    """A start in the trace of the instance that ends, or with a link to it."""
    trace, links = later_in(row, start.task.step.name, now)
    task = replace(start.task, trace=trace, links=links)
    return replace(start, instance=replace(start.instance, trace=trace), task=task)
