"""A WSGI application that answers for services over HTTP, and leaves every other path to another one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

import grpc

from fantasm_gcp.local.http.bodies import read_body
from fantasm_gcp.local.http.routes import Match, Route, find
from fantasm_gcp.local.http.statuses import JSON, PROTOBUF, render_refusal, status_line
from fantasm_gcp.local.http.transcoding import (
    Parameters,
    bad_request,
    fill_from_json,
    fill_from_parameters,
    fill_from_path,
    parse_query,
    render_json,
)
from fantasm_gcp.local.rpc import Method, RpcError, Service, call, parse

Wsgi: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_PROTOBUF_QUERY = frozenset({"alt=proto", "$alt=proto", "%24alt=proto"})
_PROTOBUF_TYPES = frozenset({PROTOBUF, "application/protobuf"})
# What begins with a version of an API is meant for one, and its clients read JSON.
_VERSIONED = re.compile(r"/(v[0-9]+(?:(?:alpha|beta)[0-9]+)?)/projects/")
_JSON_TYPES = frozenset({"", "application/json", "text/json"})


@dataclass(frozen=True, slots=True)
class HttpService:
    """A service and the routes that lead to its methods."""

    service: Service
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: str
    kind: str
    body: bytes


class Transcoder:
    """The WSGI application: routes of services first, then ``fallback``, then 404 in Google's form.

    A request that a page of another origin makes a browser send is refused (403): whoever can create tasks
    here can have any URL of this machine called. Clients that are no browsers send no ``Origin``.
    """

    def __init__(self, services: Sequence[HttpService], fallback: Wsgi | None = None) -> None:
        self._routes = tuple(route for each in services for route in each.routes)
        self._methods = {
            id(route): each.service.methods[route.method] for each in services for route in each.routes
        }
        self._fallback = fallback
        found = (_VERSIONED.match(f"{route.template.partition('{')[0]}projects/") for route in self._routes)
        self._versions = sorted({each[1] for each in found if each})

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            path = _raw_path(environ)
            match = find(self._routes, environ["REQUEST_METHOD"], path)
            versioned = _VERSIONED.match(path)
            if match is None and versioned and versioned[1] not in self._versions:
                raise self._other_version(versioned[1])
            if match is None and not versioned and self._fallback is not None:
                return self._fallback(environ, start_response)
            answer = self._answer(match, environ)
        except RpcError as refusal:
            binary = _media_type(environ) in _PROTOBUF_TYPES or _wants_protobuf(environ)
            body = render_refusal(refusal, as_protobuf=binary)
            answer = _Answer(status_line(refusal.code), PROTOBUF if binary else JSON, body)
        start_response(
            answer.status,
            [
                ("Content-Type", answer.kind),
                ("Content-Length", str(len(answer.body))),
                ("X-Content-Type-Options", "nosniff"),
            ],
        )
        return [answer.body]

    def _other_version(self, version: str) -> RpcError:
        served = " and ".join(self._versions)
        return RpcError(
            grpc.StatusCode.NOT_FOUND,
            f"Method not found: this server has {served or 'no API'}, not {version}.",
        )

    def _answer(self, match: Match | bool | None, environ: dict[str, Any]) -> _Answer:
        _refuse_other_origins(environ)
        if not isinstance(match, Match):
            raise RpcError(grpc.StatusCode.NOT_FOUND, "Method not found.")
        method = self._methods[id(match.route)]
        parameters, system = parse_query(environ.get("QUERY_STRING", ""))
        alt, _, options = system.get("alt", "").partition(";")
        if alt not in ("", "json", "proto"):
            raise bad_request(f"Invalid value \"{alt[:100]}\" for the parameter 'alt': json or proto.")
        request = _read_request(match, method, parameters, environ)
        response = call(method, request)
        if alt == "proto" or (not alt and _media_type(environ) in _PROTOBUF_TYPES):
            return _Answer("200 OK", PROTOBUF, response.SerializeToString())
        body = render_json(response, numeric_enums="enum-encoding=int" in options)
        return _Answer("200 OK", JSON, body)


def _read_request(match: Match, method: Method, parameters: Parameters, environ: dict[str, Any]) -> Any:
    body = read_body(environ) if match.route.body else b""
    kind = _media_type(environ)
    if _takes_anything(match.route, method):
        request = method.request()
        part = getattr(request, match.route.body)
        part.content_type, part.data = str(environ.get("CONTENT_TYPE", "")), body
    elif body and kind in _PROTOBUF_TYPES:
        if match.route.body != "*":
            raise bad_request("This method takes no binary body: send JSON.")
        request = parse(method, body)
    elif body and kind not in _JSON_TYPES:
        raise bad_request("Content-Type must be application/json or application/x-protobuf.")
    else:
        request = method.request()
        part = request if match.route.body in ("", "*") else getattr(request, match.route.body)
        if match.route.body not in ("", "*"):
            part.SetInParent()
        fill_from_json(part, body)
    fill_from_parameters(request, parameters)
    fill_from_path(request, match.values)
    return request


def _takes_anything(route: Route, method: Method) -> bool:
    """Whether the body of the request is not read but passed on, as google.api.HttpBody has it."""
    field = method.request.DESCRIPTOR.fields_by_name.get(route.body)
    kind = None if field is None else field.message_type
    return kind is not None and kind.full_name == "google.api.HttpBody"


def _media_type(environ: dict[str, Any]) -> str:
    return str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()


def _wants_protobuf(environ: dict[str, Any]) -> bool:
    """Whether the query asks for it; also of a query that is too malformed to be read."""
    return not _PROTOBUF_QUERY.isdisjoint(environ.get("QUERY_STRING", "").split("&"))


def _raw_path(environ: dict[str, Any]) -> str:
    """The path as it was sent, still encoded; put together again where a server does not give it."""
    target = environ.get("REQUEST_URI")
    if target is None:
        return quote(
            (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe="/:"
        )
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    return str(target).partition("?")[0].partition("#")[0]


def _refuse_other_origins(environ: dict[str, Any]) -> None:
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return
    try:
        same = urlsplit(origin).netloc == environ.get("HTTP_HOST", "")
    except ValueError:
        same = False
    if not same:
        raise RpcError(grpc.StatusCode.PERMISSION_DENIED, "Requests of pages of other origins are refused.")
