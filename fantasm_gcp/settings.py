"""The settings: one table, read from an environment that is given, never looked up."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from fantasm_gcp.core.endpoints import parse_list
from fantasm_gcp.core.signing import parse_keys
from fantasm_gcp.errors import SettingsError

MOST_RESUMED = 500
"""The most parked steps that may be made to run again in a second: a queue's own default rate."""


def _setting(
    variable: str,
    doc: str,
    default: Any = "",
    parse: Callable[[str], Any] = str,
    *,
    is_secret: bool = False,
) -> Any:
    """One row of the table. What is secret is in no text that is made of the settings, errors included."""
    row = {"variable": variable, "doc": doc, "parse": parse, "is_secret": is_secret}
    return field(default=default, metadata=row, repr=not is_secret)


def _mode(text: str) -> str:
    if text not in ("", "local"):
        raise ValueError('only "local" is known')
    return text


def _bytes(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 90_000:
        raise ValueError("a number from 0 to 90000 is needed: a task takes 100 KB with its headers")
    return number


def _rate(text: str) -> float:
    number = float(text)
    if not 0 < number <= MOST_RESUMED:
        raise ValueError(f"a number of steps per second is needed, more than 0 and up to {MOST_RESUMED}")
    return number


def _secret(text: str) -> str:
    parse_keys(text)
    return text.strip()


@dataclass(frozen=True, slots=True)
class Settings:
    """Where an application runs and what it talks to."""

    mode: str = _setting(
        "FANTASM_MODE", '"local" opens every path to this machine; only for development', parse=_mode
    )
    definitions: str = _setting("FANTASM_DEFINITIONS", "the definition file", "fsm.yaml")
    project: str = _setting("GOOGLE_CLOUD_PROJECT", "the project of Datastore and Cloud Tasks")
    location: str = _setting("FANTASM_LOCATION", "the location of the queues", "us-central1")
    service: str = _setting(
        "FANTASM_SERVICE", "which of a project's services this is; every row names it", "default"
    )
    database: str = _setting("FANTASM_DATABASE", "the Datastore database; empty is the default one")
    namespace: str = _setting("FANTASM_NAMESPACE", "the Datastore namespace; empty is the default one")
    inline_limit: int = _setting(
        "FANTASM_INLINE_LIMIT", "bytes of a context that its task shows", 24 * 1024, parse=_bytes
    )
    datastore_emulator_host: str = _setting("DATASTORE_EMULATOR_HOST", "host:port of a Datastore emulator")
    tasks_emulator_host: str = _setting("CLOUD_TASKS_EMULATOR_HOST", "host:port of a Cloud Tasks emulator")
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
    app_engine_version: str = _setting("GAE_VERSION", "the version that is running; App Engine sets it")
    app_engine_service: str = _setting("GAE_SERVICE", "the service that is running; App Engine sets it")
    runtime: str = ""

    @property
    def is_local(self) -> bool:
        return self.mode == "local"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Reads the variables of the table.

        Raises ``SettingsError`` for a value that cannot be used, an unknown ``FANTASM_*`` variable, and
        local mode on App Engine or Cloud Run, where it would open everything to everyone.
        """
        table = {each.metadata["variable"]: each for each in fields(cls) if "variable" in each.metadata}
        _refuse_unknown(environ, tuple(table))
        values: dict[str, Any] = {"runtime": _runtime(environ)}
        for variable, each in table.items():
            text = environ.get(variable, "")
            try:
                values[each.name] = each.metadata["parse"](text) if text else each.default
            except ValueError as error:
                shown = variable if each.metadata["is_secret"] else f"{variable}={text!r}"
                raise SettingsError(f"{shown} cannot be used: {error}") from error
        if values["mode"] == "local" and values["runtime"]:
            raise SettingsError(f"FANTASM_MODE=local is refused on {values['runtime']}: unset it")
        return cls(**values)


def _refuse_unknown(environ: Mapping[str, str], known: tuple[str, ...]) -> None:
    for variable in environ:
        if variable.startswith("FANTASM_") and variable not in known:
            close = difflib.get_close_matches(variable, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(f"unknown setting {variable}{hint}")


def _runtime(environ: Mapping[str, str]) -> str:
    if environ.get("GAE_ENV") or environ.get("GAE_INSTANCE"):
        return "App Engine"
    return "Cloud Run" if environ.get("K_SERVICE") else ""


assert all(each.default is not MISSING for each in fields(Settings)), "every setting has a default"
