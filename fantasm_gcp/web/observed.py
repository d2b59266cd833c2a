"""Has what is logged and started within a request know the request: its place in a trace, its path."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, g, request
from flask.logging import default_handler

from fantasm_gcp.observing.logs import set_up
from fantasm_gcp.observing.scope import enter, leave, of_request
from fantasm_gcp.settings import Settings


def observe(app: Flask, settings: Settings, project: Callable[[], str]) -> None:
    """Sets logging up as the settings say, and gives every request of the application, ours or not, a scope.

    ``project`` is asked for the project's id when the first line needs it, by whoever writes that: it must
    not wait for anything during which something is logged.
    """
    if set_up(settings, project):
        # Flask's own handler, for who logged before there was another, would write every line once more.
        app.logger.removeHandler(default_handler)
    if _enter not in app.before_request_funcs.get(None, ()):  # an extension may take the place of another
        app.before_request(_enter)
        app.teardown_request(_leave)


def _enter() -> None:
    scope = of_request(request.method, request.path, request.headers)
    g.setdefault("fantasm_scopes", []).append(enter(scope))  # a request within a request may share g


def _leave(_: BaseException | None) -> None:
    tokens = g.get("fantasm_scopes")  # there are none where something answered before us
    if tokens:
        leave(tokens.pop())
