"""Where a vertex stands across its rank: the four alignments of Brandes and Köpf, and their average.

Each of the four passes ties vertices to a median neighbour into blocks that run straight through the ranks,
and packs the blocks as closely as the vertices' extents allow. Long arrows thus come out straight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fantasm_gcp.diagram.layering import Layered


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a vertex reaches from its line to either side, the gap to its neighbours included."""

    before: float
    after: float

    def mirrored(self) -> Extent:
        return Extent(self.after, self.before)


def align(graph: Layered, ranks: Sequence[Sequence[int]], extents: Sequence[Extent]) -> list[float]:
    """The position of every vertex across the ranks; neighbours in a rank never come nearer than they may."""
    mirrored = [each.mirrored() for each in extents]
    forbidden = _conflicts(graph, ranks)
    layouts: list[list[float]] = []
    for from_above in (True, False):
        for to_left in (True, False):
            rows = [list(row) if to_left else list(reversed(row)) for row in ranks]
            if not from_above:
                rows.reverse()
            neighbours = graph.above if from_above else graph.below
            root = _blocks(rows, neighbours, forbidden)
            xs = _compact(
                ranks if to_left else [row[::-1] for row in ranks], root, extents if to_left else mirrored
            )
            layouts.append(xs if to_left else [-x for x in xs])
    return _balance(layouts, extents)


def _conflicts(graph: Layered, ranks: Sequence[Sequence[int]]) -> set[tuple[int, int]]:
    """Segments that cross an inner segment of a long arrow: these give way."""
    found: set[tuple[int, int]] = set()
    place = {vertex: at for row in ranks for at, vertex in enumerate(row)}
    for upper, lower in pairwise(ranks):
        left, scanned = 0, 0
        for at, vertex in enumerate(lower):
            inner = next((u for u in graph.above[vertex] if min(u, vertex) >= graph.nodes), None)
            if inner is None and at < len(lower) - 1:
                continue
            right = len(upper) if inner is None else place[inner]
            for each in lower[scanned : at + 1]:
                for end in graph.above[each]:
                    if not left <= place[end] <= right and min(end, each) < graph.nodes:
                        found |= {(end, each), (each, end)}
            left, scanned = right, at + 1
    return found


def _blocks(
    rows: Sequence[Sequence[int]], neighbours: list[list[int]], forbidden: set[tuple[int, int]]
) -> list[int]:
    """The root of each vertex's block, tied where possible to a median neighbour in the row before."""
    place = {vertex: at for row in rows for at, vertex in enumerate(row)}
    root = list(range(len(neighbours)))
    tied = [False] * len(neighbours)
    for row in rows:
        previous = -1
        for vertex in row:
            ends = sorted(neighbours[vertex], key=lambda each: place[each])
            for at in sorted({(len(ends) - 1) // 2, len(ends) // 2}) if ends else ():
                end = ends[at]
                if root[vertex] == vertex and not tied[end] and previous < place[end]:
                    if (end, vertex) in forbidden:
                        continue
                    root[vertex], tied[end] = root[end], True
                    previous = place[end]
    return root


def _compact(rows: Sequence[Sequence[int]], root: list[int], extents: Sequence[Extent]) -> list[float]:
    """The smallest position of each block, then each drawn towards what follows it."""
    after: dict[int, dict[int, float]] = {block: {} for block in root}
    waiting = dict.fromkeys(after, 0)
    for row in rows:
        for left, right in pairwise(row):
            apart = extents[left].after + extents[right].before
            known = after[root[left]].get(root[right])
            waiting[root[right]] += known is None
            after[root[left]][root[right]] = max(apart, known or 0.0)
    x = dict.fromkeys(after, 0.0)
    order = [block for block in after if not waiting[block]]
    for block in order:
        for each, apart in after[block].items():
            x[each] = max(x[each], x[block] + apart)
            waiting[each] -= 1
            if not waiting[each]:
                order.append(each)
    for block in reversed(order):
        if after[block]:
            x[block] = max(x[block], min(x[each] - apart for each, apart in after[block].items()))
    return [x[block] for block in root]


def _balance(layouts: list[list[float]], extents: Sequence[Extent]) -> list[float]:
    """Shifts the four to the borders of the narrowest and takes the mean of each vertex's middle two."""
    spans = [
        (
            min(x - extent.before for x, extent in zip(layout, extents, strict=True)),
            max(x + extent.after for x, extent in zip(layout, extents, strict=True)),
        )
        for layout in layouts
    ]
    low, high = min(spans, key=lambda span: span[1] - span[0])
    shifted = []
    for at, (layout, span) in enumerate(zip(layouts, spans, strict=True)):
        shift = low - span[0] if at % 2 == 0 else high - span[1]
        shifted.append([x + shift for x in layout])
    return [sum(sorted(each)[1:3]) / 2 for each in zip(*shifted, strict=True)]
