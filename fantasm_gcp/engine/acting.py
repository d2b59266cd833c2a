"""Running a step's actions: exit, transition, entry, continuation, action, in Fantasm's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fantasm_gcp.action import Action
from fantasm_gcp.core.commits import announcement, mentioned
from fantasm_gcp.core.context import Child, Context, Contexts, Failure, Page, Scope, StepObject
from fantasm_gcp.core.definition import PSEUDO_FINAL, PSEUDO_INIT, Machine, State
from fantasm_gcp.core.headers import checked
from fantasm_gcp.core.names import InstanceId, digest
from fantasm_gcp.core.records import Commit, Entry, Insert, Memo, Stored, Task, memo_key
from fantasm_gcp.core.step import Acted, Leaving, Start, follow_up, landing, transition_of
from fantasm_gcp.core.traces import Trace
from fantasm_gcp.engine.delivery import Moved
from fantasm_gcp.engine.enqueue import enqueue
from fantasm_gcp.engine.logbook import ContextLogger
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.engine.starting import start_of
from fantasm_gcp.errors import (
    AlreadyExistsError,
    ConflictError,
    ContextTooLargeError,
    MissingDefinitionError,
    StepError,
    UnavailableError,
    UnknownEventError,
)

MOST_PAGES = 20
"""Pages that a branch remembers, the innermost: one that loops through a continuation comes through many."""


@dataclass(slots=True)
class Acting:
    """One attempt at a step: what it runs and what its actions are given.

    ``before`` are the actions that run before the state's own and have not run yet: the name of the state
    that the branch is in then, and the action's dotted name. ``trace`` is where the attempt is.
    """

    machine: Machine
    state: State
    before: tuple[tuple[str, str], ...]
    actions: Mapping[str, Action]
    scope: Scope
    context: Context
    obj: StepObject
    trace: Trace | None = None
    empty_page: bool = False

    def run_before(self, given: Context | Contexts) -> None:
        """Runs the exit of the state that is left, the transition's action and the entry, each once."""
        before, self.before = self.before, ()
        for state, dotted in before:
            self.scope.state = state
            self.run(dotted, given)
        self.scope.state = self.state.name

    def run(self, dotted: str, given: Context | Contexts) -> Any:
        """Runs one action and answers what it returned."""
        self.scope.action = dotted
        return self.actions[dotted].execute(given, self.obj)


def prepare(services: Services, task: Task, started: float, trace: Trace | None) -> Acting:
    """Looks up what a step runs and unpacks its context; ``started`` is when its instance began.

    Raises ``MissingDefinitionError`` where this deployment does not know the machine, state or event.
    """
    step = task.step
    machine = services.definitions.machines.get(step.machine)
    state = landing(machine, step) if machine else None
    if machine is None or state is None:
        raise MissingDefinitionError(
            f"definition missing: this deployment has no state {step.target!r} of a machine {step.machine!r}"
        )
    _check_way(machine, task)
    if task.collection is not None and not state.collects:
        raise MissingDefinitionError(f"definition missing: here, state {state.name!r} collects no contexts")
    scope = Scope(
        step.instance,
        step.machine,
        step.target,
        step.event,
        step.name,
        started,
        client=services.store.client,
        require=services.definitions.machine,
        headers=dict(task.headers),
        once=partial(_once, services, task),
        children=partial(_children, services, task),
        webhooks=services.webhooks,
    )
    scope.logger = ContextLogger(step, scope, services.clock, machine.persistent_logging)
    if not task.context:
        raise StepError("the step's context is gone: the rows that its payload lay in were deleted")
    context = Context(scope, services.codec.decode(task.context), task.pages, task.cause)
    before = _before(machine, state, task)
    return Acting(machine, state, before, services.actions, scope, context, StepObject(), trace)


def _check_way(machine: Machine, task: Task) -> None:
    """Raises ``MissingDefinitionError`` where this deployment does not know how the step comes here."""
    step = task.step
    if step.event == PSEUDO_INIT:
        return
    if machine.state(step.state) is None or (step.event != PSEUDO_FINAL and not transition_of(machine, step)):
        raise MissingDefinitionError(
            f"definition missing: this deployment has no event {step.event!r} of state {step.state!r}"
        )


def _before(machine: Machine, state: State, task: Task) -> tuple[tuple[str, str], ...]:
    """What runs before the state's own action; a state is left when the transition's action is over."""
    left = task.step.state
    source = None if task.step.event == PSEUDO_INIT else machine.state(left)
    transition = transition_of(machine, task.step)
    actions = (
        (left, source.exit if source else None),
        (left, transition.action if transition else None),
        (state.name, state.entry),
    )
    return tuple((name, dotted) for name, dotted in actions if dotted is not None)


