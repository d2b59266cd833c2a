"""Who stands above whom in a rank: medians of the neighbours, then swaps, keeping the fewest crossings."""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import chain

from fantasm_gcp.diagram.layering import Layered

_SWEEPS = 24
_PATIENCE = 5  # sweeps without a gain before giving up
_WORK = 25_000  # vertices visited over all sweeps: bounds the time for large machines
_SWAP_PASSES = 4


def order(graph: Layered) -> list[list[int]]:
    """The vertices of each rank in drawing order; deterministic, and bounded in time."""
    ranks = _first_order(graph)
    best = [list(each) for each in ranks]
    fewest = _crossings(graph, ranks)
    sweeps = max(4, min(_SWEEPS, _WORK // max(1, len(graph.rank))))
    stale = 0
    for sweep in range(sweeps):
        if not fewest or stale >= _PATIENCE:
            break
        _sort_by_medians(graph, ranks, forward=sweep % 2 == 0)
        _swap_neighbours(graph, ranks)
        crossings = _crossings(graph, ranks)
        stale += 1
        if crossings < fewest:
            best, fewest, stale = [list(each) for each in ranks], crossings, 0
    return best


def _first_order(graph: Layered) -> list[list[int]]:
    """Depth first from node 0: what belongs together starts together."""
    ranks: list[list[int]] = [[] for _ in range(max(graph.rank) + 1)]
    seen = [False] * len(graph.rank)
    linked_first = sorted(range(graph.nodes), key=lambda node: (graph.rank[node], node))
    for root in linked_first:
        stack = [root]
        while stack:
            vertex = stack.pop()
            if not seen[vertex]:
                seen[vertex] = True
                ranks[graph.rank[vertex]].append(vertex)
                stack.extend(each for each in reversed(graph.below[vertex]) if not seen[each])
    return ranks


def _sort_by_medians(graph: Layered, ranks: list[list[int]], *, forward: bool) -> None:
    neighbours = graph.above if forward else graph.below
    passes = range(1, len(ranks)) if forward else range(len(ranks) - 2, -1, -1)
    place = _places(ranks)
    for rank in passes:
        vertices = ranks[rank]
        medians = {vertex: _median(sorted(place[each] for each in neighbours[vertex])) for vertex in vertices}
        movable = iter(sorted((v for v in vertices if medians[v] >= 0), key=lambda v: medians[v]))
        ranks[rank] = [vertex if medians[vertex] < 0 else next(movable) for vertex in vertices]
        for position, vertex in enumerate(ranks[rank]):
            place[vertex] = position


def _median(places: list[int]) -> float:
    """The weighted median of Gansner et al.; -1 where there are no neighbours."""
    count = len(places)
    middle = count // 2
    if not count:
        return -1
    if count % 2:
        return places[middle]
    if count == 2:
        return (places[0] + places[1]) / 2
    left = places[middle - 1] - places[0]
    right = places[-1] - places[middle]
    if left + right == 0:
        return (places[middle - 1] + places[middle]) / 2
    return (places[middle - 1] * right + places[middle] * left) / (left + right)


def _swap_neighbours(graph: Layered, ranks: list[list[int]]) -> None:
    place = _places(ranks)
    for _ in range(_SWAP_PASSES):
        gained = 0
        for vertices in ranks:
            for at in range(len(vertices) - 1):
                left, right = vertices[at], vertices[at + 1]
                gain = _gain(graph.above, place, left, right) + _gain(graph.below, place, left, right)
                if gain > 0:
                    vertices[at], vertices[at + 1] = right, left
                    place[left], place[right] = at + 1, at
                    gained += gain
        if not gained:
            return


def _gain(neighbours: list[list[int]], place: list[int], left: int, right: int) -> int:
    """How many crossings fewer there are on one side if the two change places."""
    gain = 0
    for one in neighbours[left]:
        for other in neighbours[right]:
            gain += (place[one] > place[other]) - (place[one] < place[other])
    return gain


def _crossings(graph: Layered, ranks: list[list[int]]) -> int:
    place = _places(ranks)
    total = 0
    for vertices in ranks:
        seen: list[int] = []
        for end in chain.from_iterable(sorted(place[each] for each in graph.below[v]) for v in vertices):
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total


def _places(ranks: list[list[int]]) -> list[int]:
    place = [0] * sum(map(len, ranks))
    for vertices in ranks:
        for position, vertex in enumerate(vertices):
            place[vertex] = position
    return place
