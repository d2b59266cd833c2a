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

MAX_DELAY_SECONDS = 30 * 24 * 3600
"""Cloud Tasks schedules a task at most 30 days ahead (its quotas page)."""

MAX_FAN_IN_SECONDS = MAX_DELAY_SECONDS
"""A window of a fan-in is closed by a task."""

MAX_FAN_IN = 500
"""The most contexts that one run of an action is given: their entries are deleted in one commit with it."""

MAX_DURATION_SECONDS = 315_576_000_000
"""The largest google.protobuf.Duration, the type of the times of a RetryConfig."""

MAX_INT32 = 2**31 - 1
"""The largest value of the counts of a RetryConfig."""

GUARANTEES = (EXACTLY_ONCE, AT_LEAST_ONCE)
PERSISTENT = "persistent"


class Kind(Enum):
    """What values an attribute takes; ``core.values`` and ``core.composed`` read them."""

    NAME = auto()
    """Text that matches NAME_PATTERN."""
    EVENT = auto()
    """A name, or the name of a constant that holds one."""
    NAMESPACE = auto()
    """A dotted module name."""
    ACTION = auto()
    """A class or function, dotted or bare."""
    QUEUE = auto()
    """A Cloud Tasks queue id."""
    SERVICE = auto()
    """An App Engine service: service, version.service or instance.version.service."""
    CHOICE = auto()
    """One of the attribute's ``choices``."""
    TEXT = auto()
    """Any text."""
    URL_PATH = auto()
    """A path of a URL; its value begins with a slash and ends without one."""
    FLAG = auto()
    """true or false."""
    COUNT = auto()
    """A whole number, of the attribute's minimum or more."""
    SECONDS = auto()
    """A number of seconds, 0 or more."""
    PERIOD = auto()
    """A number of seconds, more than 0."""
    COUNTDOWN = auto()
    """A number of seconds, or a mapping with minimum and maximum."""
    TYPES = auto()
    """A mapping from names of arguments to names of types."""
    RECEIVERS = auto()
    """A machine's name or a URL, or a list of them."""
    FILES = auto()
    """A file's name, or a list of them."""
    LIST = auto()
    """A list of mappings of the level ``items``."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the table; ``doc`` is one line for the documentation.

    ``default`` is the value when the attribute is absent, before anything is inherited. ``minimum`` and
    ``maximum`` are inclusive. For a LIST, ``items`` is the level of its items, and a required list must not
    be empty. A required attribute may be absent where ``unless`` is given; ``needed`` tells when one that is
    not required may not be absent. An ``old`` one is understood and never suggested; ``renamed`` is what to
    write instead of it: its value counts as that one's.
    """

    level: Level
    name: str
    kind: Kind
    doc: str
    required: bool = False
    unless: str | None = None
    needed: str = ""
    default: str | bool | None = None
    minimum: int = 0
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    items: Level | None = None
    old: bool = False
    renamed: str | None = None


def _routing(level: Level, queue: str | None, of: str) -> tuple[Attribute, ...]:
    """Where tasks go and when: what a transition inherits beside the retry attributes."""
    return (
        Attribute(level, "queue", Kind.QUEUE, f"The queue of the tasks {of}.", default=queue),
        Attribute(
            level,
            "target",
            Kind.SERVICE,
            f"The App Engine service of the tasks {of}, without it the one that runs; a version and an "
            "instance may stand before it.",
        ),
        Attribute(
            level,
            "countdown",
            Kind.COUNTDOWN,
            f"How many seconds a step {of} waits before it runs; or the minimum and maximum to draw it from.",
            maximum=MAX_DELAY_SECONDS,
        ),
    )


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


def _max_retries(level: Level) -> Attribute:
    return Attribute(
        level,
        "max_retries",
        Kind.COUNT,
        "The old name of `task_retry_limit`.",
        maximum=MAX_INT32 - 1,
        old=True,
        renamed="task_retry_limit",
    )


_FILE = (
    Attribute(
        "file", "root_url", Kind.URL_PATH, "The path that machines are served under; without it, `/fantasm`."
    ),
    Attribute(
        "file",
        "import",
        Kind.FILES,
        "Further definition files, relative to this one; in a list of machines, too.",
    ),
    Attribute(
        "file",
        "state_machines",
        Kind.LIST,
        "The machines of the file; one that imports others may have none.",
        required=True,
        unless="import",
        items="machine",
    ),
    Attribute(
        "file",
        "states",
        Kind.LIST,
        "An old place for the states of the one machine that has none; a warning says where they belong.",
        items="state",
        old=True,
    ),
    Attribute(
        "file",
        "enable_capabilities_check",
        Kind.FLAG,
        "Has no effect: there are no capabilities to check any more.",
        old=True,
    ),
)

