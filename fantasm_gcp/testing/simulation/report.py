"""A run as text: its machines, its schedule one line for each thing that happened, and what it broke."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fantasm_gcp.testing.simulation.rendering import render_plan, summarize
from fantasm_gcp.testing.simulation.run import Run
from fantasm_gcp.testing.simulation.running import Event
from fantasm_gcp.testing.simulation.tape import render_tape

_SIGNS = {"insert": "+", "update": "~", "upsert": "=", "delete": "-"}
PROGRAM = "python -m fantasm_gcp.testing.simulation"


def render_run(run: Run, heading: str) -> str:
    """All that is needed to understand a run that broke something, and to run it again."""
    parts = (
        heading,
        *(f"broken: {each}" for each in run.broken),
        "",
        render_plan(run.plan),
        summarize(run.plan),
        "",
        *render_schedule(run.schedule),
        "",
        f"to run it again: {PROGRAM} --tape '{render_tape(run.tape)}'",
    )
    return "\n".join(parts) + "\n"


def render_schedule(schedule: tuple[Event, ...]) -> Iterator[str]:
    """One line for each event: the seconds since the first one, who, and what."""
    began = schedule[0].time if schedule else 0.0
    for each in schedule:
        what = each.what if each.rpc is None else _of_rpc(each)
        yield f"{each.time - began:10.2f}  {shortened(each.who)}  {what}"


def _of_rpc(event: Event) -> str:
    assert event.rpc is not None
    request = event.rpc.request
    words = f"{event.rpc.method} {', '.join(_content(event.rpc.method, request))}".strip()
    return f"{words}  <- {event.what}" if event.what else words


def _content(method: str, request: Any) -> Iterator[str]:
    match method:
        case "Commit":
            for each in request.mutations:
                operation = each.WhichOneof("operation")
                target = getattr(each, operation)
                key = target if operation == "delete" else target.key
                yield f"{_SIGNS[operation]}{_named(key)}{_status(target) if operation != 'delete' else ''}"
        case "Lookup":
            yield from map(_named, request.keys)
        case "RunQuery":
            yield request.query.kind[0].name
        case "CreateTask":
            yield shortened(request.task.name)
        case "BatchCreateTasks":
            yield from (shortened(each.task.name) for each in request.requests)


def _status(entity: Any) -> str:
    status = entity.properties["status"].string_value if "status" in entity.properties else ""
    return f" ({status})" if status not in ("", "queued") else ""


def _named(key: Any) -> str:
    end = key.path[-1]
    return f"{end.kind.removeprefix('Fantasm')} {shortened(end.name)}"


def shortened(text: str) -> str:
    """A text with the names of steps as ``Target@branch``; of instances, only children are told apart."""
    return " ".join(_short(word) for word in text.split(" "))


def _short(word: str) -> str:
    parts = word.rpartition("/")[2].split("--")
    if len(parts) < 6:
        return word if len(word) < 50 else f"{word[:8]}..{word[-25:]}"
    head, branch, _, _, target, number, *epoch = parts
    machine, instance = head.split("-")[1], head[-4:]
    where = "" if machine == "Main" else f"{machine}~{instance}."
    return f"{where}{target}@{branch}#{number}{'+' + epoch[0] if epoch else ''}"
