"""Delivery over HTTP, with the standard library alone."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import SplitResult, urlsplit

from fantasm_gcp.local.tasks.deliveries import Delivery, Response
from fantasm_gcp.local.tasks.task_config import encode_url

_KEPT_BODY = 4096
_CHUNK = 65_536


class HttpDelivery:
    """Sends deliveries over HTTP or HTTPS, one connection each; follows no redirect.

    ``base_url_for_app_engine`` is where App Engine targets are: one URL for all services, or a URL for each
    service by its name, "default" standing for those without one.

    Calling it answers what the worker answered, with the first 4 KiB of the body, or None when the deadline
    passed. Raises ``OSError`` when there is no answer for another reason: nobody listens, or what came back
    is not HTTP. No token is sent for ``oidc_token`` and ``oauth_token``.
    """

    def __init__(self, base_url_for_app_engine: str | Mapping[str, str]) -> None:
        bases = base_url_for_app_engine
        self._bases = {"default": bases} if isinstance(bases, str) else dict(bases)

    def __call__(self, delivery: Delivery) -> Response | None:
        """Sends one delivery; see the class."""
        expires = time.monotonic() + delivery.deadline
        try:
            return _exchange(urlsplit(self._resolve(delivery)), delivery, expires)
        except TimeoutError:
            return None
        except (http.client.HTTPException, ValueError) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    def _resolve(self, delivery: Delivery) -> str:
        if delivery.service is None:
            return encode_url(delivery.url)
        base = self._bases.get(delivery.service, self._bases.get("default"))
        if base is None:
            raise ConnectionError(f"no URL is known for the App Engine service {delivery.service!r}")
        return base.rstrip("/") + encode_url(delivery.url)


def _exchange(url: SplitResult, delivery: Delivery, expires: float) -> Response:
    with closing(_connect(url, expires)) as connection:
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        # The client library's own defaults are left out: a worker sees the headers of the delivery.
        connection.putrequest(delivery.method, target, skip_accept_encoding=True)
        for name, value in delivery.headers.items():
            connection.putheader(name, value.encode())
        if "Content-Length" not in delivery.headers and delivery.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(delivery.body)))
        connection.putheader("Connection", "close")
        connection.endheaders(delivery.body or None)
        with closing(connection.getresponse()) as response:
            kept = b""
            while chunk := response.read(_CHUNK):
                kept += chunk[: _KEPT_BODY - len(kept)]
            if response.length:
                raise ConnectionError(f"the answer, a {response.status}, was cut short")
            return Response(response.status, dict(response.getheaders()), kept)


def _connect(url: SplitResult, expires: float) -> http.client.HTTPConnection:
    if not url.hostname:
        raise ConnectionError(f"{url.geturl()} has no host")
    timeout = _remaining(expires)
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)
    connection.connect()
    connection.sock = _DeadlineSocket(connection.sock, expires)
    return connection


def _remaining(expires: float) -> float:
    left = expires - time.monotonic()
    if left <= 0:
        raise TimeoutError("the dispatch deadline has passed")
    return left


class _DeadlineSocket:
    """A connected socket whose every operation must end by one moment.

    A socket's own timeout is for each operation by itself, and a worker that answers a byte at a time would
    never meet it.
    """

    def __init__(self, connected: socket.socket, expires: float) -> None:
        self._socket = connected
        self._expires = expires

    def sendall(self, content: Any) -> None:
        self._socket.settimeout(_remaining(self._expires))
        self._socket.sendall(content)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._socket, self._expires))

    def close(self) -> None:
        self._socket.close()


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket, which stays open until this is closed too: so sockets count their files."""

    def __init__(self, connected: socket.socket, expires: float) -> None:
        self._socket = connected
        self._expires = expires
        self._file = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(_remaining(self._expires))
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
