"""`fantasm graph`: a machine as a drawing."""

from __future__ import annotations

from pathlib import Path

import click

from fantasm_gcp.cli.refusal import Refusal
from fantasm_gcp.errors import DefinitionError


@click.command("graph")
@click.argument("machine")
@click.option("--file", default="fsm.yaml", show_default=True, help="The definition file.")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["svg", "dot", "mermaid"]),
    default="svg",
    show_default=True,
    help="dot is for Graphviz.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def command(machine: str, file: str, form: str, output: Path | None) -> None:
    """Draw MACHINE. No server is asked and no module imported: constants that are events keep their names."""
    from fantasm_gcp import diagram
    from fantasm_gcp.core.findings import did_you_mean
    from fantasm_gcp.loader import load_definitions

    try:
        machines = load_definitions(file, resolve_names=False).machines
    except DefinitionError as error:
        raise Refusal(f"{file} cannot be used:\n{error}") from error
    if machine not in machines:
        hint = did_you_mean(machine, machines) or f"the machines are: {', '.join(machines)}"
        raise Refusal(f"there is no machine {machine!r} in {file}; {hint}")
    render = {"svg": diagram.render_svg, "dot": diagram.render_dot, "mermaid": diagram.render_mermaid}
    text = render[form](machines[machine])
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"{output} cannot be written: {error.strerror}") from error
