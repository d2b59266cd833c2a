"""From the tree of a file to machines: every problem at once, each with its place.

Reading one attribute is ``core.draft``; here are the rules that concern several, the inheritance from
machine to transition, and the building of the values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from types import MappingProxyType

from fantasm_gcp.core.attributes import RETRY_ATTRIBUTES
from fantasm_gcp.core.check import check_machine
from fantasm_gcp.core.definition import (
    AT_LEAST_ONCE,
    PSEUDO_INIT,
    Definitions,
    Machine,
    RetryPolicy,
    State,
    Transition,
)
from fantasm_gcp.core.draft import Draft, read_draft
from fantasm_gcp.core.findings import Findings, did_you_mean, quoted
from fantasm_gcp.core.node import Broken, Node, Place
from fantasm_gcp.core.node import Mapping as MappingNode
from fantasm_gcp.errors import DefinitionError

MOST_LISTED = 10
"""A hint lists the names there are up to this many."""


def parse_definitions(root: Node) -> Definitions:
    """The machines of a file, with warnings in ``warnings``.

    Raises :class:`DefinitionError` with every problem of the file, warnings included, by place.
    """
    findings = Findings()
    machines: dict[str, Machine] = {}
    places: dict[tuple[str, ...], Place] = {}
    if isinstance(root, MappingNode):
        drafts = read_draft(root, "file", findings).items("state_machines")
        _check_unique(drafts, "name", findings)
        for draft in drafts:
            earlier = findings.errors
            _check_machine(draft, findings)
            if findings.errors == earlier and not _has_mistakes(draft) and draft.get("name") not in machines:
                machine = _machine(draft)
                own = _places(draft)
                findings.add(check_machine(machine, own))
                machines[machine.name] = machine
                places.update(own)
    elif isinstance(root, Broken):
        findings.error(root.place, root.message, root.hint)
    else:
        findings.error(root.place, "the file must be a mapping", "it begins with 'state_machines:'")
    if findings.errors:
        raise DefinitionError(findings.in_order())
    return Definitions(MappingProxyType(machines), findings.in_order(), MappingProxyType(places))


def _has_mistakes(draft: Draft) -> bool:
    """Whether reading it or anything under it recorded a mistake that leaves it incomplete."""
    lists = [value for value in draft.values.values() if isinstance(value, tuple)]
    return bool(draft.broken or draft.holes) or any(_has_mistakes(each) for each in chain(*lists))


def _check_unique(drafts: tuple[Draft, ...], attribute: str, findings: Findings) -> None:
    """Records each repetition of a name among siblings, with the place of the first."""
    first: dict[str, Place] = {}
    for draft in drafts:
        name = draft.get(attribute)
        if name is None:
            continue
        if name in first:
            at = first[name]
            findings.error(
                draft.at(attribute),
                f"the {attribute} {name!r} is taken by another {draft.level}",
                f"the first is at line {at.line}, column {at.column}",
            )
        first.setdefault(name, draft.at(attribute))


def _check_machine(machine: Draft, findings: Findings) -> None:
    states = machine.items("states")
    complete = "states" not in machine.broken | machine.holes
    _check_unique(states, "name", findings)
    _check_retry(machine, RetryPolicy(), findings)
    if complete:
        _check_ends(machine, states, findings)
    # Whatever is written as a name, allowed or not, is a state that a transition may lead to.
    names = {state.texts["name"]: None for state in states if "name" in state.texts}
    complete = complete and all("name" in state.texts for state in states)
    for state in states:
        _check_state(machine, state, findings)
        for transition in state.items("transitions"):
            _check_retry(transition, _retry(machine, RetryPolicy()), findings)
            if complete:
                _check_target(transition, names, findings)


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


def _check_state(machine: Draft, state: Draft, findings: Findings) -> None:
    if state.get("name") == PSEUDO_INIT:
        findings.error(
            state.at("name"),
            f"the name {PSEUDO_INIT!r} is reserved",
            "it stands for the start of an instance",
        )
    _check_unique(state.items("transitions"), "event", findings)
    _check_action(machine, state, findings)
    if state.get("fan_in") is not None and state.get("continuation"):
        findings.error(
            state.at("fan_in"),
            f"{state.label} has both fan_in and continuation",
            "collect in one state and continue in another",
        )
    for attribute in ("fan_in", "transactional"):
        if state.get(attribute) and machine.get("guarantee") == AT_LEAST_ONCE:
            findings.error(
                state.at(attribute),
                f"{attribute} needs records, and a machine with guarantee {AT_LEAST_ONCE} keeps none",
                "remove one of the two",
            )


def _check_action(machine: Draft, state: Draft, findings: Findings) -> None:
    action = state.get("action")
    if action is None:
        if not state.get("final") and not {"action", "final"} & state.broken:
            findings.error(
                state.at("name"),
                f"{state.label} has no action",
                "only a final state may lack one; add 'action:' or 'final: true'",
            )
    elif "." not in action and not _has_namespace(machine, state):
        findings.error(
            state.at("action"),
            f"action {action!r} names no module",
            f"write it like package.module.{action}, or give a namespace",
        )


def _check_target(transition: Draft, names: Collection[str], findings: Findings) -> None:
    to = transition.get("to")
    if to is not None and to not in names:
        hint = did_you_mean(to, names)
        if not hint and len(names) <= MOST_LISTED:
            hint = f"the states are: {', '.join(map(quoted, names))}"
        findings.error(transition.at("to"), f"there is no state {to!r}", hint)


def _check_retry(draft: Draft, inherited: RetryPolicy, findings: Findings) -> None:
    """Records backoff times in the wrong order, where at least one of the two is written."""
    own = [name for name in ("min_backoff_seconds", "max_backoff_seconds") if draft.get(name) is not None]
    policy = _retry(draft, inherited)
    least, most = policy.min_backoff_seconds, policy.max_backoff_seconds
    if own and least is not None and most is not None and least > most:
        findings.error(
            draft.at(own[0]), f"min_backoff_seconds {least} is more than max_backoff_seconds {most}"
        )


def _retry(draft: Draft, inherited: RetryPolicy) -> RetryPolicy:
    """A draft's own policy; what it does not say is inherited, field by field."""
    own = {name: draft.get(name) for name in RETRY_ATTRIBUTES}
    return RetryPolicy(
        **{name: getattr(inherited, name) if value is None else value for name, value in own.items()}
    )


