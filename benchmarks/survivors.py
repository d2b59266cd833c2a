"""What is left in the files of servers that were killed, compared with what was acknowledged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from google.api_core.exceptions import AlreadyExists, GoogleAPICallError
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from benchmarks.forked_servers import DATASTORE_FILE, TASKS_FILE
from benchmarks.writers import KIND, NUMBERED, PROJECT, EntityWriter, TaskWriter, tags_of
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import TasksServer

_TOMBSTONES = 25
"""Names of a run that are tried again: each is a call."""


def wrong_entities(directory: Path, namespace: str, writers: Iterable[EntityWriter]) -> list[str]:
    """Faults of the Datastore file, one sentence each."""
    server = DatastoreServer(directory / DATASTORE_FILE)
    with closing(server):
        reader = _Reader(server, namespace)
        found = {name: values["n"] for name, values in reader.entities(KIND)}
        faults = _wrong_states(found, writers)
        faults += _wrong_indexes(reader, found)
        numbered = {name: values["n"] for name, values in reader.entities(NUMBERED)}
        faults += _wrong_numbers(numbered, writers)
    return faults + _damage(directory / DATASTORE_FILE)


class _Reader:
    def __init__(self, server: DatastoreServer, namespace: str) -> None:
        channel = LocalChannel(server.service)
        self._api: Any = DatastoreClient(transport=DatastoreGrpcTransport(channel=channel))
        self._partition = {"namespace_id": namespace}

    def entities(self, kind: str, *projected: str) -> list[tuple[Any, dict[str, Any]]]:
        """The names or ids of a kind's entities with the numbers in them, or the rows of a projection."""
        found: list[tuple[Any, dict[str, Any]]] = []
        query: dict[str, Any] = {"kind": [{"name": kind}]}
        query["projection"] = [{"property": {"name": name}} for name in projected]
        while True:
            request = {"project_id": PROJECT, "partition_id": self._partition, "query": query}
            batch = self._api.run_query(request=request).batch
            for result in batch.entity_results:
                last = result.entity.key.path[-1]
                values = {name: value.integer_value for name, value in result.entity.properties.items()}
                found.append((last.name or last.id, values))
            if batch.more_results != batch.MoreResultsType.NOT_FINISHED:
                return found
            query["start_cursor"] = batch.end_cursor

    def named(self, kind: str, name: str, number: int) -> list[str]:
        """The names of the entities whose property is that number."""
        condition = {"property": {"name": name}, "op": "EQUAL", "value": {"integer_value": number}}
        query = {"kind": [{"name": kind}], "filter": {"property_filter": condition}}
        request = {"project_id": PROJECT, "partition_id": self._partition, "query": query}
        results = self._api.run_query(request=request).batch.entity_results
        return [result.entity.key.path[-1].name for result in results]

    def present(self, kind: str, names: Iterable[str]) -> set[str]:
        """Those of the names that a lookup finds."""
        keys = [{"partition_id": self._partition, "path": [{"kind": kind, "name": name}]} for name in names]
        answer = self._api.lookup(request={"project_id": PROJECT, "keys": keys})
        return {result.entity.key.path[-1].name for result in answer.found}


def _wrong_states(found: dict[str, int], writers: Iterable[EntityWriter]) -> list[str]:
    faults = []
    known: set[str] = set()
    for writer in writers:
        known |= writer.state.keys() | writer.pending.keys()
        for name, number in writer.state.items():
            if name not in writer.pending and found.get(name) != number:
                faults.append(f"{name} is {found.get(name)}, and {number} was acknowledged")
        pending = writer.pending.items()
        before = all(found.get(name) == writer.state.get(name) for name, _ in pending)
        after = all(found.get(name) == number for name, number in pending)
        if not (before or after):
            faults.append(f"half of a commit is there: {writer.pending} over {writer.state}, found {found}")
    return faults + [f"{name} was never written" for name in found.keys() - known]


def _wrong_indexes(reader: _Reader, found: dict[str, int]) -> list[str]:
    faults = []
    rows = sorted((name, values["n"]) for name, values in reader.entities(KIND, "n"))
    if rows != sorted(found.items()):
        faults.append(f"the index of n has {rows}, and the entities are {found}")
    tagged = sorted((name, values["tags"]) for name, values in reader.entities(KIND, "tags"))
    if tagged != sorted((name, tag) for name, number in found.items() for tag in tags_of(number)):
        faults.append(f"the index of tags has {tagged}, and the entities are {found}")
    for number in set(found.values()):
        names = reader.named(KIND, "n", number)
        if sorted(names) != sorted(name for name in found if found[name] == number):
            faults.append(f"n = {number} finds {names}, and the entities are {found}")
    if reader.present(KIND, found) != found.keys():
        faults.append("a query finds entities that a lookup does not")
    return faults


def _wrong_numbers(found: dict[int, int], writers: Iterable[EntityWriter]) -> list[str]:
    faults = []
    most = 0
    for writer in writers:
        most += len(writer.ids) + writer.numbering
        faults += [
            f"{NUMBERED} {identifier} is {found.get(identifier)}, and {number} was acknowledged"
            for identifier, number in writer.ids.items()
            if found.get(identifier) != number
        ]
    if len(found) > most:
        faults.append(f"{len(found)} entities of {NUMBERED}, and {most} at most were inserted")
    return faults


def wrong_tasks(directory: Path, queue: str, writers: Iterable[TaskWriter], delivered: set[str]) -> list[str]:
    """Faults of the Cloud Tasks file; ``delivered`` are the ids of tasks that the worker has got."""
    server = TasksServer(directory / TASKS_FILE, create_queues=False)
    with closing(server):
        channel = LocalChannel(server.service)
        api: Any = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        left = {task.name for task in api.list_tasks(parent=queue)}
        faults = []
        over: set[str] = set()
        for writer in writers:
            got = {name for name in writer.due if name.rpartition("/")[2] in delivered}
            faults += [f"{name} is lost" for name in writer.waiting - left]
            faults += [f"{name} is lost, and was never delivered" for name in writer.due - got - left]
            faults += [f"{name} is there again" for name in writer.deleted & left]
            over |= writer.deleted | (got - left)
        for name in sorted(over)[:_TOMBSTONES]:
            faults += _refused(name, lambda name=name: _create(api, queue, name))
    return faults + _damage(directory / TASKS_FILE)


def _create(api: Any, queue: str, name: str) -> None:
    api.create_task(parent=queue, task={"name": name, "http_request": {"url": "http://127.0.0.1/"}})


def _refused(name: str, create: Callable[[], None]) -> list[str]:
    try:
        create()
    except AlreadyExists:
        return []
    except GoogleAPICallError as error:
        return [f"{name} cannot be made again, but for another reason: {error}"]
    return [f"the name {name} is free again"]


def _damage(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        said = [str(line) for (line,) in database.execute("PRAGMA integrity_check")]
    return [] if said == ["ok"] else [f"{file.name}: {line}" for line in said]
