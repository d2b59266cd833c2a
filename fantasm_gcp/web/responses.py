"""What is answered: values as JSON, errors as statuses, never a traceback.

For a push queue the status is the retry decision: 2xx is done, 500 is "again". 503 and 429 are never
answered to Cloud Tasks, because they slow the whole queue down.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from fantasm_gcp.errors import (
    CommandError,
    ContextTooLargeError,
    FantasmError,
    NotThereError,
    StartError,
    UnknownMachineError,
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
    blueprint.register_error_handler(Exception, _answer_other)


def _answer_own(error: FantasmError) -> ResponseReturnValue:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
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
    answer = jsonify({"error": error.description or error.name})
    answer.status_code = error.code
    if "Allow" in response.headers:
        answer.headers["Allow"] = response.headers["Allow"]
    return answer


def _answer_other(error: Exception) -> ResponseReturnValue:
    log.error("unexpected %s", type(error).__name__, exc_info=error)
    return jsonify({"error": f"unexpected {type(error).__name__}; the log has the details"}), 500
