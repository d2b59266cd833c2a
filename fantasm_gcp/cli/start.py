"""`fantasm start`: starts a machine of a running application, and waits for its end if asked to."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable
from typing import Any

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.progress import Progress, render_states

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 1.0


@click.command("start")
@click.argument("machine")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--wait", is_flag=True, help="Wait for the end; exit status 1 if it is not a good one.")
@click.option(
    "--method", type=click.Choice(["GET", "POST"]), help="The HTTP method of its tasks.  [default: POST]"
)
@click.option("--key", help="Idempotency key: the same start with the same key is one instance.")
@format_option
@url_option
@click.pass_context
def command(
    ctx: click.Context,
    machine: str,
    arguments: tuple[str, ...],
    wait: bool,
    method: str | None,
    key: str | None,
    form: str,
    url: str,
) -> None:
    """Start MACHINE; the arguments become its context. One that is given several times is a list,
    and so is NAME[]=VALUE.

    With --wait the exit status is 0 for a completed instance, and 1 for one that failed or was cancelled.
    """
    context = read_context(arguments) | ({"method": method} if method else {})
    if key is not None and not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]{0,498}[\x21-\x7e])?", key):
        raise click.BadParameter("1 to 500 characters of printable ASCII are needed", param_hint="--key")
    api = Api(url)
    answer = api.start(machine, context, key)
    if wait:
        answer |= _await_end(api, answer["instance"], Progress(sys.stderr))
    if form == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        created = "" if answer["created"] else "  (started before, with the same key)"
        ended = f": {answer['status']}" if wait else ""
        click.echo(f"{answer['instance']}{ended}{created}")
        click.echo(f"{api.url}{answer['console_url']}")
    ctx.exit(1 if wait and answer["status"] != "completed" else 0)


def read_context(arguments: Iterable[str]) -> dict[str, Any]:
    """The context that arguments like ``name=value`` make; all values are text."""
    context: dict[str, list[str]] = {}
    for each in arguments:
        name, equals, value = each.partition("=")
        if not (equals and name):
            raise click.BadParameter(f"{each!r} is not like name=value", param_hint="arguments")
        if not each.isascii() and each != each.encode(errors="replace").decode():
            raise click.BadParameter(f"{each!r} is not UTF-8", param_hint="arguments")
        context.setdefault(name, []).append(value)
    return {
        name.removesuffix("[]"): values[0] if len(values) == 1 and not name.endswith("[]") else values
        for name, values in context.items()
    }


def _await_end(api: Api, instance: str, progress: Progress) -> dict[str, Any]:
    """Asks until the instance has ended; shows the way there where somebody looks."""
    pause = _FIRST_WAIT
    while True:
        answer = api.get("instances", instance, limit=1)
        over = answer["status"] != "running"
        if progress.redraws:
            progress.show(render_states(answer["states"], brief=progress.brief), last=over)
        if over:
            return {name: answer[name] for name in ("status", "started", "ended", "states")}
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_WAIT)
