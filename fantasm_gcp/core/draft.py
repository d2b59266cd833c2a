"""From the tree of a file to drafts: one per mapping, its attributes read by the table, mistakes recorded.

A draft says what could be read, what was there but unusable, and where. The rules that concern more than
one attribute are in ``core.parse``; thanks to ``broken`` they can stay silent about what follows from a
mistake that is already reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from fantasm_gcp.core.attributes import Attribute, Kind, Level, attributes_of, levels_of, suggested
from fantasm_gcp.core.composed import COMPOSED, read_files
from fantasm_gcp.core.findings import Findings, closest, did_you_mean, quoted
from fantasm_gcp.core.mending import (
    keys_of,
    torn_machine_at,
    with_states_in_machine,
    with_whole_transitions,
)
from fantasm_gcp.core.node import Broken, Node, Place, Scalar, Sequence
from fantasm_gcp.core.node import Mapping as MappingNode
from fantasm_gcp.core.values import LIST_HINT, UnusableError, read_value

_CALLED: dict[Level, str] = {
    "file": "the file",
    "machine": "a machine",
    "state": "a state",
    "transition": "a transition",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """One mapping of the file.

    ``values`` holds what could be read (the items of a list as drafts), ``places`` where the value of each
    attribute that was given begins, ``keys`` where its name does, ``texts`` scalars as written, usable or
    not. An attribute that was given by its old name is here under its new one. ``broken`` names the
    attributes that were given or required and have no value; ``holes`` the lists with items that are no
    mappings at all.
    """

    level: Level
    label: str
    place: Place
    values: Mapping[str, Any]
    places: Mapping[str, Place]
    keys: Mapping[str, Place]
    texts: Mapping[str, str]
    broken: frozenset[str]
    holes: frozenset[str]

    def get(self, name: str) -> Any:
        """The value of an attribute, or its default when it was not given or is broken."""
        return self.values.get(name, attributes_of(self.level)[name].default)

    def items(self, name: str) -> tuple[Draft, ...]:
        """The items of a list; nothing when it was not given or is broken."""
        drafts: tuple[Draft, ...] = self.values.get(name, ())
        return drafts

    def at(self, name: str) -> Place:
        """Where an attribute's value begins, or where the mapping begins when it was not given."""
        return self.places.get(name, self.place)


def read_draft(node: MappingNode, level: Level, findings: Findings) -> Draft:
    """Reads one mapping and, through its lists, the mappings under it."""
    if level == "file":
        node = with_states_in_machine(node, findings)
    return _Reading(node, level, findings).draft()


