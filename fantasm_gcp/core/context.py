"""What an action is given: the context of its branch, or the list of contexts that a fan-in collected.

Control data is kept beside the dict, never among the user's keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from fantasm_gcp.core.definition import AT_LEAST_ONCE, Machine
from fantasm_gcp.core.headers import QUEUE_HEADER, checked
from fantasm_gcp.core.names import InstanceId, StepName

MOST_COUNTDOWN = 30 * 24 * 3600
"""Cloud Tasks schedules a task at most 30 days ahead (its quotas page)."""


@dataclass(frozen=True, slots=True)
class Put:
    """A staged write: the entity is written when the step commits."""

    entity: Any


@dataclass(frozen=True, slots=True)
class Remove:
    """A staged deletion: the entity of the key is deleted when the step commits."""

    key: Any


@dataclass(frozen=True, slots=True)
class Spawn:
    """A staged start of another machine: the instance is there when the step commits."""

    machine: str
    data: Mapping[str, Any]
    countdown: float
    method: str
    key: str | None
    join: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """An instance that another one spawned. ``joined`` tells that the other waits for its end."""

    instance: str
    machine: str
    status: str
    joined: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """The last error of a step. The fingerprint is equal for errors of one kind from one place."""

    error: str
    traceback: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a continuation that a branch came through.

    ``number`` counts from 0; ``size`` is the number of results on it and ``before`` on those before it.
    ``last`` tells that none follows, ``forked`` that more than one branch has gone on with it. Pages of one
    continuation have the same ``chain``.
    """

    number: int
    size: int
    before: int
    last: bool
    forked: bool = False
    chain: str = ""


@dataclass(slots=True)
class Scope:
    """One attempt of one step, as its action may know it.

    ``client`` gives the Datastore client; inside the transaction of a transactional state it is another one.
    ``started`` is when the instance began, in seconds of the epoch. ``require`` gives the machine of a name,
    or raises. ``once`` and ``children`` do what the context's methods of these names say. ``webhooks`` is for
    the built-in machine that posts them. ``action`` is the dotted name of what runs at the moment, ``logger``
    what it logs with.
    """

    instance: InstanceId
    machine: str
    state: str
    event: str
    step: StepName
    started: float
    client: Callable[[], Any]
    require: Callable[[str], Machine]
    headers: dict[str, str] = field(default_factory=dict)
    staged: list[Put | Remove] = field(default_factory=list)
    forked: list[Context] = field(default_factory=list)
    spawned: list[Spawn] = field(default_factory=list)
    action: str = ""
    logger: Any = None
    once: Callable[[str, Callable[[], Any]], Any] | None = None
    children: Callable[[], Sequence[Child]] | None = None
    webhooks: Any = None


