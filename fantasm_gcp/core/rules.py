"""The rules of a machine that concern more than one attribute, each told once and with its place.

What follows from a mistake that is already reported is not told: a draft knows what is broken in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from fantasm_gcp.core.attributes import RETRY_ATTRIBUTES, Level
from fantasm_gcp.core.casts import ALIASES, BUILT_IN, REFUSED
from fantasm_gcp.core.definition import (
    AT_LEAST_ONCE,
    EXACTLY_ONCE,
    PSEUDO_FINAL,
    PSEUDO_INIT,
    PSEUDO_JOIN,
    PSEUDO_OPERATOR,
    RetryPolicy,
)
from fantasm_gcp.core.draft import Draft
from fantasm_gcp.core.findings import Findings, did_you_mean, one_of, quoted
from fantasm_gcp.core.node import Place
from fantasm_gcp.core.ways import COLLECTING, check_way, warn_of_ways_to_joins

_PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle"}
_NO_PICKLE = REFUSED["pickle"]

_RESERVED = {
    PSEUDO_INIT: "it stands for the start of an instance",
    PSEUDO_FINAL: "it stands for the end of a branch",
    PSEUDO_JOIN: "it stands for the release of a join",
    PSEUDO_OPERATOR: "it stands for an operator's command",
}


def check_unique(drafts: Iterable[Draft], attribute: str, findings: Findings) -> None:
    """Records each repetition of a name among siblings, with the place of the first."""
    first: dict[str, Place] = {}
    for draft in drafts:
        name = draft.get(attribute)
        if name is None:
            continue
        if name in first:
            at, here = first[name], draft.at(attribute)
            where = f"line {at.line}, column {at.column}"
            findings.error(
                here,
                f"the {attribute} {name!r} is taken by another {draft.level}",
                f"the first is at {where}"
                if at.file == here.file
                else f"the first is in {at.file} at {where}",
            )
        first.setdefault(name, draft.at(attribute))


def check_rules(machine: Draft, findings: Findings) -> None:
    """Records what is wrong with a machine as a whole, its states and its transitions."""
    states = machine.items("states")
    complete = "states" not in machine.broken | machine.holes
    check_unique(states, "name", findings)
    _check_backoff(machine, RetryPolicy(), findings)
    _check_semaphore(machine, findings)
    _check_records(machine, findings)
    _check_types(machine, findings)
    if complete:
        _check_ends(machine, states, findings)
    # Whatever is written as a name, allowed or not, is a state that a transition may lead to.
    named = {state.texts["name"]: state for state in reversed(states) if "name" in state.texts}
    complete = complete and all("name" in state.texts for state in states)
    for state in states:
        _check_state(machine, state, findings)
        for transition in state.items("transitions"):
            _check_transition(machine, state, transition, findings)
            to = transition.get("to")
            if to in named:
                check_way(state, transition, named[to], findings)
            elif to is not None and complete:
                _unknown_target(transition, to, [each.texts["name"] for each in states], findings)
    warn_of_ways_to_joins(machine, named, findings)


def retry_of(draft: Draft, inherited: RetryPolicy) -> RetryPolicy:
    """A draft's own policy; what it does not say is inherited, field by field."""
    own = {name: draft.get(name) for name in RETRY_ATTRIBUTES}
    return RetryPolicy(
        **{name: getattr(inherited, name) if value is None else value for name, value in own.items()}
    )


def namespace_of(*drafts: Draft) -> str | None:
    """The namespace in force: of the last draft that has one.

    A transition's action takes its own, the machine's, the state's, in this order, as Fantasm did.
    """
    return next((each.get("namespace") for each in reversed(drafts) if each.get("namespace")), None)


def guarantee_of(machine: Draft) -> str:
    """The guarantee, which an old file asks for by ``use_run_once_semaphore: False``."""
    if machine.get("use_run_once_semaphore") is False and not any(_recorded(machine)):
        return AT_LEAST_ONCE
    guarantee: str = machine.get("guarantee")
    return guarantee


_RECORDED: tuple[tuple[Level, tuple[str, ...]], ...] = (
    ("machine", ("on_complete", "on_failure")),
    ("state", ("fan_in", "join", "transactional", "on_error")),
)
"""The attributes that cannot do without records."""


