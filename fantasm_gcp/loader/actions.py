"""Dotted names to actions: classes with ``execute``, and plain functions."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from fantasm_gcp.action import Action
from fantasm_gcp.core.definition import Definitions, State
from fantasm_gcp.core.findings import Findings, did_you_mean, quoted
from fantasm_gcp.core.node import Place
from fantasm_gcp.errors import DefinitionError, Problem
from fantasm_gcp.loader.modules import (
    NoImportError,
    a_kind_of,
    failure,
    guarded,
    import_module,
    take,
    unplaced,
)


class Actions(Mapping[str, Action]):
    """Actions by their dotted names, one object for each; ``warnings`` are what was odd about them."""

    def __init__(self, actions: Mapping[str, Action], warnings: tuple[Problem, ...] = ()) -> None:
        self._actions = MappingProxyType(dict(actions))
        self.warnings = warnings

    def __getitem__(self, dotted: str) -> Action:
        return self._actions[dotted]

    def __iter__(self) -> Iterator[str]:
        return iter(self._actions)

    def __len__(self) -> int:
        return len(self._actions)


class FunctionAction:
    """A function ``f(context, obj)`` as an action."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Any, Any], str | None]) -> None:
        self._function = function

    def __repr__(self) -> str:
        return f"FunctionAction({self._function!r})"

    def execute(self, context: Any, obj: Any) -> str | None:
        """What the function returns."""
        return self._function(context, obj)


class _Use(NamedTuple):
    """One attribute that names an action; ``state`` where it is a state's ``action``."""

    dotted: str
    place: Place
    state: State | None = None
    continuation: Place | None = None


def load_actions(definitions: Definitions) -> Actions:
    """Resolves what states and transitions name as action, entry and exit, each name once.

    Modules are imported, so their code runs. Raises :class:`DefinitionError` with every problem of every
    action, warnings included.
    """
    findings = Findings()
    actions: dict[str, Action] = {}
    unusable: set[str] = set()
    missing = _Missing()
    for use in _uses(definitions):
        if use.dotted in unusable:
            continue
        try:
            # The object is kept, not asked for its truth: a user's class may define __len__.
            if use.dotted not in actions:
                if missing.has(use.dotted):
                    unusable.add(use.dotted)
                    continue
                actions[use.dotted] = resolve_action(use.dotted, use.place)
        except NoImportError as error:
            unusable.add(use.dotted)
            missing.add(use.dotted, error)
            continue
        except DefinitionError as error:
            unusable.add(use.dotted)
            findings.add(error.problems)
            continue
        if use.state is not None:
            try:
                _check_continuation(use, use.state, actions[use.dotted], findings)
            except DefinitionError as error:
                findings.add(error.problems)
    findings.add(missing.problems())
    files = list(dict.fromkeys(place.file for place in definitions.places.values()))
    if findings.errors:
        raise DefinitionError(findings.in_order(files))
    return Actions(actions, findings.in_order(files))


class _Missing:
    """The modules that cannot be imported: each is tried once, and told where it is first needed."""

    def __init__(self) -> None:
        self._modules: dict[str, str] = {}
        self._first: dict[str, Problem] = {}
        self._more: Counter[str] = Counter()

    def has(self, dotted: str) -> bool:
        """Whether an action's module is known to be missing; then one more action needs it."""
        message = self._modules.get(dotted.rpartition(".")[0])
        if message is None:
            return False
        self._more[message] += 1
        return True

    def add(self, dotted: str, error: NoImportError) -> None:
        (problem,) = error.problems
        self._modules[dotted.rpartition(".")[0]] = problem.message
        if problem.message in self._first:
            self._more[problem.message] += 1
        else:
            self._first[problem.message] = problem

    def problems(self) -> Iterator[Problem]:
        """One for each module, with the number of further actions that need it."""
        for message, problem in self._first.items():
            more = self._more[message]
            need = f"{more} more action{' needs' if more == 1 else 's need'} it" if more else ""
            yield replace(problem, hint="; ".join(filter(None, (problem.hint, need))))