def _namespace(machine: Draft, state: Draft) -> str | None:
    namespace: str | None = state.get("namespace") or machine.get("namespace")
    return namespace


def _has_namespace(machine: Draft, state: Draft) -> bool:
    """Whether there is one; one that is written but cannot be used is reported where it stands."""
    return _namespace(machine, state) is not None or "namespace" in machine.broken | state.broken


def _machine(draft: Draft) -> Machine:
    retry = _retry(draft, RetryPolicy())
    queue: str = draft.get("queue")
    return Machine(
        name=draft.get("name"),
        states=tuple(_state(draft, state, queue, retry) for state in draft.items("states")),
        queue=queue,
        retry=retry,
        guarantee=draft.get("guarantee"),
    )


def _state(machine: Draft, draft: Draft, queue: str, retry: RetryPolicy) -> State:
    action: str | None = draft.get("action")
    if action is not None and "." not in action:
        action = f"{_namespace(machine, draft)}.{action}"
    return State(
        name=draft.get("name"),
        action=action,
        initial=draft.get("initial"),
        final=draft.get("final"),
        continuation=draft.get("continuation"),
        fan_in=draft.get("fan_in"),
        transactional=draft.get("transactional"),
        transitions=tuple(_transition(each, queue, retry) for each in draft.items("transitions")),
    )


def _transition(draft: Draft, queue: str, retry: RetryPolicy) -> Transition:
    return Transition(
        event=draft.get("event"),
        to=draft.get("to"),
        queue=draft.get("queue") or queue,
        retry=_retry(draft, retry),
    )


def _places(machine: Draft) -> Mapping[tuple[str, ...], Place]:
    """The places of a machine, its states and transitions, keyed as ``Definitions.places`` says."""
    places = _own_places(machine, (machine.get("name"),), "name")
    for state in machine.items("states"):
        path = (machine.get("name"), "states", state.get("name"))
        places |= _own_places(state, path, "name")
        for transition in state.items("transitions"):
            places |= _own_places(transition, (*path, "transitions", transition.get("event")), "event")
    return places


def _own_places(draft: Draft, path: tuple[str, ...], name: str) -> dict[tuple[str, ...], Place]:
    return {path: draft.at(name)} | {(*path, attribute): place for attribute, place in draft.places.items()}
