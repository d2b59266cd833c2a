"""From the trees of files to machines: every problem at once, each with its place.

Which files there are is ``core.files``, reading one attribute ``core.draft``, names of constants
``core.constants``, what several attributes mean together ``core.rules``; here the values are built.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from types import MappingProxyType

from fantasm_gcp.core.attributes import PERSISTENT, attributes_of
from fantasm_gcp.core.between import check_receivers, check_reserved
from fantasm_gcp.core.check import check_machine
from fantasm_gcp.core.constants import Find, with_constants
from fantasm_gcp.core.definition import (
    DEFAULT_ROOT,
    Definitions,
    Machine,
    RetryPolicy,
    State,
    Transition,
)
from fantasm_gcp.core.draft import Draft
from fantasm_gcp.core.files import Read, Source, read_files, read_no_file
from fantasm_gcp.core.findings import Findings
from fantasm_gcp.core.node import Place
from fantasm_gcp.core.rules import (
    check_rules,
    check_unique,
    guarantee_of,
    namespace_of,
    retry_of,
    type_name,
)
from fantasm_gcp.core.ways import collects
from fantasm_gcp.errors import DefinitionError

BUILT_IN_MACHINES = ("FantasmScrubber", "FantasmWebhook", "FantasmOperation")
"""The machines that the library brings along; no other file may define one of that name."""


def parse_definitions(
    first: Source,
    read: Read = read_no_file,
    find: Find | None = None,
    *,
    reserved: Collection[str] = BUILT_IN_MACHINES,
) -> Definitions:
    """The machines of a file and of those it imports, with warnings in ``warnings``.

    ``read`` reads what is imported, ``find`` looks up constants; without it, names stand for themselves.
    ``reserved`` are names that no machine may have. Raises :class:`DefinitionError` with every problem of
    all files, warnings included, by file and place.
    """
    findings = Findings()
    files = read_files(first, read, findings)
    drafts = [
        with_constants(machine, find, findings)
        for file in files.drafts
        for machine in file.items("state_machines")
    ]
    check_unique(drafts, "name", findings)
    machines: dict[str, Machine] = {}
    places: dict[tuple[str, ...], Place] = {}
    for draft in drafts:
        earlier = findings.errors
        check_rules(draft, findings)
        check_reserved(draft, reserved, findings)
        if findings.errors == earlier and not _has_mistakes(draft) and draft.get("name") not in machines:
            machine = _machine(draft)
            own = _places(draft)
            findings.add(check_machine(machine, own))
            machines[machine.name] = machine
            places.update(own)
    lists = {"state_machines", "import"}
    complete = files.complete and not any(lists & (each.broken | each.holes) for each in files.drafts)
    check_receivers(drafts, reserved, findings, complete=complete)
    _warn_of_checks(files.drafts, findings)
    if findings.errors:
        raise DefinitionError(findings.in_order(files.names))
    return Definitions(
        MappingProxyType(machines),
        findings.in_order(files.names),
        files.drafts[0].get("root_url") or DEFAULT_ROOT,
        MappingProxyType(places),
    )


def _warn_of_checks(files: Collection[Draft], findings: Findings) -> None:
    name = "enable_capabilities_check"
    for file in files:
        if name in file.values:
            findings.add([file.keys[name].warning(f"{name} has no effect", "remove the line")])


def _has_mistakes(draft: Draft) -> bool:
    """Whether reading it or anything under it recorded a mistake that leaves it incomplete."""
    lists = (draft.items(name) for name, each in attributes_of(draft.level).items() if each.items is not None)
    return bool(draft.broken or draft.holes) or any(_has_mistakes(each) for each in chain(*lists))


def _machine(draft: Draft) -> Machine:
    states = {state.get("name"): state for state in draft.items("states")}
    return Machine(
        name=draft.get("name"),
        states=tuple(_state(draft, state, states) for state in states.values()),
        queue=draft.get("queue"),
        target=draft.get("target"),
        retry=retry_of(draft, RetryPolicy()),
        guarantee=guarantee_of(draft),
        context_types=tuple(
            (each.argument, type_name(draft, each.type) or each.type)
            for each in draft.get("context_types") or ()
        ),
        persistent_logging=draft.get("logging") == PERSISTENT,
        on_complete=tuple(each.text for each in draft.get("on_complete") or ()),
        on_failure=tuple(each.text for each in draft.get("on_failure") or ()),
        pin_version=draft.get("pin_version"),
    )


def _state(machine: Draft, draft: Draft, states: Mapping[str, Draft]) -> State:
    return State(
        name=draft.get("name"),
        action=_action("action", machine, draft),
        entry=_action("entry", machine, draft),
        exit=_action("exit", machine, draft),
        initial=draft.get("initial"),
        final=draft.get("final"),
        continuation=draft.get("continuation"),
        continuation_countdown=draft.get("continuation_countdown") or 0,
        fan_in=draft.get("fan_in"),
        fan_in_group=draft.get("fan_in_group"),
        transactional=draft.get("transactional"),
        join=draft.get("join"),
        fan_in_max=draft.get("fan_in_max"),
        on_error=draft.get("on_error"),
        transitions=tuple(
            _transition(machine, draft, each, states[each.get("to")]) for each in draft.items("transitions")
        ),
    )


def _transition(machine: Draft, state: Draft, draft: Draft, to: Draft) -> Transition:
    return Transition(
        event=draft.get("event"),
        to=draft.get("to"),
        action=_action("action", state, machine, draft),
        queue=draft.get("queue") or machine.get("queue"),
        target=draft.get("target") or machine.get("target"),
        countdown=None if collects(to) else draft.get("countdown") or machine.get("countdown"),
        retry=retry_of(draft, retry_of(machine, RetryPolicy())),
    )


def _action(attribute: str, *drafts: Draft) -> str | None:
    """The full dotted name of an action of the last draft."""
    action: str | None = drafts[-1].get(attribute)
    return action if action is None or "." in action else f"{namespace_of(*drafts)}.{action}"


def _places(machine: Draft) -> Mapping[tuple[str, ...], Place]:
    """The places of a machine, its states and transitions, keyed as ``Definitions.places`` says."""
    name: str = machine.get("name")
    places = _own_places(machine, (name,), "name")
    for each in machine.get("context_types") or ():
        places[name, "context_types", each.argument] = each.place
    for state in machine.items("states"):
        path = (name, "states", state.get("name"))
        places |= _own_places(state, path, "name")
        for transition in state.items("transitions"):
            places |= _own_places(transition, (*path, "transitions", transition.get("event")), "event")
    return places


def _own_places(draft: Draft, path: tuple[str, ...], name: str) -> dict[tuple[str, ...], Place]:
    return {path: draft.at(name)} | {(*path, attribute): place for attribute, place in draft.places.items()}
