"""Values in columns, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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


def moment(text: str | None) -> str:
    """A time of the API's, to the second, in UTC."""
    return f"{text[:10]} {text[11:19]}" if text else ""


def _cell(value: object) -> str:
    """One line of text: what comes from actions must not move the cursor."""
    text = f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
    return "".join(each if each.isprintable() else " " for each in text)
