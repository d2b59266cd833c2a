"""The Flask extension: it ties the engine to Google's clients and to an application."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flask import Flask

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.core.codec import Codec
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.core.headers import QUEUE_HEADER, checked
from fantasm_gcp.engine.history import History
from fantasm_gcp.engine.ports import Limits, Services
from fantasm_gcp.engine.start import Ends, Started, start_many
from fantasm_gcp.errors import StartError
from fantasm_gcp.gateways.per_process import PerProcess
from fantasm_gcp.loader import load_actions, load_casts, load_definitions
from fantasm_gcp.registry import REGISTERED
from fantasm_gcp.settings import Settings, complete
from fantasm_gcp.web.blueprint import blueprint
from fantasm_gcp.web.current import EXTENSION

if TYPE_CHECKING:  # Google's clients are loaded when they are first needed, not by importing this
    from fantasm_gcp.gateways.clients import Channels


@dataclass(frozen=True, slots=True)
class Backend:
    """What one process has open: the engine's services and the history."""

    services: Services
    history: History


class Fantasm:
    """Serves the machines of an fsm.yaml in a Flask application, under ``/fantasm`` or its ``root_url``.

    Reading the definitions happens here, so that a wrong file stops the start: raises ``DefinitionError``
    with every problem. Google's clients are made in each process when they are first needed.

    ``datastore`` makes the client that actions use, once in each process, where it is not to be made from
    the settings.
    ``channels``, ``clock``, ``sleep`` and ``chance`` are for local servers and tests.
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
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._given = settings or Settings()
        self.channels = channels
        self._datastore = datastore
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._found = PerProcess(self._complete)
        self._backend = PerProcess(self._connect)
        self.definitions = Definitions()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Reads the definition file, which lies beside the application, and adds the paths."""
        definitions = load_definitions(Path(app.root_path) / self._given.definitions)
        self.definitions = _on_this_service(definitions, self._given)
        self._actions = load_actions(self.definitions)
        self._casts = load_casts(self.definitions)
        app.extensions[EXTENSION] = self
        app.register_blueprint(blueprint(self.definitions.root))

    def start_machine(
        self,
        machine: str,
        contexts: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = MappingProxyType({}),
        *,
        task_name: str | None = None,
        method: str = "POST",
        countdown: float | Sequence[float] = 0,
        queue: str | None = None,
        headers: Mapping[str, str | Sequence[str]] | None = None,
        raise_if_exists: bool = False,
        transaction: Any = None,
        on_complete: str | Sequence[str] = (),
        on_failure: str | Sequence[str] = (),
    ) -> tuple[Started, ...]:
        """Starts an instance of a machine for each context, and answers them in order.

        ``contexts`` is one dict or a list of them; None and an empty list start nothing. Text in them is cast
        by the machine's ``context_types``. ``countdown`` is in seconds: one number, or one for each context.
        ``method`` and ``queue`` are those of the instances' tasks; ``headers`` (``X-Fantasm-*``) last as long
        as the instances. ``on_complete`` and ``on_failure`` are told of an instance's end, each a machine, an
        https URL or a list of these.

        With a ``task_name`` the same call starts its instances once, however often it is made: those that are
        there already come back with ``created`` False, or raise :class:`AlreadyStartedError` where
        ``raise_if_exists``. In a ``transaction`` (a ``google.cloud.datastore`` one that has begun, of the
        same project, database and namespace) the instances start if it commits, and only then.

        Raises :class:`UnknownMachineError`, :class:`StartError` for arguments that cannot be, ``TypeError``
        for values that cannot cross a task boundary, and :class:`UnavailableError` where it is not certain
        that an instance will run: with a ``task_name`` the call may be repeated.
        """
        try:
            kept = checked(dict(checked(headers or {})) | ({QUEUE_HEADER: queue} if queue else {}))
            return start_many(
                self.services,
                machine,
                contexts,
                task_name=task_name,
                method=method,
                countdown=countdown,
                headers=kept,
                raise_if_exists=raise_if_exists,
                transaction=None if transaction is None else self.services.store.join(transaction),
                ends=Ends(_receivers(on_complete), _receivers(on_failure)),
            )
        except ValueError as error:
            raise StartError(str(error)) from error

    @property
    def settings(self) -> Settings:
        """The settings, with what the runtime tells where it was not given.

        Raises ``UnverifiedError`` where the metadata server is needed and does not answer.
        """
        return self._found()

    @property
    def datastore(self) -> Any:
        """The ``google.cloud.datastore.Client`` that actions use, of this process."""
        return self.services.store.client()

    @property
    def services(self) -> Services:
        """The engine's services of this process."""
        return self._backend().services

    @property
    def history(self) -> History:
        """What the API and the console read."""
        return self._backend().history

    def _complete(self) -> Settings:
        if not self._given.runtime:
            return complete(self._given)
        from fantasm_gcp.gateways.metadata import Metadata

        return complete(self._given, Metadata(self._given.metadata_host).find)

    def _connect(self) -> Backend:
        from fantasm_gcp.gateways import clients, keys
        from fantasm_gcp.gateways.cloud_tasks import CloudTasksQueue
        from fantasm_gcp.gateways.datastore import DatastoreStore
        from fantasm_gcp.gateways.history import DatastoreHistory
        from fantasm_gcp.gateways.webhooks import Webhooks
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
            self._casts,
            Codec(keys.adapters(), REGISTERED),
            store,
            queue,
            root=self.definitions.root,
            limits=replace(Limits(), inline_context=settings.inline_limit, resume_rate=settings.resume_rate),
            clock=self._clock,
            sleep=self._sleep,
            random=self._chance,
            webhooks=Webhooks(
                settings.webhook_secret, settings.webhook_hosts, settings.is_local, self._clock
            ),
            pin=_pin(settings),
        )
        return Backend(services, DatastoreHistory(store))


def _receivers(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _on_this_service(definitions: Definitions, settings: Settings) -> Definitions:
    """The definitions, with the built-in machines on the App Engine service that runs this."""
    service = settings.app_engine_service
    if service in ("", "default"):
        return definitions
    machines = {
        name: replace(machine, target=service) if name in BUILT_IN else machine
        for name, machine in definitions.machines.items()
    }
    return replace(definitions, machines=MappingProxyType(machines))


def _pin(settings: Settings) -> str | None:
    """Where the tasks of a pinned instance go: to the App Engine version that runs this."""
    version, service = settings.app_engine_version, settings.app_engine_service or "default"
    return f"{version}.{service}" if version else None
