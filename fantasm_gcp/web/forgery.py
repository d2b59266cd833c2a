"""Protection against requests that a page of another site has a browser send in its user's name.

Only callers whose proof a browser attaches by itself can be misused so (``Caller.ambient``). Three things are
asked of such a request: what the browser says of where it comes from (``Sec-Fetch-Site``, which no page can
set; else ``Origin`` and ``Referer``), and for a change a proof that it is from a page of the console.

That proof is a double submit: the form repeats what the cookie has (:mod:`fantasm_gcp.console.page_tokens`).
It needs no secret that instances share and nothing that the server remembers, and it is enough: another site
can have the cookie sent, but not read it, and to set one of its own it would have to be this very host,
because the cookie's name begins with ``__Host-``. Not even a subdomain can plant that one.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final
from urllib.parse import urlsplit

from flask import Request
from werkzeug.exceptions import Forbidden

from fantasm_gcp.console.page_tokens import FIELD, HEADER, is_masked_form, secret_of
from fantasm_gcp.core.access import Caller
from fantasm_gcp.web.arguments import BODY_LIMIT

FROM_ELSEWHERE: Final = "this request was made by a page of another site; open the address itself to make it."
AHEAD: Final = "a browser asked for this ahead, before anybody wanted it: nothing was started."
NOT_OURS: Final = (
    "this request does not show that it is from a page of the console, or that page is too old: "
    "load the page again and repeat it. A program sends application/json."
)

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_ACTING: Final = ("start", "step", "sweep")
"""Endpoints whose GET changes something."""

_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""What a form of any site can send; very old browsers do so without saying where it is."""

_FRAMES: Final = ("iframe", "frame", "embed", "object", "fencedframe")
_AHEAD: Final = ("prefetch", "prerender", "preview")


class Source(Enum):
    """Where a request comes from."""

    OWN = auto()
    """A page of this host, or a person: an address typed, a bookmark."""
    PROGRAM = auto()
    """No browser."""
    ELSEWHERE = auto()
    UNKNOWN = auto()
    """An old browser, as it seems, that does not say."""


def check(request: Request, caller: Caller, *, is_local: bool = False) -> None:
    """Raises ``Forbidden`` for a request that a page of another site may have had a browser send.

    For callers who are ``ambient``; others are let through. A link that is followed to a page that changes
    nothing is no such request. Of a GET that starts a machine,
    :func:`~fantasm_gcp.web.confirming.wants_confirmation` is to be asked before: what can be confirmed is
    refused here, too. ``is_local`` tells which cookie there is.
    """
    if not caller.ambient:
        return
    source = source_of(request)
    if request.method in _SAFE and not _is_acting(request):
        if source is Source.ELSEWHERE and "Sec-Fetch-Site" in request.headers and not is_navigation(request):
            raise Forbidden(FROM_ELSEWHERE)
        return
    if source is Source.ELSEWHERE:
        raise Forbidden(FROM_ELSEWHERE)
    if request.method in _SAFE:
        if is_ahead(request):
            raise Forbidden(AHEAD)
        if source is Source.UNKNOWN and secret_of(request, is_local=is_local) is None:
            raise Forbidden(FROM_ELSEWHERE)
        return
    is_program = source is Source.PROGRAM and (is_local or request.mimetype not in _FORMS)
    if not is_program and not request.is_json and not _has_token(request, is_local):
        raise Forbidden(NOT_OURS)


def source_of(request: Request) -> Source:
    """Where a request comes from, as far as its headers tell.

    The scheme is not compared: in front of the application there may be a server that ends the encryption.
    """
    headers = request.headers
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return Source.OWN if site in ("same-origin", "none") else Source.ELSEWHERE
    for name in ("Origin", "Referer"):
        if name in headers:
            return Source.OWN if _is_own(headers[name], request.host) else Source.ELSEWHERE
    if "Cookie" in headers or any(name.lower().startswith("sec-fetch-") for name, _ in headers):
        return Source.UNKNOWN
    return Source.PROGRAM


def is_navigation(request: Request) -> bool:
    """Whether a person follows a link, and not a page loads something into itself."""
    headers = request.headers
    is_framed = headers.get("Sec-Fetch-Dest") in _FRAMES
    return request.method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate" and not is_framed


def is_ahead(request: Request) -> bool:
    """Whether a browser or a preview asks for something that nobody has asked for yet."""
    said = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"))
    return any(word in value.lower() for value in said for word in _AHEAD)


def _is_acting(request: Request) -> bool:
    return (request.endpoint or "").rpartition(".")[2] in _ACTING


def _is_own(address: str, host: str) -> bool:
    try:
        return urlsplit(address).netloc.lower() == host.lower()
    except ValueError:  # a bracket that is not closed, say
        return False


def _has_token(request: Request, is_local: bool) -> bool:
    """Whether a request repeats what its cookie has, in its header or in its form."""
    secret = secret_of(request, is_local=is_local)
    if secret is None:
        return False
    given = request.headers.get(HEADER)
    if given is None:
        # What reads the form reads all of it: no less than the longest form that any path takes.
        request.max_content_length = request.max_form_memory_size = BODY_LIMIT
        request.max_form_parts = None
        given = request.form.get(FIELD, "")
    return is_masked_form(given, secret)
