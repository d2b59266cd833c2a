"""What a start request asks for: its arguments become the context."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from fantasm_gcp.console.page_tokens import FIELD
from fantasm_gcp.core.codec import CONTEXT_LIMIT
from fantasm_gcp.core.context import method_of
from fantasm_gcp.core.headers import PREFIX, RESERVED, Headers, canonical, checked
from fantasm_gcp.engine.start import NOBODY, Ends
from fantasm_gcp.errors import StartError

BODY_LIMIT = 3 * CONTEXT_LIMIT
"""Bytes of a start's body that are read: a form may take three for one of its value."""

KEY_HEADER = "Idempotency-Key"
METHOD_ARGUMENT = "method"
COMPLETE_HEADER, FAILURE_HEADER = f"{PREFIX}On-Complete", f"{PREFIX}On-Failure"
"""Machines and URLs, with commas between them, that are told of the instance's end."""

IMMEDIATE_ARGUMENT = "__im__"
CSRF_ARGUMENT = FIELD
"""The field of a form that shows that it is from our own page; see :mod:`fantasm_gcp.web.forgery`."""

_YES = frozenset({"1", "true", "yes", "on"})
_NAME = re.compile("[^\x00-\x1f\x7f\ud800-\udfff]{1,500}")


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The context, the HTTP method that the instance's tasks use, the caller's idempotency key, the
    instance's headers, whether the whole machine is to run within the request, and who is told of the end.
    """

    context: dict[str, Any]
    method: str
    key: str | None
    headers: Headers
    immediate: bool
    ends: Ends = NOBODY


def read_start(request: Request) -> StartRequest:
    """Reads the query, and of a POST the form or the JSON object in its body, which wins where both speak.

    ``method`` chooses the tasks' HTTP method instead of becoming part of the context. Raises
    :class:`StartError` for what is malformed or reserved.
    """
    request.max_content_length = request.max_form_memory_size = BODY_LIMIT
    request.max_form_parts = None
    context = _of_pairs(request.args) | _of_body(request)
    context.pop(CSRF_ARGUMENT, None)
    immediate = str(context.pop(IMMEDIATE_ARGUMENT, "")).lower() in _YES
    try:
        method = method_of(str(context.pop(METHOD_ARGUMENT, request.method)))
        headers = checked(_own_headers(request))
    except ValueError as error:
        raise StartError(str(error)) from error
    check_names(context)
    key = request.headers.get(KEY_HEADER)
    if key is not None and not _NAME.fullmatch(key):
        raise StartError(f"the {KEY_HEADER} header must be 1 to 500 characters of text")
    ends = Ends(_receivers(request, COMPLETE_HEADER), _receivers(request, FAILURE_HEADER))
    if immediate and ends != NOBODY:
        raise StartError(
            f"nobody can be told of an end that the answer of this start tells: {IMMEDIATE_ARGUMENT}"
        )
    return StartRequest(context, method, key, headers, immediate, ends)


def _receivers(request: Request, header: str) -> tuple[str, ...]:
    """Who a header names. A comma in a URL has to be written %2C."""
    return tuple(each.strip() for each in request.headers.get(header, "").split(",") if each.strip())


def _own_headers(request: Request) -> list[tuple[str, str]]:
    """The headers that the instance is to keep; the engine's own are not among them, whoever sent them."""
    found = [(canonical(name), value) for name, value in request.headers.items()]
    return [(name, value) for name, value in found if name.startswith(PREFIX) and name not in RESERVED]


def kept_headers(request: Request) -> Headers:
    """The headers of an instance, as a task of it brings them. Raises ``ValueError``."""
    return checked(_own_headers(request))


def _of_pairs(pairs: MultiDict[str, str]) -> dict[str, Any]:
    """Arguments are text; one that is given several times is a list, and so is ``name[]``, however often."""
    found: dict[str, Any] = {}
    for name, values in pairs.lists():
        if name.endswith("[]"):
            earlier = found.get(name[:-2], [])
            found[name[:-2]] = [*(earlier if isinstance(earlier, list) else [earlier]), *values]
        else:
            given = [*found[name], *values] if name in found else values
            found[name] = given[0] if len(given) == 1 else given
    return found


def _of_body(request: Request) -> dict[str, Any]:
    if request.method != "POST":
        return {}
    if request.form or request.files:
        if request.files:
            raise StartError("a start takes no files: store them and put their names into the context")
        return _of_pairs(request.form)
    if request.mimetype == "multipart/form-data" and request.content_length:
        raise StartError("the body is no valid form: it is cut off, or its boundary is another")
    if not request.get_data(cache=True):
        return {}
    if not request.is_json:
        kind = request.mimetype or "no content type"
        raise StartError(f"the body is {kind}; a start takes a form or a JSON object (application/json)")
    try:
        body = request.get_json()
    except (BadRequest, RecursionError) as error:
        raise StartError("the body is not valid JSON") from error
    if not isinstance(body, dict):
        raise StartError("the body is JSON, but not an object: a context has names and values")
    return body


def check_names(names: Iterable[str]) -> None:
    """Raises :class:`StartError` for a name that a start's argument cannot have."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise StartError(f"argument {name[:50]!r} is malformed: a name is 1 to 500 characters of text")
        if name.startswith("__"):
            raise StartError(f"argument {name!r} is reserved: names that begin with two underscores are")
