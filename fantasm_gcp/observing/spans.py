"""Spans of OpenTelemetry, where the application has an SDK of it: nothing here imports it.

Who records spans has imported ``opentelemetry.trace`` and given it a tracer provider before. Where nobody
has, there is no span, and nothing is paid for it. Nothing of a span raises: a step that fails is recorded as
failed whatever its exception does to who asks it for words, and one that succeeds has succeeded.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fantasm_gcp.core.traces import Trace, bounded, parse_state

log = logging.getLogger("fantasm_gcp.spans")

SYSTEM = "gcp_cloud_tasks"


class Span:
    """A span, or nothing: then every method does nothing. ``trace`` is its own place, if it has one."""

    def __init__(self, span: Any = None, api: Any = None) -> None:
        self._span, self._api = span, api
        self.trace = None if span is None else _place_of(span)

    def links_to(self, links: Sequence[Trace]) -> None:
        """Adds links to what came together here, and says how many are left out."""
        if self._span is None:
            return
        kept, left = bounded(links)
        with _harmless():
            for each in kept:
                self._span.add_link(_context_of(self._api, each))
            if left:
                self._span.set_attribute("fantasm.links_left_out", left)

    def says(self, attributes: Mapping[str, str | int | float]) -> None:
        """Adds attributes."""
        if self._span is not None:
            with _harmless():
                self._span.set_attributes(attributes)

    def failed(self, error: BaseException, words: str) -> None:
        """Records an exception, and that the attempt was none that succeeded."""
        if self._span is not None:
            with _harmless():
                self._span.set_status(self._api.Status(self._api.StatusCode.ERROR, words))
            with _harmless():
                self._span.record_exception(error)


@contextmanager
def consuming(
    name: str, parent: Trace | None, links: Sequence[Trace], attributes: Mapping[str, str | int]
) -> Iterator[Span]:
    """The span of an attempt at a step, under the place that its row names, not under the request's."""
    api = _api()
    if api is None:
        yield Span()
        return
    with _open(api, name, api.SpanKind.CONSUMER, parent, links, attributes) as span:
        yield span


@contextmanager
def producing(name: str, parent: Trace | None, attributes: Mapping[str, str | int]) -> Iterator[Span]:
    """The span of a start: under the span that is open in the process, and else under the request's place."""
    api = _api()
    if api is None:
        yield Span()
        return
    is_open = api.get_current_span().get_span_context().is_valid
    with _open(api, name, api.SpanKind.PRODUCER, None if is_open else parent, (), attributes) as span:
        yield span


@contextmanager
def _open(
    api: Any,
    name: str,
    kind: Any,
    parent: Trace | None,
    links: Sequence[Trace],
    attributes: Mapping[str, str | int],
) -> Iterator[Span]:
    context, opened = None, None
    with _harmless():
        if parent is not None and parent.span:
            context = api.set_span_in_context(api.NonRecordingSpan(_context_of(api, parent)))
        opened = api.get_tracer("fantasm_gcp").start_span(
            name,
            context=context,
            kind=kind,
            attributes=attributes,
            links=[api.Link(_context_of(api, each)) for each in links],
        )
    if opened is None:
        yield Span()
        return
    # What escapes is contention or a crash of the test's making: the attempt itself is told by failed().
    try:
        with api.use_span(opened, record_exception=False, set_status_on_exception=False):
            yield Span(opened, api)
    finally:
        with _harmless():
            opened.end()


@contextmanager
def _harmless() -> Iterator[None]:
    """Has what an exporter, a sampler or an exception of the user's raises inside the block logged."""
    try:
        yield
    except Exception as error:
        log.warning("a span was not told everything: %s", type(error).__name__, exc_info=error)


def is_recording() -> bool:
    """Whether spans are recorded in this process."""
    return _api() is not None


def _api() -> Any:
    """The API of OpenTelemetry where something records spans with it; else None."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None or not hasattr(api, "use_span"):  # another thread may be importing it at this moment
        return None
    provider = api.get_tracer_provider()
    return None if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider) else api


def _context_of(api: Any, place: Trace) -> Any:
    return api.SpanContext(
        int(place.id, 16),
        int(place.span or "0", 16),
        is_remote=True,
        trace_flags=api.TraceFlags(place.flags),
        trace_state=api.TraceState.from_header([place.state] if place.state else []),
    )


def _place_of(span: Any) -> Trace | None:
    context = span.get_span_context()
    if not context.is_valid:
        return None
    state = parse_state(context.trace_state.to_header())
    return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags) & 3, state)
