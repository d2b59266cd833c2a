"""What follows from a step: the decisions of the protocol, as values, from values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fantasm_gcp.core.context import Put, Remove
from fantasm_gcp.core.definition import PSEUDO_INIT, Machine, RetryPolicy, State, Transition
from fantasm_gcp.core.names import MAIN, InstanceId, digest, entry_name, group_name, nest
from fantasm_gcp.core.records import (
    Collection,
    Commit,
    Delete,
    Entry,
    Hop,
    Insert,
    Instance,
    InstanceStatus,
    Mutation,
    Outcome,
    Record,
    RowKey,
    Step,
    Stored,
    Task,
    Update,
    Window,
)
from fantasm_gcp.errors import NoEventError, UnknownEventError


@dataclass(frozen=True, slots=True)
class Acted:
    """What running a step's action came to: the event it returned, the context it left, what it staged.

    ``collected`` are the entries it was given; they are deleted with the step.
    """

    event: str | None
    context: bytes
    staged: tuple[Put | Remove, ...] = ()
    collected: tuple[RowKey, ...] = ()
    outcome: Outcome = Outcome.COMPLETED
    empty_page: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """A branch that reached a fan-in: its entry goes into the open window of the group.

    ``opening`` is the window's step, to be inserted with the entry where no window is open.
    """

    group: str
    context: bytes
    opening: Task


@dataclass(frozen=True, slots=True)
class Following:
    """What follows from a step. An arrival is no end of a branch: its window's step is in flight."""

    acted: Acted
    tasks: tuple[Task, ...] = ()
    arrival: Arrival | None = None
    note: str = ""

    @property
    def ends_branch(self) -> bool:
        return not self.tasks and self.arrival is None


@dataclass(frozen=True, slots=True)
class Attempt:
    """The times of one attempt and its number, counted from 1."""

    number: int
    began: float
    ended: float


def first_task(machine: Machine, instance: InstanceId, context: bytes, method: str, now: float) -> Task:
    """The step that starts an instance."""
    step = Step(instance, machine.name, MAIN, PSEUDO_INIT, PSEUDO_INIT, machine.initial.name, 0)
    return Task(step, context, machine.queue, method, due=now)


def policy_of(machine: Machine | None, step: Step) -> RetryPolicy:
    """The retry policy of a step; the default one where this deployment does not know the transition."""
    if machine is None:
        return RetryPolicy()
    if step.event == PSEUDO_INIT:
        return machine.retry
    state = machine.state(step.state)
    transition = state.transition(step.event) if state else None
    return transition.retry if transition else machine.retry


def follow_up(task: Task, context: bytes, token: str, now: float, *, by_token: bool = False) -> Task:
    """The step that goes on where this step's page ends: the same transition on a branch of its own.

    ``by_token`` puts the token into its name, for machines that do not record where it begins: a retry whose
    page ends elsewhere makes another follow-up there, which repeats items rather than losing them.
    """
    hop = task.hop or Hop(task.step.branch, 0, "")
    generation = hop.generation + 1
    mark = f"-{digest(token, length=8)}" if by_token else ""
    branch = nest(hop.origin, f"c{task.step.n}-{generation}{mark}")
    return Task(
        replace(task.step, branch=branch),
        context,
        task.queue,
        task.method,
        due=now,
        hop=Hop(hop.origin, generation, token),
    )


def decide(machine: Machine, task: Task, acted: Acted, now: float) -> Following:
    """What follows from an action that ran.

    Raises :class:`NoEventError` where a state that is not final returned none, and
    :class:`UnknownEventError` where the state has no transition for it.
    """
    state = machine.state(task.step.target)
    assert state is not None, "the runner looked the state up before it ran the action"
    if acted.outcome is not Outcome.COMPLETED:
        return Following(acted)
    if acted.event is None:
        return _branch_end(state, acted)
    transition = state.transition(acted.event)
    if transition is None:
        known = ", ".join(repr(each.event) for each in state.transitions) or "none"
        raise UnknownEventError(f"state {state.name!r} returned {acted.event!r}; its events are: {known}")
    return _next(machine, task, acted, transition, now)


