"""`fantasm settings`: what an application would be set to here, or with an app.yaml, and by what."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final

import click

from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.cli.table import render_table
from fantasm_gcp.errors import DefinitionError, SettingsError, UnverifiedError
from fantasm_gcp.settings import APP_ENGINE, DEFAULT, ENVIRONMENT, Find, Settings, complete

_STAND_INS: Final = MappingProxyType(
    {
        "project/project-id": "<PROJECT>",
        "project/numeric-project-id": "<NUMBER>",
        "instance/region": "projects/<NUMBER>/regions/<REGION>",
        "instance/service-accounts/default/email": "<ACCOUNT>",
    }
)
"""What stands for an answer of the metadata server that there is not: no answer has such brackets."""

_OF_APP_ENGINE: Final = MappingProxyType(
    {"GAE_ENV": "standard", "GAE_VERSION": "<VERSION>", "GOOGLE_CLOUD_PROJECT": "<PROJECT>"}
)
"""Variables that App Engine sets whatever app.yaml says."""

_APP_YAML: Final = "app.yaml"
_GIVEN: Final = (ENVIRONMENT, _APP_YAML)


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting. A ``value`` that only the running application finds has a name in <>."""

    variable: str
    value: Any
    origin: str
    is_derived: bool
    is_secret: bool
    is_known: bool

    @property
    def text(self) -> str:
        """The value for people; that of a secret only says that there is one."""
        if self.is_secret:
            return "set" if self.value else ""
        return ", ".join(self.value) if isinstance(self.value, tuple) else str(self.value)

    @property
    def told(self) -> str:
        """Where the value comes from, for people."""
        if self.is_derived:
            return f"derived from {self.origin}"
        return self.origin if self.text else "not set"


@click.command("settings")
@click.option(
    "--app-yaml",
    metavar="FILE",
    help="Show what App Engine gives the service of this app.yaml, in place of this environment.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def command(ctx: click.Context, app_yaml: str | None, form: str) -> None:
    """Show every setting, its value, and where that comes from.

    What was not given is found from the runtime: on App Engine and Cloud Run the metadata server is asked. A
    name in <> stands for what the application finds when it runs. Secrets are shown as "set".

    Exit status: 0, 1 when the metadata server does not answer, 2 for settings that cannot be used.
    """
    try:
        environ, given_by = _read_given(app_yaml)
        settings = Settings.from_environ(environ)
    except SettingsError as error:
        raise Refusal(str(error)) from error
    finding = _Finding(_stand_in if app_yaml or not settings.runtime else _metadata(settings))
    rows = tuple(_shown(complete(settings, finding), given_by))
    click.echo(_as_json(settings, rows) if form == "json" else _as_table(settings, rows))
    if finding.failure is not None:
        click.echo(f"fantasm: {finding.failure}", err=True)
        ctx.exit(1)


def _read_given(app_yaml: str | None) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """An environment, and where each of its variables comes from; without that, it is the environment."""
    if app_yaml is None:
        return os.environ, {}
    from fantasm_gcp.loader.app_yaml import read_app_yaml

    try:
        read = read_app_yaml(app_yaml)
    except DefinitionError as error:
        raise Refusal(str(error)) from error
    for warning in read.warnings:
        click.echo(str(warning), err=True)
    theirs = {**_OF_APP_ENGINE, "GAE_SERVICE": read.service}
    origins = dict.fromkeys(read.env_variables, _APP_YAML) | dict.fromkeys(theirs, APP_ENGINE)
    return {**read.env_variables, **theirs}, origins


class _Finding:
    """Asks for what the runtime knows; what there is no answer for has something that stands for it."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self.failure: UnverifiedError | None = None

    def __call__(self, path: str) -> str:
        if self.failure is None:
            try:
                return self._find(path)
            except UnverifiedError as error:
                self.failure = error
        return _stand_in(path)


def _stand_in(path: str) -> str:
    return _STAND_INS.get(path, f"<{path}>")


def _metadata(settings: Settings) -> Callable[[str], str]:
    from fantasm_gcp.gateways.metadata import Metadata

    return Metadata(settings.metadata_host).find


def _shown(settings: Settings, given_by: Mapping[str, str]) -> Iterator[Shown]:
    for each in fields(settings):
        if "variable" not in each.metadata:
            continue
        variable, value = each.metadata["variable"], getattr(settings, each.name)
        origin = settings.origins.get(each.name, DEFAULT)
        is_derived = origin not in (ENVIRONMENT, DEFAULT)
        told = given_by.get(variable, origin) if origin == ENVIRONMENT else origin
        is_known = told in _GIVEN or not (isinstance(value, str) and "<" in value)
        yield Shown(variable, value, told, is_derived, each.metadata["is_secret"], is_known)


def _as_table(settings: Settings, rows: tuple[Shown, ...]) -> str:
    where = settings.runtime or "neither App Engine nor Cloud Run"
    cells = [(each.variable, each.text, each.told) for each in rows]
    return f"runtime: {where}\n\n{render_table(('SETTING', 'VALUE', 'COMES FROM'), cells)}"


def _as_json(settings: Settings, rows: tuple[Shown, ...]) -> str:
    listed = [
        {
            "variable": each.variable,
            "value": each.text if each.is_secret else each.value if each.is_known else None,
            "origin": each.origin,
            "derived": each.is_derived,
            "known": each.is_known,
        }
        for each in rows
    ]
    return json.dumps({"runtime": settings.runtime, "settings": listed}, indent=2)
