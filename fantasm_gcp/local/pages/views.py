"""The pages: the server, one queue, one task, the last attempts; and what its forms lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, redirect, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from fantasm_gcp.local.pages.actions import Action, explained
from fantasm_gcp.local.pages.api import read_after
from fantasm_gcp.local.pages.arguments import read_form
from fantasm_gcp.local.pages.frame import Frame
from fantasm_gcp.local.pages.names import resolve_queue, resolve_task
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.local.tasks.looking import TaskSnapshot

QUEUES, TASKS, ATTEMPTS = 100, 50, 20
"""Rows of a page: queues, tasks of a queue, attempts beside other things."""

REFRESH = 2000
"""Milliseconds between two refreshes of a page that is looked at."""

NOTICES = {
    "advance": "The clock was moved ahead.",
    "busy": "It is not idle: something is still in flight or due.",
    "cancel_fault": "The fault was taken back.",
    "cancel_faults": "All faults were taken back.",
    "drop_task": "The task was deleted; its name stays taken.",
    "fail_next": "The next attempts that match will fail.",
    "idle": "It is idle: nothing is in flight and nothing due.",
    "nothing": "There was no task that could be tried.",
    "pause_all": "All queues are paused.",
    "pause_queue": "The queue is paused.",
    "purge_queue": "The tasks of the queue were deleted.",
    "reset": "Everything was forgotten.",
    "resume_all": "All queues run.",
    "resume_queue": "The queue runs.",
    "run_task": "Delivery has begun.",
    "step": "One attempt has begun, at the task first due.",
}
"""What a page says was done. The address names it, so it can be none but these."""

_WORDS_OF_FORMS = ("back", "at")


class Views:
    """The views of the pages."""

    def __init__(self, server: TasksServer, certificates_url: str | None, frame: Frame) -> None:
        self._server = server
        self._certificates_url = certificates_url
        self._frame = frame

    def home(self) -> Response:
        """Clock, queues, faults, attempts, and what can be done about all of them."""
        after = request.args.get("after", "")
        with explained():
            queues = self._server.queues(after, QUEUES + 1)
            return self._page(
                "home.html",
                queues=queues[:QUEUES],
                next=queues[QUEUES - 1].name if len(queues) > QUEUES else None,
                after=after,
                faults=self._server.faults(),
                flying=self._server.attempts_in_flight()[:ATTEMPTS],
                in_flight=self._server.in_flight(),
                attempts=self._server.attempts()[:ATTEMPTS],
                certificates_url=self._certificates_url,
            )

    def attempts(self) -> Response:
        """All attempts that are remembered."""
        with explained():
            return self._page("attempts.html", attempts=self._server.attempts())

    def queue(self, queue: str) -> Response:
        """A queue and its tasks, page by page."""
        after = read_after()
        with explained():
            name = resolve_queue(self._server, queue)
            found = self._server.queue(name)
            tasks, following = self._server.tasks(name, after, TASKS)
            return self._page("queue.html", queue=found, tasks=tasks, next=following, after=after)

    def task(self, task: str) -> Response:
        """A task with headers, body and its last attempts; of one that is over, what is remembered."""
        with explained():
            name = resolve_task(self._server, task)
            attempts = [each for each in self._server.attempts() if each.task == name]
            found: TaskSnapshot | None = None
            try:
                found = self._server.task(name)
            except RpcError:
                if not attempts:
                    raise
            queue = name.rpartition("/tasks/")[0]
            return self._page("task.html", task=found, name=name, attempts=attempts, queue=queue)

    def body(self, task: str) -> Response:
        """The whole body of a task, as a file: never as something that a browser would show."""
        with explained():
            message = self._server.task(resolve_task(self._server, task)).message
        content: bytes = getattr(message, message.WhichOneof("message_type")).body
        answer = Response(content, mimetype="application/octet-stream")
        answer.headers["Content-Disposition"] = "attachment; filename=body.bin"
        return answer

    def acting(self, action: Action) -> Callable[..., AnyResponse]:
        """The view that does a deed of a form and leads to the page that ``back`` names."""

        def act(**path: str) -> AnyResponse:
            arguments = read_form((*action.fields, *_WORDS_OF_FORMS))
            answer = action(self._server, path, arguments)
            done = action.endpoint
            if done == "wait":
                done = "idle" if answer["idle"] else "busy"
            elif done == "step" and answer["task"] is None:
                done = "nothing"
            return redirect(_back(arguments.text("back"), arguments.text("at"), done), 303)

        return act

    def problem(self, error: HTTPException) -> Response:
        """An error as a page."""
        return self._frame.problem(error)

    def _page(self, template: str, **values: Any) -> Response:
        notice = NOTICES.get(request.args.get("done", ""), "")
        return self._frame.render(
            template, clock=self._server.clock(), refresh=REFRESH, notice=notice, **values
        )


def _back(page: str | None, at: str | None, done: str) -> str:
    """A page of this blueprint: nothing that a form says can lead anywhere else."""
    if page == "queue" and at:
        return url_for(".queue", queue=at, done=done)
    if page == "task" and at:
        return url_for(".task", task=at, done=done)
    return url_for(".home", done=done)
