"""What is measured: calls of the Python clients, as fast as they come back, and deliveries of tasks."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore
from google.cloud.datastore.query import PropertyFilter
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

PROJECT = "measured"
QUEUE = f"projects/{PROJECT}/locations/here/queues/work"
GROUPS = 100
BATCH = 100
_CHUNK = 500
_POLL_SECONDS = 0.005
_PATIENCE = 60.0

Act = Callable[[int], object]
"""Does it once, given the number of the thread."""


def rate(act: Act, threads: int, seconds: float) -> float:
    """How often a second threads do something, each as soon as it has done it before."""
    counts = [0] * threads
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            while not stop.is_set():
                act(thread)
                counts[thread] += 1
        except BaseException as error:  # noqa: BLE001  # raised again by the thread that measures
            errors.append(error)

    working = [threading.Thread(target=work, args=(each,)) for each in range(threads)]
    began = time.monotonic()
    for thread in working:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in working:
        thread.join()
    if errors:
        raise errors[0]
    return sum(counts) / (time.monotonic() - began)


def datastore_client(host: str) -> Any:
    """The library's client, to a host without TLS."""
    client = datastore.Client(project=PROJECT, credentials=AnonymousCredentials())
    channel = grpc.insecure_channel(host)
    # The only way to give it a channel.
    client._datastore_api_internal = DatastoreClient(transport=DatastoreGrpcTransport(channel=channel))
    return client


def tasks_client(channel: grpc.Channel) -> Any:
    """The generated client over a channel."""
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


class DatastoreLoad:
    """The calls to one Datastore, which holds ``entities`` of a kind before."""

    def __init__(self, client: Any, entities: int) -> None:
        self._client = client
        self._entities = entities
        self._turn = itertools.count()
        self._chances = [random.Random(each) for each in range(100)]

    def fill(self) -> None:
        """Writes the entities that are read."""
        numbers = range(self._entities)
        for start in range(0, self._entities, _CHUNK):
            self._client.put_multi([self._entity("Row", n) for n in numbers[start : start + _CHUNK]])

    def _entity(self, kind: str, number: int) -> Any:
        made = datastore.Entity(self._client.key(kind, f"r{number}"), exclude_from_indexes=("body",))
        made.update(number=number, group=number % GROUPS, even=number % 2 == 0, name=f"name {number}")
        made["body"] = "x" * 200
        return made

    def put(self, _: int) -> None:
        """A new entity with four indexed properties."""
        self._client.put(self._entity("Put", next(self._turn)))

    def get(self, thread: int) -> None:
        """An entity that is there."""
        number = self._chances[thread].randrange(self._entities)
        found = self._client.get(self._client.key("Row", f"r{number}"))
        assert found is not None

    def transaction(self, thread: int) -> None:
        """Reads an entity that no other thread has and writes it."""
        key = self._client.key("Counter", f"c{thread}")
        with self._client.transaction():
            counter = self._client.get(key) or datastore.Entity(key)
            counter["n"] = counter.get("n", 0) + 1
            self._client.put(counter)

    def query(self, thread: int) -> None:
        """The first ten of a hundred with one value, in an order."""
        query = self._client.query(kind="Row", order=["-number"])
        query.add_filter(filter=PropertyFilter("group", "=", self._chances[thread].randrange(GROUPS)))
        found = list(query.fetch(limit=10))
        assert len(found) == min(10, self._entities // GROUPS)


class TasksLoad:
    """The calls to one Cloud Tasks, whose queue is made at the first task."""

    def __init__(self, client: Any, url: str, *, waiting: bool) -> None:
        self._client = client
        self._task: dict[str, Any] = {"http_request": {"url": url, "body": b"x" * 100}}
        if waiting:
            self._task["schedule_time"] = {"seconds": int(time.time()) + 7 * 86_400}

    def create(self, _: int) -> None:
        """One task."""
        self._client.create_task(parent=QUEUE, task=self._task)

    def create_batch(self, _: int) -> None:
        """As many as fit into a call."""
        requests = [{"parent": QUEUE, "task": self._task}] * BATCH
        self._client.batch_create_tasks(request={"parent": QUEUE, "requests": requests})

    def deliveries(self, tasks: int, left: Callable[[], int]) -> float:
        """How many tasks a second are created, in batches, and delivered; ``left`` counts those to do."""
        began = time.monotonic()
        for _ in range(tasks // BATCH):
            self.create_batch(0)
        while left():
            if time.monotonic() > began + _PATIENCE:
                raise TimeoutError(f"{left()} of {tasks} tasks are not delivered")
            time.sleep(_POLL_SECONDS)
        return tasks / (time.monotonic() - began)

    def left(self) -> int:
        """Whether there are tasks: 1, or 0."""
        page = next(self._client.list_tasks(request={"parent": QUEUE, "page_size": 1}).pages)
        return len(page.tasks)
