"""A machine as one self-contained SVG picture, for a page or for a file.

The picture holds no ``id`` and no script and refers to nothing outside, so that any number of them can stand
in one page, and the same machine always gives the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape

from fantasm_gcp.core.definition import Machine, State
from fantasm_gcp.diagram.card import (
    BADGE_HEIGHT,
    BADGE_PADDING,
    DECK,
    GAP,
    GLYPH,
    MARK_SIZE,
    NAME_LINE,
    NAME_SIZE,
    SPACING,
    Card,
    Chip,
    StateCounts,
    describe,
    row_height,
    row_width,
)
from fantasm_gcp.diagram.geometry import Point, Rect, Route
from fantasm_gcp.diagram.measure import text_width
from fantasm_gcp.diagram.scene import EVENT_SIZE, Arrow, Scene, stage
from fantasm_gcp.diagram.theme import SCOPE, STYLE

_LONG = 18  # characters; a longer text is pressed into its measured width, whatever the font
_RADIUS = 9.0
_INSET = 3.5  # between the two borders of a final state
_DECK_INSET = 4.5  # of each card behind a continuation; small, for arrows begin at the last one
_HALF_HEAD = 4.2  # half the width of an arrowhead

_GLYPHS = {  # drawn in a square of 12
    "continuation": "M1 6h3.5M4.5 6L9 2.2M4.5 6h6.5M4.5 6L9 9.8M9.2 4.2L11 6L9.2 7.8",
    "fan-in": "M1 1.8L5.5 6M1 6h10M1 10.2L5.5 6M8.8 3.8L11 6L8.8 8.2",
    "join": "M1 2.5h5M1 6h10M1 9.5h5M6 1v10",
    "transactional": "M2.5 5.5h7v5h-7zM4 5.5V3.8a2 2 0 0 1 4 0V5.5",
    "in-flight": "M3.5 2L9.5 6L3.5 10z",
    "failed": "M6 1.5L11 10.5H1zM6 5v2.3M6 9v.1",
    "done": "M2 6.5L5 9.5L10.5 3",
}


def render_svg(
    machine: Machine,
    counts: Mapping[str, StateCounts] | None = None,
    link: Callable[[str], str] | None = None,
    *,
    nonce: str | None = None,
) -> str:
    """The machine as SVG, with ``xmlns``, ``viewBox`` and a size in pixels.

    ``counts`` puts badges on the states it names; ``link`` gives the address a state's box leads to.
    ``nonce`` goes onto the ``style`` element, for a page whose Content-Security-Policy asks for one.
    Deterministic. A page may set the colours (``theme``).
    """
    scene = stage(machine, counts or {})
    width, height = _n(scene.layout.width), _n(scene.layout.height)
    title = _escaped(f"Machine {machine.name}")
    given = f' nonce="{_escaped(nonce)}"' if nonce else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{SCOPE}" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="{"group" if link else "img"}" aria-label="{title}">',
        f"<title>{title}</title>",
        f"<desc>{_escaped(_description(machine, counts or {}))}</desc>",
        f"<style{given}>{STYLE}</style>",
        f'<rect class="canvas" width="{width}" height="{height}" rx="{_n(_RADIUS)}"/>',
        '<g aria-hidden="true">',
        *_start(scene),
        *map(_arrow, scene.arrows),
        "</g>",
        *(_box(card, rect, link) for card, rect in scene.boxes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _description(machine: Machine, counts: Mapping[str, StateCounts]) -> str:
    """The whole picture in words."""
    sentences = []
    for state in machine.states:
        told = describe(state, counts.get(state.name))
        leaving = ", ".join(f"{each.event} to {each.to}" for each in state.transitions)
        sentences.append(f"{told}; on {leaving}." if leaving else f"{told}.")
    return " ".join(sentences)


def _start(scene: Scene) -> Iterator[str]:
    center, radius = scene.start.center, scene.start.width / 2
    if scene.entries:
        yield f'<circle class="start" cx="{_n(center.x)}" cy="{_n(center.y)}" r="{_n(radius)}"/>'
    for route in scene.entries:
        yield f'<g class="edge">{_line(route)}</g>'


def _arrow(arrow: Arrow) -> str:
    event, source, target = arrow.transition.event, arrow.source.name, arrow.transition.to
    queue = f", queue {arrow.transition.queue}" if arrow.transition.queue else ""
    label = ""
    if arrow.route.label is not None:
        middle = arrow.route.label.center
        label = _words("event", event, middle, EVENT_SIZE)
    told = _escaped(f"{source}, on {event}, to {target}{queue}")
    return (
        f'<g class="edge" data-from="{_escaped(source)}" data-event="{_escaped(event)}"'
        f' data-to="{_escaped(target)}"><title>{told}</title>{_line(arrow.route)}{label}</g>'
    )


def _line(route: Route) -> str:
    """The line and its arrowhead, a triangle from the line's end to the tip."""
    commands = []
    for start, strokes in route.pieces:
        commands.append(f"M{_p(start)}")
        at = start
        for stroke in strokes:
            if stroke.controls is not None:
                first, second = stroke.controls
                commands.append(f"C{_p(first)} {_p(second)} {_p(stroke.end)}")
            elif _p(at) != _p(stroke.end):
                commands.append(f"L{_p(stroke.end)}")
            at = stroke.end
    base, tip = route.base, route.tip
    length = abs(tip.x - base.x) + abs(tip.y - base.y)  # heads point along an axis
    dx, dy = (tip.y - base.y) / length * _HALF_HEAD, (tip.x - base.x) / length * _HALF_HEAD
    head = f"M{_p(tip)}L{_n(base.x + dx)} {_n(base.y + dy)}L{_n(base.x - dx)} {_n(base.y - dy)}z"
    return f'<path class="line" d="{"".join(commands)}"/><path class="head" d="{head}"/>'


