"""The tape that every choice of a simulated run is read from: small integers, written down as they are drawn.

Choice 0 is always the simplest: no fault, the first delivery, the smallest machine. A tape that is too short
reads 0, so any tape can be run, and shrinking one means to shorten it and to lower its numbers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby


class Track:
    """One sequence of choices: those given, or by chance, or 0. ``drawn`` is what was read so far."""

    def __init__(self, given: Sequence[int] = (), chance: random.Random | None = None) -> None:
        self.drawn: list[int] = []
        self.still = False
        """While it is set, 0 is read without moving on."""
        self._given = given
        self._chance = chance

    def draw(self, choices: int, weights: Sequence[float] = ()) -> int:
        """A number of ``0 <= number < choices``; by chance, with these weights or evenly."""
        if choices <= 1 or self.still:
            return 0
        if self._chance is not None:
            drawn = self._by_chance(self._chance, choices, weights)
        else:
            place = len(self.drawn)
            drawn = min(self._given[place], choices - 1) if place < len(self._given) else 0
        self.drawn.append(drawn)
        return drawn

    @staticmethod
    def _by_chance(chance: random.Random, choices: int, weights: Sequence[float]) -> int:
        if not weights:
            return chance.randrange(choices)
        left = chance.random() * sum(weights)
        for number, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return number
        return 0


Choices = tuple[int, ...]


class Tape:
    """Tracks of their own for what is decided apart, so that less of one does not shift another.

    ``shape`` is what machines look like; of their course, ``moves`` is what happens next, ``faults`` what
    befalls each RPC, ``luck`` that of each action, ``workers`` their clocks and lost answers.
    """

    TRACKS = 5

    def __init__(self, tracks: Sequence[Sequence[int]] = (), *, chance: random.Random | None = None) -> None:
        given = [*tracks, *([()] * self.TRACKS)]
        self._tracks = [Track(each, chance) for each in given[: self.TRACKS]]
        self.shape, self.moves, self.faults, self.luck, self.workers = self._tracks

    @property
    def drawn(self) -> tuple[Choices, ...]:
        """What was read from each track, without the zeros at its end."""
        return tuple(trimmed(each.drawn) for each in self._tracks)

    def calm_down(self) -> None:
        """From now on nothing but the simplest choice is read."""
        for each in self._tracks:
            each.still = True


def render_tape(tracks: Sequence[Sequence[int]]) -> str:
    """All tracks as a text for a command line: ``2,0*5,1/0*30,4///``; zeros at the end go without saying."""
    return "/".join(",".join(_runs(trimmed(track))) for track in tracks)


def trimmed(track: Sequence[int]) -> Choices:
    """The same track without the zeros at its end."""
    end = len(track)
    while end and track[end - 1] == 0:
        end -= 1
    return tuple(track[:end])


def _runs(track: Sequence[int]) -> list[str]:
    runs = [(number, len(list(run))) for number, run in groupby(track)]
    return [str(number) if length == 1 else f"{number}*{length}" for number, length in runs]


def parse_tape(text: str) -> list[list[int]]:
    """The tracks of a text that :func:`render_tape` made. Raises ``ValueError`` for any other."""
    tracks = text.split("/")
    if len(tracks) != Tape.TRACKS:
        raise ValueError(f"a tape has {Tape.TRACKS} tracks with slashes between them, not {text[:40]!r}")
    return list(map(_parsed, tracks))


def _parsed(track: str) -> list[int]:
    numbers: list[int] = []
    for run in filter(None, track.split(",")):
        number, _, length = run.partition("*")
        value, times = int(number), int(length or 1)
        if value < 0 or not 0 < times <= 100_000:
            raise ValueError(f"{run!r} is no choice of a tape")
        numbers.extend([value] * times)
    return numbers
