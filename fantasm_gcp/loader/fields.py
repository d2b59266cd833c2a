"""The mappings of a file of App Engine: their values by their names, every mistake told at its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from fantasm_gcp.core.findings import Findings, one_of, quoted
from fantasm_gcp.core.node import Broken, Node, Scalar, Sequence
from fantasm_gcp.core.node import Mapping as MappingNode


class UnreadableError(Exception):
    """A value that is none of its attribute; the message says why, ``hint`` what to write.

    With ``warning`` it is taken as if it were not there.
    """

    def __init__(self, message: str, hint: str = "", *, warning: bool = False) -> None:
        self.hint = hint
        self.warning = warning
        super().__init__(message)


def is_null(node: Node) -> bool:
    """Whether nothing is written where a value could be."""
    return isinstance(node, Scalar) and node.kind == "null"


class Fields:
    """A mapping that is to have certain attributes; what is wrong with it comes among ``findings``.

    ``called`` is what messages call it, ``wanted`` tells for some attributes what to write. ``usable`` says
    whether it is a mapping at all, ``values`` has the node of each attribute, ``place`` is where it begins.
    """

    def __init__(
        self,
        node: Node,
        called: str,
        known: tuple[str, ...],
        findings: Findings,
        wanted: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.values: dict[str, Node] = {}
        self.place = node.place
        self.usable = isinstance(node, MappingNode)
        self._called = called
        self._findings = findings
        self._wanted = wanted
        if isinstance(node, Broken):
            findings.error(node.place, node.message, node.hint)
        elif not isinstance(node, MappingNode):
            findings.error(node.place, f"{called} is a mapping", "write 'name: value' in each line")
        else:
            for key, value in node.entries:
                self._take(key, value, known)

    def _take(self, key: Node, value: Node, known: tuple[str, ...]) -> None:
        text = key.text if isinstance(key, Scalar) else ""
        if text not in known:
            hint = one_of(text, known, "there are") if text else ""
            self._findings.error(key.place, f"{self._called} has no attribute {quoted(text)}", hint)
        elif text in self.values:
            self._findings.error(key.place, f"{text} is written twice")
        else:
            self.values[text] = value

    def read(self, name: str, parse: Callable[[str], Any], *, required: bool = False) -> Any:
        """A value as ``parse`` reads its text; None when it is not there or cannot be read."""
        node = self.values.get(name)
        if node is None or is_null(node):
            if required and self.usable:
                self._findings.error(self.place, f"{self._called} needs {name!r}", self._wanted.get(name, ""))
            return None
        if isinstance(node, Broken):
            self._findings.error(node.place, node.message, node.hint)
        elif not isinstance(node, Scalar):
            self._findings.error(node.place, f"{name} is a single value", self._wanted.get(name, ""))
        elif node.kind in ("bool", "date"):
            self._findings.error(
                node.place,
                f"{name} {quoted(node.text)} is a {node.kind} in YAML",
                f"write it in quotes: {quoted(node.text)}",
            )
        else:
            try:
                return parse(node.text)
            except UnreadableError as error:
                tell = node.place.warning if error.warning else node.place.error
                self._findings.add([tell(f"{name} {error}", error.hint)])
        return None

    def items(self, name: str) -> tuple[Node, ...]:
        """The items of a list; nothing when it is not there or is none."""
        node = self.values.get(name)
        if isinstance(node, Sequence):
            return node.items
        if isinstance(node, Broken):
            self._findings.error(node.place, node.message, node.hint)
        elif node is not None and not is_null(node):
            self._findings.error(node.place, f"{name} is a list", "begin each item with a dash: '- '")
        return ()

    def note(self, name: str, effect: str) -> None:
        """Warns of an attribute that is accepted and changes nothing."""
        if name in self.values:
            self._findings.add([self.values[name].place.warning(f"{name} {effect}")])
