"""From sizes and links to rectangles and lines: the layered layout, left to right or top down.

Ranks run along the *main* axis (x when horizontal), what shares a rank stands along the *cross* axis. Every
rank is a band of the main axis as wide as its largest member; lines run straight through bands and bend only
between them, so no line crosses a node and no label meets one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fantasm_gcp.diagram.alignment import Extent, align
from fantasm_gcp.diagram.geometry import Layout, Link, Node, Rect, Route, Size
from fantasm_gcp.diagram.layering import Layered, layer
from fantasm_gcp.diagram.ordering import order
from fantasm_gcp.diagram.routing import PORT_GAP, Plan, loop_reach, loop_routes, loop_span, route

MARGIN = 20.0
_BETWEEN_NODES = 26.0
_BETWEEN_LINES = 11.0
_LABEL_AIR = 5.0  # on either side of a label, across the ranks
_BAND_GAP = (26.0, 31.0)  # at least, from rank to rank: top down, left to right
_BAND_GAP_MOST = 70.0
_SLOPE = 0.13  # of a bend's height, added to the gap it has to bend in


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A graph with ranks and an order in them: all of a layout that does not depend on its direction."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    graph: Layered
    ranks: list[list[int]]


def arrange(nodes: Sequence[Node], links: Sequence[Link]) -> Arrangement:
    """Ranks and orders the nodes, at least one; node 0 comes first. Links join different nodes."""
    graph = layer(len(nodes), links)
    return Arrangement(tuple(nodes), tuple(links), graph, order(graph))


def place(arrangement: Arrangement, *, horizontal: bool) -> Layout:
    """Gives everything its place; nothing overlaps, and no coordinate is below the margin."""
    graph = arrangement.graph
    sizes = _grown(arrangement, horizontal)
    extents = _extents(arrangement, sizes, horizontal)
    cross = align(graph, arrangement.ranks, extents)
    bands = _bands(arrangement, sizes, cross, horizontal)
    rects = []
    for node, size in enumerate(sizes):
        low, high = bands[graph.rank[node]]
        along, across = ((low + high) / 2, cross[node]) if horizontal else (cross[node], (low + high) / 2)
        rects.append(Rect(along - size.width / 2, across - size.height / 2, size.width, size.height))
    plan = Plan(graph, arrangement.links, arrangement.ranks, cross, bands, rects, horizontal)
    routes = route(plan)
    loops = [
        loop_routes(rect, node.loops, horizontal=horizontal)
        for rect, node in zip(rects, arrangement.nodes, strict=True)
    ]
    return _framed(rects, routes, loops, horizontal)


def _grown(arrangement: Arrangement, horizontal: bool) -> list[Size]:
    """Each node's size, larger where its arrows or its self loops need more room on a side."""
    ends: list[list[int]] = [[0, 0] for _ in arrangement.nodes]
    for chain in arrangement.graph.chains:
        ends[chain[0]][1] += 1
        ends[chain[-1]][0] += 1
    sizes = []
    for node, sides in zip(arrangement.nodes, ends, strict=True):
        needed = PORT_GAP * (max(sides) + 1) if max(sides) > 1 else 0.0
        loops = loop_span(node.loops, horizontal=horizontal)
        width, height = node.size.width, node.size.height
        if horizontal:
            sizes.append(Size(max(width, loops), max(height, needed)))
        else:
            sizes.append(Size(max(width, needed), max(height, loops)))
    return sizes


def _extents(arrangement: Arrangement, sizes: Sequence[Size], horizontal: bool) -> list[Extent]:
    graph = arrangement.graph
    extents = []
    for vertex in range(len(graph.rank)):
        if vertex < graph.nodes:
            half = (sizes[vertex].height if horizontal else sizes[vertex].width) / 2 + _BETWEEN_NODES / 2
            reach = loop_reach(arrangement.nodes[vertex].loops, horizontal=horizontal)
            extents.append(Extent(half + reach, half) if horizontal else Extent(half, half + reach))
            continue
        half = _BETWEEN_LINES / 2
        if vertex in graph.labelled:
            label = arrangement.links[graph.labelled[vertex]].label or Size(0, 0)
            half = (label.height if horizontal else label.width) / 2 + _LABEL_AIR
        extents.append(Extent(half, half))
    return extents


def _bands(
    arrangement: Arrangement, sizes: Sequence[Size], cross: Sequence[float], horizontal: bool
) -> list[tuple[float, float]]:
    """Start and end of each rank along the main axis; gaps grow with the bends they hold."""
    graph = arrangement.graph
    depth = [0.0] * len(arrangement.ranks)
    for node, size in enumerate(sizes):
        rank = graph.rank[node]
        depth[rank] = max(depth[rank], size.width if horizontal else size.height)
    for vertex, link in graph.labelled.items():
        label = arrangement.links[link].label or Size(0, 0)
        rank = graph.rank[vertex]
        depth[rank] = max(depth[rank], label.width if horizontal else label.height)
    steepest = [0.0] * len(depth)
    for chain in graph.chains:
        for low, high in pairwise(chain):
            rank = graph.rank[low]
            steepest[rank] = max(steepest[rank], abs(cross[low] - cross[high]))
    bands = []
    start = 0.0
    for each, bend in zip(depth, steepest, strict=True):
        bands.append((start, start + each))
        start += each + min(_BAND_GAP_MOST, _BAND_GAP[horizontal] + _SLOPE * bend)
    return bands


def _framed(
    rects: list[Rect], routes: list[Route], loops: list[tuple[Route, ...]], horizontal: bool
) -> Layout:
    """Everything shifted so that the drawing starts at the margin."""
    boxes = list(rects)
    for each in [*routes, *(loop for many in loops for loop in many)]:
        boxes.extend(_boxes(each))
    dx = MARGIN - min(box.x for box in boxes)
    dy = MARGIN - min(box.y for box in boxes)
    return Layout(
        width=max(box.right for box in boxes) + dx + MARGIN,
        height=max(box.bottom for box in boxes) + dy + MARGIN,
        horizontal=horizontal,
        nodes=tuple(rect.moved(dx, dy) for rect in rects),
        routes=tuple(each.moved(dx, dy) for each in routes),
        loops=tuple(tuple(loop.moved(dx, dy) for loop in many) for many in loops),
    )


def _boxes(drawn: Route) -> list[Rect]:
    points = [drawn.tip]
    for start, strokes in drawn.pieces:
        points.append(start)
        for stroke in strokes:
            points.extend((stroke.end, *(stroke.controls or ())))
    boxes = [Rect(point.x, point.y, 0, 0) for point in points]
    return boxes if drawn.label is None else [*boxes, drawn.label]
