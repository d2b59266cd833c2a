"""What can go wrong with one RPC: one entry of the table for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.testing.faults import Crash, Rpc

READS_IN_TRANSACTIONS = ("Lookup", "RunQuery")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault before or after an RPC is carried out; without a status, the worker is killed.

    ``odds`` are relative to those of the other faults, ``words`` what the schedule says of it.
    """

    words: str
    after: bool
    status: grpc.StatusCode | None
    odds: float
    concerns: Callable[[Rpc], bool] = lambda _: True

    def befall(self, rpc: Rpc, carry_out: Callable[[], Any]) -> Any:
        """Carries an RPC out with this fault, if it is one that can have it."""
        if not self.concerns(rpc):
            return carry_out()
        if self.after:
            carry_out()
        if self.status is None:
            raise Crash
        raise RpcError(self.status, f"simulated: {self.words}")


def _is_commit(rpc: Rpc) -> bool:
    return rpc.method == "Commit"


def _may_abort(rpc: Rpc) -> bool:
    """ABORTED says that nothing was written; Datastore says it of commits and inside of transactions."""
    if rpc.method in READS_IN_TRANSACTIONS:
        return bool(rpc.request.read_options.WhichOneof("consistency_type") == "transaction")
    return rpc.method == "Commit"


FAULTS: tuple[Fault | None, ...] = (
    None,
    Fault("killed before", after=False, status=None, odds=3),
    Fault("killed after", after=True, status=None, odds=3),
    Fault("UNAVAILABLE before", after=False, status=grpc.StatusCode.UNAVAILABLE, odds=1),
    Fault("UNAVAILABLE after", after=True, status=grpc.StatusCode.UNAVAILABLE, odds=1),
    Fault("ABORTED", after=False, status=grpc.StatusCode.ABORTED, odds=1, concerns=_may_abort),
    Fault(
        "DEADLINE_EXCEEDED, but committed",
        after=True,
        status=grpc.StatusCode.DEADLINE_EXCEEDED,
        odds=1,
        concerns=_is_commit,
    ),
)
"""By their number on the tape."""


def weights(rate: float) -> tuple[float, ...]:
    """How likely each is where ``rate`` of the RPCs have a fault."""
    odds = [each.odds for each in FAULTS if each is not None]
    return (1 - rate, *(rate * each / sum(odds) for each in odds))
