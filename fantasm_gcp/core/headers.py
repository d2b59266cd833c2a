"""The ``X-Fantasm-*`` headers that a start may carry: every task of the instance has them again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from fantasm_gcp.core.definition import QUEUE_PATTERN

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Names, written like ``X-Fantasm-Reason``, and values."""

PREFIX = "X-Fantasm-"
QUEUE_HEADER = "X-Fantasm-Queuename"
"""The queue of the instance's tasks from here on, instead of what the definition says."""

RESERVED = frozenset(
    f"{PREFIX}{name}"
    for name in (
        *("Step", "Epoch", "Instance", "Pending"),
        *("Guarantee", "Branch", "Number", "Chain", "Context", "Pages", "Started", "Pinned", "Trace"),
        *("On-Complete", "On-Failure"),
    )
)
"""What the engine itself writes on a task, and what a start says of its end: no instance keeps these."""

LIMIT = 4_000
"""Characters of all names and values: web servers take headers of 8 KB, and the engine needs some itself."""

_NAME = re.compile(r"[A-Za-z0-9-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")


def canonical(name: str) -> str:
    """A header's name as it is kept: ``x-fantasm-reason`` is ``X-Fantasm-Reason``."""
    return "-".join(part.capitalize() for part in name.split("-"))


def checked(headers: Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]]) -> Headers:
    """Headers as they are kept; several values of one name are joined by commas, as HTTP has it.

    Raises ``ValueError`` for a name without the prefix or that the engine uses, a value that no header can
    have, and for too much of them.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    kept: dict[str, str] = {}
    for given, value in pairs:
        name = canonical(given)
        if not name.startswith(PREFIX) or not _NAME.fullmatch(name):
            raise ValueError(f"header {given!r}: the names of an instance's headers begin with {PREFIX}")
        if name in RESERVED:
            raise ValueError(f"header {name} is the engine's own")
        text = value if isinstance(value, str) else ", ".join(value)
        if not _VALUE.fullmatch(text):
            raise ValueError(f"header {name}: a value is printable ASCII on one line")
        kept[name] = f"{kept[name]}, {text}" if name in kept else text
    queue = kept.get(QUEUE_HEADER, "default")
    if not re.fullmatch(QUEUE_PATTERN, queue):
        raise ValueError(f"{queue!r} is no name of a queue: it has 1 to 100 letters, digits and dashes")
    if sum(len(name) + len(text) for name, text in kept.items()) > LIMIT:
        raise ValueError(f"the headers of an instance may have {LIMIT:,} characters together")
    return tuple(sorted(kept.items()))


def queue_of(headers: Headers) -> str | None:
    """The queue that the headers ask for."""
    return dict(headers).get(QUEUE_HEADER)
