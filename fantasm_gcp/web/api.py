"""The read side of the HTTP API, as values that become JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from flask import request
from werkzeug.exceptions import BadRequest, NotFound

from fantasm_gcp.core.moments import iso
from fantasm_gcp.core.names import TASK_NAME_LIMIT, InstanceId, StepName
from fantasm_gcp.core.records import Instance, InstanceStatus, LogLine, Record, Step, Task, TaskStatus
from fantasm_gcp.engine.history import (
    Collected,
    History,
    Page,
    StateCounts,
    holds_on,
    in_order,
    state_counts,
    told_by,
)
from fantasm_gcp.engine.starting import definition_hash
from fantasm_gcp.errors import RefusedError
from fantasm_gcp.web.current import current_fantasm
from fantasm_gcp.web.machines import shown_hold
from fantasm_gcp.web.waiting import await_end

PAGE = 100
MOST = 1000
T = TypeVar("T")


def instances() -> dict[str, Any]:
    """Instances newest first; ``machine``, ``status``, ``limit`` and ``cursor`` are arguments."""
    machine, status = request.args.get("machine", ""), request.args.get("status", "")
    if machine:
        current_fantasm().definitions.machine(machine)
    if status and status not in set(InstanceStatus):
        raise BadRequest(f"status {status!r} is not one of {', '.join(InstanceStatus)}")
    limit, cursor = page_arguments()
    page = listed(lambda: current_fantasm().history.instances(machine, status, limit, cursor))
    return _instances(page)


def children(name: str) -> dict[str, Any]:
    """The instances that one spawned, or that were told of its end; ``limit``, ``cursor`` are arguments."""
    found = find_instance(name)
    limit, cursor = page_arguments()
    return _instances(listed(lambda: current_fantasm().history.children(found.id, limit, cursor)))


def _instances(page: Page[Instance]) -> dict[str, Any]:
    return {"instances": [instance_summary(each) for each in page.items], "cursor": page.cursor}


def page_arguments() -> tuple[int, str]:
    """``limit`` and ``cursor`` of a list."""
    text = request.args.get("limit", str(PAGE))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST):
        raise BadRequest(f"limit must be a number from 1 to {MOST}")
    return int(text), request.args.get("cursor", "")


def listed(read: Callable[[], Page[T]]) -> Page[T]:
    """A page by a caller's cursor; what Datastore refuses is that cursor."""
    try:
        return read()
    except RefusedError as error:
        raise BadRequest(str(error)) from error


def find_instance(name: str) -> Instance:
    """The instance of that id; answers 404 where there is none."""
    instance = None
    if can_be_a_key(name):
        instance = current_fantasm().history.instance(InstanceId(name))
    if instance is None:
        raise NotFound(f"there is no instance {name[:TASK_NAME_LIMIT]!r}")
    return instance


def can_be_a_key(name: str) -> bool:
    """Names are ASCII, and Datastore refuses to look for what can be no key."""
    return name.isascii() and 0 < len(name) <= TASK_NAME_LIMIT


def instance_summary(instance: Instance) -> dict[str, Any]:
    """An instance as lists show it, and as commands answer it."""
    machine = current_fantasm().definitions.machines.get(instance.machine)
    return {
        "instance": instance.id,
        "machine": instance.machine,
        "status": instance.status,
        "started": iso(instance.started),
        "ended": iso(instance.ended),
        "definition": instance.definition,
        "definition_current": machine is not None and definition_hash(machine) == instance.definition,
        "parent": instance.parent,
        "note": instance.note,
        "on_complete": list(instance.on_complete),
        "on_failure": list(instance.on_failure),
        "told": [{"receiver": each.receiver, "instance": each.instance} for each in told_by(instance)],
    }


def instance(name: str) -> dict[str, Any]:
    """One instance: status, times, counts for each state, and its steps, each with its context before it.

    ``limit`` is for each of the three lists; ``cursor`` goes on in that of the steps that are over,
    ``in_flight_cursor`` and ``failed_cursor`` in the others. With ``wait`` the answer comes when the instance
    has ended, or after so many seconds.
    """
    found = find_instance(name)
    limit, cursor = page_arguments()
    found = await_end(found)
    fantasm = current_fantasm()
    history = fantasm.history
    machine = fantasm.definitions.machines.get(found.machine)
    counts = state_counts(history, machine, found.id) if machine else {}
    return instance_summary(found) | {
        "parked": history.count_steps(TaskStatus.PARKED, instance=found.id),
        "waiting": history.count_steps(TaskStatus.WAITING, instance=found.id),
        "at_joins": dict(history.at_joins(found.id)),
        "held": [shown_hold(each) for each in holds_on(history, found)],
        "states": {state: _counts(each) for state, each in counts.items()},
        "in_flight": _tasks(found.id, limit, failed=False),
        "failed": _tasks(found.id, limit, failed=True),
        "steps": page_of(listed(lambda: history.records(found.id, limit, cursor)), record_of),
    }


