"""What the API and the console read, by queries that single-property indexes serve."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fantasm_gcp.core.names import InstanceId, StepName, group_and_round, join_window
from fantasm_gcp.core.records import (
    Entry,
    Hold,
    Instance,
    InstanceStatus,
    LogLine,
    Record,
    RowKey,
    Task,
    TaskStatus,
    instance_key,
    record_key,
    task_key,
)
from fantasm_gcp.engine.history import Collected, FailureGroup, Failures, Page, StateCounts
from fantasm_gcp.errors import RefusedError
from fantasm_gcp.gateways.datastore import DatastoreStore
from fantasm_gcp.gateways.rows import listed, read_row
from fantasm_gcp.gateways.wire import Query

R = TypeVar("R", Instance, Task, Record)
COUNTED_BY_READING = 10_000
"""Most keys that are read to count them, where the server does not count (an old emulator)."""

GROUPED, GROUPED_BYTES = 1000, 16_000_000
"""Most failed steps that are read to group them, and bytes of them: their keys begin with a hash, so it is a
fair sample of more.
"""
MOST_GROUPS = 100
"""Groups of a sample that are counted, the largest first."""


COLLECTED, COLLECTED_SHOWN, COLLECTED_BYTES = 1000, 20, 1_000_000
"""Of contexts collected or waiting at a join: most that are counted, most that are read, bytes of these."""


class DatastoreHistory:
    """Implements ``engine.history.History``."""

    def __init__(self, store: DatastoreStore) -> None:
        self._store = store

    def instance(self, instance: InstanceId) -> Instance | None:
        return self._one(instance_key(instance), Instance)

    def task(self, step: StepName) -> Task | None:
        return self._one(task_key(step), Task)

    def record(self, step: StepName) -> Record | None:
        return self._one(record_key(step), Record)

    def _one(self, key: RowKey, kind: type[R]) -> R | None:
        stored = self._store.lookup([key])[0]
        return stored.row if stored and isinstance(stored.row, kind) else None

    def instances(self, machine: str, status: str, limit: int, cursor: str) -> Page[Instance]:
        prefix = listed(machine, status)
        return self._page(Query(Instance.kind, {}, limit, prefix=prefix, cursor=_cursor(cursor)))

    def count_instances(self, machine: str, status: InstanceStatus) -> int:
        return self._count(Instance.kind, {"machine": machine, "status": status})

    def children(self, instance: InstanceId, limit: int, cursor: str) -> Page[Instance]:
        return self._page(Query(Instance.kind, {"parent": instance}, limit, cursor=_cursor(cursor)))

    def holds(self) -> Sequence[Hold]:
        return sorted(self._store.holds(), key=lambda each: (each.since, each.machine, each.state))

    def failure_groups(self, machine: str, state: str) -> Failures:
        sample = self._sample(machine, state)
        found = sorted(sample.groups.items(), key=lambda each: (-each[1].count, each[0]))
        if sample.complete:
            return Failures(tuple(group for _, group in found), complete=True)
        return Failures(tuple(self._counted(group) for _, group in found[:MOST_GROUPS]), complete=False)

    def _sample(self, machine: str, state: str) -> _Sample:
        sample = _Sample()
        query = Query(Task.kind, self._failed(machine, state, ""), GROUPED + 1)
        for each in self._store.wire.stream(query):
            if not sample.has_room:
                sample.complete = False
                break
            sample.add(read_row(each.entity, b""), each.entity.ByteSize())  # contexts may be large
        return sample

    def _counted(self, group: FailureGroup) -> FailureGroup:
        """A group of a sample with the number that there is of it."""
        where = self._failed(group.machine, group.state, group.fingerprint)
        count = max(group.count, self._count(Task.kind, where))
        return replace(group, count=count, more=count >= COUNTED_BY_READING)

    def failures(self, machine: str, state: str, fingerprint: str, limit: int, cursor: str) -> Page[Task]:
        where = self._failed(machine, state, fingerprint)
        return self._page(Query(Task.kind, where, limit, cursor=_cursor(cursor)))

    def _failed(self, machine: str, state: str, fingerprint: str) -> dict[str, str]:
        """The equal properties of this service's failed steps; no more of them than are asked for."""
        where = {"status": TaskStatus.FAILED, "machine": machine, "state": state, "fingerprint": fingerprint}
        return {name: value for name, value in where.items() if value} | {"service": self._store.service}

    def count_steps(
        self,
        status: TaskStatus,
        *,
        instance: InstanceId | None = None,
        machine: str = "",
        state: str = "",
        fingerprint: str = "",
    ) -> int:
        where = {"status": status, "instance": instance or "", "machine": machine, "state": state}
        where["fingerprint"] = fingerprint
        return self._count(Task.kind, {name: value for name, value in where.items() if value})

    def collected(self, task: Task) -> Collected | None:
        collection = task.collection
        if collection is None:
            return None

        def is_of_it(name: str) -> bool:
            return collection.round is None or group_and_round(name)[1] <= collection.round

        where = collection.window, collection.after, collection.until
        names = self._store.entry_names(*where, COLLECTED + 1)
        found: Sequence[Entry] = self._store.entries(*where, COLLECTED_SHOWN, COLLECTED_BYTES)
        contexts = tuple(each.context for each in found if is_of_it(each.name))
        count = sum(map(is_of_it, names[:COLLECTED]))
        return Collected(count, len(names) > COLLECTED, contexts)

    def at_joins(self, instance: InstanceId) -> Mapping[str, int]:
        return {
            state: len(self._store.entry_names(join_window(instance, state), "", "", COLLECTED))
            for state in self._store.joins_waiting(instance)
        }

    def tasks(self, instance: InstanceId, *, failed: bool, limit: int, cursor: str) -> Page[Task]:
        kind_of_task: Mapping[str, str | bool] = {"status": "failed"} if failed else {"in_flight": True}
        return self._page(
            Query(Task.kind, {"instance": instance, **kind_of_task}, limit, cursor=_cursor(cursor))
        )

    def records(self, instance: InstanceId, limit: int, cursor: str) -> Page[Record]:
        return self._page(Query(Record.kind, {"instance": instance}, limit, cursor=_cursor(cursor)))

    def logs(self, instance: InstanceId, limit: int, cursor: str) -> Page[LogLine]:
        return self._page(Query(LogLine.kind, {"instance": instance}, limit, cursor=_cursor(cursor)))

    def counts(self, machine: str, state: str, instance: InstanceId | None) -> StateCounts:
        where: dict[str, str | bool] = {"state": state}
        where |= {"machine": machine} if instance is None else {"instance": instance}
        return StateCounts(
            in_flight=self._count(Task.kind, {**where, "in_flight": True}),
            failed=self._count(Task.kind, {**where, "status": "failed"}),
            done=0 if instance is None else self._count(Record.kind, where),
        )

    def _page(self, query: Query) -> Page[Any]:
        results, cursor = self._store.wire.page(query)
        rows = tuple(self._store.row(each.entity, resolve=False) for each in results)
        full = len(results) == query.limit
        return Page(rows, base64.urlsafe_b64encode(cursor).decode() if full else "")

    def _count(self, kind: str, equal: Mapping[str, str | bool]) -> int:
        query = Query(kind, equal, COUNTED_BY_READING, keys_only=True)
        try:
            return self._store.wire.count(query)
        except RefusedError:
            return len(self._store.wire.run(query))


def _cursor(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise RefusedError("the cursor is not one that a page answered") from error


@dataclass(slots=True)
class _Sample:
    """Failed steps as they are read, in groups."""

    groups: dict[tuple[str, str, str], FailureGroup] = field(default_factory=dict)
    complete: bool = True
    read: int = 0
    size: int = 0

    @property
    def has_room(self) -> bool:
        return self.read < GROUPED and self.size < GROUPED_BYTES

    def add(self, row: Any, size: int) -> None:
        self.read, self.size = self.read + 1, self.size + size
        fingerprint = row.failure.fingerprint if row.failure else ""
        key = (row.step.machine, row.step.target, fingerprint)
        before = self.groups.get(key) or FailureGroup(*key, 0, False, row)
        self.groups[key] = replace(before, count=before.count + 1)
