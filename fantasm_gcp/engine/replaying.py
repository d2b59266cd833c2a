"""Doing again what follows from a step that is over.

Whoever answers 2xx has seen every next task created: that is why even a delivery that lost replays.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fantasm_gcp.core.records import InstanceStatus, Record, Stored, Task, record_key, task_key
from fantasm_gcp.engine.delivery import Answer, Delivery, Loaded
from fantasm_gcp.engine.ending import end_branch
from fantasm_gcp.engine.enqueue import delete_tasks, enqueue_in_flight
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.observing.steps import Watched

log = logging.getLogger("fantasm_gcp.engine")


def replay(services: Services, delivery: Delivery, loaded: Loaded, watched: Watched | None = None) -> Answer:
    """Does again what follows from a step that is over, as its record tells it."""
    found: Sequence[Stored[Record] | None] = services.store.lookup([record_key(delivery.step)])
    record = found[0].row if found[0] else None
    if record is None and delivery.pending > services.clock():
        message = "the transaction that starts this step has not committed yet"
        log.info("%s: %s", delivery.step, message)
        return Answer("retry", message)
    if record is not None:
        if watched is not None:
            watched.sees(record.step)
        enqueue_in_flight(services, record.next)
        if record.far and _is_cancelled(loaded):
            _delete_far(services, record)
    if record is None or record.ends_branch:
        end_branch(services, delivery.instance, loaded.instance)
    return Answer("replayed")


def _is_cancelled(loaded: Loaded) -> bool:
    return loaded.instance is not None and loaded.instance.row.status is InstanceStatus.CANCELLED


def _delete_far(services: Services, record: Record) -> None:
    """Deletes tasks that a worker may have created after those of a cancelled instance were deleted."""
    rows: Sequence[Stored[Task] | None] = services.store.lookup([task_key(name) for name in record.next])
    if not any(rows):
        delete_tasks(services, record.far)
