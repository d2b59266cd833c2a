"""An application served over HTTP to the people at this machine."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from fantasm_gcp.local.dev.opening import HOST, OpenError

log = logging.getLogger("fantasm_gcp.local.pages")

_BACKLOG = 128


def bind(port: int) -> socket.socket:
    """A socket that listens at a port of this machine, 0 for a free one; requests wait until it is served.

    Raises :class:`OpenError` when the port is in use or not to be had.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without it the port of a server that has just ended stays taken for a minute.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise OpenError(
                f"port {port} of {HOST} is in use: stop what listens there, or choose another with --port"
            ) from error
        raise OpenError(
            f"port {port} of {HOST} cannot be used ({error.strerror}): choose another with --port"
        ) from error
    return listening


class _Handler(WSGIRequestHandler):
    """Requests are worth a line only when something is wrong: the console asks again every few seconds."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002  # not ours
        level = logging.WARNING if str(code).startswith("5") else logging.DEBUG
        log.log(level, "%s: %s", self.requestline, code)

    def log(self, type: str, message: str, *args: Any) -> None:
        log.log(logging.ERROR if type == "error" else logging.DEBUG, message, *args)


class Pages:
    """Serves a WSGI application at a bound socket, in threads of its own, from now until :meth:`close`."""

    def __init__(self, app: Callable[..., Iterable[bytes]], listening: socket.socket) -> None:
        host, port = listening.getsockname()
        self.url = f"http://{host}:{port}"
        # The socket is ours: left to itself, the server ends the process when a port is taken.
        self._server = make_server(
            host, port, app, threaded=True, request_handler=_Handler, fd=listening.fileno()
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="pages", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Takes no further request. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
