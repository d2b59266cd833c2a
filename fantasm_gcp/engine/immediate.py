"""Running a whole machine at once, without tasks and records: for trying machines out, and for short ones."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fantasm_gcp.core.context import Failure, StepObject
from fantasm_gcp.core.joins import released, way_to
from fantasm_gcp.core.names import InstanceId, entry_name, join_entry_name, join_window, nest
from fantasm_gcp.core.records import Commit, Entry, LogLine, Outcome, Step, Task
from fantasm_gcp.core.step import Acted, Arrival, Following, Joining, Moment, decide, release_of
from fantasm_gcp.engine.acting import Acting, execute, next_page, prepare
from fantasm_gcp.engine.failing import failure_of, words_of
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.starting import Wish, plan
from fantasm_gcp.errors import HaltMachineError, StepError
from fantasm_gcp.observing.steps import running

log = logging.getLogger("fantasm_gcp.engine")

MOST_STEPS = 10_000
"""Steps after which a machine is taken for one that does not end."""


@dataclass(frozen=True, slots=True)
class RanStep:
    """A step that ran, and what it came to."""

    step: Step
    event: str | None
    outcome: Outcome
    note: str = ""


@dataclass(slots=True)
class Ran:
    """What running a machine came to. ``context`` and ``obj`` are those of the last step of the instance;
    ``failure`` is the error that ended it, and ``failed`` the step that raised it.
    """

    instance: InstanceId
    context: bytes
    obj: StepObject = field(default_factory=StepObject)
    steps: list[RanStep] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    failure: Failure | None = None
    failed: Step | None = None


def run_at_once(services: Services, wish: Wish) -> Ran:
    """Runs a machine from its start to its end: every branch, fan-in and spawned machine, one after another.

    Nothing is enqueued and nothing recorded, and nobody is told of the end; there are no countdowns, and a
    fan-in or a join collects all that arrive before nothing else is left to do, however many. What an action
    stages is written when its step is over. The first exception ends it, whatever ``on_error`` says: nothing
    is tried again. Raises what starting a machine raises.
    """
    return _Immediate(services, wish).run()


def _call(_: str, function: Callable[[], Any]) -> Any:
    """``context.once`` where nothing is tried again."""
    return function()


class _Immediate:
    def __init__(self, services: Services, wish: Wish) -> None:
        self._services = services
        start = plan(services, wish)
        self._started = start.instance.started
        self._due: deque[tuple[Task, Sequence[Entry] | None]] = deque([(start.task, None)])
        self._windows: dict[str, tuple[Task, list[Entry]]] = {}
        self._joins: dict[tuple[InstanceId, str], dict[str, list[Entry]]] = {}
        self._instances = {start.instance.id: start.instance}
        self._ran = Ran(start.instance.id, start.task.context)

    def run(self) -> Ran:
        while self._due or self._windows or self._joins:
            if not self._due and self._windows:
                self._due.append(self._windows.pop(next(iter(self._windows))))
            elif not self._due:
                self._release(self._innermost())
            task, entries = self._due.popleft()
            try:
                self._step(task, entries)
            except Exception as error:
                log.warning("%s fails at once: %s", task.step.name, error, exc_info=error)
                self._ran.failure, self._ran.failed = failure_of(error), task.step
                break
        return self._ran

    def _step(self, task: Task, entries: Sequence[Entry] | None) -> None:
        if len(self._ran.steps) == MOST_STEPS:
            raise StepError(f"{MOST_STEPS:,} steps ran in one request, and it goes on: start it as tasks")
        acting = prepare(self._services, task, self._started, None)
        acting.scope.once = _call
        try:
            with running(task):
                following = self._act(task, acting, entries)
        except HaltMachineError as halt:
            following = Following(Acted(outcome=Outcome.HALTED), note=words_of(halt))
            if halt.log_level is not None:
                acting.scope.logger.log(halt.log_level, words_of(halt))
            if halt.scope == "instance":
                self._stop(task.step.instance)
        acted = following.acted
        self._ran.steps.append(RanStep(task.step, acted.event, acted.outcome, following.note))
        self._ran.lines.extend(acting.scope.logger.take(task.epoch, 1))
        if task.step.instance == self._ran.instance:
            self._ran.obj = acting.obj
            self._ran.context = acted.leaving[0].context if acted.leaving else task.context
        self._due.extend((each, None) for each in following.tasks)
        self._due.extend((each.task, None) for each in following.starts)
        self._instances.update({each.instance.id: each.instance for each in following.starts})
        for joining in following.joining:
            self._join(task, joining, acted)
        for arrival in following.arrivals:
            self._arrive(task, arrival, acted)

    def _stop(self, instance: InstanceId) -> None:
        """Drops what is left to do of one of the instances."""
        self._due = deque(each for each in self._due if each[0].step.instance != instance)
        windows = self._windows.items()
        self._windows = {group: each for group, each in windows if each[0].step.instance != instance}
        self._joins = {key: groups for key, groups in self._joins.items() if key[0] != instance}

    def _act(self, task: Task, acting: Acting, entries: Sequence[Entry] | None) -> Following:
        services = self._services
        if acting.state.continuation:
            ahead = next_page(services, acting, task)
            if ahead is not None:
                self._due.append((ahead, None))
        if not acting.state.transactional:
            following = self._following(task, acting, entries)
            if following.acted.staged:
                services.store.commit(Commit((), following.acted.staged))
            return following
        with services.store.acting_transaction() as transaction:
            acting.scope.client = transaction.client
            following = self._following(task, acting, entries)
            transaction.stage(Commit((), following.acted.staged))
        return following

    def _following(self, task: Task, acting: Acting, entries: Sequence[Entry] | None) -> Following:
        acted = execute(self._services, acting, task, entries)
        moment = Moment(self._services.clock(), self._services.random())
        return decide(acting.machine, task, acted, moment)

    def _arrive(self, task: Task, arrival: Arrival, acted: Acted) -> None:
        opening, entries = self._windows.setdefault(arrival.group, (arrival.opening, []))
        for each in arrival.contexts:
            name = entry_name(opening.step.name, task.step.name, each.index)
            entries.append(Entry(name, opening.step.name, task.step.name, each.context, acted.pages))

    def _join(self, task: Task, joining: Joining, acted: Acted) -> None:
        instance, context = task.step.instance, joining.context
        groups = self._joins.setdefault((instance, joining.state), {})
        name = join_entry_name(instance, joining.state, context.group, 0, task.step.name, context.index)
        window = join_window(instance, joining.state)
        entry = Entry(name, window, task.step.name, context.context, acted.pages, instance, joining.state)
        groups.setdefault(context.group, []).append(entry)

    def _innermost(self) -> InstanceId:
        """An instance with joins to release that waits for none that has some itself."""
        waiting = dict.fromkeys(instance for instance, _ in self._joins)
        waited_for: set[InstanceId] = set()
        for each in waiting:
            row = self._instances[each]
            while row.joined is not None and row.parent is not None:
                waited_for.add(row.parent)
                row = self._instances[row.parent]
        return next(each for each in waiting if each not in waited_for)

    def _release(self, instance: InstanceId) -> None:
        """Makes those joins of an instance due that no other waiting one can reach, each group for itself."""
        row = self._instances[instance]
        machine = self._services.definitions.machine(row.machine)
        waiting = [state for of, state in self._joins if of == instance]
        for state in released(machine, waiting):
            way = way_to(machine, state)
            task = release_of(machine, row, state, way, self._services.clock())
            for i, entries in enumerate(self._joins.pop((instance, state)).values()):
                part = replace(task, step=replace(task.step, branch=nest(task.step.branch, f"p{i}")))
                self._due.append((part, sorted(entries, key=lambda each: (each.source, each.name))))
        self._instances[instance] = replace(row, closings=row.closings + 1)
