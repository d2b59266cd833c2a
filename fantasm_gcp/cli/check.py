"""`fantasm check`: every problem of a definition file and, if it has no errors, of what it names."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from fantasm_gcp.errors import DefinitionError, Problem


@click.command("check")
@click.argument("file", default="fsm.yaml")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github makes annotations in a GitHub workflow.",
)
@click.option(
    "--no-import",
    "imports",
    flag_value=False,
    default=True,
    help="Do not import modules to look for actions, types and constants.",
)
@click.pass_context
def command(ctx: click.Context, file: str, form: str, imports: bool) -> None:
    """Print every problem of FILE, fsm.yaml by default.

    What the file imports is checked as well. The modules of its actions, types and constants are imported,
    so their code runs: from the file's own directory first, then from the current one. What is wrong with
    actions and types is told when the files have no errors.

    Exit status: 0 when there is no problem, 1 when there are only warnings, 2 when there are errors.
    """
    summary, problems = find_problems(file, imports=imports)
    errors = sum(each.severity == "error" for each in problems)
    if form == "json":
        counts = {"file": file, "errors": errors, "warnings": len(problems) - errors}
        click.echo(json.dumps(counts | {"problems": [asdict(each) for each in problems]}, indent=2))
    elif form == "github":
        for problem in problems:
            click.echo(render_annotation(problem))
    else:
        for problem in problems:
            click.echo(str(problem))
        click.echo(f"{file}: {summary}{_count(errors, 'error')}, {_count(len(problems) - errors, 'warning')}")
    ctx.exit(2 if errors else 1 if problems else 0)


def find_problems(file: str, *, imports: bool) -> tuple[str, Sequence[Problem]]:
    """What there is in a file, empty when it cannot be used, and all of its problems in their order."""
    from fantasm_gcp.core.findings import Findings
    from fantasm_gcp.core.parse import BUILT_IN_MACHINES
    from fantasm_gcp.loader import load_actions, load_casts, load_definitions

    if imports:
        look_for_modules_in(Path(file).parent)
    try:
        definitions = load_definitions(file, resolve_names=imports)
    except DefinitionError as error:
        return "", error.problems
    findings = Findings()
    findings.add(definitions.warnings)
    if imports:
        try:
            findings.add(load_actions(definitions).warnings)
        except DefinitionError as error:
            findings.add(error.problems)
        try:
            load_casts(definitions)
        except DefinitionError as error:
            findings.add(error.problems)
    own = [machine for machine in definitions if machine.name not in BUILT_IN_MACHINES]
    states = sum(len(machine.states) for machine in own)
    summary = f"{_count(len(own), 'machine')}, {_count(states, 'state')}, "
    places = definitions.places.values()
    return summary, findings.in_order([file, *dict.fromkeys(place.file for place in places)])


def look_for_modules_in(directory: Path) -> None:
    """Puts a directory, and behind it the current one, in front of where modules are looked for."""
    for each in (Path.cwd(), directory.resolve()):
        sys.path[:] = [str(each), *(entry for entry in sys.path if entry != str(each))]


def render_annotation(problem: Problem) -> str:
    """A problem as a workflow command of GitHub's."""
    place = f"file={_property(problem.file)},line={problem.line},col={problem.column}"
    message = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    return f"::{problem.severity} {place}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
