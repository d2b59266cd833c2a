"""Runs machines with an SDK of OpenTelemetry in the process, and prints what it recorded as JSON.

A program of its own, because a process has one tracer provider, which cannot be taken away again.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

SCENARIOS = Path(__file__).parents[1] / "scenarios"
sys.path[:0] = [str(SCENARIOS), str(SCENARIOS.parents[1])]

import tracing  # noqa: E402  it lies beside the definitions

from fantasm_gcp.testing import Harness  # noqa: E402

REQUEST = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "v=1"}


class Broken(SpanProcessor):
    """Raises when spans start, or when they end."""

    when = ""

    def on_start(self, span, parent_context=None):
        if self.when == "broken at the start":
            raise OSError("disk full")

    def on_end(self, span):
        if self.when == "broken at the end":
            raise OSError("disk full")


def shown(span):
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{span.context.trace_id:032x}",
        "span": f"{span.context.span_id:016x}",
        "state": span.context.trace_state.to_header(),
        "parent": f"{span.parent.span_id:016x}" if span.parent else None,
        "links": [f"{each.context.trace_id:032x}-{each.context.span_id:016x}" for each in span.links],
        "attributes": dict(span.attributes),
        "status": span.status.status_code.name,
        "events": [each.name for each in span.events],
    }


def main() -> None:
    logging.disable(logging.CRITICAL)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    broken = Broken()
    provider.add_span_processor(broken)
    trace.set_tracer_provider(provider)
    recorded = {}
    with Harness(SCENARIOS / "tracing.yaml") as harness:

        @harness.app.post("/own")
        def own():
            with trace.get_tracer("application").start_as_current_span("of the view"):
                harness.fantasm.start_machine("Child")
            return {}

        for name, url, headers in (
            ("line", "Line/", REQUEST),
            ("alone", "Line/", {}),
            ("unsampled", "Line/", {"traceparent": REQUEST["traceparent"][:-2] + "00"}),
            ("gather", "Gather/?forks=2", REQUEST),
            ("many", "Gather/?forks=119", REQUEST),
            ("slow", "Slow/?forks=9", REQUEST),
            ("failing", "Failing/?bad=9", REQUEST),
            ("rude", "Failing/?bad=9&rude=1", REQUEST),
            ("loose", "Loose/", REQUEST),
            ("broken at the start", "Line/", REQUEST),
            ("broken at the end", "Line/", REQUEST),
            ("own", None, REQUEST),
        ):
            broken.when = name
            exporter.clear()
            tracing.SEEN.clear()
            harness.client.post("/own", headers=headers) if url is None else harness.start(
                url, headers=headers
            )
            harness.run()
            scopes = [[state, scope.trace.id, scope.trace.span] for state, scope in tracing.SEEN]
            recorded[name] = {"spans": [*map(shown, exporter.get_finished_spans())], "scopes": scopes}
    print(json.dumps(recorded))


if __name__ == "__main__":
    main()
