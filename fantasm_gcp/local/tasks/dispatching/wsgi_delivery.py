"""Delivery to a WSGI application in this process: no socket, and no thread but the caller's."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from fantasm_gcp.local.tasks.configuration.request_rules import encode_url
from fantasm_gcp.local.tasks.configuration.tokens import Issuer
from fantasm_gcp.local.tasks.scheduling.deliveries import Delivery, Response

WsgiApp: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

logger = logging.getLogger("fantasm_gcp.local.tasks")

_APP_ENGINE_SENDER = "0.1.0.2"  # the address from which App Engine sends tasks
_LOOPBACK = "127.0.0.1"
_PORTS = {"http": 80, "https": 443}


class WsgiDelivery:
    """Sends every delivery, App Engine or HTTP, to one WSGI application.

    Calling it answers what the application answered; an ``Exception`` from the application is logged and
    answered as 500, as a WSGI server does. A ``BaseException`` beyond that reaches the caller: a test ends a
    process that way. The deadline is not enforced: nothing can end a call in the caller's own thread.
    ``issuer`` signs the tokens of tasks; without one, tokens are signed with a key that nobody else knows.
    """

    def __init__(self, app: WsgiApp, issuer: Issuer | None = None) -> None:
        self._app = app
        self._issuer = issuer or Issuer()

    def __call__(self, delivery: Delivery) -> Response:
        """Calls the application once; see the class."""
        if delivery.token is not None:
            delivery = replace(delivery, headers=self._issuer.authorize(delivery.headers, delivery.token))
        try:
            return _call(self._app, build_environ(delivery))
        except Exception:
            logger.exception("the application failed at %s", delivery.task)
            return Response(500)


def build_environ(delivery: Delivery) -> dict[str, Any]:
    """The WSGI environ (PEP 3333) of a delivery."""
    app_engine = delivery.service is not None
    base = f"http://{delivery.host or 'localhost'}" if app_engine else ""
    url = urlsplit(base + encode_url(delivery.url))
    environ: dict[str, Any] = {
        "REQUEST_METHOD": delivery.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(url.path or "/").decode("latin-1"),
        "QUERY_STRING": url.query,
        "REQUEST_URI": (url.path or "/") + (f"?{url.query}" if url.query else ""),
        "SERVER_NAME": url.hostname or "",
        "SERVER_PORT": str(url.port or _PORTS[url.scheme]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": _APP_ENGINE_SENDER if app_engine else _LOOPBACK,
        "HTTP_HOST": url.netloc.rpartition("@")[2],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(delivery.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in delivery.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value.encode().decode(
            "latin-1"
        )
    if delivery.body or delivery.method in ("POST", "PUT", "PATCH"):
        environ["CONTENT_LENGTH"] = str(len(delivery.body))
    return environ


def _call(app: WsgiApp, environ: dict[str, Any]) -> Response:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        if exc_info is not None:
            started.clear()
        elif started:
            raise AssertionError("start_response was called twice")
        started.append((status, headers))
        return written.append

    chunks = app(environ, start_response)
    try:
        # The iteration may be what calls start_response, so it comes before anything is read off it.
        body = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    if not started:
        raise AssertionError("start_response was not called")
    status, headers = started[0]
    return Response(int(status.split(" ", 1)[0]), dict(headers), b"".join(written) + body)
