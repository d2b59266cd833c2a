"""What a generated sequence consists of: requests, in which places refer to earlier answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PROJECT = "{project}"
"""Stands in requests for the project a sequence runs in, which is new each time."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Earlier:
    """Something the answer of operation ``number`` held: its ``place``-th ``what``.

    ``what`` is ``transaction``, ``version``, ``update_time``, ``key_id``, ``cursor``, ``end_cursor`` or
    ``skipped_cursor``. Where there is no such answer any more the place is filled with :data:`NOTHING`.
    """

    what: str
    number: int
    place: int = 0


NOTHING: Mapping[str, Any] = {
    "transaction": b"never begun",
    "version": 0,
    "update_time": {"seconds": 1},
    "key_id": 777,
    "cursor": b"",
    "end_cursor": b"",
    "skipped_cursor": b"",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One request: the RPC's name, and the fields of its message but for the project."""

    number: int
    method: str
    fields: Fields

    def earlier(self) -> Iterator[Earlier]:
        """What it takes from earlier answers."""
        yield from _references(self.fields)


def _references(value: Any) -> Iterator[Earlier]:
    if isinstance(value, Earlier):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _references(inner)


def filled(value: Any, project: str, look_up: Callable[[Earlier], Any]) -> Any:
    """A copy of a request's fields with everything in its place."""
    if isinstance(value, Earlier):
        return look_up(value)
    if isinstance(value, Mapping):
        return {key: filled(inner, project, look_up) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [filled(inner, project, look_up) for inner in value]
    return project if value == PROJECT else value
