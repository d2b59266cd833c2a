"""An action that a test writes; and one that comes after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Script:
    act: Callable[[Any, Any], None]
    after: Callable[[Any, Any], None]

    @classmethod
    def clear(cls) -> None:
        cls.act = cls.after = staticmethod(lambda context, obj: None)


def first(context: Any, obj: Any) -> str:
    Script.act(context, obj)
    return "next"


def second(context: Any, obj: Any) -> None:
    Script.after(context, obj)


Script.clear()
