"""Ctrl-C, SIGTERM and a terminal that is closed, as something to wait for."""

from __future__ import annotations

import os
import select
import signal
import time
from types import FrameType

_HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""Not every system has it."""


class Stopping:
    """Takes the signals while it is entered; nohup's wish, that a closed terminal be ignored, is kept.

    Before :meth:`begin` any of them raises ``KeyboardInterrupt`` wherever the main thread is, which undoes a
    start half done. From then on the first is remembered, for :meth:`wait`, and a second one raises.
    """

    def __init__(self) -> None:
        self.asked = False
        self._patient = False

    def __enter__(self) -> Stopping:
        # A pipe, because a signal may arrive while the main thread holds an Event's lock. The interpreter
        # writes to it at once: the system may give a signal to any thread, and in another one it interrupts
        # no system call of the main thread, in which alone Python's handlers run.
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        self._woken = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {each: signal.signal(each, self._note) for each in _signals()}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._woken)
        os.close(self._read)
        os.close(self._write)

    def _note(self, number: int, _: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again or not self._patient:
            raise KeyboardInterrupt(signal.Signals(number).name)

    def begin(self) -> None:
        """From now on a signal is waited for."""
        self._patient = True

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for a signal, ``seconds`` at most, and answers whether one has come."""
        give_up = None if seconds is None else time.monotonic() + seconds
        while not self.asked:
            left = None if give_up is None else max(0.0, give_up - time.monotonic())
            readable, _, _ = select.select([self._read], [], [], left)
            if not readable:
                break
            os.read(self._read, 4096)  # any signal that has a handler wakes, not only these two
        return self.asked


def _signals() -> list[int]:
    taken: list[int] = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        taken.append(_HANGUP)
    return taken
