"""From options, the environment and the files of an application to its installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.deploying import Installation, Job, Queue
from fantasm_gcp.deploying.installation import DEFAULT_CONCURRENCY, queues_of, region_of
from fantasm_gcp.errors import DefinitionError, SettingsError
from fantasm_gcp.loader import AppYaml, QueueEntry, load_definitions, load_queues, read_app_yaml
from fantasm_gcp.loader.cron_yaml import CronEntry, load_cron
from fantasm_gcp.settings import (
    APP_ENGINE,
    CLOUD_RUN,
    COMMAND_LINE,
    DEFAULT_LOCATION,
    Settings,
    refuse_unknown,
)

RUNTIMES: Final[Mapping[str, str]] = {"app-engine": APP_ENGINE, "cloud-run": CLOUD_RUN}
DEFAULT_SERVICE: Final = "fantasm"
CRON: Final = "cron.yaml"

_NOT_DEPLOYED: Final = (
    *("FANTASM_MODE", "FANTASM_VERIFIED_BY", "FANTASM_CERTIFICATES_URL", "FANTASM_LOCATION"),
    *COMMAND_LINE,
)
"""Variables of a developer's machine, and what follows from the installation."""

_ON_APP_ENGINE: Final = {"GAE_ENV": "standard"}
"""By which the settings of app.yaml are read as they will be there."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; None is what it leaves open."""

    runtime: str
    project: str | None
    region: str | None
    service: str | None
    account: str | None
    public: bool = False
    database_location: str | None = None
    concurrency: int = DEFAULT_CONCURRENCY
    secrets: tuple[str, ...] = ()


def installation_options(command: F) -> F:
    """The argument and the options that say which installation is meant."""
    for add in reversed(
        (
            click.argument("runtime", type=click.Choice(sorted(RUNTIMES))),
            click.option("--project", help="The project.  [default: GOOGLE_CLOUD_PROJECT]"),
            click.option("--region", help="The region.  [default: FANTASM_LOCATION]"),
            click.option(
                "--service",
                help="The service of Cloud Run.  [default: fantasm; on App Engine that of app.yaml]",
            ),
            click.option(
                "--account", help="What the application runs as.  [default: a service account for it]"
            ),
        )
    ):
        command = add(command)
    return command


def read_installation(options: Options, environ: Mapping[str, str], *, strict: bool) -> Installation:
    """The installation that the files of the current directory and the settings describe.

    On App Engine the settings are those of app.yaml, which is what is deployed; on Cloud Run those of the
    environment. Raises :class:`Refusal` for what cannot be used or is missing, with ``strict`` for a missing
    cron.yaml too, and warns of variables that will not reach the application.
    """
    runtime = RUNTIMES[options.runtime]
    for name, given in (
        ("--public", options.public),
        ("--secret", options.secrets),
        ("--service", options.service),
    ):
        if given and runtime != CLOUD_RUN:
            raise Refusal(f"{name} is for cloud-run: on App Engine, app.yaml says such things")
    try:
        app = _read_app(runtime)
        variables = dict(app.env_variables if app else environ)
        settings = Settings.from_environ(variables | _ON_APP_ENGINE if app else _usable(environ))
        definitions = load_definitions(settings.definitions, resolve_names=False)
        _tell_unused(runtime, environ, variables)
        jobs = _jobs(strict=strict)
        if strict:
            _tell_missing(runtime, definitions.root, jobs)
        return Installation(
            runtime=runtime,
            project=_project(options, environ),
            region=_region(options, runtime, variables, environ, strict=strict),
            service=app.service if app else options.service or DEFAULT_SERVICE,
            settings=_planned(settings, runtime),
            root=definitions.root,
            queues=_queues(definitions, settings),
            jobs=jobs,
            runtime_account=options.account or (app.service_account if app else ""),
            database_location=options.database_location or "",
            public=options.public,
            concurrency=options.concurrency,
            variables={} if app else dict(_carried(environ)),
            secrets=dict(map(_secret, options.secrets)),
            files=frozenset(each for each in (CRON, "index.yaml") if Path(each).is_file()),
            doubts=tuple(_doubts(app, definitions.root)) if app else (),
        )
    except SettingsError as error:
        raise Refusal(str(error)) from error
    except DefinitionError as error:
        raise Refusal("\n".join(map(str, error.problems))) from error


def _read_app(runtime: str) -> AppYaml | None:
    return read_app_yaml("app.yaml") if runtime == APP_ENGINE else None


