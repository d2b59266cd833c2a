"""What an fsm.yaml says, as frozen values that are valid by construction.

The parser (``core.parse``) is the only maker of these in production; the rules that need more than one
value (a transition to a state that exists, exactly one initial state) are checked there, with their places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fantasm_gcp.core.node import Place
from fantasm_gcp.errors import Problem, UnknownMachineError

NAME_PATTERN = r"[A-Za-z0-9-]{1,50}"
"""Names of machines, states and events: Fantasm's own rule; they stand in URLs and task names."""

QUEUE_PATTERN = r"[A-Za-z0-9-]{1,100}"
"""Queue ids of Cloud Tasks: what ``Queue.name`` in its API reference allows."""

EXACTLY_ONCE = "exactly_once"
AT_LEAST_ONCE = "at_least_once"
"""The guarantees that a machine may ask for."""

PSEUDO_INIT = "pseudo-init"
"""State and event of the step that starts an instance: it comes from no state."""

PSEUDO_FINAL = "pseudo-final"
"""Event and state of the step that leaves a final state whose ``exit`` action is to run."""

PSEUDO_JOIN = "pseudo-join"
"""State of a step that releases joins where the deployment that noticed did not know the machine."""

PSEUDO_OPERATOR = "pseudo-operator"
"""State of the steps that carry out an operator's command."""

DEFAULT_ROOT = "/fantasm"
DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a failing step is retried. ``None`` means: as the queue's default has it, without a limit.

    ``task_retry_limit`` counts retries, so a limit of 0 allows one attempt. Where both limits are set, a
    step gives up when *both* are exceeded, as Cloud Tasks does. Times are in seconds.
    """

    task_retry_limit: int | None = None
    task_age_limit: float | None = None
    min_backoff_seconds: float | None = None
    max_backoff_seconds: float | None = None
    max_doublings: int | None = None


@dataclass(frozen=True, slots=True)
class Countdown:
    """How many seconds a step waits before its first attempt: drawn evenly between the two."""

    minimum: float
    maximum: float

    def drawn(self, chance: float) -> float:
        """The wait for a chance of ``0 <= chance < 1``."""
        return self.minimum + (self.maximum - self.minimum) * chance


@dataclass(frozen=True, slots=True)
class Transition:
    """From the state that holds it, on ``event``, to the state named ``to``.

    ``action`` is a full dotted name, or None. ``target`` is the App Engine service that the transition's
    tasks go to (``service``, ``version.service`` or ``instance.version.service``); None is the one that runs.
    ``queue``, ``target``, ``countdown`` and ``retry`` hold what is in force, inherited or not.
    """

    event: str
    to: str
    action: str | None = None
    queue: str | None = None
    target: str | None = None
    countdown: Countdown | None = None
    retry: RetryPolicy = RetryPolicy()


@dataclass(frozen=True, slots=True)
class State:
    """One state. The actions are full dotted names (the namespace already applied), or None.

    ``fan_in`` is the period of collection in seconds, or None for a state that has none; ``join`` says that
    the state waits for every other branch instead. ``fan_in_group`` is the name in the context whose value
    tells groups apart, ``fan_in_max`` the most contexts that one run of the action gets, None for what the
    engine takes without it. ``continuation_countdown``: seconds before each further page. ``on_error`` is
    the event of the transition that a step takes which is out of attempts, or None: then it fails.
    """

    name: str
    action: str | None = None
    entry: str | None = None
    exit: str | None = None
    initial: bool = False
    final: bool = False
    continuation: bool = False
    continuation_countdown: float = 0
    fan_in: float | None = None
    fan_in_group: str | None = None
    transactional: bool = False
    transitions: tuple[Transition, ...] = ()
    join: bool = False
    fan_in_max: int | None = None
    on_error: str | None = None

    @property
    def collects(self) -> bool:
        """Whether contexts are collected here and given to the action together."""
        return self.join or self.fan_in is not None

    def transition(self, event: str) -> Transition | None:
        """The transition for an event, or None."""
        return next((each for each in self.transitions if each.event == event), None)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine: its states in the order of the file; exactly one of them is initial.

    ``context_types`` are names of arguments and of the types that they are cast to at the start.
    ``on_complete`` and ``on_failure`` are told of the end of an instance: each is the name of a machine of
    the same definitions, or an absolute URL (``core.receivers`` tells them apart). ``pin_version``: the
    tasks of an instance go to the App Engine version that started it.
    """

    name: str
    states: tuple[State, ...]
    queue: str = "default"
    target: str | None = None
    retry: RetryPolicy = RetryPolicy()
    guarantee: str = EXACTLY_ONCE
    context_types: tuple[tuple[str, str], ...] = ()
    persistent_logging: bool = False
    on_complete: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()
    pin_version: bool = False

    @property
    def initial(self) -> State:
        return next(state for state in self.states if state.initial)

    def state(self, name: str) -> State | None:
        """The state of that name, or None."""
        return next((state for state in self.states if state.name == name), None)


@dataclass(frozen=True, slots=True)
class Definitions:
    """All machines of an application, by name in the order of the file, and the warnings found in it.

    ``root`` is the URL path that everything is served under: it begins with a slash and ends without one.
    ``places`` tells where things were written, for messages about them: ``(machine,)`` and
    ``(machine, "states", state)`` are the places of their names, ``(machine, "states", state,
    "transitions", event)`` that of an event; one more word, the name of an attribute, is the place of that
    attribute's value where it was given, and ``(machine, "context_types", argument)`` that of a type. Two
    files that say the same in other places are equal.
    """

    machines: Mapping[str, Machine] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[Problem, ...] = ()
    root: str = DEFAULT_ROOT
    places: Mapping[tuple[str, ...], Place] = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )

    def machine(self, name: str) -> Machine:
        """The machine of that name; raises :class:`UnknownMachineError`."""
        try:
            return self.machines[name]
        except KeyError:
            raise UnknownMachineError(name, tuple(self.machines)) from None

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines.values())
