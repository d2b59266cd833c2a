"""A machine as text for other tools to draw: Graphviz DOT and Mermaid."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fantasm_gcp.core.definition import Machine, State
from fantasm_gcp.diagram.card import marks

_FONT = "Helvetica,Arial,sans-serif"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_RESERVED = re.compile(
    # words of Mermaid's state diagrams, and the name of its own outermost group
    r"accdescr|acctitle|as|class|classdef|click|default|direction|end|fork|href|join|left|note|of|over|right"
    r"|root|scale|state|statediagram(v2)?|style"
    # what every JavaScript object already has: Mermaid keeps states in such objects
    r"|constructor|hasownproperty|isprototypeof|propertyisenumerable|tolocalestring|tostring|valueof",
    re.IGNORECASE,
)


def render_dot(machine: Machine) -> str:
    """The machine in Graphviz's language; deterministic, every name quoted."""
    lines = [
        f"digraph {_quoted(machine.name)} {{",
        "  rankdir=LR;",
        f'  node [shape=box, style="rounded,filled", fillcolor="#f5f7fa", fontname="{_FONT}"];',
        f'  edge [fontname="{_FONT}", fontsize=11];',
    ]
    for number, state in enumerate(machine.states):
        label = "\\n".join(_label(line) for line in (state.name, *marks(state)))
        double = ", peripheries=2" if state.final else ""
        lines.append(f'  {_quoted(state.name)} [label="{label}"{double}];')
        if state.initial:
            # A point of its own for each initial state; a name of a state cannot hold a space.
            lines.append(f'  "initial {number}" [shape=point, width=0.15, label=""];')
            lines.append(f'  "initial {number}" -> {_quoted(state.name)};')
    for state in machine.states:
        lines.extend(
            f'  {_quoted(state.name)} -> {_quoted(each.to)} [label="{_label(each.event)}"];'
            for each in state.transitions
        )
    return "\n".join([*lines, "}"]) + "\n"


def render_mermaid(machine: Machine) -> str:
    """The machine as a Mermaid ``stateDiagram-v2``; names that Mermaid would misread get an alias."""
    alias = _aliases(machine)
    lines = ["stateDiagram-v2", "  direction LR"]
    for state in machine.states:
        known = alias[state.name]
        lines.append(f"  {known}" if known == state.name else f'  state "{_entities(state.name)}" as {known}')
    lines.extend(f"  [*] --> {alias[state.name]}" for state in machine.states if state.initial)
    for state in machine.states:
        lines.extend(
            f"  {alias[state.name]} --> {alias[each.to]} : {_entities(each.event)}"
            for each in state.transitions
        )
    lines.extend(f"  {alias[state.name]} --> [*]" for state in machine.states if state.final)
    for state in machine.states:
        lines.extend(_note(state, alias[state.name]))
    return "\n".join(lines) + "\n"


def _note(state: State, known: str) -> Iterator[str]:
    told = tuple(marks(state))
    if told:
        yield f"  note right of {known}"
        yield from (f"    {_entities(line)}" for line in told)
        yield "  end note"


def _aliases(machine: Machine) -> dict[str, str]:
    """What each state is called in the text: its name where that is safe, else a free short one."""
    names = {state.name for state in machine.states}
    alias = {}
    for number, name in enumerate([state.name for state in machine.states], start=1):
        if _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
            alias[name] = name
            continue
        candidate = f"s{number}"
        while candidate in names:
            candidate += "x"
        alias[name] = candidate
    return alias


def _quoted(name: str) -> str:
    return '"' + _label(name) + '"'


def _label(text: str) -> str:
    """Text within DOT's quotes: backslashes start escapes there, and Graphviz resolves HTML entities."""
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return escaped.replace("\r", "").replace("\n", "\\n")


def _entities(text: str) -> str:
    """Text with everything but the plainest characters as Mermaid's ``#number;``."""
    return "".join(
        each if each.isascii() and (each.isalnum() or each in " .-_") else f"#{ord(each)};" for each in text
    )
