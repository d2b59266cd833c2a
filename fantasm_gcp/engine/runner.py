"""Delivering a step: load, act, decide, commit, enqueue. The protocol is described in docs/protocol.md."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fantasm_gcp.core.commits import commit_of
from fantasm_gcp.core.context import Failure
from fantasm_gcp.core.names import started_of
from fantasm_gcp.core.records import (
    Commit,
    Entry,
    Instance,
    InstanceStatus,
    LogLine,
    Outcome,
    Role,
    Stored,
    Task,
    TaskStatus,
    Window,
    instance_key,
    task_key,
    window_key,
)
from fantasm_gcp.core.spreading import scatter, spread_out
from fantasm_gcp.core.step import Acted, Attempt, Following, Leaving, Moment, decide, parts_of
from fantasm_gcp.engine.acting import Acting, announce, execute, prepare, unacted
from fantasm_gcp.engine.collecting import Cuts, close_window, discard_entries, read_batch
from fantasm_gcp.engine.delivery import Answer, Delivery, Loaded, Moved, is_overtaken
from fantasm_gcp.engine.ending import end_branch
from fantasm_gcp.engine.enqueue import enqueue, enqueue_in_flight, enqueue_unrecorded, without_started
from fantasm_gcp.engine.failing import (
    Failed,
    attempts_used,
    exhausted,
    failed_attempt,
    put_off,
    record_failure,
    words_of,
)
from fantasm_gcp.engine.forwarding import forward, is_deferred
from fantasm_gcp.engine.operations import operate
from fantasm_gcp.engine.parking import park, unpark
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.replaying import replay
from fantasm_gcp.errors import (
    AlreadyExistsError,
    ConflictError,
    ContentionError,
    HaltMachineError,
    RefusedError,
    RetryLater,
    StepError,
    StoreError,
    UnavailableError,
)
from fantasm_gcp.observing.steps import Watched

log = logging.getLogger("fantasm_gcp.engine")


def deliver(services: Services, delivery: Delivery) -> Answer:
    """Runs one delivery of a step. Any number of deliveries of it, overlapping or not, come to the same."""
    watched = Watched(delivery.step, delivery.instance, services.clock)
    answer = _delivered(services, delivery, watched)
    watched.answered(answer.verdict, answer.message)
    return answer


def _delivered(services: Services, delivery: Delivery, watched: Watched) -> Answer:
    try:
        for attempt in range(services.limits.contention_tries):
            try:
                return _deliver(services, delivery, attempt, watched)
            except Moved:
                services.back_off(attempt)
    except StoreError as error:
        return Answer("retry", str(error))
    return Answer("retry", f"{delivery.step} stays contended")


def load(services: Services, delivery: Delivery) -> Loaded:
    """The rows of a step and of its instance, read together."""
    task, instance = services.store.lookup([task_key(delivery.step), instance_key(delivery.instance)])
    return Loaded(task, instance)


def _deliver(services: Services, delivery: Delivery, attempt: int, watched: Watched) -> Answer:
    loaded = load(services, delivery)
    stored = loaded.task
    if stored is None:
        return replay(services, delivery, loaded, watched)
    watched.sees(stored.row.step)
    if stored.row.step.instance != delivery.instance:
        return Answer("refused", f"{delivery.step} is no step of {delivery.instance}")
    if stored.row.status is TaskStatus.WAITING:
        return Answer("refused", f"{delivery.step} only waits for another instance")
    if stored.row.status is TaskStatus.FAILED:
        end_branch(services, delivery.instance, loaded.instance)
        return Answer("failed")
    if delivery.epoch < stored.row.epoch:  # redriven since: that has a task of its own
        if stored.row.status is TaskStatus.QUEUED:
            enqueue(services, [stored.row])
        return Answer("replayed")
    enqueue_in_flight(services, stored.row.ahead)
    stopped = loaded.instance is not None and loaded.instance.row.status is InstanceStatus.CANCELLED
    parked = None if stopped else park(services, delivery, loaded)
    if parked is not None:
        return parked
    if not stopped and stored.row.status is TaskStatus.PARKED:
        unpark(services, stored)
        return Answer("later", "this step was parked, and is not to be any more")
    last_transaction = attempt + 1 >= services.limits.transaction_tries
    is_out = not stopped and exhausted(services, stored.row, delivery)
    number = attempts_used(stored.row, delivery) + (0 if is_out else 1)
    run = _Run(services, delivery, stored, loaded.instance, number, last_transaction, watched)
    with watched.attempt(stored.row, number):
        return run.give_up() if is_out else run.answer(stopped)


class _Run:
    """One attempt at a step that is in flight. ``stored`` is its row as this attempt last saw it."""

    def __init__(
        self,
        services: Services,
        delivery: Delivery,
        stored: Stored[Task],
        instance: Stored[Instance] | None,
        number: int,
        last_transaction: bool,
        watched: Watched,
    ) -> None:
        self.services = services
        self.last_transaction = last_transaction
        self.watched = watched
        self.delivery = delivery
        self.stored = stored
        self.instance = instance
        self.acting: Acting | None = None
        self.entries: Sequence[Entry] | None = None
        self.began = services.clock()
        self.number = number

    def give_up(self) -> Answer:
        """Fails a step whose attempts are used up by deliveries that were never answered."""
        silent = self.delivery.unanswered
        return self._failed(
            StepError(f"{silent} of {self.number} attempts never answered: out of time or memory")
        )

    def answer(self, stopped: bool) -> Answer:
        """Acts and commits, and sees to what follows; in a ``stopped`` instance nothing acts any more."""
        try:
            outcome = self._discard() if stopped else self._act_and_commit()
        except RetryLater as later:
            return put_off(self.services, self.stored, self.delivery, later, self._lines())
        except (RefusedError, ContentionError) as error:
            return self._failed(error)
        except (Moved, StoreError):
            raise
        except Exception as error:  # noqa: BLE001  the action is the user's: whatever it raises is recorded
            return self._failed(error)
        return self._committed(*outcome)

    def _committed(self, following: Following, commit: Commit | None) -> Answer:
        """Sees to what follows from a commit.

        That is no part of the attempt: it raises nothing but ``StoreError``, and the next delivery does it
        again.
        """
        if commit is None:
            raise Moved(f"another delivery of {self.delivery.step} decided")
        acted = following.acted
        self.watched.committed(acted.outcome, acted.event, len(commit.tasks))
        if commit.tasks:
            enqueue(self.services, commit.tasks)
        enqueue_in_flight(self.services, following.taken)
        if following.ends_branch:
            instance = None if acted.stops_instance else self.instance
            end_branch(self.services, self.delivery.instance, instance)
        return Answer("done")

    def _failed(self, error: Exception) -> Answer:
        """Records a failed attempt; where it was the last one, the state may have an event for that."""
        failed = failed_attempt(self.services, self.stored.row, self.delivery, error, self.number, self.began)
        self.watched.failed(error, failed.task.failure, failed.given_up)
        if failed.on_error is not None:
            try:
                outcome = self._recover(failed, failed.on_error)
            except (RefusedError, ContentionError) as another:
                log.error("%s cannot go on by on_error: %s", self.delivery.step, another)
            except (Moved, StoreError):
                raise
            except Exception:
                log.exception("%s cannot go on by on_error", self.delivery.step)
            else:
                return self._committed(*outcome)
        return record_failure(self.services, self.instance, self.stored, failed, self._lines())

    def _recover(self, failed: Failed, event: str) -> tuple[Following, Commit | None]:
        """Fires the transition that a state has for a step that is out of attempts."""
        task, cause = self.stored.row, failed.task.failure
        acting = prepare(self.services, task, self._started(), self.watched.trace)
        words = cause.error if cause else ""
        log.error("%s goes on by on_error: %s", task.step.name, words, exc_info=failed.error)
        return self._go_on(acting, event, Outcome.RECOVERED, f"on_error, after: {words}", cause)

    def _go_on(
        self, acting: Acting, event: str, outcome: Outcome, note: str, cause: Failure | None = None
    ) -> tuple[Following, Commit | None]:
        """Commits an outcome without running the actions: as if they had returned an event, or the end."""
        nothing = self._collect(acting)
        if nothing is not None:
            return self._commit(nothing)
        acted = unacted(self.services, acting, self.stored.row, self.entries, event or None, cause)
        if not event:
            return self._commit(Following(replace(acted, outcome=outcome), note=note))
        following = self._following(acting, acted)
        acted = replace(following.acted, outcome=outcome)
        return self._commit(replace(following, acted=acted, note=note))

    def _collect(self, acting: Acting) -> Following | None:
        """Reads what a fan-in's step collects; what follows where that is nothing, or more than a batch."""
        task = self.stored.row
        if task.collection is None:
            return None
        if task.collection.round is None:
            close_window(self.services, task.step.name, task.collection)
        batch = read_batch(self.services, task, acting.state.fan_in_max)
        if isinstance(batch, Cuts) or not batch:
            return self._nothing_to_run(batch)
        self.entries = batch
        self.watched.collects(batch)
        return None

    def _lines(self) -> tuple[LogLine, ...]:
        """What the actions logged to be kept."""
        if self.acting is None:
            return ()
        lines: tuple[LogLine, ...] = self.acting.scope.logger.take(self.stored.row.epoch, self.number)
        return lines

    def _act_and_commit(self) -> tuple[Following, Commit | None]:
        """What follows, and the commit that was made of it: None where another delivery was faster."""
        try:
            return self._act()
        except HaltMachineError as halt:
            if halt.log_level is not None and self.acting is not None:
                self.acting.scope.logger.log(halt.log_level, words_of(halt))
            return self._commit(Following(self._halted(halt), note=words_of(halt)))

    def _act(self) -> tuple[Following, Commit | None]:
        task = self.stored.row
        if task.is_operation:
            return self._commit(operate(self.services, task, self.instance))
        if is_deferred(task):
            return self._commit(forward(self.services, task, self.instance))
        if task.role is Role.SPREAD:
            machine = self.services.definitions.machines.get(task.step.machine)
            return self._commit(scatter(machine, task, self.services.limits.spread, self._moment()))
        acting = self.acting = prepare(self.services, task, self._started(), self.watched.trace)
        if task.skip is not None:
            return self._go_on(acting, task.skip, Outcome.SKIPPED, "skipped by an operator")
        if acting.state.continuation:
            self.stored = announce(self.services, self.stored, acting)
        nothing = self._collect(acting)
        if nothing is not None:
            return self._commit(nothing)
        if acting.state.transactional:
            return self._act_in_transaction(acting)
        return self._commit(
            self._following(acting, execute(self.services, acting, self.stored.row, self.entries))
        )

    def _following(self, acting: Acting, acted: Acted) -> Following:
        """What follows from what was acted; starts of machines without records happen ahead of the commit."""
        following = decide(acting.machine, self.stored.row, acted, self._moment())
        following = enqueue_unrecorded(self.services, following, self.watched.trace)
        bounds = self.services.limits.spread
        return spread_out(self.stored.row, following, acting.machine, bounds, self._moment())

    def _moment(self) -> Moment:
        return Moment(self.services.clock(), self.services.random())

    def _started(self) -> float:
        """When the instance began; its row may be gone where history was deleted by hand."""
        return self.instance.row.started if self.instance else started_of(self.delivery.instance)

    def _halted(self, halt: HaltMachineError) -> Acted:
        """A branch that stops here: it keeps nothing of what the attempt staged."""
        return Acted(
            leaving=(Leaving(0, self.stored.row.context),),
            collected=tuple(each.key for each in self.entries or ()),
            outcome=Outcome.HALTED,
            stops_instance=halt.scope == "instance",
        )

    def _discard(self) -> tuple[Following, Commit | None]:
        """The end of a step whose instance was stopped: nothing runs, what it would have collected goes.

        Machines that were spawned before are started all the same.
        """
        task = self.stored.row
        if task.role is Role.CANCEL:
            return self._commit(operate(self.services, task, self.instance))
        if task.role is Role.SPREAD:
            bounds = self.services.limits.spread
            return self._commit(scatter(None, task, bounds, self._moment(), starts_only=True))
        if task.collection is not None and task.collection.round is None:
            close_window(self.services, task.step.name, task.collection)
            discard_entries(self.services, task.collection)
        return self._commit(Following(Acted(outcome=Outcome.CANCELLED)))

    def _nothing_to_run(self, batch: Sequence[Entry] | Cuts) -> Following:
        """A window that is empty, or one that is too large for a batch and goes on in parts."""
        if isinstance(batch, Cuts):
            parts = parts_of(self.stored.row, batch.ranges, self.services.clock())
            return Following(Acted(outcome=Outcome.SPLIT), parts)
        return Following(Acted(outcome=Outcome.EMPTY))

    def _act_in_transaction(self, acting: Acting) -> tuple[Following, Commit]:
        """Acts inside the transaction that the step commits with; contention runs all of it again.

        After a few times contention is a failed attempt: the action may be too slow for it ever to end.
        """
        try:
            with self.services.store.acting_transaction() as transaction:
                acting.scope.client = transaction.client
                self._check_version(transaction.lookup([self.stored.row.key])[0])
                following = self._following(
                    acting, execute(self.services, acting, self.stored.row, self.entries)
                )
                following = without_started(transaction, following)
                keys = [window_key(each.group) for each in following.arrivals]
                heads = transaction.lookup(keys) if keys else []
                windows = {each.row.group: each.row for each in heads if each is not None}
                commit = self._commit_of(following, windows)
                transaction.stage(commit)
        except (ConflictError, AlreadyExistsError) as error:
            if self.last_transaction:
                raise ContentionError(f"the transaction lost to others again and again: {error}") from error
            raise Moved(str(error)) from error
        except UnavailableError as error:
            raise Moved(str(error)) from error
        return following, commit

    def _check_version(self, current: Stored[Task] | None) -> None:
        if current is None or current.version != self.stored.version:
            raise Moved(f"{self.delivery.step} was changed by another delivery")

    def _commit(self, following: Following) -> tuple[Following, Commit | None]:
        """Commits an outcome on whatever version the row has come to, without acting again.

        Answers the outcome as it was committed, and no commit where the row is gone, given up or redriven:
        then the outcome is dropped. Raises ``Moved`` where another delivery announced a follow-up: it may
        begin elsewhere than where this one's page ended.
        """
        for attempt in range(self.services.limits.contention_tries):
            try:
                if following.arrivals:
                    return following, self._arrive(following)
                commit = self._commit_of(following, {})
                self.services.store.commit(commit)
            except (ConflictError, AlreadyExistsError, UnavailableError):
                self.services.back_off(attempt)
                again = load(self.services, self.delivery)
                self.instance = again.instance
                if again.task is None or is_overtaken(again.task.row, self.stored.row):
                    return following, None
                if again.task.row.announced != self.stored.row.announced:
                    raise Moved(f"another delivery of {self.delivery.step} announced its page") from None
                self.stored = again.task
                following = without_started(self.services.store, following)
            else:
                return following, commit
        raise UnavailableError(f"{self.delivery.step} stays contended")

    def _arrive(self, following: Following) -> Commit:
        """Puts the entries into the open windows, which an arrival only ever reads; opens those that are not.

        Where none is open, opening gives the locks back first: many transactions that all want to write the
        window would wait for each other. The opener's entries go in with the window, so no window is ever
        left unused.
        """
        with self.services.store.begin() as transaction:
            keys = [window_key(each.group) for each in following.arrivals]
            *heads, task = transaction.lookup([*keys, self.stored.row.key])
            windows = {each.row.group: each.row for each in heads if each is not None}
            if task is None or task.version != self.stored.version:
                raise ConflictError(f"{self.delivery.step} was changed by another delivery")
            commit = self._commit_of(following, windows)
            if windows:
                transaction.commit(commit)
                return commit
        self.services.store.commit(commit)
        return commit

    def _commit_of(self, following: Following, windows: Mapping[str, Window]) -> Commit:
        attempt = Attempt(self.number, self.began, self.services.clock(), self.watched.trace)
        return commit_of(self.stored, following, attempt, windows, self.instance, self._lines())
