"""Threads that write to both local servers until these die, and remember what was acknowledged."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf.timestamp_pb2 import Timestamp

PROJECT = "killed"
LOCATION = f"projects/{PROJECT}/locations/here"
KIND = "Thing"
NUMBERED = "Numbered"

_TIMEOUT = 20.0
_OPTIONS: dict[str, Any] = {"retry": None, "timeout": _TIMEOUT}
_NAMES = 60
"""Entities of a thread: few, so that they are changed and deleted again and again."""
_SIZES = (1, 1, 2, 8, 80)
"""Entities of a commit. A death seldom falls into a small one, which is over in a moment."""


class Acknowledged:
    """Counts what was acknowledged; ``reached`` is set at a chosen number, or when a writer ends before."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()
        self.reached = threading.Event()
        self.count = 0

    def note(self) -> None:
        """One more."""
        with self._lock:
            self.count += 1
            if self.count == self._number:
                self.reached.set()


@dataclass
class EntityWriter:
    """What one thread has done to the entities of its own: names begin with ``prefix``.

    ``state`` is what was acknowledged: an entity's number, or None when it is deleted. ``pending`` is the
    commit that was not: all of it was carried out or nothing. ``ids`` are those that the server chose, and
    ``numbering`` says that one more may have been chosen. ``fault`` is a refusal that nothing explains.
    """

    host: str
    namespace: str
    prefix: str
    seed: str
    acknowledged: Acknowledged
    state: dict[str, int | None] = field(default_factory=dict)
    pending: dict[str, int | None] = field(default_factory=dict)
    ids: dict[int, int] = field(default_factory=dict)
    numbering: bool = False
    fault: str = ""

    def write(self) -> None:
        """Writes until a call fails: the server is dead."""
        chance = random.Random(self.seed)
        with grpc.insecure_channel(self.host) as channel:
            api = DatastoreClient(transport=DatastoreGrpcTransport(channel=channel))
            try:
                while True:
                    if chance.random() < 0.15:
                        self._insert(api, chance)
                    else:
                        self._change(api, chance)
            except GoogleAPICallError as error:
                self.fault = _unless_death(error)
            finally:
                self.acknowledged.reached.set()

    def _change(self, api: Any, chance: random.Random) -> None:
        names = {f"{self.prefix}{chance.randrange(_NAMES)}" for _ in range(chance.choice(_SIZES))}
        self.pending = {
            name: None if chance.random() < 0.2 else chance.randrange(20) for name in sorted(names)
        }
        mutations = [
            {"delete": self._key(name)} if number is None else {"upsert": self._entity(name, number, chance)}
            for name, number in self.pending.items()
        ]
        api.commit(request={**self._mode(api, chance), "mutations": mutations}, **_OPTIONS)
        self.state |= self.pending
        self.pending = {}
        self.acknowledged.note()

    def _mode(self, api: Any, chance: random.Random) -> dict[str, Any]:
        """One of the three ways to commit."""
        match chance.randrange(3):
            case 0:
                return {"project_id": PROJECT, "mode": "NON_TRANSACTIONAL"}
            case 1:
                return {"project_id": PROJECT, "mode": "TRANSACTIONAL", "single_use_transaction": {}}
        begun = api.begin_transaction(request={"project_id": PROJECT}, **_OPTIONS)
        reading = {"transaction": begun.transaction}
        keys = [self._key(name) for name in self.pending]
        api.lookup(request={"project_id": PROJECT, "keys": keys, "read_options": reading}, **_OPTIONS)
        return {"project_id": PROJECT, "mode": "TRANSACTIONAL", "transaction": begun.transaction}

    def _insert(self, api: Any, chance: random.Random) -> None:
        number = chance.randrange(20)
        self.numbering = True
        entity = {"key": self._key(None), "properties": {"n": {"integer_value": number}}}
        request = {"project_id": PROJECT, "mode": "NON_TRANSACTIONAL", "mutations": [{"insert": entity}]}
        answer = api.commit(request=request, **_OPTIONS)
        self.ids[answer.mutation_results[0].key.path[-1].id] = number
        self.numbering = False
        self.acknowledged.note()

    def _key(self, name: str | None) -> dict[str, Any]:
        element = {"kind": NUMBERED} if name is None else {"kind": KIND, "name": name}
        return {"partition_id": {"namespace_id": self.namespace}, "path": [element]}

    def _entity(self, name: str, number: int, chance: random.Random) -> dict[str, Any]:
        tags = [{"integer_value": tag} for tag in tags_of(number)]
        body = {"blob_value": chance.randbytes(chance.randrange(3000)), "exclude_from_indexes": True}
        properties = {"n": {"integer_value": number}, "tags": {"array_value": {"values": tags}}, "body": body}
        return {"key": self._key(name), "properties": properties}


