"""What cron does in the cloud: something that is done again and again, beside everything else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("fantasm_gcp.local.dev")


class Ticker:
    """Acts every so many seconds, in a thread of its own that never keeps the process from ending.

    Errors of the action are logged and do not end it. ``wait`` waits so long, and answers whether to stop;
    tests give their own.
    """

    def __init__(
        self, act: Callable[[], object], seconds: float, wait: Callable[[float], bool] | None = None
    ) -> None:
        self._act = act
        self._seconds = seconds
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._thread = threading.Thread(target=self._work, name="ticker", daemon=True)

    def start(self) -> None:
        """Begins; the first time is after the first wait. A ticker is started once."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Acts no more, and waits for what it does now; answers whether that has ended. Idempotent."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._wait(self._seconds) and not self._stopping.is_set():
            try:
                self._act()
            except Exception:
                log.exception("what is done every %g s failed: it is tried again", self._seconds)
