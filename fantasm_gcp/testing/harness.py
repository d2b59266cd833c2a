"""An application with its machines, on local servers in memory, under a clock that is moved by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flask import Flask
from werkzeug.test import Client, TestResponse

from fantasm_gcp.engine.ports import Limits
from fantasm_gcp.gateways.clients import Channels
from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.rpc import LocalChannel
from fantasm_gcp.local.tasks import Attempt, Outcome, Response, TasksServer, WsgiDelivery
from fantasm_gcp.settings import Settings
from fantasm_gcp.testing.application import Application
from fantasm_gcp.testing.clock import VirtualClock
from fantasm_gcp.testing.faults import Around, Crash, Rpc, intercepted
from fantasm_gcp.web.extension import Backend, Fantasm

PROJECT = "test"


class Harness:
    """Runs machines to their end without waiting. A context manager that closes its servers.

    ``definitions`` is the path of an fsm.yaml. ``around`` sees every call to the servers (see
    :mod:`fantasm_gcp.testing.faults`). ``datastore`` makes a channel to another Datastore server, where
    ``project`` and ``namespace`` are the test's own. ``limits`` takes the place of the engine's limits, where
    a test wants to meet them with little. ``application`` makes the Flask application that serves the
    machines, anew for each deployment. ``settings`` are attributes of :class:`fantasm_gcp.Settings` that are
    to have other values than in local mode.
    """

    def __init__(
        self,
        definitions: str | Path,
        *,
        around: Around | None = None,
        datastore: Callable[[], Any] | None = None,
        project: str = PROJECT,
        namespace: str = "",
        limits: Limits | None = None,
        application: Callable[[], Flask] = Application,
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.clock = VirtualClock()
        self.skew = 0.0
        """Seconds by which the clock of the worker that runs is ahead of the servers' clock."""
        self.around: Around = around or _carry_out
        self.datastore_server = DatastoreServer(clock=self.clock)
        self.tasks = TasksServer(
            clock=self.clock, max_dispatches_per_second=1e9, max_concurrent_dispatches=1_000_000
        )
        tasks = intercepted(self.tasks.service, self._around)
        rows = intercepted(self.datastore_server.service, self._around)
        self._channels = Channels(datastore or (lambda: LocalChannel(rows)), lambda: LocalChannel(tasks))
        self._project, self._namespace = project, namespace
        self._limits, self._application, self._settings = limits, application, settings
        self.deploy(definitions)

    def deploy(self, definitions: str | Path) -> None:
        """Puts another version of the application in the place of this one, on the same servers."""
        self.app = self._application()
        settings = Settings(
            mode="local",
            project=self._project,
            namespace=self._namespace,
            definitions=str(Path(definitions).resolve()),
        )
        settings = replace(settings, **self._settings)
        self.fantasm: Fantasm = _Limited(
            self.app,
            settings,
            limits=self._limits,
            channels=self._channels,
            clock=lambda: self.clock() + self.skew,
            sleep=self._wait,
            chance=random.Random(0).random,  # noqa: S311  the same on every run
        )
        self._deliver = WsgiDelivery(self.app)
        self.client = Client(self.app)

    def _wait(self, _: float) -> None:
        """Lets a moment pass: the same one always, because waits are random and runs are to be repeatable."""
        self.clock.sleep(0.01)

    def _around(self, rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        return self.around(rpc, carry_out)

    @property
    def datastore(self) -> Any:
        """The Datastore client that actions use."""
        return self.fantasm.services.store.client()

    def start(self, url: str, **options: Any) -> TestResponse:
        """Requests a URL under ``/fantasm/fsm/``, by GET unless ``method`` says otherwise."""
        return self.client.open(f"{self.fantasm.definitions.root}/fsm/{url}", **options)

    def get(self, path: str) -> Any:
        """The JSON that a path under ``/fantasm/api/`` answers."""
        return self.client.get(f"{self.fantasm.definitions.root}/api/{path}").json

    def next_attempt(self) -> Attempt | None:
        """Moves the clock to the next task that is due and begins an attempt at it."""
        moment = self.tasks.next_time()
        if moment is None:
            return None
        self.clock.move_to(moment)
        return self.tasks.lease()

    def deliver(self, attempt: Attempt) -> Outcome:
        """Delivers an attempt and tells the queue what was answered; see ``tasks.fail_next`` for faults."""
        response = self._deliver(attempt.delivery) if attempt.calls_worker else None
        return self.tasks.finish(attempt, response)

    def answer(self, attempt: Attempt) -> int:
        """Delivers an attempt and answers the HTTP status, without telling the queue."""
        return self.response(attempt).status

    def response(self, attempt: Attempt) -> Response:
        """As :meth:`answer`, with the whole response."""
        return self._deliver(attempt.delivery)

    def run(self, most: int = 10_000) -> int:
        """Delivers every task that is or becomes due, and answers how many deliveries that took.

        A delivery in which the worker crashes is one that nobody answers: its task comes again.
        Raises ``RuntimeError`` when the queue is not empty after ``most`` of them.
        """
        for deliveries in range(most):
            attempt = self.next_attempt()
            if attempt is None:
                return deliveries
            try:
                self.deliver(attempt)
            except Crash:
                self.tasks.finish(attempt, None)
        raise RuntimeError(f"still not idle after {most} deliveries")

    def __enter__(self) -> Harness:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the servers."""
        self.tasks.close()
        self.datastore_server.close()


class _Limited(Fantasm):
    """The extension with limits of the test's own."""

    def __init__(self, *arguments: Any, limits: Limits | None, **options: Any) -> None:
        self._limits = limits
        super().__init__(*arguments, **options)

    def _connect(self) -> Backend:
        backend = super()._connect()
        if self._limits is None:
            return backend
        return replace(backend, services=replace(backend.services, limits=self._limits))


def _carry_out(_: Rpc, carry_out: Callable[[], Any]) -> Any:
    return carry_out()