class _Reading:
    """What is known of one mapping while its entries are read."""

    def __init__(self, node: MappingNode, level: Level, findings: Findings) -> None:
        self._node = node
        self._level = level
        self._findings = findings
        self._table = attributes_of(level)
        self._absent = set(suggested(level)) - keys_of(node)
        self._misspelt: set[str] = set()
        self._moved: set[str] = set()
        self._keys: dict[str, Place] = {}
        self._values: dict[str, Any] = {}
        self._places: dict[str, Place] = {}
        self._texts = _texts(node)
        self._holes: set[str] = set()
        self._label = _label(level, self._texts)

    def draft(self) -> Draft:
        for key, value in self._node.entries:
            self._entry(key, value)
        missing = {name for name in self._absent if self._needs(self._table[name])}
        for name in sorted(missing - self._misspelt):
            self._findings.error(self._node.place, f"{self._label} has no {name}")
        return Draft(
            level=self._level,
            label=self._label,
            place=self._node.place,
            values=self._values,
            places=self._places,
            keys=self._keys,
            texts=self._texts,
            broken=frozenset((set(self._keys) | missing | self._misspelt) - set(self._values) - self._moved),
            holes=frozenset(self._holes),
        )

    def _needs(self, attribute: Attribute) -> bool:
        return attribute.required and attribute.unless not in keys_of(self._node) | self._misspelt

    def _entry(self, key: Node, value: Node) -> None:
        if not isinstance(key, Scalar):
            message = key.message if isinstance(key, Broken) else "the name of an attribute must be text"
            self._findings.error(key.place, message)
        elif key.text in self._keys:
            first = self._keys[key.text]
            self._findings.error(
                key.place,
                f"{quoted(key.text)} is written twice in {self._label}",
                f"the first is at line {first.line}, column {first.column}",
            )
        else:
            self._keys[key.text] = key.place
            self._attribute(key, value)

    def _attribute(self, key: Scalar, value: Node) -> None:
        attribute = self._table.get(key.text)
        if isinstance(value, Broken):
            self._findings.error(value.place, value.message, value.hint)
        elif attribute is None:
            self._unknown(key)
        else:
            # A value that is not there has no place of its own.
            empty = isinstance(value, Scalar) and not value.text
            self._places[attribute.name] = key.place if empty else value.place
            # What may be absent need not be required: then its line may as well be removed.
            needed = self._needs(attribute)
            self._value(
                attribute if needed == attribute.required else replace(attribute, required=needed), value
            )
            if attribute.renamed is not None:
                self._rename(attribute, attribute.renamed, key)

    def _rename(self, attribute: Attribute, name: str, key: Scalar) -> None:
        """Takes the value of an old attribute for that of the new one."""
        if name in keys_of(self._node):
            message = f"{attribute.name} is the old name of {name}, and {self._label} has both"
            self._findings.error(key.place, message, f"keep {name}")
            return
        self._findings.add([key.place.warning(f"{attribute.name} is an old name", f"write {name}")])
        self._absent.discard(name)
        self._keys[name] = key.place
        self._places[name] = self._places.pop(attribute.name)
        self._moved.add(attribute.name)
        if attribute.name in self._values:
            self._values[name] = self._values.pop(attribute.name)

    def _unknown(self, key: Scalar) -> None:
        """An attribute that is not of this level; if it is a misspelt one, that one is not missing too."""
        meant = closest(key.text, sorted(self._absent - self._misspelt))
        elsewhere = " or ".join(_CALLED[level] for level in levels_of(key.text))
        if elsewhere:
            hint = f"it belongs to {elsewhere}"
        elif meant:
            self._misspelt.add(meant)
            hint = f"did you mean {meant!r}?"
        else:
            known = suggested(self._level)
            hint = did_you_mean(key.text, known) or f"known here: {', '.join(known)}"
        self._findings.error(key.place, f"unknown attribute {quoted(key.text)} on {self._label}", hint)

    def _value(self, attribute: Attribute, value: Node) -> None:
        place = self._places[attribute.name]
        if attribute.items is not None and isinstance(value, Sequence):
            self._items(attribute, attribute.items, value)
        elif attribute.kind in COMPOSED:
            read = COMPOSED[attribute.kind](attribute, value, place, self._findings)
            if read is not None:
                # Imports may stand among the machines as well, above the file's own or below.
                above = self._values.get(attribute.name, ()) if attribute.kind is Kind.FILES else ()
                self._values[attribute.name] = (*above, *read) if above else read
        elif isinstance(value, Scalar):
            try:
                self._values[attribute.name] = read_value(attribute, value)
            except UnusableError as unusable:
                self._findings.error(place, unusable.message, unusable.hint)
        elif attribute.items is not None:
            self._findings.error(place, f"{attribute.name} must be a list, not a mapping", LIST_HINT)
        else:
            what = "a list" if isinstance(value, Sequence) else "a mapping"
            self._findings.error(place, f"{attribute.name} must be a single value, not {what}")

    def _items(self, attribute: Attribute, level: Level, node: Sequence) -> None:
        if attribute.required and not node.items:
            self._findings.error(node.place, f"{attribute.name} is empty", f"{_CALLED[level]} is needed")
            return
        items = node.items
        if level == "transition":
            items = tuple(with_whole_transitions(items, self._findings))
        drafts: list[Draft] = []
        rest = zip_longest(items, items[1:])
        for item, following in rest:
            if level == "machine" and (torn_at := torn_machine_at(item, following)):
                self._holes.add(attribute.name)
                message = f"{_CALLED[level]} is written as two items"
                self._findings.error(torn_at, message, "remove the dash before this")
                next(rest)
            elif level == "machine" and isinstance(item, MappingNode) and "import" in keys_of(item):
                drafts.extend(self._import(attribute, item))
            elif isinstance(item, MappingNode):
                drafts.append(read_draft(item, level, self._findings))
            else:
                self._holes.add(attribute.name)
                self._not_a_mapping(item, level)
        self._values[attribute.name] = tuple(drafts)

    def _import(self, machines: Attribute, item: MappingNode) -> Iterator[Draft]:
        """Takes an import that stands among the machines; one that stands in a machine is a mistake."""
        imports = [
            entry for entry in item.entries if isinstance(entry[0], Scalar) and entry[0].text == "import"
        ]
        key, value = imports[0]
        if len(item.entries) == 1:
            attribute = self._table["import"]
            empty = isinstance(value, Scalar) and not value.text
            names = read_files(attribute, value, key.place if empty else value.place, self._findings)
            self._values["import"] = (*self._values.get("import", ()), *(names or ()))
            return
        self._holes.add(machines.name)
        self._findings.error(
            key.place,
            "an import stands in an item of its own",
            "write the file's name behind '- import:' and nothing else, the machine behind a dash of its own",
        )
        rest = replace(item, entries=tuple(entry for entry in item.entries if entry not in imports))
        if {"name", "states"} <= keys_of(rest):
            yield read_draft(rest, "machine", self._findings)

    def _not_a_mapping(self, item: Node, level: Level) -> None:
        if isinstance(item, Broken):
            self._findings.error(item.place, item.message, item.hint)
        else:
            message = f"{_CALLED[level]} must be a mapping of attributes"
            self._findings.error(
                item.place, message, f"write it like '- {next(iter(attributes_of(level)))}: ...'"
            )


def _texts(node: MappingNode) -> dict[str, str]:
    """Scalars by their keys, as written; of a key written twice, the first."""
    texts: dict[str, str] = {}
    for key, value in node.entries:
        if isinstance(key, Scalar) and isinstance(value, Scalar):
            texts.setdefault(key.text, value.text)
    return texts


def _label(level: Level, texts: Mapping[str, str]) -> str:
    name = texts.get("event" if level == "transition" else "name")
    return f"{level} {quoted(name)}" if name and level != "file" else _CALLED[level]
