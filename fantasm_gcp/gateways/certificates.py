"""The public keys that Google signs with: fetched, checked, and kept for as long as they are good."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.auth import crypt

from fantasm_gcp.errors import UnverifiedError
from fantasm_gcp.gateways.direct_requests import Answer, get

SHORTEST: Final = 60.0
LONGEST: Final = 24 * 3600.0
"""Seconds for which keys are kept, whatever the answer's headers say. Google's live for days."""

USUAL: Final = 300.0
"""Seconds for which they are kept where the headers do not say."""

GRACE: Final = 3600.0
"""Seconds for which keys are still used after their time, where new ones cannot be had."""

PAUSE: Final = 5.0
"""Seconds without a further attempt after one that failed."""

FORCED_EVERY: Final = 60.0
"""Seconds between fetches for the sake of a key that is not there: anybody can name such a key."""

TIMEOUT: Final = (5.0, 5.0)
MOST_BYTES: Final = 64 * 1024

RS256: Final = "RS256"
ES256: Final = "ES256"

_MAX_AGE = re.compile(r"max-age=\"?([0-9]{1,10})", re.IGNORECASE)
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


class Key(Protocol):
    """A public key."""

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the key's owner has signed the message. Raises nothing for whatever signature."""


Fetch = Callable[[str], Answer]
"""Gets what is at a URL; raises ``ConnectionError``."""


def fetch(url: str) -> Answer:
    """Gets certificates: directly, without redirects, at most 64 KB. Raises ``ConnectionError``."""
    return get(url, headers={}, timeout=TIMEOUT, most=MOST_BYTES)


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Mapping[str, Key]
    since: float
    until: float

    def is_fresh(self, now: float) -> bool:
        """A clock that was set back makes nothing last longer."""
        return self.since <= now < self.until

    def is_bearable(self, now: float) -> bool:
        return now < self.until + GRACE


class Certificates:
    """The keys of one URL for one algorithm, by their ids. Safe for many threads, but not over a fork.

    One thread fetches; the others go on with the keys there are, or wait where there are none. ``clock``
    gives seconds of the epoch.
    """

    def __init__(self, url: str, algorithm: str, clock: Callable[[], float], fetch: Fetch = fetch) -> None:
        self._url = url
        self._algorithm = algorithm
        self._clock = clock
        self._fetch = fetch
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._failed: tuple[float, str] | None = None
        self._forced: float | None = None

    def find(self, name: str) -> Key | None:
        """The key of an id, or None where there is none of that id.

        Raises ``UnverifiedError`` where that cannot be told, because the keys cannot be fetched.
        """
        before = self._held
        held = self._current()
        if name not in held.keys and held is before:
            held = self._newer_than(held)
        return held.keys.get(name)

    def _current(self) -> _Held:
        held = self._held
        now = self._clock()
        if held is not None and held.is_fresh(now):
            return held
        spare = held if held is not None and held.is_bearable(now) else None
        if not self._lock.acquire(blocking=spare is None):
            assert spare is not None, "the lock was waited for"
            return spare
        try:
            if self._held is not None and self._held is not held:
                return self._held  # another thread has fetched while this one waited
            return self._renew()
        except UnverifiedError:
            if spare is None:
                raise
            return spare
        finally:
            self._lock.release()

    def _newer_than(self, held: _Held) -> _Held:
        """Keys fetched for the sake of one that is not among those held, if it is time for that."""
        with self._lock:
            if self._held is not None and self._held is not held:
                return self._held
            now = self._clock()
            if not _is_within(self._forced, now, FORCED_EVERY):
                self._forced = now
                return self._renew()
        if self._failed is not None:  # which is so too where the keys held are past their time
            raise UnverifiedError(f"{self._url} could not be read, and the key may be new")
        return held

    def _renew(self) -> _Held:
        """Fetches, with the lock held."""
        now = self._clock()
        if self._failed is not None and _is_within(self._failed[0], now, PAUSE):
            raise UnverifiedError(self._failed[1])
        try:
            answer = self._fetch(self._url)
            keys = _parse(answer, self._algorithm)
        except (ConnectionError, ValueError) as error:
            reason = f"the certificates at {self._url} cannot be read: {error}"
            self._failed = (self._clock(), reason)
            raise UnverifiedError(reason) from error
        self._failed = None
        # From before the request on: that is when the server may have begun to count.
        self._held = _Held(keys, now, now + _lifetime(answer.headers))
        return self._held


def _is_within(moment: float | None, now: float, seconds: float) -> bool:
    return moment is not None and moment <= now < moment + seconds


def _lifetime(headers: Mapping[str, str]) -> float:
    """Seconds until the answer is to be fetched again: what Cache-Control leaves of it after its Age."""
    found = _MAX_AGE.search(headers.get("Cache-Control", ""))
    if found is None:
        return USUAL
    age = headers.get("Age", "")
    spent = int(age) if re.fullmatch("[0-9]{1,10}", age) else 0
    return min(max(float(int(found[1]) - spent), SHORTEST), LONGEST)


def _parse(answer: Answer, algorithm: str) -> Mapping[str, Key]:
    """The keys of an answer: a JSON object of PEM texts by ids. Raises ``ValueError``.

    What is no key of the algorithm is left out: Google may add keys of others.
    """
    if answer.status != 200:
        raise ValueError(f"the answer is {answer.status}")
    try:
        found = json.loads(answer.content)
    except RecursionError as error:
        raise ValueError("the answer is nested too deep") from error
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError("the answer is no JSON object of texts")
    keys = {name: key for name, pem in found.items() if (key := _key(pem, algorithm)) is not None}
    if not keys:
        raise ValueError(f"the answer has no key for {algorithm}")
    return MappingProxyType(keys)


def _key(pem: str, algorithm: str) -> Key | None:
    try:
        text = pem.encode()
        if _CERTIFICATE in text:
            public: object = x509.load_pem_x509_certificate(text).public_key()
        else:
            public = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None
    # The kind is checked here: google-auth would meet another one only when it verifies.
    key: Key | None = None
    if algorithm == RS256 and isinstance(public, rsa.RSAPublicKey):
        key = crypt.RSAVerifier(public)  # type: ignore[no-untyped-call]  # google-auth is untyped
    if algorithm == ES256 and isinstance(public, ec.EllipticCurvePublicKey):
        is_p256 = isinstance(public.curve, ec.SECP256R1)
        key = crypt.ES256Verifier(public) if is_p256 else None
    return key
