"""The lines: where an arrow leaves and enters a node, how it runs between ranks, how a self loop turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fantasm_gcp.diagram.geometry import Link, Point, Rect, Route, Size, Stroke
from fantasm_gcp.diagram.layering import Layered

ARROW = 9.0  # length of an arrowhead
PORT_GAP = 12.0  # between the ends of two arrows on one side of a node
_LABEL_GAP = 4.0  # between a line's end and the label it stops for
_LOOP_RISE = 26.0
_LOOP_OPENING = 20.0
_LOOP_SLOT = 30.0
_LOOP_AIR = 6.0
_LOOP_LIFT = 3.0  # of a label above an arch
_STRAIGHT = 1e6  # how much more a straight line counts than one that bends anyway
_FLAT = 0.5  # a bend smaller than this is drawn as a straight line


@dataclass(frozen=True, slots=True)
class Plan:
    """What routing needs to know: the graph, the order, and the places already given."""

    graph: Layered
    links: tuple[Link, ...]
    ranks: list[list[int]]
    cross: list[float]
    bands: list[tuple[float, float]]
    rects: list[Rect]
    horizontal: bool

    def side(self, node: int, *, high: bool) -> float:
        """Where a node ends along the main axis, on its lower or its higher side."""
        rect = self.rects[node]
        if self.horizontal:
            return rect.right if high else rect.x
        return rect.bottom if high else rect.y


def route(plan: Plan) -> list[Route]:
    """The arrow of each link, in the order of the links."""
    lower = _ports(plan, high=True)
    upper = _ports(plan, high=False)
    return [_route(plan, index, lower[index], upper[index]) for index in range(len(plan.links))]


def _ports(plan: Plan, *, high: bool) -> dict[int, float]:
    """The cross coordinate at which each link meets its lower node (``high`` side) or its higher node.

    A link whose next piece lies before the node's side goes straight; the others gather about the middle.
    """
    place = {vertex: at for row in plan.ranks for at, vertex in enumerate(row)}
    meeting: dict[int, list[int]] = {}
    for link, chain in enumerate(plan.graph.chains):
        meeting.setdefault(chain[0] if high else chain[-1], []).append(link)
    ports: dict[int, float] = {}
    for node, links in meeting.items():
        nexts = {link: plan.graph.chains[link][1 if high else -2] for link in links}
        links.sort(key=lambda link: (place[nexts[link]], link))
        rect = plan.rects[node]
        half = max(0.0, (rect.height if plan.horizontal else rect.width) / 2 - PORT_GAP)
        center = plan.cross[node]
        wanted = []
        for link in links:
            ahead = plan.cross[nexts[link]]
            wanted.append((ahead, _STRAIGHT) if abs(ahead - center) <= half else (center, 1.0))
        gap = min(PORT_GAP, 2 * half / max(1, len(links) - 1))
        ports.update(zip(links, _spread(wanted, gap, center - half, center + half), strict=True))
    return ports


def _spread(wanted: Sequence[tuple[float, float]], gap: float, low: float, high: float) -> list[float]:
    """Positions as near as possible to the wanted ones (with weights), in order and ``gap`` apart.

    Least squares by pooling adjacent violators, on positions less the gaps before them.
    """
    pools: list[tuple[float, float, int]] = []
    for at, (position, weight) in enumerate(wanted):
        pool = (position - at * gap, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, heavy, count = pools.pop()
            total = heavy + pool[1]
            pool = ((mean * heavy + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    flat = [mean for mean, _, count in pools for _ in range(count)]
    last = high - (len(flat) - 1) * gap
    return [min(max(each, low), last) + at * gap for at, each in enumerate(flat)]


Knot = tuple[float, float]
"""A place on a line as (main, cross). Knots come in pairs: straight within a pair, bent from pair to pair."""


def _route(plan: Plan, index: int, first: float, last: float) -> Route:
    """One arrow, which meets its lower node at ``first`` and its higher node at ``last``."""
    graph = plan.graph
    low_node, *inner, high_node = graph.chains[index]
    label = plan.links[index].label
    box = None
    runs: list[list[Knot]] = [
        [(plan.side(low_node, high=True), first), (plan.bands[graph.rank[low_node]][1], first)]
    ]
    for vertex in inner:
        (low, high), across = plan.bands[graph.rank[vertex]], plan.cross[vertex]
        if label is None or graph.labelled.get(vertex) != index:
            runs[-1] += [(low, across), (high, across)]
            continue
        middle = (low + high) / 2
        half = (label.width if plan.horizontal else label.height) / 2
        box = _centered(_point(plan, (middle, across)), label)
        # The line stops before the label and goes on behind it.
        runs[-1] += [(low - _LABEL_GAP, across), (middle - half - _LABEL_GAP, across)]
        runs.append([(middle + half + _LABEL_GAP, across), (high + _LABEL_GAP, across)])
    runs[-1] += [
        (plan.bands[graph.rank[high_node]][0], last),
        (plan.side(high_node, high=False), last),
    ]
    if graph.backward[index]:
        runs = [run[::-1] for run in reversed(runs)]
    end = runs[-1]
    tip = end[-1]
    base = (tip[0] + (ARROW if graph.backward[index] else -ARROW), tip[1])
    # Where the last straight run is shorter than the arrowhead, the bend ends at the head's back.
    end[-2:] = [base if abs(end[-2][0] - tip[0]) < ARROW else end[-2], base]
    pieces = tuple(_piece(plan, run) for run in runs)
    return Route(pieces, _point(plan, base), _point(plan, tip), box)


def _piece(plan: Plan, run: Sequence[Knot]) -> tuple[Point, tuple[Stroke, ...]]:
    strokes: list[Stroke] = []
    level: float | None = None  # the cross coordinate of the straight stroke being drawn
    for at, (here, there) in enumerate(pairwise(run)):
        end = _point(plan, there)
        if at % 2 == 0 or abs(here[1] - there[1]) < _FLAT:
            # A straight line through many ranks is one stroke.
            if strokes and level == there[1]:
                strokes.pop()
            strokes.append(Stroke(end))
            level = there[1]
        else:
            level = None
            half = (here[0] + there[0]) / 2
            strokes.append(Stroke(end, (_point(plan, (half, here[1])), _point(plan, (half, there[1])))))
    return _point(plan, run[0]), tuple(strokes)


def _point(plan: Plan, knot: Knot) -> Point:
    return Point(*knot) if plan.horizontal else Point(knot[1], knot[0])


def _centered(center: Point, size: Size) -> Rect:
    return Rect(center.x - size.width / 2, center.y - size.height / 2, size.width, size.height)


def loop_span(labels: Sequence[Size], *, horizontal: bool) -> float:
    """How long a side must be to carry a node's self loops: the top when horizontal, else the right one."""
    return sum(_slots(labels, horizontal=horizontal)) + 2 * _LOOP_AIR if labels else 0.0


