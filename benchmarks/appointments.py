"""Appointments with death: a worker tells that it has come to a chosen moment, and waits there to be killed.

An appointment is a file that says which moment is meant, and the how manieth of that kind. Workers look for
it at every moment of a step: before and after each RPC, and inside actions. The one that takes it renames it,
so that only one does, and stands still until whoever made the appointment has killed it. So a worker dies
exactly there, and what its other threads were doing dies wherever it was.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

ANY = ""
"""The pattern of every moment."""

PATIENCE = 10.0
"""Seconds after which a worker that nobody kills goes on."""

POLL = 0.005
_OPEN, _COUNT, _TAKEN = "appointment", "count", "taken "


@dataclass(frozen=True, slots=True)
class Taken:
    """An appointment that a worker keeps: its pid, its parent's, and the moment that it has come to."""

    pid: int
    parent: int
    moment: str


class Appointments:
    """The side of whoever kills: one appointment at a time, in a directory that workers know."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make(self, pattern: str, number: int) -> None:
        """Asks for the ``number``-th moment from now of a pattern; moments read ``<kind> in <where>``."""
        (self._directory / _COUNT).write_bytes(b"")
        draft = self._directory / "draft"
        draft.write_text(f"{number} {pattern}")
        draft.rename(self._directory / _OPEN)  # so that nobody reads half of it

    def taken(self) -> Taken | None:
        """The worker that waits to be killed, if one does."""
        for each in self._directory.glob(f"{_TAKEN}*"):
            pid, parent, moment = each.name.removeprefix(_TAKEN).split(" ", 2)
            return Taken(int(pid), int(parent), moment)
        return None

    def withdraw(self) -> Taken | None:
        """Takes the appointment back, unless a worker has taken it: that one is answered."""
        try:
            (self._directory / _OPEN).unlink()
        except FileNotFoundError:
            return self.taken()
        return None

    def clear(self) -> None:
        """Forgets what was taken, after the worker's death."""
        for each in self._directory.glob(f"{_TAKEN}*"):
            each.unlink()


class Moments:
    """The side of a worker; ``where`` of this thread is what it works on, empty where that is no matter."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread = threading.local()

    def enter(self, where: str) -> None:
        """Says what this thread works on from here on."""
        self._thread.where = where

    def reach(self, kind: str) -> None:
        """Has come to a moment: returns, unless this is the moment that the appointment is for."""
        where = getattr(self._thread, "where", "")
        if not where:
            return
        try:
            number, _, wanted = (self._directory / _OPEN).read_text().partition(" ")
            moment = f"{kind} in {where}"
            if not re.match(wanted, moment) or self._count() < int(number):
                return
            taken = self._directory / f"{_TAKEN}{os.getpid()} {os.getppid()} {moment}"
            (self._directory / _OPEN).rename(taken)
        except FileNotFoundError:
            return  # there is no appointment, or another thread was faster
        give_up = time.monotonic() + PATIENCE
        while taken.exists() and time.monotonic() < give_up:
            time.sleep(POLL)

    def _count(self) -> int:
        with (self._directory / _COUNT).open("ab") as file:
            file.write(b".")
            file.flush()
            return file.tell()


class Reporting(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Makes a moment before and one after each RPC of a channel."""

    def __init__(self, moments: Moments) -> None:
        self._moments = moments

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], details: Any, request: Any
    ) -> Any:
        method = details.method.rpartition("/")[2]
        self._moments.reach(f"before {method}")
        answer = continuation(details, request)
        self._moments.reach(f"after {method}")
        return answer
