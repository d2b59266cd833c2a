"""Every path of the pages and of the JSON API, guarded: a blueprint for Cloud Tasks, one for Datastore."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.pages.actions import ACTIONS
from fantasm_gcp.local.pages.api import Api
from fantasm_gcp.local.pages.entity_reading import EntityReader
from fantasm_gcp.local.pages.entity_views import EntityViews
from fantasm_gcp.local.pages.frame import Frame
from fantasm_gcp.local.pages.guard import Guard
from fantasm_gcp.local.pages.rendering import HEADERS
from fantasm_gcp.local.pages.views import Views
from fantasm_gcp.local.tasks import TasksServer

_LEAST_ERROR = 400  # below it are redirects
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

TASKS_PAGES, DATASTORE_PAGES = "local_tasks", "local_entities"
"""The names of the blueprints."""

TASKS_LINKS = {"Queues": f"{TASKS_PAGES}.home", "Attempts": f"{TASKS_PAGES}.attempts"}
DATASTORE_LINKS = {"Datastore": f"{DATASTORE_PAGES}.kinds"}
"""Words and endpoints for the pages beside these."""


def create_tasks_pages(
    server: TasksServer,
    certificates_url: str | None = None,
    *,
    hosts: Collection[str] = (),
    name: str = TASKS_PAGES,
    beside: Mapping[str, str] | None = None,
) -> Blueprint:
    """A blueprint that shows and controls a server, to be registered at ``/`` or at any prefix.

    It answers under the names and addresses of loopback, and under ``hosts``, whose names have no port.
    ``certificates_url``, where receivers of tokens find the certificates, is linked when given. Pages link
    to each other by the blueprint's endpoints, so two of different ``name`` can live in one application.
    ``beside`` leads from words to endpoints of the application that are linked on every page.
    """
    made = _guarded(name, hosts)
    links = {"Queues": ".home", "Attempts": ".attempts", **(beside or {})}
    views, api = Views(server, certificates_url, Frame("Local Cloud Tasks", ".home", links)), Api(server)
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


def create_datastore_pages(
    server: DatastoreServer,
    *,
    hosts: Collection[str] = (),
    name: str = DATASTORE_PAGES,
    beside: Mapping[str, str] | None = None,
) -> Blueprint:
    """A blueprint that shows what a Datastore holds, as :func:`create_tasks_pages` does; it only reads."""
    made = _guarded(name, hosts)
    reader = EntityReader(server.service, server.databases)
    links = {**(beside or {}), "Datastore": ".kinds"}
    views = EntityViews(reader, Frame("Local Datastore", ".kinds", links))
    for path, endpoint, view in (
        ("/", "kinds", views.kinds),
        ("/query", "query", views.query),
        ("/entity", "entity", views.entity),
    ):
        made.add_url_rule(path, endpoint, view, methods=["GET"], strict_slashes=False)
    made.register_error_handler(HTTPException, views.answer_error)
    return made


def _guarded(name: str, hosts: Collection[str]) -> Blueprint:
    """A blueprint without paths yet, for those who may ask."""
    made = Blueprint(name, "fantasm_gcp.local.pages", static_folder="static", static_url_path="/assets")
    made.before_request(Guard(hosts).check)
    made.after_request(_add_headers)
    return made


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
