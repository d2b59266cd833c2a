"""The end of a branch: where it was the last, joins are released, or the instance ends and that is told."""

from __future__ import annotations

from collections.abc import Sequence

from fantasm_gcp.core.commits import closing, releasing
from fantasm_gcp.core.joins import released, way_to
from fantasm_gcp.core.names import InstanceId, StepName, is_release
from fantasm_gcp.core.records import Instance, InstanceStatus, Stored, Task, instance_key
from fantasm_gcp.core.step import deferred_release, release_of
from fantasm_gcp.engine.enqueue import enqueue, enqueue_in_flight
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.telling import told_of
from fantasm_gcp.errors import AlreadyExistsError, ConflictError, UnavailableError


def end_branch(services: Services, instance: InstanceId, stored: Stored[Instance] | None) -> None:
    """Releases the joins of an instance, or ends it, if nothing of it is in flight; called whenever a branch
    has ended, and as often as one likes.

    The instance's version read *before* the query is the lock: two branches that end at once both see
    nothing in flight, and one of them conflicts. ``stored`` is what the caller read, if anything. What
    follows from an end that somebody else has committed is enqueued again: he may have died before he did.
    An end may be what another instance waits for: then it is the next to be looked at.
    """
    waits: InstanceId | None = instance
    while waits is not None:
        waits = _look_at(services, waits, stored)
        stored = None


def _look_at(services: Services, instance: InstanceId, stored: Stored[Instance] | None) -> InstanceId | None:
    """Does that for one instance, and answers the one that waits for its end if it has come."""
    for attempt in range(services.limits.contention_tries):
        if stored is None:
            stored = services.store.lookup([instance_key(instance)])[0]
        if stored is None:
            return None
        if stored.row.is_over:
            enqueue_in_flight(services, stored.row.told)
            return _who_waits(stored.row)
        in_flight = services.store.in_flight(instance, 2)
        if in_flight:
            _enqueue_released(services, stored.row, in_flight)
            return None
        try:
            return _end(services, stored)
        except (ConflictError, AlreadyExistsError, UnavailableError):
            services.back_off(attempt)
            stored = None
    raise UnavailableError(f"the end of {instance} stays contended")


def _who_waits(row: Instance) -> InstanceId | None:
    return row.parent if row.joined is not None and row.is_over else None


def _end(services: Services, stored: Stored[Instance]) -> InstanceId | None:
    """Commits what follows where nothing is in flight; answers the instance that waits for an end of this."""
    row = stored.row
    stopped = row.status is InstanceStatus.CANCELLED
    failed = not stopped and services.store.has_failed(row.id)
    if failed and row.status is InstanceStatus.FAILED:
        enqueue_in_flight(services, row.told)
        return None
    waiting = [] if stopped or failed else services.store.joins_waiting(row.id)
    if waiting:
        releases = _releases(services, row, waiting)
        services.store.commit(releasing(stored, releases))
        enqueue(services, releases)
        return None
    now = services.clock()
    starts = told_of(services, row, failed, now)
    commit = closing(stored, failed, now, starts)
    services.store.commit(commit)
    enqueue(services, [each.task for each in starts])
    ended: Instance = commit.mutations[0].row  # type: ignore[union-attr, assignment]  # it is the Update
    return _who_waits(ended)


def _releases(services: Services, row: Instance, waiting: Sequence[str]) -> list[Task]:
    """The steps of those joins that no other waiting one can reach."""
    machine = services.definitions.machines.get(row.machine)
    now = services.clock()
    if machine is None:
        return [deferred_release(row, now)]
    states = released(machine, waiting)
    return [release_of(machine, row, state, way_to(machine, state), now) for state in states]


def _enqueue_released(services: Services, row: Instance, in_flight: Sequence[StepName]) -> None:
    """Enqueues released joins again that are still in flight: who released them may have died before he did.

    One that was released alone and has no task is the only step in flight.
    """
    if row.released:
        enqueue_in_flight(services, row.released)
    elif all(is_release(name, row.id) for name in in_flight):
        enqueue_in_flight(services, in_flight)
