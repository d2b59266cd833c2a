"""Values in words: moments, spans, targets, bodies, and what came of an attempt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fantasm_gcp.local.tasks.configuration.request_rules import METHODS
from fantasm_gcp.local.tasks.scheduling.recent import EndedAttempt

SHOWN_BYTES = 4096
"""Of a body, on a page; the whole is a download."""

# What cannot be seen, or turns round what stands beside it: controls but tab and newline, directions, and
# what has no width, without the joiners, which scripts need.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class Body:
    """The beginning of a body as text, or in hexadecimal; ``size`` is that of the whole in bytes."""

    text: str
    size: int
    cut: bool


def visible(text: str) -> str:
    """Text in which what cannot be seen is written as ``\\u200e`` and the like."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def words_of_moment(seconds: float) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def words_of_span(seconds: float) -> str:
    """A span in its two largest units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # below it, tenths are worth reading
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:  # a minute
        return f"{whole} s"
    words = []
    for size, unit in _UNITS:
        amount, whole = divmod(whole, size)
        if amount:
            words.append(f"{amount} {unit}")
    if whole:
        words.append(f"{whole} s")
    return " ".join(words[:2])


def words_of_distance(moment: float, now: float) -> str:
    """How far a moment is from now."""
    away = moment - now
    if abs(away) < 1:
        return "now"
    return f"in {words_of_span(away)}" if away > 0 else f"{words_of_span(-away)} ago"


def words_of_size(size: int) -> str:
    """An amount of bytes."""
    return f"{size} B" if size < 1024 else f"{size / 1024:.1f} KB"  # a kilobyte


def words_of_target(task: Any) -> str:
    """Where the attempts at a task go."""
    if task.WhichOneof("message_type") == "http_request":
        request = task.http_request
        return visible(f"{METHODS[request.http_method]} {request.url}")
    request = task.app_engine_http_request
    service = request.app_engine_routing.service or "default"
    return visible(f"{METHODS[request.http_method]} {request.relative_uri} of service {service}")


def words_of_token(task: Any) -> str:
    """The token that the attempts at a task carry, "" for none."""
    if task.WhichOneof("message_type") != "http_request":
        return ""
    request = task.http_request
    match request.WhichOneof("authorization_header"):
        case "oidc_token":
            token = request.oidc_token
            audience = f" for {token.audience}" if token.audience else ", for its URL"
            return visible(f"OpenID Connect, {token.service_account_email}{audience}")
        case "oauth_token":
            return visible(f"OAuth, {request.oauth_token.service_account_email}")
    return ""


def headers_of(task: Any) -> list[tuple[str, str]]:
    """The headers that a task was created with, by their names."""
    headers = getattr(task, task.WhichOneof("message_type")).headers
    return sorted((name, visible(value)) for name, value in headers.items())


def body_of(task: Any) -> Body:
    """The beginning of a task's body."""
    body: bytes = getattr(task, task.WhichOneof("message_type")).body
    shown = body[:SHOWN_BYTES]
    try:
        # A character that the cut has parted is left out; wrong bytes anywhere else are not.
        text = shown.hex(" ") if b"\0" in shown else visible(shown.decode())
    except UnicodeDecodeError as error:
        is_parted = len(shown) < len(body) and error.reason == "unexpected end of data"
        text = visible(shown[: error.start].decode()) if is_parted else shown.hex(" ")
    return Body(text, len(body), len(shown) < len(body))


def words_of_result(attempt: EndedAttempt) -> str:
    """What came of an attempt."""
    return {
        "succeeded": "done",
        "retry": "retry",
        "exhausted": "out of attempts, deleted",
        "overlapped": "another attempt decides",
        "ignored": "task was gone",
    }[attempt.result]


def words_of_status(status: int | None) -> str:
    """What the queue was told."""
    return "no answer" if status is None else str(status)
