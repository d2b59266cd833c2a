"""`fantasm failures`: failed steps, those that failed alike together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.table import print_table


@click.command("failures")
@click.option("--machine", help="Only steps of this machine.")
@click.option("--state", help="Only steps that came to this state.")
@format_option
@url_option
def command(machine: str | None, state: str | None, form: str, url: str) -> None:
    """List failed steps in groups: those of one machine and state whose errors are alike.

    Each has an example. `fantasm redrive` runs the steps of a group, or one of them, again.
    """
    answer = Api(url).get("failures", machine=machine, state=state)
    if form == "json":
        click.echo(json.dumps(answer, indent=2))
        return
    heads = ("MACHINE", "STATE", "STEPS", "FINGERPRINT", "ERROR", "EXAMPLE")
    print_table(heads, [_row(each) for each in answer["groups"]], none="no failed steps")
    if not answer["complete"]:
        click.echo("there are too many to look at all of them: small groups may be missing", err=True)


def _row(group: Mapping[str, Any]) -> tuple[object, ...]:
    count = f"{group['count']:,}+" if group["more"] else group["count"]
    example = group["example"]
    return (group["machine"], group["state"], count, group["fingerprint"], example["error"], example["step"])
