"""When a failed task is tried again, and when no more: pure arithmetic in whole microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.times import SECOND, fill, parse_duration

# The longest Duration is under 2**59 microseconds: more doublings than this cannot change a capped interval.
_ENOUGH_DOUBLINGS = 62

_LONGEST_RETRY_AFTER = 3600 * SECOND  # own bound: the real service says only that it considers the header
_MOST_DIGITS = 10


@dataclass(frozen=True, slots=True)
class RetryLaw:
    """A retry configuration with nothing left open; spans in microseconds.

    ``max_attempts`` -1 and ``max_retry_duration`` 0 each mean that there is no such limit.
    """

    max_attempts: int = 100
    max_retry_duration: int = 0
    min_backoff: int = SECOND // 10
    max_backoff: int = 3600 * SECOND
    max_doublings: int = 16

    def backoff(self, attempts: int) -> int:
        """The wait before the next attempt when ``attempts`` (at least 1) have failed.

        It doubles ``max_doublings`` times, then grows by its last doubled value, ``max_backoff`` at most.
        """
        doublings = min(self.max_doublings, _ENOUGH_DOUBLINGS)
        step = attempts - 1
        doubled = self.min_backoff << min(step, doublings)
        interval = doubled * (step - doublings + 1) if step > doublings else doubled
        return min(interval, self.max_backoff)

    def exhausted(self, attempts: int, elapsed: int) -> bool:
        """Whether to give up after ``attempts``, ``elapsed`` after the first of them began.

        Every limit there is must be reached; without any limit the task is tried until it is too old to keep.
        """
        attempts_limited = self.max_attempts != -1
        duration_limited = self.max_retry_duration > 0
        if not attempts_limited and not duration_limited:
            return False
        attempts_spent = not attempts_limited or attempts >= self.max_attempts
        duration_spent = not duration_limited or elapsed >= self.max_retry_duration
        return attempts_spent and duration_spent


def check_retry_config(config: Any) -> None:
    """Raises ``RpcError`` INVALID_ARGUMENT, in the real service's words, for a RetryConfig that is wrong."""
    if config.max_attempts < -1:
        raise refusals.invalid("RetryConfig.maxAttempts must be greater or equal to -1.")
    if config.max_doublings < 0:
        raise refusals.invalid("RetryConfig.maxDoublings cannot be negative.")
    for field, name in (
        ("max_retry_duration", "maxRetryDuration"),
        ("min_backoff", "minBackoff"),
        ("max_backoff", "maxBackoff"),
    ):
        if parse_duration(getattr(config, field), f"RetryConfig.{name}") < 0:
            raise refusals.invalid(f"RetryConfig.{name} cannot be negative.")
    both = config.HasField("min_backoff") and config.HasField("max_backoff")
    if both and parse_duration(config.min_backoff, "") > parse_duration(config.max_backoff, ""):
        raise refusals.invalid("RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.")


def parse_retry_config(config: Any, base: RetryLaw) -> RetryLaw:
    """A RetryConfig that was checked, its unset fields taken from ``base``.

    Of two backoffs in the wrong order, the one that was not set gives way. ``max_retry_duration`` counts in
    whole seconds. The reference says so of the backoffs too, but real queues have one of a tenth of a second.
    """

    def span(field: str, otherwise: int) -> int:
        return parse_duration(getattr(config, field), field) if config.HasField(field) else otherwise

    min_backoff = span("min_backoff", base.min_backoff)
    max_backoff = span("max_backoff", max(base.max_backoff, min_backoff))
    return RetryLaw(
        max_attempts=config.max_attempts or base.max_attempts,
        max_retry_duration=span("max_retry_duration", base.max_retry_duration) // SECOND * SECOND,
        min_backoff=min(min_backoff, max_backoff),
        max_backoff=max_backoff,
        max_doublings=config.max_doublings or base.max_doublings,
    )


def fill_retry_config(config: Any, law: RetryLaw) -> None:
    """Writes a law into a RetryConfig message, every field of it."""
    config.max_attempts = law.max_attempts
    config.max_doublings = law.max_doublings
    fill(config.min_backoff, law.min_backoff)
    fill(config.max_backoff, law.max_backoff)
    if law.max_retry_duration:
        fill(config.max_retry_duration, law.max_retry_duration)


def parse_retry_after(headers: Mapping[str, str], now: int) -> int:
    """How long an answer asks to be left alone, an hour at most; 0 when it says nothing that can be read.

    The header holds whole seconds or a date, which is compared with ``now``, the worker's time.
    """
    asked = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    if asked.isascii() and asked.isdecimal() and len(asked) <= _MOST_DIGITS:
        return min(int(asked) * SECOND, _LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(asked)
    except (ValueError, OverflowError):
        return 0
    # A date "-0000" says that its zone is unknown; in HTTP every date is one of UTC.
    moment = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    return min(max(0, round(moment * SECOND) - now), _LONGEST_RETRY_AFTER)
