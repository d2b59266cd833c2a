"""What the API and the console read of instances and their steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from fantasm_gcp.core.definition import Machine
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import Hold, Instance, InstanceStatus, LogLine, Record, Task, TaskStatus

_STEP_NAME = re.compile(r"[0-9a-f]{8}-(.+?-(?:[0-9]{14}-[0-9a-f]{16}|key-[0-9a-f]{24}))--")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the results, and the cursor of those that follow: empty at the end."""

    items: tuple[T, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class StateCounts:
    """Steps of one state: in flight, given up, over."""

    in_flight: int = 0
    failed: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failed steps of a state whose errors have one fingerprint, and an example of them: without its context.

    ``more``: there may be more of them than ``count``.
    """

    machine: str
    state: str
    fingerprint: str
    count: int
    more: bool
    example: Task


@dataclass(frozen=True, slots=True)
class Failures:
    """Groups of failed steps, the largest first; where they are not ``complete``, small ones are missing."""

    groups: tuple[FailureGroup, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Collected:
    """How many contexts were collected for a step, and the first of them; ``more``: there may be more."""

    count: int
    more: bool
    contexts: tuple[bytes, ...]


class History(Protocol):
    """Reads of Datastore. A ``cursor`` that is not one raises ``RefusedError``; all may be unavailable.

    Contexts too large for a row are left empty in lists; :meth:`task` and :meth:`record` have them.
    """

    def instance(self, instance: InstanceId) -> Instance | None: ...

    def instances(self, machine: str, status: str, limit: int, cursor: str) -> Page[Instance]:
        """Instances newest first, of a machine and a status where these are not empty."""

    def count_instances(self, machine: str, status: InstanceStatus) -> int: ...

    def children(self, instance: InstanceId, limit: int, cursor: str) -> Page[Instance]:
        """Instances that this one spawned, or that were told of its end, in no particular order."""

    def holds(self) -> Sequence[Hold]:
        """The machines and states of this service that are held, those longest first."""

    def failure_groups(self, machine: str, state: str) -> Failures:
        """The failed steps, of a machine and of a state where these are not empty, by what they failed of."""

    def failures(self, machine: str, state: str, fingerprint: str, limit: int, cursor: str) -> Page[Task]:
        """The failed steps of a machine, a state and a fingerprint, where these are not empty."""

    def count_steps(
        self,
        status: TaskStatus,
        *,
        instance: InstanceId | None = None,
        machine: str = "",
        state: str = "",
        fingerprint: str = "",
    ) -> int:
        """How many steps have a status, of an instance and so on where these are given."""

    def collected(self, task: Task) -> Collected | None:
        """What was collected for a step of a fan-in or a join; None for another step."""

    def at_joins(self, instance: InstanceId) -> Mapping[str, int]:
        """How many contexts, up to a thousand, wait at each join of an instance at which any do."""

    def tasks(self, instance: InstanceId, *, failed: bool, limit: int, cursor: str) -> Page[Task]:
        """The steps of an instance that are in flight, or those that were given up."""

    def records(self, instance: InstanceId, limit: int, cursor: str) -> Page[Record]:
        """The steps of an instance that are over, in no particular order."""

    def logs(self, instance: InstanceId, limit: int, cursor: str) -> Page[LogLine]:
        """What the actions of an instance logged, in no particular order."""

    def task(self, step: StepName) -> Task | None: ...

    def record(self, step: StepName) -> Record | None: ...

    def counts(self, machine: str, state: str, instance: InstanceId | None) -> StateCounts:
        """Steps of a state; ``done`` is counted for one instance only."""


def state_counts(history: History, machine: Machine, instance: InstanceId | None) -> dict[str, StateCounts]:
    """The counts of each state of a machine, of one instance or (without ``done``) of all."""
    return {each.name: history.counts(machine.name, each.name, instance) for each in machine.states}


def status_counts(history: History, machines: Sequence[Machine]) -> dict[str, dict[InstanceStatus, int]]:
    """How many instances of each machine have each status."""
    return {
        machine.name: {status: history.count_instances(machine.name, status) for status in InstanceStatus}
        for machine in machines
    }


def holds_on(history: History, instance: Instance) -> list[Hold]:
    """What holds an instance up: its machine's hold, and those of states at which steps of it are parked."""
    if instance.is_over:
        return []
    return [
        each
        for each in history.holds()
        if each.machine == instance.machine
        and (not each.state or history.count_steps(TaskStatus.PARKED, instance=instance.id, state=each.state))
    ]


def in_order(lines: Iterable[LogLine]) -> list[LogLine]:
    """Lines as they were logged: by time, and those of one moment by their place in step and attempt."""
    return sorted(lines, key=lambda each: (each.time, each.step.n, each.name.partition("-")[2]))


def instance_of(step: str) -> InstanceId | None:
    """The instance that a step's name tells; None for what is no name of a step."""
    found = _STEP_NAME.match(step)
    return InstanceId(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Told:
    """Who was told of an instance's end, and the instance by which that was done."""

    receiver: str
    instance: InstanceId


def told_by(instance: Instance) -> tuple[Told, ...]:
    """Who was told of the last end of an instance: machines and URLs, in the order of their names there."""
    completed = instance.status is InstanceStatus.COMPLETED
    receivers = instance.on_complete if completed else instance.on_failure
    found = zip(receivers, map(instance_of, instance.told), strict=False)
    return tuple(Told(receiver, name) for receiver, name in found if name is not None)
