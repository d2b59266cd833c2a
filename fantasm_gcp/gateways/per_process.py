"""Values that must be made anew in each process: Google's clients do not survive a fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_ALL: weakref.WeakSet[PerProcess[Any]] = weakref.WeakSet()


class PerProcess(Generic[T]):
    """Makes a value when it is first asked for, and again in a process forked since.

    Where making it fails, all who wait for it get that error, and who asks later has it tried again: else
    each of them would wait for a failure of his own.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[int, T] | None = None
        self._failed: Exception | None = None
        _ALL.add(self)

    def forget_lock(self) -> None:
        """Another thread may have held the lock at the fork, and it does not run on in the child."""
        self._lock = threading.Lock()

    def __call__(self) -> T:
        made = self._made
        if made is not None and made[0] == os.getpid():
            return made[1]
        failed = self._failed
        with self._lock:
            made = self._made
            if made is not None and made[0] == os.getpid():
                return made[1]
            if self._failed is not None and self._failed is not failed:
                raise self._failed
            try:
                made = self._made = (os.getpid(), self._make())
            except Exception as error:
                self._failed = error
                raise
            return made[1]


def _forget_locks() -> None:
    for each in _ALL:
        each.forget_lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_locks)
