"""`fantasm redrive`: runs failed steps again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

import click

from fantasm_gcp.cli.api import Api, format_option, url_option
from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.cli.told import tell, tell_instance, tell_operation
from fantasm_gcp.engine.history import instance_of


@click.command("redrive")
@click.argument("step", required=False)
@click.option("--instance", help="All failed steps of this instance.")
@click.option("--machine", help="All failed steps of this machine.")
@click.option("--state", help="With --machine: only those that came to this state.")
@click.option("--fingerprint", help="With --machine: only those that failed alike, as `failures` tells.")
@click.option(
    "--context",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="With STEP: a context to run it with instead of its own, as JSON. - is standard input.",
)
@click.option(
    "--skip",
    metavar="EVENT",
    help="With STEP: do not run its actions, go on as if they had returned this. '' ends the branch.",
)
@format_option
@url_option
def command(
    step: str | None,
    instance: str | None,
    machine: str | None,
    state: str | None,
    fingerprint: str | None,
    context: IO[str] | None,
    skip: str | None,
    form: str,
    url: str,
) -> None:
    """Run failed steps again: one STEP, or those of an instance or a machine, with all of their attempts.

    Those of an instance or a machine run again at a bounded rate.
    """
    if sum(bool(each) for each in (step, instance, machine)) != 1:
        raise click.UsageError("say what to run again: one of STEP, --instance and --machine")
    _only_with("STEP", step, {"--context": context, "--skip": skip})
    _only_with("--machine", machine, {"--state": state, "--fingerprint": fingerprint})
    edited = None if context is None else _read(context)
    api = Api(url)
    if step:
        _redrive_step(api, step, edited, skip, form)
    elif instance:
        tell_instance(api.post("instances", instance, "redrive"), form)
    else:
        answer = api.post("redrive", machine=machine, state=state, fingerprint=fingerprint)
        if form != "json" and not answer["matching"]:
            click.echo("no failed step matches now", err=True)
        tell_operation(api, answer, form)


def _redrive_step(api: Api, step: str, context: Any, skip: str | None, form: str) -> None:
    instance = instance_of(step)
    if instance is None:
        raise Refusal(f"{step!r} is no name of a step; `fantasm failures` and `fantasm show` tell names")
    answer = api.post("instances", instance, "steps", step, "redrive", context=context, skip=skip)
    tell(answer, form, f"{step}: {_done(answer)}")


def _done(answer: Mapping[str, Any]) -> str:
    if not answer["redriven"]:
        return "has not failed (any more); nothing was changed"
    if answer["skipped"] is None:
        return "runs again"
    return (
        f"is skipped, goes on by {answer['skipped']}" if answer["skipped"] else "is skipped, its branch ends"
    )


def _only_with(what: str, given: str | None, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and not given:
            raise click.UsageError(f"{name} is for {what}")


def _read(file: IO[str]) -> dict[str, Any]:
    try:
        context = json.load(file)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"this is not JSON: {error}", param_hint="--context") from error
    if not isinstance(context, dict):
        raise click.BadParameter("this is JSON, but not an object", param_hint="--context")
    return context
