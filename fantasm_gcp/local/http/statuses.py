"""How a refusal looks over HTTP: the status of each gRPC code, and the two forms of the body.

The table is that of ``google/rpc/code.proto``; the JSON form is that of ``google.rpc.Status`` under "error",
as Google's HTTP APIs send it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import grpc
from google.protobuf.json_format import MessageToDict

from fantasm_gcp.local.rpc import RpcError, render_status

_CODE = grpc.StatusCode

HTTP_STATUS: Final = {
    _CODE.OK: (200, "OK"),
    _CODE.CANCELLED: (499, "Client Closed Request"),
    _CODE.UNKNOWN: (500, "Internal Server Error"),
    _CODE.INVALID_ARGUMENT: (400, "Bad Request"),
    _CODE.DEADLINE_EXCEEDED: (504, "Gateway Timeout"),
    _CODE.NOT_FOUND: (404, "Not Found"),
    _CODE.ALREADY_EXISTS: (409, "Conflict"),
    _CODE.PERMISSION_DENIED: (403, "Forbidden"),
    _CODE.UNAUTHENTICATED: (401, "Unauthorized"),
    _CODE.RESOURCE_EXHAUSTED: (429, "Too Many Requests"),
    _CODE.FAILED_PRECONDITION: (400, "Bad Request"),
    _CODE.ABORTED: (409, "Conflict"),
    _CODE.OUT_OF_RANGE: (400, "Bad Request"),
    _CODE.UNIMPLEMENTED: (501, "Not Implemented"),
    _CODE.INTERNAL: (500, "Internal Server Error"),
    _CODE.UNAVAILABLE: (503, "Service Unavailable"),
    _CODE.DATA_LOSS: (500, "Internal Server Error"),
}

JSON: Final = "application/json; charset=UTF-8"
PROTOBUF: Final = "application/x-protobuf"


def status_line(code: grpc.StatusCode) -> str:
    """The HTTP status of a gRPC code, as WSGI wants it: ``404 Not Found``."""
    number, phrase = HTTP_STATUS[code]
    return f"{number} {phrase}"


def render_refusal(refusal: RpcError, *, as_protobuf: bool) -> bytes:
    """The body for a refusal: a serialized ``google.rpc.Status``, or its JSON under "error"."""
    if as_protobuf:
        return bytes(render_status(refusal).SerializeToString())
    details = MessageToDict(render_status(refusal)).get("details", ())
    return render_json_error(HTTP_STATUS[refusal.code][0], refusal.message, refusal.code.name, details)


def render_json_error(code: int, message: str, status: str, details: Sequence[Any] = ()) -> bytes:
    """Google's JSON form of an error."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = details
    return (json.dumps({"error": error}, indent=2, ensure_ascii=False) + "\n").encode(errors="replace")
