"""`fantasm holds`: what is held."""

from __future__ import annotations

import json

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.table import moment, print_table


@click.command("holds")
@format_option
@url_option
def command(form: str, url: str) -> None:
    """List the machines and states that are held, those longest first."""
    answer = Api(url).get("holds")
    if form == "json":
        click.echo(json.dumps(answer, indent=2))
        return
    rows = [
        (each["machine"], each["state"] or "(all states)", moment(each["since"]), each["note"])
        for each in answer["holds"]
    ]
    print_table(("MACHINE", "STATE", "SINCE (UTC)", "NOTE"), rows, none="nothing is held")
