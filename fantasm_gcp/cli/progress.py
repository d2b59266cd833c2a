"""One line that tells how far an instance is: redrawn in place on a terminal, now and then elsewhere."""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO, Any

WIDE = 100
"""Columns of a terminal from which on the line is written out."""

EVERY = 1.0
_REMEMBERED = 100
_CLEAR = "\r\x1b[K"


def render_bar(done: int, total: int | None, *, over: bool, width: int = 20) -> str:
    """A bar and a percentage; below 100 until it is over. Empty where no total is known."""
    if not total:
        return ""
    share = 1.0 if over else min(done / total, 0.99)
    filled = int(share * width)
    return f"[{'#' * filled}{'-' * (width - filled)}] {int(share * 100):3d} %  "


def render_states(states: Mapping[str, Mapping[str, int]], *, brief: bool = False) -> str:
    """Each state with its counts, as in ``SendEmail 520 done, 1 in flight``; brief without ``done``."""
    return " | ".join(
        f"{state} {counts['done']:,}{'' if brief else ' done'}"
        + "".join(
            f", {counts[which]:,} {word}"
            for which, word in (("in_flight", "in flight"), ("failed", "failed"))
            if counts[which]
        )
        for state, counts in states.items()
    )


class Progress:
    """Writes the line to a stream, from any thread; ``clock`` is in seconds."""

    def __init__(self, stream: IO[str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._lock = threading.Lock()
        self.redraws = self._stream.isatty()
        self._said_at: float | None = None
        self._shown = ""

    @property
    def brief(self) -> bool:
        """Whether the line had better be short."""
        return self.redraws and shutil.get_terminal_size().columns < WIDE

    def show(self, line: str, *, last: bool = False) -> None:
        """Shows the line instead of the one before; the last one stays."""
        with self._lock:
            if self.redraws:
                width = max(20, shutil.get_terminal_size().columns - 1)
                self._shown = "" if last else line[:width]
                self._write(_CLEAR + line[:width] + ("\n" if last else ""))
            elif line != self._shown and (last or self._is_time()):
                self._said_at = self._clock()
                self._shown = line
                self._write(f"{line}\n")

    def _is_time(self) -> bool:
        return self._said_at is None or self._clock() - self._said_at >= EVERY

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def end(self) -> None:
        """Leaves what is shown as it is; what follows begins on a line of its own."""
        with self._lock:
            if self.redraws and self._shown:
                self._shown = ""
                self._write("\n")

    def interrupt(self, text: str) -> None:
        """Writes other lines above it, to standard error."""
        with self._lock:
            shown = self._shown if self.redraws else ""
            if shown:
                self._write(_CLEAR)
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
            if shown:
                self._write(shown)


class _EachTracebackOnce(logging.Formatter):
    """A step that fails again and again says the same each time; the lines between are worth more."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self._told: deque[int] = deque(maxlen=_REMEMBERED)

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        text = super().formatException(ei)
        if hash(text) in self._told:
            return "  (its traceback is above)"
        self._told.append(hash(text))
        return text


class AboveProgress(logging.Handler):
    """A log handler whose lines do not run into the progress line; it shows each traceback once."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self.setFormatter(_EachTracebackOnce("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._progress.interrupt(self.format(record))
        except Exception:  # noqa: BLE001  # logging's own contract: a handler never raises
            self.handleError(record)
