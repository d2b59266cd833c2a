"""Refusals without end: a bounded number of words and lines, and a bounded memory."""

from __future__ import annotations

import threading

import pytest

from fantasm_gcp.testing.clock import VirtualClock
from fantasm_gcp.web.limiting import Refusal, Refusals, network_of

LOGGED = Refusal(in_words=True, is_logged=True)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def test_an_address_gets_words_until_its_budget_is_used_up(clock: VirtualClock) -> None:
    """Then a bare answer that says when to come again, until a token is back."""
    refusals = Refusals(clock, burst=3, per_second=0.25)
    assert [LOGGED] * 3 == [refusals.refuse("192.0.2.1") for _ in range(3)]
    bare = refusals.refuse("192.0.2.1")
    assert Refusal(in_words=False, is_logged=False, retry_after=4) == bare
    clock.sleep(bare.retry_after - 1)
    assert 1 == refusals.refuse("192.0.2.1").retry_after
    clock.sleep(1)
    assert refusals.refuse("192.0.2.1").in_words
    assert not refusals.refuse("192.0.2.1").in_words


def test_addresses_have_budgets_of_their_own(clock: VirtualClock) -> None:
    """One that is attacked from does not silence another."""
    refusals = Refusals(clock, burst=1)
    refusals.refuse("192.0.2.1")
    assert not refusals.refuse("192.0.2.1").in_words
    assert refusals.refuse("192.0.2.2").in_words


def test_a_budget_does_not_grow_beyond_its_first_size(clock: VirtualClock) -> None:
    """A quiet year gives nobody a million tries in words."""
    refusals = Refusals(clock, burst=2, per_second=1)
    refusals.refuse("a")
    clock.sleep(365 * 86400)
    assert [True, True, False] == [refusals.refuse("a").in_words for _ in range(3)]


def test_lines_of_all_addresses_together_are_bounded(clock: VirtualClock) -> None:
    """Words go on; the next line that is written tells how many were not."""
    refusals = Refusals(clock, burst=1, lines=2, lines_per_second=0.1)
    answers = [refusals.refuse(f"192.0.2.{i}") for i in range(5)]
    assert [LOGGED] * 2 + [Refusal(in_words=True, is_logged=False)] * 3 == answers
    refusals.refuse("192.0.2.0")
    clock.sleep(10)
    assert Refusal(in_words=True, is_logged=True, unlogged=4) == refusals.refuse("192.0.2.9")
    clock.sleep(10)
    assert LOGGED == refusals.refuse("192.0.2.10")


def test_few_addresses_are_remembered_those_of_late(clock: VirtualClock) -> None:
    """Memory is bounded; who is forgotten is the one that was quiet longest."""
    refusals = Refusals(clock, burst=1, per_second=0.001, most_addresses=2)
    refusals.refuse("a")
    refusals.refuse("b")
    assert not refusals.refuse("a").in_words
    refusals.refuse("c")
    assert not refusals.refuse("a").in_words
    assert refusals.refuse("b").in_words
    for i in range(10_000):
        refusals.refuse(f"x{i}")
    assert 2 == len(refusals._buckets)


def test_a_clock_that_is_set_back_takes_no_budget_away() -> None:
    """Nor does it give any."""
    now = [100.0]
    refusals = Refusals(lambda: now[0], burst=2, per_second=1)
    refusals.refuse("a")
    now[0] = 0.0
    assert [True, False] == [refusals.refuse("a").in_words for _ in range(2)]
    now[0] = 1.0
    assert refusals.refuse("a").in_words


def test_threads_share_one_budget(clock: VirtualClock) -> None:
    """No token is taken twice."""
    refusals = Refusals(clock, burst=500, lines=300)
    answers: list[Refusal] = []
    threads = [
        threading.Thread(target=lambda: answers.extend([refusals.refuse("a") for _ in range(200)]))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    counts = (sum(each.in_words for each in answers), sum(each.is_logged for each in answers))
    assert (500, 300) == counts


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("unknown", "unknown"),
        ("x" * 5000, "x" * 64),
        ("\x00\ud800", "\x00\ud800"),
    ],
)
def test_what_one_caller_can_have_is_counted_together(address: str, expected: str) -> None:
    """Whoever has one IPv6 address has the 2**64 beside it; text of any kind breaks nothing."""
    assert expected == network_of(address)
