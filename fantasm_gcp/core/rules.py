"""The rules of a machine that concern more than one attribute, each told once and with its place.

What follows from a mistake that is already reported is not told: a draft knows what is broken in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fantasm_gcp.core.attributes import RETRY_ATTRIBUTES
from fantasm_gcp.core.casts import ALIASES, BUILT_IN, REFUSED
from fantasm_gcp.core.definition import (
    AT_LEAST_ONCE,
    EXACTLY_ONCE,
    PSEUDO_FINAL,
    PSEUDO_INIT,
    RetryPolicy,
)
from fantasm_gcp.core.draft import Draft
from fantasm_gcp.core.findings import Findings, did_you_mean, quoted
from fantasm_gcp.core.node import Place

_PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle"}
_NO_PICKLE = REFUSED["pickle"]

MOST_LISTED = 10
"""A hint lists the names there are up to this many."""

_RESERVED = {
    PSEUDO_INIT: "it stands for the start of an instance",
    PSEUDO_FINAL: "it stands for the end of a branch",
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
                _check_way(state, transition, named[to], findings)
            elif to is not None and complete:
                _unknown_target(transition, to, [each.texts["name"] for each in states], findings)


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
    if machine.get("use_run_once_semaphore") is False and _recorded(machine) is None:
        return AT_LEAST_ONCE
    guarantee: str = machine.get("guarantee")
    return guarantee


def _recorded(machine: Draft) -> str | None:
    """The first attribute of a state that cannot do without records, with the state's label; or None."""
    for state in machine.items("states"):
        for attribute in ("fan_in", "transactional"):
            if state.get(attribute):
                return f"{state.label} has {attribute}"
    return None


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
    elif not semaphore and "guarantee" not in machine.values and (why := _recorded(machine)) is not None:
        findings.add(
            [
                place.warning(
                    f"{machine.label} keeps the guarantee {EXACTLY_ONCE}: {why}, which needs records",
                    "remove use_run_once_semaphore",
                )
            ]
        )


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
    for attribute in ("fan_in", "transactional"):
        if state.get(attribute) and machine.get("guarantee") == AT_LEAST_ONCE:
            findings.error(
                state.at(attribute),
                f"{attribute} needs records, and a machine with guarantee {AT_LEAST_ONCE} keeps none",
                "remove one of the two",
            )


@dataclass(frozen=True, slots=True)
class _Rule:
    """An attribute of a state that excludes another, or needs it."""

    attribute: str
    other: str
    needed: bool
    message: str
    hint: str

    def is_broken_by(self, state: Draft) -> bool:
        if {self.attribute, self.other} & state.broken:
            return False
        return bool(state.get(self.attribute)) and bool(state.get(self.other)) is not self.needed


_STATE_RULES = (
    _Rule(
        "fan_in",
        "continuation",
        False,
        "has both fan_in and continuation",
        "collect in one state and continue in another",
    ),
    _Rule(
        "fan_in_group",
        "fan_in",
        True,
        "has a fan_in_group, but no fan_in",
        "write for how many seconds contexts are collected, like 'fan_in: 30', or remove the group",
    ),
    _Rule(
        "continuation_countdown",
        "continuation",
        True,
        "has a continuation_countdown, but is no continuation",
        "write 'continuation: true', or remove the countdown",
    ),
    _Rule(
        "exit",
        "continuation",
        False,
        "is a continuation, and such a state cannot have an exit",
        "do it in the action, or in a state of its own behind",
    ),
    _Rule(
        "exit",
        "fan_in",
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


def _check_way(state: Draft, transition: Draft, to: Draft, findings: Findings) -> None:
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
    if countdown is not None and countdown.maximum > 0 and to.get("fan_in") is not None:
        findings.error(
            transition.at("countdown"),
            f"a transition to {to.label}, which collects contexts, cannot have a countdown",
            "its fan_in says how long contexts wait",
        )


def _kind(state: Draft) -> str:
    """What a state is that restricts the actions around it; empty for any other."""
    if state.get("continuation"):
        return "is a continuation"
    return "collects contexts" if state.get("fan_in") is not None else ""


def _unknown_target(transition: Draft, to: str, names: list[str], findings: Findings) -> None:
    hint = did_you_mean(to, names)
    if not hint and len(names) <= MOST_LISTED:
        hint = f"the states are: {', '.join(map(quoted, dict.fromkeys(names)))}"
    findings.error(transition.at("to"), f"there is no state {to!r}", hint)


def _check_backoff(draft: Draft, inherited: RetryPolicy, findings: Findings) -> None:
    """Records backoff times in the wrong order, where at least one of the two is written."""
    own = [name for name in ("min_backoff_seconds", "max_backoff_seconds") if draft.get(name) is not None]
    policy = retry_of(draft, inherited)
    least, most = policy.min_backoff_seconds, policy.max_backoff_seconds
    if own and least is not None and most is not None and least > most:
        findings.error(
            draft.at(own[0]), f"min_backoff_seconds {least} is more than max_backoff_seconds {most}"
        )
