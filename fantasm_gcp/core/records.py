"""The rows that the engine keeps, as frozen values, and the atomic writes made of them.

Each row names its kind and key; how it lies in Datastore is the gateway's matter. Times are seconds of the
epoch. A context is bytes as ``core.codec`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Generic, NamedTuple, TypeVar

from fantasm_gcp.core.context import Page, Put, Remove
from fantasm_gcp.core.headers import Headers
from fantasm_gcp.core.names import InstanceId, StepName, hashed, step_name


class RowKey(NamedTuple):
    """A row's kind and name."""

    kind: str
    name: str


class InstanceStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Stopped on purpose. Until it has an end, steps of it that are still in flight are being discarded."""


class TaskStatus(StrEnum):
    QUEUED = "queued"
    FAILED = "failed"


class Outcome(StrEnum):
    """What became of a step that is over."""

    COMPLETED = "completed"
    """The action ran; a next step, an arrival at a fan-in or the end of the branch follows."""
    HALTED = "halted"
    """The branch stopped here: an action said so, or there was nothing on a continuation's page."""
    CANCELLED = "cancelled"
    """The instance had been stopped: the action did not run."""
    EMPTY = "empty"
    """A window with nothing in it: the action did not run."""
    SPLIT = "split"
    """A window with more than one batch: its parts run the action."""
    SPREAD = "spread"
    """A share of what a step with a large outcome sent on its way; no action runs for that."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a machine. Written at its start, at its ends and by operators, never per step.

    ``parent`` is the instance that spawned it. ``note`` says why it was stopped.
    ``redrives`` is counted because Datastore keeps the version of a row that is written as it was: a command
    that found the status it wants would not be seen by who compares versions.
    """

    kind: ClassVar[str] = "FantasmInstance"
    id: InstanceId
    machine: str
    status: InstanceStatus
    started: float
    first_step: StepName
    definition: str
    closings: int = 0
    redrives: int = 0
    ended: float | None = None
    parent: InstanceId | None = None
    note: str = ""

    @property
    def key(self) -> RowKey:
        return instance_key(self.id)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a step stands: the transition it fires, on which branch, how far along it."""

    instance: InstanceId
    machine: str
    branch: str
    state: str
    event: str
    target: str
    n: int

    @property
    def name(self) -> StepName:
        return step_name(self.instance, self.branch, self.state, self.event, self.target, self.n)


@dataclass(frozen=True, slots=True)
class Hop:
    """A step's place in a chain of continuations: the branch it began on, its number, its token.

    ``results`` counts what was on the pages before it.
    """

    origin: str
    generation: int
    token: str
    results: int = 0


@dataclass(frozen=True, slots=True)
class Collection:
    """What a fan-in step collects: of a group's window the entries with ``after < name <= until``."""

    group: str
    window: StepName
    after: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """The last error of a step."""

    error: str
    traceback: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Task:
    """A step in flight: what its delivery needs. Gone when the step is over.

    ``target`` is an App Engine service as in a definition. ``headers`` are those of the instance, with the
    queue that the branch has set. ``spread`` tells that the context is a share of a large outcome, ``pages``
    which pages of continuations the branch came through. ``started`` is when its instance was, for a task
    that carries it because there is no row; ``created`` is when this epoch of the step was.

    ``ahead`` are the steps that were enqueued before this one was over; ``announced`` is the token of the
    continuation among them. ``attempts`` counts those since the start or the last redrive, up to the last
    that was recorded as failed, ``unanswered`` those of this epoch that never answered; ``first_attempt`` is
    when the first recorded one began.
    """

    kind: ClassVar[str] = "FantasmTask"
    step: Step
    context: bytes
    queue: str
    method: str
    due: float
    status: TaskStatus = TaskStatus.QUEUED
    epoch: int = 0
    attempts: int = 0
    unanswered: int = 0
    first_attempt: float | None = None
    failure: Failure | None = None
    ahead: tuple[StepName, ...] = ()
    announced: str | None = None
    hop: Hop | None = None
    collection: Collection | None = None
    spread: bool = False
    target: str | None = None
    headers: Headers = ()
    pages: tuple[Page, ...] = ()
    started: float = 0.0
    created: float = 0.0

    @property
    def key(self) -> RowKey:
        return task_key(self.step.name)


