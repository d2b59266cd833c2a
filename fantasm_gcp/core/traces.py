"""Traces: which request or step led to which, in the headers of W3C Trace Context and of Google.

Ids are hashes of names, so that every delivery of one attempt of a step comes to the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from fantasm_gcp.core.names import InstanceId, StepName, digest

PARENT_HEADER = "traceparent"
STATE_HEADER = "tracestate"
CLOUD_HEADER = "X-Cloud-Trace-Context"

SAMPLED = 1
"""The flag that says that the trace is recorded."""

KNOWN_FLAGS = 3
"""The flags that have a meaning: sampled, and of level 2 of the standard that the id is random."""

STATE_LIMIT = 512
"""Characters of a ``tracestate`` that are passed along: as many as the standard asks for."""
STATE_MEMBERS = 32

LONG_WAIT = 3600.0
"""Seconds from which on a step that is scheduled ahead begins a trace of its own."""

MOST_LINKS = 100
"""Links that a fan-in's step keeps to what came to it."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_CLOUD = re.compile(r"([0-9a-fA-F]{32})(?:/(\d{1,20}))?(?:;o=(\d))?", re.ASCII)
_MEMBER = re.compile(
    r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class Trace(NamedTuple):
    """A place in a trace: ``span`` is what comes next hangs under. Ids are lower-case hexadecimal."""

    id: str
    span: str
    flags: int = 0
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        """Whether those who record spans are to record this trace."""
        return bool(self.flags & SAMPLED)

    def under(self, span: str) -> Trace:
        """The place under another span of the same trace."""
        return self._replace(span=span)


def begun_by(instance: InstanceId, within: Trace | None = None) -> Trace:
    """The place that an instance begins at: within the trace of a request, or in one of its own.

    A request may name a trace and no span in it; the instance's start stands for that then.
    """
    span = digest("start", instance, length=16)
    if within is None:
        return Trace(digest("trace", instance, length=32), span)
    return within if within.span else within.under(span)


def begun_after_waiting(step: StepName, before: Trace) -> Trace:
    """The place that a step begins at which waited too long to go on in the trace that made it.

    Whether it is recorded was decided there.
    """
    return Trace(digest("trace", step, length=32), digest("start", step, length=16), before.flags)


def span_of(step: StepName, epoch: int, attempt: int) -> str:
    """The id of the span of one attempt at a step."""
    return digest("span", step, str(epoch), str(attempt), length=16)


def parse_parent(header: str, state: str = "") -> Trace | None:
    """The place that ``traceparent`` and ``tracestate`` name; None for what the standard calls invalid.

    Of a later version what this one has is read, as the standard asks; an invalid ``tracestate`` is left
    out.
    """
    found = _PARENT.fullmatch(header)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or not _is_id(trace) or not _is_id(span):
        return None
    known = KNOWN_FLAGS if version == "00" else SAMPLED
    return Trace(trace, span, int(flags, 16) & known, parse_state(state))


def parse_cloud(header: str) -> Trace | None:
    """The place that Google's ``TRACE/SPAN;o=1`` names, whose span is decimal and may be missing.

    None for anything else.
    """
    found = _CLOUD.fullmatch(header)
    if found is None:
        return None
    trace, span, options = found.groups()
    number = int(span or 0)
    if not _is_id(trace) or number >= 1 << 64:
        return None
    return Trace(trace.lower(), f"{number:016x}" if number else "", int(options or 0) & SAMPLED)


def parse_state(header: str) -> str:
    """A ``tracestate`` as it is passed along; empty where it is invalid.

    Of one that is too long the longest members go first, and then those at the end: the standard's order.
    """
    if not header:
        return ""
    members = [each for each in (part.strip(" \t") for part in header.split(",")) if each]
    if len(members) > STATE_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return ""
    if len({each.partition("=")[0] for each in members}) < len(members):
        return ""
    for longest in (128, 0):
        while len(",".join(members)) > STATE_LIMIT:
            index = next((i for i in reversed(range(len(members))) if len(members[i]) > longest), None)
            if index is None:
                break
            del members[index]
    return ",".join(members)


def render_parent(trace: Trace) -> str:
    """A place as ``traceparent`` names it."""
    return f"00-{trace.id}-{trace.span}-{trace.flags & KNOWN_FLAGS:02x}"


def headers_of(trace: Trace | None) -> dict[str, str]:
    """The headers that a place travels in."""
    if trace is None:
        return {}
    state = {STATE_HEADER: trace.state} if trace.state else {}
    return {PARENT_HEADER: render_parent(trace)} | state


def to_text(trace: Trace) -> str:
    """A place as rows keep it: ``traceparent``, and behind a space ``tracestate`` where there is any."""
    return f"{render_parent(trace)} {trace.state}".rstrip()


def of_text(text: object) -> Trace | None:
    """What :func:`to_text` made of a place; None for anything else."""
    parent, _, state = text.partition(" ") if isinstance(text, str) else ("", "", "")
    return parse_parent(parent, state)


def bounded(links: Sequence[Trace]) -> tuple[tuple[Trace, ...], int]:
    """Links to different places, as many as are kept, and how many are left out."""
    different = list({(each.id, each.span): each for each in links}.values())
    return tuple(different[:MOST_LINKS]), max(0, len(different) - MOST_LINKS)


def _is_id(text: str) -> bool:
    return text.strip("0") != ""
