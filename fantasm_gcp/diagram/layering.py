"""Which column a node stands in: cycles are broken, ranks given, long arrows cut into one piece per rank.

Nodes take the even ranks and labels the odd ones between them, so that a label can never meet a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

from fantasm_gcp.diagram.geometry import Link

_TIGHTENING_PASSES = 8


@dataclass(frozen=True, slots=True)
class Layered:
    """The graph after layering: real nodes are vertices 0 to n-1, the pieces of long arrows follow.

    ``chains`` holds, for each link, its vertices from the lower rank to the higher one; ``backward`` tells
    the links that run against the ranks; ``labelled`` maps the vertex that carries a label to its link.
    """

    nodes: int
    rank: list[int]
    chains: list[list[int]]
    backward: list[bool]
    labelled: dict[int, int]
    above: list[list[int]]
    below: list[list[int]]


def layer(count: int, links: Sequence[Link]) -> Layered:
    """Gives every node a rank, and every link a vertex in each rank it passes; node 0 starts the walk."""
    backward = _backward(count, links)
    pairs = [
        (link.target, link.source) if against else (link.source, link.target)
        for link, against in zip(links, backward, strict=True)
    ]
    rank = [2 * each for each in _ranks(count, pairs)]
    chains: list[list[int]] = []
    labelled: dict[int, int] = {}
    for index, (low, high) in enumerate(pairs):
        inner = range(len(rank), len(rank) + rank[high] - rank[low] - 1)
        rank.extend(range(rank[low] + 1, rank[high]))
        chains.append([low, *inner, high])
        if links[index].label is not None:
            # The rank next to the state that emits the event: there one looks for what it can say.
            labelled[inner[-1] if backward[index] else inner[0]] = index
    above: list[list[int]] = [[] for _ in rank]
    below: list[list[int]] = [[] for _ in rank]
    for chain in chains:
        for upper, lower in pairwise(chain):
            below[upper].append(lower)
            above[lower].append(upper)
    return Layered(count, rank, chains, backward, labelled, above, below)


def _backward(count: int, links: Sequence[Link]) -> list[bool]:
    """The links that close a cycle, seen from node 0 in the order of the file; the rest has no cycle."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    entered = [False] * count
    for index, link in enumerate(links):
        leaving[link.source].append(index)
        entered[link.target] = True
    backward = [False] * len(links)
    state = [0] * count  # 0 not seen, 1 on the path, 2 done
    for root in sorted(range(count), key=lambda node: (node != 0, entered[node])):
        if state[root]:
            continue
        state[root] = 1
        path = [(root, iter(leaving[root]))]
        while path:
            node, rest = path[-1]
            for index in rest:
                target = links[index].target
                backward[index] = state[target] == 1
                if state[target] == 0:
                    state[target] = 1
                    path.append((target, iter(leaving[target])))
                    break
            else:
                state[node] = 2
                path.pop()
    return backward


def _ranks(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Longest-path ranks, tightened: a node with more to say than to hear moves towards its successors."""
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for low, high in pairs:
        before[high].append(low)
        after[low].append(high)
    order = _topological(before, after)
    rank = [0] * count
    for node in order:
        rank[node] = max((rank[each] + 1 for each in before[node]), default=0)
    for _ in range(_TIGHTENING_PASSES):
        moved = False
        for node in reversed(order):
            pull = len(after[node]) - len(before[node])
            if pull == 0:
                continue
            if pull > 0:
                wanted = min(rank[each] for each in after[node]) - 1
            else:
                wanted = max(rank[each] for each in before[node]) + 1
            moved = moved or wanted != rank[node]
            rank[node] = wanted
        if not moved:
            break
    lowest = min(rank)
    rank = [each - lowest for each in rank]
    _spread_isolated(rank, [node for node in range(1, count) if not before[node] and not after[node]])
    return rank


def _topological(before: list[list[int]], after: list[list[int]]) -> list[int]:
    waiting = [len(each) for each in before]
    order = [node for node, each in enumerate(waiting) if not each]
    for node in order:
        for each in after[node]:
            waiting[each] -= 1
            if not waiting[each]:
                order.append(each)
    return order


def _spread_isolated(rank: list[int], isolated: list[int]) -> None:
    """Nodes without any link fill the emptiest ranks, so that they do not pile up in one."""
    highest = max(1, *rank, isqrt(len(isolated)))
    held = [0] * (highest + 1)
    for node, each in enumerate(rank):
        if node not in isolated:
            held[each] += 1
    for node in isolated:
        rank[node] = min(range(1, highest + 1), key=lambda each: held[each])
        held[rank[node]] += 1
