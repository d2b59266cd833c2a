"""What the local servers are told: by files that are deployed too, and where other services are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fantasm_gcp.core.definition import Definitions
from fantasm_gcp.errors import Problem
from fantasm_gcp.loader import IndexFile, load_indexes, load_queues
from fantasm_gcp.local.dev.opening import OpenError
from fantasm_gcp.local.tasks.queue_yaml import build_default_queues, build_queues, name_queues
from fantasm_gcp.local.tasks.service_map import parse_services

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


def read_indexes(index_yaml: Path | None) -> IndexFile:
    """The composite indexes of an index.yaml, none where there is no such file.

    Raises :class:`DefinitionError` with every problem of it.
    """
    return IndexFile(()) if index_yaml is None else load_indexes(index_yaml)


def find_file(given: Path | None, default: Path) -> Path | None:
    """The file that is to be read: the one given, or the default one where it exists."""
    return given or (default if default.is_file() else None)


def read_services(texts: Sequence[str]) -> dict[str, str]:
    """The URLs of services, from ``NAME=URL`` each; raises :class:`OpenError` for what is not so."""
    try:
        return parse_services(texts)
    except ValueError as error:
        raise OpenError(f"--service: {error}") from error
