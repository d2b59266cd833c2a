"""Moments and spans as whole microseconds, the precision Cloud Tasks keeps.

Whole numbers compare exactly: the moment the server says an attempt may begin is a moment at which it does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fantasm_gcp.local.tasks import refusals

SECOND = 1_000_000
DAY = 86_400 * SECOND

_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799  # years 1 to 9999, all a Timestamp may hold
_LONGEST = 315_576_000_000  # 10,000 years, all a Duration may hold


def micros(seconds: float) -> int:
    """Seconds as the nearest microsecond; rounding makes it the inverse of :func:`seconds`, for a century."""
    return round(seconds * SECOND)


def seconds(moment: int) -> float:
    """Microseconds as seconds."""
    return moment / SECOND


def parse_timestamp(value: Any, field: str) -> int:
    """A protobuf Timestamp, truncated to the microsecond; INVALID_ARGUMENT when it holds no moment."""
    if not (_EARLIEST <= value.seconds <= _LATEST and 0 <= value.nanos < 1_000_000_000):
        raise refusals.invalid(f"{field} is not a valid timestamp.")
    return int(value.seconds) * SECOND + int(value.nanos) // 1000


def parse_duration(value: Any, field: str) -> int:
    """A protobuf Duration, truncated to the microsecond; INVALID_ARGUMENT when it holds no span."""
    nanos_fit = abs(value.nanos) < 1_000_000_000 and (value.seconds == 0 or value.nanos * value.seconds >= 0)
    if not (abs(value.seconds) <= _LONGEST and nanos_fit):
        raise refusals.invalid(f"{field} is not a valid duration.")
    return int(value.seconds) * SECOND + int(value.nanos / 1000)


def fill(value: Any, amount: int) -> None:
    """Sets a protobuf Timestamp, or a Duration that is not negative."""
    value.seconds, rest = divmod(amount, SECOND)
    value.nanos = rest * 1000


def render_eta(moment: int) -> str:
    """A moment as the header TaskETA has it: seconds of the epoch, with six digits behind the point."""
    whole, rest = divmod(moment, SECOND)
    return f"{whole}.{rest:06d}"


def render_pacific(moment: int) -> str:
    """A moment in the zone in which the real service words it, US Pacific, in the form of RFC 3339."""
    zone: tzinfo
    try:
        zone = ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a system without time zones: winter time is the best that can be said
        zone = timezone(timedelta(hours=-8))
    whole, rest = divmod(moment, SECOND)
    try:
        return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest).astimezone(zone).isoformat()
    except OverflowError:  # the year 9999 in some zones
        return f"{whole}s"
