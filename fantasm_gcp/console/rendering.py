"""From templates and values to an answer: the templates' environment, the diagram, the headers.

The templates have an environment of their own, so that an application's templates, filters and settings of
Jinja cannot change these pages, nor these pages them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from flask import Response, current_app, g, request, url_for
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.console import wording
from fantasm_gcp.console.contexts import shown_context
from fantasm_gcp.console.page_tokens import FIELD, keep, masked, new_secret, secret_of
from fantasm_gcp.core.access import NOBODY, Caller, Need, Role
from fantasm_gcp.core.definition import PSEUDO_FINAL, PSEUDO_INIT, PSEUDO_OPERATOR, Machine
from fantasm_gcp.core.moments import iso
from fantasm_gcp.core.records import InstanceStatus
from fantasm_gcp.diagram import StateCounts as DiagramCounts
from fantasm_gcp.diagram import render_svg
from fantasm_gcp.diagram.card import seconds
from fantasm_gcp.diagram.theme import STYLE
from fantasm_gcp.engine.history import StateCounts

LOCAL_PAGES: Final = "FANTASM_LOCAL_PAGES"
"""The application's setting with the URL of the local Cloud Tasks server's own pages; unset elsewhere."""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

STATUSES: Final = (
    InstanceStatus.RUNNING,
    InstanceStatus.PAUSED,
    InstanceStatus.FAILED,
    InstanceStatus.COMPLETED,
    InstanceStatus.CANCELLED,
)
"""In the order of their columns: what may need somebody first."""

_SHOWN_ROLES: Final = (Role.OPERATOR, Role.VIEWER, Role.STARTER)
"""What a page says that its caller is, of several the first."""

HEADERS: Final = {
    # The hash lets the diagram's own style sheet in and nothing else that is inline; unlike a nonce it
    # still holds when a refresh puts a new diagram into a page that is open.
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"style-src 'self' 'sha256-{_STYLE_HASH}'",
            "script-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every page of the console."""


def answer(template: str, status: int, values: Mapping[str, Any]) -> Response:
    """A page as an answer. ``values`` must have every name that the template uses.

    It shows the buttons and forms of what the caller may do. Its forms have a token, for which the browser
    gets a cookie where it has none: see :mod:`fantasm_gcp.console.page_tokens`.
    """
    caller, is_local = current_caller(), values["settings"].is_local
    kept = secret_of(request, is_local=is_local)
    secret = kept or new_secret()
    html = (
        _environment()
        .get_template(template)
        .render(
            values,
            local_pages=current_app.config.get(LOCAL_PAGES, "") if caller.may(Need.LOOK) else "",
            caller=caller,
            caller_is=next((each for each in _SHOWN_ROLES if each in caller.roles), ""),
            may_look=caller.may(Need.LOOK),
            may_start=caller.may(Need.START),
            may_command=caller.may(Need.COMMAND),
            csrf_token=masked(secret),
        )
    )
    made = Response(html, status, HEADERS, mimetype="text/html")
    if kept is None:
        keep(made, secret, is_local=is_local)
    return made


def current_caller() -> Caller:
    """Who makes the current request, as the guard has found; nobody where no guard has looked."""
    caller = g.get("fantasm_caller", NOBODY)
    return caller if isinstance(caller, Caller) else NOBODY


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fantasm_gcp.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        BUILT_IN=BUILT_IN,
        CSRF_FIELD=FIELD,
        GLYPHS=wording.GLYPHS,
        PSEUDO_FINAL=PSEUDO_FINAL,
        PSEUDO_INIT=PSEUDO_INIT,
        PSEUDO_OPERATOR=PSEUDO_OPERATOR,
        STATUSES=STATUSES,
        url_for=url_for,
    )
    environment.filters.update(
        clock=wording.words_of_clock,
        count=wording.words_of_count,
        distance=wording.words_of_distance,
        duration=wording.words_of_duration,
        fold=wording.fold,
        join_behind=lambda record, machine: wording.join_behind(machine, record),
        iso=iso,
        level=wording.words_of_level,
        moment=wording.words_of_moment,
        period=seconds,
        shown=shown_context,
        size=wording.words_of_size,
        standing=wording.standing,
        tone=wording.tone_of_level,
        wait=wording.words_of_wait,
    )
    return environment


def drawn(machine: Machine, counts: Mapping[str, StateCounts]) -> Markup:
    """The machine's diagram with a badge for each count, its states linked to their rows in the table."""
    badges = {
        state: DiagramCounts(in_flight=each.in_flight, failed=each.failed, done=each.done)
        for state, each in counts.items()
    }
    svg = render_svg(machine, badges, link="#state-{}".format)
    return Markup(svg)  # noqa: S704  the diagram escapes every name itself
