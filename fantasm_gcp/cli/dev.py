"""`fantasm dev`: an application with local servers of Cloud Tasks and Datastore, in one process."""

from __future__ import annotations

import os
from pathlib import Path

import click

DEMO = "examples.demo"


@click.command("dev")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="Where the application is served; 0 is a free port.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".fantasm"),
    show_default=True,
    help="The directory that keeps everything.",
)
@click.option("--memory", is_flag=True, help="Keep nothing.")
@click.option("--app", default="main:app", show_default=True, help="The Flask application, as module:name.")
@click.option(
    "--demo",
    is_flag=False,
    flag_value=DEMO,
    metavar="[MODULE]",
    help=f"Run a demonstration to its end.  [without MODULE: {DEMO}]",
)
@click.option("--exit", "exits", is_flag=True, help="End after the start, or after the demonstration.")
@click.option(
    "--datastore",
    type=click.Choice(["local", "gcloud"]),
    default="local",
    show_default=True,
    help="gcloud starts Google's own emulator, which needs gcloud and Java.",
)
@click.option(
    "--service",
    "services",
    multiple=True,
    metavar="NAME=URL",
    help="Where another service of App Engine is, whose tasks go there: service, version.service or "
    "instance.version.service. May be repeated.",
)
@click.option(
    "--any-query", is_flag=True, help="Answer queries that need a composite index which index.yaml has not."
)
@click.pass_context
def command(
    ctx: click.Context,
    port: int,
    data: Path,
    memory: bool,
    app: str,
    demo: str | None,
    exits: bool,
    datastore: str,
    services: tuple[str, ...],
    any_query: bool,
) -> None:
    """Serve an application on this machine, without an account.

    Local servers of Cloud Tasks and Datastore speak the real APIs, and DATASTORE_EMULATOR_HOST and
    CLOUD_TASKS_EMULATOR_HOST lead the application's own clients to them. Where one of these is set already,
    that server is used instead. Work that a killed run left goes on at the next start.

    Exit status: 0 after Ctrl-C, 1 when the demonstration came out wrong, 2 when something does not start.
    """
    from fantasm_gcp.cli.serving import Options, run

    options = Options(
        port,
        None if memory else data,
        app,
        demo,
        exits,
        gcloud=datastore == "gcloud",
        services=services,
        any_query=any_query,
    )
    ctx.exit(run(options, os.environ))
