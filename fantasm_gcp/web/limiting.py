"""How often a refusal is answered with words and a line of the log: rate limits for failures only.

Who shows what opens a path is never refused by these. They could not be told from an attacker by their
address: an attacker may share Google's addresses with our tasks, or a company's with an operator.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MOST_ADDRESSES: Final = 10_000
"""Addresses that are remembered. One that is forgotten begins with its whole budget."""

BURST: Final = 20
PER_SECOND: Final = 0.2
"""Refusals in words that an address has at first, and how many come back in a second."""

LINES: Final = 100
LINES_PER_SECOND: Final = 1.0
"""Lines of the log, of all addresses together."""

_LONGEST: Final = 64
_NETWORK: Final = 64
"""Bits of an IPv6 address that count: whoever has one has all that begin so."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a refusal is to be answered.

    ``in_words`` is False where it is to be a bare 429 with ``Retry-After``, which is ``retry_after`` seconds.
    With ``is_logged`` it is worth a line, and one more about ``unlogged`` earlier ones if there were any.
    """

    in_words: bool
    is_logged: bool
    unlogged: int = 0
    retry_after: int = 0


@dataclass(slots=True)
class _Bucket:
    """Tokens that come back with time, up to as many as there were at first."""

    most: float
    rate: float
    tokens: float
    at: float

    def take(self, now: float) -> bool:
        # A clock that was set back gives nothing, and takes nothing away.
        self.tokens = min(self.most, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    @property
    def wait(self) -> int:
        """Seconds until there is a token again."""
        return max(1, math.ceil((1 - self.tokens) / self.rate))


class Refusals:
    """Counts the refusals of a process. Safe in threads; remembers a bounded number of addresses.

    ``clock`` answers seconds of any origin. Rates are per second.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        burst: int = BURST,
        per_second: float = PER_SECOND,
        lines: int = LINES,
        lines_per_second: float = LINES_PER_SECOND,
        most_addresses: int = MOST_ADDRESSES,
    ) -> None:
        self._clock = clock
        self._burst, self._rate, self._most = burst, per_second, most_addresses
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lines = _Bucket(lines, lines_per_second, lines, clock())
        self._unlogged = 0
        self._lock = threading.Lock()

    def refuse(self, address: str) -> Refusal:
        """Counts a refusal of a caller at an address, and says how to answer it."""
        with self._lock:
            now = self._clock()
            bucket = self._bucket(network_of(address), now)
            if not bucket.take(now):
                self._unlogged += 1
                return Refusal(in_words=False, is_logged=False, retry_after=bucket.wait)
            if not self._lines.take(now):
                self._unlogged += 1
                return Refusal(in_words=True, is_logged=False)
            unlogged, self._unlogged = self._unlogged, 0
            return Refusal(in_words=True, is_logged=True, unlogged=unlogged)

    def _bucket(self, network: str, now: float) -> _Bucket:
        bucket = self._buckets.get(network)
        if bucket is None:
            bucket = self._buckets[network] = _Bucket(self._burst, self._rate, self._burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(network)
        return bucket


def network_of(address: str) -> str:
    """What is counted together: an IPv4 address, or the network of an IPv6 address; other text as it is."""
    try:
        found = ipaddress.ip_address(address.strip().partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _NETWORK), strict=False))
