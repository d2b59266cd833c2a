"""Values and texts as a log line can hold them, whatever they are: nothing here raises."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Set
from typing import Any

MOST_DEPTH = 8
MOST_ITEMS = 200
"""How deep values are shown, and how many items of one container."""

LARGEST = 1 << 63

UNPRINTABLE = "(without words: {} raised an error)"


def words(value: object) -> str:
    """``str()`` of anything."""
    try:
        return storable(str(value))
    except Exception:  # noqa: BLE001  anything may happen in a __str__
        return UNPRINTABLE.format("str()")


def shown(value: object) -> str:
    """``repr()`` of anything."""
    try:
        return storable(repr(value))
    except Exception:  # noqa: BLE001  anything may happen in a __repr__
        return UNPRINTABLE.format("repr()")


def storable(text: str) -> str:
    """A text without lone surrogates, which are no characters of UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def plain(value: Any, depth: int = MOST_DEPTH) -> Any:
    """A value as JSON has it; what JSON has not, as Python writes it."""
    if value is None or isinstance(value, bool):
        return value
    try:
        return _plain(value, depth)
    except Exception:  # noqa: BLE001  a class of the user's may raise anything, from any method
        return UNPRINTABLE.format("it")


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return storable(str(value))
    if isinstance(value, int):
        return int(value) if -LARGEST <= value < LARGEST else shown(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping | list | tuple | Set) and depth <= 0:
        return "(deeper than is shown)"
    if isinstance(value, Mapping):
        names = list(value)[:MOST_ITEMS]
        made = {words(name): plain(value[name], depth - 1) for name in names}
        left = len(value) - len(names)
        return made | ({"(more)": left} if left > 0 else {})
    if isinstance(value, list | tuple | Set):
        items = list(value)
        made_items = [plain(each, depth - 1) for each in items[:MOST_ITEMS]]
        left = len(items) - len(made_items)
        return [*made_items, *([f"({left} more)"] if left > 0 else [])]
    return shown(value)


def cut(text: str, limit: int, *, keep_end: bool = False) -> str:
    """A text that takes up to ``limit`` bytes of JSON, with a note where that is not all of it."""
    if len(text) * 12 <= limit or len(json.dumps(text)) - 2 <= limit:
        return text
    mark = f"(cut: the {'last' if keep_end else 'first'} part of {len(text):,} characters)"
    room = max(0, limit - len(mark) - 2)
    kept = text[-room:] if keep_end else text[:room]
    while kept and (size := len(json.dumps(kept)) - 2) > room:
        fitting = min(len(kept) - 1, len(kept) * room // size)
        kept = kept[len(kept) - fitting :] if keep_end else kept[:fitting]
    return f"{mark}\n{kept}" if keep_end else f"{kept} {mark}"
