"""The sum and the average of numbers that are added one by one, none of which is kept."""

from __future__ import annotations

from typing import Any

_INTEGERS = range(-(1 << 63), 1 << 63)


class Total:
    """The numbers added so far: exactly while all are integers, and as doubles in the order they come in."""

    def __init__(self) -> None:
        self._count = 0
        self._integers: int | None = 0
        self._doubles = 0.0  # not fsum: IEEE infinities of both signs must give NaN, not an error

    def add(self, number: int | float) -> None:
        """Adds an integer of 64 bits or a double."""
        self._count += 1
        self._doubles += number
        if self._integers is not None:
            self._integers = self._integers + number if isinstance(number, int) else None

    def fill_sum(self, value: Any) -> None:
        """Fills a ``Value``: an integer if all numbers are, and their sum has 64 bits."""
        if self._integers is not None and self._integers in _INTEGERS:
            value.integer_value = self._integers
        else:
            value.double_value = self._doubles

    def fill_average(self, value: Any) -> None:
        """Fills a ``Value``: null when there was no number."""
        if self._count:
            value.double_value = self._doubles / self._count
        else:
            value.null_value = 0
