"""The settings: one table, read from an environment that is given, never looked up."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from fantasm_gcp.core.definition import QUEUE_PATTERN
from fantasm_gcp.core.endpoints import parse_list
from fantasm_gcp.core.signing import parse_keys
from fantasm_gcp.errors import SettingsError

MOST_RESUMED = 500
"""The most parked steps that may be made to run again in a second: a queue's own default rate."""

APP_ENGINE: Final = "App Engine"
CLOUD_RUN: Final = "Cloud Run"
"""The runtimes that are known, as they are written for people."""

DEVELOPMENT: Final = "localdev"
"""``GAE_ENV`` under App Engine's development server, ``dev_appserver.py``."""

APP_ENGINE_TARGET: Final = "app-engine"
"""The target of tasks that App Engine itself delivers, to the service that a transition names."""

GOOGLE_CERTIFICATES: Final = "https://www.googleapis.com/oauth2/v1/certs"

DEFAULT_LOCATION: Final = "us-central1"
DEFAULT_SERVICE: Final = "default"

COMMAND_LINE: Final = ("FANTASM_URL", "FANTASM_TOKEN")
"""Variables of the command line, which an application has no use for and lets be."""

PROJECT_PATH: Final = "project/project-id"
"""Where the metadata server has the project's id."""

Find = Callable[[str], str]
"""Asks the metadata server for a value by its path below ``computeMetadata/v1/``."""

_EVERYBODY: Final = ("gmail.com", "googlemail.com")
"""Domains in which anybody may have an account, beside those of Google's service accounts."""

_PLAIN = re.compile(r"[!-~]+")
_ACCOUNT = re.compile(r"(?:[^@\s,*]+|\*)@[a-z0-9-]+(?:\.[a-z0-9-]+)+")


def _setting(
    variable: str,
    doc: str,
    default: Any = "",
    parse: Callable[[str], Any] = str,
    *,
    is_secret: bool = False,
    found: str = "",
) -> Any:
    """One row of the table. ``found`` says where a value that is not given comes from.

    What is secret is in no text that is made of the settings, errors included.
    """
    row = {"variable": variable, "doc": doc, "parse": parse, "is_secret": is_secret, "found": found}
    return field(default=default, metadata=row, repr=not is_secret)


def _one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError("what is known is " + ", ".join(f'"{each}"' for each in values))
        return text

    return parse


def _mode(text: str) -> str:
    if text != "local":
        raise ValueError('only "local" is known')
    return text