_MACHINE = (
    Attribute("machine", "name", Kind.NAME, "The machine's name, unique in the application.", required=True),
    Attribute(
        "machine",
        "namespace",
        Kind.NAMESPACE,
        "The module of actions, constants and types that are written without one.",
    ),
    *_routing("machine", "default", "of the machine"),
    *_retry("machine", "of the machine"),
    _max_retries("machine"),
    Attribute("machine", "context_types", Kind.TYPES, "What the text of a URL's arguments is made into."),
    Attribute(
        "machine",
        "logging",
        Kind.CHOICE,
        "`persistent` keeps what actions log with `context.logger`, for the console.",
        choices=(PERSISTENT,),
    ),
    Attribute(
        "machine",
        "guarantee",
        Kind.CHOICE,
        "`exactly_once`, or `at_least_once`: fewer operations, no records.",
        default=EXACTLY_ONCE,
        choices=GUARANTEES,
    ),
    Attribute(
        "machine",
        "use_run_once_semaphore",
        Kind.FLAG,
        "False is an old way to write `guarantee: at_least_once`.",
        old=True,
    ),
    Attribute(
        "machine",
        "on_complete",
        Kind.RECEIVERS,
        "The machines that start, and the URLs that are told, when an instance is completed.",
    ),
    Attribute(
        "machine",
        "on_failure",
        Kind.RECEIVERS,
        "The machines that start, and the URLs that are told, when an instance failed or was cancelled.",
    ),
    Attribute(
        "machine",
        "pin_version",
        Kind.FLAG,
        "Whether the tasks of an instance go to the App Engine version that started it.",
        default=False,
    ),
    Attribute("machine", "states", Kind.LIST, "The machine's states.", required=True, items="state"),
)

_STATE = (
    Attribute("state", "name", Kind.NAME, "The state's name, unique in its machine.", required=True),
    Attribute(
        "state",
        "action",
        Kind.ACTION,
        "The class or function that does the state's work; a final state may lack it.",
        needed="only a final state may lack it",
    ),
    Attribute("state", "entry", Kind.ACTION, "What runs before the action, when the state is entered."),
    Attribute("state", "exit", Kind.ACTION, "What runs when the state is left."),
    Attribute("state", "namespace", Kind.NAMESPACE, "The state's own namespace, instead of the machine's."),
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
        "continuation_countdown",
        Kind.SECONDS,
        "How many seconds each further batch waits.",
        maximum=MAX_DELAY_SECONDS,
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
        "join",
        Kind.FLAG,
        "Whether contexts wait for every other branch before one action call gets them all.",
        default=False,
    ),
    Attribute(
        "state",
        "fan_in_group",
        Kind.TEXT,
        "The name in the context whose value tells apart what is collected separately.",
    ),
    Attribute(
        "state",
        "fan_in_max",
        Kind.COUNT,
        "The most contexts that one action call gets; 500 without it.",
        minimum=1,
        maximum=MAX_FAN_IN,
    ),
    Attribute(
        "state",
        "transactional",
        Kind.FLAG,
        "Whether the action's reads and writes are one transaction with the step.",
        default=False,
    ),
    Attribute(
        "state",
        "on_error",
        Kind.EVENT,
        "The event of the transition that a step takes instead of failing.",
    ),
    Attribute("state", "transitions", Kind.LIST, "Where each event leads.", items="transition"),
)

_TRANSITION = (
    Attribute(
        "transition", "event", Kind.EVENT, "What the action returns to take the transition.", required=True
    ),
    Attribute("transition", "to", Kind.NAME, "The state it leads to.", required=True),
    Attribute("transition", "action", Kind.ACTION, "What runs between the two states."),
    Attribute(
        "transition",
        "namespace",
        Kind.NAMESPACE,
        "The module of the transition's action, instead of the machine's.",
    ),
    *_routing("transition", None, "of the transition"),
    *_retry("transition", "of the transition"),
    _max_retries("transition"),
)

ATTRIBUTES: tuple[Attribute, ...] = (*_FILE, *_MACHINE, *_STATE, *_TRANSITION)

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


_SUGGESTED: Mapping[Level, tuple[str, ...]] = {
    level: tuple(name for name, attribute in named.items() if not attribute.old)
    for level, named in _BY_LEVEL.items()
}


def suggested(level: Level) -> tuple[str, ...]:
    """The attributes of one level that a hint may name: those that are not old."""
    return _SUGGESTED[level]


def levels_of(name: str) -> tuple[Level, ...]:
    """The levels that have an attribute of that name which is not old, outermost first."""
    return tuple(attribute.level for attribute in ATTRIBUTES if attribute.name == name and not attribute.old)