class _Scoped:
    """What a context and a list of contexts have in common."""

    __slots__ = ()
    _scope: Scope

    @property
    def instance_name(self) -> str:
        """The id of the instance that this step belongs to."""
        return self._scope.instance

    instanceName = instance_name  # noqa: N815  Fantasm's name for it

    @property
    def machine_name(self) -> str:
        return self._scope.machine

    machineName = machine_name  # noqa: N815  Fantasm's name for it

    @property
    def state_name(self) -> str:
        return self._scope.state

    @property
    def instance_start_time(self) -> datetime:
        """When the instance was started, with the time zone UTC."""
        return datetime.fromtimestamp(self._scope.started, UTC)

    def getInstanceStartTime(self) -> datetime:  # noqa: N802  Fantasm's name for it
        """When the instance was started, in UTC and without a time zone, as Fantasm had it."""
        return self.instance_start_time.replace(tzinfo=None)

    @property
    def idempotency_key(self) -> str:
        """Equal on every attempt of this step and on no other step: hand it to services that take one."""
        return self._scope.step

    def once(self, name: str, function: Callable[[], Any]) -> Any:
        """Calls a function, and on a retry of this step answers what it answered then.

        What it answers must be able to cross a task boundary, as a context's values. Each ``name`` stands
        for one call of this step. It is remembered when the function is over, whatever becomes of the step:
        also in a transactional state. A crash between the two, or two deliveries of the step at once, call
        it again: hand :attr:`idempotency_key` to a service that must not do its part twice.
        """
        if self._scope.once is None:
            raise TypeError("there is no step to remember it for")
        return self._scope.once(name, function)

    def children(self) -> Sequence[Child]:
        """The instances that this one spawned, with their status at this moment, in no particular order.

        Up to a thousand. In a join, those that were spawned with ``join=True`` have ended.
        """
        return self._scope.children() if self._scope.children is not None else ()

    @property
    def headers(self) -> Mapping[str, str]:
        """The ``X-Fantasm-*`` headers of the instance, by names like ``X-Fantasm-Reason``."""
        return self._scope.headers

    @property
    def logger(self) -> Any:
        """Logs with what is known of the step; see :class:`fantasm_gcp.engine.logbook.ContextLogger`."""
        return self._scope.logger

    @property
    def datastore(self) -> Any:
        """The ``google.cloud.datastore.Client`` of the application.

        In a state marked ``transactional: True`` all that the step's actions read and write through it
        commits with the step or not at all; a transaction or batch inside of that is refused. Elsewhere, and
        in ``continuation`` and what runs before it, it reads and writes at once, so a retry does it again.
        """
        return self._scope.client()

    def put(self, entity: Any) -> None:
        """Stages an entity, as it is now, to be written when this step commits, once or not at all."""
        self._scope.staged.append(Put(deepcopy(entity)))

    def delete(self, key: Any) -> None:
        """Stages the deletion of a key's entity, to be done when this step commits."""
        self._scope.staged.append(Remove(key))

    def set_queue(self, queue: str) -> None:
        """Sends the tasks of this branch to another queue from here on: the next step's and its forks', and
        those of a continuation that has not yet announced its next page.

        Raises ``ValueError`` for what is no name of a queue.
        """
        self._scope.headers.update(checked({QUEUE_HEADER: queue}))

    setQueue = set_queue  # noqa: N815  Fantasm's name for it

    def spawn(
        self,
        machine: str,
        contexts: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        countdown: float | Sequence[float] = 0,
        method: str = "POST",
        task_name: str | None = None,
        join: bool = False,
    ) -> None:
        """Stages the start of another machine, once for each context: the instances start when this step
        commits, once or not at all.

        ``contexts`` may be one dict; None and an empty list start nothing. ``countdown`` is in seconds, one
        number for all or one for each. With a ``task_name`` the same contexts under the same name are
        started once, whoever asks. With ``join`` this instance has not ended, and its joins are not
        released, before those instances have: before they are completed or cancelled, that is; one that has
        failed is waited for until it is redriven or cancelled. Raises ``UnknownMachineError``, and
        ``ValueError`` for a countdown or method that cannot be, and for what cannot be waited for.
        """
        started = self._scope.require(machine)
        if join and task_name is not None:
            raise ValueError(
                "join=True with a task_name: somebody else may have started it, and waits for it"
            )
        if join and AT_LEAST_ONCE in (started.guarantee, self._scope.require(self._scope.machine).guarantee):
            raise ValueError("join=True needs the records of both machines: neither can be at_least_once")
        given = contexts_of(contexts)
        waits = countdowns_of(countdown, len(given))
        for i, (data, wait) in enumerate(zip(given, waits, strict=True)):
            key = None if task_name is None else start_key(task_name, i)
            spawn = Spawn(machine, deepcopy(dict(data)), wait, method_of(method), key, join)
            self._scope.spawned.append(spawn)


