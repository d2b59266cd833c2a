"""How wide a text will be, without a font at hand.

The widths are those of Helvetica, Arial and Liberation Sans, which agree with each other, and the diagram
asks for these fonts first. Where a reader has none of them, long texts are pressed into the measured width
(``textLength`` in ``svg``), so that nothing leaves its box.
"""

from __future__ import annotations

from typing import Final

_REGULAR: Final = {
    191: "'",
    222: "ijl",
    260: "|",
    278: " !,./:;I[\\]ft",
    333: "()-`r{}",
    355: '"',
    389: "*",
    500: "Jcksvxyz",
    556: "#$0123456789?L_abdeghnopqu",
    584: "+<=>~^",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1015: "@",
}
_BOLD: Final = {
    238: "'",
    278: " ,./I\\ijl|",
    333: "!()-:;[]`ft",
    389: "*r{}",
    474: '"',
    500: "z",
    556: "#$0123456789J_aceksvxy",
    584: "+<=>^~",
    611: "?FLTZbdghnopqu",
    667: "EPSVXY",
    722: "&ABCDHKNRU",
    778: "GOQw",
    833: "M",
    889: "%m",
    944: "W",
    975: "@",
}
_WIDEST: Final = 1015  # for what the tables do not know: too wide is only spacious, too narrow is cut off


def _by_character(table: dict[int, str]) -> dict[str, int]:
    return {character: width for width, characters in table.items() for character in characters}


_TABLES: Final = {False: _by_character(_REGULAR), True: _by_character(_BOLD)}


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line of text in pixels, for a font of ``size`` pixels."""
    table = _TABLES[bold]
    return sum(table.get(character, _WIDEST) for character in text) * size / 1000
