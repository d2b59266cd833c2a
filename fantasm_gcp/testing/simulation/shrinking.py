"""From a run that broke something to the smallest one that still does: less luck, shorter, lower numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from fantasm_gcp.testing.simulation.run import Run, simulate
from fantasm_gcp.testing.simulation.tape import Choices, Tape, trimmed

MOST_RUNS = 1_500
"""Runs that shrinking takes at most: some tens of milliseconds each."""

STARTS = 12
"""How many earlier moments are tried for what happens, where a machine gets smaller."""

SHAPE = 0
"""The track of a tape that makes the machine: in a smaller one everything happens sooner."""

Tracks = tuple[Choices, ...]
Change = Callable[[Choices, int, int], Choices]
"""Makes a track smaller at a chunk of it."""


@dataclass(slots=True)
class _Shrinking:
    best: Run
    again: Callable[[Tape], Run]
    left: int

    def shrink(self) -> bool:
        """Whether anything of any track could be made smaller."""
        better = False
        for track in reversed(range(len(self.best.tape))):
            better |= self._take(track, _without_luck)
            better |= self._take(track, _shorter)
            better |= self._lower(track)
        return better

    def _take(self, track: int, change: Change) -> bool:
        """Changes chunk after chunk: large ones first, then their halves, the last ones first."""
        better = False
        size = _length(self.best.tape[track], change)
        while size:
            end = _length(self.best.tape[track], change)
            while end > 0 and self.left > 0:
                better |= self._tries(track, change(self.best.tape[track], max(0, end - size), end))
                end = min(end - size, _length(self.best.tape[track], change))
            size //= 2
        return better

    def _lower(self, track: int) -> bool:
        better = False
        for place in range(len(self.best.tape[track])):
            for lower in range(_at(self.best.tape[track], place)):
                choices = self.best.tape[track]
                if self._tries(track, trimmed((*choices[:place], lower, *choices[place + 1 :]))):
                    better = True
                    break
        return better

    def _tries(self, track: int, choices: Choices) -> bool:
        """Runs with one of the tracks replaced; keeps that if something is still broken by a smaller tape."""
        tracks = (*self.best.tape[:track], choices, *self.best.tape[track + 1 :])
        if track != SHAPE or _luck(choices) == _luck(self.best.tape[track]):
            return self._keeps(tracks)
        return any(map(self._keeps, _sooner(tracks)))

    def _keeps(self, tracks: Tracks) -> bool:
        if self.left <= 0 or _size(tracks) >= _size(self.best.tape):
            return False
        self.left -= 1
        run = self.again(Tape(tracks))
        smaller = bool(run.broken) and _size(run.tape) < _size(self.best.tape)
        if smaller:
            self.best = run
        return smaller


def _luck(choices: Choices) -> tuple[int, int]:
    """How many choices are not the simplest, and how far from it they are."""
    return sum(1 for each in choices if each), sum(choices)


def _size(tracks: Sequence[Choices]) -> tuple[int, int, int]:
    """Few choices that are not the simplest come first, then short tapes, then low numbers."""
    counts, sums = zip(*map(_luck, tracks), strict=True)
    return sum(counts), sum(map(len, tracks)), sum(sums)


def _sooner(tracks: Tracks) -> Iterator[Tracks]:
    """The same tape, and some in which everything happens earlier, or only what happens first."""
    shape, moves, *others = tracks
    yield tracks
    for part in range(1, STARTS):
        yield (shape, *(_squeezed(track, 1 - part / STARTS) for track in (moves, *others)))
    lead = next((place for place, each in enumerate(moves) if each), 0)
    step = max(1, lead // STARTS)
    yield from ((shape, moves[first:], *others) for first in range(step, lead + 1, step))


def _squeezed(choices: Choices, ratio: float) -> Choices:
    """With shorter spans between those that are not the simplest."""
    squeezed: list[int] = []
    for simplest, run in groupby(choices, lambda each: each == 0):
        kept = list(run)
        squeezed += kept[: round(len(kept) * ratio)] if simplest else kept
    return tuple(squeezed)


def _at(choices: Choices, place: int) -> int:
    return choices[place] if place < len(choices) else 0


def _length(choices: Choices, change: Change) -> int:
    return len(choices) if change is _shorter else _luck(choices)[0]


def _without_luck(choices: Choices, first: int, last: int) -> Choices:
    """With 0 for some of those that are not the simplest choice."""
    places = [place for place, each in enumerate(choices) if each][first:last]
    return trimmed([0 if place in places else each for place, each in enumerate(choices)])


def _shorter(choices: Choices, first: int, last: int) -> Choices:
    return trimmed(choices[:first] + choices[last:])


def shrink(run: Run, again: Callable[[Tape], Run] = simulate, most: int = MOST_RUNS) -> Run:
    """The smallest run that breaks something and was found from this one in at most ``most`` runs."""
    shrinking = _Shrinking(run, again, most)
    while shrinking.shrink() and shrinking.left > 0:
        pass
    return shrinking.best
