"""The tables of the documentation, rendered from the code: ``python tests/project/tables.py`` writes them."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import click

from fantasm_gcp.cli.main import VERBS, main
from fantasm_gcp.core.attributes import ATTRIBUTES
from fantasm_gcp.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render_attributes(level: str) -> str:
    """The attributes of one level of an fsm.yaml."""
    rows = ["| attribute | takes | meaning |", "| --- | --- | --- |"]
    for each in ATTRIBUTES:
        if each.level == level:
            takes = each.kind.name.lower().replace("_", " ")
            needed = " (required)" if each.required else ""
            rows.append(f"| `{each.name}` | {takes}{needed} | {each.doc} |")
    return "\n".join(rows) + "\n"


def render_settings() -> str:
    """The settings and their defaults."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for each in fields(Settings):
        if "variable" in each.metadata:
            default = f"`{each.default}`" if each.default != "" else ""
            rows.append(f"| `{each.metadata['variable']}` | {default} | {each.metadata['doc']} |")
    return "\n".join(rows) + "\n"


TABLES = {
    level: lambda level=level: render_attributes(level)
    for level in ("file", "machine", "state", "transition")
}
TABLES["settings"] = render_settings


def render_commands() -> str:
    """What each verb says of itself."""
    parts = []
    for verb in VERBS:
        command = import_module(f"fantasm_gcp.cli.{verb}").command
        group = click.Context(main, info_name="fantasm", **main.context_settings)
        context = click.Context(
            command, info_name=verb, parent=group, terminal_width=100, max_content_width=100
        )
        parts.append(f"## fantasm {verb}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


TABLES["commands"] = render_commands


def with_tables(text: str) -> str:
    """A page with each marked table as the code has it."""
    return _MARKED.sub(lambda mark: mark[1] + TABLES[mark[2]]() + mark[3], text)


if __name__ == "__main__":
    for page in DOCS.glob("*.md"):
        page.write_text(with_tables(page.read_text()))
