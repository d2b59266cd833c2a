"""Who may call what. Outside local mode nobody may, until callers can prove themselves."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flask import Request
from werkzeug.exceptions import Forbidden

from fantasm_gcp.settings import Settings

CLOSED = (
    "fantasm_gcp is closed: this version serves its paths in local mode only. "
    "Run `fantasm dev`, or set FANTASM_MODE=local on a machine of your own."
)
NOT_LOOPBACK = (
    "fantasm_gcp runs in local mode, which answers this machine only: "
    "open it as http://127.0.0.1 or http://localhost."
)
_SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods by which a browser changes nothing."""

FROM_ELSEWHERE = "this request was made by a page of another site; open the address itself to make it."

APP_ENGINE_SENDER = "0.1.0.2"
"""Where App Engine's tasks come from; no network has such an address, only a delivery inside the process."""


def check(request: Request, settings: Settings) -> None:
    """Raises ``Forbidden`` for a caller who has no business here, saying what to configure.

    In local mode a request has to name this machine as its host, so that a page of another site cannot
    reach it under a name of its own, and must not come from such a page: neither by what browsers say of it
    nor, where something is to be changed, by its origin.
    """
    if not settings.is_local:
        raise Forbidden(CLOSED)
    if request.remote_addr == APP_ENGINE_SENDER:
        return
    host = urlsplit(f"//{request.host}").hostname or ""
    if not (host == "localhost" or _is_loopback(host)) or not _is_loopback(
        request.remote_addr or "127.0.0.1"
    ):
        raise Forbidden(NOT_LOOPBACK)
    if request.headers.get("Sec-Fetch-Site", "none") in ("cross-site", "same-site") and not _is_navigation(
        request
    ):
        raise Forbidden(FROM_ELSEWHERE)
    if request.method not in _SAFE and not _is_own(request):
        raise Forbidden(FROM_ELSEWHERE)


def _is_own(request: Request) -> bool:
    """Whether a request comes from a page of this host, or from no page: programs name no origin.

    The scheme is not compared: in front of the application there may be a server that ends the encryption.
    """
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_navigation(request: Request) -> bool:
    """Whether a person follows a link to a page that changes nothing; sending a form is no such thing."""
    is_link = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method in _SAFE
    return is_link and "/fsm/" not in request.path
