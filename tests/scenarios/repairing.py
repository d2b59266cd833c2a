"""Actions that fail as often as a test says, and what is done about it."""

from __future__ import annotations

from typing import Any, ClassVar


class Script:
    """How often attempts still fail, what the actions saw, and what was called of others."""

    failures: ClassVar[int] = 0
    seen: ClassVar[list[Any]] = []
    calls: ClassVar[list[str]] = []
    die: ClassVar[list[BaseException]] = []

    @classmethod
    def begin(cls, failures: int = 0) -> None:
        cls.failures = failures
        cls.seen.clear()
        cls.calls.clear()
        cls.die.clear()

    @classmethod
    def fail(cls) -> None:
        if cls.failures > 0:
            cls.failures -= 1
            raise ValueError("no luck")


def split(context: Any, obj: Any) -> str:
    for item in range(1, int(context.get("n", 1))):
        context.fork({"item": item})
    context["item"] = 0
    return "each"


def attempt(context: Any, obj: Any) -> None:
    context["spoilt"] = True
    context.put("nothing that could be put")  # dropped with the attempt
    Script.fail()
    context._scope.staged.clear()
    Script.seen.append(("Try", context.get("item"), context.get("edited"), context.failure))


def repair(context: Any, obj: Any) -> str | None:
    Script.seen.append(("Repair", dict(context), context.failure))
    return context.get("then")


def after(context: Any, obj: Any) -> None:
    Script.seen.append(("After", getattr(context, "failure", None)))


def gather(contexts: Any, obj: Any) -> None:
    Script.fail()
    Script.seen.append(("Gather", sorted(each["item"] for each in contexts)))


def note(context: Any, obj: Any) -> None:
    Script.seen.append((context.machine_name, dict(context)))


def charge(name: str) -> Any:
    Script.calls.append(name)
    if Script.die:
        raise Script.die.pop()
    return {"receipt": len(Script.calls)}


def call(context: Any, obj: Any) -> str:
    first = context.once("charge", lambda: charge("charge"))
    second = context.once("mail", lambda: charge("mail"))
    Script.fail()
    Script.seen.append((context.state_name, first["receipt"], second["receipt"]))
    return "next"


def hand_on(context: Any, obj: Any) -> str:
    return "next"
