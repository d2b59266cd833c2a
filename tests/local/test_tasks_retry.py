"""The backoff law and the stop rule of the local Cloud Tasks server, and its token bucket."""

from __future__ import annotations

import random

import pytest

from fantasm_gcp.local.tasks.configuration.retry import RetryLaw
from fantasm_gcp.local.tasks.scheduling.bucket import Bucket
from fantasm_gcp.local.tasks.times import SECOND, micros, seconds

LONGEST = 315_576_000_000 * SECOND


@pytest.mark.parametrize(
    ("minimum", "maximum", "doublings", "expected"),
    [
        (10, 300, 3, [10, 20, 40, 80, 160, 240, 300, 300]),
        (10, 300, 0, [10, 20, 30, 40, 50]),
        (1, 1000, 1, [1, 2, 4, 6, 8, 10]),
        (5, 5, 16, [5, 5, 5]),
        (1, 3, 16, [1, 2, 3, 3]),
        (0, 300, 5, [0, 0, 0]),
    ],
)
def test_intervals_double_then_grow_linearly_then_stay(
    minimum: int, maximum: int, doublings: int, expected: list[int]
) -> None:
    """The first row is the example of the API reference."""
    law = RetryLaw(min_backoff=minimum * SECOND, max_backoff=maximum * SECOND, max_doublings=doublings)

    assert expected == [law.backoff(n) // SECOND for n in range(1, len(expected) + 1)]


def test_the_default_law_begins_at_a_tenth_of_a_second_and_ends_at_an_hour() -> None:
    """The defaults are 0.1 s, 3600 s and 16 doublings."""
    law = RetryLaw()

    assert [law.backoff(n) for n in (1, 2, 3)] == [100_000, 200_000, 400_000]
    assert [law.backoff(n) for n in (16, 17)] == [1638_400_000 * 2, 3600 * SECOND]


@pytest.mark.parametrize("doublings", [0, 1, 16, 62, 63, 2**31 - 1])
@pytest.mark.parametrize(
    ("minimum", "maximum"), [(0, 0), (0, LONGEST), (1, LONGEST), (LONGEST, LONGEST), (7, 100)]
)
def test_intervals_never_shrink_and_never_leave_their_bounds(
    minimum: int, maximum: int, doublings: int
) -> None:
    """Whatever a client may ask for, the interval is computed at once and is between the two backoffs."""
    law = RetryLaw(min_backoff=minimum, max_backoff=maximum, max_doublings=doublings)

    intervals = [law.backoff(n) for n in (*range(1, 100), 2**31 - 1)]

    assert sorted(intervals) == intervals
    assert (minimum, True) == (intervals[0], intervals[-1] <= maximum)


@pytest.mark.parametrize(
    ("max_attempts", "max_duration", "attempts", "elapsed", "expected"),
    [
        (3, 0, 2, 10**9, False),
        (3, 0, 3, 0, True),
        (3, 60, 3, 59, False),
        (3, 60, 2, 60, False),
        (3, 60, 3, 60, True),
        (-1, 60, 10**6, 59, False),
        (-1, 60, 1, 60, True),
        (-1, 0, 10**6, 10**9, False),
    ],
)
def test_trying_ends_when_every_limit_there_is_is_reached(
    max_attempts: int, max_duration: int, attempts: int, elapsed: int, expected: bool
) -> None:
    """Attempts and duration must both be spent; -1 attempts and duration 0 are no limits."""
    law = RetryLaw(max_attempts=max_attempts, max_retry_duration=max_duration * SECOND)

    assert expected == law.exhausted(attempts, elapsed * SECOND)


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    """Burst 3 at 2 per second: three at the start, then one each half second."""
    bucket = Bucket(rate=2, burst=3)
    now = 1_000_000_000
    taken = []

    for _ in range(6):
        now = bucket.opens_at(now)
        bucket.take(now)
        taken.append(now - 1_000_000_000)

    assert taken == [0, 0, 0, 500_000, 1_000_000, 1_500_000]


def test_an_idle_bucket_holds_no_more_than_its_burst() -> None:
    """A long rest gives a burst, not the sum of all that was not used."""
    bucket = Bucket(rate=1, burst=2)
    bucket.take(0)

    late = 1000 * SECOND
    bucket.take(late)
    bucket.take(late)

    assert late + SECOND == bucket.opens_at(late)


def test_a_clock_set_back_does_not_close_the_bucket_for_long() -> None:
    """After a step back of a year the next token is there in the time of one."""
    bucket = Bucket(rate=1, burst=1)
    year = 365 * 86_400 * SECOND
    bucket.take(2 * year)

    assert year + SECOND == bucket.opens_at(year)


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 500.0, 1e12])
def test_a_bucket_of_any_rate_opens_at_the_moment_it_said(rate: float) -> None:
    """The moment at which it opens is exact, so waiting until then is enough."""
    bucket = Bucket(rate=rate, burst=1)
    bucket.take(1_800_000_000 * SECOND)

    moment = bucket.opens_at(1_800_000_000 * SECOND)

    assert moment == bucket.opens_at(moment)


def test_a_moment_survives_the_way_through_seconds() -> None:
    """A clock set to a time the server gave shows the server that very microsecond, until the year 2096."""
    chance = random.Random(1)  # the same moments in every run
    moments = [
        0,
        1,
        4_000_000_000 * SECOND,
        *(chance.randrange(4_000_000_000 * SECOND) for _ in range(10_000)),
    ]

    assert moments == [micros(seconds(moment)) for moment in moments]
