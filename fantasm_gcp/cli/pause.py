"""`fantasm pause`: holds an instance."""

from __future__ import annotations

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.told import tell_instance


@click.command("pause")
@click.argument("instance")
@format_option
@url_option
def command(instance: str, form: str, url: str) -> None:
    """Pause INSTANCE, until it is resumed.

    What runs now ends first. Steps that come are parked, without using up attempts.
    """
    tell_instance(Api(url).post("instances", instance, "pause"), form)
