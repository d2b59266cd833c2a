"""A clock that stands still until it is moved."""

from __future__ import annotations


class VirtualClock:
    """Seconds of the epoch; calling it reads it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Moves the clock instead of waiting."""
        self.now += max(0.0, seconds)

    def move_to(self, moment: float) -> None:
        """Moves the clock ahead; it never goes back."""
        self.now = max(self.now, moment)
