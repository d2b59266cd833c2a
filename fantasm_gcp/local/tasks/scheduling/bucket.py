"""The token bucket that holds a queue to its dispatches per second."""

from __future__ import annotations

import math

from fantasm_gcp.local.tasks.times import DAY, SECOND

_LONGEST_INTERVAL = 365 * DAY  # beyond this a rate is as good as none, and numbers stay finite


class Bucket:
    """A token bucket kept as the one moment at which it would be full again; times in microseconds.

    Kept that way, the earliest moment of the next token is a number that can be waited for and compared
    exactly; a count of tokens refilled by parts of a second is not.
    """

    __slots__ = ("_burst", "_full_at", "_interval")

    def __init__(self, rate: float, burst: int) -> None:
        self._full_at = -math.inf
        self.configure(rate, burst)

    def configure(self, rate: float, burst: int) -> None:
        """Sets the tokens per second and the most it holds; what was taken stays taken."""
        self._interval = min(SECOND / rate, _LONGEST_INTERVAL)
        self._burst = max(1, burst)

    def opens_at(self, now: int) -> int:
        """The earliest moment, ``now`` or later, at which a token can be taken."""
        # A clock that was set back must not close the bucket for longer than it takes to fill.
        full_at = min(self._full_at, now + self._burst * self._interval)
        return max(now, math.ceil(full_at - (self._burst - 1) * self._interval)) if full_at > now else now

    def take(self, now: int) -> None:
        """Takes a token; the caller has seen that there is one."""
        full_at = min(self._full_at, now + self._burst * self._interval)
        self._full_at = max(full_at, now) + self._interval
