"""How the engine's rows lie in Datastore: the properties of each kind, raw protobuf in and out.

Only what is queried is indexed. ``in_flight`` and ``listed_*`` exist for queries alone: no query of the
engine or the console needs a composite index.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any

from fantasm_gcp.core.context import Failure, Page
from fantasm_gcp.core.headers import Headers
from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import (
    Collection,
    Entry,
    Hold,
    Hop,
    Instance,
    InstanceStatus,
    LogLine,
    Memo,
    Outcome,
    Record,
    Role,
    Row,
    Step,
    Task,
    TaskStatus,
    Watermark,
    Window,
)
from fantasm_gcp.core.traces import Trace, of_text, to_text

KEEP_SECONDS = 90 * 24 * 3600
"""How long history is kept after it was made, where a TTL policy is set on ``expires``."""

FORMAT = 1
"""Version of the rows' format; a newer one than this is refused."""


class Properties:
    """Writes and reads the properties of one entity; what is None is left out."""

    def __init__(self, entity: Any) -> None:
        self._properties = entity.properties

    def text(self, name: str, value: str | None, *, indexed: bool = False) -> None:
        if value is not None:
            value_pb = self._properties[name]
            value_pb.string_value = value
            value_pb.exclude_from_indexes = not indexed

    def number(self, name: str, value: int | None) -> None:
        if value is not None:
            value_pb = self._properties[name]
            value_pb.integer_value = value
            value_pb.exclude_from_indexes = True

    def flag(self, name: str, value: bool, *, indexed: bool = False) -> None:
        value_pb = self._properties[name]
        value_pb.boolean_value = value
        value_pb.exclude_from_indexes = not indexed

    def moment(self, name: str, seconds: float | None, *, indexed: bool = False) -> None:
        if seconds is not None:
            whole = math.floor(seconds)
            value_pb = self._properties[name]
            value_pb.timestamp_value.seconds = whole
            value_pb.timestamp_value.nanos = min(round((seconds - whole) * 1e6), 999_999) * 1000
            value_pb.exclude_from_indexes = not indexed

    def blob(self, name: str, value: bytes) -> None:
        value_pb = self._properties[name]
        value_pb.blob_value = value
        value_pb.exclude_from_indexes = True

    def texts(self, name: str, values: tuple[str, ...], *, indexed: bool = False) -> None:
        if values:
            array = self._properties[name].array_value
            for value in values:
                value_pb = array.values.add()
                value_pb.string_value = value
                value_pb.exclude_from_indexes = not indexed

    def get_text(self, name: str) -> str | None:
        return self._properties[name].string_value if name in self._properties else None

    def need_text(self, name: str) -> str:
        return str(self._properties[name].string_value)

    def need_number(self, name: str) -> int:
        return int(self._properties[name].integer_value)

    def get_number(self, name: str) -> int | None:
        return self._properties[name].integer_value if name in self._properties else None

    def need_flag(self, name: str) -> bool:
        return bool(self._properties[name].boolean_value)

    def get_moment(self, name: str) -> float | None:
        if name not in self._properties:
            return None
        stamp = self._properties[name].timestamp_value
        return float(stamp.seconds + stamp.nanos / 1e9)

    def need_moment(self, name: str) -> float:
        return self.get_moment(name) or 0.0

    def get_texts(self, name: str) -> tuple[str, ...]:
        if name not in self._properties:
            return ()
        return tuple(each.string_value for each in self._properties[name].array_value.values)


def listed(machine: str, status: str, started: float | None = None) -> tuple[str, str]:
    """The property, and its value, by which instances of a machine and a status are listed.

    There is one for each combination of filters, and its values sort by the start, so that a range of a
    single-property index lists instances newest first. Without ``started`` it is the prefix of the values.
    """
    names = [name for name, value in (("machine", machine), ("status", status)) if value]
    moment = "" if started is None else f"{started:017.6f}"
    values = [value for value in (machine, status) if value]
    return "listed_" + ("_".join(names) or "all"), "/".join([*values, moment])


def _write_instance(row: Instance, to: Properties) -> None:
    to.text("instance", row.id)
    to.text("machine", row.machine, indexed=True)
    to.text("status", row.status, indexed=True)
    to.moment("started", row.started)
    to.moment("ended", row.ended)
    to.moment("expires", None if row.ended is None else row.ended + KEEP_SECONDS)
    to.text("first_step", row.first_step)
    to.text("definition", row.definition)
    to.number("closings", row.closings)
    to.number("commands", row.commands)
    to.text("parent", row.parent, indexed=True)
    to.text("note", row.note or None)
    to.text("method", row.method)
    to.text("headers", json.dumps(row.headers) if row.headers else None)
    to.text("joined", row.joined)
    to.text("pinned", row.pinned)
    to.texts("on_complete", row.on_complete)
    to.texts("on_failure", row.on_failure)
    to.texts("told", row.told)
    to.texts("released", row.released)
    _write_trace(row.trace, to)
    for machine in ("", row.machine):
        for status in ("", row.status):
            to.text(*listed(machine, status, row.started), indexed=True)


