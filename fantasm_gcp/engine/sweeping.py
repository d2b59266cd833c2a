"""The sweeper: steps whose time is over by a minute and that nothing runs, instances whose end nobody saw.

A sweep reads the index of what is overdue from where the last one has come to, so that what is on time costs
nothing. Each row that it finds is changed by compare-and-set: what is lost goes under a new epoch, so that a
task that turns up late finds that it was replaced; what is not is marked for a later look. So sweeps may
overlap with each other and with everything else, and may stop anywhere.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fantasm_gcp.core.names import StepName
from fantasm_gcp.core.records import (
    Commit,
    Instance,
    InstanceStatus,
    Stored,
    Task,
    Update,
    Upsert,
    Watermark,
    watermark_key,
)
from fantasm_gcp.engine.ending import end_branch
from fantasm_gcp.engine.enqueue import enqueue
from fantasm_gcp.engine.overdue import (
    Finding,
    Judge,
    Reason,
    enqueued_anew,
    instances_of_parked,
    looked_at,
)
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import ConflictError, FantasmError, RefusedError, UnavailableError

log = logging.getLogger("fantasm_gcp.engine")

MINUTE = 60.0
MARGIN = 600.0
"""Seconds that the watermark stays behind: what is written late, or by a slow clock, is still found."""

FULL = 24 * 3600.0
"""Seconds after which everything is looked through again."""

INSTANCES = 100
"""Instances that one sweep looks at, while everything is looked through."""

PAGE = 50
"""Steps that are read at a time."""

EXAMPLES = 3
"""Steps that are named for each reason."""

ROWS = 50
"""Rows that one commit changes."""

UNENDED = (InstanceStatus.RUNNING, InstanceStatus.PAUSED, InstanceStatus.CANCELLED)
"""What an instance is whose end is to come; one that was cancelled may have had it."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep has found and done.

    ``overdue`` counts the steps that were, ``reasons`` why they were, ``enqueued`` those that were lost and
    have a task again, ``instances`` the instances that were looked at for an end. ``finished``: nothing is
    left that was overdue when it began. ``examples`` are steps with their reasons.
    """

    overdue: int = 0
    enqueued: int = 0
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    instances: int = 0
    finished: bool = True
    examples: tuple[tuple[StepName, Reason], ...] = ()


def sweep(services: Services, *, most: int = 200, seconds: float = 25.0) -> Sweep:
    """Looks at up to ``most`` overdue steps, for about ``seconds``. May be called at any time, and again.

    It stops where a service is unavailable, and answers what it has done by then. Raises ``StoreError`` for
    what trying again does not mend.
    """
    sweeping = _Sweeping(services, most, seconds)
    try:
        sweeping.run()
    except (UnavailableError, ConflictError) as error:  # a conflict is that of a lone read, answered ABORTED
        sweeping.finished = False
        log.warning("the sweep stops: %s", error)
    done = sweeping.result()
    if done.overdue:
        counts = ", ".join(f"{reason} {count}" for reason, count in done.reasons.items())
        log.info("swept: %d steps are overdue (%s), %d enqueued again", done.overdue, counts, done.enqueued)
    return done


@dataclass(slots=True)
class _Shard:
    """A part of the index: from where, and up to where, it is looked through."""

    since: str
    until: str
    open: bool = True
    complete: bool = False


class _Sweeping:
    """One sweep on its way."""

    def __init__(self, services: Services, most: int, seconds: float) -> None:
        self._services = services
        self._judge = Judge(services)
        self._left = most
        self._began = services.clock()
        self._end = self._began + seconds
        self._reasons: Counter[Reason] = Counter()
        self._examples: list[tuple[StepName, Reason]] = []
        self._enqueued = 0
        self._instances = 0
        self.finished = True

    def result(self) -> Sweep:
        """What has been done so far."""
        return Sweep(
            overdue=self._reasons.total(),
            enqueued=self._enqueued,
            reasons=dict(self._reasons.most_common()),
            instances=self._instances,
            finished=self.finished,
            examples=tuple(self._examples),
        )

    def run(self) -> None:
        store = self._services.store
        stored: Stored[Watermark] | None = store.lookup([watermark_key(store.service)])[0]
        watermark = _begun(stored.row if stored else None, self._services, self._began)
        until = store.overdue_marks(self._began - MINUTE)  # of a minute that is over: all of it is overdue
        shards = [_Shard(*each) for each in zip(watermark.marks, until, strict=True)]
        self._look_through(shards)
        self.finished = all(each.complete for each in shards)
        reached = store.overdue_marks(self._began - MARGIN)
        marks = tuple(
            mark if shard.complete else shard.since for shard, mark in zip(shards, reached, strict=True)
        )
        instances = self._look_at_instances(watermark.instances) if watermark.instances else ""
        store.commit(Commit((Upsert(replace(watermark, marks=marks, instances=instances)),)))

    # -- steps --------------------------------------------------------------------------------------------

    def _look_through(self, shards: Sequence[_Shard]) -> None:
        """A page of each shard in turn. What is settled leaves the range, so the next page begins there, too.

        A row that somebody else has changed may come again. It is left to the next sweep, for which the
        shard's mark stays where it is, once nothing else is there.
        """
        page = min(PAGE, max(1, self._left // len(shards)))
        while any(each.open for each in shards):
            for shard in shards:
                if not shard.open:
                    continue
                if self._left < 1 or self._is_late():
                    return
                limit = min(page, self._left)
                rows = self._services.store.overdue(shard.since, shard.until, limit)
                settled = self._look_at(rows)
                shard.complete = settled == len(rows) < limit
                shard.open = settled > 0 and not shard.complete

    def _is_late(self) -> bool:
        return self._services.clock() >= self._end

    def _look_at(self, rows: Sequence[Stored[Task] | None]) -> int:
        """Looks at rows, and answers how many are settled: written with another mark."""
        known = [each for each in rows if each is not None]
        if len(known) < len(rows):
            newer = len(rows) - len(known)
            log.warning("%d overdue steps were written by a newer version of fantasm_gcp: deploy it", newer)
        self._left -= len(rows)
        instances = instances_of_parked(self._services, known)
        findings = []
        for stored in known:
            if self._is_late():
                break
            finding = self._judge.judge(stored, instances.get(stored.row.step.instance))
            self._note(finding)
            findings.append(finding)
        now = self._services.clock()
        left = [(each.stored, looked_at(each, now)) for each in findings if not each.lost]
        settled = len(list(self._write(left)))
        lost = {each.stored.row.step.name: each for each in findings if each.lost}
        again = [(each.stored, enqueued_anew(each.stored.row, now)) for each in lost.values()]
        for some in self._in_commits(again):
            renewed = list(self._write(some))
            settled += len(renewed)
            self._enqueue([(lost[each.row.step.name], each) for each in renewed])
        return settled

    def _note(self, finding: Finding) -> None:
        if finding.reason is None:
            return
        self._reasons[finding.reason] += 1
        if self._reasons[finding.reason] <= EXAMPLES:
            self._examples.append((finding.stored.row.step.name, finding.reason))

    def _in_commits(
        self, changes: Iterable[tuple[Stored[Task], Task]]
    ) -> Iterator[list[tuple[Stored[Task], Task]]]:
        """Changes in such portions as one commit takes."""
        some: list[tuple[Stored[Task], Task]] = []
        size = 0
        for change in changes:
            size += len(change[1].context)
            if some and (len(some) == ROWS or size > self._services.limits.commit_bytes):
                yield some
                some, size = [], len(change[1].context)
            some.append(change)
        if some:
            yield some

    def _write(self, changes: Sequence[tuple[Stored[Task], Task]]) -> Iterator[Stored[Task]]:
        """Writes rows that are still as they were read, and answers those at their new versions."""
        for some in self._in_commits(changes):
            try:
                yield from self._commit(some)
            except ConflictError:
                for each in some:
                    try:
                        yield from self._commit([each])
                    except ConflictError:  # it moves on by itself
                        log.debug("%s was changed by somebody else", each[1].step.name)

    def _commit(self, changes: Sequence[tuple[Stored[Task], Task]]) -> list[Stored[Task]]:
        updates = tuple(Update(row, stored.version) for stored, row in changes)
        versions = self._services.store.commit(Commit(updates))
        return [Stored(row, version) for (_, row), version in zip(changes, versions, strict=True)]

    def _enqueue(self, renewed: Sequence[tuple[Finding, Stored[Task]]]) -> None:
        """Creates the tasks of steps that were lost; where that is refused, tells which one it is."""
        if not renewed:
            return
        try:
            enqueue(self._services, [stored.row for _, stored in renewed])
        except (RefusedError, UnavailableError):
            for finding, stored in renewed:
                try:
                    enqueue(self._services, [stored.row])
                except RefusedError as error:
                    self._refused(finding, stored, error)
                else:
                    self._tell(finding)
        else:
            for finding, _ in renewed:
                self._tell(finding)

    def _tell(self, finding: Finding) -> None:
        self._enqueued += 1
        log.warning("%s was lost (%s) and is enqueued again", finding.stored.row.step.name, finding.reason)

    def _refused(self, finding: Finding, stored: Stored[Task], error: RefusedError) -> None:
        """A step whose task cannot be created is tried again later and later, like one that is left alone."""
        log.warning("%s (%s) cannot be enqueued: %s", stored.row.step.name, finding.reason, error)
        row = replace(stored.row, looks=finding.stored.row.looks)
        later = looked_at(Finding(Stored(row, stored.version), Reason.REFUSED), self._services.clock())
        list(self._write([(stored, later)]))

    # -- instances ----------------------------------------------------------------------------------------

    def _look_at_instances(self, position: str) -> str:
        """Looks for the ends of some instances, from ``<status>/<name of the row>`` on; where to go on."""
        left = INSTANCES
        word, _, after = position.partition("/")
        if word not in UNENDED:  # a newer version left it
            return ""
        for status in UNENDED[UNENDED.index(InstanceStatus(word)) :]:
            found = self._services.store.instances(status, after, left)
            for each in found:
                if self._is_late() or not self._look_for_end(each):
                    return f"{status}/{after}"
                after = each.row.key.name
            left -= len(found)
            if left < 1:
                return f"{status}/{after}"
            after = ""
        return ""

    def _look_for_end(self, stored: Stored[Instance]) -> bool:
        """Ends an instance of which nothing is in flight; False where the next sweep has to try again."""
        if stored.row.is_over:
            return True
        self._instances += 1
        try:
            end_branch(self._services, stored.row.id, stored)
        except FantasmError as error:
            log.warning("the end of %s cannot be looked for: %s", stored.row.id, error)
            return not isinstance(error, UnavailableError)  # else the others have their turn all the same
        return True


def _begun(watermark: Watermark | None, services: Services, now: float) -> Watermark:
    """From where a sweep goes on: from the beginning once a day, and where nothing is known."""
    first = services.store.overdue_marks(0)
    if watermark is None or len(watermark.marks) != len(first):
        return Watermark(services.store.service, first, now, f"{UNENDED[0]}/")
    if abs(now - watermark.full) < FULL:
        return watermark
    return replace(watermark, marks=first, full=now, instances=watermark.instances or f"{UNENDED[0]}/")
