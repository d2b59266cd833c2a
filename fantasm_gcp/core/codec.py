"""How a context crosses a task boundary: JSON, with tags for what JSON lacks.

A value that JSON lacks becomes ``{"__fantasm__": [tag, payload]}``. A dict that could be mistaken for that,
or whose keys are not all text, is written as tagged pairs, so every supported value comes back as it was.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from fantasm_gcp.errors import ContextTooLargeError

TAG = "__fantasm__"
CONTEXT_LIMIT = 10 * 1024 * 1024
"""Largest encoded context, in bytes."""

DEPTH_LIMIT = 100
"""Most levels of lists and dicts inside each other: Python's own limit is not the same everywhere."""

_ENCODERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
}

_DECODERS: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda value: timedelta(*value),
    "bytes": base64.b64decode,
    "decimal": Decimal,
    "uuid": UUID,
    "float": float,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
}


def encode(context: Mapping[str, Any]) -> bytes:
    """A context as compact UTF-8 JSON.

    Raises ``TypeError`` naming the place of a value that cannot cross a task boundary or is nested too
    deeply, and :class:`ContextTooLargeError` over 10 MiB.
    """
    for name in context:
        if not isinstance(name, str):
            raise TypeError(f"context has the key {name!r}; the names of a context are text")
    plain = {name: _plain(value, f"context[{name!r}]") for name, value in context.items()}
    encoded = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    if len(encoded) > CONTEXT_LIMIT:
        raise ContextTooLargeError(
            f"a context may have {CONTEXT_LIMIT:,} bytes when encoded, this one has {len(encoded):,}; "
            "store the large value as an entity of its own and put its key into the context"
        )
    return encoded


def decode(encoded: bytes) -> dict[str, Any]:
    """The context that :func:`encode` made the bytes of."""
    plain: dict[str, Any] = json.loads(encoded.decode("utf-8", "surrogatepass"))
    return {name: _restored(value) for name, value in plain.items()}


def _plain(value: Any, place: str, depth: int = 0) -> Any:
    """What JSON has for a value; ``place`` is for the error."""
    if depth > DEPTH_LIMIT:
        raise TypeError(f"{place[:100]}... is nested too deeply: a context takes {DEPTH_LIMIT} levels")
    kind: type[Any] = type(value)
    if isinstance(value, datetime):
        kind = datetime  # Datastore answers a subclass of it
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {TAG: ["float", repr(value)]}
    if kind is list:
        return [_plain(each, f"{place}[{i}]", depth + 1) for i, each in enumerate(value)]
    if isinstance(value, dict):
        if TAG not in value and all(type(key) is str for key in value):
            return {key: _plain(each, f"{place}[{key!r}]", depth + 1) for key, each in value.items()}
        pairs = [
            [_plain(key, f"a key of {place}", depth + 1), _plain(each, f"{place}[{key!r}]", depth + 1)]
            for key, each in value.items()
        ]
        return {TAG: ["dict", pairs]}
    if kind in (tuple, set, frozenset):
        return {TAG: [kind.__name__, [_plain(each, f"an item of {place}", depth + 1) for each in value]]}
    if kind in _ENCODERS:
        tag, encoder = _ENCODERS[kind]
        return {TAG: [tag, encoder(value)]}
    raise TypeError(
        f"{place} is a {kind.__module__}.{kind.__qualname__}, which cannot cross a task boundary; "
        "a context takes what JSON has, datetime, date, time, timedelta, bytes, Decimal, UUID, set and tuple"
    )


def _restored(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_restored(each) for each in plain]
    if isinstance(plain, dict):
        if TAG in plain:
            tag, payload = plain[TAG]
            return _DECODERS[tag](_restored(payload))
        return {name: _restored(value) for name, value in plain.items()}
    return plain
