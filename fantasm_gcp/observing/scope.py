"""Which request and which step is running: what everything that is logged meanwhile is labelled with.

It is a context variable: threads that an action begins by itself know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Protocol

from fantasm_gcp.core.traces import (
    CLOUD_HEADER,
    PARENT_HEADER,
    STATE_HEADER,
    Trace,
    parse_cloud,
    parse_parent,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is running: where it is in a trace, its labels, and the HTTP request as Cloud Logging has it."""

    trace: Trace | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, str] = field(default_factory=dict)


_current: ContextVar[Scope | None] = ContextVar("fantasm_scope", default=None)


def current() -> Scope | None:
    """What is running in this thread, if anything."""
    return _current.get()


def enter(scope: Scope) -> Token[Scope | None]:
    """Begins a scope, until what is answered is given to :func:`leave`."""
    return _current.set(scope)


def leave(token: Token[Scope | None]) -> None:
    """Ends a scope. Where another thread began it, it ends there by itself, and nothing happens here."""
    with suppress(ValueError):
        _current.reset(token)


@contextmanager
def within(scope: Scope) -> Iterator[Scope]:
    """Has everything inside the block run in a scope."""
    token = enter(scope)
    try:
        yield scope
    finally:
        leave(token)


class Headers(Protocol):
    """What the headers of a request can do, whatever case their names are in."""

    def get(self, name: str, default: str, /) -> str: ...


def trace_of(headers: Headers) -> Trace | None:
    """The place in a trace that a request comes from: ``traceparent`` counts, and else Google's own header.

    ``headers`` are looked up by the names as they are written in the standards.
    """
    parent = parse_parent(headers.get(PARENT_HEADER, ""), headers.get(STATE_HEADER, ""))
    return parent or parse_cloud(headers.get(CLOUD_HEADER, ""))


def of_request(method: str, path: str, headers: Headers) -> Scope:
    """The scope of an HTTP request. The path is without its query, which may hold what is secret."""
    described = {"requestMethod": method, "requestUrl": path, "userAgent": headers.get("User-Agent", "")}
    return Scope(trace_of(headers), request={name: value for name, value in described.items() if value})
