"""The time of a server: microseconds since the epoch at which it commits and reads.

Every commit has a moment of its own, after all moments that were read as of before: what a reading has shown
of a moment stays true of it. A moment is the version of what was there, too, as in production.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from fantasm_gcp.local.datastore.entity.messages import invalid, micros_of
from fantasm_gcp.local.datastore.storage.store import MOST_PAST, MOST_PAST_BYTES, PAST_MICROS, Store
from fantasm_gcp.local.rpc import RpcError


class Moments:
    """The moments of one store; ``clock`` gives seconds since the epoch. Not thread-safe."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._issued = 0

    def free(self) -> int:
        """The moment for a commit: later than every commit before and every moment that was read."""
        return max(int(self._clock() * 1_000_000), self._store.clock + 1, self._issued + 1)

    def present(self) -> int:
        """The moment of a reading of what is there: nothing is committed at it any more."""
        self._issued = self.free()
        return self._issued

    def past(self, read_time: Any) -> int:
        """A moment of the last hour, from the ``Timestamp`` that a request asks to read as of.

        Raises INVALID_ARGUMENT when it is malformed or yet to come, FAILED_PRECONDITION when it is no longer
        known what was there.
        """
        if read_time.nanos % 1000:
            raise invalid("timestamp cannot have more than microseconds precision")
        moment, now = micros_of(read_time), self.free()
        if moment > now:
            raise invalid("The requested 'read_time' cannot be in the future.")
        if moment <= 0:
            raise invalid("Only timestamps past epoch are supported.")
        if moment < max(self._store.complete_from, now - PAST_MICROS):
            raise RpcError(
                grpc.StatusCode.FAILED_PRECONDITION,
                "The requested read_time is too old: what was overwritten is kept for an hour, "
                f"and at most {MOST_PAST} versions of it or {MOST_PAST_BYTES} bytes.",
            )
        self._issued = max(self._issued, moment)
        return moment
