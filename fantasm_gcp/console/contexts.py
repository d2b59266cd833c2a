"""Contexts as people read them: indented JSON, in a page only up to a size."""

from __future__ import annotations

import json
from dataclasses import dataclass

SHOWN_LIMIT = 4000
"""Bytes of an encoded context that stands in a page; a larger one is a link away, and never cut."""


@dataclass(frozen=True, slots=True)
class ShownContext:
    """A context for a page. Without ``text`` it is too large for one; ``size`` is 0 where nobody knows it."""

    text: str
    size: int
    summary: str = ""


def shown_context(encoded: bytes) -> ShownContext:
    """Makes an encoded context readable; bytes that are not JSON are shown as they are.

    ``encoded`` is empty for a context that a list leaves out because of its size.
    """
    size = len(encoded)
    if not encoded or size > SHOWN_LIMIT:
        return ShownContext("", size)
    raw = encoded.decode("utf-8", "backslashreplace")
    try:
        value = json.loads(encoded.decode("utf-8", "surrogatepass"))
        text = json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ShownContext(raw, size, "not JSON")
    names = len(value) if isinstance(value, dict) else None
    summary = "" if names is None else ("empty" if not names else f"{names} name{'s' * (names != 1)}")
    return ShownContext(_printable(text), size, summary)


def _printable(text: str) -> str:
    """Text that UTF-8 can carry: half a surrogate pair is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
