"""Every path of the pages and of the JSON API, guarded, in one blueprint."""

from __future__ import annotations

from collections.abc import Collection

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from fantasm_gcp.local.pages.actions import ACTIONS
from fantasm_gcp.local.pages.api import Api
from fantasm_gcp.local.pages.guard import Guard
from fantasm_gcp.local.pages.rendering import HEADERS
from fantasm_gcp.local.pages.views import Views
from fantasm_gcp.local.tasks import TasksServer

_LEAST_ERROR = 400  # below it are redirects
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_tasks_pages(
    server: TasksServer,
    certificates_url: str | None = None,
    *,
    hosts: Collection[str] = (),
    name: str = "local_tasks",
) -> Blueprint:
    """A blueprint that shows and controls a server, to be registered at ``/`` or at any prefix.

    It answers under the names and addresses of loopback, and under ``hosts``, whose names have no port.
    ``certificates_url``, where receivers of tokens find the certificates, is linked when given. Pages link
    to each other by the blueprint's endpoints, so two of different ``name`` can live in one application.
    """
    made = Blueprint(name, "fantasm_gcp.local.pages", static_folder="static", static_url_path="/assets")
    made.before_request(Guard(hosts).check)
    made.after_request(_add_headers)
    views, api = Views(server, certificates_url), Api(server)
    for path, endpoint, view in (
        ("/", "home", views.home),
        ("/attempts", "attempts", views.attempts),
        ("/queues/<path:queue>", "queue", views.queue),
        ("/tasks/<path:task>", "task", views.task),
        ("/bodies/<path:task>", "body", views.body),
        ("/api/queues", "api_queues", api.queues),
        ("/api/queues/<path:queue>", "api_queue", api.queue),
        ("/api/tasks", "api_tasks", api.tasks),
        ("/api/tasks/<path:task>", "api_task", api.task),
        ("/api/attempts", "api_attempts", api.attempts),
        ("/api/faults", "api_faults", api.faults),
        ("/api/clock", "api_clock", api.clock),
    ):
        made.add_url_rule(path, endpoint, view, methods=["GET"], strict_slashes=False)
    for action in ACTIONS:
        word = action.endpoint
        made.add_url_rule(f"/do{action.path}", f"do_{word}", views.acting(action), methods=["POST"])
        made.add_url_rule(f"/api{action.path}", f"api_do_{word}", api.acting(action), methods=["POST"])
    made.add_url_rule("/api/<path:unknown>", "api_unknown", api.unknown, methods=METHODS)

    def answer_error(error: HTTPException) -> Response | HTTPException:
        if error.code is None or error.code < _LEAST_ERROR:
            return error
        is_api = (request.endpoint or "").rpartition(".")[2].startswith("api_")
        return api.problem(error) if is_api else views.problem(error)

    made.register_error_handler(HTTPException, answer_error)
    return made


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