def _box(card: Card, rect: Rect, link: Callable[[str], str] | None) -> str:
    state = card.state
    told = _escaped(describe(state, card.counts))
    action = f"; action {_escaped(state.action)}" if state.action else ""
    failing = " failing" if card.counts.failed else ""
    inner = f"<title>{told}{action}</title>{''.join(_content(card, rect))}"
    opening = f'<g class="state{failing}" data-state="{_escaped(state.name)}">'
    if link is None:
        return f"{opening}{inner}</g>"
    return f'{opening}<a href="{_escaped(link(state.name))}" aria-label="{told}">{inner}</a></g>'


def _content(card: Card, rect: Rect) -> Iterator[str]:
    face = Rect(rect.x, rect.y, rect.width, rect.height - card.deck)
    yield from _borders(card.state, face)
    height = NAME_LINE + sum(map(row_height, card.rows))
    top = face.center.y - height / 2
    yield _words("name", card.state.name, Point(face.center.x, top + NAME_LINE / 2), NAME_SIZE)
    top += NAME_LINE
    for row in card.rows:
        middle = top + row_height(row) / 2 + 1
        left = face.center.x - row_width(row) / 2
        for chip in row:
            yield _chip(chip, left, middle)
            left += chip.width + SPACING
        top += row_height(row)


def _borders(state: State, face: Rect) -> Iterator[str]:
    if state.continuation:
        for behind in (2, 1):
            inset, drop = _DECK_INSET * behind, DECK * behind
            yield _rounded("behind", Rect(face.x + inset, face.y + drop, face.width - 2 * inset, face.height))
    yield _rounded("card", face)
    if state.final:
        width, height = face.width - 2 * _INSET, face.height - 2 * _INSET
        yield _rounded("inner", Rect(face.x + _INSET, face.y + _INSET, width, height), _RADIUS - _INSET)


def _chip(chip: Chip, left: float, middle: float) -> str:
    kind, back = f"mark {chip.glyph}", ""
    if chip.badge:
        kind = f"badge {chip.glyph}"
        box = Rect(left, middle - BADGE_HEIGHT / 2, chip.width, BADGE_HEIGHT)
        back = _rounded("back", box, BADGE_HEIGHT / 2)
        left += BADGE_PADDING
    glyph = (
        f'<path class="glyph" transform="translate({_n(left)} {_n(middle - GLYPH / 2)})"'
        f' d="{_GLYPHS[chip.glyph]}"/>'
    )
    words = _words("", chip.text, Point(left + GLYPH + GAP, middle), MARK_SIZE)
    return f'<g class="{kind}">{back}{glyph}{words}</g>'


def _rounded(kind: str, rect: Rect, radius: float = _RADIUS) -> str:
    return (
        f'<rect class="{kind}" x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}"'
        f' height="{_n(rect.height)}" rx="{_n(radius)}"/>'
    )


def _words(kind: str, text: str, at: Point, size: float) -> str:
    """A line of text whose middle is at a height; the shift to the base line is a third of the size."""
    named = f' class="{kind}"' if kind else ""
    pressed = ""
    if len(text) >= _LONG:
        length = text_width(text, size, bold=kind == "name")
        pressed = f' textLength="{_n(length)}" lengthAdjust="spacingAndGlyphs"'
    return f'<text{named} x="{_n(at.x)}" y="{_n(at.y + size * 0.355)}"{pressed}>{_escaped(text)}</text>'


def _p(point: Point) -> str:
    return f"{_n(point.x)} {_n(point.y)}"


def _n(number: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{round(number, 1) + 0.0:g}" if abs(number) < 1e5 else f"{number:.1f}"


def _escaped(text: str) -> str:
    """Text safe in content and in attributes; what XML cannot hold at all becomes a replacement character."""
    return escape("".join(each if _in_xml(each) else "\ufffd" for each in text))


def _in_xml(character: str) -> bool:
    code = ord(character)
    return (code >= 0x20 and not 0xD800 <= code <= 0xDFFF and code not in (0xFFFE, 0xFFFF)) or code in (
        9,
        10,
        13,
    )
