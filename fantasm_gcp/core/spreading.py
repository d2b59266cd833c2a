"""Large outcomes: more forks and spawned instances than one commit takes are sent on their way in shares.

Each share lies, packed, in the context of a *spreading* step, which starts what it names, or shares it out
further where that is still too much for one commit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from fantasm_gcp.core.definition import Machine, Transition
from fantasm_gcp.core.headers import Headers
from fantasm_gcp.core.records import Instance, InstanceStatus, Outcome, Role, Step, Task
from fantasm_gcp.core.step import (
    Acted,
    Following,
    Leaving,
    Moment,
    Start,
    depart,
    share_of,
    waiting_for,
    without_waiting,
)
from fantasm_gcp.errors import MissingDefinitionError


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one commit takes of an outcome: departures, and bytes of their contexts. ``ways``: most shares."""

    departures: int = 150
    bytes: int = 3 * 1024 * 1024
    ways: int = 50


def spread_out(
    task: Task, following: Following, machine: Machine, bounds: Bounds, moment: Moment
) -> Following:
    """The same outcome with its forks and starts put into spreading steps, where there are too many.

    The branch's own next step is not delayed by that.
    """
    acted = following.acted
    forks = acted.leaving[1:] if acted.event is not None else ()
    items = [*map(_packed_fork, forks), *map(_packed_start, following.starts)]
    if len(cuts(items, bounds)) <= 1:
        return following
    own = replace(acted, leaving=acted.leaving[:1])
    kept = Following(own, following.tasks, note=following.note)
    if acted.event is not None:
        kept = replace(kept, tasks=())
        kept |= depart(machine, task, _transition(machine, task, acted.event), own, moment)
    origin = replace(task, headers=acted.headers, pages=acted.pages)
    content = {"branch": task.step.branch, "event": acted.event}
    shares = _shares(origin, content, items, bounds, moment, f"s{task.step.n}-")
    return replace(kept, tasks=(*kept.tasks, *shares))


def scatter(
    machine: Machine | None, task: Task, bounds: Bounds, moment: Moment, *, starts_only: bool = False
) -> Following:
    """What follows from a spreading step; ``starts_only`` in an instance that was stopped.

    Raises ``MissingDefinitionError`` where this deployment does not know the transition: another may.
    """
    content = json.loads(task.context)
    items = content["items"]
    spread = Acted(outcome=Outcome.SPREAD, headers=task.headers, pages=task.pages)
    if len(cuts(items, bounds)) > 1:
        return Following(spread, _shares(task, content, items, bounds, moment, ""))
    starts = tuple(_start_of(each) for each in items if "instance" in each)
    if starts_only:
        starts = tuple(without_waiting(each) for each in starts)
    following = Following(spread, starts=starts)
    leaving = tuple(_fork_of(each) for each in items if "instance" not in each)
    if starts_only or not leaving:
        return following
    if machine is None:
        raise MissingDefinitionError(
            f"definition missing: this deployment has no machine {task.step.machine!r}"
        )
    origin = replace(task, step=replace(task.step, branch=content["branch"]), role=Role.ACTION)
    left = replace(spread, leaving=leaving)
    return following | depart(machine, origin, _transition(machine, task, content["event"]), left, moment)


def _shares(
    task: Task,
    content: dict[str, Any],
    items: Sequence[dict[str, Any]],
    bounds: Bounds,
    moment: Moment,
    label: str,
) -> tuple[Task, ...]:
    """Spreading steps for about as many commits each, and no more than ``bounds.ways`` of them."""
    edges = [0, *cuts(items, bounds)]
    commits = len(edges) - 1
    ways = min(bounds.ways, commits)
    marks = [edges[round(i * commits / ways)] for i in range(ways + 1)]
    return tuple(
        replace(
            share_of(task, f"{label}{i}", moment.now),
            context=_packed({**content, "items": items[first:last]}),
            hop=None,
            collection=None,
            role=Role.SPREAD,
        )
        for i, (first, last) in enumerate(pairwise(marks))
    )


def cuts(items: Sequence[dict[str, Any]], bounds: Bounds) -> list[int]:
    """Where each share ends that fits into one commit; an item too large for any has one of its own."""
    ends: list[int] = []
    count = total = 0
    for i, item in enumerate(items):
        size = len(item["context"])
        if count and (count == bounds.departures or total + size > bounds.bytes):
            ends.append(i)
            count = total = 0
        count, total = count + 1, total + size
    return [*ends, len(items)]


def _transition(machine: Machine, task: Task, event: str) -> Transition:
    state = machine.state(task.step.target)
    transition = state.transition(event) if state else None
    if transition is None:
        raise MissingDefinitionError(
            f"definition missing: this deployment has no event {event!r} of state {task.step.target!r}"
        )
    return transition


def _packed(content: dict[str, Any]) -> bytes:
    return _bytes(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def _packed_fork(fork: Leaving) -> dict[str, Any]:
    return {"index": fork.index, "context": _text(fork.context), "group": fork.group}


def _fork_of(packed: dict[str, Any]) -> Leaving:
    return Leaving(packed["index"], _bytes(packed["context"]), packed["group"])


def _packed_start(start: Start) -> dict[str, Any]:
    task, instance = start.task, asdict(start.instance)
    del instance["trace"]  # the step that starts it is another
    return {
        "context": _text(task.context),
        "named": start.named,
        "instance": instance,
        "step": asdict(task.step),
        "queue": task.queue,
        "method": task.method,
        "due": task.due,
        "created": task.created,
        "target": task.target,
        "pinned": task.pinned,
        "headers": task.headers,
        "waiting": None if start.waiting is None else asdict(start.waiting.step),
    }


def _start_of(packed: dict[str, Any]) -> Start:
    row = packed["instance"]
    headers = _pairs(packed["headers"])
    instance = Instance(
        **{
            **row,
            "status": InstanceStatus(row["status"]),
            "headers": _pairs(row["headers"]),
            "on_complete": tuple(row["on_complete"]),
            "on_failure": tuple(row["on_failure"]),
            "told": tuple(row["told"]),
            "released": tuple(row["released"]),
        }
    )
    task = Task(
        Step(**packed["step"]),
        _bytes(packed["context"]),
        packed["queue"],
        packed["method"],
        packed["due"],
        target=packed["target"],
        pinned=packed["pinned"],
        headers=headers,
        started=instance.started,
        created=packed["created"],
    )
    waiting = packed["waiting"]
    return Start(
        instance,
        task,
        packed["named"],
        waiting=None if waiting is None else waiting_for(Step(**waiting), instance),
    )


def _pairs(packed: Sequence[Sequence[str]]) -> Headers:
    return tuple((name, value) for name, value in packed)


def _text(context: bytes) -> str:
    return context.decode("utf-8", "surrogatepass")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
