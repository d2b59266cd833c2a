"""Actions of the machines that join; what they do is a test's choice, by the context."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from fantasm_gcp import HaltMachineError


class Seen:
    """What the actions saw, since the test began."""

    runs: ClassVar[list[tuple[str, Any]]] = []
    fail: ClassVar[Counter[str]] = Counter()
    """How often a state still has to fail."""

    @classmethod
    def begin(cls) -> None:
        cls.runs.clear()
        cls.fail.clear()

    @classmethod
    def note(cls, state: str, what: Any) -> None:
        if cls.fail[state]:
            cls.fail[state] -= 1
            raise RuntimeError(f"{state} is to fail")
        cls.runs.append((state, what))

    @classmethod
    def of(cls, state: str) -> list[Any]:
        return [what for name, what in cls.runs if name == state]


def split(context: Any, obj: Any) -> str:
    Seen.note("Split", dict(context))
    for item in range(1, int(context["n"])):
        context.fork({"item": item, "colour": item % int(context.get("colours", 1))})
    context.update(item=0, colour=0)
    return "each"


def work(context: Any, obj: Any) -> str:
    item = context["item"]
    Seen.note("Work", item)
    if context.get("halted") in (str(item), "all"):
        raise HaltMachineError("not this one", logLevel=None)
    return "odd" if item % 2 else "done"


def odd(context: Any, obj: Any) -> str:
    Seen.note("Odd", context["item"])
    return "done"


def merge(contexts: Any, obj: Any) -> str | None:
    Seen.note("Merge", sorted(each["item"] for each in contexts))
    context = contexts.context
    context["rounds"] = context.get("rounds", 0) + 1
    if context["rounds"] < int(context.get("loops", 1)):
        for item in range(1, len(contexts)):
            contexts.fork({"item": item})
        context["item"] = 0
        return "again"
    return context.get("then")


def second(context: Any, obj: Any) -> str:
    Seen.note("Second", context["item"])
    return "done"


def last(contexts: Any, obj: Any) -> None:
    Seen.note("Last", [each["item"] for each in contexts])


def choose(context: Any, obj: Any) -> str:
    return "left" if context["item"] % 2 else "right"


def swap(contexts: Any, obj: Any) -> str | None:
    Seen.note(contexts.state_name, sorted(each["item"] for each in contexts))
    contexts.context["rounds"] = contexts.context.get("rounds", 0) + 1
    contexts.context["item"] = contexts.context["item"] + 10
    return "over" if contexts.context["rounds"] < 2 else None


def hand_on(contexts: Any, obj: Any) -> str:
    Seen.note(contexts.state_name, sorted(each["item"] for each in contexts))
    return "over"


def bear(context: Any, obj: Any) -> str:
    later, machine = context.get("later", False), "BrittleChild" if "brittle" in context else "Child"
    context.spawn(machine, [{"child": i, "later": later} for i in range(int(context["n"]))], join=True)
    return "each"


def bear_only(context: Any, obj: Any) -> None:
    bear(context, obj)


def gather(contexts: Any, obj: Any) -> None:
    children = contexts.children()
    Seen.note("Gather", sorted((each.machine, each.status, each.joined) for each in children))


def grow(context: Any, obj: Any) -> str | None:
    Seen.note("Grow", context["child"])
    return "later" if context["later"] else None


def grown(context: Any, obj: Any) -> None:
    Seen.note("Grown", context["child"])


def ask_in_vain(context: Any, obj: Any) -> None:
    machine = context.get("machine", "Child")
    context.spawn(machine, {"child": 0, "later": False}, task_name=context.get("task_name"), join=True)
