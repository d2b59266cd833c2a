"""`fantasm start`: starts a machine of a running application, and waits for its end if asked to."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.progress import Progress, render_states
from fantasm_gcp.cli.refusal import Failure

ASKED, ASKED_WATCHED = 20.0, 1.0
"""Seconds that the application may take to say whether an instance has ended; less where somebody looks."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds before it is asked again, where it answers at once."""

NOT_OVER = 3
"""Exit status where the instance has not ended in time."""

_RECEIVER = re.compile(r"[\x21-\x7e]{1,2000}")


@click.command("start")
@click.argument("machine")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--wait", is_flag=True, help="Wait for the end; exit status 1 if it is not a good one.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="With --wait: stop waiting after so long, with exit status 3.",
)
@click.option(
    "--method", type=click.Choice(["GET", "POST"]), help="The HTTP method of its tasks.  [default: POST]"
)
@click.option("--key", help="Idempotency key: the same start with the same key is one instance.")
@click.option(
    "--on-complete",
    multiple=True,
    metavar="WHO",
    help="A machine or an https URL that is told when it is completed. May be given several times.",
)
@click.option(
    "--on-failure",
    multiple=True,
    metavar="WHO",
    help="One that is told when it has failed or was cancelled.",
)
@format_option
@url_option
@click.pass_context
def command(
    ctx: click.Context,
    machine: str,
    arguments: tuple[str, ...],
    wait: bool,
    timeout: float | None,
    method: str | None,
    key: str | None,
    on_complete: tuple[str, ...],
    on_failure: tuple[str, ...],
    form: str,
    url: str,
) -> None:
    """Start MACHINE; the arguments become its context. One that is given several times is a list,
    and so is NAME[]=VALUE.

    With --wait the exit status is 0 for a completed instance, 1 for one that failed or was cancelled, and 3
    for one that has not ended in time: it goes on.
    """
    context = read_context(arguments) | ({"method": method} if method else {})
    if timeout is not None and not wait:
        raise click.UsageError("--timeout is for --wait")
    headers = _headers(key, on_complete, on_failure)
    api = Api(url)
    answer = api.start(machine, context, headers)
    if wait and "status_url" not in answer:
        raise Failure(f"{answer['instance']} was started, and keeps no records: nobody learns of its end")
    if wait:
        answer |= _await_end(api, answer["instance"], Progress(sys.stderr), timeout)
    if form == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        created = "" if answer["created"] else "  (started before, with the same key)"
        click.echo(f"{answer['instance']}{_ended(answer) if wait else ''}{created}")
        if "console_url" in answer:
            click.echo(f"{api.url}{answer['console_url']}")
    if wait:
        ctx.exit(_exit_status(answer))


def _headers(key: str | None, on_complete: Sequence[str], on_failure: Sequence[str]) -> dict[str, str]:
    if key is not None and not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]{0,498}[\x21-\x7e])?", key):
        raise click.BadParameter("1 to 500 characters of printable ASCII are needed", param_hint="--key")
    headers = {} if key is None else {"Idempotency-Key": key}
    for end, receivers in (("complete", on_complete), ("failure", on_failure)):
        for each in receivers:
            if not _RECEIVER.fullmatch(each) or "," in each:
                hint = "the name of a machine or a URL is needed; a comma in one is written %2C"
                raise click.BadParameter(hint, param_hint=f"--on-{end}")
        if receivers:
            headers[f"X-Fantasm-On-{end.capitalize()}"] = ", ".join(receivers)
    return headers


def _ended(answer: Mapping[str, Any]) -> str:
    return f": {answer['status']}" + ("" if answer["ended"] else ", has not ended in time")


def _exit_status(answer: Mapping[str, Any]) -> int:
    if not answer["ended"]:
        return NOT_OVER
    return 0 if answer["status"] == "completed" else 1


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


def _await_end(api: Api, instance: str, progress: Progress, timeout: float | None) -> dict[str, Any]:
    """Asks until the instance has ended or the time is over; shows the way there where somebody looks."""
    until, pause = time.monotonic() + (math.inf if timeout is None else timeout), FIRST_PAUSE
    while True:
        began = time.monotonic()
        asked = max(0.0, min(ASKED_WATCHED if progress.redraws else ASKED, until - began))
        answer = api.get("instances", instance, limit=1, wait=f"{asked:.3f}")
        over, now = answer["ended"] is not None, time.monotonic()
        if progress.redraws:
            paused = "paused | " if answer["status"] == "paused" else ""
            states = render_states(answer["states"], brief=progress.brief)
            progress.show(paused + states, last=over or now >= until)
        if over or now >= until:
            return {name: answer[name] for name in ("status", "started", "ended", "states")}
        if now - began < asked / 2:  # it does not wait, or not so long
            time.sleep(max(0.0, min(pause, until - now)))
            pause = min(pause * 1.5, LONGEST_PAUSE)
