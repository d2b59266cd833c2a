"""What the HTTP API answers of machines, and of what of them is held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.core.definition import Countdown, Machine, State, Transition
from fantasm_gcp.core.moments import iso
from fantasm_gcp.core.records import Hold
from fantasm_gcp.engine.history import status_counts
from fantasm_gcp.web.current import current_fantasm

Held: TypeAlias = Mapping[tuple[str, str], dict[str, Any]]
"""What is held: the holds of machines and states by their names, an empty one for a whole machine."""


def machines() -> dict[str, Any]:
    """Every machine with its states and how many of its instances have each status."""
    fantasm = current_fantasm()
    found = tuple(fantasm.definitions)
    counts = status_counts(fantasm.history, found)
    held = {(each.machine, each.state): shown_hold(each) for each in fantasm.history.holds()}
    return {"machines": [_machine(each, held) | {"instances": counts[each.name]} for each in found]}


def _machine(machine: Machine, held: Held) -> dict[str, Any]:
    return {
        "machine": machine.name,
        "built_in": machine.name in BUILT_IN,
        "queue": machine.queue,
        "target": machine.target,
        "guarantee": machine.guarantee,
        "persistent_logging": machine.persistent_logging,
        "pin_version": machine.pin_version,
        "on_complete": list(machine.on_complete),
        "on_failure": list(machine.on_failure),
        "held": held.get((machine.name, "")),
        "context_types": dict(machine.context_types),
        "states": [_state(each, held.get((machine.name, each.name))) for each in machine.states],
    }


def _state(state: State, held: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "state": state.name,
        "entry": state.entry,
        "action": state.action,
        "exit": state.exit,
        "initial": state.initial,
        "final": state.final,
        "continuation": state.continuation,
        "continuation_countdown": state.continuation_countdown,
        "fan_in": state.fan_in,
        "fan_in_group": state.fan_in_group,
        "fan_in_max": state.fan_in_max,
        "join": state.join,
        "on_error": state.on_error,
        "transactional": state.transactional,
        "held": held,
        "transitions": [_transition(each) for each in state.transitions],
    }


def _transition(transition: Transition) -> dict[str, Any]:
    return {
        "event": transition.event,
        "to": transition.to,
        "action": transition.action,
        "queue": transition.queue,
        "target": transition.target,
        "countdown": _countdown(transition.countdown),
    }


def _countdown(countdown: Countdown | None) -> dict[str, float] | None:
    return None if countdown is None else {"minimum": countdown.minimum, "maximum": countdown.maximum}


def holds() -> dict[str, Any]:
    """The machines and states that are held, those longest first."""
    return {"holds": [shown_hold(each) for each in current_fantasm().history.holds()]}


def shown_hold(hold: Hold) -> dict[str, Any]:
    """A hold; an empty ``state`` is the whole machine."""
    return {"machine": hold.machine, "state": hold.state, "since": iso(hold.since), "note": hold.note}
