"""Names in a definition that stand for constants in users' modules: events, and arguments of a machine.

An undotted name stays what it is unless it is a text in the namespace in force; a dotted one says plainly
that a constant is meant. Looking it up is the loader's: it imports. It is handed in as a callable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from fantasm_gcp.core.attributes import Attribute, attributes_of
from fantasm_gcp.core.composed import ArgumentType
from fantasm_gcp.core.draft import Draft
from fantasm_gcp.core.findings import Findings, quoted
from fantasm_gcp.core.node import Place, Scalar
from fantasm_gcp.core.values import UnusableError, read_name


@dataclass(frozen=True, slots=True)
class Found:
    """What a name leads to: ``text`` where that is a text.

    Otherwise ``kind`` says what it is instead, or is empty where the name leads to nothing, and ``why``
    tells what went wrong on the way, if anything did.
    """

    text: str | None = None
    kind: str = ""
    why: str = ""


Find: TypeAlias = Callable[[str, str | None], Found]
"""Looks up a name, dotted or not, in a namespace or, where it is dotted, from its own module."""


def with_constants(machine: Draft, find: Find | None, findings: Findings) -> Draft:
    """A machine whose events and arguments are what its constants hold.

    Without ``find``, nothing is looked up: what is not allowed as a name is taken for a constant whose
    value is not known, and stands for itself.
    """
    resolving = _Resolving(find, findings)
    values = dict(machine.values)
    broken = set(machine.broken)
    if "context_types" in values:
        types = resolving.arguments(values["context_types"], machine.get("namespace"))
        if types is None:
            del values["context_types"]
            broken.add("context_types")
        else:
            values["context_types"] = types
    if "states" in values:
        values["states"] = tuple(resolving.state(machine, each) for each in machine.items("states"))
    return replace(machine, values=values, broken=frozenset(broken))


class _Resolving:
    """Looks up the names of one machine."""

    def __init__(self, find: Find | None, findings: Findings) -> None:
        self._find = find
        self._findings = findings

    def state(self, machine: Draft, state: Draft) -> Draft:
        if not state.items("transitions"):
            return state
        inherited = machine.get("namespace"), state.get("namespace")
        transitions = tuple(self._transition(inherited, each) for each in state.items("transitions"))
        state = replace(state, values={**state.values, "transitions": transitions})
        return self._on_error(inherited, state) if "on_error" in state.values else state

    def _on_error(self, inherited: tuple[str | None, str | None], state: Draft) -> Draft:
        """What is written like the event of a transition means that one, wherever it was found."""
        written = state.values["on_error"]
        for transition in state.items("transitions"):
            if transition.texts.get("event") == written:
                return _with_event(state, "on_error", transition.values.get("event"))
        return self._resolved(state, "on_error", inherited)

    def _transition(self, inherited: tuple[str | None, str | None], transition: Draft) -> Draft:
        """Events are looked up in the machine's namespace first, as Fantasm did; then in the nearer ones."""
        of_machine, of_state = inherited
        namespaces = of_machine, transition.get("namespace"), of_state
        return self._resolved(transition, "event", namespaces) if "event" in transition.values else transition

    def _resolved(self, draft: Draft, name: str, namespaces: tuple[str | None, ...]) -> Draft:
        """A draft with the event that is meant by an attribute's value, or with that attribute broken."""
        attribute = attributes_of(draft.level)[name]
        try:
            event = self._event(attribute, draft.values[name], namespaces, draft.at(name))
        except UnusableError as unusable:
            self._findings.error(draft.at(name), unusable.message, unusable.hint)
            return _with_event(draft, name, None)
        return _with_event(draft, name, event)

    def _look_up(self, find: Find, written: str, namespaces: tuple[str | None, ...]) -> Found:
        """What a name leads to in the first namespace that has a text for it; else, in the first of all."""
        places: list[str | None] = [each for each in namespaces if each is not None]
        found = [find(written, each) for each in places or [None]]
        return next((each for each in found if each.text is not None), found[0])

    def _event(
        self, attribute: Attribute, written: str, namespaces: tuple[str | None, ...], place: Place
    ) -> str:
        """The event that is meant; raises :class:`UnusableError`."""
        if self._find is None:
            return written
        found = self._look_up(self._find, written, namespaces)
        if found.text is not None and found.text != written:
            try:
                return read_name(attribute, Scalar(place, "text", found.text, found.text))
            except UnusableError as unusable:
                message = f"the constant {quoted(written)} is {quoted(found.text)}: {unusable.message}"
                raise UnusableError(message, unusable.hint) from unusable
        if "." in written and found.text is None:
            what = found.kind or found.why or "there is none of that name"
            raise UnusableError(f"{attribute.name} {quoted(written)} is no constant that holds text: {what}")
        try:
            return read_name(attribute, Scalar(place, "text", written, written))
        except UnusableError as unusable:
            if not found.why:
                raise
            hint = f"if it is the name of a constant: {found.why}"
            raise UnusableError(unusable.message, hint) from unusable

    def arguments(
        self, types: tuple[ArgumentType, ...], namespace: str | None
    ) -> tuple[ArgumentType, ...] | None:
        """The types by the arguments that are meant; None when a mistake is recorded."""
        before = self._findings.errors
        first: dict[str, Place] = {}
        resolved = []
        for each in types:
            found = self._find(each.argument, namespace) if self._find is not None else Found()
            argument = each.argument if found.text is None else found.text
            if found.kind and "." in each.argument:
                message = f"argument {quoted(argument)} is no constant that holds text: {found.kind}"
                self._findings.error(each.key, message)
            elif not argument:
                self._findings.error(each.key, f"the constant {quoted(each.argument)} is empty")
            elif argument in first:
                at = first[argument]
                self._findings.error(
                    each.key,
                    f"the argument {quoted(argument)} has a type already",
                    f"the first is at line {at.line}, column {at.column}",
                )
            else:
                first[argument] = each.key
                resolved.append(replace(each, argument=argument))
        return tuple(resolved) if self._findings.errors == before else None


def _with_event(draft: Draft, name: str, event: str | None) -> Draft:
    """A draft whose attribute holds an event, or is broken because there is none."""
    if event is not None:
        return replace(draft, values={**draft.values, name: event})
    values: dict[str, Any] = {key: value for key, value in draft.values.items() if key != name}
    return replace(draft, values=values, broken=draft.broken | {name})
