"""A machine laid out: which box is which state, which arrow is which transition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fantasm_gcp.core.definition import Machine, State, Transition
from fantasm_gcp.diagram.card import Card, StateCounts, make_card
from fantasm_gcp.diagram.geometry import Layout, Link, Node, Rect, Route, Size
from fantasm_gcp.diagram.layout import arrange, place
from fantasm_gcp.diagram.measure import text_width

FITTING_WIDTH = 1100.0
"""A machine is drawn from left to right up to this width in pixels, top down if it would be wider."""

EVENT_SIZE = 12.0
START = 14.0
"""Diameter of the dot that marks the initial state."""

_EVENT_LINE = 17.0


@dataclass(frozen=True, slots=True)
class Arrow:
    """A transition with its line."""

    source: State
    transition: Transition
    route: Route


@dataclass(frozen=True, slots=True)
class Scene:
    """All there is to draw. ``boxes`` are in the order of the machine's states."""

    layout: Layout
    start: Rect
    entries: tuple[Route, ...]
    boxes: tuple[tuple[Card, Rect], ...]
    arrows: tuple[Arrow, ...]


def stage(machine: Machine, counts: Mapping[str, StateCounts]) -> Scene:
    """Measures and lays out a machine; deterministic."""
    cards = [make_card(state, counts.get(state.name, StateCounts())) for state in machine.states]
    number = {state.name: at for at, state in enumerate(machine.states, start=1)}
    entries = [Link(0, number[state.name]) for state in machine.states if state.initial]
    steps = [(state, each) for state in machine.states for each in state.transitions if each.to != state.name]
    turns = [(state, each) for state in machine.states for each in state.transitions if each.to == state.name]
    loops: dict[str, list[Size]] = {state.name: [] for state in machine.states}
    for state, turn in turns:
        loops[state.name].append(_label(turn))
    nodes = [Node(Size(START, START)), *(Node(card.size, tuple(loops[card.state.name])) for card in cards)]
    links = [*entries, *(Link(number[state.name], number[each.to], _label(each)) for state, each in steps)]
    layout = _fitting(nodes, links)
    drawn_steps = layout.routes[len(entries) :]
    drawn_turns = [loop for many in layout.loops for loop in many]
    arrows = [
        Arrow(state, transition, route)
        for (state, transition), route in zip([*steps, *turns], [*drawn_steps, *drawn_turns], strict=True)
    ]
    return Scene(
        layout=layout,
        start=layout.nodes[0],
        entries=layout.routes[: len(entries)],
        boxes=tuple(zip(cards, layout.nodes[1:], strict=True)),
        arrows=tuple(arrows),
    )


def _label(transition: Transition) -> Size:
    return Size(text_width(transition.event, EVENT_SIZE), _EVENT_LINE)


def _fitting(nodes: list[Node], links: list[Link]) -> Layout:
    arrangement = arrange(nodes, links)
    wide = place(arrangement, horizontal=True)
    return wide if wide.width <= FITTING_WIDTH else place(arrangement, horizontal=False)
