"""Steps of machines with ``guarantee: at_least_once``: the task carries everything, no row is kept."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import Protocol

from fantasm_gcp.core.context import Page
from fantasm_gcp.core.definition import AT_LEAST_ONCE
from fantasm_gcp.core.headers import Headers as InstanceHeaders
from fantasm_gcp.core.names import InstanceId
from fantasm_gcp.core.records import Hop, Step, Task
from fantasm_gcp.core.traces import of_text, to_text
from fantasm_gcp.errors import ContextTooLargeError


class Headers(Protocol):
    """What a request's headers can do, whatever case their names are in."""

    def __getitem__(self, name: str, /) -> str: ...
    def __contains__(self, name: str, /) -> bool: ...


GUARANTEE_HEADER = "X-Fantasm-Guarantee"
BRANCH_HEADER = "X-Fantasm-Branch"
NUMBER_HEADER = "X-Fantasm-Number"
CHAIN_HEADER = "X-Fantasm-Chain"
CONTEXT_HEADER = "X-Fantasm-Context"
PAGES_HEADER = "X-Fantasm-Pages"
STARTED_HEADER = "X-Fantasm-Started"
PINNED_HEADER = "X-Fantasm-Pinned"
TRACE_HEADER = "X-Fantasm-Trace"
"""Where the step is in a trace, and its links: Google's servers put spans of theirs into ``traceparent``."""

BODY_LIMIT = 90_000
"""Bytes of a context that a POST task carries: 100 KB is the documented size of a whole task."""

HEADER_LIMIT = 6_000
"""Bytes of a context that a GET task carries: web servers take headers of 8 KB."""


def carry(task: Task) -> tuple[dict[str, str], bytes]:
    """The headers and body that carry a step, beside those that name it.

    Raises :class:`ContextTooLargeError` where its context does not fit into a task.
    """
    headers = {
        GUARANTEE_HEADER: AT_LEAST_ONCE,
        BRANCH_HEADER: task.step.branch,
        NUMBER_HEADER: str(task.step.n),
        STARTED_HEADER: repr(task.started),
    }
    if task.pinned is not None:
        headers[PINNED_HEADER] = task.pinned
    if task.trace is not None:
        headers[TRACE_HEADER] = json.dumps([to_text(each) for each in (task.trace, *task.links)])
    if task.hop is not None:
        headers[CHAIN_HEADER] = json.dumps(astuple(task.hop))
        _check_size(len(headers[CHAIN_HEADER]), HEADER_LIMIT, "the token of a continuation is shorter")
    if task.pages:
        headers[PAGES_HEADER] = json.dumps([astuple(each) for each in task.pages])
    if task.method == "POST":
        _check_size(len(task.context), BODY_LIMIT, "a machine with the guarantee exactly_once takes 10 MiB")
        return headers, task.context
    context = json.dumps(json.loads(task.context))  # a header takes ASCII alone
    _check_size(len(context), HEADER_LIMIT, "start the machine with method=POST")
    return headers | {CONTEXT_HEADER: context}, b""


def _check_size(size: int, limit: int, advice: str) -> None:
    if size > limit:
        raise ContextTooLargeError(
            f"a task of a machine with the guarantee at_least_once carries a context of {limit:,} bytes, "
            f"this one has {size:,}; {advice}"
        )


def carried(
    headers: Headers,
    body: bytes,
    *,
    instance: InstanceId,
    machine: str,
    state: str,
    event: str,
    target: str,
    epoch: int,
    queue: str,
    method: str,
    now: float,
    kept: InstanceHeaders,
) -> Task:
    """The step that a task carries; ``kept`` are the headers of its instance.

    Raises ``KeyError``, ``TypeError`` or ``ValueError`` for headers that :func:`carry` did not make.
    """
    step = Step(instance, machine, headers[BRANCH_HEADER], state, event, target, int(headers[NUMBER_HEADER]))
    hop = Hop(*json.loads(headers[CHAIN_HEADER])) if CHAIN_HEADER in headers else None
    pages = json.loads(headers[PAGES_HEADER]) if PAGES_HEADER in headers else []
    places = json.loads(headers[TRACE_HEADER]) if TRACE_HEADER in headers else []
    trace, *links = map(of_text, places or [None])
    context = headers[CONTEXT_HEADER].encode() if CONTEXT_HEADER in headers else body
    return Task(
        step,
        context or b"{}",
        queue,
        method,
        due=now,
        epoch=epoch,
        hop=hop,
        headers=kept,
        pages=tuple(Page(*each) for each in pages),
        started=float(headers[STARTED_HEADER]),
        pinned=headers[PINNED_HEADER] if PINNED_HEADER in headers else None,  # noqa: SIM401  it has no get
        trace=trace,
        links=tuple(each for each in links if each is not None),
    )
