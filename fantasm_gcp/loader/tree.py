"""From YAML text to the tree that ``core.draft`` reads; only here is YAML known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from fantasm_gcp.core.findings import did_you_mean, quoted
from fantasm_gcp.core.node import Broken, Node, Place, Scalar, ScalarKind, Sequence
from fantasm_gcp.core.node import Mapping as MappingNode
from fantasm_gcp.errors import DefinitionError
from fantasm_gcp.loader.lines import Lines
from fantasm_gcp.loader.syntax import syntax_problem

MAX_NODES = 100_000
"""The most keys and values of a file, those of an alias counted wherever it stands."""

MAX_DEPTH = 50
"""The deepest nesting of a file; a definition has seven levels."""

YAML_PARSER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it, the one in Python elsewhere."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_TAGS = "tag:yaml.org,2002:"
_KINDS: Mapping[str, ScalarKind] = {
    _TAGS + "str": "text",
    _TAGS + "merge": "text",
    _TAGS + "value": "text",
    _TAGS + "bool": "bool",
    _TAGS + "int": "int",
    _TAGS + "float": "float",
    _TAGS + "null": "null",
    _TAGS + "timestamp": "date",
}


def parse_tree(
    text: str, file: str, parser: type[Any] = YAML_PARSER, *, begins: str = "state_machines"
) -> Node:
    """The one document in a YAML text, as a tree with places; ``begins`` is the first key of such a file.

    Raises :class:`DefinitionError` with one problem where the text is no YAML, no single document, or too
    large; what is YAML but of no use becomes a :class:`Broken` node.
    """
    text = text.removeprefix("\ufeff")
    lines = Lines(text, file)
    if forbidden := _FORBIDDEN.search(text):
        place = lines.at_index(forbidden.start())
        raise DefinitionError((place.error(f"the character U+{ord(forbidden[0]):04X} is not allowed"),))
    try:
        return _Builder(lines, begins).build(yaml.parse(text, Loader=parser))
    except yaml.YAMLError as error:
        raise DefinitionError((syntax_problem(error, lines),)) from error


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been met; ``size`` counts what is in it so far, aliases expanded."""

    event: Any
    place: Place
    children: list[Node] = field(default_factory=list)
    size: int = 1


class _Builder:
    """Makes a tree of a stream of events, without recursion: nesting and expansion are bounded on the way."""

    def __init__(self, lines: Lines, begins: str) -> None:
        self._lines = lines
        self._begins = begins
        self._values: Any = yaml.SafeLoader("")
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._root: Node | None = None

    def build(self, events: Iterator[Any]) -> Node:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._add(self._scalar(event), 1, event)
            elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                self._refuse(event, "a second document begins here", "a definition file is one document")
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(self._open) >= MAX_DEPTH:
                    self._refuse(event, f"the nesting is deeper than {MAX_DEPTH}")
                self._open.append(_Open(event, self._lines.at(event.start_mark)))
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close(self._open.pop())
            elif isinstance(event, yaml.AliasEvent):
                self._add(*self._alias(event), event)
        if self._root is None or (isinstance(self._root, Scalar) and self._root.kind == "null"):
            return Broken(self._lines.at(None), "the file is empty", f"it begins with '{self._begins}:'")
        return self._root

    def _refuse(self, event: Any, message: str, hint: str = "") -> None:
        raise DefinitionError((self._lines.at(event.start_mark).error(message, hint),))

    def _add(self, node: Node, size: int, event: Any) -> None:
        """Puts a finished node where it belongs."""
        if event.anchor and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = (node, size)
        if not self._open:
            self._root = node
            return
        self._open[-1].children.append(node)
        self._open[-1].size += size
        if self._open[-1].size > MAX_NODES:
            self._refuse(event, f"the file has more than {MAX_NODES} keys and values, its aliases expanded")

    def _close(self, collection: _Open) -> None:
        event, place = collection.event, collection.place
        node: Node
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAGS + ("map" if is_mapping else "seq")):
            node = Broken(place, f"the tag {quoted(event.tag)} is not allowed")
        elif is_mapping:
            node = MappingNode(place, _merged(collection.children))
        else:
            node = Sequence(place, tuple(collection.children))
        self._add(node, collection.size, event)

    def _alias(self, event: Any) -> tuple[Node, int]:
        place = self._lines.at(event.start_mark)
        if any(each.event.anchor == event.anchor for each in self._open):
            return Broken(place, f"the alias *{event.anchor} is inside of what it stands for"), 1
        if event.anchor not in self._anchors:
            hint = did_you_mean(event.anchor, self._anchors)
            return Broken(place, f"there is no anchor &{event.anchor} above", hint), 1
        return self._anchors[event.anchor]

    def _scalar(self, event: Any) -> Node:
        place = self._lines.at(event.start_mark)
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._values.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = _KINDS.get(tag)
        if kind is None:
            return Broken(place, f"the tag {quoted(tag)} is not allowed")
        if kind == "text":
            return Scalar(place, kind, event.value, event.value)
        if kind in ("null", "date"):
            return Scalar(place, kind, event.value, None)
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        try:
            value: bool | int | float = self._values.construct_object(node)
        except (ValueError, LookupError, ArithmeticError):
            # Python refuses decimal numbers of thousands of digits; an explicit tag may stand on any text.
            return Broken(place, f"{quoted(event.value)} cannot be read as {tag.removeprefix(_TAGS)}")
        return Scalar(place, kind, event.value, value)


def _merged(children: list[Node]) -> tuple[tuple[Node, Node], ...]:
    """The entries of a mapping, ``<<`` resolved: what is written wins, then what comes first."""
    written = list(zip(children[::2], children[1::2], strict=True))
    merges = [(key, value) for key, value in written if isinstance(key, Scalar) and key.text == "<<"]
    entries = [(key, value) for key, value in written if not (isinstance(key, Scalar) and key.text == "<<")]
    known = {key.text for key, _ in entries if isinstance(key, Scalar)}
    for key, value in merges:
        for source in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(source, MappingNode):
                broken = (
                    source if isinstance(source, Broken) else Broken(key.place, "<< merges mappings only")
                )
                entries.append((key, broken))
                continue
            added = [(k, v) for k, v in source.entries if not (isinstance(k, Scalar) and k.text in known)]
            entries.extend(added)
            known |= {k.text for k, _ in added if isinstance(k, Scalar)}
    return tuple(entries)
