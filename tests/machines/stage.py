"""What the machines of this folder share: runs are counted, deliveries come in several ways, ends are checked.

An action notes each of its runs under the name of its place. Every run counts in ``RUNS``; an entity of the
kind ``Ran`` commits with the step, so that these tell the runs that counted, whatever went wrong meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from google.cloud import datastore

from fantasm_gcp.testing import Crash, Harness
from fantasm_gcp.testing.adversary import Adversary

RUNS: Counter[str] = Counter()
ORDER: list[str] = []
"""The places of all runs, in the order in which they ran."""


def forget() -> None:
    RUNS.clear()
    ORDER.clear()


def ran(context: Any, place: str) -> None:
    """Notes a run of an action."""
    RUNS[place] += 1
    ORDER.append(place)
    put(context, "Ran", place=place, instance=context.instance_name)


def put(context: Any, kind: str, **values: Any) -> None:
    """Stages an entity with a key of its own."""
    entity = datastore.Entity(context.datastore.key(kind), exclude_from_indexes=("content",))
    entity.update(values)
    context.put(entity)


def committed(harness: Harness) -> Counter[str]:
    """The runs that counted, by their places."""
    return Counter(each["place"] for each in entities(harness, "Ran"))


def entities(harness: Harness, kind: str) -> list[Any]:
    return list(harness.datastore.query(kind=kind).fetch())


# -- ways of delivering -----------------------------------------------------------------------------------


def once(harness: Harness) -> None:
    """Every task is delivered until it is answered."""
    harness.run(5_000)


def twice(harness: Harness) -> None:
    """Every delivery is made twice, and once more when everything is over."""
    attempts = []
    while (attempt := harness.next_attempt()) is not None:
        attempts.append(attempt)
        assert 5_000 > len(attempts), "the machine does not end"
        harness.deliver(attempt)
        harness.answer(attempt)
    assert {200} == {harness.answer(each) for each in attempts}
    assert 0 == harness.tasks.depth()


def storm(seed: int) -> Callable[[Harness], None]:
    """Deliveries overlap, are killed, repeated and reordered, by a seed."""
    return lambda harness: Adversary(harness, seed, crash=0.02).run()


DELIVERIES = pytest.mark.parametrize("deliver", [once, twice])
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])
STORMS = pytest.mark.parametrize("seed", range(6))


class KilledAt:
    """Kills the worker at the n-th RPC, counted from 0, before or after it is carried out."""

    def __init__(self, n: int, when: str) -> None:
        self.n, self.when = n, when
        self.count = 0
        self._dead = False

    @property
    def struck(self) -> bool:
        return self.count > self.n

    def deliver(self, harness: Harness) -> None:
        harness.around = self._around
        while (attempt := harness.next_attempt()) is not None:
            assert 5_000 > self.count, "the machine does not end"
            try:
                harness.deliver(attempt)
            except Crash:  # nobody answers: the task comes again
                harness.tasks.finish(attempt, None)
            self._dead = False
        harness.around = lambda _, carry_out: carry_out()

    def _around(self, _: Any, carry_out: Callable[[], Any]) -> Any:
        if self._dead:
            raise Crash
        here = self.count == self.n
        self.count += 1
        if here and self.when == "before":
            self._die()
        answer = carry_out()
        if here:
            self._die()
        return answer

    def _die(self) -> None:
        self._dead = True
        raise Crash


# -- starts and ends --------------------------------------------------------------------------------------


def started(harness: Harness, url: str, **options: Any) -> str:
    answer = harness.start(url, **options)
    assert 200 == answer.status_code, answer.text
    instance: str = answer.json["instance"]
    return instance


def finish(harness: Harness, url: str, deliver: Callable[[Harness], None] = once, **options: Any) -> str:
    """Starts a machine and delivers everything; see :func:`all_over`."""
    instance = started(harness, url, **options)
    deliver(harness)
    all_over(harness)
    return instance


def all_over(harness: Harness) -> None:
    """Every instance is completed, and nothing of any is left in flight."""
    found = entities(harness, "FantasmInstance")
    assert {"completed"} == {each["status"] for each in found}
    for kind in ("FantasmTask", "FantasmEntry", "FantasmFanIn"):
        assert [] == [each.key.name for each in entities(harness, kind)]


def steps(harness: Harness, instance: str) -> list[dict[str, Any]]:
    """The steps that are over, by their numbers."""
    items = harness.get(f"instances/{instance}?limit=1000")["steps"]["items"]
    return sorted(items, key=lambda each: each["n"])


def without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    return {place: count for place, count in counts.items() if count}
