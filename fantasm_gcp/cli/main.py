"""The group of verbs, and the version."""

from __future__ import annotations

import tomllib
from importlib import import_module, metadata
from pathlib import Path

import click

from fantasm_gcp.core.findings import did_you_mean

VERBS = (
    "cancel",
    "check",
    "dev",
    "doctor",
    "emulator",
    "failures",
    "graph",
    "hold",
    "holds",
    "list",
    "pause",
    "redrive",
    "release",
    "resume",
    "settings",
    "setup",
    "show",
    "start",
    "token",
)
"""Each is a module of this package with a command named ``command``."""


class _Verbs(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"{__package__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in VERBS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        hint = did_you_mean(name, VERBS) or f"the commands are: {', '.join(VERBS)}"
        ctx.fail(f"there is no command {name!r}; {hint}")


def find_version() -> str:
    """The version of this package: of the source tree it lies in, or as it was installed."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        table = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if table.get("name") == "fantasm-gcp":
            return str(table["version"])
    return metadata.version("fantasm-gcp")


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"fantasm {find_version()}")
        ctx.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def main() -> None:
    """Workflows as finite state machines on Google Cloud Tasks and Datastore."""
