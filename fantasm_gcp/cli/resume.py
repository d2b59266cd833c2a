"""`fantasm resume`: lets a paused instance go on."""

from __future__ import annotations

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.told import tell_instance


@click.command("resume")
@click.argument("instance")
@format_option
@url_option
def command(instance: str, form: str, url: str) -> None:
    """Let INSTANCE go on, which is paused.

    Its parked steps run again, at a bounded rate.
    """
    tell_instance(Api(url).post("instances", instance, "resume"), form)
