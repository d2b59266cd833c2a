"""The threads that deliver what the server has due."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time

from fantasm_gcp.local.tasks.scheduling.deliveries import Attempt, Deliver, Response
from fantasm_gcp.local.tasks.scheduling.schedule import Outcome
from fantasm_gcp.local.tasks.server import TasksServer

logger = logging.getLogger("fantasm_gcp.local.tasks")

PAUSE = 1.0
"""Seconds until a store that has failed is tried again."""


class Dispatcher:
    """Leases attempts, delivers them and finishes them, in ``threads`` threads.

    A quarter of them, none of fewer than four, is for queues that have no attempt in flight: a queue whose
    worker does not answer does not hold up the others.

    The threads take turns: one waits for the next attempt while the others deliver, so a task that comes due
    wakes one thread and not all of them. Every attempt is one line in the log ``fantasm_gcp.local.tasks``:
    DEBUG for a success, WARNING for a failure. An exception out of ``deliver`` is no answer.

    A store that fails, for a disk that is full, is one line too, and tried again every ``pause`` seconds: no
    attempt begins meanwhile, and those that end are finished once the store takes it.
    """

    def __init__(
        self, server: TasksServer, deliver: Deliver, threads: int = 8, *, pause: float = PAUSE
    ) -> None:
        if threads < 1:
            raise ValueError("a dispatcher needs at least one thread")
        self._server = server
        self._deliver = deliver
        self._count = threads
        self._threads: list[threading.Thread] = []
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._pause = pause
        self._told = ""

    def start(self) -> None:
        """Begins to deliver. A dispatcher is started once, and may be started again after it has stopped."""
        if self._threads:
            raise RuntimeError("the dispatcher is running")
        self._stopping.clear()
        self._server.share(self._count - self._count // 4)
        self._threads = [
            threading.Thread(target=self._work, name=f"tasks-{number}", daemon=True)
            for number in range(self._count)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Begins no further attempt and waits for those in flight, ``timeout`` seconds at most.

        Answers whether all have ended; if not, they go on, and this may be called again. Idempotent.
        """
        give_up = None if timeout is None else time.monotonic() + timeout
        self._stopping.set()
        self._server.wake()
        for thread in self._threads:
            thread.join(None if give_up is None else max(0.0, give_up - time.monotonic()))
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return not self._threads

    def _work(self) -> None:
        while True:
            with self._turn:
                attempt = self._next()
            if attempt is None:
                return
            try:
                self._perform(attempt)
            except Exception:
                logger.exception("the end of an attempt at %s was lost", attempt.task)

    def _next(self) -> Attempt | None:
        """Waits for an attempt and begins it; None once the dispatcher stops or the server is closed."""
        while not self._stopping.is_set():
            try:
                attempt = self._server.lease()
                if attempt is not None:
                    self._told = ""
                    return attempt
                if not self._server.wait(stop=self._stopping):
                    return None
            except Exception as error:  # noqa: BLE001  # it is logged, once
                self._pause_after(error)  # with the turn: one thread tries again, and not all of them
        return None

    def _finish(self, attempt: Attempt, response: Response | None, reason: str) -> Outcome | None:
        """Ends an attempt as soon as the store takes it; None when it has not until the dispatcher stops."""
        while True:
            try:
                return self._server.finish(attempt, response, reason)
            except sqlite3.OperationalError as error:
                # Left in flight, a task that was delivered would be held until the next start.
                if self._stopping.is_set():
                    return None
                self._pause_after(error)

    def _pause_after(self, error: Exception) -> None:
        """Waits a moment before the next try; says why, once for all tries that fail alike."""
        told, self._told = self._told, f"{type(error).__name__}: {error}"
        if told != self._told:
            logger.error(
                "the local Cloud Tasks server cannot go on: %s; it tries again every %g s",
                error,
                self._pause,
                exc_info=not isinstance(error, sqlite3.Error),
            )
        self._stopping.wait(self._pause)

    def _perform(self, attempt: Attempt) -> None:
        began = time.perf_counter()
        response: Response | None = None
        reason = ""
        try:
            if attempt.calls_worker:
                response = self._deliver(attempt.delivery)
        except BaseException as error:  # noqa: BLE001  # an application that exits must not take this thread along
            reason = f"{type(error).__name__}: {error}"
        took = time.perf_counter() - began
        outcome = self._finish(attempt, response, reason)
        if outcome is not None:
            _log(attempt, _answer(attempt, response, reason), outcome, took)


def _answer(attempt: Attempt, response: Response | None, reason: str) -> str:
    """What the queue was told, and in brackets what there is to know about it."""
    status = None if response is None else response.status
    if attempt.fault is not None:
        called = (
            f"the worker answered {_words(status)}" if attempt.calls_worker else "the worker was not called"
        )
        status, reason = attempt.fault.status, f"set to fail, {called}"
    return _words(status) + (f" ({reason})" if reason else "")


def _words(status: int | None) -> str:
    return "no answer" if status is None else str(status)


def _log(attempt: Attempt, answer: str, outcome: Outcome, took: float) -> None:
    succeeded = outcome.result == "succeeded"
    logger.log(
        logging.DEBUG if succeeded else logging.WARNING,
        "%s attempt %d: %s in %.0f ms%s",
        attempt.task.rpartition("/queues/")[2].replace("/tasks/", "/"),
        attempt.number + 1,
        answer,
        took * 1000,
        "" if succeeded else f"; {_render(outcome)}",
    )


def _render(outcome: Outcome) -> str:
    if outcome.wait is not None:
        return f"next in {outcome.wait:.3g} s"
    return {
        "exhausted": "out of attempts, task deleted",
        "overlapped": "another attempt is in flight",
        "ignored": "the task was deleted meanwhile",
    }.get(outcome.result, outcome.result)
