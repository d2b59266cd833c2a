"""Actions of the machines at the engine's edges; what they do is a test's choice, by the context."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import Any, ClassVar


class Seen:
    """What the actions saw since the test began, and what they are to meet."""

    runs: ClassVar[list[tuple[str, Any]]] = []
    keys: ClassVar[list[str]] = []
    """The idempotency keys of the steps that saw it."""
    fail: ClassVar[set[tuple[str, Any]]] = set()
    """What a state is to fail with, once."""
    then: ClassVar[list[Callable[[], object]]] = []
    """What happens while the next action runs."""

    @classmethod
    def begin(cls) -> None:
        for each in (cls.runs, cls.keys, cls.fail, cls.then):
            each.clear()

    @classmethod
    def note(cls, given: Any, what: Any) -> None:
        if (given.state_name, what) in cls.fail:
            cls.fail.remove((given.state_name, what))
            raise RuntimeError(f"{given.state_name} fails with {what}")
        cls.runs.append((given.state_name, what))
        cls.keys.append(given.idempotency_key)

    @classmethod
    def of(cls, state: str) -> list[Any]:
        return [what for name, what in cls.runs if name == state]


def split(context: Any, obj: Any) -> str:
    for item in range(1, int(context["n"])):
        context.fork({"item": item, "filling": filling(context, item)})
    context.update(item=0, filling=filling(context, 0))
    return "each"


def filling(context: Any, item: int) -> str:
    """Text of the size that the context asks for; ``dense`` text is what no compression makes much smaller."""
    size = int(context.get("size", 0))
    if "dense" not in context:
        return "x" * size
    return base64.b64encode(random.Random(item).randbytes(size * 3 // 4)).decode()


def choose(context: Any, obj: Any) -> str:
    return "odd" if context["item"] % 2 else "even"


def visit(context: Any, obj: Any) -> str | None:
    Seen.note(context, context.get("item"))
    return None if context.state_name == "Y" else "next"


def gather(contexts: Any, obj: Any) -> str | None:
    Seen.note(contexts, tuple(sorted(each["item"] for each in contexts)))
    return "next" if contexts.state_name in ("Evens", "Odds") else None


def gather_again(contexts: Any, obj: Any) -> str | None:
    gather(contexts, obj)
    first = "again" not in contexts.context
    contexts.context["again"] = True
    return "again" if first else None


def gather_causes(contexts: Any, obj: Any) -> None:
    causes = {each["item"]: each.failure and each.failure.error for each in contexts}
    Seen.note(contexts, tuple(causes[item] for item in sorted(causes)))


def nest(context: Any, obj: Any) -> None:
    depth = int(context["depth"])
    if depth:
        context.spawn("Nest", {"depth": depth - 1}, join=True)
    Seen.note(context, depth)


def hear(context: Any, obj: Any) -> None:
    Seen.note(context, (context["machine"], context["status"]))


def call(context: Any, obj: Any) -> None:
    def answer() -> int:
        Seen.runs.append(("charged", 7))
        return 7

    Seen.note(context, context.once("charge", answer))


def bear(context: Any, obj: Any) -> str:
    context.spawn("Child", [{"n": n} for n in range(1, 1 + int(context["children"]))], join=True)
    return "each"


def see_children(contexts: Any, obj: Any) -> None:
    Seen.note(contexts, tuple(sorted(each.status for each in contexts.children())))
