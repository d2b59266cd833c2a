"""The JSON API, for tests and scripts in any language; all of it is under ``api/``.

=========================================  ============================================================
request                                    answer, and the fields of a JSON object in the body
=========================================  ============================================================
``GET queues``                             ``queues``: state, depth, in flight, next due of each
``GET queues/QUEUE``                       one of them
``GET tasks?queue=QUEUE``                  ``tasks`` by creation, 100 at a time, large ones fewer; ``next`` is
                                           the ``after`` of the next request, or null
``GET tasks/TASK``                         one of them, with headers and body
``GET attempts``                           ``in_flight``, and ``ended``: the last 200, the last one first
``GET faults``                             ``faults`` that are set and not used up
``GET clock``                              ``now``, and by how much it was moved: ``shift_seconds``
``POST queues/QUEUE/pause``                no attempt begins in the queue; and ``resume``, and ``purge``
``POST pause``, ``POST resume``            the same for all queues that there are
``POST step``                              one attempt at the task first due (``queue``); ``task``, or null
``POST tasks/TASK/run``                    an attempt at once (``times`` 1, ``overlapping`` true)
``POST tasks/TASK/drop``                   the task is deleted; its name stays taken
``POST fail-next``                         the next attempts fail (``count`` 1; ``status`` 500, null for no
                                           answer; ``queue``; ``task``; ``reach`` false: the worker is not
                                           called); ``fault``: its id
``POST faults/ID/cancel``                  takes a fault back; ``POST faults/cancel`` takes all
``POST clock/advance``                     the clock goes ahead (``seconds``)
``POST wait``                              waits until the server is idle (``timeout`` 30, at most 600;
                                           ``scheduled`` false); ``idle``: whether it came to that
``POST reset``                             forgets everything
=========================================  ============================================================

QUEUE and TASK are full names, or ``QUEUE-ID`` and ``QUEUE-ID/TASK-ID`` where only one queue has the id. What
each does is said in :class:`~fantasm_gcp.local.tasks.controls.Controls`. Times are ISO 8601 in UTC. An error
is ``{"error": "what to do"}`` with status 400, 403, 404, 405, 409, 413 or 503.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Response, current_app, request
from google.protobuf.json_format import MessageToDict
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect

from fantasm_gcp.core.moments import iso
from fantasm_gcp.local.pages.actions import Action, explained
from fantasm_gcp.local.pages.arguments import read_json
from fantasm_gcp.local.pages.names import resolve_queue, resolve_task
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.local.tasks.looking import QueueSnapshot, TaskSnapshot
from fantasm_gcp.local.tasks.scheduling.faults import Fault

TASKS = 100
"""Tasks in one answer."""

_MOST_DIGITS = 18


class Api:
    """The views of the API."""

    def __init__(self, server: TasksServer) -> None:
        self._server = server

    def acting(self, action: Action) -> Callable[..., Response]:
        """The view that does a deed."""

        def act(**path: str) -> Response:
            return _answer(action(self._server, path, read_json(action.fields)))

        return act

    def queues(self) -> Response:
        """Every queue."""
        with explained():
            return _answer({"queues": [_queue(each) for each in self._server.queues()]})

    def queue(self, queue: str) -> Response:
        """One queue."""
        with explained():
            return _answer(_queue(self._server.queue(resolve_queue(self._server, queue))))

    def tasks(self) -> Response:
        """Tasks of one queue."""
        queue, after = request.args.get("queue", ""), read_after()
        if not queue:
            raise BadRequest("Say of which queue: api/tasks?queue=QUEUE.")
        with explained():
            found, following = self._server.tasks(resolve_queue(self._server, queue), after, TASKS)
        return _answer({"tasks": [_task(each) for each in found], "next": following})

    def task(self, task: str) -> Response:
        """One task."""
        with explained():
            return _answer(_task(self._server.task(resolve_task(self._server, task))))

    def attempts(self) -> Response:
        """Attempts in flight and those that ended last."""
        with explained():
            flying, ended = self._server.attempts_in_flight(), self._server.attempts()
        in_flight = [
            {"task": each.task, "number": each.number, "began": iso(each.begun), "fault": _fault(each.fault)}
            for each in flying
        ]
        over = [
            {
                "task": each.task,
                "number": each.number,
                "began": iso(each.began),
                "took_seconds": each.took,
                "status": each.status,
                "result": each.result,
                "next_time": iso(each.next_time),
                "fault": _fault(each.fault),
                "reason": each.reason,
            }
            for each in ended
        ]
        return _answer({"in_flight": in_flight, "ended": over})

    def faults(self) -> Response:
        """The faults that are set."""
        with explained():
            found = self._server.faults()
        return _answer(
            {
                "faults": [
                    {
                        "fault": each.id,
                        "left": each.left,
                        "queue": each.queue or None,
                        "task": each.task or None,
                        **(_fault(each.fault) or {}),
                    }
                    for each in found
                ]
            }
        )

    def clock(self) -> Response:
        """What time it is."""
        with explained():
            clock = self._server.clock()
        return _answer({"now": iso(clock.now), "shift_seconds": clock.shift})

    def unknown(self, unknown: str) -> Response:
        """What is not in the table, or is asked for by the wrong method."""
        for method in ("GET", "POST"):
            if method != request.method and _is_known(method):
                raise MethodNotAllowed([method], f"api/{unknown[:100]} is asked for by {method}.")
        raise NotFound(
            f"There is no api/{unknown[:100]}: GET queues, tasks, attempts, faults, clock; POST pause, "
            "resume, step, fail-next, clock/advance, wait, reset, queues/QUEUE/pause, tasks/TASK/run."
        )

    def problem(self, error: HTTPException) -> Response:
        """An error as JSON, with the headers that go with it."""
        answer = _answer({"error": error.description or error.name}, error.code or 500)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            answer.headers["Allow"] = ", ".join(error.valid_methods)
        return answer


def read_after() -> int:
    """The request's ``after``: the number of the last task of the page before, 0 at the beginning."""
    after = request.args.get("after", "") or "0"
    if not (after.isascii() and after.isdecimal() and len(after) <= _MOST_DIGITS):
        raise BadRequest("after must be the next of the answer before: leave it out to begin.")
    return int(after)


def _is_known(method: str) -> bool:
    """Whether this path with another method is one of the table."""
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None  # there is one while a request is
    try:
        endpoint, _ = adapter.match(method=method)
    except (HTTPException, RequestRedirect):
        return False
    return not endpoint.endswith(".api_unknown")


def _answer(value: dict[str, Any], status: int = 200) -> Response:
    return Response(f"{json.dumps(value, indent=2)}\n", status, mimetype="application/json")


def _queue(queue: QueueSnapshot) -> dict[str, Any]:
    return {
        "name": queue.name,
        "state": "RUNNING" if queue.running else "PAUSED",
        "depth": queue.depth,
        "in_flight": queue.in_flight,
        "next_due": iso(queue.next_due),
        "tombstone_seconds": queue.tombstone,
        "queue": MessageToDict(queue.message),
    }


def _task(task: TaskSnapshot) -> dict[str, Any]:
    return {
        "name": task.name,
        "in_flight": task.in_flight,
        "due": iso(task.due),
        "created": iso(task.created),
        "attempts": task.attempts,
        "last_status": task.previous,
        "unanswered": task.unanswered,
        "task": MessageToDict(task.message),
    }


def _fault(fault: Fault | None) -> dict[str, Any] | None:
    return None if fault is None else {"status": fault.status, "reach": fault.reach}
