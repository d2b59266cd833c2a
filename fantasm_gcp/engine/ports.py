"""What the engine needs of the outside world."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from fantasm_gcp.action import Action
from fantasm_gcp.core.callback import Callback
from fantasm_gcp.core.casts import Cast
from fantasm_gcp.core.codec import Codec
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import Commit, Entry, Hold, Instance, InstanceStatus, RowKey, Stored, Task
from fantasm_gcp.core.spreading import Bounds


class Reader(Protocol):
    """Reads rows by key. Raises ``UnavailableError``; inside a transaction also ``ConflictError``."""

    def lookup(self, keys: Sequence[RowKey]) -> Sequence[Stored[Any] | None]:
        """The rows of these keys, in their order; None for a row that is not there."""


class Transaction(Reader, Protocol):
    """Reads that are still true when it commits. Leaving its block gives back what is still held."""

    def __enter__(self) -> Transaction: ...

    def __exit__(self, *exception: object) -> None: ...

    def commit(self, commit: Commit) -> Sequence[int]:
        """As :meth:`Store.commit`, if what was read is still true."""

    def rollback(self) -> None:
        """Lets go of what was read."""


class JoinedTransaction(Reader, Protocol):
    """A transaction of the client that users have; somebody else commits it."""

    def stage(self, commit: Commit) -> None:
        """Adds writes to those that are in it already."""


class ActingTransaction(JoinedTransaction, Protocol):
    """The transaction that a transactional state's actions run in; it commits when its block ends.

    Errors of the actions pass through it as they are. ``client`` gives the client that takes part in it.
    """

    def client(self) -> Any: ...


class Store(Reader, Protocol):
    """The engine's rows. Every method may raise ``UnavailableError``."""

    def commit(self, commit: Commit) -> Sequence[int]:
        """Writes atomically in one request and answers the versions of the mutations, in their order.

        Raises ``ConflictError`` or ``AlreadyExistsError`` when nothing was written, and
        ``UnavailableError`` when that is not known.
        """

    def begin(self) -> Transaction:
        """A transaction of the engine's own."""

    def acting_transaction(self) -> AbstractContextManager[ActingTransaction]:
        """A transaction of the client that actions use. Contention raises ``ConflictError``."""

    def join(self, transaction: Any) -> JoinedTransaction:
        """A user's ``google.cloud.datastore`` transaction, to add the engine's rows to.

        Raises ``StartError`` for one that is not under way.
        """

    def client(self) -> Any:
        """The Datastore client that actions use."""

    def in_flight(self, instance: InstanceId, limit: int) -> Sequence[StepName]:
        """Up to ``limit`` steps of an instance that are not over and not failed."""

    def has_failed(self, instance: InstanceId) -> bool:
        """Whether an instance has a failed step."""

    def steps(self, where: Mapping[str, str], after: str, limit: int) -> Sequence[StepName]:
        """Steps that are not over, failed ones included, by their names in order: ``after < name``.

        ``where`` has values of ``instance``, ``machine``, ``state``, ``status`` and ``fingerprint``.
        """

    def joins_waiting(self, instance: InstanceId) -> Sequence[str]:
        """The states of an instance at which contexts wait for every other branch."""

    def children(self, instance: InstanceId) -> Sequence[Instance]:
        """Up to a thousand instances whose parent this one is."""

    def joining(self, instance: InstanceId, limit: int) -> Sequence[str]:
        """The names of up to ``limit`` contexts that wait at joins of an instance."""

    def holds(self) -> Sequence[Hold]:
        """The machines and states of this service whose steps are to be parked."""

    def overdue_marks(self, moment: float) -> tuple[str, ...]:
        """Of each shard of the index of what becomes overdue, its value for the minute of a moment."""

    def overdue(self, since: str, until: str, limit: int) -> Sequence[Stored[Task] | None]:
        """Up to ``limit`` steps of a shard whose values are from ``since`` to ``until``, in their order.

        None for one that a newer version of this library wrote.
        """

    def instances(self, status: InstanceStatus, after: str, limit: int) -> Sequence[Stored[Instance]]:
        """Instances of this service that have a status, by their rows' names in order: ``after < name``."""

    @property
    def service(self) -> str:
        """The service that the rows belong to."""

    def entries(
        self, window: StepName, after: str, until: str, limit: int, most_bytes: int
    ) -> Sequence[Entry]:
        """Entries of a window, in order: ``after < name`` and, where ``until`` is given, ``name <= until``.

        No more than ``limit``, and none behind the one that takes their contexts beyond ``most_bytes``; but
        two where there are two.
        """

    def entry_names(self, window: StepName, after: str, until: str, limit: int) -> Sequence[str]:
        """The names of such entries, in order."""


