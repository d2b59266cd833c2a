"""What stands in a state's box, and how much room it takes: name, marks, and badges with counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fantasm_gcp.core.definition import State
from fantasm_gcp.diagram.geometry import Size
from fantasm_gcp.diagram.measure import text_width

NAME_SIZE = 14.0
MARK_SIZE = 11.0
GLYPH = 12.0  # a glyph is drawn in a square of this side
NAME_LINE = 20.0
MARK_LINE = 17.0
BADGE_LINE = 22.0
BADGE_HEIGHT = 18.0
BADGE_PADDING = 7.0
DECK = 4.0  # how far each of the two cards behind a continuation looks out below
PADDING_X = 16.0
PADDING_Y = 11.0
GAP = 4.0  # between a glyph and its word
SPACING = 10.0  # between two marks or badges of one row
_COMFORTABLE = 176.0  # marks and badges wrap into rows no longer than this, or than the name


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many steps of a state are in flight, failed, and over."""

    in_flight: int = 0
    failed: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class Chip:
    """A glyph with its words: a mark such as ``fan-in 3 s``, or a badge such as ``42 in flight``."""

    glyph: str
    text: str
    width: float
    badge: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """The content of a box and its size; ``rows`` hold marks first, then badges."""

    state: State
    counts: StateCounts
    name_width: float
    rows: tuple[tuple[Chip, ...], ...]
    size: Size

    @property
    def deck(self) -> float:
        """The height at the bottom that belongs to the cards behind."""
        return 2 * DECK if self.state.continuation else 0.0


def make_card(state: State, counts: StateCounts) -> Card:
    """Measures a state's box."""
    name_width = text_width(state.name, NAME_SIZE, bold=True)
    limit = max(_COMFORTABLE, name_width)
    marks = [_chip(glyph, text, badge=False) for glyph, text in _marks(state)]
    badges = [_chip(glyph, text, badge=True) for glyph, text in _badges(counts)]
    rows = (*_wrapped(marks, limit), *_wrapped(badges, limit))
    width = max([name_width, *map(row_width, rows)]) + 2 * PADDING_X
    height = NAME_LINE + sum(row_height(row) for row in rows) + 2 * PADDING_Y
    deck = 2 * DECK if state.continuation else 0.0
    return Card(state, counts, name_width, rows, Size(width, height + deck))


def row_width(row: Sequence[Chip]) -> float:
    """The width of a row with the space between its chips."""
    return sum(chip.width for chip in row) + SPACING * (len(row) - 1)


def row_height(row: Sequence[Chip]) -> float:
    """The height of a row: badges have a background and stand wider apart."""
    return BADGE_LINE if row[0].badge else MARK_LINE


def describe(state: State, counts: StateCounts | None) -> str:
    """A state in words, as in ``SendEmail: initial, continuation; 42 in flight, 2 failed``."""
    roles = [word for word, is_so in (("initial", state.initial), ("final", state.final)) if is_so]
    words = ", ".join([*roles, *marks(state)])
    numbers = ", ".join(f"{count:,} {word}" for _, word, count in _numbers(counts or StateCounts()))
    told = "; ".join(part for part in (words, numbers) if part)
    return f"{state.name}: {told}" if told else state.name


def seconds(period: float) -> str:
    """A period as ``3 s`` or ``0.5 s``."""
    return f"{period:g} s" if period < 1e6 else f"{period:.0f} s"


def marks(state: State) -> Iterator[str]:
    """What a state is beside initial and final, in words such as ``fan-in 3 s``."""
    return (text for _, text in _marks(state))


def _marks(state: State) -> Iterator[tuple[str, str]]:
    if state.continuation:
        yield "continuation", "continuation"
    if state.fan_in is not None:
        yield "fan-in", f"fan-in {seconds(state.fan_in)}"
    if state.join:
        yield "join", "join"
    if state.transactional:
        yield "transactional", "transactional"


def _numbers(counts: StateCounts) -> Iterator[tuple[str, str, int]]:
    for word, count in (("in flight", counts.in_flight), ("failed", counts.failed), ("done", counts.done)):
        if count:
            yield word.replace(" ", "-"), word, count


def _badges(counts: StateCounts) -> Iterator[tuple[str, str]]:
    for glyph, word, count in _numbers(counts):
        yield glyph, f"{_short(count)} {word}"


def _short(count: int) -> str:
    """A count in at most six characters up to billions; the exact one is in the words beside the drawing."""
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 10 * unit:
            return f"{count // unit:,}{letter}"
    return f"{count:,}"


def _chip(glyph: str, text: str, *, badge: bool) -> Chip:
    width = GLYPH + GAP + text_width(text, MARK_SIZE, bold=badge)
    return Chip(glyph, text, width + (2 * BADGE_PADDING if badge else 0.0), badge)


def _wrapped(chips: Sequence[Chip], limit: float) -> Iterator[tuple[Chip, ...]]:
    row: list[Chip] = []
    for chip in chips:
        if row and row_width([*row, chip]) > limit:
            yield tuple(row)
            row = []
        row.append(chip)
    if row:
        yield tuple(row)