def loop_reach(labels: Sequence[Size], *, horizontal: bool) -> float:
    """How far self loops and their labels stand out from that side."""
    if not labels:
        return 0.0
    if horizontal:
        return _LOOP_RISE + _LOOP_LIFT + max(label.height for label in labels)
    return _LOOP_RISE + _LABEL_GAP + max(label.width for label in labels)


def loop_routes(rect: Rect, labels: Sequence[Size], *, horizontal: bool) -> tuple[Route, ...]:
    """The self loops of a node: arches on its top with the label above, or on its right with it beside."""
    slots = _slots(labels, horizontal=horizontal)
    at = (rect.center.x if horizontal else rect.center.y) - sum(slots) / 2
    loops = []
    for label, slot in zip(labels, slots, strict=True):
        middle = at + slot / 2
        at += slot
        loops.append(_arch(rect, middle, label) if horizontal else _ear(rect, middle, label))
    return tuple(loops)


def _slots(labels: Sequence[Size], *, horizontal: bool) -> list[float]:
    return [max(_LOOP_SLOT, label.width + _LOOP_AIR if horizontal else label.height) for label in labels]


def _arch(rect: Rect, middle: float, label: Size) -> Route:
    left, right, crest = middle - _LOOP_OPENING / 2, middle + _LOOP_OPENING / 2, rect.y - _LOOP_RISE * 4 / 3
    tip = Point(right, rect.y)
    base = Point(right, rect.y - ARROW)
    line = Stroke(base, (Point(left - 2, crest + 3), Point(right + 1, crest)))
    box = Rect(
        middle - label.width / 2, rect.y - _LOOP_RISE - _LOOP_LIFT - label.height, label.width, label.height
    )
    return Route(((Point(left, rect.y), (line,)),), base, tip, box)


def _ear(rect: Rect, middle: float, label: Size) -> Route:
    top, bottom, far = middle - _LOOP_OPENING / 2, middle + _LOOP_OPENING / 2, rect.right + _LOOP_RISE * 4 / 3
    tip = Point(rect.right, bottom)
    base = Point(rect.right + ARROW, bottom)
    line = Stroke(base, (Point(far - 4, top - 5), Point(far, bottom + 1)))
    box = Rect(rect.right + _LOOP_RISE + _LABEL_GAP, middle - label.height / 2, label.width, label.height)
    return Route(((Point(rect.right, top), (line,)),), base, tip, box)
