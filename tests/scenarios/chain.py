"""A chain of continuations into a fan-in, run against an adversary; as a program, it says what went wrong.

``python chain.py SEEDS`` ends with status 1 at the first seed whose run breaks an invariant.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.cloud import datastore

from fantasm_gcp.core.names import StepName
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.testing import Harness, Rpc
from fantasm_gcp.testing.adversary import Adversary

HERE = Path(__file__).parent
ITEMS = 5
IN_FLIGHT_KINDS = ("FantasmTask", "FantasmEntry", "FantasmFanIn")


class Luck:
    """What the actions of a run ask whether to fail; one for each run."""

    now: Luck

    def __init__(self, seed: int, raises: float) -> None:
        self.random, self.raises = random.Random(seed), raises

    @classmethod
    def strike(cls) -> None:
        if cls.now.random.random() < cls.now.raises:
            raise RuntimeError("bad luck")


class Walk:
    """One or two items a page: not the same each time, as where items come and go."""

    def continuation(self, context: Any, obj: Any, token: str | None = None) -> str | None:
        first = int(token or 0)
        last = int(obj["until"]) if "until" in obj else first + Luck.now.random.randint(1, 2)
        obj.results = list(range(first, min(last, ITEMS)))
        return str(last) if last < ITEMS else None

    def execute(self, context: Any, obj: Any) -> str:
        Luck.strike()
        context["items"] = obj.results
        return "ok"


class Gather:
    def execute(self, contexts: Any, obj: Any) -> str:
        Luck.strike()
        contexts.context["items"] = [item for each in contexts for item in each["items"]]
        return "done"


class Finish:
    """Counts each item, in the step's transaction."""

    def execute(self, context: Any, obj: Any) -> None:
        client = context.datastore
        for item in context["items"]:
            key = client.key("Tally", str(item + 1))
            tally = client.get(key) or datastore.Entity(key)
            tally["n"] = tally.get("n", 0) + 1
            client.put(tally)
        Luck.strike()


class Watch:
    """Sees every commit: how often the instance was completed, and whether anything was left then."""

    def __init__(self) -> None:
        self.completions = 0
        self.early: list[str] = []
        self.harness: Harness | None = None

    def around(self, rpc: Rpc, carry_out: Any) -> Any:
        response = carry_out()
        if rpc.method == "Commit" and any(_completes(each) for each in rpc.request.mutations):
            self.completions += 1
            self.early = left_over(self.harness)
        return response


def _completes(mutation: Any) -> bool:
    entity = mutation.update
    if not entity.key.path or entity.key.path[-1].kind != "FantasmInstance":
        return False
    return entity.properties["status"].string_value == "completed"


def kinds(harness: Harness, kind: str) -> list[Any]:
    """The entities of a kind, past the watch and the adversary."""
    around, harness.around = harness.around, lambda _, carry_out: carry_out()
    try:
        return list(harness.datastore.query(kind=kind).fetch())
    finally:
        harness.around = around


def left_over(harness: Harness) -> list[str]:
    return [f"{each.kind} {each.key.name}" for kind in IN_FLIGHT_KINDS for each in kinds(harness, kind)]


def verdict(seed: int, raises: float) -> str:
    """Runs one seed: ``ok``, or what went wrong."""
    Luck.now = Luck(seed, raises)
    watch = Watch()
    with Harness(HERE / "chain.yaml", around=watch.around) as harness:
        watch.harness = harness
        return _run(harness, watch, seed, raises)


def _run(harness: Harness, watch: Watch, seed: int, raises: float) -> str:
    """Starts an instance, and redrives what fails until nothing does."""
    method = ("GET", "POST")[seed % 2]
    started = harness.start("Chain/", method=method, headers={"Idempotency-Key": str(seed)})
    adversary = Adversary(harness, seed)
    try:
        for patience in range(40):
            adversary.run(_impatient_operator)
            failed = [each for each in kinds(harness, "FantasmTask") if each["status"] == "failed"]
            lost = [each.key.name for each in kinds(harness, "FantasmTask") if each["status"] == "queued"]
            if lost:
                return f"lost: {lost}"
            status = harness.get(f"instances/{started.json['instance']}")["status"]
            if not failed:
                break
            if status != "failed":
                return f"a failure was not noticed: the instance is {status}"
            Luck.now.raises = raises if patience < 30 else 0.0
            for each in failed:
                adversary.command(
                    lambda name=each.key.name: redrive(harness.fantasm.services, StepName(name))
                )
    except RuntimeError as error:
        return str(error)
    return _judge(harness, watch, status)


def _impatient_operator(adversary: Adversary) -> None:
    """Now and then somebody runs failed steps again while others are still in flight."""
    if adversary.random.random() < 0.01:
        for each in kinds(adversary.harness, "FantasmTask"):
            if each["status"] == "failed":
                name = StepName(each.key.name)
                adversary.command(lambda name=name: redrive(adversary.harness.fantasm.services, name))


def _judge(harness: Harness, watch: Watch, status: str) -> str:
    tally = {each.key.name: each["n"] for each in kinds(harness, "Tally")}
    if tally != {str(i + 1): 1 for i in range(ITEMS)}:
        return f"items lost or doubled: {tally}"
    if status != "completed" or watch.completions != 1:
        return f"completed {watch.completions} times, status {status}"
    if watch.early:
        return f"completed early: {watch.early}"
    rest = left_over(harness)
    return f"rows left: {rest}" if rest else "ok"


def main(verdict: Callable[[int, float], str], seeds: int, first: int = 0) -> int:
    """Runs seeds until one breaks an invariant, calm and raising; the exit status."""
    logging.disable(logging.CRITICAL)
    for seed in range(first, first + seeds):
        for raises in (0.0, 0.3):
            result = verdict(seed, raises)
            if result != "ok":
                print(f"seed {seed}, raises {raises}: {result}")
                return 1
    print(f"ok: {2 * seeds} runs")
    return 0


if __name__ == "__main__":
    sys.modules["chain"] = sys.modules["__main__"]
    raise SystemExit(main(verdict, *map(int, sys.argv[1:])))
