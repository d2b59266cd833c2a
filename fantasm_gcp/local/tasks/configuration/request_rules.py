"""What the request of a task may be made of: methods, headers, tokens, URLs; for tasks and for queues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from fantasm_gcp.local.tasks import refusals

HTTP_USER_AGENT: Final = "Google-Cloud-Tasks"
APP_ENGINE_USER_AGENT: Final = "AppEngine-Google; (+http://code.google.com/appengine)"

METHODS: Final = {1: "POST", 2: "GET", 3: "HEAD", 4: "PUT", 5: "DELETE", 6: "PATCH", 7: "OPTIONS"}
WITH_BODY: Final = ("POST", "PUT", "PATCH")
"""The methods with which an HTTP request of a task has a body."""

MAX_URL: Final = 2083
_MAX_HEADER_BYTES = 80 * 1024
_URL_SAFE = "%/:=&?~#+!$,;'@()*[]"

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_APP_ENGINE_IGNORED = frozenset({"host", "content-length", "connection", "transfer-encoding"})
_HTTP_IGNORED = _APP_ENGINE_IGNORED | {"user-agent"}
_APP_ENGINE_PREFIXES = ("x-google-", "x-appengine-")
_HTTP_PREFIXES = (*_APP_ENGINE_PREFIXES, "x-cloudtasks-")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def is_ignored(name: str, app_engine: bool = False) -> bool:
    """Whether the service sets a header itself, so that one given to it is dropped."""
    lowered = name.lower()
    if app_engine:
        return lowered in _APP_ENGINE_IGNORED or lowered.startswith(_APP_ENGINE_PREFIXES)
    return lowered in _HTTP_IGNORED or lowered.startswith(_HTTP_PREFIXES)


def check_headers(headers: Iterable[tuple[str, str]], owner: str) -> None:
    """Raises ``RpcError`` INVALID_ARGUMENT for a header that no request can carry or that is given twice."""
    seen: set[str] = set()
    for name, value in headers:
        if _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(value) is None:
            raise refusals.invalid(f"{owner} has a header that is not valid: {name!r}.")
        lowered = name.lower()
        if lowered in seen:
            raise refusals.invalid(f"{owner} has {lowered!r} more than once.")
        seen.add(lowered)


def check_header_bytes(headers: Iterable[tuple[str, str]], owner: str) -> None:
    """Raises ``RpcError`` INVALID_ARGUMENT for headers of an HTTP target that are 80 KiB or more in all."""
    if sum(len(name.encode()) + len(value.encode()) for name, value in headers) >= _MAX_HEADER_BYTES:
        raise refusals.invalid(f"{owner} must be less than 80KB.")


def drop_ignored(headers: Any, app_engine: bool) -> None:
    """Takes out of a message's map the headers that the service sets itself."""
    for name in [name for name in headers if is_ignored(name, app_engine)]:
        del headers[name]


def check_email(owner: Any, name: str) -> str | None:
    """The field that says which token a message asks for, None for none.

    Raises ``RpcError`` INVALID_ARGUMENT when its service account is not an email. Whether the account exists
    is not looked up: the real service answers NOT_FOUND for one that does not.
    """
    field: str | None = owner.WhichOneof("authorization_header")
    if field is not None and not _EMAIL.fullmatch(getattr(owner, field).service_account_email):
        shown = "oidcToken" if field == "oidc_token" else "oauthToken"
        raise refusals.invalid(f"{name}.{shown}.serviceAccountEmail must be a service account's email.")
    return field


def parse_method(method: int, owner: str) -> int:
    """The number of a method, POST when none is given; INVALID_ARGUMENT when it is not a method."""
    if method and method not in METHODS:
        raise refusals.invalid(f"{owner}.httpMethod is not a method.")
    return method or 1


def encode_url(url: str) -> str:
    """A URL with everything percent-encoded that may not stand in a request line."""
    return quote(url, safe=_URL_SAFE)


def without(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Headers without those of the given names, however these are spelt."""
    lowered = {name.lower() for name in names}
    return {name: value for name, value in headers.items() if name.lower() not in lowered}
