"""How bad a run's luck is: some runs have every kind of fault, others one kind of it often."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fantasm_gcp.testing.simulation import faults

MOVES = ("go on", "go on with another", "begin", "duplicate", "repeat", "leap", "deploy", "command")
"""What may happen next; the first is what happens in a run without any bad luck."""


@dataclass(frozen=True, slots=True)
class Mood:
    """Weights of the choices that a tape is written with; it plays no part when one is read.

    ``moves`` are those of :data:`MOVES`, ``faults`` those of one RPC's faults, ``luck`` those of an action:
    fine, an exception, to be tried again in a moment, or much later. ``lost`` is for answers: heard, lost.
    ``skews`` is for how wrong the clock of a worker is.
    """

    moves: Sequence[float] = (1, 0, 0, 0, 0, 0, 0, 0)
    faults: Sequence[float] = faults.weights(0)
    luck: Sequence[float] = (1, 0, 0, 0)
    lost: Sequence[float] = (1, 0)
    skews: Sequence[float] = (1, 0, 0, 0, 0)


def draw_mood(chance: random.Random) -> Mood:
    """Each kind of trouble is absent, rare or frequent."""

    def rate(*rates: float) -> float:
        return chance.choice(rates)

    overlap = rate(0, 0.5, 1, 1, 2)
    moves = (
        1.0,
        0.9 * overlap,
        0.35 * overlap,
        rate(0, 0.05, 0.2) * (overlap > 0),
        rate(0, 0, 0.01, 0.03),
        rate(0, 0.01, 0.06),
        rate(0, 0, 0, 0.01),
        rate(0, 0.01, 0.1),
    )
    raises, later = rate(0, 0, 0.1, 0.25), rate(0, 0, 0.05, 0.2)
    lost = rate(0, 0.1)
    skewed = rate(0, 0, 0.1, 0.3)
    return Mood(
        moves,
        faults.weights(rate(0, 0.01, 0.03, 0.05)),
        (1 - raises - later, raises, later * 0.8, later * 0.2),
        (1 - lost, lost),
        (1 - skewed, *(skewed / 4 for _ in range(4))),
    )