class QueueState(StrEnum):
    """What a queue does with its tasks."""

    RUNNING = "running"
    PAUSED = "paused"
    DISABLED = "disabled"
    MISSING = "missing"
    """There is no queue of that name."""


class TaskState(StrEnum):
    """What has become of a task."""

    WAITING = "waiting"
    """It is there, and was not dispatched yet."""
    RUNNING = "running"
    """It is there, and its first attempt has not ended."""
    FAILING = "failing"
    """It is there, and attempts at it have ended without success."""
    GONE = "gone"
    """It was there a short while ago: it succeeded, or was deleted."""
    ABSENT = "absent"
    """Cloud Tasks knows nothing of it (any more)."""


class Queue(Protocol):
    """Creates, deletes and looks at tasks."""

    def create(self, callbacks: Sequence[Callback]) -> None:
        """Creates named tasks; one whose name is taken counts as created. Raises ``UnavailableError``."""

    def delete(self, queue: str, names: Sequence[str]) -> None:
        """Deletes tasks by their short names; one that is not there is left alone. Raises as above."""

    def state(self, queue: str) -> QueueState:
        """What a queue does. Raises ``UnavailableError``, and ``RefusedError`` where it may not be asked."""

    def look_at(self, queue: str, name: str) -> TaskState:
        """What has become of the task of that short name. Raises as :meth:`state`."""


class Webhooks(Protocol):
    """Posts signed messages to servers of others."""

    def check(self, url: str) -> None:
        """Raises ``StartError`` for a URL that nothing may be posted to."""

    def post(self, url: str, delivery: str, body: bytes) -> int:
        """Posts a message once and answers the status."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the engine, in bytes, seconds or numbers; the defaults are those of the documentation.

    ``definition_age`` is how long a step waits for a deployment that knows its machine and state.
    ``task_life`` is after which time a step that keeps failing gets a new task: Cloud Tasks keeps one for 31
    days. ``pending`` is how long the task of a transactional start waits for that transaction's commit: a bit
    longer than Datastore lets a transaction live. ``hold_age`` is how old what a process knows of holds may
    be. ``resume_rate`` is how many parked or failed steps run again in a second, ``operation_steps`` how many
    of them one step of an operator's command makes ready.
    """

    inline_context: int = 24 * 1024
    definition_age: float = 24 * 3600
    pending: float = 300.0
    task_life: float = 25 * 24 * 3600
    fan_in_entries: int = 500
    fan_in_bytes: int = 16 * 1024 * 1024
    window_parts: int = 100
    commit_bytes: int = 7_000_000
    spread: Bounds = field(default_factory=Bounds)
    contention_tries: int = 12
    transaction_tries: int = 5
    hold_age: float = 5.0
    resume_rate: float = 50.0
    operation_steps: int = 50


@dataclass(slots=True)
class Holds:
    """What a process knows of holds, as ``(machine, state)``, and since when: see ``engine.parking``."""

    held: frozenset[tuple[str, str]] = frozenset()
    read: float = -math.inf


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that delivering a step needs, given from outside so that tests can give their own."""

    definitions: Definitions
    actions: Mapping[str, Action]
    casts: Mapping[str, Mapping[str, Cast]]
    """Of each machine its arguments' types, by the arguments' names."""
    codec: Codec
    store: Store
    queue: Queue
    root: str
    """The URL prefix that steps are served under."""
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    webhooks: Webhooks | None = None
    pin: str | None = None
    """``<version>.<service>`` of App Engine: where the tasks of a pinned instance go that starts here."""
    holds: Holds = field(default_factory=Holds)

    def back_off(self, attempt: int) -> None:
        """Waits a random moment before another try at contended rows: 10 ms at first, 1.3 s at most."""
        self.sleep(self.random() * 0.01 * 2 ** min(attempt, 7))