def _read_instance(of: Properties, _: bytes) -> Instance:
    parent, joined = of.get_text("parent"), of.get_text("joined")
    return Instance(
        id=InstanceId(of.need_text("instance")),
        machine=of.need_text("machine"),
        status=InstanceStatus(of.need_text("status")),
        started=of.need_moment("started"),
        ended=of.get_moment("ended"),
        first_step=StepName(of.need_text("first_step")),
        definition=of.need_text("definition"),
        closings=of.need_number("closings"),
        commands=of.need_number("commands"),
        parent=None if parent is None else InstanceId(parent),
        note=of.get_text("note") or "",
        method=of.need_text("method"),
        headers=_read_headers(of),
        joined=None if joined is None else StepName(joined),
        pinned=of.get_text("pinned"),
        on_complete=of.get_texts("on_complete"),
        on_failure=of.get_texts("on_failure"),
        told=tuple(map(StepName, of.get_texts("told"))),
        released=tuple(map(StepName, of.get_texts("released"))),
        trace=_read_trace(of),
    )


def _read_headers(of: Properties) -> Headers:
    return tuple((name, value) for name, value in json.loads(of.get_text("headers") or "[]"))


def _write_step(step: Step, to: Properties) -> None:
    to.text("instance", step.instance, indexed=True)
    to.text("machine", step.machine, indexed=True)
    to.text("branch", step.branch)
    to.text("from_state", step.state)
    to.text("event", step.event)
    to.text("state", step.target, indexed=True)
    to.number("n", step.n)


def _read_step(of: Properties) -> Step:
    return Step(
        instance=InstanceId(of.need_text("instance")),
        machine=of.need_text("machine"),
        branch=of.need_text("branch"),
        state=of.need_text("from_state"),
        event=of.need_text("event"),
        target=of.need_text("state"),
        n=of.need_number("n"),
    )


SHARDS = 8
"""Ranges that the index of what becomes overdue is divided into: writes do not all meet at its end."""

GRACE = 60.0
"""Seconds after its time from which on a step that is still in flight is overdue."""

PARKED_GRACE = 24 * 3600.0
"""Seconds after which the sweeper looks whether a parked step is still meant to be."""


def overdue_mark(service: str, shard: int, moment: float) -> str:
    """The value of the index ``overdue``: of a service and a shard it sorts by the moment, in minutes."""
    return f"{service}/{shard:02d}/{max(0, math.floor(moment / 60)):010d}"


def _overdue_of(row: Task, service: str) -> str | None:
    """When the sweeper is to look at a step; never at one that has failed or waits for an instance."""
    grace = {TaskStatus.QUEUED: GRACE, TaskStatus.PARKED: PARKED_GRACE}.get(row.status)
    if grace is None:
        return None
    moment = row.due + grace if row.overdue is None else row.overdue
    return overdue_mark(service, int(row.step.name[:8], 16) % SHARDS, moment)


def _write_task(row: Task, to: Properties) -> None:
    _write_step(row.step, to)
    to.text("status", row.status, indexed=True)
    to.flag("in_flight", row.status is not TaskStatus.FAILED, indexed=True)
    to.moment("looked_at", row.overdue)
    to.number("looks", row.looks)
    to.text("skip", row.skip)
    to.text("child", row.child, indexed=True)
    to.text("pinned", row.pinned)
    _write_cause(row.cause, to)
    to.text("queue", row.queue)
    to.text("method", row.method)
    to.moment("first_attempt", row.first_attempt)
    to.moment("due", row.due)
    to.moment("created", row.created)
    to.number("epoch", row.epoch)
    to.number("attempts", row.attempts)
    to.number("unanswered", row.unanswered)
    to.texts("ahead", row.ahead)
    to.text("announced", row.announced)
    if row.failure is not None:
        to.text("error", row.failure.error)
        to.text("traceback", row.failure.traceback)
        to.text("fingerprint", row.failure.fingerprint, indexed=True)
    if row.hop is not None:
        to.text("chain_origin", row.hop.origin)
        to.number("chain_generation", row.hop.generation)
        to.text("chain_token", row.hop.token)
        to.number("chain_results", row.hop.results)
    if row.collection is not None:
        to.text("group", row.collection.group)
        to.text("window", row.collection.window)
        to.text("after", row.collection.after)
        to.text("until", row.collection.until)
        to.number("round", row.collection.round)
    to.text("role", row.role)
    to.text("target", row.target)
    to.text("headers", json.dumps(row.headers) if row.headers else None)
    _write_pages(row.pages, to)
    _write_trace(row.trace, to)
    to.texts("links", tuple(map(to_text, row.links)))


