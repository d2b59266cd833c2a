"""Machines for operators' commands: their items fail by the name of an error in the context."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

DEFINITIONS = Path(__file__).with_suffix(".yaml")


class Seen:
    """The contexts that reached an end, by state."""

    by_state: ClassVar[dict[str, list[dict[str, Any]]]] = {}

    @classmethod
    def add(cls, context: Any, values: dict[str, Any]) -> None:
        cls.by_state.setdefault(context.state_name, []).append(values)

    @classmethod
    def take(cls, state: str) -> list[dict[str, Any]]:
        return cls.by_state.pop(state, [])


def begin(context: Any, obj: Any) -> str:
    """Forks one item for each word of ``items``; a word that is the name of an error fails with it."""
    words = context.pop("items", "fine").split()
    for word in words[1:]:
        context.fork({"item": word})
    context["item"] = words[0]
    return "each"


def item(context: Any, obj: Any) -> str | None:
    word = context.get("item", "fine")
    if word == "value":
        raise ValueError("<b>no</b> luck & no value")
    if word == "key":
        raise KeyError("no key")
    if context.machine_name == "Teller":
        return None
    return "wait" if word == "far" else "done"


def gather(contexts: Any, obj: Any) -> None:
    Seen.add(contexts, {"items": sorted(each["item"] for each in contexts)})


def note(context: Any, obj: Any) -> None:
    Seen.add(context, dict(context))


def first(context: Any, obj: Any) -> str:
    if "spawn" in context:
        context.spawn("Walk", [{"number": n} for n in range(int(context["spawn"]))])
    return "on"
