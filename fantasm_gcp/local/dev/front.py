"""What the two local servers answer over HTTP: the APIs themselves, and what is for people and tests.

All of it is answered under names of this machine only: under any other a page of somebody's site, whose name
that somebody leads here, could read and write everything (DNS rebinding). gRPC is nothing a page can speak.

The Datastore's port answers as Google's emulators do: ``GET /`` says that it is there, ``POST /reset``
empties it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import grpc
from flask import Blueprint, Flask, Response

from fantasm_gcp.local.datastore import DatastoreServer
from fantasm_gcp.local.datastore.routes import ROUTES as DATASTORE_ROUTES
from fantasm_gcp.local.http import HttpService, Transcoder
from fantasm_gcp.local.http.application import Wsgi
from fantasm_gcp.local.http.statuses import render_refusal
from fantasm_gcp.local.pages import create_datastore_pages, create_tasks_pages
from fantasm_gcp.local.pages.blueprint import DATASTORE_LINKS, TASKS_LINKS
from fantasm_gcp.local.pages.guard import NOT_LOCAL, Guard
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import TasksServer
from fantasm_gcp.local.tasks.configuration.service_map import ServiceMap
from fantasm_gcp.local.tasks.configuration.tokens import Issuer
from fantasm_gcp.local.tasks.dialects.firebase import FIREBASE_ROUTES, firebase_service
from fantasm_gcp.local.tasks.dialects.version_beta3 import beta3_service
from fantasm_gcp.local.tasks.dispatching.certificate_pages import CERTIFICATES, create_certificate_pages
from fantasm_gcp.local.tasks.routes import BUFFER_ROUTES, LOCATION_ROUTES, OPERATION_ROUTES, in_beta3
from fantasm_gcp.local.tasks.routes import ROUTES as TASKS_ROUTES

log = logging.getLogger("fantasm_gcp.local.datastore")

DATASTORE_PAGES = "/datastore"
"""Where the pages of Datastore are, at either port: the root of its own says Ok, as Google's emulators do."""


def build_tasks_front(
    server: TasksServer,
    issuer: Issuer,
    hosts: Collection[str] = (),
    datastore: DatastoreServer | None = None,
    services: Mapping[str, str] | None = None,
) -> Wsgi:
    """The WSGI application at the port of Cloud Tasks: its API, the certificates, pages and controls.

    ``hosts`` are names under which pages and controls answer beside those of this machine. The pages of
    ``datastore``, the server that runs beside this one, are here too. ``services`` is where firebase-admin's
    functions are.
    """
    app = Flask("fantasm_gcp.local")
    app.register_blueprint(create_certificate_pages(issuer))
    beside = {} if datastore is None else DATASTORE_LINKS
    app.register_blueprint(create_tasks_pages(server, CERTIFICATES, hosts=hosts, beside=beside))
    if datastore is not None:
        pages = create_datastore_pages(datastore, hosts=hosts, beside=TASKS_LINKS)
        app.register_blueprint(pages, url_prefix=DATASTORE_PAGES)
    functions = None if services is None else ServiceMap(services)
    served = [
        HttpService(server.service, TASKS_ROUTES),
        HttpService(beta3_service(server.service, server), in_beta3(TASKS_ROUTES)),
        HttpService(server.buffering, (*BUFFER_ROUTES, *in_beta3(BUFFER_ROUTES))),
        HttpService(server.locations, (*LOCATION_ROUTES, *in_beta3(LOCATION_ROUTES))),
        HttpService(server.operations, (*OPERATION_ROUTES, *in_beta3(OPERATION_ROUTES))),
        HttpService(firebase_service(server.service, functions), FIREBASE_ROUTES),
    ]
    return _Named(Transcoder(served, app), hosts)


def build_datastore_front(server: DatastoreServer, hosts: Collection[str] = ()) -> Wsgi:
    """The WSGI application at the port of Datastore: its API, pages, and what Google's emulators have."""
    app = Flask("fantasm_gcp.local")
    app.register_blueprint(_datastore_pages(server, hosts))
    app.register_blueprint(create_datastore_pages(server, hosts=hosts), url_prefix=DATASTORE_PAGES)
    return _Named(Transcoder([HttpService(server.service, DATASTORE_ROUTES)], app), hosts)


class _Named:
    """Leaves requests under allowed names to the application, and refuses all others."""

    def __init__(self, app: Wsgi, hosts: Collection[str]) -> None:
        self._app = app
        self._guard = Guard(hosts)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._guard.allows(environ.get("HTTP_HOST", "")):
            return self._app(environ, start_response)
        body = render_refusal(RpcError(grpc.StatusCode.PERMISSION_DENIED, NOT_LOCAL), as_protobuf=False)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("403 Forbidden", headers)
        return [body]


def _datastore_pages(server: DatastoreServer, hosts: Collection[str]) -> Blueprint:
    pages = Blueprint("local_datastore", __name__)
    pages.before_request(Guard(hosts).check)

    @pages.get("/")
    def say_ok() -> Response:
        return Response("Ok\n", mimetype="text/plain")

    @pages.post("/reset")
    def reset() -> Response:
        try:
            server.reset()
        except sqlite3.Error as error:
            problem = f"the local Datastore's file failed: {error}"
            log.error(problem)
            return Response(f"{problem}\n", 500, mimetype="text/plain")
        return Response("Ok\n", mimetype="text/plain")

    return pages
