"""What the API and the console read, by queries that single-property indexes serve."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, TypeVar

from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import (
    Instance,
    InstanceStatus,
    LogLine,
    Record,
    RowKey,
    Task,
    instance_key,
    record_key,
    task_key,
)
from fantasm_gcp.engine.history import Page, StateCounts
from fantasm_gcp.errors import RefusedError
from fantasm_gcp.gateways.datastore import DatastoreStore
from fantasm_gcp.gateways.rows import listed
from fantasm_gcp.gateways.wire import Query

R = TypeVar("R", Instance, Task, Record)
COUNTED_BY_READING = 10_000
"""Most keys that are read to count them, where the server does not count (an old emulator)."""


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
