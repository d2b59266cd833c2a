"""Joins, ends that are told, operators' commands and sweeps, run against an adversary.

``python tangle.py SEEDS [FIRST]`` ends with status 1 at the first seed whose run breaks an invariant.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from chain import kinds, main
from holding import Now
from joining import Seen
from repairing import Script
from swept import purge, ran

from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.engine.operating import cancel, hold, pause, redrive_instance, release, resume
from fantasm_gcp.engine.sweeping import sweep
from fantasm_gcp.errors import CommandError
from fantasm_gcp.testing import Crash, Harness, Rpc
from fantasm_gcp.testing.adversary import Adversary

HERE = Path(__file__).parent
IN_FLIGHT = ("FantasmTask", "FantasmEntry", "FantasmFanIn")
JOINED = {
    "Grouped/?n=7&colours=2&then=next": {"Merge": 7, "Total": 3},
    "Grouped/?n=7&loops=3": {"Merge": 21},
    "Report/?n=3&loops=3&then=last": {"Merge": 9, "Last": 1},
    "Mutual/?n=4": {"Left": 3, "Right": 3},
    "Parent/?n=3": {"Merge": 1},
}
"""What starts a machine that joins, and how many contexts its joins are given."""


def start(harness: Harness, url: str) -> InstanceId:
    return InstanceId(harness.start(url).json["instance"])


def status(harness: Harness, instance: InstanceId) -> str:
    return str(harness.get(f"instances/{instance}")["status"])


def left(harness: Harness) -> str:
    rows = [f"{kind} {each.key.name}" for kind in IN_FLIGHT for each in kinds(harness, kind)]
    return f"left behind: {rows}" if rows else ""


def attempted(command: Callable[[], Any]) -> None:
    """A command that may have come too late."""
    try:
        command()
    except CommandError:
        return


def now_and_then(
    chance: random.Random, odds: float, *commands: Callable[[], Any]
) -> Callable[[Adversary], None]:
    """Gives one of the commands before a step of the adversary, with some odds."""

    def meanwhile(adversary: Adversary) -> None:
        if chance.random() < odds:
            command = chance.choice(commands)
            adversary.command(lambda: attempted(command))

    return meanwhile


def joins(seed: int, chance: random.Random) -> str:
    """Each context is in one batch of its join, whatever round, group and part it is in."""
    url = chance.choice(list(JOINED))
    with Harness(HERE / "joining.yaml") as harness:
        instance = start(harness, url)
        if chance.random() < 0.5:
            killed_once(harness, chance, 100)
        else:
            Adversary(harness, seed).run()
        entries: Counter[str] = Counter()
        for each in harness.get(f"instances/{instance}?limit=1000")["steps"]["items"]:
            if each["status"] == "completed" and each["entries"] is not None:
                entries[each["state"]] += each["entries"]
        if entries != JOINED[url]:
            return f"{url}: batches of {dict(entries)}"
        if url.startswith("Grouped/?n=7&loops") and (wrong := _rounds(harness, instance)):
            return wrong
        ended = status(harness, instance)
        return left(harness) or ("" if ended == "completed" else f"{url} is {ended}")


def _rounds(harness: Harness, instance: InstanceId) -> str:
    """Whether each round of a loop through a join took what came before it, and nothing that came after."""
    rounds: Counter[str] = Counter()
    for each in harness.get(f"instances/{instance}?limit=1000")["steps"]["items"]:
        if each["state"] == "Merge" and each["status"] == "completed":
            rounds[each["branch"].partition("-")[0]] += each["entries"]
    return "" if set(rounds.values()) == {7} else f"rounds of {dict(rounds)}"


def held(seed: int, chance: random.Random) -> str:
    """Nothing is parked for ever, and nothing runs twice."""
    Now.then.clear()
    with Harness(HERE / "holding.yaml") as harness:
        services = harness.fantasm.services
        instance = start(harness, "Held/?n=3")
        state = chance.choice(["", "Work", "Gather", "Merge"])
        commands = (
            partial(pause, services, instance),
            partial(resume, services, instance),
            partial(hold, services, "Held", state),
            partial(release, services, "Held", state),
        )
        Adversary(harness, seed, crash=0.02).run(now_and_then(chance, 0.05, *commands))
        attempted(partial(release, services, "Held", state))
        attempted(partial(resume, services, instance))
        harness.run()
        tally = {each.key.name: each["n"] for each in kinds(harness, "Tally")}
        if tally != {"1": 1, "2": 1, "3": 1} or status(harness, instance) != "completed":
            return f"{status(harness, instance)}, counted {tally}; {left(harness)}"
        return left(harness)


def stopped(seed: int, chance: random.Random) -> str:
    """A cancelled instance leaves no row and no task that is far away, and nobody acts for it any more."""
    Now.then.clear()
    machine = chance.choice(["Held/?n=3", "Held/?n=3&far=1", "Held/?n=4&far=1", "Halting/?n=4", "Joined"])
    with Harness(HERE / ("joining.yaml" if machine == "Joined" else "holding.yaml")) as harness:
        instance = start(harness, "Grouped/?n=5&colours=2&then=next" if machine == "Joined" else machine)
        asked: list[float] = []

        def command() -> None:
            asked.append(harness.clock())
            cancel(harness.fantasm.services, instance)

        adversary = Adversary(harness, seed, crash=0.02)
        if "far" in machine:
            harness.deliver(harness.next_attempt())
            adversary.command(command)
        adversary.run(now_and_then(chance, 0.02, lambda: attempted(command)))
        shown = harness.get(f"instances/{instance}")
        if shown["status"] != "cancelled":
            return ""
        if shown["ended"] is None:
            return "a cancellation has no end"
        if asked and harness.clock() - asked[0] > 1_000_000:
            return "a task that is far away was left"
        return left(harness)


def told(seed: int, chance: random.Random) -> str:
    """Each end is told to each receiver, once."""
    Script.begin(failures := chance.randrange(3))
    with Harness(HERE / "repairing.yaml") as harness:
        instance = start(harness, "Told/?n=3")
        killed_once(harness, chance, 60)
        for _ in range(5):
            if status(harness, instance) == "completed":
                break
            redrive_instance(harness.fantasm.services, instance)
            harness.run()
        found = harness.get("instances?limit=1000")["instances"]
        if any(each["status"] != "completed" for each in found):
            return f"not completed: {[(each['machine'], each['status']) for each in found]}"
        completed = sum(1 for each in found if each["machine"] == "Completed")
        failed = [sum(1 for each in found if each["machine"] == name) for name in ("Failed", "FailedToo")]
        if completed != 1 or len(set(failed)) != 1 or (failures and not failed[0]):
            return f"told {completed} and {failed} times"
        return left(harness)


def resumed(seed: int, chance: random.Random) -> str:
    """A worker dies while an instance is resumed, or while it was about to park a step of it."""
    Now.then.clear()
    with Harness(HERE / "holding.yaml") as harness:
        services = harness.fantasm.services
        instance = start(harness, "Held/?n=3")
        for _ in range(chance.randrange(5)):
            harness.deliver(harness.next_attempt())
        pause(services, instance)
        if chance.random() < 0.5:
            _resume_before_it_parks(harness, instance)
        harness.run()
        attempted(partial(resume, services, instance))
        killed_once(harness, chance, 40)
        tally = {each.key.name: each["n"] for each in kinds(harness, "Tally")}
        if tally != {"1": 1, "2": 1, "3": 1} or status(harness, instance) != "completed":
            return f"{status(harness, instance)}, counted {tally}; {left(harness)}"
        return left(harness)


def _resume_before_it_parks(harness: Harness, instance: InstanceId) -> None:
    """Has the first worker that parks a step come too late: the instance has been resumed by then."""

    def around(rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        parks = rpc.method == "Commit" and any(
            each.update.properties["status"].string_value == "parked" for each in rpc.request.mutations
        )
        if parks:
            harness.around = carried_out
            resume(harness.fantasm.services, instance)
            while (operations := [each for each in harness.tasks.due() if "pseudo-operator" in each]) != []:
                harness.deliver(harness.tasks.lease(operations[0]))
        return carry_out()

    harness.around = around


def carried_out(_: Rpc, carry_out: Callable[[], Any]) -> Any:
    return carry_out()


def killed_once(harness: Harness, chance: random.Random, most: int) -> None:
    """Runs to the end; one worker is killed before or after one of its requests."""
    at, after, count = chance.randrange(most), chance.random() < 0.5, itertools.count()

    def around(_: Rpc, carry_out: Callable[[], Any]) -> Any:
        if next(count) != at:
            return carry_out()
        if after:
            carry_out()
        raise Crash

    harness.around = around
    harness.run()
    harness.around = carried_out


def swept(seed: int, chance: random.Random) -> str:
    """Whatever tasks are lost, a sweep brings them back, and nothing runs twice."""
    with Harness(HERE / "swept.yaml") as harness:
        services = harness.fantasm.services
        start(harness, "Chain/")

        def look() -> None:
            harness.clock.sleep(200)
            sweep(services)

        Adversary(harness, seed, crash=0.05).run(now_and_then(chance, 0.05, partial(purge, harness), look))
        for wait in (900, 900, 7 * 3600, 900):  # less than tasks' names are remembered
            harness.clock.sleep(wait)
            sweep(services)
            harness.run()
        counted = sorted(ran(harness).values())
        return left(harness) or ("" if counted == [1, 1, 1] else f"counted {counted}")


SCENES = (joins, held, stopped, told, resumed, swept)


def verdict(seed: int, raises: float) -> str:
    """Runs one seed: ``ok``, or what went wrong. Of the two runs of a seed each has its own luck."""
    Seen.begin()
    scene = SCENES[seed % len(SCENES)]
    chance = random.Random(2 * seed + bool(raises))
    try:
        wrong = scene(2 * seed + bool(raises), chance)
    except RuntimeError as error:
        wrong = str(error)
    return f"{scene.__name__}: {wrong}" if wrong else "ok"


if __name__ == "__main__":
    sys.modules["tangle"] = sys.modules["__main__"]
    raise SystemExit(main(verdict, *map(int, sys.argv[1:])))