def _write_trace(trace: Trace | None, to: Properties) -> None:
    to.text("trace", None if trace is None else to_text(trace))


def _read_trace(of: Properties) -> Trace | None:
    """Where a row is in a trace; rows from before there were traces are in none."""
    return of_text(of.get_text("trace"))


def _write_cause(cause: Failure | None, to: Properties) -> None:
    to.text("cause", None if cause is None else json.dumps(astuple(cause)))


def _read_cause(of: Properties) -> Failure | None:
    cause = of.get_text("cause")
    return None if cause is None else Failure(*json.loads(cause))


def _write_pages(pages: tuple[Page, ...], to: Properties) -> None:
    if pages:
        to.text("pages", json.dumps([astuple(each) for each in pages]))


def _read_pages(of: Properties) -> tuple[Page, ...]:
    return tuple(Page(*each) for each in json.loads(of.get_text("pages") or "[]"))


def _read_task(of: Properties, context: bytes) -> Task:
    error, origin, group = of.get_text("error"), of.get_text("chain_origin"), of.get_text("group")
    child = of.get_text("child")
    return Task(
        step=_read_step(of),
        context=context,
        queue=of.need_text("queue"),
        method=of.need_text("method"),
        first_attempt=of.get_moment("first_attempt"),
        due=of.need_moment("due"),
        status=TaskStatus(of.need_text("status")),
        epoch=of.need_number("epoch"),
        attempts=of.need_number("attempts"),
        unanswered=of.need_number("unanswered"),
        failure=None
        if error is None
        else Failure(error, of.need_text("traceback"), of.need_text("fingerprint")),
        ahead=tuple(map(StepName, of.get_texts("ahead"))),
        announced=of.get_text("announced"),
        hop=None
        if origin is None
        else Hop(
            origin,
            of.need_number("chain_generation"),
            of.need_text("chain_token"),
            of.get_number("chain_results") or 0,
        ),
        collection=None
        if group is None
        else Collection(
            group,
            StepName(of.need_text("window")),
            of.need_text("after"),
            of.need_text("until"),
            of.get_number("round"),
        ),
        role=Role(of.need_text("role")),
        target=of.get_text("target"),
        pinned=of.get_text("pinned"),
        created=of.need_moment("created"),
        headers=_read_headers(of),
        pages=_read_pages(of),
        skip=of.get_text("skip"),
        cause=_read_cause(of),
        child=None if child is None else InstanceId(child),
        looks=of.need_number("looks"),
        overdue=of.get_moment("looked_at"),
        trace=_read_trace(of),
        links=tuple(each for each in map(of_text, of.get_texts("links")) if each is not None),
    )


def _write_record(row: Record, to: Properties) -> None:
    _write_step(row.step, to)
    to.text("outcome", row.outcome)
    to.text("returned", row.event)
    to.texts("next", row.next)
    to.texts("ahead", row.ahead)
    to.flag("ends_branch", row.ends_branch)
    to.moment("due", row.due)
    to.moment("began", row.began)
    to.moment("ended", row.ended)
    to.moment("expires", row.ended + KEEP_SECONDS)
    to.number("attempts", row.attempts)
    to.number("entries", row.entries)
    to.text("note", row.note)
    to.texts("far", row.far)
    _write_trace(row.trace, to)


def _read_record(of: Properties, context: bytes) -> Record:
    return Record(
        step=_read_step(of),
        outcome=Outcome(of.need_text("outcome")),
        event=of.get_text("returned"),
        next=tuple(map(StepName, of.get_texts("next"))),
        ahead=tuple(map(StepName, of.get_texts("ahead"))),
        ends_branch=of.need_flag("ends_branch"),
        due=of.need_moment("due"),
        began=of.need_moment("began"),
        ended=of.need_moment("ended"),
        attempts=of.need_number("attempts"),
        context=context,
        entries=of.get_number("entries"),
        note=of.need_text("note"),
        far=of.get_texts("far"),
        trace=_read_trace(of),
    )


def _write_window(row: Window, to: Properties) -> None:
    to.text("group", row.group)
    to.text("window", row.window)


