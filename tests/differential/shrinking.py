"""Dropping operations from a sequence, and parts of them, while it stays interesting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from differential.operations import Operation

_WHOLE = frozenset(
    {"array_value", "entity_value", "key", "key_value", "mode", "partition_id", "path", "project_id"}
)
"""Fields that stay as they are: without a part they would mean something else, which may differ too."""

Interesting = Callable[[Sequence[Operation]], bool]


def shrunk(operations: Sequence[Operation], interesting: Interesting) -> list[Operation]:
    """A smaller sequence that is still interesting, and would not be without any one of its parts."""
    kept = _without_runs(list(operations), interesting)
    smaller = True
    while smaller:
        smaller = False
        for candidate in _simpler(kept):
            if interesting(candidate):
                kept, smaller = candidate, True
                break
    return kept


def _without_runs(kept: list[Operation], interesting: Interesting) -> list[Operation]:
    """Drops runs of operations, ever shorter ones."""
    length = len(kept) // 2
    while length:
        at = 0
        while at < len(kept):
            candidate = kept[:at] + kept[at + length :]
            if candidate and interesting(candidate):
                kept = candidate
            else:
                at += length
        length //= 2
    return kept


def _simpler(operations: list[Operation]) -> Iterator[list[Operation]]:
    for at, operation in enumerate(operations):
        if len(operations) > 1:
            yield operations[:at] + operations[at + 1 :]
        for fields in _pruned(operation.fields):
            yield [*operations[:at], replace(operation, fields=fields), *operations[at + 1 :]]


def _pruned(value: Any) -> Iterator[Any]:
    """Copies of a request's fields, each without one part."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _WHOLE:
                continue
            yield {name: kept for name, kept in value.items() if name != key}
            for smaller in _pruned(inner):
                yield value | {key: smaller}
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield value[:at] + value[at + 1 :]
            for smaller in _pruned(inner):
                yield [*value[:at], smaller, *value[at + 1 :]]
