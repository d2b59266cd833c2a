"""Telling of the end of an instance: by starting a machine, or by a webhook, which is a machine as well."""

from __future__ import annotations

from typing import Any

from fantasm_gcp.core.commits import ending_status
from fantasm_gcp.core.definition import Machine
from fantasm_gcp.core.moments import iso
from fantasm_gcp.core.names import digest, instance_id
from fantasm_gcp.core.receivers import is_url
from fantasm_gcp.core.records import Instance, InstanceStatus
from fantasm_gcp.core.step import Start, first_task
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.starting import definition_hash
from fantasm_gcp.errors import UnavailableError, UnknownMachineError

WEBHOOK = "FantasmWebhook"
"""The built-in machine that posts."""

MOST_COUNTED = 1000
"""Failed steps that are counted for an outcome."""


def told_of(services: Services, row: Instance, failed: bool, now: float) -> list[Start]:
    """The starts by which others are told that an instance ends.

    They are recorded whatever guarantee their machines have: they happen once. Raises ``UnavailableError``
    where this deployment does not know one of the machines: another may.
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
        "note": row.note,
        "failed_steps": failed,
        "definition": row.definition,
    }


def _start(
    services: Services, row: Instance, receiver: str, index: int, outcome: dict[str, Any], now: float
) -> Start:
    context = {"url": receiver, "outcome": outcome} if is_url(receiver) else outcome
    machine = _machine(services, WEBHOOK if is_url(receiver) else receiver)
    nonce = digest(row.id, "told", str(row.closings), str(row.commands), str(index), length=16)
    name = instance_id(machine.name, now, nonce)
    task = first_task(machine, name, services.codec.encode(context), "POST", now, now, pinned=services.pin)
    instance = Instance(
        name,
        machine.name,
        InstanceStatus.RUNNING,
        now,
        task.step.name,
        definition_hash(machine),
        parent=row.id,
        pinned=task.pinned,
        on_complete=machine.on_complete,
        on_failure=machine.on_failure,
    )
    return Start(instance, task)


def _machine(services: Services, name: str) -> Machine:
    try:
        return services.definitions.machine(name)
    except UnknownMachineError as error:
        raise UnavailableError(f"the end of an instance is to be told to a machine: {error}") from error
