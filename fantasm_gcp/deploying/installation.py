"""What is to be installed: names that have been checked, and what follows of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from fantasm_gcp.core.definition import DEFAULT_ROOT, Definitions
from fantasm_gcp.deploying.commands import NUMBER
from fantasm_gcp.errors import SettingsError
from fantasm_gcp.settings import APP_ENGINE, CLOUD_RUN, Settings

DEFAULT_DATABASE: Final = "(default)"
DEFAULT_QUEUE: Final = "default"
DEFAULT_CONCURRENCY: Final = 16
"""Requests at a time in an instance of Cloud Run: the threads of the Dockerfile's gunicorn."""

_REGIONS: Final[Mapping[str, str]] = {"us-central1": "us-central", "europe-west1": "europe-west"}
"""Regions that App Engine alone calls otherwise (cloud.google.com/appengine/docs/standard/locations)."""

_PATTERNS: Final[Mapping[str, tuple[str, str]]] = {
    "project": (r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project's id, as acme-prod"),
    "region": (r"[a-z]+(?:-[a-z]+)+[0-9]{1,2}", "a region, as us-central1"),
    "service": (r"[a-z](?:[a-z0-9-]{0,47}[a-z0-9])?", "up to 49 small letters, digits and dashes"),
    "database": (r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]", "4 to 63 small letters, digits and dashes"),
    "database location": (r"[a-z]+(?:-[a-z]+)*[0-9]{1,2}", "a region as us-central1, or nam5 or eur3"),
    "account": (r"[a-z0-9][a-z0-9.-]*@[a-z0-9-]+(?:\.[a-z0-9-]+)+", "an account as name@project.iam.…"),
    "secret": (r"[A-Za-z0-9_-]{1,255}", "letters, digits, dashes and underscores"),
    "project number": (r"[0-9]{1,30}|" + re.escape(NUMBER), "a number"),
}


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and how it is configured; None leaves to Cloud Tasks what is not written anywhere.

    ``rate`` is in dispatches per second; ``attempts`` -1 stands for no limit; ``age`` and the backoffs are
    in seconds. ``routing`` is what all of its tasks go to, as ``service:NAME``.
    """

    name: str
    rate: float | None = None
    concurrent: int | None = None
    attempts: int = -1
    age: int | None = None
    min_backoff: float | None = None
    max_backoff: float | None = None
    doublings: int | None = None
    routing: str = ""
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A request at regular times: a path with its query, and a schedule as cron.yaml has it.

    ``limits`` are further flags of ``gcloud scheduler jobs create http``.
    """

    path: str
    schedule: str
    time_zone: str = ""
    description: str = ""
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """An application on a runtime. Every name in it has been checked: raises ``SettingsError`` otherwise.

    ``settings`` are those that it runs with, as far as they are known. ``variables`` are given to it, on
    Cloud Run, beside those that follow from this; ``secrets`` says of others which secret holds them.
    ``number`` is the project's, or stands for it. ``files`` are those beside its app.yaml that are there,
    ``doubts`` is what that says and hardly means.
    """

    runtime: str
    project: str
    region: str
    service: str
    settings: Settings = field(default_factory=Settings)
    root: str = DEFAULT_ROOT
    queues: tuple[Queue, ...] = ()
    jobs: tuple[Job, ...] = ()
    runtime_account: str = ""
    number: str = NUMBER
    database_location: str = ""
    public: bool = False
    concurrency: int = DEFAULT_CONCURRENCY
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secrets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    files: frozenset[str] = frozenset()
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.runtime not in (APP_ENGINE, CLOUD_RUN):
            raise SettingsError(f"runtime {self.runtime!r} is not known")
        for name, value in self._names():
            pattern, wanted = _PATTERNS[name]
            if re.fullmatch(pattern, value) is None:
                raise SettingsError(f"{name} {value!r} cannot be used: {wanted} is needed")

    def _names(self) -> Iterator[tuple[str, str]]:
        yield from (("project", self.project), ("region", self.region), ("service", self.service))
        yield from (("database", self.database), ("project number", self.number))
        if self.database_location:
            yield "database location", self.database_location
        for each in (self.runtime_account, self.settings.service_account, self.settings.scheduler_account):
            if each:
                yield "account", each
        for secret in self.secrets.values():
            yield "secret", secret

    @property
    def on_cloud_run(self) -> bool:
        return self.runtime == CLOUD_RUN

    @property
    def app_engine_region(self) -> str:
        """What App Engine calls the region."""
        return _REGIONS.get(self.region, self.region)

    @property
    def database(self) -> str:
        return self.settings.database or DEFAULT_DATABASE

    @property
    def account(self) -> str:
        """What the application runs as: on App Engine that of the application, unless it is named."""
        if self.runtime_account:
            return self.runtime_account
        if self.on_cloud_run:
            return self.own_account("fantasm-run")
        return f"{_domain(self.project)}@appspot.gserviceaccount.com"

    @property
    def task_account(self) -> str:
        """Whose tokens tasks bring along, where they are requests to a URL."""
        return self.settings.service_account or self.own_account("fantasm-tasks")

    @property
    def scheduler_account(self) -> str:
        """Whose tokens Cloud Scheduler's requests bring along."""
        return self.settings.scheduler_account or self.own_account("fantasm-scheduler")

    @property
    def build_account(self) -> str:
        """What Cloud Build makes the container as."""
        return self.own_account("fantasm-build")

    def own_account(self, name: str) -> str:
        """A service account of the project's own."""
        return f"{name}@{_domain(self.project)}.iam.gserviceaccount.com"

    def is_own(self, account: str) -> bool:
        """Whether an account is one that can be made in the project."""
        return account == self.own_account(account.partition("@")[0])

    @property
    def given_url(self) -> str:
        """Where the application is served, if that was said."""
        return "" if self.settings.has_app_engine_target else self.settings.target

    @property
    def run_url(self) -> str:
        """The URL that Cloud Run makes of the service's name, the project's number and the region."""
        return f"https://{self.service}-{self.number}.{self.region}.run.app"

    @property
    def url(self) -> str:
        """The URL that tasks and Cloud Scheduler's jobs are sent to; of App Engine none is known here."""
        return self.given_url or (self.run_url if self.on_cloud_run else "")

    @property
    def audience(self) -> str:
        """What ID tokens are made for."""
        return self.settings.audience or self.url


def region_of(location: str) -> str:
    """A region as everything but App Engine calls it."""
    return next((each for each, alias in _REGIONS.items() if alias == location), location)


def queues_of(definitions: Definitions, settings: Settings, configured: Iterable[Queue]) -> tuple[Queue, ...]:
    """The queues that are configured, and those besides that definitions send tasks to."""
    queues = {each.name: each for each in configured}
    for name in sorted(set(_named(definitions))):
        # The queue called default is the one of the settings: an application can do without that name.
        known = settings.queue if name == DEFAULT_QUEUE else name
        queues.setdefault(known, Queue(known))
    return tuple(queues.values())


def _named(definitions: Definitions) -> Iterator[str]:
    for machine in definitions:
        yield machine.queue
        for state in machine.states:
            yield from (each.queue for each in state.transitions if each.queue is not None)


def _domain(project: str) -> str:
    """A project in the names of its accounts: that of a domain, ``example.com:name``, is turned around."""
    domain, colon, name = project.rpartition(":")
    return f"{name}.{domain}" if colon else project
