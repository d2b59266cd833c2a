"""What the actions of these machines did, in order; and where one of them is to fail."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Ledger:
    """Notes each run of an action under a name of its place, and has some of them raise."""

    runs: list[str]
    seen: list[Any]
    raising: dict[tuple[str, int], Exception]

    @classmethod
    def clear(cls) -> None:
        cls.runs, cls.seen, cls.raising = [], [], {}

    @classmethod
    def fail(cls, place: str, *runs: int) -> None:
        """The runs, counted from 1, that are to fail."""
        for run in runs:
            cls.have_raised(place, run, RuntimeError(f"{place} fails"))

    @classmethod
    def have_raised(cls, place: str, run: int, error: Exception) -> None:
        cls.raising[place, run] = error

    @classmethod
    def enter(cls, place: str, seen: Any = None) -> None:
        """Notes a run and what it saw; raises where it is to."""
        cls.runs.append(place)
        cls.seen.append(seen)
        error = cls.raising.get((place, cls.runs.count(place)))
        if error is not None:
            raise error

    @classmethod
    def counts(cls) -> Counter[str]:
        return Counter(cls.runs)


Ledger.clear()