def _recorded(machine: Draft) -> Iterator[tuple[Draft, str]]:
    """Each draft that has an attribute which cannot do without records, with that attribute."""
    for level, attributes in _RECORDED:
        drafts = (machine,) if level == "machine" else machine.items("states")
        yield from ((draft, each) for draft in drafts for each in attributes if draft.get(each))


def _check_records(machine: Draft, findings: Findings) -> None:
    if machine.get("guarantee") == AT_LEAST_ONCE:
        for draft, attribute in _recorded(machine):
            findings.error(
                draft.at(attribute),
                f"{attribute} needs records, and a machine with guarantee {AT_LEAST_ONCE} keeps none",
                "remove one of the two",
            )


def _check_semaphore(machine: Draft, findings: Findings) -> None:
    semaphore = machine.get("use_run_once_semaphore")
    if semaphore is None or "guarantee" in machine.broken:
        return
    means = EXACTLY_ONCE if semaphore else AT_LEAST_ONCE
    place = machine.at("use_run_once_semaphore")
    if machine.values.get("guarantee", means) != means:
        findings.error(
            place,
            f"use_run_once_semaphore {semaphore} contradicts guarantee {machine.get('guarantee')}",
            "keep the guarantee",
        )
    elif not semaphore and "guarantee" not in machine.values:
        for draft, attribute in islice(_recorded(machine), 1):
            why = f"{'it' if draft is machine else draft.label} has {attribute}, which needs records"
            message = f"{machine.label} keeps the guarantee {EXACTLY_ONCE}: {why}"
            findings.add([place.warning(message, "remove use_run_once_semaphore")])


def _check_types(machine: Draft, findings: Findings) -> None:
    for each in machine.get("context_types") or ():
        why = REFUSED.get(each.type) or (_NO_PICKLE if _PICKLES & set(each.type.split(".")) else "")
        if why:
            findings.error(each.place, f"type {quoted(each.type)} is refused", why)
        elif type_name(machine, each.type) is None and "namespace" not in machine.broken:
            findings.error(
                each.place,
                f"type {quoted(each.type)} is not built in and names no module",
                did_you_mean(each.type, BUILT_IN) or f"write it like package.module.{each.type}",
            )


def type_name(machine: Draft, written: str) -> str | None:
    """The name of a type: built in, or dotted; None for a bare one where there is no namespace."""
    if "." in written or written in BUILT_IN or written in ALIASES:
        return written
    namespace = namespace_of(machine)
    return None if namespace is None else f"{namespace}.{written}"


def _check_ends(machine: Draft, states: tuple[Draft, ...], findings: Findings) -> None:
    """One state is initial, at least one is final; a flag that could not be read may be either."""
    initial = [state for state in states if state.get("initial")]
    if not initial and not any("initial" in state.broken for state in states):
        findings.error(
            machine.at("name"), f"{machine.label} has no initial state", "write 'initial: true' on one state"
        )
    for another in initial[1:]:
        first = initial[0].at("initial")
        findings.error(
            another.at("initial"),
            f"{another.label} is a second initial state",
            f"the first is at line {first.line}, column {first.column}",
        )
    if not any(state.get("final") or "final" in state.broken for state in states):
        findings.error(
            machine.at("name"),
            f"{machine.label} has no final state",
            "write 'final: true' on each state that may end a branch",
        )


def _check_reserved(draft: Draft, attribute: str, findings: Findings) -> None:
    name = draft.get(attribute)
    if name in _RESERVED:
        findings.error(draft.at(attribute), f"the {attribute} {name!r} is reserved", _RESERVED[name])


def _check_state(machine: Draft, state: Draft, findings: Findings) -> None:
    _check_reserved(state, "name", findings)
    check_unique(state.items("transitions"), "event", findings)
    if state.get("action") is None and not state.get("final") and not {"action", "final"} & state.broken:
        findings.error(
            state.at("name"),
            f"{state.label} has no action",
            "only a final state may lack one; add 'action:' or 'final: true'",
        )
    for attribute in ("action", "entry", "exit"):
        _check_module((machine, state), attribute, findings)
    for rule in _STATE_RULES:
        if rule.is_broken_by(state):
            findings.error(state.at(rule.attribute), f"{state.label} {rule.message}", rule.hint)
    _check_on_error(state, findings)


