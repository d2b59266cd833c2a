"""Delivery over HTTP, with the standard library alone."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from fantasm_gcp.local.tasks.configuration.request_rules import WITH_BODY, encode_url
from fantasm_gcp.local.tasks.configuration.service_map import ServiceMap
from fantasm_gcp.local.tasks.configuration.tokens import Issuer
from fantasm_gcp.local.tasks.dispatching.sockets import DeadlineSocket, TooLongError, connect, remaining
from fantasm_gcp.local.tasks.scheduling.deliveries import Delivery, Response

MAX_ANSWER: Final = 32 * 1024 * 1024
"""Bytes of an answer, its head included, that are read: as many as App Engine lets a service answer."""

_KEPT_BODY = 4096
_CHUNK = 65_536
_PORTS = {"http": 80, "https": 443}
_EARLY_HINTS, _FIRST_FINAL = 102, 200


class HttpDelivery:
    """Sends deliveries over HTTP or HTTPS, one connection each; follows no redirect.

    ``base_url_for_app_engine`` is where App Engine targets are: one URL for all services, or a URL for each,
    as :class:`ServiceMap` has it. ``issuer`` signs the tokens of tasks; without one, they are signed with a
    key that nobody else knows. ``context`` is for HTTPS, by default the one of the standard library, which
    verifies certificates.

    Calling it answers what the worker answered, with the first 4 KiB of the body, or None when the deadline
    passed. Raises ``OSError`` when there is no answer for another reason: nobody listens, the certificate is
    bad, or what came back is not HTTP. Interim answers (1xx) are passed over. Looking up a host's name is the
    one thing that the deadline does not end: the system's own limits do. Safe for many threads.
    """

    def __init__(
        self,
        base_url_for_app_engine: str | Mapping[str, str] | ServiceMap,
        issuer: Issuer | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Raises ``ValueError`` for a service or a URL that can be none."""
        bases = base_url_for_app_engine
        self._services = bases if isinstance(bases, ServiceMap) else ServiceMap(bases)
        self._issuer = issuer or Issuer()
        self._context = context

    def __call__(self, delivery: Delivery) -> Response | None:
        """Sends one delivery; see the class."""
        expires = time.monotonic() + delivery.deadline
        try:
            url = urlsplit(self._resolve(delivery))
            headers = self._issuer.authorize(delivery.headers, delivery.token)
            with closing(self._connect(url, expires)) as connected:
                return _exchange(connected, url, delivery, headers)
        except TimeoutError:
            return None
        except (http.client.HTTPException, ValueError) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    def _resolve(self, delivery: Delivery) -> str:
        url = encode_url(delivery.url)
        if delivery.service is None:
            return url
        return self._services.find(delivery.service, delivery.version, delivery.instance) + url

    def _connect(self, url: SplitResult, expires: float) -> DeadlineSocket:
        if not url.hostname:
            raise ConnectionError(f"{url.geturl()} has no host")
        port = url.port or _PORTS[url.scheme]
        try:
            connected = connect(url.hostname, port, expires)
        except TimeoutError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConnectionError(f"nobody answers at {url.hostname}:{port}: {reason}") from error
        if url.scheme == "https":
            if self._context is None:
                self._context = ssl.create_default_context()
            try:
                connected.settimeout(remaining(expires))
                connected = self._context.wrap_socket(connected, server_hostname=url.hostname)
            except BaseException:
                connected.close()
                raise
        return DeadlineSocket(connected, expires, MAX_ANSWER)


def _exchange(
    connected: DeadlineSocket, url: SplitResult, delivery: Delivery, headers: Mapping[str, str]
) -> Response:
    port = _PORTS[url.scheme]
    connection = http.client.HTTPConnection(url.hostname or "", url.port or port)
    connection.default_port = port  # the one that the header Host leaves out
    connection.sock = connected
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    # The client library's own defaults are left out: a worker sees the headers of the delivery.
    connection.putrequest(delivery.method, target, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value.encode())
    if "Content-Length" not in headers and delivery.method in WITH_BODY:
        connection.putheader("Content-Length", str(len(delivery.body)))
    connection.putheader("Connection", "close")
    with suppress(BrokenPipeError, ConnectionResetError):
        # Who has answered may hang up before the body is through: what he said is still to be read.
        connection.endheaders(delivery.body or None)
    response = _final_response(connected, delivery.method)
    kept = _read_body(response)
    return Response(response.status, dict(response.getheaders()), kept)


def _final_response(connected: DeadlineSocket, method: str) -> http.client.HTTPResponse:
    """The head of the answer; those of interim answers, which nobody asked for, are read and dropped.

    Raises ``ConnectionError`` when the worker hangs up within a head: the library takes what there is for the
    whole, and a worker that was killed while it answered 200 would have succeeded.
    """
    while True:
        response = http.client.HTTPResponse(connected, method=method)  # type: ignore[arg-type]  # it calls makefile alone
        response.begin()
        if connected.ended:
            raise ConnectionError(f"the head of the answer, a {response.status}, was cut short")
        if not _EARLY_HINTS <= response.status < _FIRST_FINAL:
            return response


def _read_body(response: http.client.HTTPResponse) -> bytes:
    """The beginning of the body; the rest is read, so that the worker can finish, and dropped.

    Raises ``ConnectionError`` when the worker hangs up before its end. One who says more than ``MAX_ANSWER``
    is not listened to any longer, and has answered.
    """
    kept = b""
    with suppress(TooLongError):
        while chunk := response.read(_CHUNK):
            kept += chunk[: _KEPT_BODY - len(kept)]
        if response.length:
            raise ConnectionError(f"the answer, a {response.status}, was cut short")
    return kept
