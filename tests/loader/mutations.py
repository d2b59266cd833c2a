"""Changes of definition files as bad luck, bad editors and bad people make them; seeded, so repeatable."""

from __future__ import annotations

import random
import re
from typing import Any

import yaml

from fantasm_gcp.core.attributes import ATTRIBUTES

ODD_PIECES = [
    *("\t", "\n", ":", "- ", "{", "}", "[", "]", "*mail", "&x ", "<<: ", "!!int ", "on", "010", "1:30", "~"),
    *("'", '"', "|", ">", "%", "\0", "\u2028", "\ud800", "😀", "#", "---\n", ".nan", "9" * 30, "? ", "!"),
    *("@", "`", "\\", "\r", "\ufeff", "...\n", "%YAML 1.1\n"),
]
ODD_VALUES = [
    *(
        "",
        "~",
        "null",
        "on",
        "'no'",
        "0",
        "-1",
        "1.5",
        "9" * 400,
        "0x" + "f" * 5000,
        "1:59:59",
        "010",
        ".inf",
    ),
    *(
        "-.inf",
        ".nan",
        "1e999",
        "2026-01-01",
        "''",
        '"\\0"',
        "'" + "x" * 300 + "'",
        "[]",
        "{}",
        "[[]]",
        "{a: }",
    ),
    *(
        "{minimum: 5, maximum: 1}",
        "{minimum: }",
        "[{}]",
        "[~]",
        "{? [a] : b}",
        "!!set {a}",
        "!!binary x",
        "*none",
    ),
    *(
        "&a [*a]",
        "a.b.c",
        ".a",
        "a..b",
        "ä",
        "/a/../b",
        "pickle",
        "pseudo-init",
        "FantasmScrubber",
        "Events.OK",
    ),
    *(
        "[Report, Report]",
        "https://a@b",
        "http://localhost/x",
        "[ok, 'https://c']",
        "500",
        "501",
        "Page",
        "Mail",
    ),
    *("NUMBER", "BROKEN", "import", ".", "/", "fsm.yaml", "part.yaml", "|\n  x", ">-\n  y"),
]
ODD_OBJECTS: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        2**70,
        1.5,
        float("inf"),
        float("nan"),
        "",
        "x" * 200,
        "ok",
        "no",
        "a.b",
        "{}",
    ),
    *([], {}, [[]], [None], {"a": None}, {None: 1}, {1: 2}, {"minimum": 1, "maximum": 2}, {"name": "M"}),
    *("pseudo-final", "FantasmScrubber", "part.yaml", "fsm.yaml", "Events.OK", "NUMBER", "pickle", "é", "\0"),
]
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
KEYS = sorted({each.name for each in ATTRIBUTES})


def mutated(text: str, chance: random.Random) -> str:
    """The text with one to four changes, each of a random kind."""
    for _ in range(chance.choice([1, 1, 2, 3, 4])):
        change = chance.choice([characters, lines, tokens, values, values, structure])
        text = change(text, chance)
    return text


def characters(text: str, chance: random.Random) -> str:
    """A piece of the text lost, repeated, moved or replaced."""
    start = chance.randrange(len(text) + 1)
    end = min(len(text), start + chance.choice([0, 1, 1, 3, 10, 40]))
    piece = text[start:end]
    match chance.randrange(4):
        case 0:
            return text[:start] + text[end:]
        case 1:
            return text[:end] + piece + text[end:]
        case 2:
            rest = text[:start] + text[end:]
            at = chance.randrange(len(rest) + 1)
            return rest[:at] + piece + rest[at:]
        case _:
            return text[:start] + chance.choice(ODD_PIECES) + text[end:]


def lines(text: str, chance: random.Random) -> str:
    """A line lost, repeated, moved, or given another indentation."""
    written = text.split("\n")
    index = chance.randrange(len(written))
    line = written[index]
    match chance.randrange(4):
        case 0:
            del written[index]
        case 1:
            written.insert(index, line)
        case 2:
            del written[index]
            written.insert(chance.randrange(len(written) + 1), line)
        case _:
            written[index] = " " * chance.randrange(9) + line.lstrip()
    return "\n".join(written)


def tokens(text: str, chance: random.Random) -> str:
    """Two words of the text exchanged, or one replaced by the name of an attribute."""
    words = list(re.finditer(r"[\w.-]+", text))
    if len(words) < 2:
        return text
    first, second = sorted(chance.sample(words, 2), key=lambda word: word.start())
    if chance.random() < 0.5:
        return text[: first.start()] + chance.choice(KEYS) + text[first.end() :]
    between = text[first.end() : second.start()]
    return text[: first.start()] + second[0] + between + first[0] + text[second.end() :]


def values(text: str, chance: random.Random) -> str:
    """What stands behind a colon or a dash replaced by an odd value."""
    found = list(re.finditer(r"(?<=: )[^\n,}\]]+|(?<=- )[^\n,}\]{\[:]+", text))
    if not found:
        return text
    place = chance.choice(found)
    return text[: place.start()] + chance.choice(ODD_VALUES) + text[place.end() :]


def structure(text: str, chance: random.Random) -> str:
    """A part of what the text says lost, repeated, moved or replaced, and the whole written anew."""
    try:
        tree = yaml.load(text, Loader=LOADER)
        holders = list(_holders(tree))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return text
    if not holders:
        return text
    holder = chance.choice(holders)
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = chance.choice(keys) if keys else None
    match chance.randrange(4):
        case 0 if keys:
            del holder[key]
        case 1 if keys:
            source = chance.choice(holders)
            holder[key] = source if chance.random() < 0.9 else [source]
        case 2 if isinstance(holder, list):
            holder.insert(chance.randrange(len(holder) + 1), chance.choice(ODD_OBJECTS + holder))
        case 2:
            holder[chance.choice(KEYS)] = chance.choice(ODD_OBJECTS)
        case _ if keys:
            holder[key] = chance.choice(ODD_OBJECTS)
    try:
        style = chance.choice([None, True, False])
        return str(yaml.dump(tree, Dumper=DUMPER, sort_keys=False, default_flow_style=style))
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def _holders(tree: Any, depth: int = 0) -> list[Any]:
    """All lists and mappings of a tree; one that contains itself is not followed for ever."""
    if depth > 20 or not isinstance(tree, list | dict):
        return []
    items = tree if isinstance(tree, list) else tree.values()
    return [tree, *(holder for each in items for holder in _holders(each, depth + 1))]