def announce(services: Services, stored: Stored[Task], acting: Acting) -> Stored[Task]:
    """Runs ``continuation`` and makes the follow-up known, before the action sees its page.

    A follow-up that an earlier attempt made known is kept, its token too: ``obj['until']`` tells where the
    page ends. The row as it is afterwards; raises ``Moved`` when another delivery changed it.
    """
    task = stored.row
    if task.announced is not None:
        acting.obj["until"] = task.announced
    ahead = next_page(services, acting, task)
    if task.announced is not None or ahead is None:
        return stored
    try:
        version = services.store.commit(announcement(stored, ahead))[0]
    except (ConflictError, AlreadyExistsError, UnavailableError) as error:
        raise Moved(str(error)) from error
    enqueue(services, [ahead])
    return Stored(mentioned(task, ahead), version)


def next_page(services: Services, acting: Acting, task: Task, *, by_token: bool = False) -> Task | None:
    """Runs what comes before the action, and ``continuation``; answers the step of the page that follows.

    It has the context as ``continuation`` left it.
    """
    acting.run_before(acting.context)
    token = next_token(acting, task)
    if not token:
        return None
    following = follow_up(
        task,
        _encoded(services, acting.context),
        token,
        acting.context.pages[-1],
        checked(acting.scope.headers),
        now=services.clock(),
        countdown=acting.state.continuation_countdown,
        by_token=by_token,
    )
    return following.under(acting.trace)


def next_token(acting: Acting, task: Task) -> str:
    """Runs ``continuation`` and answers the token of the next page as text: empty at the end of the chain.

    The chain ends with no token, with the step's own token again, and with an empty page.
    """
    token = task.hop.token if task.hop else None
    assert acting.state.action is not None, "the loader sees to it that a continuation state has an action"
    acting.scope.action = acting.state.action
    action: Any = acting.actions[acting.state.action]
    known = set(acting.obj)
    returned = action.continuation(acting.context, acting.obj, token)
    following = returned.decode() if isinstance(returned, bytes) else str(returned or "")
    results = acting.obj.get("results")
    ends = results == [] or following in ("", token)
    handed_on = [acting.obj[name] for name in acting.obj.keys() - known]
    acting.empty_page = results == [] or following == token or _is_empty(handed_on)
    acting.obj["has_more_results"] = task.announced is not None or not ends
    size = len(results) if isinstance(results, Sequence) and not isinstance(results, str | bytes) else 0
    number, before = (task.hop.generation, task.hop.results) if task.hop else (0, 0)
    origin = task.hop.origin if task.hop else task.step.branch
    chain = digest(origin, str(task.step.n), length=8)
    page = Page(number, size, before, last=not acting.obj["has_more_results"], chain=chain)
    pages = (*task.pages, page)[-MOST_PAGES:]
    acting.context = Context(acting.scope, acting.context, pages, acting.context.failure)
    return "" if ends else following


def _is_empty(handed_on: Sequence[Any]) -> bool:
    """Whether a page holds nothing: all that ``continuation`` put into ``obj``, under whatever names."""
    return bool(handed_on) and all(
        each is None or (type(each) in (list, tuple, dict) and not each) for each in handed_on
    )


def _once(services: Services, task: Task, name: str, function: Callable[[], Any]) -> Any:
    """What ``function`` answered, on this or on an earlier attempt of the step; see ``Context.once``."""
    stored = services.store.lookup([memo_key(task.step.name, name)])[0]
    if stored is None:
        value = _remembered(services, name, function())
        memo = Memo(task.step.name, task.step.instance, name, value, services.clock())
        stored = _inserted(services, memo)
    return services.codec.decode(stored.row.value)["value"]


def _inserted(services: Services, memo: Memo) -> Stored[Memo]:
    """The memo as it is remembered: another delivery may have been faster, and then its memo holds.

    What it tells of was done, so nothing is left untried to keep it from being done again.
    """
    for attempt in range(services.limits.contention_tries):
        try:
            return Stored(memo, services.store.commit(Commit((Insert(memo),)))[0])
        except AlreadyExistsError:
            found: Stored[Memo] | None = services.store.lookup([memo.key])[0]
            if found is not None:
                return found
        except (ConflictError, UnavailableError):
            services.back_off(attempt)
    raise UnavailableError(f"what {memo.name!r} answered is not remembered")