def _usable(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings in an environment without those of a developer's machine."""
    known = {name: text for name, text in environ.items() if name.startswith("FANTASM_")}
    return {name: text for name, text in known.items() if name not in ("FANTASM_MODE", *COMMAND_LINE)}


def _planned(settings: Settings, runtime: str) -> Settings:
    """On Cloud Run tasks go to the service's own URL unless another is given."""
    if runtime != CLOUD_RUN or not settings.has_app_engine_target:
        return settings
    if settings.origins.get("target") != "default":
        raise Refusal("FANTASM_TARGET=app-engine leads the tasks of a Cloud Run service elsewhere: unset it")
    return replace(settings, target="")


def _project(options: Options, environ: Mapping[str, str]) -> str:
    project = options.project or environ.get("GOOGLE_CLOUD_PROJECT", "")
    if not project:
        raise Refusal("which project? Name it with --project, or set GOOGLE_CLOUD_PROJECT")
    return project


def _region(
    options: Options, runtime: str, variables: Mapping[str, str], environ: Mapping[str, str], *, strict: bool
) -> str:
    given = variables.get("FANTASM_LOCATION") or environ.get("FANTASM_LOCATION", "")
    region = region_of(options.region or given)
    if given and region != given:
        raise Refusal(
            f"FANTASM_LOCATION={given}, but --region={region}: queues have to be where the application is"
        )
    if region:
        return region
    if runtime == APP_ENGINE and not strict:
        return DEFAULT_LOCATION  # until its application says where it is
    raise Refusal(
        "which region? Name it with --region, as --region=us-central1: it cannot be changed afterwards"
    )


def _queues(definitions: Definitions, settings: Settings) -> tuple[Queue, ...]:
    file = Path("queue.yaml")
    configured = load_queues(file).queues if file.is_file() else ()
    return queues_of(definitions, settings, map(_queue, configured))


def _queue(entry: QueueEntry) -> Queue:
    routing = f"service:{entry.service}" if entry.service else ""
    return Queue(
        entry.name,
        rate=entry.rate or None,
        concurrent=entry.max_concurrent_requests,
        attempts=-1 if entry.task_retry_limit is None else entry.task_retry_limit + 1,
        age=entry.task_age_limit or None,
        min_backoff=entry.min_backoff_seconds,
        max_backoff=entry.max_backoff_seconds,
        doublings=entry.max_doublings,
        routing=f"{routing},version:{entry.version}" if entry.version else routing,
        paused=not entry.rate,
    )


def _jobs(*, strict: bool) -> tuple[Job, ...]:
    if not strict and not Path(CRON).is_file():
        return ()
    return tuple(map(_job, load_cron(CRON)))


def _job(entry: CronEntry) -> Job:
    limits = (
        ("attempt-deadline", entry.attempt_deadline, "s"),
        ("max-retry-attempts", entry.job_retry_limit, ""),
        ("max-retry-duration", entry.job_age_limit, "s"),
        ("min-backoff", entry.min_backoff_seconds, "s"),
        ("max-backoff", entry.max_backoff_seconds, "s"),
        ("max-doublings", entry.max_doublings, ""),
    )
    flags = tuple(f"--{name}={value:.9g}{unit}" for name, value, unit in limits if value is not None)
    return Job(entry.url, entry.schedule, entry.timezone, entry.description, flags)


def _carried(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables of the environment that the service is to have; secrets are no part of a command."""
    for each in fields(Settings):
        row = each.metadata
        name = row.get("variable", "")
        if name.startswith("FANTASM_") and name not in _NOT_DEPLOYED and not row["is_secret"]:
            text = environ.get(name, "").strip()
            if text:
                yield name, text


def _secret(text: str) -> tuple[str, str]:
    variable, equals, secret = text.partition("=")
    if not equals or not variable.isidentifier() or not variable.isascii():
        raise Refusal(f"--secret {text!r} is not like FANTASM_START_SECRET=name-of-the-secret")
    refuse_unknown({variable: secret})
    return variable, secret


def _doubts(app: AppYaml, root: str) -> Iterator[str]:
    """What an app.yaml says that keeps tasks, cron or people from getting where they have to."""
    login = app.login_for(f"{root}/sweep")
    if login == "required":
        yield f"{root}/ has login: required, which redirects tasks and cron; write login: admin"
    elif login == "optional" and app.has_login_admin:
        yield f"no handler has login: admin for {root}/, the root_url: App Engine lets everybody come to it"
    if app.has_login_admin and not app.has_app_engine_apis:
        yield "login: admin has no effect without app_engine_apis: true"


def _tell_missing(runtime: str, root: str, jobs: tuple[Job, ...]) -> None:
    """Warns of what an installation comes out without."""
    sweep = f"{root}/sweep"
    if not any(urlsplit(each.path).path == sweep for each in jobs):
        click.echo(
            f"warning: {CRON} has no entry for {sweep}: nothing finds steps that are overdue", err=True
        )
    if runtime == CLOUD_RUN and not any(Path(each).is_file() for each in ("Dockerfile", "Procfile")):
        what = "Cloud Run makes a container of its own, whose server ends steps after 30 seconds"
        click.echo(f"warning: there is no Dockerfile here: {what}", err=True)


def _tell_unused(runtime: str, environ: Mapping[str, str], variables: Mapping[str, str]) -> None:
    """Warns of settings of this shell that the application will not see."""
    for each in fields(Settings):
        name = each.metadata.get("variable", "")
        if not name.startswith("FANTASM_") or name in _NOT_DEPLOYED or not environ.get(name):
            continue
        if runtime == APP_ENGINE and variables.get(name) != environ[name]:
            click.echo(
                f"warning: {name} is set here but otherwise in app.yaml: that is what counts", err=True
            )
        elif runtime == CLOUD_RUN and each.metadata["is_secret"]:
            hint = f"keep it in Secret Manager, and name it with --secret {name}=NAME"
            click.echo(f"warning: {name} is a secret, which no command shows: {hint}", err=True)
