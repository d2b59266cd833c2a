"""What was committed, as it is seen between the clients and the servers: a copy of what is there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from fantasm_gcp.core.records import Entry, Instance, InstanceStatus, Task, TaskStatus
from fantasm_gcp.gateways.rows import read_row
from fantasm_gcp.testing.faults import Rpc


class Journal:
    """Reads every commit that was carried out. ``rows`` are the entities that are there, by kind and name.

    ``ends`` lists each status that an instance was written with; ``early`` what was in flight of an instance
    when it was ended; ``consumed`` counts for each entry the commits that deleted it, and ``named`` for each
    step the commits that put it in flight.
    """

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = defaultdict(dict)
        self.ends: list[tuple[str, InstanceStatus]] = []
        self.early: list[str] = []
        self.consumed: Counter[str] = Counter()
        self.named: Counter[str] = Counter()

    def note(self, rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        """Carries an RPC out and writes it down if it was a commit."""
        response = carry_out()
        if rpc.method == "Commit":
            self._note_commit(rpc.request.mutations)
        return response

    def _note_commit(self, mutations: Iterable[Any]) -> None:
        fresh: set[str] = set()
        instances: list[Any] = []
        for mutation in mutations:
            operation = mutation.WhichOneof("operation")
            entity = getattr(mutation, operation)
            if operation == "delete":
                self._note_deletion(entity.path[-1])
                continue
            end = entity.key.path[-1]
            self.rows[end.kind][end.name] = entity
            if end.kind == Instance.kind:
                instances.append(entity)
            elif end.kind == Task.kind and operation == "insert":
                fresh.add(end.name)
        self.named.update(fresh)
        for entity in instances:
            self._note_instance(entity, fresh)

    def _note_deletion(self, end: Any) -> None:
        if self.rows[end.kind].pop(end.name, None) is not None and end.kind == Entry.kind:
            self.consumed[end.name] += 1

    def _note_instance(self, entity: Any, fresh: set[str]) -> None:
        instance = entity.properties["instance"].string_value
        status = InstanceStatus(entity.properties["status"].string_value)
        self.ends.append((instance, status))
        if "ended" in entity.properties:
            left = [step for step in self.in_flight(instance) if step not in fresh]
            self.early += [f"{instance} ({status}): {step}" for step in left]

    def in_flight(self, instance: str) -> list[str]:
        """The steps of an instance that are in flight, by now."""
        return [
            name
            for name, row in self.rows[Task.kind].items()
            if row.properties["instance"].string_value == instance
            and row.properties["status"].string_value != TaskStatus.FAILED
        ]

    def failed(self) -> list[str]:
        """The steps that have failed, by now."""
        rows = self.rows[Task.kind].items()
        return [name for name, row in rows if row.properties["status"].string_value == TaskStatus.FAILED]

    def task(self, step: str) -> Task | None:
        """The row of a step that is in flight or has failed."""
        entity = self.rows[Task.kind].get(step)
        row = None if entity is None else read_row(entity, b"{}")
        return row if isinstance(row, Task) else None

    def instances(self) -> list[Instance]:
        """All instances, as they are by now."""
        return self.read(Instance.kind)

    def awaited(self, parent: str) -> list[str]:
        """The instances that another one waits for and that have not ended."""
        return [
            each.id for each in self.instances() if each.parent == parent and each.joined and not each.is_over
        ]

    def read(self, kind: str) -> list[Any]:
        """The engine's rows of a kind, as the engine reads them, without contexts."""
        return [read_row(each, b"{}") for each in self.rows[kind].values()]
