"""Starts that a person has to confirm: a GET that came from another site, or ahead of any wish.

Such a start is answered with a page that tells what it would start, and has a button. The button posts to the
same address, so that the arguments are the same to the byte; it needs no JavaScript.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from flask import Request, redirect, url_for
from werkzeug.wrappers import Response

from fantasm_gcp.console.rendering import answer
from fantasm_gcp.console.views import Served
from fantasm_gcp.core.access import Caller, Need
from fantasm_gcp.web.arguments import METHOD_ARGUMENT
from fantasm_gcp.web.forgery import Source, is_ahead, is_navigation, source_of
from fantasm_gcp.web.start_tokens import TOKEN_ARGUMENT, StartGrant, token_of

SHOWN: Final = 50
"""Arguments that are listed."""
SHOWN_CHARACTERS: Final = 200
"""Characters of an argument's value that are shown, and of its name. What is started has all of them."""

_IN_QUERY: Final = "!$%&'()*+,/:;=?@[]~|{}^`\\"
"""What stays in a query as it is; what ends an address or an attribute does not."""


def wants_confirmation(request: Request, caller: Caller) -> bool:
    """Whether a request is a start that :func:`confirmation_page` is to answer instead of carrying it out.

    That is a start by GET, of a caller whose proof the browser attaches by itself, that comes from another
    site by a link or that the browser made ahead; and any with a start token, because such links are sent
    about, and what receives them opens them to look. A program posts, or asks for ``application/json``.
    """
    if request.method != "GET" or (request.endpoint or "").rpartition(".")[2] != "start":
        return False
    if token_of(request) is not None:
        return "application/json" not in request.headers.get("Accept", "").lower() or is_ahead(request)
    if not caller.ambient:
        return False
    source = source_of(request)
    if source is Source.ELSEWHERE:  # what is no navigation, forgery.check refuses
        return is_navigation(request) or ("Sec-Fetch-Site" not in request.headers and _takes_html(request))
    return is_ahead(request) or (source is not Source.OWN and _takes_html(request))


def confirmation_page(served: Served, request: Request, grant: StartGrant | None = None) -> Response:
    """The page that asks for a start. ``grant`` is what the request's token grants.

    Raises ``UnknownMachineError``.
    """
    machine = served.definitions.machine((request.view_args or {})["machine"]).name
    given = list(_of_grant(grant) if grant else _of_query(request))
    shown = [(_cut(name), _cut(value)) for name, value in given[:SHOWN]]
    query = quote(request.query_string, safe=_IN_QUERY)
    # A start by GET has tasks by GET, and so has the one that is posted in its place.
    keeps_method = grant is None and METHOD_ARGUMENT not in request.args
    values = {
        "settings": served.settings,
        "refresh": 0,
        "endpoint": request.endpoint,
        "machine": machine,
        "arguments": shown,
        "more": len(given) - len(shown),
        "action": url_for(".start", machine=machine) + (f"?{query}" if query else ""),
        "method": request.method if keeps_method else "",
    }
    return answer("confirm.html", 200, values)


def wants_page(request: Request) -> bool:
    """Whether who started a machine is a person who has sent a form, and not a program."""
    kinds = ("application/json", "text/html")
    return request.method == "POST" and request.accept_mimetypes.best_match(kinds) == "text/html"


def started_page(served: Served, request: Request, caller: Caller, started: Mapping[str, Any]) -> Response:
    """Where a person goes after a start: to the instance's page, or to a page that tells its id.

    ``started`` is what a program would be answered. It has no ``console_url`` where nothing is kept; and who
    may not look at instances could not open one.
    """
    if caller.may(Need.LOOK) and "console_url" in started:
        return redirect(started["console_url"], 303)
    values = {"settings": served.settings, "refresh": 0, "endpoint": request.endpoint, "started": started}
    return answer("started.html", 200, values)


def _takes_html(request: Request) -> bool:
    """Whether HTML is asked for by its name: programs take whatever comes."""
    return "text/html" in request.headers.get("Accept", "").lower()


def _of_query(request: Request) -> Iterator[tuple[str, str]]:
    for name, value in request.args.items(multi=True):
        if name != TOKEN_ARGUMENT:
            yield name, value


def _of_grant(grant: StartGrant) -> Iterator[tuple[str, str]]:
    for name, value in grant.context.items():
        yield name, value if isinstance(value, str) else repr(value)


def _cut(text: str) -> str:
    """The beginning of a text, as UTF-8 can carry it."""
    cut = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text):,} characters)"
    return cut.encode("utf-8", "backslashreplace").decode()
