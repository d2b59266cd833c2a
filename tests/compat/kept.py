"""Small actions: they note their run, and return what the context says."""

from __future__ import annotations

from typing import Any

from ledger import Ledger


class Says:
    """Returns the event that stands in the context under the state's name; None where there is none."""

    def execute(self, context: Any, obj: Any) -> str | None:
        Ledger.enter(context.state_name, dict(context))
        event: str | None = context.get(context.state_name)
        return event


class Careless:
    """Changes the context before it fails."""

    def execute(self, context: Any, obj: Any) -> str:
        Ledger.seen.append(dict(context))
        context["count"] = context.get("count", 0) + 1
        context.setdefault("list", []).append(context["count"])
        Ledger.runs.append("careless")
        if len(Ledger.runs) < 4:
            raise RuntimeError("not yet")
        return "next"


class Carries:
    """Puts values of many types into the context, and goes on."""

    values: dict[str, Any]

    def execute(self, context: Any, obj: Any) -> str:
        context.update(type(self).values)
        return "next"


class Sees:
    def execute(self, context: Any, obj: Any) -> str:
        Ledger.enter("sees", dict(context))
        return "next"


class Meets:
    """A fan-in that keeps what it was given."""

    def execute(self, contexts: Any, obj: Any) -> str:
        Ledger.enter("meets", [dict(each) for each in contexts])
        Ledger.enter("instance", contexts.instanceName)
        return "next"


class Numbers:
    """Pages without Datastore: as many as ``pages`` in the context says."""

    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        context["page"] = int(token or 0)
        following = context["page"] + 1
        return str(following) if following < int(context["pages"]) else None

    def execute(self, context: Any, obj: Any) -> str:
        Ledger.enter(context.state_name, dict(context))
        return ("next", "other")[context["page"] % 2] if "both" in context else "next"
