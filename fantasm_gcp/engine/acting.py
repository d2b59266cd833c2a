"""Running a step's action: continuation first, then execute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fantasm_gcp.action import Action
from fantasm_gcp.core.codec import decode, encode
from fantasm_gcp.core.context import Context, Contexts, Scope, StepObject
from fantasm_gcp.core.definition import Machine, State
from fantasm_gcp.core.records import Entry, Stored, Task
from fantasm_gcp.core.step import Acted, announcement, follow_up
from fantasm_gcp.engine.delivery import Moved
from fantasm_gcp.engine.enqueue import enqueue
from fantasm_gcp.engine.ports import Services
from fantasm_gcp.errors import (
    AlreadyExistsError,
    ConflictError,
    MissingDefinitionError,
    StepError,
    UnavailableError,
    UnknownEventError,
)


@dataclass(slots=True)
class Acting:
    """One attempt at a step: what its action is given, and whether its page was empty."""

    machine: Machine
    state: State
    action: Action | None
    scope: Scope
    context: Context
    obj: StepObject
    empty_page: bool = False


def prepare(services: Services, task: Task) -> Acting:
    """Looks up what a step runs and unpacks its context.

    Raises ``MissingDefinitionError`` where this deployment does not know the machine or the state.
    """
    step = task.step
    machine = services.definitions.machines.get(step.machine)
    state = machine.state(step.target) if machine else None
    if machine is None or state is None:
        raise MissingDefinitionError(
            f"definition missing: this deployment has no state {step.target!r} of a machine {step.machine!r}"
        )
    scope = Scope(
        step.instance, step.machine, step.target, step.event, step.name, client=services.store.client
    )
    if not task.context:
        raise StepError("the step's context is gone: the rows that its payload lay in were deleted")
    action = services.actions[state.action] if state.action else None
    return Acting(machine, state, action, scope, Context(scope, decode(task.context)), StepObject())


def announce(services: Services, stored: Stored[Task], acting: Acting) -> Stored[Task]:
    """Runs ``continuation`` and makes the follow-up known, before the action sees its page.

    A follow-up that an earlier attempt made known is kept, its token too: ``obj['until']`` tells where the
    page ends. The row as it is afterwards; raises ``Moved`` when another delivery changed it.
    """
    task = stored.row
    if task.announced is not None:
        acting.obj["until"] = task.announced
    following = next_token(acting, task)
    if task.announced is not None or not following:
        return stored
    task_ahead = follow_up(task, encode(acting.context), following, services.clock())
    commit = announcement(stored, task_ahead)
    try:
        version = services.store.commit(commit)[0]
    except (ConflictError, AlreadyExistsError, UnavailableError) as error:
        raise Moved(str(error)) from error
    enqueue(services, [task_ahead])
    mentioned = replace(task, ahead=(*task.ahead, task_ahead.step.name), announced=following)
    return Stored(mentioned, version)


def next_token(acting: Acting, task: Task) -> str:
    """Runs ``continuation`` and answers the token of the next page as text: empty at the end of the chain.

    The chain ends with no token, with the step's own token again, and with an empty page.
    """
    token = task.hop.token if task.hop else None
    returned = acting.action.continuation(acting.context, acting.obj, token)  # type: ignore[union-attr]  # checked at load
    following = returned.decode() if isinstance(returned, bytes) else str(returned or "")
    acting.empty_page = acting.obj.get("results") == [] or following == token
    return "" if acting.empty_page else following


def execute(acting: Acting, entries: Sequence[Entry] | None) -> Acted:
    """Runs ``execute`` with the context, or with the list of contexts that a fan-in collected."""
    context, obj, scope = acting.context, acting.obj, acting.scope
    event: Any = None
    if acting.action is not None:
        given: Context | Contexts = context
        if entries is not None:
            collected = (Context(scope, decode(each.context)) for each in entries)
            given = Contexts(scope, context, collected)
        event = acting.action.execute(given, obj)
    if event is not None and not isinstance(event, str):
        raise UnknownEventError(f"state {acting.state.name!r} returned {event!r}; an event is text")
    return Acted(
        event=event,
        context=encode(context),
        staged=tuple(scope.staged),
        collected=tuple(each.key for each in entries or ()),
        empty_page=acting.empty_page,
    )
