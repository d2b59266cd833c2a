"""The Flask extension: it ties the engine to Google's clients and to an application."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flask import Flask

from fantasm_gcp.core.codec import Codec
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.core.headers import QUEUE_HEADER, checked
from fantasm_gcp.engine.history import History
from fantasm_gcp.engine.ports import Limits, Services
from fantasm_gcp.engine.start import Ends, Started, start_many
from fantasm_gcp.errors import StartError, StoreError, UnverifiedError
from fantasm_gcp.gateways.per_process import PerProcess
from fantasm_gcp.loader import load_actions, load_casts, load_definitions
from fantasm_gcp.registry import REGISTERED
from fantasm_gcp.settings import GOOGLE_CERTIFICATES, PROJECT_PATH, Settings, complete
from fantasm_gcp.web.blueprint import blueprint
from fantasm_gcp.web.callers import Authorize, Verifier
from fantasm_gcp.web.current import EXTENSION
from fantasm_gcp.web.deliveries import refuse_services
from fantasm_gcp.web.deployment import deployed, pin_of, service_of
from fantasm_gcp.web.guard import Guard
from fantasm_gcp.web.observed import observe
from fantasm_gcp.web.start_tokens import DEFAULT_EXPIRES, longest_life, make_start_token, start_path

if TYPE_CHECKING:  # Google's clients are loaded when they are first needed, not by importing this
    from fantasm_gcp.gateways.clients import Channels
    from fantasm_gcp.gateways.metadata import Metadata


log = logging.getLogger("fantasm_gcp.web")

WARMUP = "/_ah/warmup"
"""Where App Engine asks an instance to get ready."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What one process has open: the engine's services and the history."""

    services: Services
    history: History


