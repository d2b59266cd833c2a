"""What is answered: values as JSON, errors as statuses, never a traceback.

For a push queue the status is the retry decision: 2xx is done, 500 is "again". 503 and 429 are never
answered to Cloud Tasks, because they slow the whole queue down.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue
from markupsafe import escape
from werkzeug.exceptions import HTTPException, default_exceptions

from fantasm_gcp.console.rendering import HEADERS
from fantasm_gcp.errors import (
    CommandError,
    ContextTooLargeError,
    FantasmError,
    NotThereError,
    StartError,
    UnknownMachineError,
    UnverifiedError,
)

log = logging.getLogger("fantasm_gcp.web")

_STATUSES: tuple[tuple[type[FantasmError], int], ...] = (
    (UnknownMachineError, 404),
    (ContextTooLargeError, 413),
    (StartError, 400),
    (NotThereError, 404),
    (CommandError, 409),
)


def as_json(view: Callable[..., Any]) -> Callable[..., Response]:
    """A view that answers what another returns, as JSON in the order in which that has it."""

    def answer(**arguments: str) -> Response:
        return Response(json.dumps(view(**arguments)), mimetype="application/json")

    return answer


def register_error_answers(blueprint: Blueprint) -> None:
    """Has every error under the blueprint answered as JSON."""
    blueprint.register_error_handler(FantasmError, _answer_own)
    blueprint.register_error_handler(HTTPException, _answer_http)
    # By its status, too: else the application's own page for it, with a status of its own, would be found
    # first, and Cloud Tasks be told that a refused step is done.
    for status in default_exceptions:
        blueprint.register_error_handler(status, _answer_http)
    blueprint.register_error_handler(Exception, _answer_other)


def _answer_own(error: FantasmError) -> ResponseReturnValue:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, UnverifiedError):  # a stranger can bring it about, and learns nothing of why
        log.error("nobody's proof can be verified: %s", error)
        return jsonify({"error": "who calls cannot be verified at the moment: try again"}), 500
    if status == 500:
        log.error("%s: %s", type(error).__name__, error, exc_info=error)
    answer: dict[str, Any] = {"error": str(error)}
    if isinstance(error, UnknownMachineError):
        answer |= {"machine": error.name, "machines": list(error.machines)}
    return jsonify(answer), status


def _answer_http(error: HTTPException) -> ResponseReturnValue:
    response = error.get_response()
    if error.code is None or error.code < 400:
        return response
    said = error.description or error.name
    answer = _page(error.name, said) if _wants_page() else jsonify({"error": said})
    answer.status_code = error.code
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    return answer


def _wants_page() -> bool:
    """Whether a person looks at the answer: browsers ask for HTML by its name."""
    kinds = ("application/json", "text/html")
    return request.accept_mimetypes.best_match(kinds, kinds[0]) == "text/html"


def _page(title: str, said: str) -> Response:
    """A page of its own: who is refused may not have the console's style sheet either."""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)} · fantasm</title><h1>{escape(title)}</h1><p>{escape(said)}</p></html>"
    )
    return Response(text, mimetype="text/html", headers=HEADERS)


def _answer_other(error: Exception) -> ResponseReturnValue:
    log.error("unexpected %s", type(error).__name__, exc_info=error)
    return jsonify({"error": f"unexpected {type(error).__name__}; the log has the details"}), 500
