"""Actions of a machine whose items meet: ``items`` are words, and what a word says is what happens to it."""

from __future__ import annotations

from typing import Any


def begin(context: Any, obj: Any) -> str:
    words = context.pop("items").split()
    for number, word in enumerate(words[1:], 1):
        context.fork({"item": word, "number": number})
    context["item"], context["number"] = words[0], 0
    return "each"


def item(context: Any, obj: Any) -> str:
    if context["item"] == "value":
        raise ValueError("no value")
    return {"late": "late", "window": "window"}.get(context["item"], "done")


def total(contexts: Any, obj: Any) -> str:
    if any("bad" in each["item"] or each["item"] == "window" for each in contexts):
        raise ValueError("no total")
    return "all"
