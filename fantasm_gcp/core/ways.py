"""The rules of a transition that come from the states it lies between: continuations, fan-ins, joins."""

from __future__ import annotations

from collections.abc import Mapping

from fantasm_gcp.core.attributes import RETRY_ATTRIBUTES
from fantasm_gcp.core.draft import Draft
from fantasm_gcp.core.findings import Findings

COLLECTING = ("fan_in", "join")
"""The attributes of a state that make it collect contexts."""

_OF_TASKS = ("queue", "target", *RETRY_ATTRIBUTES)


def check_way(state: Draft, transition: Draft, to: Draft, findings: Findings) -> None:
    """What a transition may do depends on the kinds of the states it lies between."""
    if transition.get("action") is not None:
        for end, word in ((state, "from"), (to, "to")):
            kind = _kind(end)
            if kind:
                message = f"a transition {word} {end.label}, which {kind}, cannot have an action"
                findings.error(transition.at("action"), message, "do it in the action of a state")
                break
    kind = _kind(to)
    if kind and state.get("exit") is not None and not _kind(state):
        findings.error(
            transition.at("to"),
            f"{state.label} has an exit, so it cannot lead to {to.label}, which {kind}",
            "do it in the action, or put a state between the two",
        )
    countdown = transition.get("countdown")
    if countdown is not None and countdown.maximum > 0 and collects(to):
        findings.error(
            transition.at("countdown"),
            f"a transition to {to.label}, which collects contexts, cannot have a countdown",
            "it waits for every other branch, however long they take"
            if to.get("join")
            else "its fan_in says how long contexts wait",
        )


def warn_of_ways_to_joins(machine: Draft, named: Mapping[str, Draft], findings: Findings) -> None:
    """Warns of what is written for the tasks of a join where it is not taken from."""
    first: dict[str, Draft] = {}
    for transition in (each for state in machine.items("states") for each in state.items("transitions")):
        to = named.get(transition.get("to"))
        if to is None or not to.get("join"):
            continue
        taken = first.setdefault(to.texts["name"], transition)
        for name in _OF_TASKS:
            own, inherited = transition.values.get(name), machine.get(name)
            if own is None or name in taken.broken or own == taken.values.get(name, inherited):
                continue
            message = f"{name} has no effect: the tasks of a join take it from the first way to {to.label}"
            hint = f"that is the transition at line {taken.place.line}, column {taken.place.column}"
            findings.add([transition.at(name).warning(message, hint)])


def _kind(state: Draft) -> str:
    """What a state is that restricts the actions around it; empty for any other."""
    if state.get("continuation"):
        return "is a continuation"
    return "collects contexts" if collects(state) else ""


def collects(state: Draft) -> bool:
    """Whether contexts are collected in a state, by a fan-in or by a join."""
    return any(state.get(attribute) for attribute in COLLECTING)
