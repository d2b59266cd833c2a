"""Actions of the machines that operators pause, hold and cancel; they count in Datastore what they did."""

from __future__ import annotations

from typing import Any, ClassVar

from google.cloud import datastore

from fantasm_gcp import HaltMachineError


class Now:
    """What a test wants done in the middle of an action, once."""

    then: ClassVar[list[Any]] = []


def split(context: Any, obj: Any) -> str:
    while Now.then:
        Now.then.pop()()
    for item in range(1, int(context["n"])):
        context.fork({"item": item})
    context["item"] = 0
    return "each"


def work(context: Any, obj: Any) -> str:
    while Now.then:
        Now.then.pop()()
    client = context.datastore
    key = client.key("Tally", str(context["item"] + 1))
    tally = client.get(key) or datastore.Entity(key)
    tally["n"] = tally.get("n", 0) + 1
    client.put(tally)
    return "far" if "far" in context else "done"


def gather(contexts: Any, obj: Any) -> str:
    contexts.context["items"] = sorted(each["item"] for each in contexts)
    return "done"


def merge(contexts: Any, obj: Any) -> None:
    entity = datastore.Entity(contexts.datastore.key("Merged"))
    entity["items"] = sorted(item for each in contexts for item in each["items"])
    contexts.put(entity)


def far(context: Any, obj: Any) -> None:
    context.put(datastore.Entity(context.datastore.key("Far")))


class Pages:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        obj.results = [int(token or 0)]
        return str(int(token or 0) + 1) if int(token or 0) < 5 else None

    def execute(self, context: Any, obj: Any) -> None:
        return None


def stop(context: Any, obj: Any) -> str:
    if context["item"] == 2:
        raise HaltMachineError("stop it all", logLevel=None, scope="instance")
    return "far"
