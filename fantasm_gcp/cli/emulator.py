"""`fantasm emulator`: the local servers of Cloud Tasks and Datastore alone, for any application."""

from __future__ import annotations

from pathlib import Path

import click

TASKS_PORT = 8123
DATASTORE_PORT = 8081
SERVERS = ("datastore", "tasks")
AT_ONCE = 32
"""Attempts in flight: enough for slow ones of one queue to leave room for another; idle threads are cheap."""

_PORT = click.IntRange(0, 65_535)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("emulator")
@click.argument("servers", nargs=-1, type=click.Choice(SERVERS), metavar="[datastore] [tasks]")
@click.option(
    "--datastore-port",
    type=_PORT,
    default=DATASTORE_PORT,
    show_default=True,
    help="Where Datastore listens; 0 is a free port.",
)
@click.option(
    "--tasks-port",
    type=_PORT,
    default=TASKS_PORT,
    show_default=True,
    help="Where Cloud Tasks listens; 0 is a free port.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address at which both listen.")
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Let --host be an address that other machines reach: whoever does may read and change everything.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="A host name under which HTTP is answered beside those of this machine. May be repeated.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".fantasm"),
    show_default=True,
    help="The directory that keeps everything.",
)
@click.option("--memory", is_flag=True, help="Keep nothing.")
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="[NAME=]URL",
    help="Where a service of App Engine is: service, version.service or instance.version.service, without a "
    "name the default one. May be repeated.  [default: http://127.0.0.1:8080]",
)
@click.option("--project", help="The project of the queues made at the start.  [default: local]")
@click.option("--location", help="Their location.  [default: us-central1]")
@click.option(
    "--queue-yaml", type=_FILE, help="Queues that are there at the start.  [default: queue.yaml, if there]"
)
@click.option(
    "--fsm-yaml", type=_FILE, help="Its machines' queues are there, too.  [default: fsm.yaml, if there]"
)
@click.option("--strict-queues", is_flag=True, help="Answer NOT_FOUND to a task for a queue nobody created.")
@click.option("--index-yaml", type=_FILE, help="Composite indexes.  [default: index.yaml, if there]")
@click.option(
    "--any-query", is_flag=True, help="Answer queries that need a composite index which is not there."
)
@click.option(
    "--concurrency",
    type=click.Choice(["optimistic", "pessimistic"]),
    default="optimistic",
    show_default=True,
    help="How transactions of Datastore keep apart: the second to commit is aborted, or waits.",
)
@click.option(
    "--at-once",
    type=click.IntRange(1, 1000),
    default=AT_ONCE,
    show_default=True,
    help="Attempts in flight at a time, those of all queues together; each queue has its own limit besides.",
)
@click.option("--issuer", metavar="URL", help="The claim iss of tokens.  [default: that of Google]")
@click.option("--quiet", is_flag=True, help="Print a line only for attempts that fail.")
@click.pass_context
def command(ctx: click.Context, /, servers: tuple[str, ...], quiet: bool, **options: object) -> None:
    """Serve Cloud Tasks and Datastore on this machine, for any application: both, or the one named.

    Each listens at one port, for gRPC and for HTTP. The port of Cloud Tasks has pages besides, to look at
    queues, tasks and entities, and to pause, step, run, fail and lose tasks. Data outlives a restart.

    Exit status: 0 after Ctrl-C, 2 when something does not start.
    """
    from os import environ

    from fantasm_gcp.cli.emulating import Options, run

    asked = Options(servers=frozenset(servers or SERVERS), quiet=quiet, **options)  # type: ignore[arg-type]  # click has checked them
    ctx.exit(run(asked, environ))