def _uses(definitions: Definitions) -> Iterator[_Use]:
    places = definitions.places
    for machine in definitions:
        for state in machine.states:
            path = (machine.name, "states", state.name)
            for attribute, dotted in (("entry", state.entry), ("action", state.action), ("exit", state.exit)):
                if dotted is not None:
                    place = places.get((*path, attribute)) or unplaced(dotted)
                    flag = places.get((*path, "continuation"), place)
                    yield _Use(dotted, place, state if attribute == "action" else None, flag)
            for each in state.transitions:
                if each.action is not None:
                    at = places.get((*path, "transitions", each.event, "action"))
                    yield _Use(each.action, at or unplaced(each.action))


def _check_continuation(use: _Use, state: State, action: Action, findings: Findings) -> None:
    """A continuation state needs continuation(); on another state, it would never be called."""
    with guarded(use.place, f"continuation of {quoted(use.dotted)} cannot be had"):
        method = getattr(action, "continuation", None)
    called = quoted(use.dotted.rpartition(".")[2])
    if state.continuation and not callable(method):
        message = f"state {state.name!r} is a continuation, but {called} has no method continuation()"
        findings.error(
            use.continuation or use.place,
            message,
            "add continuation(self, context, obj, token=None), or remove the attribute",
        )
    elif callable(method) and not state.continuation:
        message = f"{called} has a method continuation(), but state {state.name!r} is no continuation"
        findings.add([use.place.warning(message, "write 'continuation: true' to have it called")])
    elif callable(method):
        _check_callable(
            method, f"continuation of {quoted(use.dotted)}", use.place, ("context", "obj", "token")
        )


def resolve_action(dotted: str, place: Place | None = None) -> Action:
    """Imports the module of a dotted name and makes an action of what it names there.

    A class is made an object of, without arguments, anew on every call; it has to have ``execute``. Any
    other callable is called as ``f(context, obj)``. Raises :class:`DefinitionError` with one problem at
    ``place`` (by default, at the name itself) when there is none of that name, or it is of no use.
    """
    place = place or unplaced(dotted)
    module_name, _, name = dotted.rpartition(".")
    if not module_name:
        raise failure(
            place, f"action {quoted(dotted)} names no module", f"write it like package.module.{dotted}"
        )
    module = import_module(module_name, place)
    named = take(
        module,
        name,
        place,
        "class or function",
        lambda value: isinstance(value, type) or inspect.isroutine(value),
    )
    with guarded(place, f"{quoted(dotted)} cannot be had"):
        if isinstance(named, type):
            return _object(named, dotted, place)
        if callable(named):
            _check_callable(named, quoted(dotted), place, ("context", "obj"))
            return FunctionAction(named)
    raise failure(place, f"{quoted(dotted)} is neither a class nor a function but {a_kind_of(named)}")


def _object(action_class: type, dotted: str, place: Place) -> Action:
    with guarded(place, f"{quoted(dotted)} cannot be made"):
        action = action_class()
        execute = getattr(action, "execute", None)
    if execute is None:
        names = [name for name in dir(action_class) if not name.startswith("_")]
        hint = did_you_mean("execute", names) or "add execute(self, context, obj)"
        raise failure(place, f"{quoted(dotted)} has no method execute()", hint)
    if not callable(execute):
        raise failure(place, f"execute of {quoted(dotted)} is not a method", "it cannot be called")
    _check_callable(execute, f"execute of {quoted(dotted)}", place, ("context", "obj"))
    return cast("Action", action)


def _check_callable(function: Callable[..., Any], called: str, place: Place, given: tuple[str, ...]) -> None:
    """Raises DefinitionError where a call with these positional arguments would not run to an event."""
    run = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    for is_other, what in (
        (inspect.iscoroutinefunction, "a coroutine function"),
        (inspect.isasyncgenfunction, "an asynchronous generator function"),
        (inspect.isgeneratorfunction, "a generator function"),
    ):
        if is_other(function) or is_other(run):
            raise failure(
                place, f"{called} is {what}: a call does not run it", "write it with 'def' and 'return'"
            )
    try:
        # What a decorator wraps may take more: the decorator supplies it.
        signature = inspect.signature(function, follow_wrapped=False)
    except (ValueError, TypeError):
        return  # some callables written in C do not tell
    try:
        signature.bind(*given)
    except TypeError as error:
        raise failure(
            place, f"{called} does not take ({', '.join(given)}): {error}", "it is called with these in order"
        ) from error