class Context(_Scoped, dict[str, Any]):
    """The data of one branch: a dict. What it holds when the action returns goes on to the next step."""

    __slots__ = ("_failure", "_pages", "_scope")

    def __init__(
        self,
        scope: Scope,
        data: Iterable[tuple[str, Any]] | Mapping[str, Any] = (),
        pages: tuple[Page, ...] = (),
        failure: Failure | None = None,
    ) -> None:
        super().__init__(data)
        self._scope = scope
        self._pages = pages
        self._failure = failure

    def __deepcopy__(self, memo: dict[int, Any]) -> Context:
        return Context(self._scope, deepcopy(dict(self), memo), self._pages, self._failure)

    @property
    def failure(self) -> Failure | None:
        """Why the step before this one failed for good, where its ``on_error`` led here; else None.

        Behind a fan-in or a join each of the contexts has its own.
        """
        return self._failure

    @property
    def pages(self) -> tuple[Page, ...]:
        """The pages of the continuations that this branch came through since its last fan-in, the outermost
        first and no more than twenty; in a continuation state the last is its own.
        """
        return self._pages

    def fork(self, data: Mapping[str, Any] | None = None) -> None:
        """Begins another branch with a copy of this context, as it is now, updated by ``data``.

        It takes the event that the action returns, as this branch does. Where that is None there is nothing
        for it to do.
        """
        self._scope.forked.append(self.clone(updateData=data))

    def clone(
        self,
        instanceName: str | None = None,  # noqa: N803  these are Fantasm's names
        updateData: Mapping[str, Any] | None = None,  # noqa: N803
        replaceData: Mapping[str, Any] | None = None,  # noqa: N803
    ) -> Context:
        """A copy that shares no data with this context; it goes nowhere by itself.

        ``updateData`` is added to it, ``replaceData`` takes the place of all data; ``instanceName`` is what
        the copy's ``instance_name`` says.
        """
        cloned = Context(self._scope, deepcopy(dict(self)), self._pages)
        if replaceData is not None:
            cloned.clear()
            cloned.update(deepcopy(dict(replaceData)))
        if updateData is not None:
            cloned.update(deepcopy(dict(updateData)))
        if instanceName is not None:
            cloned._scope = replace(self._scope, instance=InstanceId(instanceName))
        return cloned


class Contexts(_Scoped, list[Context]):
    """The contexts that a fan-in collected, one for each branch that arrived.

    ``context`` is the one that goes on after the fan-in: at first a copy of the context that opened the
    window.
    """

    __slots__ = ("_scope", "context")

    def __init__(self, scope: Scope, context: Context, contexts: Iterable[Context]) -> None:
        super().__init__(contexts)
        self._scope = scope
        self.context = context

    def fork(self, data: Mapping[str, Any] | None = None) -> None:
        """As :meth:`Context.fork`, with a copy of :attr:`context`."""
        self.context.fork(data)


class StepObject(dict[str, Any]):
    """``obj``: what a continuation hands to the action of the same attempt; it is never stored.

    Items and attributes are the same: ``obj['result']`` is ``obj.result``.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


def contexts_of(contexts: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    """The contexts of a start: one dict is one, None is none. Raises ``TypeError`` for anything else."""
    if contexts is None:
        return []
    given = [contexts] if isinstance(contexts, Mapping) else list(contexts)
    for each in given:
        if not isinstance(each, Mapping):
            raise TypeError(f"a context is a dict, not {type(each).__name__}: {str(each)[:100]!r}")
    return given


def countdowns_of(countdown: float | Sequence[float], contexts: int) -> list[float]:
    """The wait of each start, in seconds. Raises ``ValueError`` for waits that cannot be."""
    waits = [countdown] * contexts if isinstance(countdown, int | float | str) else list(countdown)
    if len(waits) != contexts:
        raise ValueError(f"{len(waits)} countdowns for {contexts} contexts: give one number, or one for each")
    for wait in waits:
        if not isinstance(wait, int | float) or not 0 <= wait <= MOST_COUNTDOWN:
            raise ValueError(
                f"countdown {wait!r}: it is a number of seconds, up to {MOST_COUNTDOWN} (30 days)"
            )
    return waits


def method_of(method: str) -> str:
    """The HTTP method of an instance's tasks. Raises ``ValueError``."""
    if method.upper() not in ("GET", "POST"):
        raise ValueError(f"method={method!r} is not known: GET or POST")
    return method.upper()


def start_key(name: str, index: int) -> str:
    """The idempotency key of one of several starts under one name."""
    return f"{name}--startStateMachine-{index}"
