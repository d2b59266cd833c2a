"""Requests to an application whose workers die: sent again until they are answered."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from http.client import HTTPException

from benchmarks.deployment import Deployment
from benchmarks.workload import AHEAD_HEADER

AGAIN_SECONDS = 0.05


class TimeUpError(Exception):
    """It takes longer than it was given."""


class Caller:
    """Starts machines and calls the sweeper, one after the other, in a thread of its own.

    ``started`` are the instances with their machines, ``repeated`` counts requests that got no answer or an
    error and were sent again, ``sweeps`` calls of the sweeper and ``mended`` the steps that it has enqueued.
    """

    def __init__(self, deployment: Deployment, deadline: float) -> None:
        self.started: dict[str, str] = {}
        self.repeated = self.sweeps = self.mended = 0
        self._deployment = deployment
        self._deadline = deadline
        self._failure = ""
        self._closing = threading.Event()
        self._wanted: queue.Queue[Callable[[], None]] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="caller", daemon=True)
        self._thread.start()

    def start(self, machine: str, key: str) -> None:
        """Starts an instance: one, however often it has to be asked for."""

        def call() -> None:
            answer = json.loads(self._get(f"/fantasm/fsm/{machine}/", {"Idempotency-Key": key}))
            self.started[answer["instance"]] = machine

        self._wanted.put(call)

    def sweep(self, ahead: float) -> None:
        """Calls the sweeper, as cron does; its clock is so many seconds ahead."""

        def call() -> None:
            answer = json.loads(self._get("/fantasm/sweep", {AHEAD_HEADER: str(ahead)}))
            self.sweeps += 1
            self.mended += answer["enqueued"]

        self._wanted.put(call)

    def wait(self) -> None:
        """Returns when everything so far was answered; raises :class:`TimeUpError` where something is not."""
        answered = threading.Event()
        self._wanted.put(answered.set)
        while not answered.wait(0.1):
            if not self._thread.is_alive() or time.monotonic() > self._deadline:
                raise TimeUpError(f"a request is not answered: {self._failure or self._deployment.url}")

    def close(self) -> None:
        """Sends nothing any more, and waits for what is under way. Idempotent."""
        self._closing.set()
        self._wanted.put(lambda: None)
        self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                self._wanted.get()()
            except Exception as error:  # noqa: BLE001  told by finish(), in the thread that can do something
                self._failure = f"{type(error).__name__}: {error}"
                return

    def _get(self, path: str, headers: dict[str, str]) -> bytes:
        while True:
            try:
                return self._deployment.get(path, headers)
            except (OSError, HTTPException) as error:  # its worker was killed, or a server that it needed
                self.repeated += 1
                if time.monotonic() > self._deadline or self._closing.wait(AGAIN_SECONDS):
                    raise TimeUpError(f"{path}: {error}") from error
