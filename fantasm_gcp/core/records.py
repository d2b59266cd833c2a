"""The rows that the engine keeps, as frozen values, and the atomic writes made of them.

Each row names its kind and key; how it lies in Datastore is the gateway's matter. Times are seconds of the
epoch. A context is bytes as ``core.codec`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Generic, NamedTuple, TypeVar

from fantasm_gcp.core.context import Failure, Page, Put, Remove
from fantasm_gcp.core.headers import Headers
from fantasm_gcp.core.names import TASK_NAME_LIMIT, InstanceId, StepName, digest, hashed, step_name
from fantasm_gcp.core.traces import LONG_WAIT, Trace, begun_after_waiting


class RowKey(NamedTuple):
    """A row's kind and name."""

    kind: str
    name: str


class InstanceStatus(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    """An operator holds it: its steps are parked when their tasks come."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Nothing of it is in flight, and steps of it have failed: a redrive makes it run again."""
    CANCELLED = "cancelled"
    """Stopped on purpose. Until it has an end, steps of it that are still in flight are being discarded."""


class TaskStatus(StrEnum):
    QUEUED = "queued"
    """It has a task, or is about to."""
    PARKED = "parked"
    """Its task came while its instance was paused or its state held: a resume makes it a new one."""
    WAITING = "waiting"
    """It stands for a spawned instance that this one waits for. It never has a task."""
    FAILED = "failed"
    """Given up: the only ones that are not in flight."""


class Role(StrEnum):
    """What delivering a step's task does."""

    ACTION = "action"
    """Runs the actions of a transition and a state."""
    SPREAD = "spread"
    """Sends a share of a large outcome on its way, which lies packed in the context."""
    CANCEL = "cancel"
    """Deletes what a stopped instance has in flight."""
    UNPARK = "unpark"
    """Makes parked steps run again; the context says which."""
    REDRIVE = "redrive"
    """Makes failed steps run again; the context says which."""


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
    RECOVERED = "recovered"
    """It was out of attempts: what its state's ``on_error`` says followed instead of a failure."""
    SKIPPED = "skipped"
    """An operator chose what followed instead of running the actions."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a machine. Written at its start, at its ends and by operators, never per step.

    ``parent`` is the instance that spawned it, or whose end started it; ``joined`` the step by which that one
    waits for this one's end. ``note`` says why it was stopped. ``headers``, ``method`` and ``pinned`` are
    those that it was started with. ``on_complete`` and ``on_failure`` are machines and URLs that are told of
    its end, ``told`` the first steps of what its last end started for that.

    ``released`` are the steps of the joins that were released last, where they were several at once: one
    alone is seen by being the only one in flight. ``closings`` counts releases and completions, ``commands``
    what operators did to it: Datastore keeps the version of a row that is written as it was, so a command
    that found the status it wants would not be seen by who compares versions.

    ``trace`` is the place that it began at, for the steps that no other step leads to.
    """

    kind: ClassVar[str] = "FantasmInstance"
    id: InstanceId
    machine: str
    status: InstanceStatus
    started: float
    first_step: StepName
    definition: str
    closings: int = 0
    commands: int = 0
    ended: float | None = None
    parent: InstanceId | None = None
    note: str = ""
    headers: Headers = ()
    method: str = "POST"
    joined: StepName | None = None
    on_complete: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()
    told: tuple[StepName, ...] = ()
    released: tuple[StepName, ...] = ()
    pinned: str | None = None
    trace: Trace | None = None

    @property
    def key(self) -> RowKey:
        return instance_key(self.id)

    @property
    def is_over(self) -> bool:
        """Whether it has come to an end that nothing undoes: one that has failed can be redriven."""
        cancelled = self.status is InstanceStatus.CANCELLED and self.ended is not None
        return cancelled or self.status is InstanceStatus.COMPLETED


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
    """What a fan-in step collects: of a group's window the entries with ``after < name <= until``.

    A join's step has the number of its round in ``round`` and no group: of the entries in its range it
    collects those of that round and of earlier ones.
    """

    group: str
    window: StepName
    after: str = ""
    until: str = ""
    round: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A step in flight: what its delivery needs. Gone when the step is over.

    ``target`` is an App Engine service as in a definition, ``pinned`` the version and service that the whole
    instance is pinned to. ``headers`` are those of the instance, with the queue that the branch has set.
    ``pages`` tells which pages of continuations the branch came through. ``started`` is when its instance
    was, for a task that carries it because there is no row; ``created`` is when this epoch of the step was.

    ``skip`` is the event that an operator chose instead of running the actions: empty for the end of the
    branch. ``cause`` is the failure of the step before this one, where that one's ``on_error`` led here.
    ``child`` is the instance that a waiting step waits for. ``looks`` counts how often the sweeper has looked
    at this epoch of the step without changing it, ``overdue`` is when it looks next.

    ``ahead`` are the steps that were enqueued before this one was over; ``announced`` is the token of the
    continuation among them. ``attempts`` counts those since the start or the last redrive, up to the last
    that was recorded as failed, ``unanswered`` those of this epoch that never answered; ``first_attempt`` is
    when the first recorded one began.

    ``trace`` is the place in a trace that every attempt hangs under; where it waits too long to go on in the
    trace that led to it, ``links`` has the place in that one.
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
    role: Role = Role.ACTION
    target: str | None = None
    pinned: str | None = None
    headers: Headers = ()
    pages: tuple[Page, ...] = ()
    started: float = 0.0
    created: float = 0.0
    skip: str | None = None
    cause: Failure | None = None
    child: InstanceId | None = None
    looks: int = 0
    overdue: float | None = None
    trace: Trace | None = None
    links: tuple[Trace, ...] = ()

    @property
    def key(self) -> RowKey:
        return task_key(self.step.name)

    def under(self, trace: Trace | None) -> Task:
        """This step as one that a span leads to: in its trace, or with a link to it after a long wait."""
        if trace is None:
            return self
        if self.due - self.created > LONG_WAIT:
            return replace(self, trace=begun_after_waiting(self.step.name, trace), links=(trace,))
        return replace(self, trace=trace, links=())

    @property
    def is_operation(self) -> bool:
        """Whether it carries out an operator's command: it is never parked and never given up."""
        return self.role not in (Role.ACTION, Role.SPREAD)


@dataclass(frozen=True, slots=True)
class Record:
    """History: a step that is over. ``context`` is what it was given, ``entries`` how many it collected.

    ``far`` names the tasks of the next steps that are scheduled far ahead, each as ``<queue>/<task>``: they
    are to be deleted where the instance is cancelled.
    """

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
    far: tuple[str, ...] = ()
    trace: Trace | None = None

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
    """One context in a window, or at a join, until its batch commits.

    ``joining`` is the instance, and ``state`` the join, of one that waits there. ``cause`` is the failure of
    the step that sent it, where that one's ``on_error`` did. ``trace`` is where that step was.
    """

    kind: ClassVar[str] = "FantasmEntry"
    name: str
    window: StepName
    source: StepName
    context: bytes
    pages: tuple[Page, ...] = ()
    joining: InstanceId | None = None
    state: str = ""
    cause: Failure | None = None
    trace: Trace | None = None

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


@dataclass(frozen=True, slots=True)
class Hold:
    """A machine of a service whose steps are parked, or one state of it; empty is all states."""

    kind: ClassVar[str] = "FantasmHold"
    service: str
    machine: str
    state: str
    since: float
    note: str = ""

    @property
    def key(self) -> RowKey:
        return hold_key(self.service, self.machine, self.state)


@dataclass(frozen=True, slots=True)
class Memo:
    """What a call of ``context.once`` answered; ``value`` is encoded as a context."""

    kind: ClassVar[str] = "FantasmMemo"
    step: StepName
    instance: InstanceId
    name: str
    value: bytes
    made: float

    @property
    def key(self) -> RowKey:
        return memo_key(self.step, self.name)


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a service's sweeper has come: in each shard the index value from which it goes on.

    ``full`` is when it last began to look through everything, ``instances`` where its look through the
    instances goes on: ``<status>/<name of the row>``, empty where that is done.
    """

    kind: ClassVar[str] = "FantasmSweep"
    service: str
    marks: tuple[str, ...]
    full: float
    instances: str = ""

    @property
    def key(self) -> RowKey:
        return watermark_key(self.service)


Row = Instance | Task | Record | Window | Entry | LogLine | Hold | Memo | Watermark
R = TypeVar("R", bound=Row)


def instance_key(instance: InstanceId) -> RowKey:
    return RowKey(Instance.kind, hashed(instance))


def task_key(step: StepName) -> RowKey:
    return RowKey(Task.kind, step)


def record_key(step: StepName) -> RowKey:
    return RowKey(Record.kind, step)


def window_key(group: str) -> RowKey:
    return RowKey(Window.kind, group)


def hold_key(service: str, machine: str, state: str) -> RowKey:
    return RowKey(Hold.kind, hashed(f"{service}--{machine}--{state}"))


def watermark_key(service: str) -> RowKey:
    return RowKey(Watermark.kind, service)


def memo_key(step: StepName, name: str) -> RowKey:
    return RowKey(Memo.kind, f"{digest(step, name, length=24)}-{step}"[:TASK_NAME_LIMIT])


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
        return tuple(row for row in rows if isinstance(row, Task) and row.status is TaskStatus.QUEUED)


def queued_again(task: Task, due: float, now: float) -> Task:
    """A failed or parked step made ready to run again at ``due``, under a new epoch.

    One that had failed has all of its attempts again.
    """
    again = replace(
        task,
        status=TaskStatus.QUEUED,
        epoch=task.epoch + 1,
        unanswered=0,
        attempts=task.attempts - task.unanswered,
        due=due,
        created=now,
        looks=0,
        overdue=None,
    )
    if task.status is not TaskStatus.FAILED:
        return again
    return replace(again, attempts=0, first_attempt=None)
