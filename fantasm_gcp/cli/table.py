"""Values in columns, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click


def render_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under heads, numbers to the right; lines end where their text does."""
    cells = [[_cell(value) for value in row] for row in rows]
    numbers = [
        bool(cells) and all(row[i].replace(",", "").isdigit() for row in cells) for i in range(len(heads))
    ]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = []
    for row in [list(heads), *cells]:
        padded = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, none: str) -> None:
    """Prints rows under heads; where there are none, the words for that go to standard error.

    So people read why there is nothing, and programs that read the table still find its heads alone.
    """
    click.echo(render_table(heads, rows))
    if not rows:
        click.echo(none, err=True)


def moment(text: str | None) -> str:
    """A time of the API's, to the second, in UTC."""
    return f"{text[:10]} {text[11:19]}" if text else ""


def _cell(value: object) -> str:
    """One line of text, whatever comes from actions."""
    text = f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
    return one_line(text)


def one_line(text: str) -> str:
    """A text without what would move the cursor."""
    return "".join(each if each.isprintable() else " " for each in text)