def _check_on_error(state: Draft, findings: Findings) -> None:
    """Records an event on errors that leads nowhere."""
    event = state.get("on_error")
    if event is None or "transitions" in state.broken | state.holes:
        return
    transitions = state.items("transitions")
    events = [each.get("event") for each in transitions]
    if not transitions:
        findings.error(
            state.at("on_error"),
            f"{state.label} has an on_error, but no transitions",
            "write the transition that a failed step takes, or remove the on_error",
        )
    elif event not in events and None not in events:
        findings.error(
            state.at("on_error"),
            f"{state.label} has no transition on {event!r}, which is its on_error",
            one_of(event, events, "its events are"),
        )


@dataclass(frozen=True, slots=True)
class _Rule:
    """An attribute of a state that excludes each of some others, or needs one of them."""

    attribute: str
    others: tuple[str, ...]
    needed: bool
    message: str
    hint: str

    def is_broken_by(self, state: Draft) -> bool:
        if {self.attribute, *self.others} & state.broken or not state.get(self.attribute):
            return False
        return any(state.get(other) for other in self.others) is not self.needed


_STATE_RULES = (
    _Rule(
        "join",
        ("fan_in",),
        False,
        "has both fan_in and join",
        "a fan_in waits for a number of seconds, a join for every other branch: keep one of the two",
    ),
    _Rule(
        "join",
        ("continuation",),
        False,
        "has both join and continuation",
        "collect in one state and continue in another",
    ),
    _Rule(
        "join",
        ("initial",),
        False,
        "is initial, so it cannot be a join: at its start an instance has nothing to wait for",
        "begin in another state that leads to it",
    ),
    _Rule(
        "fan_in",
        ("continuation",),
        False,
        "has both fan_in and continuation",
        "collect in one state and continue in another",
    ),
    _Rule(
        "fan_in_group",
        COLLECTING,
        True,
        "has a fan_in_group, but neither fan_in nor join",
        "write how contexts are collected, like 'fan_in: 30' or 'join: true', or remove the group",
    ),
    _Rule(
        "fan_in_max",
        COLLECTING,
        True,
        "has a fan_in_max, but neither fan_in nor join",
        "write how contexts are collected, like 'fan_in: 30' or 'join: true', or remove the fan_in_max",
    ),
    _Rule(
        "continuation_countdown",
        ("continuation",),
        True,
        "has a continuation_countdown, but is no continuation",
        "write 'continuation: true', or remove the countdown",
    ),
    _Rule(
        "exit",
        ("continuation",),
        False,
        "is a continuation, and such a state cannot have an exit",
        "do it in the action, or in a state of its own behind",
    ),
    _Rule(
        "exit",
        COLLECTING,
        False,
        "collects contexts, and such a state cannot have an exit",
        "do it in the action, or in a state of its own behind",
    ),
)


def _check_module(drafts: tuple[Draft, ...], attribute: str, findings: Findings) -> None:
    """An undotted action needs a namespace; one that is written but cannot be used is reported itself."""
    action = drafts[-1].get(attribute)
    if action is None or "." in action or namespace_of(*drafts) is not None:
        return
    if not any("namespace" in each.broken for each in drafts):
        findings.error(
            drafts[-1].at(attribute),
            f"{attribute} {action!r} names no module",
            f"write it like package.module.{action}, or give the machine a line 'namespace: your_module'",
        )


def _check_transition(machine: Draft, state: Draft, transition: Draft, findings: Findings) -> None:
    _check_reserved(transition, "event", findings)
    _check_backoff(transition, retry_of(machine, RetryPolicy()), findings)
    _check_module((machine, state, transition), "action", findings)


def _unknown_target(transition: Draft, to: str, names: list[str], findings: Findings) -> None:
    findings.error(transition.at("to"), f"there is no state {to!r}", one_of(to, names, "the states are"))


def _check_backoff(draft: Draft, inherited: RetryPolicy, findings: Findings) -> None:
    """Records backoff times in the wrong order, where at least one of the two is written."""
    own = [name for name in ("min_backoff_seconds", "max_backoff_seconds") if draft.get(name) is not None]
    policy = retry_of(draft, inherited)
    least, most = policy.min_backoff_seconds, policy.max_backoff_seconds
    if own and least is not None and most is not None and least > most:
        findings.error(
            draft.at(own[0]), f"min_backoff_seconds {least} is more than max_backoff_seconds {most}"
        )
