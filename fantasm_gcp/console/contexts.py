"""Contexts as people read them, indented JSON, in a page only up to a size; and as they write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fantasm_gcp.core.codec import Codec
from fantasm_gcp.errors import MissingDefinitionError

SHOWN_LIMIT = 4000
"""Bytes of an encoded context that stands in a page; a larger one is a link away, and never cut."""

EDITED_LIMIT = 200_000
"""Bytes of an encoded context that can be edited in a page."""


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


def editable_context(encoded: bytes) -> str:
    """The text of a context to be edited in a page; empty for one that is too large, or is no object."""
    if len(encoded) > EDITED_LIMIT:
        return ""
    try:
        value = json.loads(encoded.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return ""
    return _printable(json.dumps(value, indent=2, ensure_ascii=False)) if isinstance(value, dict) else ""


def _printable(text: str) -> str:
    """Text that UTF-8 can carry: half a surrogate pair is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def edited_context(codec: Codec, value: Any) -> bytes:
    """A context as somebody wrote it: the JSON object that the API shows, or the text of one.

    Raises ``ValueError`` for what is none, ``ContextTooLargeError`` for one of more than 10 MiB.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the context is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("the context is not a JSON object: it has names and values")
    try:
        return codec.encode(codec.decode(json.dumps(value).encode()))
    except (MissingDefinitionError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the context cannot be: {error}") from error
