"""Large outcomes: more forks and spawned instances than one commit takes are sent on their way in shares.

What a step decided lies, packed, in the context of one *spreading* step. Each spreading step either starts
what its share names or shares it out among further ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from fantasm_gcp.core.definition import Machine, Transition
from fantasm_gcp.core.headers import Headers
from fantasm_gcp.core.records import Instance, InstanceStatus, Outcome, Spread, Step, Task
from fantasm_gcp.core.step import Acted, Following, Leaving, Moment, Start, depart, share_of
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
    """The same outcome with its forks and starts put into one spreading step, where there are too many.

    The branch's own next step is not delayed by that.
    """
    acted = following.acted
    forks = acted.leaving[1:] if acted.event is not None else ()
    sizes = [len(each.context) for each in forks] + [len(each.task.context) for each in following.starts]
    if len(sizes) <= bounds.departures and sum(sizes) <= bounds.bytes:
        return following
    own = replace(acted, leaving=acted.leaving[:1])
    kept = Following(own, following.tasks, note=following.note)
    if acted.event is not None:
        kept = replace(kept, tasks=())
        kept |= depart(machine, task, _transition(machine, task, acted.event), own, moment)
    share = share_of(task, f"s{task.step.n}", moment.now)
    spreading = replace(
        share,
        context=_pack(task.step.branch, acted, forks, following.starts),
        hop=None,
        collection=None,
        spread=Spread(0, len(sizes)),
        headers=acted.headers,
        pages=acted.pages,
    )
    return replace(kept, tasks=(*kept.tasks, spreading))


def scatter(machine: Machine | None, task: Task, bounds: Bounds, moment: Moment) -> Following:
    """What follows from a spreading step. Raises ``MissingDefinitionError``: another deployment may know."""
    assert task.spread is not None, "only a spreading step is scattered"
    content = json.loads(task.context)
    forks, starts = content["forks"], content["starts"]
    first, last = task.spread.first, task.spread.last
    sizes = [len(_bytes(each["context"])) for each in (*forks, *starts)][first:last]
    edges = cuts(sizes, bounds)
    spread = Acted(outcome=Outcome.SPREAD, headers=task.headers, pages=task.pages)
    if len(edges) > 1:
        shares = _balanced([first + edge for edge in (0, *edges)], bounds.ways)
        return Following(
            spread,
            tuple(
                replace(share_of(task, str(i), moment.now), spread=Spread(*share))
                for i, share in enumerate(shares)
            ),
        )
    following = Following(
        spread, starts=tuple(map(_start_of, starts[max(0, first - len(forks)) : max(0, last - len(forks))]))
    )
    leaving = tuple(
        Leaving(each["index"], _bytes(each["context"]), each["group"]) for each in forks[first:last]
    )
    if not leaving:
        return following
    if machine is None:
        raise MissingDefinitionError(
            f"definition missing: this deployment has no machine {task.step.machine!r}"
        )
    origin = replace(task, step=replace(task.step, branch=content["branch"]), spread=None)
    left = replace(spread, leaving=leaving)
    return following | depart(machine, origin, _transition(machine, task, content["event"]), left, moment)


def cuts(sizes: Sequence[int], bounds: Bounds) -> list[int]:
    """Where each share ends that fits into one commit; a departure too large for any has one of its own."""
    ends: list[int] = []
    count = total = 0
    for i, size in enumerate(sizes):
        if count and (count == bounds.departures or total + size > bounds.bytes):
            ends.append(i)
            count = total = 0
        count, total = count + 1, total + size
    return [*ends, len(sizes)]


def _balanced(edges: Sequence[int], ways: int) -> list[tuple[int, int]]:
    """At most ``ways`` shares of about as many leaves each; ``edges`` are where leaves begin and end."""
    leaves = len(edges) - 1
    marks = [edges[round(i * leaves / min(ways, leaves))] for i in range(min(ways, leaves) + 1)]
    return list(pairwise(marks))


def _transition(machine: Machine, task: Task, event: str) -> Transition:
    state = machine.state(task.step.target)
    transition = state.transition(event) if state else None
    if transition is None:
        raise MissingDefinitionError(
            f"definition missing: this deployment has no event {event!r} of state {task.step.target!r}"
        )
    return transition


def _pack(branch: str, acted: Acted, forks: Sequence[Leaving], starts: Sequence[Start]) -> bytes:
    content = {
        "branch": branch,
        "event": acted.event,
        "forks": [
            {"index": each.index, "context": _text(each.context), "group": each.group} for each in forks
        ],
        "starts": [_packed_start(each) for each in starts],
    }
    return _bytes(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def _text(context: bytes) -> str:
    return context.decode("utf-8", "surrogatepass")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _packed_start(start: Start) -> dict[str, Any]:
    instance, task = start.instance, start.task
    return {
        "context": _text(task.context),
        "named": start.named,
        "instance": asdict(instance),
        "step": asdict(task.step),
        "queue": task.queue,
        "method": task.method,
        "due": task.due,
        "target": task.target,
        "headers": task.headers,
    }


def _start_of(packed: dict[str, Any]) -> Start:
    row = packed["instance"]
    instance = Instance(**{**row, "status": InstanceStatus(row["status"])})
    headers: Headers = tuple((name, value) for name, value in packed["headers"])
    task = Task(
        Step(**packed["step"]),
        _bytes(packed["context"]),
        packed["queue"],
        packed["method"],
        packed["due"],
        target=packed["target"],
        headers=headers,
    )
    return Start(instance, task, packed["named"])
