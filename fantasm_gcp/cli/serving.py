"""What `fantasm dev` does: everything is opened in order, served, and closed in the reverse order."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from fantasm_gcp.cli.ahead import tell_shift
from fantasm_gcp.cli.application import Application, load_application, load_module
from fantasm_gcp.cli.demonstration import Demonstration, check_demo
from fantasm_gcp.cli.progress import AboveProgress, Progress
from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.cli.stopping import Stopping
from fantasm_gcp.console.rendering import LOCAL_PAGES
from fantasm_gcp.engine.sweeping import sweep
from fantasm_gcp.errors import DefinitionError, FantasmError, SettingsError
from fantasm_gcp.gateways.clients import Channels
from fantasm_gcp.local.dev.configuration import (
    QUEUE_YAML,
    IndexYaml,
    find_file,
    read_queues,
    read_services,
)
from fantasm_gcp.local.dev.front import DATASTORE_PAGES
from fantasm_gcp.local.dev.gcloud import GcloudDatastore
from fantasm_gcp.local.dev.opening import OpenError, Opening
from fantasm_gcp.local.dev.pages import Pages, bind
from fantasm_gcp.local.dev.routing import Routing
from fantasm_gcp.local.dev.servers import LocalServers
from fantasm_gcp.local.dev.ticker import Ticker
from fantasm_gcp.local.tasks import HttpDelivery, WsgiDelivery
from fantasm_gcp.local.tasks.configuration.service_map import DEFAULT, ServiceMap
from fantasm_gcp.settings import Settings
from fantasm_gcp.web.sweeping import MOST

DATASTORE = "DATASTORE_EMULATOR_HOST"
TASKS = "CLOUD_TASKS_EMULATOR_HOST"
STOP_SECONDS = 10.0
"""How long deliveries in flight are waited for at the end."""

SWEEP_SECONDS = 60.0
"""How often the sweeper is called, as cron does it in the cloud."""

CONNECT_SECONDS = 5.0
"""How long a server that the environment names may take to answer."""

INTERRUPTED = 130
"""Exit status of a run that was stopped before it had done what it was started for; the shell's number."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for; ``directory`` is None for memory, ``demo`` is the name of a module."""

    port: int
    directory: Path | None
    app: str
    demo: str | None
    exits: bool
    gcloud: bool
    services: tuple[str, ...] = ()
    any_query: bool = False


def run(options: Options, environ: MutableMapping[str, str]) -> int:
    """Serves until a signal, or until there is nothing more to do with ``--exit``; answers the exit status.

    Raises :class:`Refusal` when something does not start; everything opened before is closed then.
    """
    progress = Progress()
    with Stopping() as stopping, ExitStack() as closing:
        handler = AboveProgress(progress)
        logging.getLogger().addHandler(handler)
        closing.callback(logging.getLogger().removeHandler, handler)
        try:
            application, url = _start(options, environ, closing)
            demonstration = _demonstration(options, application, progress, url)
            stopping.begin()
            status = _demonstrate(demonstration, stopping) if demonstration else 0
            if stopping.asked and status is None and options.exits:
                return INTERRUPTED
            if not options.exits and not stopping.asked:
                click.echo(f"serving {_console(application, url)} until Ctrl-C")
                stopping.wait()
            return status or 0
        except OpenError as error:
            raise Refusal(str(error)) from error
        except DefinitionError as error:
            raise Refusal("\n".join(map(str, error.problems))) from error
        except KeyboardInterrupt:
            return INTERRUPTED


def _demonstrate(demonstration: Demonstration, stopping: Stopping) -> int | None:
    try:
        return demonstration.run(stopping.wait)
    except (FantasmError, OSError) as error:
        raise Refusal(f"the demonstration cannot go on: {error}") from error


def _start(
    options: Options, environ: MutableMapping[str, str], closing: ExitStack
) -> tuple[Application, str]:
    """Opens everything; the application after the servers, because it may use them while it is imported."""
    listening = closing.enter_context(bind(options.port))
    external = frozenset(name for name in (DATASTORE, TASKS) if environ.get(name))
    servers = _open_servers(options, environ, external, closing)
    try:
        settings = Settings.from_environ(environ)
    except SettingsError as error:
        raise Refusal(str(error)) from error
    application = load_application(options.app)
    application.fantasm.channels = _channels(settings, servers)
    pages = Pages(application.served, listening)
    closing.callback(pages.close)
    _collect_less()
    if servers.tasks_host:
        _dispatch(options, settings, servers, application, pages.url)
        closing.callback(_stop_dispatching, servers)
    sweeping = Ticker(lambda: sweep(application.fantasm.services, most=MOST), SWEEP_SECONDS)
    sweeping.start()
    closing.callback(sweeping.stop, STOP_SECONDS)
    _tell(options, environ, external, pages.url, _console(application, pages.url))
    if servers.tasks_host:
        tell_shift(servers.clock_shift())
    for problem in application.fantasm.definitions.warnings:
        click.echo(str(problem), err=True)
    return application, pages.url