@dataclass(frozen=True, slots=True)
class Record:
    """History: a step that is over. ``context`` is what it was given, ``entries`` how many it collected."""

    kind: ClassVar[str] = "FantasmStep"
    step: Step
    outcome: Outcome
    event: str | None
    next: tuple[StepName, ...]
    ahead: tuple[StepName, ...]
    ends_branch: bool
    due: float
    began: float
    ended: float
    attempts: int
    context: bytes
    entries: int | None = None
    note: str = ""

    @property
    def key(self) -> RowKey:
        return record_key(self.step.name)


@dataclass(frozen=True, slots=True)
class Window:
    """The open window of a fan-in group; closed by deleting it."""

    kind: ClassVar[str] = "FantasmFanIn"
    group: str
    window: StepName

    @property
    def key(self) -> RowKey:
        return window_key(self.group)


@dataclass(frozen=True, slots=True)
class Entry:
    """One context in a window, until its batch commits."""

    kind: ClassVar[str] = "FantasmEntry"
    name: str
    window: StepName
    source: StepName
    context: bytes
    pages: tuple[Page, ...] = ()

    @property
    def key(self) -> RowKey:
        return RowKey(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that an action logged, of a machine with persistent logging.

    ``level`` is that of the ``logging`` module, ``action`` the dotted name of what logged it, ``stack`` a
    traceback. ``time``: seconds of the epoch.
    """

    kind: ClassVar[str] = "FantasmLog"
    name: str
    step: Step
    action: str
    time: float
    level: int
    message: str
    tags: tuple[str, ...] = ()
    stack: str | None = None

    @property
    def key(self) -> RowKey:
        return RowKey(self.kind, self.name)


Row = Instance | Task | Record | Window | Entry | LogLine
R = TypeVar("R", bound=Row)


def instance_key(instance: InstanceId) -> RowKey:
    return RowKey(Instance.kind, hashed(instance))


def task_key(step: StepName) -> RowKey:
    return RowKey(Task.kind, step)


def record_key(step: StepName) -> RowKey:
    return RowKey(Record.kind, step)


def window_key(group: str) -> RowKey:
    return RowKey(Window.kind, group)


@dataclass(frozen=True, slots=True)
class Stored(Generic[R]):
    """A row as it was read, with the version that a compare-and-set names."""

    row: R
    version: int


@dataclass(frozen=True, slots=True)
class Insert:
    """Fails with ``AlreadyExistsError`` when the key is taken."""

    row: Row


@dataclass(frozen=True, slots=True)
class Update:
    """Fails with ``ConflictError`` when the row is not at this version."""

    row: Row
    version: int


@dataclass(frozen=True, slots=True)
class Upsert:
    """Writes the row whether it is there or not: for rows that say the same whoever writes them."""

    row: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """Fails with ``ConflictError`` when a version is given and the row is not at it."""

    key: RowKey
    version: int | None = None


Mutation = Insert | Update | Upsert | Delete


@dataclass(frozen=True, slots=True)
class Commit:
    """Writes that happen together or not at all: the engine's rows, and what an action staged."""

    mutations: tuple[Mutation, ...]
    staged: tuple[Put | Remove, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The steps that this commit puts in flight: their tasks are created next."""
        rows = (each.row for each in self.mutations if isinstance(each, Insert))
        return tuple(row for row in rows if isinstance(row, Task))


def queued_again(task: Task, due: float) -> Task:
    """A failed step made ready to run again, under a new epoch."""
    fresh = replace(task, attempts=0, unanswered=0, first_attempt=None)
    return replace(fresh, status=TaskStatus.QUEUED, epoch=task.epoch + 1, due=due, created=due)