def _read_window(of: Properties, _: bytes) -> Window:
    return Window(of.need_text("group"), StepName(of.need_text("window")))


def _write_entry(row: Entry, to: Properties) -> None:
    to.text("window", row.window, indexed=True)
    to.text("name", row.name)
    to.text("source", row.source)
    to.text("joining", row.joining, indexed=True)
    to.text("state", row.state or None)
    _write_cause(row.cause, to)
    _write_pages(row.pages, to)
    _write_trace(row.trace, to)


def _read_entry(of: Properties, context: bytes) -> Entry:
    joining = of.get_text("joining")
    return Entry(
        of.need_text("name"),
        StepName(of.need_text("window")),
        StepName(of.need_text("source")),
        context,
        _read_pages(of),
        None if joining is None else InstanceId(joining),
        of.get_text("state") or "",
        _read_cause(of),
        _read_trace(of),
    )


def _write_line(row: LogLine, to: Properties) -> None:
    _write_step(row.step, to)
    to.text("step", row.step.name, indexed=True)
    to.text("name", row.name)
    to.text("action", row.action)
    to.moment("time", row.time)
    to.number("level", row.level)
    to.text("message", row.message)
    to.texts("tags", row.tags, indexed=True)
    to.text("stack", row.stack)
    to.moment("expires", row.time + KEEP_SECONDS)


def _read_line(of: Properties, _: bytes) -> LogLine:
    return LogLine(
        name=of.need_text("name"),
        step=_read_step(of),
        action=of.need_text("action"),
        time=of.need_moment("time"),
        level=of.need_number("level"),
        message=of.need_text("message"),
        tags=of.get_texts("tags"),
        stack=of.get_text("stack"),
    )


def _write_hold(row: Hold, to: Properties) -> None:
    to.text("machine", row.machine)
    to.text("state", row.state)
    to.moment("since", row.since)
    to.text("note", row.note)


def _read_hold(of: Properties, _: bytes) -> Hold:
    return Hold(
        of.need_text("service"),
        of.need_text("machine"),
        of.need_text("state"),
        of.need_moment("since"),
        of.need_text("note"),
    )


def _write_memo(row: Memo, to: Properties) -> None:
    to.text("step", row.step)
    to.text("instance", row.instance, indexed=True)
    to.text("name", row.name)
    to.moment("made", row.made)
    to.moment("expires", row.made + KEEP_SECONDS)


def _read_memo(of: Properties, value: bytes) -> Memo:
    return Memo(
        StepName(of.need_text("step")),
        InstanceId(of.need_text("instance")),
        of.need_text("name"),
        value,
        of.need_moment("made"),
    )


def _write_watermark(row: Watermark, to: Properties) -> None:
    to.texts("marks", row.marks)
    to.moment("full", row.full)
    to.text("instances", row.instances)


def _read_watermark(of: Properties, _: bytes) -> Watermark:
    return Watermark(
        of.need_text("service"), of.get_texts("marks"), of.need_moment("full"), of.get_text("instances") or ""
    )


_WRITERS: Mapping[type, Callable[[Any, Properties], None]] = {
    Instance: _write_instance,
    Record: _write_record,
    Window: _write_window,
    Entry: _write_entry,
    LogLine: _write_line,
    Hold: _write_hold,
    Memo: _write_memo,
    Watermark: _write_watermark,
}

_READERS: Mapping[str, Callable[[Properties, bytes], Row]] = {
    Instance.kind: _read_instance,
    Task.kind: _read_task,
    Record.kind: _read_record,
    Window.kind: _read_window,
    Entry.kind: _read_entry,
    LogLine.kind: _read_line,
    Hold.kind: _read_hold,
    Memo.kind: _read_memo,
    Watermark.kind: _read_watermark,
}


def write_row(row: Row, entity: Any, service: str) -> None:
    """Fills in an entity's properties, all but the context."""
    to = Properties(entity)
    to.number("format", FORMAT)
    to.text("service", service, indexed=isinstance(row, Hold | Instance | Task))
    if isinstance(row, Task):
        to.text("overdue", _overdue_of(row, service), indexed=True)
        _write_task(row, to)
    else:
        _WRITERS[type(row)](row, to)


def read_row(entity: Any, context: bytes) -> Row:
    """The row that an entity holds. Raises ``ValueError`` for a row of a newer format."""
    of = Properties(entity)
    kind = entity.key.path[-1].kind
    if of.need_number("format") > FORMAT:
        raise ValueError(f"a {kind} row was written by a newer version of fantasm_gcp; deploy that version")
    return _READERS[kind](of, context)
