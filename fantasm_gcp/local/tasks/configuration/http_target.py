"""``Queue.http_target``: what a queue says of the requests of all its HTTP tasks, over what the tasks say.

It is applied when an attempt begins, so that a queue that is updated takes along the tasks that wait in it.
Nothing here raises for a task once it is stored: an attempt that cannot begin would hold up its queue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.configuration.request_rules import (
    METHODS,
    WITH_BODY,
    check_email,
    check_header_bytes,
    check_headers,
    is_ignored,
    parse_method,
    without,
)
from fantasm_gcp.local.tasks.configuration.tokens import OAuthToken, OidcToken, Token
from fantasm_gcp.local.tasks.messages import CreateTaskRequest
from fantasm_gcp.local.tasks.names import parse_queue

DEFAULT_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
BUFFERED_TYPE: Final = "application/json"
"""The Content-Type of a buffered task whose request had none."""

_HTTP, _IF_NOT_EXISTS = 1, 1
_GREATEST_PORT = 65_535
_OWNER = "HttpTarget"

# RFC 3986, appendix B, for the URLs that CreateTask takes; unlike urlsplit it takes whatever a task may hold.
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
_AUTHORITY = re.compile(r"((?:[^@]*@)?)(\[[^\]]*\]|[^:]*)(?::(.*))?", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True)
class HttpCall:
    """The request of an HTTP task as its queue has it; the headers without those of the service itself."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    token: Token | None


def resolve_call(request: Any, queue: Any) -> HttpCall:
    """The request that an attempt sends: of a stored HttpRequest, in a stored Queue. Raises nothing."""
    if not queue.HasField("http_target"):
        headers = dict(sorted(request.headers.items()))
        method = METHODS[request.http_method]
        return HttpCall(method, request.url, headers, request.body, _token(request, request.url))
    target = queue.http_target
    url = override_url(request.url, target.uri_override) if target.HasField("uri_override") else request.url
    method = METHODS[target.http_method or request.http_method]
    given = {name: value for name, value in _headers(target) if not is_ignored(name)}
    owner = target if target.WhichOneof("authorization_header") else request
    return HttpCall(
        method=method,
        url=url,
        headers=dict(sorted({**without(request.headers, given), **given}.items())),
        body=request.body if method in WITH_BODY else b"",
        token=_token(owner, url),
    )


def override_url(url: str, override: Any) -> str:
    """A task's URL with the parts that a UriOverride replaces.

    In the mode IF_NOT_EXISTS it replaces only those that the URL lacks: a port, a path beyond the root, a
    query. A URL that CreateTask would not take is left as it is.
    """
    parts = _URL.fullmatch(url)
    authority = _AUTHORITY.fullmatch(parts[2]) if parts else None
    if parts is None or authority is None:
        return url
    always = override.uri_override_enforce_mode != _IF_NOT_EXISTS
    scheme, path, query = parts[1], parts[3], parts[4] or ""
    user, host, port = authority[1], authority[2], authority[3] or ""
    if override.HasField("scheme") and always:
        scheme = "http" if override.scheme == _HTTP else "https"
    if override.HasField("host") and (always or not host):
        user, host = "", override.host
    if override.HasField("port") and (always or not port):
        port = str(override.port) if override.port else ""
    if override.HasField("path_override") and (always or path in ("", "/")):
        path = override.path_override.path
    if override.HasField("query_override") and (always or not query):
        query = override.query_override.query_params
    if path and not path.startswith("/"):
        path = f"/{path}"
    return f"{scheme}://{user}{host}{f':{port}' if port else ''}{path}{f'?{query}' if query else ''}"


def check_http_target(target: Any) -> None:
    """Raises ``RpcError`` INVALID_ARGUMENT for an HttpTarget that is wrong, in words of our own."""
    parse_method(target.http_method, _OWNER)
    override = target.uri_override
    if override.HasField("scheme") and override.scheme not in (0, 1, 2):
        raise refusals.invalid("UriOverride.scheme must be HTTP or HTTPS.")
    if override.uri_override_enforce_mode not in (0, 1, 2):
        raise refusals.invalid("UriOverride.uriOverrideEnforceMode must be ALWAYS or IF_NOT_EXISTS.")
    if override.HasField("host") and _HOST.fullmatch(override.host) is None:
        raise refusals.invalid(
            "UriOverride.host must be the name or the address of a host, and cannot be empty."
        )
    if override.HasField("port") and not 0 <= override.port <= _GREATEST_PORT:
        raise refusals.invalid(f"UriOverride.port must be between 0 and {_GREATEST_PORT}.")
    if re.search(r"[?#]", override.path_override.path) or "#" in override.query_override.query_params:
        raise refusals.invalid("UriOverride.pathOverride and queryOverride must hold a path and a query.")
    check_headers(_headers(target), f"{_OWNER}.headerOverrides")
    check_header_bytes(_headers(target), f"{_OWNER}.headerOverrides")
    field = check_email(target, _OWNER)
    if field == "oidc_token" and not target.oidc_token.audience:
        raise refusals.invalid(f"{_OWNER}.oidcToken.audience is required.")
    if field == "oauth_token" and not target.oauth_token.scope:
        raise refusals.invalid(f"{_OWNER}.oauthToken.scope is required.")


def build_buffered(queue: Any, task_id: str, body: bytes, content_type: str = "") -> Any:
    """The CreateTaskRequest for what BufferTask is given: the body of a request to the queue's target.

    An empty ``task_id`` has one made up. Raises ``RpcError`` INVALID_ARGUMENT when the queue has no HTTP
    target, or one that does not name a host: there is nowhere to send the task.
    """
    target = queue.http_target
    if not queue.HasField("http_target") or not target.uri_override.HasField("host"):
        raise refusals.invalid("BufferTask needs a queue with an HTTP target whose uriOverride has a host.")
    parse_queue(queue.name)
    request = CreateTaskRequest(parent=queue.name)
    if task_id:
        request.task.name = f"{queue.name}/tasks/{task_id}"
    http = request.task.http_request
    override = type(target.uri_override)()
    override.CopyFrom(target.uri_override)
    override.ClearField("uri_override_enforce_mode")
    http.url = override_url("https://-/", override)
    http.http_method = target.http_method or 1
    http.headers["Content-Type"] = content_type or BUFFERED_TYPE
    if METHODS[http.http_method] in WITH_BODY:
        http.body = body
    return request


def _headers(target: Any) -> Iterator[tuple[str, str]]:
    return ((each.header.key, each.header.value) for each in target.header_overrides)


def _token(owner: Any, url: str) -> Token | None:
    """The token that an HttpRequest or an HttpTarget asks for; the defaults are those of the API."""
    field = owner.WhichOneof("authorization_header")
    if field is None:
        return None
    asked = getattr(owner, field)
    if field == "oidc_token":
        return OidcToken(asked.service_account_email, asked.audience or url)
    return OAuthToken(asked.service_account_email, asked.scope or DEFAULT_SCOPE)
