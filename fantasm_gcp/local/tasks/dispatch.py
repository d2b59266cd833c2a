"""The threads that deliver what the server has due."""

from __future__ import annotations

import logging
import threading
import time

from fantasm_gcp.local.tasks.deliveries import Attempt, Deliver, Response
from fantasm_gcp.local.tasks.schedule import Outcome
from fantasm_gcp.local.tasks.server import TasksServer

logger = logging.getLogger("fantasm_gcp.local.tasks")

_PAUSE_AFTER_FAULT = 1.0


class Dispatcher:
    """Leases attempts, delivers them and finishes them, in ``threads`` threads.

    The threads take turns: one waits for the next attempt while the others deliver, so a task that comes due
    wakes one thread and not all of them. Every attempt is one line in the log ``fantasm_gcp.local.tasks``:
    DEBUG for a success, WARNING for a failure. An exception out of ``deliver`` is no answer.
    """

    def __init__(self, server: TasksServer, deliver: Deliver, threads: int = 8) -> None:
        if threads < 1:
            raise ValueError("a dispatcher needs at least one thread")
        self._server = server
        self._deliver = deliver
        self._count = threads
        self._threads: list[threading.Thread] = []
        self._turn = threading.Lock()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begins to deliver. A dispatcher is started once, and may be started again after it has stopped."""
        if self._threads:
            raise RuntimeError("the dispatcher is running")
        self._stopping.clear()
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
            try:
                with self._turn:
                    attempt = self._next()
                if attempt is None:
                    return
                self._perform(attempt)
            except Exception:
                # The store failed, a full disk for one: what is in flight is delivered again after a restart.
                logger.exception(
                    "the local Cloud Tasks server failed; trying again in %g s", _PAUSE_AFTER_FAULT
                )
                self._stopping.wait(_PAUSE_AFTER_FAULT)

    def _next(self) -> Attempt | None:
        """Waits for an attempt and begins it; None once the dispatcher stops or the server is closed."""
        while not self._stopping.is_set():
            attempt = self._server.lease()
            if attempt is not None:
                return attempt
            if not self._server.wait(stop=self._stopping):
                return None
        return None

    def _perform(self, attempt: Attempt) -> None:
        began = time.perf_counter()
        response: Response | None = None
        reason = ""
        try:
            if attempt.calls_worker:
                response = self._deliver(attempt.delivery)
        except BaseException as error:  # noqa: BLE001  # an application that exits must not take this thread along
            reason = f"{type(error).__name__}: {error}"
        outcome = self._server.finish(attempt, response, reason)
        _log(attempt, _answer(attempt, response, reason), outcome, time.perf_counter() - began)


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