class Fantasm:
    """Serves the machines of an fsm.yaml in a Flask application, under ``/fantasm`` or its ``root_url``.

    Reading the definitions happens here, so that a wrong file stops the start: raises ``DefinitionError``
    with every problem. Google's clients are made in each process when they are first needed.

    ``url_prefix`` takes the place of the file's ``root_url``. Where a server mounts the application below a
    path, Flask's ``APPLICATION_ROOT`` has to say so: tasks are sent there.
    ``authorize`` is the application's own word on who may operate it: given a request, it answers
    ``"viewer"``, ``"operator"`` or None. It is asked where nothing else proves who calls.
    ``datastore`` makes the client that actions use, once in each process, where it is not to be made from
    the settings.
    ``channels``, ``clock``, ``sleep`` and ``chance`` are for local servers and tests.
    """

    def __init__(
        self,
        app: Flask | None = None,
        settings: Settings | None = None,
        *,
        url_prefix: str | None = None,
        authorize: Authorize | None = None,
        datastore: Callable[[], Any] | None = None,
        channels: Channels | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._given = settings or Settings()
        self.channels = channels
        self._url_prefix = url_prefix
        self._authorize = authorize
        self._datastore = datastore
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._metadata = PerProcess(self._make_metadata)
        self._found = PerProcess(self._complete)
        self._backend = PerProcess(self._connect)
        self._guard = PerProcess(self._make_guard)
        self._warmed = PerProcess(self._warm_up)
        self.definitions = Definitions()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Reads the definition file, which lies beside the application, and adds the paths."""
        definitions = load_definitions(Path(app.root_path) / self._given.definitions)
        refuse_services(definitions, self._given)
        self.definitions = deployed(definitions, self._url_prefix)
        self._root = app.config["APPLICATION_ROOT"].rstrip("/") + self.definitions.root
        self._actions = load_actions(self.definitions)
        self._casts = load_casts(self.definitions)
        app.extensions[EXTENSION] = self
        observe(app, self._given, self._project_of_lines)
        app.register_blueprint(blueprint(self.definitions.root))
        if self.is_deployed:
            _warn_of_tests(self._given)
            app.add_url_rule(WARMUP, "fantasm_warmup", self.warm_up)

    @property
    def is_deployed(self) -> bool:
        """Whether this runs on App Engine or Cloud Run."""
        return self._given.runtime != ""

    @property
    def has_app_engine_target(self) -> bool:
        """Whether App Engine delivers the tasks; known without asking the metadata server."""
        return self._given.has_app_engine_target

    def warm_up(self) -> tuple[str, int]:
        """Opens in this process what the first step would otherwise wait for: once, however often called.

        App Engine requests ``/_ah/warmup`` before an instance gets requests, if app.yaml asks for it.
        """
        self._warmed()
        return "", 204

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

    @property
    def guard(self) -> Guard:
        """What lets requests in."""
        return self._guard()

    def start_url(
        self,
        machine: str,
        context: Mapping[str, Any] = MappingProxyType({}),
        *,
        expires: float = DEFAULT_EXPIRES,
    ) -> str:
        """A path that starts a machine once, for whoever has it: an argument of it is a signed start token.

        It is good for so many seconds, for this machine and exactly this context. Whoever requests it again
        gets the instance that is there already. 10 days are the most, for a machine that keeps no records an
        hour. Raises :class:`UnknownMachineError`, :class:`SettingsError`
        without FANTASM_START_SECRET, and :class:`StartError` for a context that a token cannot have.
        """
        found = self.definitions.machine(machine)
        secret, now, most = self.settings.start_secret, self._clock(), longest_life(found)
        token = make_start_token(secret, found.name, context, expires=expires, now=now, most=most)
        return start_path(self._root, found.name, token)

    def _make_guard(self) -> Guard:
        return Guard(self.settings, PerProcess(self._make_verifier), self._authorize, self._clock)

    def _make_verifier(self) -> Verifier:
        from fantasm_gcp.gateways import identity

        return identity.Verifier(self.settings.certificates_url)

    def _warm_up(self) -> bool:
        """Whether Datastore could be read; where it could not, the first step finds out what is wrong."""
        try:
            self.services.store.holds()
        except (StoreError, UnverifiedError):
            log.warning("warming up: Datastore cannot be read yet", exc_info=True)
            return False
        return True

    def _make_metadata(self) -> Metadata:
        from fantasm_gcp.gateways.metadata import Metadata

        return Metadata(self._given.metadata_host)

    def _complete(self) -> Settings:
        return complete(self._given, lambda path: self._metadata().find(path))

    def _project_of_lines(self) -> str:
        """The project in log lines. It waits for no lock of ``settings``: who completes them may log."""
        if self._given.project or not self._given.is_in_cloud:
            return self._given.project
        return self._make_metadata().find(PROJECT_PATH)

    def _connect(self) -> Backend:
        from fantasm_gcp.gateways import clients, keys
        from fantasm_gcp.gateways.cloud_tasks import CloudTasksQueue, HttpTarget
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
        target = HttpTarget.of(settings)
        queue = CloudTasksQueue(
            settings.project,
            settings.location,
            tasks,
            self._sleep,
            target,
            settings.queue,
            service_of(settings),
        )
        services = Services(
            self.definitions,
            self._actions,
            self._casts,
            Codec(keys.adapters(), REGISTERED),
            store,
            queue,
            root=self._root,
            limits=replace(Limits(), inline_context=settings.inline_limit, resume_rate=settings.resume_rate),
            clock=self._clock,
            sleep=self._sleep,
            random=self._chance,
            webhooks=Webhooks(
                settings.webhook_secret, settings.webhook_hosts, settings.is_local, self._clock
            ),
            pin=pin_of(settings),
        )
        return Backend(services, DatastoreHistory(store))


def _receivers(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _warn_of_tests(settings: Settings) -> None:
    """Says what is in the environment of a deployment and belongs into one of tests."""
    for variable, given in (
        ("DATASTORE_EMULATOR_HOST", settings.datastore_emulator_host),
        ("CLOUD_TASKS_EMULATOR_HOST", settings.tasks_emulator_host),
        ("FANTASM_CERTIFICATES_URL", settings.certificates_url.replace(GOOGLE_CERTIFICATES, "")),
    ):
        if given:
            log.warning("%s is set on %s: that is for tests", variable, settings.runtime)
