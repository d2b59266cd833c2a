"""Open transactions: what each has read, when each expires, and whom a commit meets.

A transaction notes the keys it looks up and the queries it runs, and every commit made while transactions are
open leaves its changes here for as long as one of them may need to know. A change meets a transaction when
it is of a key that was looked up, or of an entity that a query of it found, or would find now, or when it
alters what a query of metadata showed. What follows depends on the database's mode, as in production:

* optimistic: all reads of a transaction show the moment at which it began, and its commit is ABORTED when a
  change has met it since;
* pessimistic: reads show what is there and lock it, and a commit that would meet another open transaction
  waits for that one's end. It is ABORTED instead when the other waits for this one, or when it has waited
  for too long. It waits only for those that had begun when it came; those that begin later and stand in
  its way are ABORTED, or commits would wait for ever where transactions keep coming.

A read-only transaction shows one moment in both modes, and neither meets anyone nor is met.
Source: https://cloud.google.com/datastore/docs/concepts/transactions (retrieved 2026-08).
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from operator import attrgetter
from typing import Any, NamedTuple

import grpc

from fantasm_gcp.local.datastore.entity.entities import indexed_values
from fantasm_gcp.local.datastore.entity.keys import Partition
from fantasm_gcp.local.datastore.entity.messages import Entity, invalid
from fantasm_gcp.local.datastore.querying.query import Query
from fantasm_gcp.local.rpc import RpcError

LIFETIME = 270.0
IDLE_LIFETIME = 60.0
MAX_OPEN = 2_000
MAX_CHANGES = 20_000
MAX_CHANGED_BYTES = 64 * 1024 * 1024
"""Changes remembered at most, and the bytes of what they changed: a transaction that began before the oldest
of them is ABORTED at its commit."""

_ID_BYTES = 16
_CONTENTION = (
    "Aborted due to cross-transaction contention. This occurs when multiple transactions attempt to access"
    " the same data, requiring Firestore to abort at least one in order to enforce serializability."
)


def check_identifier(identifier: bytes) -> None:
    """Raises INVALID_ARGUMENT for what cannot be the identifier of a transaction, open or ended."""
    if not identifier:
        raise invalid("a transaction cannot be the empty string.")
    if len(identifier) != _ID_BYTES:
        raise invalid("Invalid transaction.")


def contention() -> RpcError:
    """The refusal of a transaction that has met another: ABORTED."""
    return RpcError(grpc.StatusCode.ABORTED, _CONTENTION)


class Change(NamedTuple):
    """One entity that a commit has written: its serialized form before and after, ``None`` for none."""

    moment: int
    partition: Partition
    kind: str
    path: bytes
    before: bytes | None
    after: bytes | None

    @property
    def size(self) -> int:
        return len(self.before or b"") + len(self.after or b"")


@dataclass(slots=True, eq=False)
class Transaction:
    """One open transaction of a database.

    ``begun`` and ``used`` are seconds of the server's clock. ``moment``, in microseconds, is what its reads
    show; ``None`` is whatever is there. ``since`` is the moment after which a change can meet it. ``watches``
    say each whether metadata that it has read would be shown otherwise now. ``ending``
    says that its commit has begun, and ``waits_for`` whom that waits for. ``number`` counts transactions, and
    ``doomed`` says that a commit has gone before it, or that its own has failed.
    """

    id: bytes
    number: int
    database: tuple[str, str]
    read_only: bool
    begun: float
    used: float
    moment: int | None
    since: int
    keys: set[tuple[Partition, bytes]] = field(default_factory=set)
    queries: list[Query] = field(default_factory=list)
    watches: list[Callable[[], bool]] = field(default_factory=list)
    ending: bool = False
    doomed: bool = False
    waits_for: Transaction | None = None

    def met_by(self, change: Change) -> bool:
        """Whether a change touches what it has read."""
        if (change.partition, change.path) in self.keys:
            return True
        queries = [query for query in self.queries if _concerns(change, query)]
        if not queries:
            return False
        versions = [Entity.FromString(body) for body in (change.before, change.after) if body is not None]
        return any(_finds(query, entity, change.path) for query in queries for entity in versions)

    def met_in_metadata(self) -> bool:
        """Whether metadata that it has read is no longer so."""
        return any(watch() for watch in self.watches)


def _concerns(change: Change, query: Query) -> bool:
    """Whether a change may touch a query's results."""
    return query.partition == change.partition and query.kind in ("", change.kind)


