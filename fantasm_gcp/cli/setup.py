"""`fantasm setup`: the gcloud commands that install an application, printed or run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fantasm_gcp.cli.installing import Options, installation_options
from fantasm_gcp.cli.refusal import Failure, Refusal

if TYPE_CHECKING:
    from fantasm_gcp.deploying import Command, Installation


@click.command("setup")
@installation_options
@click.option(
    "--public",
    is_flag=True,
    help="Cloud Run: let requests of everybody in; the application verifies their tokens itself.",
)
@click.option("--database-location", metavar="LOCATION", help="Where the database is.  [default: the region]")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=16,
    show_default=True,
    help="Cloud Run: requests at a time in an instance, as many as its server has threads.",
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="VARIABLE=SECRET",
    help="Cloud Run: a variable whose value a secret of Secret Manager holds. May be repeated.",
)
@click.option("--apply", "applies", is_flag=True, help="Run the commands instead of printing them.")
def command(applies: bool, **options: Any) -> None:
    """Print the gcloud commands that install the application of this directory, as a shell script.

    They are made of fsm.yaml, cron.yaml and, if there, queue.yaml and index.yaml; of the settings in app.yaml
    (App Engine) or in the environment (Cloud Run). Running them again is harmless: what is there is left as
    it is, or set to what is written.

    Exit status: 0 when all is done, 1 when a command failed, 2 when there is nothing to run.
    """
    from os import environ

    from fantasm_gcp.cli.installing import read_installation
    from fantasm_gcp.deploying import plan, render_script
    from fantasm_gcp.errors import SettingsError

    installation = read_installation(Options(**options), environ, strict=True)
    for each in installation.doubts:
        click.echo(f"warning: app.yaml: {each}", err=True)
    try:
        commands = plan(installation)
    except SettingsError as error:
        raise Refusal(str(error)) from error
    if applies:
        _apply(installation, commands)
    else:
        click.echo(render_script(commands, _title(installation), installation.project), nl=False)


def _title(installation: Installation) -> str:
    return (
        f"Installs {installation.service} on {installation.runtime}, in project {installation.project} and "
        f"region {installation.region}; made by `fantasm setup`. Running it again is harmless."
    )


def _apply(installation: Installation, commands: tuple[Command, ...]) -> None:
    """Runs the commands one by one; raises :class:`Failure` at the first that fails."""
    from fantasm_gcp.cli.gcloud import Gcloud
    from fantasm_gcp.deploying.commands import ask_number, fill_number, render_command

    gcloud = Gcloud()
    number, reason = gcloud.prints_or_says(ask_number(installation.project))
    if not number.isdigit():
        raise Failure(
            f"gcloud does not find project {installation.project}: look with "
            f"`{render_command(ask_number(installation.project))}`, or log in with `gcloud auth login`"
            + (f"\n  gcloud says: {reason}" if reason else "")
        )
    for count, each in enumerate(commands, 1):
        click.echo(f"[{count}/{len(commands)}] {each.why}")
        is_there = bool(each.check) and bool(gcloud.prints(fill_number(each.check, number)))
        argv = fill_number(each.instead if is_there else each.argv, number)
        if not argv:
            click.echo("  nothing to do")
            continue
        click.echo(f"  {render_command(argv)}")
        status = gcloud.run(argv)
        if status:
            raise Failure(
                f"step {count} of {len(commands)} failed with gcloud's status {status}. Mend what it says "
                "above, and give the same command again: what is done already stays done"
            )
    click.echo("done; `fantasm doctor` checks it")