def _dispatch(
    options: Options, settings: Settings, servers: LocalServers, application: Application, url: str
) -> None:
    """Has the queues be there, and tasks go to the application, or to services that run elsewhere."""
    parent = f"projects/{settings.project}/locations/{settings.location}"
    application.app.config[LOCAL_PAGES] = f"http://{servers.tasks_host}/"
    queues = read_queues(find_file(None, QUEUE_YAML), application.fantasm.definitions, parent)
    for warning in queues.warnings:
        click.echo(str(warning), err=True)
    servers.declare(queues)
    services = ServiceMap({DEFAULT: url, **read_services(options.services)})
    inside = WsgiDelivery(application.served, servers.issuer)
    outside = HttpDelivery(services, servers.issuer)
    servers.dispatch(Routing(url.removeprefix("http://"), services, inside, outside))


def _open_servers(
    options: Options, environ: MutableMapping[str, str], external: frozenset[str], closing: ExitStack
) -> LocalServers:
    """Opens the servers that are not elsewhere, and leads every client of this process to them."""
    if options.gcloud and DATASTORE in external:
        raise Refusal(
            f"--datastore=gcloud starts an emulator, but {DATASTORE} names one: "
            "unset the variable, or leave the option out"
        )
    for name in sorted(external):
        _check_answers(name, environ[name])
    environ["FANTASM_MODE"] = "local"
    project = environ["GOOGLE_CLOUD_PROJECT"] = environ.get("GOOGLE_CLOUD_PROJECT") or "local"
    index_yaml = IndexYaml()
    indexes = index_yaml.read()
    for warning in indexes.warnings:
        click.echo(str(warning), err=True)
    servers = closing.enter_context(
        LocalServers(
            options.directory,
            Opening(
                indexes=indexes.indexes,
                newer_indexes=index_yaml.read_newer,
                require_indexes=not options.any_query,
            ),
            datastore=DATASTORE not in external and not options.gcloud,
            tasks=TASKS not in external,
        )
    )
    hosts = {DATASTORE: servers.datastore_host, TASKS: servers.tasks_host}
    if options.gcloud:
        click.echo("starting gcloud's Datastore emulator ...")
        emulator = GcloudDatastore(options.directory and options.directory / "gcloud", project)
        closing.callback(emulator.close)
        hosts[DATASTORE] = emulator.host
    environ.update({name: host for name, host in hosts.items() if host})
    return servers


def _check_answers(name: str, address: str) -> None:
    """A server that is not there would show only as calls that are tried again and again."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            return
    except (OSError, ValueError) as error:
        raise Refusal(
            f"{name} is {address!r}, and nothing answers there: start that server, or unset the variable "
            "to have one started here"
        ) from error


def _channels(settings: Settings, servers: LocalServers) -> Channels:
    """To servers of this process without the wire, to others over it."""
    named = Channels.of(settings)
    return Channels(
        servers.datastore_channel if servers.datastore_host else named.datastore,
        servers.tasks_channel if servers.tasks_host else named.tasks,
    )


def _demonstration(
    options: Options, application: Application, progress: Progress, url: str
) -> Demonstration | None:
    if options.demo is None:
        return None
    demo = check_demo(options.demo, load_module(options.demo), application.fantasm.definitions)
    return Demonstration(demo, application.fantasm, options.directory, progress, url)


def _stop_dispatching(servers: LocalServers) -> None:
    left = servers.stop_dispatching(STOP_SECONDS)
    if left:
        click.echo(
            f"{left} attempts did not end within {STOP_SECONDS:g} s: they are tried again at the next start",
            err=True,
        )


def _collect_less() -> None:
    """Everything imported stays: looking through it again and again costs a fifth of the speed."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _console(application: Application, url: str) -> str:
    return f"{url}{application.fantasm.definitions.root}/"


def _tell(
    options: Options, environ: MutableMapping[str, str], external: frozenset[str], url: str, console: str
) -> None:
    """One line for each fact."""
    click.echo(f"console    {console}")
    click.echo(f"data       {f'in {options.directory}' if options.directory else 'in memory, until the end'}")
    for word, name in (("datastore", DATASTORE), ("tasks", TASKS)):
        named = f"as {name} says; not started here" if name in external else name
        click.echo(f"{word:9}  {environ[name]} ({named})")
    if TASKS not in external:
        click.echo(f"queues     http://{environ[TASKS]}/")
    else:
        click.echo(f"           which has to deliver App Engine tasks to {url}")
    if DATASTORE not in external and not options.gcloud:
        pages = environ[DATASTORE if TASKS in external else TASKS]
        click.echo(f"entities   http://{pages}{DATASTORE_PAGES}/")
