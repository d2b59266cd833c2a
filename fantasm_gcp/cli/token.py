"""`fantasm token`: a URL that starts a machine once, for somebody who has no account here."""

from __future__ import annotations

import math
import os
import re
import time
from urllib.parse import urlsplit

import click

from fantasm_gcp.cli.api import DEFAULT_URL
from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.cli.start import read_context

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(_: click.Context, __: click.Parameter, text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else math.nan
    if not seconds > 0:
        raise click.BadParameter(f"{text!r} is no time like 90s, 15m, 1h or 7d")
    return seconds


@click.command("token")
@click.argument("machine")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--expires",
    default="1h",
    show_default=True,
    metavar="TIME",
    callback=_seconds,
    help="How long it is good: a number with s, m, h or d; 10 days at most, and an hour for a machine that "
    "keeps no records.",
)
@click.option("--key", help="Idempotency key: tokens with the same key start one instance.")
@click.option(
    "--url",
    default=DEFAULT_URL,
    show_default=True,
    envvar="FANTASM_URL",
    show_envvar=True,
    help="Where the application is served; with a path, that is its root_url.",
)
def command(machine: str, arguments: tuple[str, ...], expires: float, key: str | None, url: str) -> None:
    """Print a URL that starts MACHINE once, with these arguments and no others.

    Whoever has the URL may start it, as long as it is good: the same instance each time. It is signed with
    FANTASM_START_SECRET, which has to be the application's. No server is asked; the machine is looked for in
    the definition file.
    """
    from fantasm_gcp.core.findings import did_you_mean
    from fantasm_gcp.errors import DefinitionError, SettingsError, StartError
    from fantasm_gcp.loader import load_definitions
    from fantasm_gcp.settings import Settings
    from fantasm_gcp.web.start_tokens import longest_life, make_start_token, start_path

    context = read_context(arguments)
    try:
        settings = Settings.from_environ(os.environ)
        definitions = load_definitions(settings.definitions, resolve_names=False)
        if machine not in definitions.machines:
            names = definitions.machines
            hint = did_you_mean(machine, names) or f"the machines are: {', '.join(names)}"
            raise Refusal(f"there is no machine {machine!r} in {settings.definitions}; {hint}")
        token = make_start_token(
            settings.start_secret,
            machine,
            context,
            expires=expires,
            now=time.time(),
            nonce=key,
            most=longest_life(definitions.machine(machine)),
        )
    except DefinitionError as error:
        raise Refusal(f"{settings.definitions} cannot be used:\n{error}") from error
    except (SettingsError, StartError) as error:
        raise Refusal(str(error)) from error
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refusal(f"--url {url!r} is no URL like https://name.example.com")
    root = parts.path.rstrip("/") or definitions.root
    click.echo(f"{parts.scheme}://{parts.netloc}{start_path(root, machine, token)}")
