"""The end of a branch: where it was the last, joins are released, or the instance ends and that is told."""

from __future__ import annotations

from collections.abc import Sequence

from fantasm_gcp.core.commits import closing, releasing
from fantasm_gcp.core.joins import released, way_to
from fantasm_gcp.core.names import InstanceId, StepName, is_release
from fantasm_gcp.core.records import Instance, InstanceStatus, Stored, Task, instance_key
from fantasm_gcp.core.step import release_of
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
    """
    for attempt in range(services.limits.contention_tries):
        if stored is None:
            stored = services.store.lookup([instance_key(instance)])[0]
        if stored is None:
            return
        if stored.row.is_over:
            _see_to(services, stored.row)
            return
        in_flight = services.store.in_flight(instance, 2)
        if in_flight:
            _enqueue_released(services, stored.row, in_flight)
            return
        try:
            ended = _end(services, stored)
        except (ConflictError, AlreadyExistsError, UnavailableError):
            services.back_off(attempt)
            stored = None
        else:
            if ended is not None:
                _look_for_the_end_of_who_waits(services, ended)
            return
    raise UnavailableError(f"the end of {instance} stays contended")


def _end(services: Services, stored: Stored[Instance]) -> Instance | None:
    """Commits what follows where nothing is in flight; the instance where this was its end."""
    row = stored.row
    stopped = row.status is InstanceStatus.CANCELLED
    failed = not stopped and services.store.has_failed(row.id)
    if failed and row.status is InstanceStatus.FAILED:
        _see_to(services, row)
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
    return ended


def _releases(services: Services, row: Instance, waiting: Sequence[str]) -> list[Task]:
    """The steps of those joins that no other waiting one can reach."""
    machine = services.definitions.machines.get(row.machine)
    now = services.clock()
    if machine is None:  # another deployment may know it: the steps wait for that
        return [release_of(None, row, state, None, now) for state in waiting]
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


def _see_to(services: Services, row: Instance) -> None:
    """Does again what follows from an end that somebody else has committed."""
    enqueue_in_flight(services, row.told)
    _look_for_the_end_of_who_waits(services, row)


def _look_for_the_end_of_who_waits(services: Services, row: Instance) -> None:
    if row.joined is not None and row.parent is not None and row.is_over:
        end_branch(services, row.parent, None)