def _finds(query: Query, entity: Any, path: bytes) -> bool:
    rows = query.rows(indexed_values(entity, query.named), path)
    return any(
        row.position > query.start and (query.end is None or row.position <= query.end) for row in rows
    )


class Transactions:
    """The open transactions of a server, and the changes made since the oldest of them began."""

    def __init__(self) -> None:
        self._open: OrderedDict[bytes, Transaction] = OrderedDict()  # the longest unused first
        self._changes: deque[Change] = deque()
        self._changed_bytes = 0
        self._complete_from = 0
        self.begun = 0

    def begin(
        self, database: tuple[str, str], now: float, *, read_only: bool, moment: int | None, since: int
    ) -> Transaction:
        """Opens a transaction after the commit of ``since``; the longest unused gives way to one too many."""
        self.expire(now)
        while len(self._open) >= MAX_OPEN:
            self._open.popitem(last=False)
        self.begun += 1
        identifier = secrets.token_bytes(_ID_BYTES)
        opened = Transaction(identifier, self.begun, database, read_only, now, now, moment, since)
        self._open[opened.id] = opened
        return opened

    def end(self, identifier: bytes, database: tuple[str, str], now: float) -> None:
        """Rolls the open transaction of that id back; raises as :meth:`get`.

        One whose commit has failed can be rolled back once, too: clients do so, and are to see why it failed.
        """
        if not identifier:
            raise invalid("transaction required")
        found = self._open.get(identifier)
        if found is None or not (found.doomed and found.database == database):
            found = self.get(identifier, database, now)
        self.finish(found)

    def get(self, identifier: bytes, database: tuple[str, str], now: float) -> Transaction:
        """The open transaction of that id, marked as used.

        Raises INVALID_ARGUMENT when it is malformed, ending, expired, of another database or never was.
        """
        check_identifier(identifier)
        self.expire(now)
        found = self._open.get(identifier)
        if found is None or found.database != database or found.ending:
            raise invalid("The referenced transaction has expired or is no longer valid.")
        found.used = now
        self._open.move_to_end(identifier)
        return found

    def is_open(self, transaction: Transaction) -> bool:
        """Whether it has neither ended nor expired."""
        return transaction.id in self._open

    def expire(self, now: float) -> None:
        """Ends what was not used for 60 s, or was begun 270 s ago."""
        if not self._open:
            return
        idle = list(takewhile(lambda one: now - one.used > IDLE_LIFETIME, self._open.values()))
        old = [one for one in self._open.values() if now - one.begun > LIFETIME]
        for one in {*idle, *old}:
            self.finish(one)

    def finish(self, transaction: Transaction) -> None:
        """Closes a transaction: its id means nothing from now on. Idempotent."""
        self._open.pop(transaction.id, None)
        if not self._open:
            self._forget_changes()

    def clear(self) -> None:
        """Closes every transaction."""
        self._open.clear()
        self._forget_changes()

    def _forget_changes(self) -> None:
        self._changes.clear()
        self._changed_bytes = 0

    def note(self, changes: Iterable[Change]) -> None:
        """Remembers what a commit has changed, if a transaction is open that may want to know."""
        if not self._open:
            return
        for change in changes:
            self._changes.append(change)
            self._changed_bytes += change.size
        while len(self._changes) > MAX_CHANGES or self._changed_bytes > MAX_CHANGED_BYTES:
            oldest = self._changes.popleft()
            self._changed_bytes -= oldest.size
            self._complete_from = oldest.moment

    def check(self, transaction: Transaction) -> None:
        """Raises ABORTED when a change has met a transaction since it began."""
        if transaction.since < self._complete_from or any(map(transaction.met_by, self._since(transaction))):
            raise contention()
        if transaction.met_in_metadata():
            raise contention()

    def _since(self, transaction: Transaction) -> Iterator[Change]:
        return takewhile(lambda change: change.moment > transaction.since, reversed(self._changes))

    def holders(self, changes: Collection[Change], own: Transaction | None) -> list[Transaction]:
        """The other open transactions that have locked what these changes touch, the oldest first."""
        met = (
            other
            for other in self._open.values()
            if other is not own
            and not (other.read_only or other.doomed)
            and (any(map(other.met_by, changes)) or other.met_in_metadata())
        )
        return sorted(met, key=attrgetter("number"))


def is_awaited_by(transaction: Transaction, other: Transaction) -> bool:
    """Whether ``other`` waits for ``transaction``, maybe by way of further ones."""
    following = other.waits_for
    while following is not None and following is not transaction:
        following = following.waits_for
    return following is transaction
