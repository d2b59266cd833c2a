"""Open transactions: what each has read, and when each expires.

Concurrency is optimistic. A transaction reads what is there and remembers what it saw: the version of every
key it looked up (0 for a missing one), and for every query the last change of the kind it ran over (any
change to the kind, by whichever entity, counts: coarse, never wrong; a query without a kind counts changes
of its partition). At commit all of it must still be so, else the commit is ABORTED. Each further read checks
the same, so a transaction never sees two states at once; production would show the old state and abort only
at the commit, and never aborts a read-only transaction.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

import grpc

from fantasm_gcp.local.datastore.keys import Partition
from fantasm_gcp.local.datastore.messages import invalid
from fantasm_gcp.local.datastore.store import Store
from fantasm_gcp.local.rpc import RpcError

LIFETIME = 270.0
IDLE_LIFETIME = 60.0
MAX_OPEN = 10_000

_ID_BYTES = 16
_CONTENTION = (
    "Aborted due to cross-transaction contention. This occurs when multiple transactions attempt to access"
    " the same data, requiring Firestore to abort at least one in order to enforce serializability."
)


@dataclass(slots=True)
class Transaction:
    """One open transaction of a database; times are of the server's clock, in seconds."""

    id: bytes
    database: tuple[str, str]
    read_only: bool
    begun: float
    used: float
    keys: dict[tuple[Partition, bytes], int] = field(default_factory=dict)
    queries: dict[tuple[Partition, str], int] = field(default_factory=dict)
    checked: int = 0


class Transactions:
    """The open transactions of a server, and the last changes that queries are checked against."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: OrderedDict[bytes, Transaction] = OrderedDict()  # the longest unused first
        self._changes: dict[tuple[Partition, str], int] = {}

    def begin(self, database: tuple[str, str], read_only: bool, now: float) -> Transaction:
        """Opens a transaction; the longest unused is dropped when there are too many."""
        self._expire(now)
        while len(self._open) >= MAX_OPEN:
            self._open.popitem(last=False)
        opened = Transaction(secrets.token_bytes(_ID_BYTES), database, read_only, now, now)
        self._open[opened.id] = opened
        return opened

    def get(self, identifier: bytes, database: tuple[str, str], now: float) -> Transaction:
        """The open transaction of that id, marked as used.

        Raises INVALID_ARGUMENT when it is finished, expired, of another database or was never begun.
        """
        self._expire(now)
        found = self._open.get(identifier)
        if found is not None and now - found.begun > LIFETIME:
            del self._open[identifier]
            found = None
        if found is None or found.database != database:
            raise invalid("The referenced transaction has expired or is no longer valid.")
        found.used = now
        self._open.move_to_end(identifier)
        return found

    def _expire(self, now: float) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if now - oldest.used <= IDLE_LIFETIME:
                return
            del self._open[oldest.id]

    def finish(self, transaction: Transaction) -> None:
        """Closes a transaction: its id means nothing from now on."""
        self._open.pop(transaction.id, None)

    def check(self, transaction: Transaction) -> None:
        """Raises ABORTED when something a transaction has read is no longer so.

        It stays open: the client rolls back, and must not be told that there is nothing to roll back.
        """
        if transaction.checked == self._store.version:
            return
        if not (self._keys_hold(transaction) and self._queries_hold(transaction)):
            raise RpcError(grpc.StatusCode.ABORTED, _CONTENTION)
        transaction.checked = self._store.version

    def _keys_hold(self, transaction: Transaction) -> bool:
        for (partition, key), version in transaction.keys.items():
            scope = self._store.scope(partition)
            if version != (0 if scope is None else self._store.version_of(scope, key)):
                return False
        return True

    def _queries_hold(self, transaction: Transaction) -> bool:
        return all(self._changes.get(read, 0) == version for read, version in transaction.queries.items())

    def note_query(self, transaction: Transaction, partition: Partition, kind: str) -> None:
        """Records that a transaction has queried a kind (the empty string: all kinds)."""
        transaction.queries[partition, kind] = self._changes.get((partition, kind), 0)

    def note_change(self, partition: Partition, kind: str) -> None:
        """Records that this commit has changed an entity of a kind."""
        self._changes[partition, kind] = self._changes[partition, ""] = self._store.version

    def clear(self) -> None:
        """Closes every transaction."""
        self._open.clear()
        self._changes.clear()
