"""What follows from a step: the decisions of the protocol, as values, from values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fantasm_gcp.core.context import Failure, Page, Put, Remove
from fantasm_gcp.core.definition import (
    PSEUDO_FINAL,
    PSEUDO_INIT,
    PSEUDO_JOIN,
    PSEUDO_OPERATOR,
    Machine,
    RetryPolicy,
    State,
    Transition,
)
from fantasm_gcp.core.headers import Headers, queue_of
from fantasm_gcp.core.names import (
    MAIN,
    InstanceId,
    StepName,
    digest,
    group_name,
    join_end,
    join_window,
    nest,
    released_branch,
)
from fantasm_gcp.core.records import (
    Collection,
    Hop,
    Instance,
    Outcome,
    Role,
    RowKey,
    Step,
    Task,
    TaskStatus,
)
from fantasm_gcp.core.traces import LONG_WAIT, Trace, begun_after_waiting
from fantasm_gcp.errors import NoEventError, UnknownEventError

EMPTY = b"{}"
"""The encoded context of a step that needs none."""

_GOLDEN = 0.618_033_988_749_895
"""Multiples of it, modulo 1, are spread evenly: one chance gives as many as are needed."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A context that leaves a state: number 0 is the branch itself, the others are its forks.

    ``group`` is the text of its value for the ``fan_in_group`` of the state it goes to; empty without one.
    """

    index: int
    context: bytes
    group: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """An instance that is to be started, and its first step. ``named``: it may be there already.

    ``waiting`` is the step that has the instance which spawned it wait for its end.
    """

    instance: Instance
    task: Task
    named: bool = False
    waiting: Task | None = None

    def under(self, trace: Trace | None) -> Start:
        """This start as one that a span leads to."""
        if trace is None:
            return self
        task = self.task.under(trace)
        return replace(self, instance=replace(self.instance, trace=task.trace), task=task)


def waiting_for(step: Step, child: Instance) -> Task:
    """The step that stands, in the instance that spawned it, for one that it waits for."""
    return Task(
        step,
        EMPTY,
        "default",
        "POST",
        child.started,
        status=TaskStatus.WAITING,
        child=child.id,
        created=child.started,
    )


def without_waiting(start: Start) -> Start:
    """A start whose end nobody waits for."""
    return replace(start, instance=replace(start.instance, joined=None), waiting=None)


@dataclass(frozen=True, slots=True)
class Acted:
    """What running a step's actions came to: the event returned, the contexts that leave, what was staged.

    ``collected`` are the entries that it was given; they are deleted with the step. ``pages`` are those that
    the branch has come through by now. ``stops_instance``: every other branch is to end, too. ``cause`` is
    the failure for which ``on_error`` chose the event.
    """

    event: str | None = None
    leaving: tuple[Leaving, ...] = ()
    staged: tuple[Put | Remove, ...] = ()
    starts: tuple[Start, ...] = ()
    collected: tuple[RowKey, ...] = ()
    outcome: Outcome = Outcome.COMPLETED
    empty_page: bool = False
    headers: Headers = ()
    pages: tuple[Page, ...] = ()
    stops_instance: bool = False
    note: str = ""
    cause: Failure | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """Contexts that reached a fan-in: their entries go into the open window of the group.

    ``opening`` is the window's step, to be inserted with the entries where no window is open.
    """

    group: str
    contexts: tuple[Leaving, ...]
    opening: Task


@dataclass(frozen=True, slots=True)
class Joining:
    """A context that reached a join: it waits there for the end of every other branch, and its own ends."""

    state: str
    context: Leaving


@dataclass(frozen=True, slots=True)
class Following:
    """What follows from a step. An arrival is no end of a branch: its window's step is in flight.

    ``taken`` are the first steps of instances that were to be started and had been under the same name:
    whoever did that may have died before it created their tasks.
    """

    acted: Acted
    tasks: tuple[Task, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    joining: tuple[Joining, ...] = ()
    starts: tuple[Start, ...] = ()
    note: str = ""
    taken: tuple[StepName, ...] = ()

    @property
    def ends_branch(self) -> bool:
        return not self.tasks and not self.arrivals

    def __or__(self, other: Following) -> Following:
        """Both together; what was acted is this one's."""
        return replace(
            self,
            tasks=self.tasks + other.tasks,
            arrivals=self.arrivals + other.arrivals,
            joining=self.joining + other.joining,
            starts=self.starts + other.starts,
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is decided, in seconds of the epoch, and a chance of ``0 <= chance < 1`` for it."""

    now: float
    chance: float = 0.0

    def wait(self, transition: Transition, index: int) -> float:
        """The countdown of a transition, drawn for one of several contexts."""
        if transition.countdown is None:
            return 0.0
        return transition.countdown.drawn((self.chance + index * _GOLDEN) % 1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The times of one attempt, its number, counted from 1, and where it is in a trace."""

    number: int
    began: float
    ended: float
    trace: Trace | None = None


def first_task(
    machine: Machine,
    instance: InstanceId,
    context: bytes,
    method: str,
    due: float,
    started: float,
    headers: Headers = (),
    pinned: str | None = None,
) -> Task:
    """The step that starts an instance."""
    step = Step(instance, machine.name, MAIN, PSEUDO_INIT, PSEUDO_INIT, machine.initial.name, 0)
    queue = queue_of(headers) or machine.queue
    return Task(
        step,
        context,
        queue,
        method,
        due,
        target=machine.target,
        pinned=pinned if machine.pin_version else None,
        headers=headers,
        started=started,
        created=started,
    )


def policy_of(machine: Machine | None, step: Step) -> RetryPolicy:
    """The retry policy of a step; the default one where this deployment does not know the transition."""
    if machine is None:
        return RetryPolicy()
    transition = transition_of(machine, step)
    return transition.retry if transition else machine.retry


def transition_of(machine: Machine, step: Step) -> Transition | None:
    """The transition that a step fires; None for the first and the last of a branch."""
    state = machine.state(step.state)
    return state.transition(step.event) if state else None


def landing(machine: Machine, step: Step) -> State | None:
    """The state that a step comes to: behind a final state with an exit action lies one that does nothing."""
    if step.target == PSEUDO_FINAL:
        return State(PSEUDO_FINAL, final=True)
    return machine.state(step.target)


def follow_up(
    task: Task,
    context: bytes,
    token: str,
    page: Page,
    headers: Headers,
    *,
    now: float,
    countdown: float = 0,
    by_token: bool = False,
) -> Task:
    """The step that goes on where this step's page ends: the same transition on a branch of its own.

    ``by_token`` puts the token into its name, for machines that do not record where it begins: a retry whose
    page ends elsewhere makes another follow-up there, which repeats items rather than losing them.
    """
    origin = task.hop.origin if task.hop else task.step.branch
    generation = page.number + 1
    mark = f"-{digest(token, length=8)}" if by_token else ""
    branch = nest(origin, f"c{task.step.n}-{generation}{mark}")
    return Task(
        replace(task.step, branch=branch),
        context,
        queue_of(headers) or task.queue,
        task.method,
        now + countdown,
        hop=Hop(origin, generation, token, page.before + page.size),
        target=task.target,
        pinned=task.pinned,
        headers=headers,
        pages=task.pages,
        started=task.started,
        created=now,
        cause=task.cause,
    )


def decide(machine: Machine, task: Task, acted: Acted, moment: Moment) -> Following:
    """What follows from actions that ran.

    Raises :class:`NoEventError` where a state that is not final returned none, and
    :class:`UnknownEventError` where the state has no transition for it.
    """
    state = landing(machine, task.step)
    assert state is not None, "the runner looked the state up before it ran the action"
    if acted.outcome is not Outcome.COMPLETED:
        return Following(acted, note=acted.note)
    if acted.event is None:
        return _branch_end(machine, state, task, acted, moment)
    transition = state.transition(acted.event)
    if transition is None:
        raise UnknownEventError(
            f"state {state.name!r} returned {acted.event!r}; its events are: {_events(state)}"
        )
    return Following(acted, starts=acted.starts) | depart(machine, task, transition, acted, moment)


def _events(state: State) -> str:
    return ", ".join(repr(each.event) for each in state.transitions) or "none"


def _branch_end(machine: Machine, state: State, task: Task, acted: Acted, moment: Moment) -> Following:
    if not state.final and acted.empty_page:
        halted = replace(acted, outcome=Outcome.HALTED)
        return Following(halted, starts=acted.starts, note="an empty page: nothing to go on with")
    if not state.final:
        raise NoEventError(
            f"state {state.name!r} is not final and returned no event; its events are: {_events(state)}"
        )
    forks = len(acted.leaving) - 1
    note = f"{forks} forks ended here, too: there was no event for them" if forks > 0 else ""
    if state.exit is None:
        return Following(acted, starts=acted.starts, note=note)
    here = task.step
    step = replace(here, state=here.target, event=PSEUDO_FINAL, target=PSEUDO_FINAL, n=here.n + 1)
    queue = queue_of(acted.headers) or machine.queue
    leave = Task(
        step,
        acted.leaving[0].context,
        queue,
        task.method,
        moment.now,
        target=machine.target,
        pinned=task.pinned,
        headers=acted.headers,
        pages=acted.pages,
        started=task.started,
        created=moment.now,
    )
    return Following(acted, (leave,), starts=acted.starts, note=note)


def depart(machine: Machine, task: Task, transition: Transition, acted: Acted, moment: Moment) -> Following:
    """The steps, or the arrivals at a fan-in or a join, of the contexts that leave by a transition."""
    target = machine.state(transition.to)
    if target is not None and target.join:
        return Following(acted, joining=tuple(Joining(target.name, each) for each in acted.leaving))
    tasks = [_next(machine, task, transition, acted, each, moment) for each in acted.leaving]
    if target is None or target.fan_in is None:
        return Following(acted, tuple(tasks))
    groups: dict[str, list[Leaving]] = {}
    for each in acted.leaving:
        groups.setdefault(each.group, []).append(each)
    opening = {each.index: following for each, following in zip(acted.leaving, tasks, strict=True)}
    closes = moment.now + target.fan_in
    arrivals = (_arrival(task, opening[contexts[0].index], contexts, closes) for contexts in groups.values())
    return Following(acted, arrivals=tuple(arrivals))


def _next(
    machine: Machine, task: Task, transition: Transition, acted: Acted, leaving: Leaving, moment: Moment
) -> Task:
    here = task.step
    branch = here.branch if leaving.index == 0 else nest(here.branch, f"f{here.n}-{leaving.index}")
    step = replace(
        here,
        branch=branch,
        state=here.target,
        event=transition.event,
        target=transition.to,
        n=here.n + 1,
    )
    return Task(
        step,
        leaving.context,
        queue_of(acted.headers) or transition.queue or machine.queue,
        task.method,
        due=moment.now + moment.wait(transition, leaving.index),
        target=transition.target,
        pinned=task.pinned,
        headers=acted.headers,
        pages=acted.pages,
        started=task.started,
        created=moment.now,
        cause=acted.cause,
    )


def _arrival(task: Task, first: Task, contexts: Sequence[Leaving], closes: float) -> Arrival:
    """The arrival of the contexts of one group; a window that ``first`` opens is named after it."""
    step, index = first.step, contexts[0].index
    label = f"w{task.step.n}" if index == 0 else f"w{task.step.n}-{index}"
    window = replace(step, branch=nest(task.step.branch, label))
    group = group_name(step.instance, step.state, step.event, step.target, contexts[0].group)
    collection = Collection(group, window.name)
    opening = replace(first, step=window, due=closes, collection=collection, pages=(), cause=None)
    return Arrival(group, tuple(contexts), opening)


def deferred_release(instance: Instance, now: float) -> Task:
    """The step that releases joins once a deployment has it that knows the machine; this one does not."""
    branch = released_branch(instance.closings, PSEUDO_JOIN)
    step = Step(instance.id, instance.machine, branch, PSEUDO_JOIN, PSEUDO_JOIN, PSEUDO_JOIN, n=0)
    return _for_instance(step, instance, "default", now)


def deferred_start(instance: Instance, context: bytes, now: float) -> Task:
    """The step that starts an instance once a deployment has it that knows the machine."""
    step = Step(instance.id, instance.machine, MAIN, PSEUDO_INIT, PSEUDO_INIT, PSEUDO_INIT, n=0)
    return replace(_for_instance(step, instance, "default", now), context=context)


def _for_instance(step: Step, instance: Instance, queue: str, now: float) -> Task:
    """A step that the engine itself makes, as the instance was started."""
    trace, links = later_in(instance, step.name, now)
    return Task(
        step,
        EMPTY,
        queue_of(instance.headers) or queue,
        instance.method,
        now,
        pinned=instance.pinned,
        headers=instance.headers,
        started=instance.started,
        created=now,
        trace=trace,
        links=links,
    )


def later_in(instance: Instance, step: StepName, now: float) -> tuple[Trace | None, tuple[Trace, ...]]:
    """The place, and the links, of a step that comes of an instance itself and of none of its steps.

    Long after the start it has a trace of its own.
    """
    if instance.trace is None or now - instance.started <= LONG_WAIT:
        return instance.trace, ()
    return begun_after_waiting(step, instance.trace), (instance.trace,)


def release_of(
    machine: Machine, instance: Instance, state: str, way: tuple[str, str] | None, now: float
) -> Task:
    """The step that runs a join's action with the contexts of this round that wait there.

    It fires the transition by which ``way`` (a state and an event) leads there, so that it has the queue,
    target and policy of that one. A state that the machine has no more is told as a missing definition.
    """
    source, event = way or (PSEUDO_INIT, PSEUDO_INIT)
    step = Step(
        instance.id, instance.machine, released_branch(instance.closings, state), source, event, state, n=0
    )
    transition = transition_of(machine, step)
    queue = transition.queue if transition else None
    window = join_window(instance.id, state)
    return replace(
        _for_instance(step, instance, queue or machine.queue, now),
        collection=Collection("", window, until=join_end(instance.id, state), round=instance.closings),
        target=transition.target if transition else machine.target,
    )


def parts_of(task: Task, ranges: Iterable[tuple[str, str]], now: float) -> tuple[Task, ...]:
    """The steps that share out what is too much for one batch; the ranges are of entries' names."""
    collection = task.collection
    assert collection is not None, "only a fan-in step is split"
    return tuple(
        replace(
            share_of(task, f"p{i}", now),
            collection=replace(collection, after=after, until=until),
        )
        for i, (after, until) in enumerate(ranges)
    )


def share_of(task: Task, label: str, now: float) -> Task:
    """A new step that does a share of what a step has to do, on a branch of its own."""
    return replace(
        task,
        step=replace(task.step, branch=nest(task.step.branch, label)),
        due=now,
        created=now,
        ahead=(),
        announced=None,
        epoch=0,
        attempts=0,
        unanswered=0,
        first_attempt=None,
        failure=None,
        looks=0,
        overdue=None,
    )


def operation(
    instance: Instance,
    role: Role,
    branch: str,
    queue: str,
    now: float,
    *,
    target: str | None = None,
    context: bytes = EMPTY,
) -> Task:
    """A step that carries out an operator's command on an instance; it belongs to that, and is in flight."""
    step = Step(instance.id, instance.machine, branch, PSEUDO_OPERATOR, role.value, PSEUDO_OPERATOR, n=0)
    trace, links = later_in(instance, step.name, now)
    return Task(
        step,
        context,
        queue,
        "POST",
        now,
        role=role,
        target=target,
        pinned=instance.pinned,
        started=instance.started,
        created=now,
        trace=trace,
        links=links,
    )