def tags_of(number: int) -> list[int]:
    """The values of the array of the entity with that number."""
    return [number % 3, 10 + number % 5]


@dataclass
class TaskWriter:
    """What one thread has done to tasks of its own, whose names begin with ``prefix``.

    ``waiting`` are acknowledged tasks of the far future, ``due`` such that are delivered at once, ``deleted``
    those whose deletion was acknowledged; what the last call was about is in none of them.
    """

    host: str
    queue: str
    prefix: str
    seed: str
    worker_url: str
    far: int
    acknowledged: Acknowledged
    waiting: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    fault: str = ""
    _made: int = 0

    def write(self) -> None:
        """Writes until a call fails: the server is dead."""
        chance = random.Random(self.seed)
        with grpc.insecure_channel(self.host) as channel:
            api: Any = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
            try:
                while True:
                    self._call(api, chance)
                    self.acknowledged.note()
            except GoogleAPICallError as error:
                self.fault = _unless_death(error)
            finally:
                self.acknowledged.reached.set()

    def _call(self, api: Any, chance: random.Random) -> None:
        match chance.choice(("create", "create", "due", "batch", "delete", "delete many")):
            case "create":
                [name] = self._names(1)
                self._create(api, name, self.far)
                self.waiting.add(name)
            case "due":
                [name] = self._names(1)
                self._create(api, name, 0)
                self.due.add(name)
            case "batch":
                names = self._names(chance.randint(2, 12))
                requests = [{"parent": self.queue, "task": self._task(name, self.far)} for name in names]
                api.batch_create_tasks(request={"parent": self.queue, "requests": requests}, timeout=_TIMEOUT)
                self.waiting.update(names)
            case deletion:
                self._delete(api, chance, 1 if deletion == "delete" else 8)

    def _names(self, count: int) -> list[str]:
        names = [f"{self.queue}/tasks/{self.prefix}{self._made + each}" for each in range(count)]
        self._made += count
        return names

    def _create(self, api: Any, name: str, at: int) -> None:
        request = {"parent": self.queue, "task": self._task(name, at)}
        api.create_task(request=request, **_OPTIONS)

    def _task(self, name: str, at: int) -> dict[str, Any]:
        target = {"url": f"{self.worker_url}/{name.rpartition('/')[2]}"}
        return {"name": name, "http_request": target, "schedule_time": Timestamp(seconds=at)}

    def _delete(self, api: Any, chance: random.Random, most: int) -> None:
        names = chance.sample(sorted(self.waiting), min(most, len(self.waiting)))
        if not names:
            return
        self.waiting.difference_update(names)
        if most == 1:
            api.delete_task(request={"name": names[0]}, **_OPTIONS)
        else:
            api.batch_delete_tasks(request={"parent": self.queue, "names": names}, timeout=_TIMEOUT)
        self.deleted.update(names)


def _unless_death(error: GoogleAPICallError) -> str:
    """A server that dies leaves its callers with UNAVAILABLE; any other refusal is a fault."""
    return "" if error.grpc_status_code is grpc.StatusCode.UNAVAILABLE else f"a call was refused: {error}"
