"""Forks, groups, fan-in after fan-in, spawned machines, halts and delays, run against an adversary.

``python storm.py SEEDS`` ends with status 1 at the first seed whose run breaks an invariant.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from chain import kinds, main
from google.cloud import datastore

from fantasm_gcp import HaltMachineError, RetryLater
from fantasm_gcp.core.names import StepName
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.testing import Harness, Rpc
from fantasm_gcp.testing.adversary import Adversary

HERE = Path(__file__).parent
ITEMS = 4
PAGES = 2
HALTED = 3
SKIPPED = 1


class Luck:
    """What the actions of a run ask whether to fail; one for each run."""

    now: Luck

    def __init__(self, seed: int, raises: float) -> None:
        self.random, self.raises = random.Random(seed), raises

    @classmethod
    def strike(cls) -> None:
        chance = cls.now.random.random()
        if chance < cls.now.raises:
            raise RuntimeError("bad luck") if chance < cls.now.raises / 2 else RetryLater(1)


def count(context: Any, kind: str, *names: Any) -> None:
    """Adds one to counters, in the step's transaction."""
    client = context.datastore
    for name in map(str, names):
        key = client.key(kind, name)
        tally = client.get(key) or datastore.Entity(key)
        tally["n"] = tally.get("n", 0) + 1
        client.put(tally)


def plant(context: Any, obj: Any) -> str:
    for item in range(1, ITEMS + 1):
        context.fork({"item": item})
    Luck.strike()
    context["item"] = 0
    return "grow"


def leave_plant(context: Any, obj: Any) -> None:
    context["left"] = context.get("left", 0) + 1


def sort(context: Any, obj: Any) -> str:
    if context["item"] == HALTED:
        raise HaltMachineError("not this one", logLevel=None)
    if context["left"] != 1:
        raise AssertionError(f"the exit counted {context['left']}")
    if context["item"] == SKIPPED:
        context.fork()  # two that want the same machine started
    Luck.strike()
    return "skip" if context["item"] == SKIPPED else "grow"


def skipped(context: Any, obj: Any) -> None:
    context.spawn("Child", {"leaf": f"skipped-{context['item']}"}, task_name="one-for-all")
    Luck.strike()


def enter(context: Any, obj: Any) -> None:
    obj.entered = True


class Grow:
    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        page = int(token or 0)
        obj.results = [page]
        return str(page + 1) if page + 1 < PAGES else None

    def execute(self, context: Any, obj: Any) -> str:
        if not obj.entered or context.pages[-1].number != obj.results[0]:
            raise AssertionError("pages are miscounted")
        Luck.strike()
        context["leaf"] = f"{context['item']}.{obj.results[0]}"
        context["colour"] = context["item"] % 2
        context.fork({"leaf": context["leaf"] + "-twin", "colour": 2})
        return "pick"


def pick(contexts: Any, obj: Any) -> str:
    Luck.strike()
    colours = {each["colour"] for each in contexts}
    if len(colours) != 1:
        raise AssertionError(f"a batch of more than one group: {colours}")
    contexts.context["leaves"] = [each["leaf"] for each in contexts]
    return "pack"


def pack(contexts: Any, obj: Any) -> str:
    leaves = [leaf for each in contexts for leaf in each["leaves"]]
    count(contexts, "Tally", *leaves)
    contexts.spawn("Child", [{"leaf": leaf} for leaf in leaves])
    contexts.context["packed"] = leaves
    Luck.strike()
    return "packed"


def note_exit(context: Any, obj: Any) -> None:
    for leaf in context["packed"]:
        entity = datastore.Entity(context.datastore.key("Exit"))
        entity["leaf"] = leaf
        context.put(entity)
    Luck.strike()


def note(context: Any, obj: Any) -> None:
    count(context, "Child", context["leaf"])


def expected() -> dict[str, int]:
    items = [each for each in range(ITEMS + 1) if each not in (HALTED, SKIPPED)]
    leaves = [f"{item}.{page}" for item in items for page in range(PAGES)]
    return dict.fromkeys([*leaves, *(f"{leaf}-twin" for leaf in leaves)], 1)


class Watch:
    """Sees every commit: how often each instance was completed, and whether it had steps in flight then."""

    def __init__(self) -> None:
        self.completions: Counter[str] = Counter()
        self.early: list[str] = []
        self.harness: Harness

    def around(self, rpc: Rpc, carry_out: Any) -> Any:
        response = carry_out()
        for each in rpc.request.mutations if rpc.method == "Commit" else ():
            entity = each.update
            of_instance = entity.key.path and entity.key.path[-1].kind == "FantasmInstance"
            if of_instance and entity.properties["status"].string_value == "completed":
                name = entity.properties["instance"].string_value
                self.completions[name] += 1
                rows = kinds(self.harness, "FantasmTask")
                self.early += [row.key.name for row in rows if row["instance"] == name]
        return response


def verdict(seed: int, raises: float) -> str:
    """Runs one seed: ``ok``, or what went wrong."""
    Luck.now = Luck(seed, raises)
    watch = Watch()
    with Harness(HERE / "storm.yaml", around=watch.around) as harness:
        watch.harness = harness
        method = ("GET", "POST")[seed % 2]
        harness.start("Storm/", method=method, headers={"Idempotency-Key": str(seed)})
        adversary = Adversary(harness, seed, crash=0.02)
        try:
            for patience in range(40):
                adversary.run()
                Luck.now.raises = raises if patience < 30 else 0.0
                failed = [
                    each.key.name for each in kinds(harness, "FantasmTask") if each["status"] == "failed"
                ]
                if not failed:
                    break
                for name in failed:
                    adversary.command(lambda name=name: redrive(harness.fantasm.services, StepName(name)))
        except RuntimeError as error:
            return str(error)
        return _judge(harness, watch)


def _judge(harness: Harness, watch: Watch) -> str:
    found = {kind: Counter[str]() for kind in ("Tally", "Child", "Exit")}
    for kind in ("Tally", "Child"):
        found[kind].update({each.key.name: each["n"] for each in kinds(harness, kind)})
    found["Exit"].update(each["leaf"] for each in kinds(harness, "Exit"))
    wanted = {"Tally": expected(), "Exit": expected(), "Child": {**expected(), f"skipped-{SKIPPED}": 1}}
    wrong = [f"{kind}: {dict(found[kind])}" for kind in wanted if wanted[kind] != found[kind]]
    if wrong:
        return f"lost or doubled: {wrong}"
    instances = {each["instance"]: each["status"] for each in kinds(harness, "FantasmInstance")}
    if set(instances.values()) != {"completed"} or watch.completions != Counter(instances.keys()):
        return f"completions: {dict(watch.completions)} of {instances}"
    if watch.early:
        return f"completed early: {watch.early}"
    rest = [
        f"{kind} {each.key.name}"
        for kind in ("FantasmTask", "FantasmEntry", "FantasmFanIn")
        for each in kinds(harness, kind)
    ]
    return f"rows left: {rest}" if rest else "ok"


if __name__ == "__main__":
    sys.modules["storm"] = sys.modules["__main__"]
    raise SystemExit(main(verdict, *map(int, sys.argv[1:])))
