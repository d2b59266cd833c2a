"""Running a whole machine at once, without tasks and records: for trying machines out, and for short ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from fantasm_gcp.core.context import StepObject
from fantasm_gcp.core.names import InstanceId, entry_name
from fantasm_gcp.core.records import Commit, Entry, LogLine, Outcome, Step, Task
from fantasm_gcp.core.step import Acted, Arrival, Following, Moment, decide
from fantasm_gcp.engine.acting import Acting, execute, follow_up_of, next_token, prepare
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.starting import Wish, plan
from fantasm_gcp.errors import HaltMachineError, StepError

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
    """What running a machine came to. ``context`` and ``obj`` are those of the last step of the instance."""

    instance: InstanceId
    context: bytes
    obj: StepObject = field(default_factory=StepObject)
    steps: list[RanStep] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)


def run_at_once(services: Services, wish: Wish) -> Ran:
    """Runs a machine from its start to its end: every branch, fan-in and spawned machine, one after another.

    Nothing is enqueued and nothing recorded; there are no countdowns, and a fan-in collects all that arrive
    before it is the only thing left to do. What an action stages is written when its step is over. The first
    exception ends it, nothing is tried again: raises what an action raises, and what starting a machine does.
    """
    return _Immediate(services, wish).run()


class _Immediate:
    def __init__(self, services: Services, wish: Wish) -> None:
        self._services = services
        start = plan(services, wish)
        self._started = start.instance.started
        self._due: deque[tuple[Task, Sequence[Entry] | None]] = deque([(start.task, None)])
        self._windows: dict[str, tuple[Task, list[Entry]]] = {}
        self._ran = Ran(start.instance.id, start.task.context)

    def run(self) -> Ran:
        while self._due or self._windows:
            if not self._due:
                task, entries = self._windows.pop(next(iter(self._windows)))
                self._due.append((task, entries))
            if len(self._ran.steps) == MOST_STEPS:
                raise StepError(f"{MOST_STEPS:,} steps ran in one request, and it goes on: start it as tasks")
            self._step(*self._due.popleft())
        return self._ran

    def _step(self, task: Task, entries: Sequence[Entry] | None) -> None:
        acting = prepare(self._services, task, self._started)
        try:
            following = self._act(task, acting, entries)
        except HaltMachineError as halt:
            following = Following(Acted(outcome=Outcome.HALTED), note=str(halt))
            if halt.scope == "instance":
                self._due.clear()
                self._windows.clear()
        acted = following.acted
        self._ran.steps.append(RanStep(task.step, acted.event, acted.outcome, following.note))
        self._ran.lines.extend(acting.scope.logger.take(task.epoch, 1))
        if task.step.instance == self._ran.instance:
            self._ran.obj = acting.obj
            self._ran.context = acted.leaving[0].context if acted.leaving else task.context
        self._due.extend((each, None) for each in following.tasks)
        self._due.extend((each.task, None) for each in following.starts)
        for arrival in following.arrivals:
            self._arrive(task, arrival, acted)

    def _act(self, task: Task, acting: Acting, entries: Sequence[Entry] | None) -> Following:
        services = self._services
        if acting.state.continuation:
            acting.run_before(acting.context)
            token = next_token(acting, task)
            if token:
                self._due.append((follow_up_of(services, acting, task, token), None))
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
        acted = execute(self._services, acting, entries)
        moment = Moment(self._services.clock(), self._services.random())
        return decide(acting.machine, task, acted, moment)

    def _arrive(self, task: Task, arrival: Arrival, acted: Acted) -> None:
        opening, entries = self._windows.setdefault(arrival.group, (arrival.opening, []))
        for each in arrival.contexts:
            name = entry_name(opening.step.name, task.step.name, each.index)
            entries.append(Entry(name, opening.step.name, task.step.name, each.context, acted.pages))
