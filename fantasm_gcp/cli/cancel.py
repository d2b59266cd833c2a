"""`fantasm cancel`: stops an instance for good."""

from __future__ import annotations

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.told import tell_instance


@click.command("cancel")
@click.argument("instance")
@click.option("--note", help="Why, for those who see it.")
@format_option
@url_option
def command(instance: str, note: str | None, form: str, url: str) -> None:
    """Stop INSTANCE for good.

    Nothing of it acts any more, and what it has in flight is deleted. Instances that it spawned go on.
    """
    tell_instance(Api(url).post("instances", instance, "cancel", note=note), form)
