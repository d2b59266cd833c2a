"""Page sizes and page tokens of the two list methods."""

from __future__ import annotations

import base64
import binascii

from fantasm_gcp.local.tasks import refusals


def parse_page_size(asked: int, most: int) -> int:
    """How many to answer: ``most`` when nothing, or more, is asked for."""
    if asked < 0:
        raise refusals.invalid(refusals.PAGE_SIZE)
    return min(asked or most, most)


def render_token(parent: str, last: str) -> str:
    """The token for what follows ``last`` under ``parent``."""
    return base64.urlsafe_b64encode(f"{parent}\n{last}".encode()).decode()


def parse_token(parent: str, token: str) -> str:
    """What was last answered, "" at the beginning; INVALID_ARGUMENT for a token of something else."""
    if not token:
        return ""
    try:
        origin, _, last = (
            base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode().partition("\n")
        )
    except (binascii.Error, UnicodeError) as error:
        raise refusals.invalid(refusals.PAGE_TOKEN) from error
    if origin != parent or not last:
        raise refusals.invalid(refusals.PAGE_TOKEN)
    return last
