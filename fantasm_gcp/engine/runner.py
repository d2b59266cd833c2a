"""Delivering a step: load, act, decide, commit, enqueue. The protocol is described in docs/protocol.md."""

from __future__ import annotations

from collections.abc import Sequence

from fantasm_gcp.core.records import (
    Commit,
    Entry,
    Instance,
    Outcome,
    Stored,
    Task,
    TaskStatus,
    instance_key,
    task_key,
    window_key,
)
from fantasm_gcp.core.step import Acted, Arrival, Attempt, Following, commit_of, decide, parts_of
from fantasm_gcp.engine.acting import Acting, announce, execute, prepare
from fantasm_gcp.engine.collecting import Cuts, close_window, read_batch
from fantasm_gcp.engine.delivery import Answer, Delivery, Loaded, Moved
from fantasm_gcp.engine.ending import end_branch
from fantasm_gcp.engine.enqueue import enqueue, enqueue_in_flight, replay
from fantasm_gcp.engine.failing import attempts_used, exhausted, record_failure
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import (
    AlreadyExistsError,
    ConflictError,
    ContentionError,
    RefusedError,
    StepError,
    StoreError,
    UnavailableError,
)


def deliver(services: Services, delivery: Delivery) -> Answer:
    """Runs one delivery of a step. Any number of deliveries of it, overlapping or not, come to the same."""
    try:
        for attempt in range(services.limits.contention_tries):
            try:
                return _deliver(services, delivery, attempt)
            except Moved:
                services.back_off(attempt)
    except StoreError as error:
        return Answer("retry", str(error))
    return Answer("retry", f"{delivery.step} stays contended")


def load(services: Services, delivery: Delivery) -> Loaded:
    """The rows of a step and of its instance, read together."""
    task, instance = services.store.lookup([task_key(delivery.step), instance_key(delivery.instance)])
    return Loaded(task, instance)


def _deliver(services: Services, delivery: Delivery, attempt: int) -> Answer:
    loaded = load(services, delivery)
    stored = loaded.task
    if stored is None:
        return replay(services, delivery, loaded)
    if stored.row.status is TaskStatus.FAILED:
        end_branch(services, delivery.instance, loaded.instance)
        return Answer("failed")
    if delivery.epoch < stored.row.epoch:  # redriven since: that has a task of its own
        enqueue(services, [stored.row])
        return Answer("replayed")
    enqueue_in_flight(services, stored.row.ahead)
    if exhausted(services, stored.row, delivery):
        used, now = attempts_used(stored.row, delivery), services.clock()
        error = StepError(f"{delivery.unanswered} of {used} attempts never answered: out of time or memory")
        return record_failure(services, loaded, stored, delivery, error, attempts=used, began=now)
    last_transaction = attempt + 1 >= services.limits.transaction_tries
    return _Run(services, delivery, stored, loaded.instance, last_transaction).answer()


