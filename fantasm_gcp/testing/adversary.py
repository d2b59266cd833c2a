"""Deliveries that overlap, are killed, repeated and reordered, one RPC at a time, all by a seed.

A delivery stops before each RPC and waits until it is chosen to go on. The same seed gives the same run.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from fantasm_gcp.local.tasks import Attempt, Response
from fantasm_gcp.testing.faults import Crash, Rpc
from fantasm_gcp.testing.harness import Harness
from fantasm_gcp.testing.strand import Strand


class Adversary:
    """Runs a harness to its end against bad luck.

    ``crash`` is the chance, at each RPC, that the delivery is killed before it; ``duplicate`` the chance that
    a delivery that begins is one more of a task in flight; ``lose`` that an answer gets lost, so that the
    task comes again; ``leap`` that time passes before a delivery begins; ``overlap`` how many run at once.
    """

    def __init__(
        self,
        harness: Harness,
        seed: int,
        *,
        crash: float = 0.03,
        duplicate: float = 0.3,
        lose: float = 0.1,
        leap: float = 0.2,
        overlap: int = 5,
    ) -> None:
        self.harness = harness
        self.random = random.Random(seed)  # noqa: S311  a seed is the point of it
        self.crash, self.duplicate, self.lose, self.leap = crash, duplicate, lose, leap
        self.overlap = overlap
        self._deeds: list[tuple[Strand, Attempt | None]] = []
        self._current: Strand | None = None
        self._next_around = harness.around
        harness.around = self._around

    def _around(self, rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        deed = self._current
        if deed is not None:
            if deed.crashed:
                raise Crash
            deed.stop()
        return self._next_around(rpc, carry_out)

    def command(self, act: Callable[[], Any]) -> None:
        """Lets an operator do something meanwhile; it is interleaved, but never killed."""
        self._deeds.append((Strand(act), None))

    def run(self, meanwhile: Callable[[Adversary], None] | None = None, most: int = 50_000) -> None:
        """Steps deliveries until nothing is due and nothing runs; calls ``meanwhile`` before each step.

        Raises ``RuntimeError`` after ``most`` steps.
        """
        for _ in range(most):
            if meanwhile is not None:
                meanwhile(self)
            if not self._deeds or (len(self._deeds) < self.overlap and self.random.random() < 0.3):
                self._begin()
            if not self._deeds:
                return
            self._step(self.random.randrange(len(self._deeds)))
        raise RuntimeError("never ends")

    def _begin(self) -> None:
        """Begins a delivery of a task that is due, of a task in flight a second one, or moves the clock."""
        tasks = self.harness.tasks
        if self.random.random() < self.leap:
            self.harness.clock.sleep(self.random.random() * 2)
        running = [attempt.task for _, attempt in self._deeds if attempt]
        if running and self.random.random() < self.duplicate:
            attempt = tasks.lease(self.random.choice(running), force=True)
        else:
            due = tasks.due()
            attempt = tasks.lease(self.random.choice(due)) if due else None
            if attempt is None and not self._deeds:
                attempt = self.harness.next_attempt()
        if attempt is not None:
            begun = attempt
            self._deeds.append((Strand(lambda: self.harness.answer(begun)), begun))

    def _step(self, index: int) -> None:
        deed, attempt = self._deeds[index]
        if attempt is not None and self.random.random() < self.crash:
            deed.crashed = True
        self._current = deed
        try:
            deed.step()
            while deed.crashed and not deed.over:
                deed.step()
        finally:
            self._current = None
        if deed.over:
            del self._deeds[index]
            if attempt is not None:
                lost = deed.crashed or self.random.random() < self.lose
                self.harness.tasks.finish(attempt, None if lost else Response(deed.result))
