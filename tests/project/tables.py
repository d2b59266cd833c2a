"""The tables of the documentation, rendered from the code: ``python tests/project/tables.py`` writes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path

import click
from behaviours import SECTIONS

from fantasm_gcp.cli.main import VERBS, main
from fantasm_gcp.core.access import Caller, Need, Role
from fantasm_gcp.core.attributes import ATTRIBUTES
from fantasm_gcp.settings import Settings

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
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
    """The settings, their defaults, and where a value that is not given comes from."""
    rows = [
        "| variable | default | where it comes from otherwise | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for each in fields(Settings):
        if "variable" in each.metadata:
            row = each.metadata
            default = f"`{each.default}`" if each.default not in ("", ()) else ""
            rows.append(f"| `{row['variable']}` | {default} | {row['found']} | {row['doc']} |")
    return "\n".join(rows) + "\n"


def render_access() -> str:
    """Who may do what: a row for each need, a column for each role."""
    rows = [f"| | {' | '.join(Role)} |", f"| --- |{' --- |' * len(Role)}"]
    for need in Need:
        cells = ["yes" if Caller(roles=frozenset({role})).may(need) else "" for role in Role]
        rows.append(f"| {need} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


TABLES = {
    level: lambda level=level: render_attributes(level)
    for level in ("file", "machine", "state", "transition")
}
TABLES["settings"] = render_settings
TABLES["access"] = render_access


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


@dataclass(frozen=True)
class Mark:
    """One ``@pytest.mark.fantasm(...)``: the file, under ``tests``, the test or class, and what is cited."""

    file: str
    test: str
    cited: tuple[object, ...]


@dataclass(frozen=True)
class Difference:
    """One line of docs/migrating.md: its section, anchor, title, and the numbers at its end, as text."""

    section: str
    anchor: str
    title: str
    numbers: tuple[str, ...]


def marks_in(source: str, file: str) -> Iterator[Mark]:
    """The marks of one test file, read without running it; those on parameters count for their test."""
    for statement in ast.parse(source).body:
        yield from _marks_of(statement, file, "")


def _marks_of(statement: ast.stmt, file: str, inside: str) -> Iterator[Mark]:
    if isinstance(statement, ast.Assign):
        if any(isinstance(each, ast.Name) and each.id == "pytestmark" for each in statement.targets):
            yield from (Mark(file, inside, cited) for cited in _cited(statement.value))
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        name = f"{inside}::{statement.name}" if inside else statement.name
        for decorator in statement.decorator_list:
            yield from (Mark(file, name, cited) for cited in _cited(decorator))
        if isinstance(statement, ast.ClassDef):
            for each in statement.body:
                yield from _marks_of(each, file, name)


def _cited(expression: ast.expr) -> Iterator[tuple[object, ...]]:
    """The arguments of each call of the mark in an expression; what is no constant stands as its source."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fantasm":
            yield tuple(
                each.value if isinstance(each, ast.Constant) else ast.unparse(each) for each in node.args
            )


@cache
def all_marks() -> tuple[Mark, ...]:
    """The marks of all tests, in the order of their files."""
    return tuple(
        mark
        for path in sorted(TESTS.rglob("*.py"))
        for mark in marks_in(path.read_text(), str(path.relative_to(TESTS)))
    )


def shown_by() -> dict[object, list[Mark]]:
    """The tests that show each number, once each."""
    shown: dict[object, list[Mark]] = {}
    for mark in all_marks():
        for number in mark.cited:
            marks = shown.setdefault(number, [])
            if all((mark.file, mark.test) != (each.file, each.test) for each in marks):
                marks.append(mark)
    return shown


_LINE = re.compile(r"^- (?:<a id=\"([\w-]+)\"></a>)?(.*?)(?=\n- |\n\n|\n?\Z)", re.DOTALL | re.MULTILINE)
_NUMBERS = re.compile(r"\(((?:[UV]?\d+(?: to [UV]?\d+)?[,;]?\s*)+)\)\Z")


def differences_in(page: str) -> list[Difference]:
    """The lines of docs/migrating.md: every item of its lists with dashes, outside of code."""
    lines = []
    for section in re.split(r"^## ", re.sub(r"```.*?```", "", page, flags=re.DOTALL), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        for anchor, text in _LINE.findall(body):
            said = re.search(r"\*\*(.*?)\*\*", text, re.DOTALL)
            title = " ".join(said[1].split()).rstrip(".,:;") if said else ""
            lines.append(Difference(heading, anchor, title, _numbers(text)))
    return lines


def _numbers(text: str) -> tuple[str, ...]:
    """The numbers in the brackets at the end of a line: ``(5, 190 to 192; U27)``."""
    found = _NUMBERS.search(" ".join(text.split()))
    if not found:
        return ()
    numbers = []
    for each in re.findall(r"[UV]?\d+(?: to [UV]?\d+)?", found[1]):
        first, _, last = (part.strip() for part in each.partition("to"))
        kind = first.rstrip("0123456789")
        ends = int(first.removeprefix(kind)), int((last or first).removeprefix(kind))
        numbers += [f"{kind}{number}" for number in range(ends[0], ends[1] + 1)]
    return tuple(numbers)


@cache
def all_differences() -> tuple[Difference, ...]:
    """The lines of docs/migrating.md."""
    return tuple(differences_in((DOCS / "migrating.md").read_text()))


def render_behaviours() -> str:
    """What Fantasm did, the tests that show it here, and where it differs."""
    shown = shown_by()
    parts = []
    for section, behaviours in SECTIONS.items():
        rows = [f"## {section}", "", "| | Fantasm | shown by | differs |", "| --- | --- | --- | --- |"]
        for number, text in behaviours.items():
            tests = "<br>".join(_link_to(mark) for mark in shown.get(number, ()))
            lines = "<br>".join(
                f"[{each.title}](migrating.md#{each.anchor})"
                for each in all_differences()
                if str(number) in each.numbers
            )
            rows.append(f"| {number} | {text} | {tests} | {lines} |")
        parts.append("\n".join(rows) + "\n")
    return "\n" + "\n".join(parts) + "\n"


def _link_to(mark: Mark) -> str:
    name = f"{Path(mark.file).name}::{mark.test}" if mark.test else Path(mark.file).name
    return f"[{name}](../tests/{mark.file})"


TABLES["behaviours"] = render_behaviours


def with_tables(text: str) -> str:
    """A page with each marked table as the code has it."""
    return _MARKED.sub(lambda mark: mark[1] + TABLES[mark[2]]() + mark[3], text)


if __name__ == "__main__":
    for page in DOCS.glob("*.md"):
        page.write_text(with_tables(page.read_text()))
