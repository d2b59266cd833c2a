"""Actions that fork, spawn, halt, ask for time, and choose their queue."""

from __future__ import annotations

import logging
from typing import Any

from google.cloud import datastore

from fantasm_gcp import HaltMachineError, RetryLater

asked: dict[str, int] = {}
"""How often an action asked to be tried again, by instance."""


def put(context: Any, kind: str, **values: Any) -> None:
    entity = datastore.Entity(context.datastore.key(kind))
    entity.update(values)
    context.put(entity)


def split(context: Any, obj: Any) -> str:
    context["own"] = "before"
    context.fork()
    context["own"] = "after"
    context.fork({"number": 2, "colour": "red"})
    context["number"] = 1
    context["colour"] = "blue"
    return "ok"


def split_and_end(context: Any, obj: Any) -> None:
    context.fork({"number": 2})


def note(context: Any, obj: Any) -> None:
    put(context, "Noted", instance=context.instance_name, **dict(context))


def gather(contexts: Any, obj: Any) -> None:
    put(contexts, "Gathered", numbers=[each.get("number", 0) for each in contexts])


def spawn(context: Any, obj: Any) -> str | None:
    given = {"number": "7"}
    context.spawn("Child", given)
    given["number"] = "changed"
    context.spawn("Child", [{"number": 8}, {}], countdown=[5, 50], method="GET")
    context.spawn("Child", None)
    context.spawn("Child", [])
    context.spawn("Child", {"number": 9}, task_name="nine")
    context.spawn("LightChild", {"number": 10})
    context.logger.info("spawned", tags=["children"])
    return "carry-on" if context.machine_name == "LightParent" else None


def halt(context: Any, obj: Any) -> None:
    if context.get("number") == 2:
        put(context, "Noted", number=-1)
        context.fork()
        context.spawn("Child", {})
        raise HaltMachineError("number two is not wanted", logLevel=logging.WARNING)
    note(context, obj)


def split_kinds(context: Any, obj: Any) -> str:
    for way in ("wait", "gather", "now"):
        context.fork({"way": way})
    context["way"] = "wait"
    return "ok"


def by_kind(context: Any, obj: Any) -> Any:
    return context["way"]


def halt_all(context: Any, obj: Any) -> None:
    raise HaltMachineError("stop it all", logLevel=None, scope="instance")


def later_once(context: Any, obj: Any) -> None:
    if asked.setdefault(context.instance_name, 0) < 1:
        asked[context.instance_name] += 1
        raise RetryLater(60)
    note(context, obj)


def later_twice(context: Any, obj: Any) -> str:
    put(context, "Noted", dropped=True)
    if asked.setdefault(context.instance_name, 0) < 2:
        asked[context.instance_name] += 1
        raise RetryLater(3600, "the partner sleeps")
    return "ok"


def choose_queue(context: Any, obj: Any) -> str:
    context.setQueue("chosen")
    return "ok"


def pass_on(context: Any, obj: Any) -> str:
    return "ok"


class Pages:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        obj.results = [token]
        return {None: "1", "1": "2"}.get(token)

    def execute(self, context: Any, obj: Any) -> str:
        put(
            context,
            "Page",
            more=obj.has_more_results,
            before=context.pages[-1].before,
            headers=str(context.headers),
        )
        return "ok"


def burst(context: Any, obj: Any) -> str:
    for i in range(1, context["forks"] + 1):
        context.fork({"item": i, "filler": "é" * context.get("size", 0)})
    if context["spawns"]:
        context.spawn("Child", [{"number": i} for i in range(context["spawns"])])
    context["item"] = 0
    return context.get("event", "ok")


def land(context: Any, obj: Any) -> None:
    put(context, "Landed", item=context["item"], branch=context.idempotency_key)


def collect(contexts: Any, obj: Any) -> None:
    put(contexts, "Collected", items=[each["item"] for each in contexts])


class Round:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> None:
        obj.results = [context.get("round", 0)]

    def execute(self, context: Any, obj: Any) -> str | None:
        context["round"] = context.get("round", 0) + 1
        put(context, "Round", pages=len(context.pages))
        return "again" if context["round"] < 30 else None


class LightPages(Pages):
    def execute(self, context: Any, obj: Any) -> str | None:
        return "ok" if obj.has_more_results else None


def talk_and_wait(context: Any, obj: Any) -> None:
    count = asked[context.idempotency_key] = asked.get(context.idempotency_key, 0) + 1
    context.logger.info("attempt %d", count)
    if count == 1:
        raise OSError("not yet")
    if count == 2:
        raise RetryLater(5)
    raise HaltMachineError("enough")
