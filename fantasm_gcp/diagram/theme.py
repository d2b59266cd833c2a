"""Colours and the style sheet of a diagram.

Every colour is a custom property ``--fsm-*`` that a page may set; without one the fallback applies, light or
dark by the nearest ``data-theme`` attribute, else by the reader's preference. All rules hang on one class,
so that several diagrams share a page, and the page's own rules stay untouched.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "fsm-diagram"

_COLOURS: Final = {  # name: (light, dark); text has at least 4.5:1 to what it stands on, lines 3:1
    "canvas": ("#ffffff", "#11161d"),
    "card": ("#f5f7fa", "#1c242f"),
    "card-behind": ("#e6eaf0", "#161d26"),
    "border": ("#74808f", "#72808f"),
    "text": ("#17202b", "#eaf0f6"),
    "muted": ("#525e6d", "#a4b1c0"),
    "line": ("#5d6977", "#8d9aaa"),
    "event": ("#2f3a47", "#cdd6e0"),
    "accent": ("#1b5fcc", "#84b4ff"),
    "in-flight": ("#174a9c", "#a8ccff"),
    "in-flight-back": ("#dfeafc", "#1b3557"),
    "failed": ("#a01a17", "#ffb3b0"),
    "failed-back": ("#fce2e0", "#561f22"),
    "failed-edge": ("#c8322d", "#de6f6a"),
    "done": ("#175c2e", "#a2e2b4"),
    "done-back": ("#dcf2e2", "#183d26"),
}

_FONT: Final = "'Helvetica Neue',Helvetica,Arial,'Liberation Sans',Arimo,sans-serif"

_RULES: Final = f"""
.S text{{font-family:var(--fsm-font,{_FONT});text-anchor:middle;fill:var(--_text)}}
.S .canvas{{fill:var(--_canvas)}}
.S .card,.S .inner,.S .behind{{fill:var(--_card);stroke:var(--_border);stroke-width:1.5}}
.S .inner{{fill:none;stroke-width:1.25}}
.S .behind{{fill:var(--_card-behind)}}
.S .failing .card,.S .failing .inner,.S .failing .behind{{stroke:var(--_failed-edge)}}
.S .name{{font-size:14px;font-weight:700}}
.S .mark text{{font-size:11px;fill:var(--_muted);text-anchor:start}}
.S .badge text{{font-size:11px;font-weight:700;text-anchor:start}}
.S .glyph{{fill:none;stroke:var(--_muted);stroke-width:1.4;stroke-linecap:round;stroke-linejoin:round}}
.S .start{{fill:var(--_text)}}
.S .line{{fill:none;stroke:var(--_line);stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}}
.S .head{{fill:var(--_line);stroke:var(--_line);stroke-width:1;stroke-linejoin:round}}
.S .event{{font-size:12px;fill:var(--_event)}}
.S .edge:hover .line{{stroke:var(--_accent);stroke-width:2.25}}
.S .edge:hover .head{{fill:var(--_accent);stroke:var(--_accent)}}
.S .edge:hover .event{{fill:var(--_accent)}}
.S a{{text-decoration:none;cursor:pointer}}
.S a:hover .card,.S a:focus-visible .card{{stroke:var(--_accent);stroke-width:2.5}}
.S a:focus-visible{{outline:3px solid var(--_accent);outline-offset:3px}}
"""


def _badge_rules() -> str:
    rules = []
    for word in ("in-flight", "failed", "done"):
        rules.append(f".S .{word} rect{{fill:var(--_{word}-back)}}")
        rules.append(f".S .{word} text{{fill:var(--_{word})}}")
        rules.append(f".S .{word} .glyph{{stroke:var(--_{word});stroke-width:1.7}}")
    return "\n".join(rules)


def _palette(dark: bool) -> str:
    return ";".join(f"--_{name}:var(--fsm-{name},{colours[dark]})" for name, colours in _COLOURS.items())


def _style() -> str:
    light, dark = _palette(False), _palette(True)
    text = (
        f".S{{{light}}}\n"
        f"@media (prefers-color-scheme:dark){{.S{{{dark}}}}}\n"
        f".S[data-theme=light],[data-theme=light] .S{{{light}}}\n"
        f".S[data-theme=dark],[data-theme=dark] .S{{{dark}}}\n"
        f"@media print{{.S,[data-theme] .S{{{light}}}}}"
        f"{_RULES}{_badge_rules()}"
    )
    return text.replace(".S", f".{SCOPE}")


STYLE: Final = _style()
"""The style sheet, the same for every diagram; it holds no character that XML would need escaped."""
