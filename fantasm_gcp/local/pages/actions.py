"""What can be done by a POST, the same for forms and for JSON: one table of paths, fields and deeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from werkzeug.exceptions import BadRequest, NotFound, abort

from fantasm_gcp.core.moments import iso
from fantasm_gcp.local.pages.arguments import Arguments
from fantasm_gcp.local.pages.names import resolve_queue, resolve_task
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import TasksServer

LONGEST_WAIT: Final = 600.0
"""Seconds that one request may wait for idleness."""

_MOST_DIGITS = 18

_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.UNAVAILABLE: 503,
}

Path = Mapping[str, str]
Answer = dict[str, Any]
Deed = Callable[[TasksServer, Path, Arguments], Answer]


@dataclass(frozen=True, slots=True)
class Action:
    """A deed: its path with the names in it, the fields it takes, and what it does and answers."""

    path: str
    fields: tuple[str, ...]
    carry_out: Deed

    @property
    def endpoint(self) -> str:
        """The deed's name."""
        return self.carry_out.__name__

    def __call__(self, server: TasksServer, path: Path, arguments: Arguments) -> Answer:
        """Does it; raises an ``HTTPException`` that says what was wrong."""
        with explained():
            try:
                return self.carry_out(server, path, arguments)
            except ValueError as error:
                raise BadRequest(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


@contextmanager
def explained() -> Iterator[None]:
    """Turns a refusal of the server into one of HTTP."""
    try:
        yield
    except RpcError as error:
        abort(_STATUSES.get(error.code, 500), error.message)


def pause_queue(server: TasksServer, path: Path, _: Arguments) -> Answer:
    """Pauses one queue."""
    name = resolve_queue(server, path["queue"])
    server.pause(name)
    return {"queue": name, "state": "PAUSED"}


def resume_queue(server: TasksServer, path: Path, _: Arguments) -> Answer:
    """Resumes one queue."""
    name = resolve_queue(server, path["queue"])
    server.resume(name)
    return {"queue": name, "state": "RUNNING"}


def purge_queue(server: TasksServer, path: Path, _: Arguments) -> Answer:
    """Deletes the tasks of one queue."""
    name = resolve_queue(server, path["queue"])
    server.purge(name)
    return {"queue": name, "depth": server.depth(name)}


def pause_all(server: TasksServer, _: Path, __: Arguments) -> Answer:
    """Pauses the queues that there are."""
    server.pause()
    return {"state": "PAUSED"}


def resume_all(server: TasksServer, _: Path, __: Arguments) -> Answer:
    """Resumes the queues that there are."""
    server.resume()
    return {"state": "RUNNING"}


def step(server: TasksServer, _: Path, arguments: Arguments) -> Answer:
    """Begins one attempt at the task first due."""
    return {"task": server.step(_queue_or_none(server, arguments))}


def run_task(server: TasksServer, path: Path, arguments: Arguments) -> Answer:
    """Begins attempts at one task."""
    name, times = resolve_task(server, path["task"]), arguments.whole("times", 1)
    server.run(name, times, overlapping=arguments.flag("overlapping", True))
    return {"task": name, "times": times}


def drop_task(server: TasksServer, path: Path, _: Arguments) -> Answer:
    """Deletes one task."""
    name = resolve_task(server, path["task"])
    server.drop(name)
    return {"task": name}


def fail_next(server: TasksServer, _: Path, arguments: Arguments) -> Answer:
    """Sets a fault."""
    task = arguments.text("task")
    fault = server.fail_next(
        arguments.whole("count", 1),
        status=_status(arguments),
        queue=_queue_or_none(server, arguments),
        task=None if task is None else resolve_task(server, task),
        reach=arguments.flag("reach", False),
    )
    return {"fault": fault}


def cancel_fault(server: TasksServer, path: Path, _: Arguments) -> Answer:
    """Takes one fault back."""
    number = path["fault"]
    known = number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS
    if not known or not server.cancel_fault(int(number)):
        raise NotFound("There is no such fault any more: GET api/faults lists those that are set.")
    return {"fault": int(number)}


def cancel_faults(server: TasksServer, _: Path, __: Arguments) -> Answer:
    """Takes all faults back."""
    server.cancel_faults()
    return {}


def advance(server: TasksServer, _: Path, arguments: Arguments) -> Answer:
    """Moves the clock ahead."""
    if not arguments.has("seconds"):
        raise BadRequest('Say by how many seconds: {"seconds": 60}.')
    server.advance(arguments.number("seconds", 0))
    clock = server.clock()
    return {"now": iso(clock.now), "shift_seconds": clock.shift}


def wait(server: TasksServer, _: Path, arguments: Arguments) -> Answer:
    """Waits until the server is idle."""
    timeout = arguments.number("timeout", 30)
    if math.isnan(timeout) or not 0 <= timeout <= LONGEST_WAIT:
        raise BadRequest(f"timeout must be 0 to {LONGEST_WAIT:g} seconds: ask again to wait for longer.")
    return {"idle": server.wait_idle(timeout, scheduled=arguments.flag("scheduled", False))}


def reset(server: TasksServer, _: Path, __: Arguments) -> Answer:
    """Forgets everything."""
    server.reset()
    return {}


def _queue_or_none(server: TasksServer, arguments: Arguments) -> str | None:
    queue = arguments.text("queue")
    return None if queue is None else resolve_queue(server, queue)


def _status(arguments: Arguments) -> int | None:
    """The status to fail with: 500 unless said; JSON's null, or "none", is no answer at all."""
    if not arguments.has("status"):
        return 500
    return None if arguments.is_none("status") else arguments.whole("status", 500)


ACTIONS: Final = (
    Action("/queues/<path:queue>/pause", (), pause_queue),
    Action("/queues/<path:queue>/resume", (), resume_queue),
    Action("/queues/<path:queue>/purge", (), purge_queue),
    Action("/pause", (), pause_all),
    Action("/resume", (), resume_all),
    Action("/step", ("queue",), step),
    Action("/tasks/<path:task>/run", ("times", "overlapping"), run_task),
    Action("/tasks/<path:task>/drop", (), drop_task),
    Action("/fail-next", ("count", "status", "queue", "task", "reach"), fail_next),
    Action("/faults/<fault>/cancel", (), cancel_fault),
    Action("/faults/cancel", (), cancel_faults),
    Action("/clock/advance", ("seconds",), advance),
    Action("/wait", ("timeout", "scheduled"), wait),
    Action("/reset", (), reset),
)
"""Every deed, under ``api`` and, for forms, under ``do``."""