def _branch_end(state: State, acted: Acted) -> Following:
    if state.final:
        return Following(acted)
    if acted.empty_page:
        return Following(replace(acted, outcome=Outcome.HALTED), note="an empty page: nothing to go on with")
    events = ", ".join(repr(each.event) for each in state.transitions) or "none"
    raise NoEventError(f"state {state.name!r} is not final and returned no event; its events are: {events}")


def _next(machine: Machine, task: Task, acted: Acted, transition: Transition, now: float) -> Following:
    here = task.step
    step = replace(here, state=here.target, event=transition.event, target=transition.to, n=here.n + 1)
    following = Task(step, acted.context, transition.queue or machine.queue, task.method, due=now)
    target = machine.state(transition.to)
    if target is None or target.fan_in is None:
        return Following(acted, tasks=(following,))
    group = group_name(step.instance, step.state, step.event, step.target)
    window = replace(step, branch=nest(step.branch, f"w{here.n}"))
    closes = now + target.fan_in
    opening = replace(following, step=window, due=closes, collection=Collection(group, window.name))
    return Following(acted, arrival=Arrival(group, acted.context, opening))


def parts_of(task: Task, boundaries: Sequence[str], now: float) -> tuple[Task, ...]:
    """The steps that share out a window that is too large for one batch.

    ``boundaries`` are the names of the last entry of each part but the last, in order.
    """
    collection = task.collection
    assert collection is not None, "only a fan-in step is split"
    edges = [collection.after, *boundaries, collection.until]
    return tuple(
        replace(
            task,
            step=replace(task.step, branch=nest(task.step.branch, f"p{i}")),
            collection=replace(collection, after=edges[i], until=edges[i + 1]),
            due=now,
            ahead=(),
            attempts=0,
            unanswered=0,
            first_attempt=None,
            failure=None,
        )
        for i in range(len(edges) - 1)
    )


def commit_of(stored: Stored[Task], following: Following, attempt: Attempt, window: Window | None) -> Commit:
    """The one write of a step: its row gone, its record, its next steps, and what its action staged.

    ``window`` is the open window of the group where the step arrives at one; None opens it.
    """
    task, arrival, acted = stored.row, following.arrival, following.acted
    mutations: list[Mutation] = [Delete(task.key, stored.version)]
    opened: tuple[Task, ...] = ()
    if arrival is not None:
        if window is None:
            opened = (arrival.opening,)
            window = Window(arrival.group, arrival.opening.step.name)
            mutations.append(Insert(window))
        name = entry_name(window.window, task.step.name, 0)
        mutations.append(Insert(Entry(name, window.window, task.step.name, arrival.context)))
    tasks = (*following.tasks, *opened)
    record = Record(
        step=task.step,
        outcome=acted.outcome,
        event=acted.event,
        next=tuple(each.step.name for each in tasks),
        ahead=task.ahead,
        ends_branch=following.ends_branch,
        due=task.due,
        began=attempt.began,
        ended=attempt.ended,
        attempts=attempt.number,
        context=task.context,
        entries=len(acted.collected) if task.collection else None,
        note=following.note,
    )
    mutations.append(Insert(record))
    mutations.extend(map(Insert, tasks))
    mutations.extend(map(Delete, acted.collected))
    return Commit(tuple(mutations), acted.staged)


def announcement(stored: Stored[Task], following: Task) -> Commit:
    """A continuation's follow-up, inserted together with its mention on the row of the step it follows."""
    assert following.hop is not None, "a follow-up is a hop of a chain"
    task = stored.row
    mentioned = replace(task, ahead=(*task.ahead, following.step.name), announced=following.hop.token)
    return Commit((Update(mentioned, stored.version), Insert(following)))


def closing(stored: Stored[Instance], failed: bool, now: float) -> Commit:
    """The end of an instance in which nothing is in flight, at the version read before that was seen."""
    status = InstanceStatus.FAILED if failed else InstanceStatus.COMPLETED
    closings = stored.row.closings if failed else stored.row.closings + 1
    ended = replace(stored.row, status=status, closings=closings, ended=now)
    return Commit((Update(ended, stored.version),))
