"""Which files a definition is made of: the one that is loaded and all that it imports, each read once.

Reading is the loader's: it is handed in as a callable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from fantasm_gcp.core.composed import FileName
from fantasm_gcp.core.draft import Draft, read_draft
from fantasm_gcp.core.findings import Findings
from fantasm_gcp.core.node import Broken, Node
from fantasm_gcp.core.node import Mapping as MappingNode
from fantasm_gcp.core.values import UnusableError
from fantasm_gcp.errors import Problem

MAX_IMPORT_DEPTH = 50
"""The longest chain of files of which each imports the next."""

_FIRST_FILE_ONLY = ("root_url", "enable_capabilities_check")


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was read.

    ``identity`` is equal for all names of the same file, ``name`` the one for messages. ``content`` is the
    tree of the file, or the problems because of which there is none.
    """

    identity: str
    name: str
    content: Node | tuple[Problem, ...]


Read: TypeAlias = Callable[[str, Source], Source]
"""Reads the file of a name in an ``import`` of a source; raises UnusableError where there is none."""


def read_no_file(name: str, importing: Source) -> Source:
    """For a text that stands in no file."""
    raise UnusableError(f"{importing.name} cannot import {name!r}: it is no file")


@dataclass(frozen=True, slots=True)
class Files:
    """The drafts of all files that could be read, the first one in front; ``names`` are all, read or not.

    They are ``complete`` if every file that is named could be read.
    """

    drafts: tuple[Draft, ...]
    names: tuple[str, ...]
    complete: bool


def read_files(first: Source, read: Read, findings: Findings) -> Files:
    """The files in the order in which they are named, what a file imports behind itself."""
    walk = _Walk(read, findings)
    walk.take(first, ())
    return Files(tuple(walk.drafts), tuple(walk.names), walk.complete)


class _Walk:
    """What has been met so far."""

    def __init__(self, read: Read, findings: Findings) -> None:
        self._read = read
        self._findings = findings
        self._seen: set[str] = set()
        self.drafts: list[Draft] = []
        self.names: list[str] = []
        self.complete = True

    def take(self, source: Source, above: tuple[Source, ...]) -> None:
        """Adds a file and all that it imports; ``above`` are the files through which it is imported."""
        self._seen.add(source.identity)
        self.names.append(source.name)
        draft = self._draft(source.content)
        if draft is None:
            self.complete = False
            return
        self.drafts.append(draft)
        if above:
            for name in _FIRST_FILE_ONLY:
                if name in draft.keys:
                    self._findings.error(
                        draft.keys[name],
                        f"an imported file cannot have {name}",
                        f"write it in {above[0].name}, the file that is loaded",
                    )
        for name in draft.values.get("import", ()):
            self._import(name, (*above, source))

    def _import(self, wanted: FileName, above: tuple[Source, ...]) -> None:
        importing = above[-1]
        try:
            source = self._read(wanted.name, importing)
        except UnusableError as unusable:
            self.complete = False
            self._findings.error(wanted.place, unusable.message, unusable.hint)
            return
        identities = [each.identity for each in above]
        if source.identity in identities:
            circle = [*above[identities.index(source.identity) :], source]
            message = "the import goes in a circle: " + " imports ".join(each.name for each in circle)
            self._findings.error(wanted.place, message, "a file need not import what imports it")
        elif source.identity in self._seen:
            return
        elif len(above) >= MAX_IMPORT_DEPTH:
            self.complete = False
            self._findings.error(wanted.place, f"the imports are deeper than {MAX_IMPORT_DEPTH} files")
        else:
            self.take(source, above)

    def _draft(self, content: Node | tuple[Problem, ...]) -> Draft | None:
        findings = self._findings
        if isinstance(content, tuple):
            findings.add(content)
        elif isinstance(content, MappingNode):
            return read_draft(content, "file", findings)
        elif isinstance(content, Broken):
            findings.error(content.place, content.message, content.hint)
        else:
            findings.error(content.place, "the file must be a mapping", "it begins with 'state_machines:'")
        return None
