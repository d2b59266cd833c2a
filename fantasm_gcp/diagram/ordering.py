"""Who stands above whom in a rank: means of the neighbours, then swaps, keeping the fewest crossings.

Sweeps end in local minima, so they begin from several first orders, and every other pair of sweeps turns
around what is equally good either way.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque

from fantasm_gcp.diagram.layering import Layered

Ranks = list[list[int]]

_STARTS = ("deep", "deep mirrored", "broad", "both ways")
_INNER = 2  # weight of a piece of a long arrow that touches neither of its nodes
_SWEEPS = 24
_PATIENCE = 5  # sweeps without a gain before giving up on a start
_WORK = 40_000  # vertices visited over all sweeps: bounds the time for large machines
_SWAP_PASSES = 4  # within a sweep; one is all that the largest graphs get
_LARGE = 5_000  # vertices


def order(graph: Layered) -> Ranks:
    """The vertices of each rank in drawing order; deterministic, and bounded in time."""
    best: Ranks = []
    fewest: int | None = None
    left = max(2, _WORK // len(graph.rank))
    for start in _STARTS:
        if fewest == 0 or left <= 0:
            break
        ranks, crossings, used = _improved(graph, _first_order(graph, start), min(left, _SWEEPS))
        left -= used
        if fewest is None or crossings < fewest:
            best, fewest = ranks, crossings
    return best


def _improved(graph: Layered, ranks: Ranks, sweeps: int) -> tuple[Ranks, int, int]:
    """The best order that the sweeps come by, its crossings, and how many sweeps it took."""
    best, fewest, stale, sweep = [list(each) for each in ranks], _crossings(graph, ranks), 0, 0
    while fewest and sweep < sweeps and stale < _PATIENCE:
        turn = sweep // 2 % 2 == 1
        _sort_by_means(graph, ranks, forward=sweep % 2 == 0, turn=turn)
        if turn:
            _swap_neighbours(graph, ranks, least=0)
        _swap_neighbours(graph, ranks, least=1)
        crossings = _crossings(graph, ranks)
        sweep += 1
        stale += 1
        if crossings < fewest:
            best, fewest, stale = [list(each) for each in ranks], crossings, 0
    return best, fewest, sweep


def _first_order(graph: Layered, start: str) -> Ranks:
    """As a walk from the lowest rank meets the vertices: what belongs together starts together."""
    ranks: Ranks = [[] for _ in range(max(graph.rank) + 1)]
    seen = [False] * len(graph.rank)
    for root in sorted(range(graph.nodes), key=lambda node: (graph.rank[node], node)):
        waiting = deque([root])
        while waiting:
            vertex = waiting.popleft() if start == "broad" else waiting.pop()
            if seen[vertex]:
                continue
            seen[vertex] = True
            ranks[graph.rank[vertex]].append(vertex)
            ahead = graph.below[vertex]
            if start == "both ways":
                ahead = ahead + graph.above[vertex]
            waiting.extend(reversed(ahead) if start == "deep" else ahead)
    return ranks


def _sort_by_means(graph: Layered, ranks: Ranks, *, forward: bool, turn: bool) -> None:
    """Sorts each rank by its neighbours' mean place; who has none stays; ``turn`` reverses equal ones."""
    neighbours = graph.above if forward else graph.below
    passes = range(1, len(ranks)) if forward else range(len(ranks) - 2, -1, -1)
    place = _places(ranks)
    for rank in passes:
        vertices = ranks[rank]
        means = {
            v: sum(place[each] for each in ends) / len(ends) for v in vertices if (ends := neighbours[v])
        }
        movable = iter(sorted(reversed(means) if turn else means, key=means.__getitem__))
        ranks[rank] = [next(movable) if vertex in means else vertex for vertex in vertices]
        for position, vertex in enumerate(ranks[rank]):
            place[vertex] = position


def _swap_neighbours(graph: Layered, ranks: Ranks, *, least: int) -> None:
    """Lets neighbours change places where that gains at least so many crossings, until nothing is gained."""
    place = _places(ranks)
    for _ in range(_SWAP_PASSES if len(place) < _LARGE else 1):
        gained = 0
        for vertices in ranks:
            for at in range(len(vertices) - 1):
                left, right = vertices[at], vertices[at + 1]
                gain = _gain(graph, graph.above, place, left, right) + _gain(
                    graph, graph.below, place, left, right
                )
                if gain >= least:
                    vertices[at], vertices[at + 1] = right, left
                    place[left], place[right] = at + 1, at
                    gained += gain
        if not gained:
            return


def _gain(graph: Layered, neighbours: list[list[int]], place: list[int], left: int, right: int) -> int:
    """How much less crossing there is on one side if the two change places."""
    gain = 0
    for one in neighbours[left]:
        weight = _weight(graph, left, one)
        at = place[one]
        for other in neighbours[right]:
            if at != place[other]:
                crossing = weight * _weight(graph, right, other)
                gain += crossing if at > place[other] else -crossing
    return gain


def _crossings(graph: Layered, ranks: Ranks) -> int:
    """All crossings, each as heavy as the product of its two lines."""
    place = _places(ranks)
    total = 0
    for vertices in ranks:
        seen: dict[int, list[int]] = {1: [], _INNER: []}
        for vertex in vertices:
            for end in sorted(graph.below[vertex], key=place.__getitem__):
                weight, at = _weight(graph, vertex, end), place[end]
                for other, ends in seen.items():
                    total += weight * other * (len(ends) - bisect_right(ends, at))
                insort(seen[weight], at)
    return total


def _weight(graph: Layered, one: int, other: int) -> int:
    """Two long arrows had better cross near their ends, where lines bend anyway, than in between."""
    return _INNER if one >= graph.nodes and other >= graph.nodes else 1


def _places(ranks: Ranks) -> list[int]:
    place = [0] * sum(map(len, ranks))
    for vertices in ranks:
        for position, vertex in enumerate(vertices):
            place[vertex] = position
    return place
