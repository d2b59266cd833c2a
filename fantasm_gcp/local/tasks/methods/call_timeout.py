"""How long a caller of the API may say that it waits: the real service takes no deadline far ahead."""

from __future__ import annotations

from typing import Final

from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.times import micros, render_pacific

_LONGEST: Final = 30.0
_SLACK: Final = 0.1
"""Seconds. gRPC rounds a timeout up on its way, and a caller with 30 s is within the limit."""


def check_timeout(timeout: float, now: int) -> None:
    """Raises ``RpcError`` INVALID_ARGUMENT, in the real service's words, for a call with so long a timeout.

    ``timeout`` is in seconds from ``now``, the caller's time. A call without any is let through.
    """
    if timeout > _LONGEST + _SLACK:
        raise refusals.invalid(
            f"The request deadline is {render_pacific(now + micros(timeout))}. "
            f"The deadline cannot be more than {_LONGEST:.0f}s in the future."
        )
