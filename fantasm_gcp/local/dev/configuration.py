"""What the local servers are told: by files that are deployed too, and where other services are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.errors import DefinitionError, Problem
from fantasm_gcp.loader import CompositeIndex, IndexFile, load_indexes, load_queues
from fantasm_gcp.local.dev.opening import OpenError
from fantasm_gcp.local.tasks.configuration.queue_yaml import build_default_queues, build_queues, name_queues
from fantasm_gcp.local.tasks.configuration.service_map import parse_services

log = logging.getLogger("fantasm_gcp.local.datastore")

QUEUE_YAML, INDEX_YAML = Path("queue.yaml"), Path("index.yaml")
"""Where ``gcloud app deploy`` has them."""


@dataclass(frozen=True, slots=True)
class StartQueues:
    """Queue messages: those that queue.yaml configures, and those that only have to be there.

    ``warnings`` are what queue.yaml says without effect.
    """

    configured: Sequence[Any] = ()
    named: Sequence[Any] = ()
    warnings: Sequence[Problem] = ()


def read_queues(queue_yaml: Path | None, definitions: Definitions | None, parent: str) -> StartQueues:
    """The queues of a location that are there at the start; files are optional.

    Raises :class:`DefinitionError` with every problem of queue.yaml.
    """
    configured: list[Any] = []
    warnings: Sequence[Problem] = ()
    if queue_yaml is not None:
        file = load_queues(queue_yaml)
        configured, warnings = build_queues(file, parent), file.warnings
    names = [] if definitions is None else name_queues(definitions)
    return StartQueues(configured, build_default_queues(names, parent, configured), warnings)


class IndexYaml:
    """An index.yaml, given or the default one, which may come to be there or change while it is in use."""

    def __init__(self, given: Path | None = None) -> None:
        self._path = given or INDEX_YAML
        self._is_given = given is not None
        self._known: tuple[int, ...] | None = None

    def read(self) -> IndexFile:
        """Its composite indexes, none where the default file is not there.

        Raises :class:`DefinitionError` with every problem of it.
        """
        self._known = self._stamp()
        return load_indexes(self._path) if self._is_given or self._known else IndexFile(())

    def read_newer(self) -> tuple[CompositeIndex, ...] | None:
        """The indexes of a file that has changed since it was read; None, with a warning, if it is broken."""
        if self._stamp() in (None, self._known):
            return None
        try:
            file = self.read()
        except DefinitionError as error:
            problems = "\n".join(map(str, error.problems))
            log.warning(
                "%s\n%s has changed and cannot be used: its indexes stay as they were", problems, self._path
            )
            return None
        log.warning("%s has changed and was read again", self._path)  # building may take a while
        for warning in file.warnings:
            log.warning("%s", warning)
        return file.indexes

    def _stamp(self) -> tuple[int, ...] | None:
        """What differs once the file is written again; None where there is none, or a pipe: read but once."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino) if S_ISREG(found.st_mode) else None


def find_file(given: Path | None, default: Path) -> Path | None:
    """The file that is to be read: the one given, or the default one where it exists."""
    return given or (default if default.is_file() else None)


def read_services(texts: Sequence[str]) -> dict[str, str]:
    """The URLs of services, from ``NAME=URL`` each; raises :class:`OpenError` for what is not so."""
    try:
        return parse_services(texts)
    except ValueError as error:
        raise OpenError(f"--service: {error}") from error
