"""The end of a branch, and of an instance when it was the last."""

from __future__ import annotations

from fantasm_gcp.core.commits import closing
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import Instance, InstanceStatus, Stored, instance_key
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import ConflictError, UnavailableError


def end_branch(services: Services, instance: InstanceId, stored: Stored[Instance] | None) -> None:
    """Ends the instance if nothing of it is in flight; called whenever a branch has ended.

    The instance's version read *before* the query is the lock: two branches that end at once both see
    nothing in flight, and one of them conflicts. ``stored`` is what the caller read, if anything.
    """
    for attempt in range(services.limits.contention_tries):
        if stored is None:
            stored = services.store.lookup([instance_key(instance)])[0]
        if stored is None or stored.row.status is InstanceStatus.COMPLETED:
            return
        stopped = stored.row.status is InstanceStatus.CANCELLED
        if (stopped and stored.row.ended is not None) or services.store.in_flight(instance, 2):
            return
        failed = not stopped and services.store.has_failed(instance)
        if failed and stored.row.status is InstanceStatus.FAILED:
            return
        try:
            services.store.commit(closing(stored, failed, services.clock()))
        except (ConflictError, UnavailableError):
            services.back_off(attempt)
            stored = None
        else:
            return
    raise UnavailableError(f"the end of {instance} stays contended")
