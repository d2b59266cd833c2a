"""`fantasm list`: the instances of a running application."""

from __future__ import annotations

import json

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.table import moment, print_table
from fantasm_gcp.core.records import InstanceStatus


@click.command("list")
@click.option("--machine", help="Only instances of this machine.")
@click.option("--status", type=click.Choice([*map(str, InstanceStatus)]), help="Only ones with this status.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@format_option
@url_option
def command(machine: str | None, status: str | None, limit: int, form: str, url: str) -> None:
    """List instances, the newest first."""
    answer = Api(url).get("instances", machine=machine, status=status, limit=limit)
    if form == "json":
        click.echo(json.dumps(answer, indent=2))
        return
    found = answer["instances"]
    rows = [
        (each["instance"], each["status"], moment(each["started"]), moment(each["ended"])) for each in found
    ]
    print_table(("INSTANCE", "STATUS", "STARTED (UTC)", "ENDED (UTC)"), rows, none="no instances")
    if answer["cursor"] and len(found) == limit:
        click.echo(f"these are the newest {limit}; --limit shows more", err=True)