def _remembered(services: Services, name: str, value: Any) -> bytes:
    try:
        return services.codec.encode({"value": value})
    except (TypeError, ContextTooLargeError) as error:
        kind = type(value).__qualname__
        raise StepError(
            f"the call {name!r} was made, and what it answered ({kind}) cannot be remembered: "
            f"return plain data from the function ({error})"
        ) from error


def _children(services: Services, task: Task) -> Sequence[Child]:
    """How the instances that this one spawned, or whose end it is told of, are doing."""
    rows = services.store.children(task.step.instance)
    return [Child(each.id, each.machine, each.status.value, each.joined is not None) for each in rows]


def unacted(
    services: Services,
    acting: Acting,
    task: Task,
    entries: Sequence[Entry] | None,
    event: str | None,
    cause: Failure | None,
) -> Acted:
    """What a step comes to whose actions do not run: its context goes on as it came, by an event.

    That of a fan-in is the one that opened the window or came first; the others end with the step.
    """
    context = _template(services, acting, task, entries)
    leaving = (_leaving(services, acting, event, 0, context),)
    return Acted(
        event=event,
        leaving=leaving,
        collected=tuple(each.key for each in entries or ()),
        headers=task.headers,
        pages=() if entries is not None else task.pages,
        cause=cause,
    )


def _template(services: Services, acting: Acting, task: Task, entries: Sequence[Entry] | None) -> Context:
    """The context that goes on after a step, as it is before its action: at a join, a copy of the first."""
    stored, pages = task.context, task.pages
    if entries and task.collection is not None and task.collection.round is not None:
        stored, pages = entries[0].context, entries[0].pages
    return Context(acting.scope, services.codec.decode(stored), pages)


def execute(services: Services, acting: Acting, task: Task, entries: Sequence[Entry] | None) -> Acted:
    """Runs the actions that have not run yet, with the context or the contexts that a fan-in collected."""
    given: Context | Contexts = acting.context
    if entries is not None:
        decoded = (
            Context(acting.scope, services.codec.decode(each.context), each.pages, each.cause)
            for each in entries
        )
        given = Contexts(acting.scope, _template(services, acting, task, entries), decoded)
    elif acting.state.collects:  # it came here when the state did not collect contexts yet
        given = Contexts(acting.scope, acting.context, [deepcopy(acting.context)])
    acting.run_before(given)
    event = acting.run(acting.state.action, given) if acting.state.action else None
    if event is not None and not isinstance(event, str):
        raise UnknownEventError(f"state {acting.state.name!r} returned {event!r}; an event is text")
    scope = acting.scope
    headers = checked(scope.headers)
    leaving = [given.context if isinstance(given, Contexts) else given, *scope.forked]
    starts = [start_of(services, each, task, headers, i) for i, each in enumerate(scope.spawned)]
    return Acted(
        event=event,
        leaving=tuple(_leaving(services, acting, event, i, each) for i, each in enumerate(leaving)),
        staged=tuple(scope.staged),
        starts=_once_each(starts),
        collected=tuple(each.key for each in entries or ()),
        empty_page=acting.empty_page,
        headers=headers,
        pages=() if entries is not None else _pages_left(acting),
    )


def _once_each(starts: Sequence[Start]) -> tuple[Start, ...]:
    """The starts in their order; of those under one name the first."""
    first: dict[InstanceId, Start] = {}
    for each in starts:
        first.setdefault(each.instance.id, each)
    return tuple(first.values())


def _pages_left(acting: Acting) -> tuple[Page, ...]:
    """The pages that the branch came through, as its next step knows them."""
    pages = acting.context.pages
    if not pages or not acting.scope.forked:
        return pages
    return (*pages[:-1], replace(pages[-1], forked=True))


def _leaving(services: Services, acting: Acting, event: str | None, index: int, context: Context) -> Leaving:
    """A context on its way out, with the text that tells its fan-in group from others."""
    transition = acting.state.transition(event) if event is not None else None
    target = acting.machine.state(transition.to) if transition else None
    name = target.fan_in_group if target else None
    group = services.codec.text(context[name]) if name is not None and name in context else ""
    return Leaving(index, _encoded(services, context), group)


def _encoded(services: Services, context: Context) -> bytes:
    """A context as it goes on. Raises ``StepError`` for one that cannot: no attempt's could."""
    try:
        return services.codec.encode(context)
    except (TypeError, ContextTooLargeError) as error:
        raise StepError(str(error)) from error
