"""Ctrl-C and SIGTERM as something to wait for."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Takes the two signals while it is entered.

    Before :meth:`begin` either raises ``KeyboardInterrupt`` wherever the main thread is, which undoes a start
    half done. From then on the first is remembered, for :meth:`wait`, and a second one raises.
    """

    def __init__(self) -> None:
        self.asked = False
        self._patient = False

    def __enter__(self) -> Stopping:
        # A pipe, because a signal may arrive while the main thread holds the lock of an Event.
        self._read, self._write = os.pipe()
        self._before = {each: signal.signal(each, self._note) for each in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        os.close(self._read)
        os.close(self._write)

    def _note(self, number: int, _: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again or not self._patient:
            raise KeyboardInterrupt(signal.Signals(number).name)
        os.write(self._write, b"!")

    def begin(self) -> None:
        """From now on a signal is waited for."""
        self._patient = True

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for a signal, ``seconds`` at most, and answers whether one has come."""
        if not self.asked:
            select.select([self._read], [], [], seconds)
        return self.asked
