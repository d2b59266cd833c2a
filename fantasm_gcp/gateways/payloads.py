"""Where contexts lie: in their row, compressed when that is smaller, or in payload rows of their own.

A payload is named by the digest of its content, written before the commit that refers to it, and never
changed: writing it twice is writing it once.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

KIND = "FantasmPayload"
ROW_LIMIT = 900_000
"""Bytes of a context that a row or a chunk holds; Datastore's limit for an entity is 1,048,572."""

COMPRESS_FROM = 512
KEEP_SECONDS = 400 * 24 * 3600
"""How long a payload is kept after it was last written."""

RENEW_SECONDS = 200 * 24 * 3600
"""A payload with less time than that left is written anew by the next row that has it: a row lives for 30
days until its task is due, and its record for 90 days.
"""

_REMEMBERED = 256
_REMEMBER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Inline:
    """What lies in the row itself."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Reference:
    """A payload: its digest and the number of its chunks."""

    digest: str
    chunks: int

    def __str__(self) -> str:
        return f"{self.digest}:{self.chunks}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.digest}-{i}" for i in range(self.chunks))

    @classmethod
    def parse(cls, text: str) -> Reference:
        digest, _, chunks = text.partition(":")
        return cls(digest, int(chunks))


def pack(context: bytes) -> bytes:
    """A context as it is stored: compressed where that saves something. JSON begins with a brace."""
    if len(context) < COMPRESS_FROM:
        return context
    packed = zlib.compress(context, 1)
    return packed if len(packed) < len(context) else context


def unpack(stored: bytes) -> bytes:
    """What :func:`pack` was given."""
    return stored if stored[:1] == b"{" else zlib.decompress(stored)


def place(context: bytes) -> tuple[Inline | Reference, Sequence[bytes]]:
    """Where a context is to lie, and the chunks of its payload if it needs one."""
    packed = pack(context)
    if len(packed) <= ROW_LIMIT:
        return Inline(packed), ()
    chunks = [packed[i : i + ROW_LIMIT] for i in range(0, len(packed), ROW_LIMIT)]
    return Reference(hashlib.sha256(packed).hexdigest()[:40], len(chunks)), chunks


class Remembered:
    """The payloads that this process lately wrote or read: they need not be written again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, float] = OrderedDict()

    def add(self, reference: Reference) -> None:
        with self._lock:
            self._seen[reference.digest] = self._clock()
            self._seen.move_to_end(reference.digest)
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)

    def __contains__(self, reference: Any) -> bool:
        with self._lock:
            return self._clock() - self._seen.get(reference.digest, float("-inf")) < _REMEMBER_SECONDS
