"""Collecting every problem of a file instead of stopping at the first, and guessing what was meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

from fantasm_gcp.core.node import Place
from fantasm_gcp.errors import Problem

_LONGEST_WORD = 100
_MOST_CANDIDATES = 1000
_LONGEST_QUOTE = 100

MOST_LISTED = 10
"""A hint lists the names there are up to this many."""


class Findings:
    """Problems in the order they were found; the same problem at the same place is kept once.

    One alias may bring the same mistake into many states; it is one mistake in the file.
    """

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}
        self.errors = 0

    def error(self, place: Place, message: str, hint: str = "") -> None:
        """Records what makes the file unusable."""
        self.add([place.error(message, hint)])

    def add(self, problems: Iterable[Problem]) -> None:
        """Records problems; ``errors`` counts those that are errors, repeated ones as well."""
        for problem in problems:
            self._problems[problem] = None
            self.errors += problem.severity == "error"

    def in_order(self, files: Sequence[str] = ()) -> tuple[Problem, ...]:
        """All problems by their places, those of a file together; ``files`` tells which files come first."""
        return in_order(self._problems, files)


def in_order(problems: Iterable[Problem], files: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Problems by their places: file by file, in the order of ``files`` and then of their names."""
    rank = {name: number for number, name in enumerate(dict.fromkeys(files))}
    return tuple(
        sorted(
            problems, key=lambda each: (rank.get(each.file, len(files)), each.file, each.line, each.column)
        )
    )


def closest(word: str, candidates: Collection[str], *, likeness: float = 0.6) -> str:
    """The candidate that a misspelt word is most like, or an empty string if none is close.

    ``likeness`` is how close it must be: 1 is the same, 0 has nothing in common.
    Very long words and very many candidates find nothing: comparing them costs more than it tells.
    """
    if len(word) > _LONGEST_WORD or len(candidates) > _MOST_CANDIDATES:
        return ""
    by_folded = {name.casefold(): name for name in candidates}
    close = get_close_matches(word.casefold(), by_folded, n=1, cutoff=likeness)
    return by_folded[close[0]] if close else ""


def did_you_mean(word: str, candidates: Collection[str]) -> str:
    """The hint for a misspelt word, ``did you mean 'that'?``, or an empty string."""
    meant = closest(word, candidates)
    return f"did you mean {meant!r}?" if meant else ""


def one_of(word: str, names: Collection[str], told: str) -> str:
    """The hint for a name that there is not: the one that was meant, or all there are if they are few.

    ``told`` introduces them, like ``the states are``.
    """
    hint = did_you_mean(word, names)
    if not hint and 0 < len(names) <= MOST_LISTED:
        hint = f"{told}: {', '.join(map(quoted, dict.fromkeys(names)))}"
    return hint


def quoted(text: str) -> str:
    """Text for a message: in quotes, on one line, shortened when it is long."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "...")
