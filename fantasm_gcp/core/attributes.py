"""The one table of what may stand in an fsm.yaml: parsing, hints and documentation come from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from fantasm_gcp.core.definition import AT_LEAST_ONCE, EXACTLY_ONCE

Level: TypeAlias = Literal["file", "machine", "state", "transition"]
"""Which mapping of the file an attribute stands in."""

MAX_FAN_IN_SECONDS = 30 * 24 * 3600
"""Cloud Tasks schedules a task at most 30 days ahead (its quotas page), and a window closes by a task."""

MAX_DURATION_SECONDS = 315_576_000_000
"""The largest google.protobuf.Duration, the type of the times of a RetryConfig."""

MAX_INT32 = 2**31 - 1
"""The largest value of the counts of a RetryConfig."""

GUARANTEES = (EXACTLY_ONCE, AT_LEAST_ONCE)


class Kind(Enum):
    """What values an attribute takes; ``core.values`` reads them."""

    NAME = auto()
    """Text that matches NAME_PATTERN."""
    NAMESPACE = auto()
    """A dotted module name."""
    ACTION = auto()
    """A class, dotted or bare."""
    QUEUE = auto()
    """A Cloud Tasks queue id."""
    GUARANTEE = auto()
    """One of GUARANTEES."""
    FLAG = auto()
    """true or false."""
    COUNT = auto()
    """A whole number, 0 or more."""
    SECONDS = auto()
    """A number of seconds, 0 or more."""
    PERIOD = auto()
    """A number of seconds, more than 0."""
    LIST = auto()
    """A list of mappings of the level ``items``."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table; ``doc`` is one line for the documentation.

    ``default`` is the value when the attribute is absent, before anything is inherited. ``maximum`` is
    inclusive. For a LIST, ``items`` is the level of its items, and a required list must not be empty.
    """

    level: Level
    name: str
    kind: Kind
    doc: str
    required: bool = False
    default: str | bool | None = None
    maximum: int | None = None
    items: Level | None = None


def _queue(level: Level, default: str | None, doc: str) -> Attribute:
    return Attribute(level, "queue", Kind.QUEUE, doc, default=default)


def _retry(level: Level, of: str) -> tuple[Attribute, ...]:
    """The retry attributes; as attempts = retries + 1, one less than an int32 holds may be asked for."""
    return (
        Attribute(
            level,
            "task_retry_limit",
            Kind.COUNT,
            f"How often a step {of} is retried; 0 allows one attempt.",
            maximum=MAX_INT32 - 1,
        ),
        Attribute(
            level,
            "task_age_limit",
            Kind.SECONDS,
            f"How many seconds after its first attempt a step {of} may still be retried.",
            maximum=MAX_DURATION_SECONDS,
        ),
        Attribute(
            level,
            "min_backoff_seconds",
            Kind.SECONDS,
            f"Seconds before the first retry of a step {of}.",
            maximum=MAX_DURATION_SECONDS,
        ),
        Attribute(
            level,
            "max_backoff_seconds",
            Kind.SECONDS,
            f"The most seconds between two attempts of a step {of}.",
            maximum=MAX_DURATION_SECONDS,
        ),
        Attribute(
            level,
            "max_doublings",
            Kind.COUNT,
            f"How often the time between attempts of a step {of} doubles before it grows evenly.",
            maximum=MAX_INT32,
        ),
    )


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(
        "file",
        "state_machines",
        Kind.LIST,
        "The machines of the application.",
        required=True,
        items="machine",
    ),
    Attribute("machine", "name", Kind.NAME, "The machine's name, unique in the application.", required=True),
    Attribute("machine", "namespace", Kind.NAMESPACE, "The module of actions that are written without one."),
    _queue("machine", "default", "The queue of the machine's tasks."),
    *_retry("machine", "of the machine"),
    Attribute(
        "machine",
        "guarantee",
        Kind.GUARANTEE,
        "exactly_once, or at_least_once: fewer operations, no records.",
        default="exactly_once",
    ),
    Attribute("machine", "states", Kind.LIST, "The machine's states.", required=True, items="state"),
    Attribute("state", "name", Kind.NAME, "The state's name, unique in its machine.", required=True),
    Attribute(
        "state", "action", Kind.ACTION, "The class that does the state's work; a final state may lack it."
    ),
    Attribute("state", "namespace", Kind.NAMESPACE, "The module of the action, instead of the machine's."),
    Attribute("state", "initial", Kind.FLAG, "Whether instances start here; one state does.", default=False),
    Attribute("state", "final", Kind.FLAG, "Whether a branch may end here.", default=False),
    Attribute(
        "state",
        "continuation",
        Kind.FLAG,
        "Whether the action's continuation() begins a branch per batch.",
        default=False,
    ),
    Attribute(
        "state",
        "fan_in",
        Kind.PERIOD,
        "For how many seconds contexts are collected before one action call gets them all.",
        maximum=MAX_FAN_IN_SECONDS,
    ),
    Attribute(
        "state",
        "transactional",
        Kind.FLAG,
        "Whether the action's reads and writes are one transaction with the step.",
        default=False,
    ),
    Attribute("state", "transitions", Kind.LIST, "Where each event leads.", items="transition"),
    Attribute(
        "transition", "event", Kind.NAME, "What the action returns to take the transition.", required=True
    ),
    Attribute("transition", "to", Kind.NAME, "The state it leads to.", required=True),
    _queue("transition", None, "The queue of the transition's tasks, instead of the machine's."),
    *_retry("transition", "of the transition, instead of the machine's"),
)

RETRY_ATTRIBUTES: tuple[str, ...] = tuple(attribute.name for attribute in _retry("machine", ""))
"""Names of the attributes that make a RetryPolicy: the names of its fields."""


_BY_LEVEL = {
    level: MappingProxyType(
        {attribute.name: attribute for attribute in ATTRIBUTES if attribute.level == level}
    )
    for level in get_args(Level)
}


def attributes_of(level: Level) -> Mapping[str, Attribute]:
    """The rows of one level, by name, in the order of the table."""
    return _BY_LEVEL[level]


def levels_of(name: str) -> tuple[Level, ...]:
    """The levels that have an attribute of that name, outermost first."""
    return tuple(attribute.level for attribute in ATTRIBUTES if attribute.name == name)
