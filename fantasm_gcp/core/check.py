"""Static verification of a machine that is correct: what it says, but hardly means.

Nothing here stops a definition from being used. An event is taken for possible if the state has an action;
which of them an action returns is known only when it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fantasm_gcp.core.definition import Machine, State, Transition
from fantasm_gcp.core.node import Place
from fantasm_gcp.errors import Problem


def check_machine(machine: Machine, places: Mapping[tuple[str, ...], Place]) -> tuple[Problem, ...]:
    """Warnings about dead events, unreachable states and traps; ``places`` as in ``Definitions``."""
    edges = {state.name: tuple(each.to for each in _live(state)) for state in machine.states}
    reached = _closure([machine.initial.name], edges)
    finals = [state.name for state in machine.states if state.final]
    ending = _closure(finals, _reversed(edges))
    problems = []
    for state in machine.states:
        place = places[machine.name, "states", state.name]
        if state.name not in reached:
            problems.append(
                place.warning(f"state {state.name!r} cannot be reached from {machine.initial.name!r}")
            )
        if state.name not in ending:
            why = "it has no transitions" if not state.transitions else "its transitions lead to none"
            problems.append(place.warning(f"no final state can be reached from {state.name!r}", why))
        problems.extend(_dead_events(machine, state, places))
    return tuple(problems)


def _live(state: State) -> tuple[Transition, ...]:
    """The transitions that can be taken: a state without an action returns no event, but it may fail."""
    if state.action is not None:
        return state.transitions
    return tuple(each for each in state.transitions if each.event == state.on_error)


def _dead_events(
    machine: Machine, state: State, places: Mapping[tuple[str, ...], Place]
) -> Iterator[Problem]:
    live = _live(state)
    for transition in state.transitions:
        if transition not in live:
            place = places[machine.name, "states", state.name, "transitions", transition.event]
            message = f"event {transition.event!r} cannot happen: state {state.name!r} has no action"
            yield place.warning(message, "add an action, or remove the transition")


def _closure(start: Iterable[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    """Everything that can be reached from the start, the start included."""
    reached = set(start)
    pending = list(reached)
    while pending:
        for name in edges.get(pending.pop(), ()):
            if name not in reached:
                reached.add(name)
                pending.append(name)
    return reached


def _reversed(edges: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    back: dict[str, list[str]] = {}
    for source, targets in edges.items():
        for target in targets:
            back.setdefault(target, []).append(source)
    return back
