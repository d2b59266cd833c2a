"""The Flask extension: it ties the engine to Google's clients and to an application."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.engine.history import History
from fantasm_gcp.engine.ports import Limits, Services
from fantasm_gcp.gateways.per_process import PerProcess
from fantasm_gcp.loader import load_actions, load_definitions
from fantasm_gcp.settings import Settings
from fantasm_gcp.web.blueprint import ROOT, blueprint
from fantasm_gcp.web.current import EXTENSION

if TYPE_CHECKING:  # Google's clients are loaded when they are first needed, not by importing this
    from fantasm_gcp.gateways.clients import Channels


@dataclass(frozen=True, slots=True)
class Backend:
    """What one process has open: the engine's services and the history."""

    services: Services
    history: History


class Fantasm:
    """Serves the machines of an fsm.yaml under ``/fantasm`` of a Flask application.

    Reading the definitions happens here, so that a wrong file stops the start: raises ``DefinitionError``
    with every problem. Google's clients are made in each process when they are first needed.

    ``datastore`` makes the client that actions use, once in each process, where it is not to be made from
    the settings.
    ``channels``, ``clock`` and ``sleep`` are for local servers and tests.
    """

    def __init__(
        self,
        app: Flask | None = None,
        settings: Settings | None = None,
        *,
        datastore: Callable[[], Any] | None = None,
        channels: Channels | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings or Settings()
        self.channels = channels
        self._datastore = datastore
        self._clock = clock
        self._sleep = sleep
        self._backend = PerProcess(self._connect)
        self.definitions = Definitions()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Reads the definition file, which lies beside the application, and adds the paths."""
        self.definitions = load_definitions(Path(app.root_path) / self.settings.definitions)
        self._actions = load_actions(self.definitions)
        app.extensions[EXTENSION] = self
        app.register_blueprint(blueprint())

    @property
    def services(self) -> Services:
        """The engine's services of this process."""
        return self._backend().services

    @property
    def history(self) -> History:
        """What the API and the console read."""
        return self._backend().history

    def _connect(self) -> Backend:
        from fantasm_gcp.gateways import clients
        from fantasm_gcp.gateways.cloud_tasks import CloudTasksQueue
        from fantasm_gcp.gateways.datastore import DatastoreStore
        from fantasm_gcp.gateways.history import DatastoreHistory
        from fantasm_gcp.gateways.wire import Place, Wire

        settings = self.settings
        channels = self.channels or clients.Channels.of(settings)
        api = PerProcess(lambda: clients.datastore_api(channels))
        users = PerProcess(self._datastore or (lambda: clients.datastore_users(channels, settings, api())))
        place = Place(settings.project, settings.database, settings.namespace, settings.service)
        store = DatastoreStore(Wire(place, api, self._sleep), users, self._clock)
        tasks = PerProcess(lambda: clients.tasks_api(channels))
        queue = CloudTasksQueue(settings.project, settings.location, tasks, self._sleep)
        services = Services(
            self.definitions,
            self._actions,
            store,
            queue,
            root=ROOT,
            limits=replace(Limits(), inline_context=settings.inline_limit),
            clock=self._clock,
            sleep=self._sleep,
        )
        return Backend(services, DatastoreHistory(store))
