"""The token by which a form shows that it is from a page of the console: its cookie, and its form on a page.

A browser's cookie holds 256 random bits, and each page has them a second time, where a page of another site
can neither read nor guess them. On a page they are masked: XORed with as many bits that are new in every
response, so that nothing that compresses or caches responses can be used to learn them bit by bit.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from typing import Final

from flask import Request, Response

FIELD: Final = "__csrf_token"
"""The field of a form. The fields of a start are its arguments: names that begin so are reserved there."""

HEADER: Final = "X-CSRF-Token"

SIZE: Final = 32
"""Bytes of the secret."""

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_MASKED: Final = re.compile(r"[A-Za-z0-9_-]{86}")


def cookie_name(*, is_local: bool) -> str:
    """The cookie's name. Browsers take a ``__Host-`` cookie only from this very host, over TLS."""
    return "fantasm-csrf" if is_local else "__Host-fantasm-csrf"


def secret_of(request: Request, *, is_local: bool) -> bytes | None:
    """The secret in a request's cookie; None without one, or where it cannot be ours."""
    cookie = request.cookies.get(cookie_name(is_local=is_local), "")
    return _decoded(cookie) if _SECRET.fullmatch(cookie) else None


def new_secret() -> bytes:
    """A secret for a browser that has none."""
    return secrets.token_bytes(SIZE)


def keep(response: Response, secret: bytes, *, is_local: bool) -> None:
    """Has the browser keep a secret until it is closed.

    ``Lax`` and not ``Strict``: of a link that is followed from another site a browser sends no strict cookie.
    The page would set another one then, and with it every form that is open in another tab would be refused.
    """
    response.set_cookie(
        cookie_name(is_local=is_local),
        _encoded(secret),
        secure=not is_local,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def masked(secret: bytes) -> str:
    """The secret as it stands on a page, different each time."""
    pad = secrets.token_bytes(SIZE)
    return _encoded(pad + _xor(secret, pad))


def is_masked_form(given: str, secret: bytes) -> bool:
    """Whether a form's token stands for a secret; takes as long for one that does not."""
    if not _MASKED.fullmatch(given):
        return False
    both = _decoded(given)
    return both is not None and hmac.compare_digest(_xor(both[:SIZE], both[SIZE:]), secret)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
