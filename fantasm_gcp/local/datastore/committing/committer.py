"""Commits: what is asked is checked, the transaction is ended, and all is written or nothing.

In the pessimistic mode a commit may have to wait for another transaction's end. It then undoes what it has
written so far, gives up the server's lock while it waits, and begins again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from fantasm_gcp.local.datastore.committing.mutations import Prepared, check_sequence, prepare
from fantasm_gcp.local.datastore.committing.transactions import (
    Transaction,
    Transactions,
    check_identifier,
    contention,
    is_awaited_by,
)
from fantasm_gcp.local.datastore.committing.writing import Writer
from fantasm_gcp.local.datastore.entity.messages import invalid, set_time
from fantasm_gcp.local.datastore.storage.store import Store
from fantasm_gcp.local.rpc import RpcError

LOCK_SECONDS = 30.0
"""How long a commit waits for another transaction at most, in real time."""

MAX_WAITING = 8
"""How many commits may wait at a time: other threads of a server must be free to end what they wait for."""

_LOOK_AGAIN_SECONDS = 1.0  # a transaction that expires tells nobody
_TRANSACTIONAL, _NON_TRANSACTIONAL = 1, 2


class _BlockedError(Exception):
    def __init__(self, holder: Transaction) -> None:
        self.holder = holder


class Committer:
    """Carries out Commit requests one at a time, with the server's lock held by the caller.

    ``now`` gives the moment of a commit in microseconds, later than any before; ``clock`` seconds.
    """

    def __init__(
        self,
        store: Store,
        transactions: Transactions,
        lock: threading.Lock,
        clock: Callable[[], float],
        now: Callable[[], int],
        *,
        pessimistic: bool,
        lock_seconds: float,
    ) -> None:
        self._store = store
        self._transactions = transactions
        self._ended = threading.Condition(lock)
        self._clock = clock
        self._now = now
        self._pessimistic = pessimistic
        self._lock_seconds = lock_seconds
        self.waiting = 0
        self._closed = False

    def close(self) -> None:
        """Has every commit that waits answer UNAVAILABLE."""
        self._closed = True
        self._ended.notify_all()

    def wake(self) -> None:
        """Has every commit that waits look again: a transaction has ended."""
        if self.waiting:
            self._ended.notify_all()

    def commit(self, request: Any, response: Any) -> None:
        """Carries out a ``CommitRequest``; its transaction is over then, but for a rollback if it failed."""
        transactional = _is_transactional(request)
        prepared = _prepare_all(request, transactional)
        self._transactions.expire(self._clock())  # what has expired locks nothing, and needs no changes
        transaction = None
        if transactional and request.WhichOneof("transaction_selector") == "transaction":
            database = (request.project_id, request.database_id)
            transaction = self._transactions.get(request.transaction, database, self._clock())
            if transaction.read_only and prepared:
                raise invalid("Cannot modify entities in a read-only transaction.")
        try:
            if transaction is not None:
                transaction.ending = True
                if transaction.doomed:
                    raise contention()
                if not (transaction.read_only or self._pessimistic):
                    self._transactions.check(transaction)
            moment = self._write(request, prepared, transaction, response) if prepared else self._now()
        except BaseException:
            if transaction is not None:
                transaction.doomed = True
                self.wake()
            raise
        if transaction is not None:
            self._transactions.finish(transaction)
            self.wake()
        if transactional:
            set_time(response.commit_time, moment)

    def _write(
        self, request: Any, prepared: list[Prepared], transaction: Transaction | None, response: Any
    ) -> int:
        if not self._pessimistic:
            return self._apply(prepared, transaction, response)
        give_up, last = time.monotonic() + self._lock_seconds, self._transactions.begun
        while True:
            # Writing fills in ids and transforms values in place, so each try begins from the request.
            attempt = type(request)()
            attempt.CopyFrom(request)
            try:
                return self._apply(_prepare_all(attempt, transactional=True), transaction, response, last)
            except _BlockedError as blocked:
                del response.mutation_results[:]
                self._wait_for(blocked.holder, transaction, give_up)

    def _apply(
        self, prepared: list[Prepared], transaction: Transaction | None, response: Any, last: int = 0
    ) -> int:
        """Writes it; ``last`` is the number of the last transaction for which it has to wait."""
        now = self._now()
        with self._store.writing():
            # As in production a version is the time of its commit, so that any moment has a version, too.
            self._store.version = max(self._store.version + 1, now)
            self._store.clock = now
            writer = Writer(self._store, self._store.version, now)
            for item in prepared:
                writer.apply(item, response.mutation_results.add())
            writer.finish()
            holders = self._transactions.holders(writer.changes, transaction) if self._pessimistic else []
            if holders and holders[0].number <= last:
                raise _BlockedError(holders[0])
        for later in holders:
            later.doomed = True
        if not self._pessimistic:
            self._transactions.note(writer.changes)
        response.index_updates = writer.index_updates
        return now

    def _wait_for(self, holder: Transaction, own: Transaction | None, give_up: float) -> None:
        left = give_up - time.monotonic()
        if left <= 0 or self.waiting >= MAX_WAITING or (own is not None and is_awaited_by(own, holder)):
            raise contention()
        self.waiting += 1
        if own is not None:
            own.waits_for = holder
        try:
            self._ended.wait(min(left, _LOOK_AGAIN_SECONDS))
        finally:
            self.waiting -= 1
            if own is not None:
                own.waits_for = None
        if self._closed:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "the local Datastore is closed")
        if own is not None:
            own.used = self._clock()
        self._transactions.expire(self._clock())
        if own is not None and (own.doomed or not self._transactions.is_open(own)):
            raise contention()


def _prepare_all(request: Any, transactional: bool) -> list[Prepared]:
    prepared = [prepare(mutation, request.project_id, request.database_id) for mutation in request.mutations]
    check_sequence(prepared, transactional=transactional)
    return prepared


def _is_transactional(request: Any) -> bool:
    """Whether a commit is transactional; INVALID_ARGUMENT when its mode and transaction do not fit."""
    selector = request.WhichOneof("transaction_selector")
    if request.mode == _NON_TRANSACTIONAL:
        if selector is not None:
            raise invalid("non-transaction commit cannot specify a transaction")
        return False
    if request.mode not in (0, _TRANSACTIONAL):
        raise invalid(f"unknown commit mode: {request.mode}")
    if selector is None:
        raise invalid("transactional commit requires a transaction")
    if selector == "single_use_transaction":
        options = request.single_use_transaction
        if options.WhichOneof("mode") == "read_only":
            raise invalid("single_use_transaction in a commit request must be READ_WRITE.")
        if options.read_write.previous_transaction:
            check_identifier(options.read_write.previous_transaction)
    return True
