"""What `fantasm emulator` does: opens the servers, says where they are, and delivers until it is stopped."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from fantasm_gcp.cli.ahead import tell_shift
from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.cli.stopping import Stopping
from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.errors import DefinitionError, SettingsError
from fantasm_gcp.loader import IndexFile, load_definitions
from fantasm_gcp.local.dev.configuration import (
    QUEUE_YAML,
    IndexYaml,
    StartQueues,
    find_file,
    read_queues,
    read_services,
)
from fantasm_gcp.local.dev.opening import OpenError, Opening
from fantasm_gcp.local.dev.servers import LocalServers
from fantasm_gcp.local.pages.guard import ADDRESSES
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import HttpDelivery
from fantasm_gcp.local.tasks.configuration.tokens import GOOGLE_ISSUER
from fantasm_gcp.local.tasks.names import check_location
from fantasm_gcp.settings import Settings

STOP_SECONDS = 10.0
"""How long deliveries in flight are waited for at the end."""

DEFAULT_SERVICE = "http://127.0.0.1:8080"
FSM_YAML = Path("fsm.yaml")
_ATTEMPTS = "fantasm_gcp.local.tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for; files are None where the default name is to be looked for."""

    servers: frozenset[str]
    datastore_port: int
    tasks_port: int
    host: str
    allow_remote: bool
    names: tuple[str, ...]
    data: Path
    memory: bool
    services: tuple[str, ...]
    project: str | None
    location: str | None
    queue_yaml: Path | None
    fsm_yaml: Path | None
    strict_queues: bool
    index_yaml: Path | None
    any_query: bool
    concurrency: str
    at_once: int
    issuer: str | None
    quiet: bool


def run(options: Options, environ: Mapping[str, str]) -> int:
    """Serves until a signal; answers the exit status.

    Raises :class:`Refusal` when something does not start; everything opened before is closed then.
    """
    with Stopping() as stopping, ExitStack() as closing:
        try:
            servers = _start(options, environ, closing)
            stopping.begin()
            click.echo("serving until Ctrl-C")
            stopping.wait()
            _end_attempts(servers, options.memory)
            return 0
        except (OpenError, SettingsError) as error:
            raise Refusal(str(error)) from error
        except DefinitionError as error:
            raise Refusal("\n".join(map(str, error.problems))) from error
        except BrokenPipeError:
            raise  # who read the output has gone: click ends without a word
        except OSError as error:
            raise Refusal(f"cannot go on: {error.strerror or error}") from error
        except KeyboardInterrupt:
            return 0


def _start(options: Options, environ: Mapping[str, str], closing: ExitStack) -> LocalServers:
    _check_host(options)
    services = read_services(options.services or [DEFAULT_SERVICE])
    settings = Settings.from_environ(environ)
    project, location = options.project or settings.project or "local", options.location or settings.location
    datastore, tasks = "datastore" in options.servers, "tasks" in options.servers
    # Files that are of no concern to the server asked for may be whatever they are.
    queues, indexes, index_yaml = StartQueues(), IndexFile(()), IndexYaml(options.index_yaml)
    if tasks:
        file = find_file(options.queue_yaml, QUEUE_YAML)
        queues = read_queues(file, _definitions(options), _parent(project, location))
    if datastore:
        indexes = index_yaml.read()
    directory = None if options.memory else options.data
    servers = closing.enter_context(
        LocalServers(
            directory,
            _opening(options, index_yaml, indexes, services),
            datastore=datastore,
            tasks=tasks,
        )
    )
    if tasks:
        servers.declare(queues)
        _print_attempts(logging.WARNING if options.quiet else logging.DEBUG, closing)
        servers.dispatch(HttpDelivery(services, servers.issuer), options.at_once)
    for warning in (*queues.warnings, *indexes.warnings):
        click.echo(str(warning), err=True)
    _tell(options, servers, services)
    return servers


def _parent(project: str, location: str) -> str:
    """Where the queues made at the start are; raises :class:`Refusal` for what no client could name."""
    parent = f"projects/{project}/locations/{location}"
    try:
        check_location(parent)
    except RpcError as error:
        raise Refusal(
            f"there can be no queues in project {project!r} and location {location!r}: write --project=local "
            "--location=us-central1 or the like, or look at GOOGLE_CLOUD_PROJECT"
        ) from error
    return parent


def _opening(
    options: Options, index_yaml: IndexYaml, indexes: IndexFile, services: Mapping[str, str]
) -> Opening:
    return Opening(
        host=options.host,
        datastore_port=options.datastore_port,
        tasks_port=options.tasks_port,
        names=(*options.names, ADDRESSES) if options.allow_remote else options.names,
        pessimistic=options.concurrency == "pessimistic",
        indexes=indexes.indexes,
        newer_indexes=index_yaml.read_newer,
        require_indexes=not options.any_query,
        create_queues=not options.strict_queues,
        issuer=options.issuer or GOOGLE_ISSUER,
        services=services,
    )


def _definitions(options: Options) -> Definitions | None:
    file = find_file(options.fsm_yaml, FSM_YAML)
    return None if file is None else load_definitions(file, resolve_names=False)


def _end_attempts(servers: LocalServers, forgets: bool) -> None:
    """Waits for what is in flight, and says so: nothing would seem to happen meanwhile."""
    left = servers.stop_dispatching(0)
    if left:
        click.echo(
            f"in flight: {left}; waiting {STOP_SECONDS:g} s at most, or until Ctrl-C once more", err=True
        )
    left = servers.stop_dispatching(STOP_SECONDS)
    if left:
        follows = "" if forgets else ": they are tried again at the next start"
        click.echo(f"in flight at the end: {left}{follows}", err=True)


def _check_host(options: Options) -> None:
    """Other machines are let in only by who says so: there are no passwords here."""
    try:
        local = ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        local = options.host == "localhost"
    if not (local or options.allow_remote):
        raise Refusal(
            f"--host={options.host} lets other machines read and change everything, without a password: "
            "if that is what you want, add --allow-remote"
        )


def _print_attempts(level: int, closing: ExitStack) -> None:
    log = logging.getLogger(_ATTEMPTS)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False

    def undo() -> None:
        log.removeHandler(handler)
        log.level, log.propagate = before

    closing.callback(undo)


def _tell(options: Options, servers: LocalServers, services: Mapping[str, str]) -> None:
    """One line for each fact, and last what a shell takes over."""
    kept = "in memory, until the end" if options.memory else f"in {options.data}"
    click.echo(f"data       {kept}")
    if servers.tasks_host:
        click.echo(f"pages      http://{_here(servers.tasks_host)}/")
        tell_shift(servers.clock_shift())
        for name, url in services.items():
            click.echo(f"App Engine {name} is {url}")
    else:
        click.echo(f"pages      http://{_here(servers.datastore_host)}/datastore/")
    for variable, host in (
        ("DATASTORE_EMULATOR_HOST", servers.datastore_host),
        ("CLOUD_TASKS_EMULATOR_HOST", servers.tasks_host),
    ):
        if host:
            click.echo(f"export {variable}={_here(host)}")


def _here(address: str) -> str:
    """An address that this machine's clients can use: a wildcard stands for all of its own."""
    host, _, port = address.rpartition(":")
    return {"0.0.0.0": f"127.0.0.1:{port}", "[::]": f"[::1]:{port}"}.get(host, address)  # noqa: S104  # not bound to