def _tasks(instance: InstanceId, limit: int, *, failed: bool) -> dict[str, Any]:
    history = current_fantasm().history
    cursor = request.args.get("failed_cursor" if failed else "in_flight_cursor", "")
    page = listed(lambda: history.tasks(instance, failed=failed, limit=limit, cursor=cursor))
    return page_of(page, task_of)


def logs(name: str) -> dict[str, Any]:
    """What the actions of an instance logged, where its machine keeps that.

    ``limit`` and ``cursor`` are arguments. The lines of a page are in order of time, the pages are not: a
    limit above the number of lines gets all of them in order. Of an instance that has no row, because its
    machine keeps none, there may be lines all the same.
    """
    limit, cursor = page_arguments()
    history: History = current_fantasm().history
    page: Page[LogLine] = Page(())
    if can_be_a_key(name):
        page = listed(lambda: history.logs(InstanceId(name), limit, cursor))
    if not page.items:
        find_instance(name)
    return {"logs": [line_of(each) for each in in_order(page.items)], "cursor": page.cursor}


def line_of(line: LogLine) -> dict[str, Any]:
    """A line of a log; ``from`` and ``event`` are of the transition that its step fired."""
    return {
        "time": iso(line.time),
        "level": logging.getLevelName(line.level),
        "step": line.step.name,
        "branch": line.step.branch,
        "from": line.step.state,
        "event": line.step.event,
        "state": line.step.target,
        "n": line.step.n,
        "action": line.action,
        "message": line.message,
        "tags": list(line.tags),
        "stack": line.stack,
    }


def step(name: str, step_name: str) -> dict[str, Any]:
    """One step of an instance, with its context however large, and what was collected for it."""
    history: History = current_fantasm().history
    if not can_be_a_key(step_name):
        raise NotFound("no step has such a name")
    task, record = history.task(StepName(step_name)), history.record(StepName(step_name))
    if task is not None and task.step.instance == name:
        return task_of(task) | {"collected": _collected(history.collected(task))}
    if record is not None and record.step.instance == name:
        return record_of(record) | {"collected": None}
    raise NotFound(f"instance {name!r} has no step {step_name!r}")


def _collected(collected: Collected | None) -> dict[str, Any] | None:
    if collected is None:
        return None
    contexts = [json.loads(each) for each in collected.contexts]
    return {"count": collected.count, "more": collected.more, "contexts": contexts}


def page_of(page: Page[T], of: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    return {"items": [of(each) for each in page.items], "cursor": page.cursor}


def _counts(counts: StateCounts) -> dict[str, int]:
    return {"in_flight": counts.in_flight, "failed": counts.failed, "done": counts.done}


def _step(step: Step, context: bytes) -> dict[str, Any]:
    return {
        "step": step.name,
        "branch": step.branch,
        "from": step.state,
        "event": step.event,
        "state": step.target,
        "n": step.n,
        "context": json.loads(context) if context else None,
    }


def task_of(task: Task) -> dict[str, Any]:
    """A step in flight or failed."""
    failure = task.failure
    return _step(task.step, task.context) | {
        "status": task.status,
        "role": task.role,
        "child": task.child,
        "due": iso(task.due),
        "attempts": task.attempts,
        "epoch": task.epoch,
        "error": failure.error if failure else None,
        "traceback": failure.traceback if failure else None,
        "fingerprint": failure.fingerprint if failure else None,
    }


def record_of(record: Record) -> dict[str, Any]:
    """A step that is over."""
    return _step(record.step, record.context) | {
        "status": record.outcome,
        "returned": record.event,
        "began": iso(record.began),
        "ended": iso(record.ended),
        "attempts": record.attempts,
        "entries": record.entries,
        "note": record.note,
        "next": list(record.next),
    }
