"""`fantasm release`: ends a hold."""

from __future__ import annotations

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.told import tell_operation


@click.command("release")
@click.argument("machine")
@click.argument("state", required=False)
@format_option
@url_option
def command(machine: str, state: str | None, form: str, url: str) -> None:
    """Release MACHINE, or one STATE of it, which is held.

    What was parked runs again, at a bounded rate; the instance that is told makes it so.
    """
    api = Api(url)
    tell_operation(api, api.post("holds", "release", machine=machine, state=state), form)