def _bytes(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 90_000:
        raise ValueError("a number from 0 to 90000 is needed: a task takes 100 KB with its headers")
    return int(text)


def _rate(text: str) -> float:
    number = float(text)
    if not 0 < number <= MOST_RESUMED:
        raise ValueError(f"a number of steps per second is needed, more than 0 and up to {MOST_RESUMED}")
    return number


def _secret(text: str) -> str:
    parse_keys(text)
    return text.strip()


def _queue(text: str) -> str:
    if not re.fullmatch(QUEUE_PATTERN, text):
        raise ValueError("a queue has 1 to 100 letters, digits and dashes")
    return text


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise ValueError("printable ASCII without spaces is needed")
    return text


def _target(text: str) -> str:
    """``app-engine``, or the URL in front of the root; without encryption only this machine."""
    if text == APP_ENGINE_TARGET:
        return text
    parts = urlsplit(_plain(text))
    is_near = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if (
        not parts.hostname
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
        or not (parts.scheme == "https" or is_near)
    ):
        raise ValueError(f'"{APP_ENGINE_TARGET}" or an https URL is needed, as https://name.example.com')
    return text.rstrip("/")


def _certificates_url(text: str) -> str:
    if _target(text) == APP_ENGINE_TARGET:
        raise ValueError("an https URL is needed")
    return text


def _accounts(text: str) -> tuple[str, ...]:
    """Email addresses; ``*@example.com`` is everybody of that domain."""
    accounts = tuple(each.strip().lower() for each in text.split(",") if each.strip())
    for each in accounts:
        if not _ACCOUNT.fullmatch(each):
            raise ValueError(f"{each!r} is no account: write name@example.com, or *@example.com")
        if each.startswith("*@") and _is_everybodys(each[2:]):
            raise ValueError(f"{each!r} is everybody: anybody may have an account of that domain")
    return accounts


def _is_everybodys(domain: str) -> bool:
    """Whether a domain is no project's and no organization's: anybody may have an account in it."""
    of_programs = f".{domain}".endswith(".gserviceaccount.com")
    return domain in _EVERYBODY or (of_programs and not domain.endswith(".iam.gserviceaccount.com"))


def _account(text: str) -> str:
    accounts = _accounts(text)
    if len(accounts) != 1 or accounts[0].startswith("*"):
        raise ValueError("one account is needed, as name@project.iam.gserviceaccount.com")
    return accounts[0]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where an application runs, what it talks to, and who may talk to it.

    ``origins`` says of each attribute where its value comes from.
    """

    mode: str = _setting(
        "FANTASM_MODE", '"local" opens every path to this machine; only for development', parse=_mode
    )
    definitions: str = _setting("FANTASM_DEFINITIONS", "the definition file", "fsm.yaml")
    project: str = _setting(
        "GOOGLE_CLOUD_PROJECT",
        "the project of Datastore and Cloud Tasks",
        found="App Engine sets it; on Cloud Run of the metadata server",
    )
    location: str = _setting(
        "FANTASM_LOCATION",
        "the location of the queues",
        found=f"the region that the metadata server names; elsewhere {DEFAULT_LOCATION}",
    )
    queue: str = _setting(
        "FANTASM_QUEUE", "the queue of what names none, or the one called default", "default", _queue
    )
    target: str = _setting(
        "FANTASM_TARGET",
        f'where tasks go: "{APP_ENGINE_TARGET}", or the URL under which this application is served',
        parse=_target,
        found=f"{APP_ENGINE_TARGET}; on Cloud Run the service's own URL",
    )
    service_account: str = _setting(
        "FANTASM_SERVICE_ACCOUNT",
        "the account that tasks with a URL as target come from",
        parse=_account,
        found="the account that the application runs as",
    )
    audience: str = _setting(
        "FANTASM_AUDIENCE",
        "what an ID token has to be for; without it none is taken",
        parse=_plain,
        found="the target, where that is a URL",
    )
    scheduler_account: str = _setting(
        "FANTASM_SCHEDULER_ACCOUNT",
        "the account that Cloud Scheduler's jobs come from",
        parse=_account,
        found="FANTASM_SERVICE_ACCOUNT",
    )
    verified_by: str = _setting(
        "FANTASM_VERIFIED_BY",
        '"cloud-run" where the service requires authentication: Cloud Run has verified every token then, and '
        "taken its signature away",
        parse=_one_of("cloud-run"),
    )
    operators: tuple[str, ...] = _setting(
        "FANTASM_OPERATORS",
        "accounts that may look, start and command, with commas between; *@example.com is all of a domain",
        (),
        _accounts,
    )
    viewers: tuple[str, ...] = _setting(
        "FANTASM_VIEWERS", "accounts that may look, and no more", (), _accounts
    )
    starters: tuple[str, ...] = _setting(
        "FANTASM_STARTERS", "accounts that may start machines, and no more", (), _accounts
    )
    start_secret: str = _setting(
        "FANTASM_START_SECRET",
        "what start tokens are signed with; of several with spaces between them the first signs",
        parse=_secret,
        is_secret=True,
    )
    iap_audience: str = _setting(
        "FANTASM_IAP_AUDIENCE",
        "what an assertion of Identity-Aware Proxy has to be for",
        parse=_plain,
        found="that of IAP in front of this App Engine application or Cloud Run service",
    )
    service: str = _setting(
        "FANTASM_SERVICE",
        "which of a project's services this is; every row names it, and only its own are seen",
        found="the service of App Engine or Cloud Run that is running; elsewhere default",
    )
    database: str = _setting("FANTASM_DATABASE", "the Datastore database; empty is the default one")
    namespace: str = _setting("FANTASM_NAMESPACE", "the Datastore namespace; empty is the default one")
    inline_limit: int = _setting(
        "FANTASM_INLINE_LIMIT", "bytes of a context that its task shows", 24 * 1024, parse=_bytes
    )
    logs: str = _setting(
        "FANTASM_LOGS",
        'how logs are written: "json" as Cloud Logging reads them, "text", or "none" to leave logging alone',
        parse=_one_of("json", "text", "none"),
        found="json on App Engine and Cloud Run; elsewhere none",
    )
    datastore_emulator_host: str = _setting("DATASTORE_EMULATOR_HOST", "host:port of a Datastore emulator")
    tasks_emulator_host: str = _setting("CLOUD_TASKS_EMULATOR_HOST", "host:port of a Cloud Tasks emulator")
    certificates_url: str = _setting(
        "FANTASM_CERTIFICATES_URL",
        "the certificates that ID tokens are verified with; another than Google's only for tests",
        GOOGLE_CERTIFICATES,
        _certificates_url,
    )
    webhook_secret: str = _setting(
        "FANTASM_WEBHOOK_SECRET",
        "what webhooks are signed with; several with spaces between them all sign",
        parse=_secret,
        is_secret=True,
    )
    webhook_hosts: tuple[str, ...] = _setting(
        "FANTASM_WEBHOOK_HOSTS",
        "hosts that webhooks may go to, with commas between them",
        (),
        parse_list,
    )
    resume_rate: float = _setting(
        "FANTASM_RESUME_RATE", "parked steps per second that run again after a pause or a hold", 50, _rate
    )
    app_engine_environment: str = _setting(
        "GAE_ENV", '"standard" on App Engine, "localdev" on its development server, which set it'
    )
    app_engine_version: str = _setting("GAE_VERSION", "the version that is running; App Engine sets it")
    app_engine_service: str = _setting("GAE_SERVICE", "the service that is running; App Engine sets it")
    cloud_run_service: str = _setting("K_SERVICE", "the service that is running; Cloud Run sets it")
    cloud_run_revision: str = _setting("K_REVISION", "the revision that is running; Cloud Run sets it")
    metadata_host: str = _setting(
        "GCE_METADATA_HOST", "host:port of the metadata server", "metadata.google.internal"
    )
    runtime: str = ""
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_local(self) -> bool:
        return self.mode == "local"

    @property
    def is_in_cloud(self) -> bool:
        """Whether this is App Engine or Cloud Run itself: a development server has no metadata server."""
        return self.runtime != "" and self.app_engine_environment != DEVELOPMENT

    @property
    def has_app_engine_target(self) -> bool:
        """Whether App Engine delivers the tasks; else they are HTTP requests to a URL.

        That is certain before the settings are completed: on Cloud Run only the URL is still to be found.
        """
        if not self.target:
            return self.runtime != CLOUD_RUN
        return self.target == APP_ENGINE_TARGET

    @property
    def version(self) -> str:
        """The deployed version, as the runtime names it."""
        return self.app_engine_version or self.cloud_run_revision

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Reads the variables of the table.

        Raises ``SettingsError`` for a value that cannot be used, an unknown ``FANTASM_*`` variable, and
        local mode on App Engine or Cloud Run, where it would open everything to everyone.
        """
        table = {each.metadata["variable"]: each for each in fields(cls) if "variable" in each.metadata}
        refuse_unknown(environ)
        values: dict[str, Any] = {"runtime": _runtime(environ)}
        origins = {}
        for variable, each in table.items():
            text = environ.get(variable, "").strip()
            origins[each.name] = ENVIRONMENT if text else DEFAULT
            try:
                values[each.name] = each.metadata["parse"](text) if text else each.default
            except ValueError as error:
                shown = variable if each.metadata["is_secret"] else f"{variable}={text!r}"
                raise SettingsError(f"{shown} cannot be used: {error}") from error
        if values["mode"] == "local" and values["runtime"]:
            raise SettingsError(f"FANTASM_MODE=local is refused on {values['runtime']}: unset it")
        if values["verified_by"] and values["runtime"] not in ("", CLOUD_RUN):
            raise SettingsError(f"FANTASM_VERIFIED_BY is for Cloud Run: unset it on {values['runtime']}")
        given = cls(**values, origins=MappingProxyType(origins))
        return given if given.runtime else complete(given)


ENVIRONMENT: Final = "environment"
DEFAULT: Final = "default"
METADATA: Final = "metadata server"
"""Where values come from; others say what they were derived of."""


def _find_nothing(_: str) -> str:
    return ""


def complete(settings: Settings, find: Find = _find_nothing) -> Settings:
    """The settings with what was not given found from the runtime.

    ``find`` is asked only on App Engine and Cloud Run, and only for what is needed; it answers nothing where
    there is nothing. Raises what it raises. Idempotent: what is there is kept.
    """
    in_cloud = settings.is_in_cloud
    made = _Completion(settings)
    if in_cloud:
        made.fill("project", METADATA, lambda: find(PROJECT_PATH))
        made.fill("location", METADATA, lambda: _region(find))
        made.fill("logs", settings.runtime, lambda: "json")
    running = settings.app_engine_service or settings.cloud_run_service
    made.fill("service", settings.runtime or DEFAULT, lambda: running or DEFAULT_SERVICE)
    made.fill("location", DEFAULT, lambda: DEFAULT_LOCATION)
    made.fill("logs", DEFAULT, lambda: "none")
    if settings.runtime == CLOUD_RUN:
        made.fill("target", METADATA, lambda: _cloud_run_url(made.settings, find))
        if not made.settings.target:
            raise SettingsError("the URL of this service cannot be found: set FANTASM_TARGET to it")
    made.fill("target", settings.runtime or DEFAULT, lambda: APP_ENGINE_TARGET)
    if not made.settings.has_app_engine_target:
        made.fill("audience", "FANTASM_TARGET", lambda: made.settings.target)
        if in_cloud:
            made.fill("service_account", METADATA, lambda: find("instance/service-accounts/default/email"))
    made.fill("scheduler_account", "FANTASM_SERVICE_ACCOUNT", lambda: made.settings.service_account)
    if in_cloud:
        made.fill("iap_audience", METADATA, lambda: _iap_audience(made.settings, find))
    return made.settings


class _Completion:
    """Settings that are being filled in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def fill(self, name: str, origin: str, value: Callable[[], str]) -> None:
        """Gives an attribute a value where it has none."""
        if getattr(self.settings, name):
            return
        found = value()
        if found:
            origins = MappingProxyType({**self.settings.origins, name: origin})
            changes: dict[str, Any] = {name: found, "origins": origins}
            self.settings = replace(self.settings, **changes)


def _region(find: Find) -> str:
    """Where this runs; the queues may be elsewhere."""
    return find("instance/region").rpartition("/")[2]


def _cloud_run_url(settings: Settings, find: Find) -> str:
    """The URL of a service that Cloud Run makes of its name, the project's number and the region."""
    number, region = find("project/numeric-project-id"), _region(find)
    if not (number and region):
        return ""
    return f"https://{settings.cloud_run_service}-{number}.{region}.run.app"


def _iap_audience(settings: Settings, find: Find) -> str:
    number = find("project/numeric-project-id")
    if settings.runtime == APP_ENGINE:
        return f"/projects/{number}/apps/{settings.project}" if number and settings.project else ""
    region = _region(find)
    if not (number and region):
        return ""
    return f"/projects/{number}/locations/{region}/services/{settings.cloud_run_service}"


def refuse_unknown(environ: Mapping[str, str]) -> None:
    """Raises ``SettingsError`` for a ``FANTASM_*`` variable that neither an application nor the CLI knows."""
    known = *(each.metadata["variable"] for each in fields(Settings) if each.metadata), *COMMAND_LINE
    for variable in environ:
        if variable.startswith("FANTASM_") and variable not in known:
            close = difflib.get_close_matches(variable, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(f"unknown setting {variable}{hint}")


def _runtime(environ: Mapping[str, str]) -> str:
    if environ.get("GAE_ENV") in ("standard", DEVELOPMENT):
        return APP_ENGINE
    if environ.get("GAE_ENV") or environ.get("GAE_INSTANCE"):
        raise SettingsError(
            "this is neither App Engine standard nor Cloud Run: in the flexible environment nothing proves "
            "that a request is a task"
        )
    return CLOUD_RUN if environ.get("K_SERVICE") else ""


assert all(each.default is not MISSING for each in fields(Settings) if each.metadata), "each has a default"
