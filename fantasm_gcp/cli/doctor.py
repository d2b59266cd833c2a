"""`fantasm doctor`: what is wrong with an installation, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from fantasm_gcp.cli.installing import Options, installation_options

if TYPE_CHECKING:
    from fantasm_gcp.cli.gcloud import Gcloud
    from fantasm_gcp.deploying import Answer, Finding, Installation


@click.command("doctor")
@installation_options
@click.option("--url", help="Where the application is served.  [default: as its runtime serves it]")
@click.option(
    "--no-import",
    "imports",
    flag_value=False,
    default=True,
    help="Do not import modules to look for actions, types and constants.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(ctx: click.Context, /, url: str | None, imports: bool, form: str, **options: Any) -> None:
    """Check the installation of the application of this directory, by gcloud commands that only read.

    One line for each check: ok, warning or error, what is wrong, and below it the command that mends it.
    What gcloud is not allowed to look at is a warning.

    Exit status: 0 when all is well, 1 when there are only warnings, 2 when there are errors.
    """
    from os import environ

    from fantasm_gcp.cli.gcloud import Gcloud
    from fantasm_gcp.cli.installing import read_installation
    from fantasm_gcp.cli.reaching import check_url
    from fantasm_gcp.deploying.findings import exit_status

    installation = read_installation(Options(**options), environ, strict=False)
    given = check_url(url) if url else ""
    found = []
    for finding in _examine(installation, Gcloud(), given, region=options["region"], imports=imports):
        found.append(finding)
        if form == "text":
            _print(finding)
    if form == "json":
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
    ctx.exit(exit_status(found))


def _examine(
    installation: Installation, gcloud: Gcloud, url: str, *, region: str | None, imports: bool
) -> Iterator[Finding]:
    from fantasm_gcp.deploying import check_installation, questions
    from fantasm_gcp.deploying.checking import check_project
    from fantasm_gcp.deploying.deployed import find_deployed
    from fantasm_gcp.deploying.findings import warning
    from fantasm_gcp.deploying.questions import first_questions

    yield from _check_definitions(installation, imports=imports)
    for each in installation.doubts:
        yield warning("app.yaml", each)
    answers = gcloud.ask(first_questions(installation))
    installation = _located(installation, answers, is_given=bool(region))
    first = list(check_project(installation, answers))
    yield from first
    if not answers["project"].refusal and not _is_pointless(installation, answers):
        if installation.on_cloud_run:
            installation, told = find_deployed(installation, answers)
            yield from told
        answers |= gcloud.ask(questions(installation))
        yield from check_installation(installation, answers)
        url = url or _served(installation, answers)
    if url:
        yield from _check_reach(url + installation.root)


def _is_pointless(installation: Installation, answers: dict[str, Answer]) -> bool:
    """Without an application of App Engine there is nothing to ask about."""
    return not installation.on_cloud_run and bool(answers["app"].refusal)


def _located(installation: Installation, answers: dict[str, Answer], *, is_given: bool) -> Installation:
    """With the project's number, and in the region of App Engine's application unless another is given."""
    from fantasm_gcp.deploying.commands import NUMBER
    from fantasm_gcp.deploying.installation import region_of
    from fantasm_gcp.settings import ENVIRONMENT

    number = str(answers["project"].fields().get("projectNumber") or NUMBER)
    region = installation.region
    is_given = is_given or installation.settings.origins.get("location") == ENVIRONMENT
    if not installation.on_cloud_run and not is_given:
        region = region_of(str(answers["app"].fields().get("locationId") or region))
    return replace(installation, number=number, region=region)


def _served(installation: Installation, answers: dict[str, Answer]) -> str:
    """Where the application is served, as far as gcloud tells; nothing where it does not."""
    if installation.on_cloud_run:
        return installation.url if answers["run"].items() else ""
    host = answers["app"].fields().get("defaultHostname")
    prefix = "" if installation.service == "default" else f"{installation.service}-dot-"
    return f"https://{prefix}{host}" if host else ""


def _check_reach(url: str) -> Iterator[Finding]:
    from fantasm_gcp.cli.reaching import reach
    from fantasm_gcp.deploying.reach import check_reached

    return check_reached(reach(f"{url}/api/machines"))


def _check_definitions(installation: Installation, *, imports: bool) -> Iterator[Finding]:
    from fantasm_gcp.cli.check import find_problems
    from fantasm_gcp.deploying.commands import render_command
    from fantasm_gcp.deploying.findings import error, ok, warning

    file = installation.settings.definitions
    summary, problems = find_problems(file, imports=imports)
    errors = sum(each.severity == "error" for each in problems)
    mend = render_command(("fantasm", "check", file))
    if errors:
        yield error("definitions", f"{file} cannot be used, errors: {errors}", mend)
    elif problems:
        yield warning("definitions", f"{file} can be used, warnings: {len(problems)}", mend)
    else:
        yield ok("definitions", f"{file}: {summary}no problems")


def _print(finding: Finding) -> None:
    from fantasm_gcp.cli.table import one_line

    click.echo(f"{finding.severity:<7}  {finding.check}: {one_line(finding.words)}")
    if finding.mend:
        click.echo(f"         mend: {one_line(finding.mend)}")