class _Run:
    """One attempt at a step that is in flight. ``stored`` is its row as this attempt last saw it."""

    def __init__(
        self,
        services: Services,
        delivery: Delivery,
        stored: Stored[Task],
        instance: Stored[Instance] | None,
        last_transaction: bool,
    ) -> None:
        self.services = services
        self.last_transaction = last_transaction
        self.delivery = delivery
        self.stored = stored
        self.instance = instance
        self.began = services.clock()
        self.number = attempts_used(stored.row, delivery) + 1

    def answer(self) -> Answer:
        """Acts and commits, and sees to what follows.

        What comes after the commit is no part of the attempt: it raises nothing but ``StoreError``, and the
        next delivery does it again.
        """
        try:
            following, commit = self._act_and_commit()
        except (RefusedError, ContentionError) as error:
            return self._failed(error)
        except (Moved, StoreError):
            raise
        except Exception as error:  # noqa: BLE001  the action is the user's: whatever it raises is recorded
            return self._failed(error)
        if commit is None:
            return replay(self.services, self.delivery, Loaded(None, None))
        if commit.tasks:
            enqueue(self.services, commit.tasks)
        if following.ends_branch:
            end_branch(self.services, self.delivery.instance, self.instance)
        return Answer("done")

    def _failed(self, error: Exception) -> Answer:
        loaded = Loaded(self.stored, self.instance)
        return record_failure(
            self.services,
            loaded,
            self.stored,
            self.delivery,
            error,
            attempts=self.number,
            began=self.began,
        )

    def _act_and_commit(self) -> tuple[Following, Commit | None]:
        """What follows, and the commit that was made of it: None where another delivery was faster."""
        acting = prepare(self.services, self.stored.row)
        if acting.state.continuation:
            self.stored = announce(self.services, self.stored, acting)
        entries: Sequence[Entry] | None = None
        if self.stored.row.collection is not None:
            close_window(self.services, self.stored.row.step.name, self.stored.row.collection)
            batch = read_batch(self.services, self.stored.row)
            if isinstance(batch, Cuts) or not batch:
                following = self._nothing_to_run(batch)
                return following, self._commit(following)
            entries = batch
        if acting.state.transactional:
            return self._act_in_transaction(acting, entries)
        following = decide(acting.machine, self.stored.row, execute(acting, entries), self.services.clock())
        return following, self._commit(following)

    def _nothing_to_run(self, batch: Sequence[Entry] | Cuts) -> Following:
        """A window that is empty, or one that is too large for a batch and goes on in parts."""
        task = self.stored.row
        if isinstance(batch, Cuts):
            parts = parts_of(task, batch.names, self.services.clock())
            return Following(Acted(None, task.context, outcome=Outcome.SPLIT), parts)
        return Following(Acted(None, task.context, outcome=Outcome.EMPTY))

    def _act_in_transaction(
        self, acting: Acting, entries: Sequence[Entry] | None
    ) -> tuple[Following, Commit]:
        """Acts inside the transaction that the step commits with; contention runs all of it again.

        After a few times contention is a failed attempt: the action may be too slow for it ever to end.
        """
        try:
            with self.services.store.acting_transaction() as transaction:
                acting.scope.client = transaction.client
                current = transaction.lookup([self.stored.row.key])[0]
                if current is None or current.version != self.stored.version:
                    raise Moved(f"{self.delivery.step} was changed by another delivery")
                acted = execute(acting, entries)
                following = decide(acting.machine, self.stored.row, acted, self.services.clock())
                window = None
                if following.arrival is not None:
                    head = transaction.lookup([window_key(following.arrival.group)])[0]
                    window = head.row if head else None
                commit = commit_of(self.stored, following, self._attempt(), window)
                transaction.stage(commit)
        except (ConflictError, AlreadyExistsError) as error:
            if self.last_transaction:
                raise ContentionError(f"the transaction lost to others again and again: {error}") from error
            raise Moved(str(error)) from error
        except UnavailableError as error:
            raise Moved(str(error)) from error
        return following, commit

    def _commit(self, following: Following) -> Commit | None:
        """Commits an outcome on whatever version the row has come to, without acting again.

        None where the row is gone, given up or redriven: then the outcome is dropped. Raises ``Moved`` where
        another delivery announced a follow-up: it may begin elsewhere than where this one's page ended.
        """
        for attempt in range(self.services.limits.contention_tries):
            try:
                if following.arrival is not None:
                    return self._arrive(following, following.arrival)
                commit = commit_of(self.stored, following, self._attempt(), None)
                self.services.store.commit(commit)
            except (ConflictError, AlreadyExistsError, UnavailableError):
                self.services.back_off(attempt)
                again = load(self.services, self.delivery)
                self.instance = again.instance
                if again.task is None or _overtaken(again.task.row, self.stored.row):
                    return None
                if again.task.row.announced != self.stored.row.announced:
                    raise Moved(f"another delivery of {self.delivery.step} announced its page") from None
                self.stored = again.task
            else:
                return commit
        raise UnavailableError(f"{self.delivery.step} stays contended")

    def _arrive(self, following: Following, arrival: Arrival) -> Commit:
        """Puts the entry into the open window, which an arrival only ever reads; opens one where none is.

        Opening gives the locks back first: many transactions that all want to write the window would wait
        for each other. The opener's entry goes in with the window, so no window is ever left unused.
        """
        with self.services.store.begin() as transaction:
            window, task = transaction.lookup([window_key(arrival.group), self.stored.row.key])
            if task is None or task.version != self.stored.version:
                raise ConflictError(f"{self.delivery.step} was changed by another delivery")
            commit = commit_of(self.stored, following, self._attempt(), window.row if window else None)
            if window is not None:
                transaction.commit(commit)
                return commit
        self.services.store.commit(commit)
        return commit

    def _attempt(self) -> Attempt:
        return Attempt(self.number, self.began, self.services.clock())


def _overtaken(current: Task, loaded: Task) -> bool:
    """Whether an outcome of the loaded row must be dropped: the step was given up or redriven."""
    return current.status is TaskStatus.FAILED or current.epoch != loaded.epoch
