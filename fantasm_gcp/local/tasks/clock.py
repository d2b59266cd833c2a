"""The clock of a local server: the one it was given, moved ahead by a span that only grows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from fantasm_gcp.local.tasks.times import DAY, SECOND, micros

LATEST: Final = 253_402_300_799 * SECOND - 400 * DAY
"""How far the clock may be moved: the times that are counted from it must still be those of a Timestamp."""


class ShiftedClock:
    """A clock ahead of another one by ``shift`` microseconds; everything here is whole microseconds."""

    def __init__(self, clock: Callable[[], float], shift: int) -> None:
        """``clock`` gives seconds of the epoch."""
        self._clock = clock
        self.shift = shift

    def unshifted(self) -> int:
        """The clock that was given: what spans of real life are measured by."""
        return micros(self._clock())

    def now(self) -> int:
        """The moment it is for queues and tasks."""
        return self.unshifted() + self.shift

    def shift_after(self, span: float) -> int:
        """The shift that ``span`` more seconds would make; nothing is changed.

        Raises ``ValueError`` for a span that is negative, no number, or leads out of the calendar: what was
        scheduled, tried and buried has times that must not come to lie in the future.
        """
        if not (math.isfinite(span) and span >= 0):
            raise ValueError(f"the clock moves ahead by a number of seconds that is 0 or more, not by {span}")
        if self.now() + span * SECOND > LATEST:
            raise ValueError(f"the clock cannot be moved ahead by {span} s: that is beyond the year 9998")
        return self.shift + micros(span)
