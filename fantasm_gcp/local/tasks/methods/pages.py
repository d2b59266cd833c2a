"""Page sizes and page tokens of the list methods."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.times import SECOND

TOKEN_LIFE: Final = 2 * 3600 * SECOND
"""How long a page token is good for, as the API reference has it."""


def parse_page_size(asked: int, most: int) -> int:
    """How many to answer: ``most`` when nothing, or more, is asked for."""
    if asked < 0:
        raise refusals.invalid(refusals.PAGE_SIZE)
    return min(asked or most, most)


def render_token(listed: str, last: str, now: int) -> str:
    """The token, made at ``now``, for what follows ``last``; ``listed`` is all that says what is listed."""
    return base64.urlsafe_b64encode(f"{now}\n{last}\n{listed}".encode()).decode()


def parse_token(listed: str, token: str, now: int) -> str:
    """What was last answered, "" at the beginning.

    Raises ``RpcError`` INVALID_ARGUMENT for a token of something else, and for one that is too old.
    """
    if not token:
        return ""
    try:
        text = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
        made, last, of = text.split("\n", 2)
        age = now - int(made)
    except (binascii.Error, ValueError) as error:
        raise refusals.invalid(refusals.PAGE_TOKEN) from error
    if of != listed or not last or age > TOKEN_LIFE:
        raise refusals.invalid(refusals.PAGE_TOKEN)
    return last
