"""Strands of calls that run up to their next RPC whenever they are stepped: deliveries, commands.

Each strand has a thread, but only the one that is stepped runs. Threads are used again: starting one takes as
long as several RPCs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fantasm_gcp.testing.faults import Crash, Rpc

_WAIT = 30.0
"""Seconds of real time after which a strand that neither ends nor makes an RPC is taken for hanging."""


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


class _Hand:
    """A thread that runs what it is given, one after another."""

    def __init__(self) -> None:
        self.run: Callable[[], None] | None = None
        self.go = _locked()
        self.stopped = _locked()
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self.go.acquire()
            if self.run is not None:
                self.run()
            self.stopped.release()


_IDLE: list[_Hand] = []


class Strand:
    """Something that runs up to its next RPC whenever it is stepped.

    ``result`` is what it came to once it is ``over``; ``rpc`` is the call before which it stands, if it told.
    With ``crashed`` set it is killed where it stands when it is stepped next.
    """

    def __init__(self, act: Callable[[], Any]) -> None:
        self.result: Any = None
        self.rpc: Rpc | None = None
        self.crashed = False
        self.over = False
        self._error: Exception | None = None
        self._act = act
        self._hand = _IDLE.pop() if _IDLE else _Hand()
        self._hand.run = self._run

    def _run(self) -> None:
        try:
            self.result = self._act()
        except Crash:
            self.crashed = True
        except Exception as error:  # noqa: BLE001  handed on to whoever steps
            self._error = error
        finally:
            self.over = True

    def step(self) -> None:
        """Runs it up to its next RPC, or its end. Raises what it raised, ``RuntimeError`` if it hangs."""
        self._hand.go.release()
        if not self._hand.stopped.acquire(timeout=_WAIT):
            raise RuntimeError("a delivery hangs")
        if self.over:
            _IDLE.append(self._hand)
        if self._error is not None:
            raise self._error

    def stop(self, rpc: Rpc | None = None) -> None:
        """Called from inside, before an RPC: lets others run until it is this one's turn again."""
        self.rpc = rpc
        self._hand.stopped.release()
        self._hand.go.acquire()
        self.rpc = None
        if self.crashed:
            raise Crash
