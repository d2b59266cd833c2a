"""`fantasm hold`: parks what comes to a machine or to a state of it."""

from __future__ import annotations

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.told import tell


@click.command("hold")
@click.argument("machine")
@click.argument("state", required=False)
@click.option("--note", help="Why, for those who see it.")
@format_option
@url_option
def command(machine: str, state: str | None, note: str | None, form: str, url: str) -> None:
    """Hold MACHINE, or one STATE of it: steps that come there are parked until it is released.

    Each process of the application learns of it within five seconds.
    """
    answer = Api(url).post("holds", machine=machine, state=state, note=note)
    held = ".".join(filter(None, (answer["machine"], answer["state"])))
    tell(answer, form, f"{held}: held")
