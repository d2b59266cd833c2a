"""Which joins are released when nothing else is in flight, and by which way a state is entered."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from fantasm_gcp.core.definition import Machine, State, Transition
from fantasm_gcp.core.joins import released, way_to


def machine(**ways: str) -> Machine:
    """States of one letter each, with a transition to each letter of their text, on an event of its number."""
    return Machine(
        "M",
        tuple(
            State(
                name, "a.B", transitions=tuple(Transition(f"{name}{n}", to) for n, to in enumerate(targets))
            )
            for name, targets in ways.items()
        ),
    )


@pytest.mark.parametrize(
    ("ways", "waiting", "expected"),
    [
        ({"A": "J", "J": ""}, "", ()),
        ({"A": "J", "J": ""}, "J", ("J",)),
        ({"A": "JK", "J": "", "K": ""}, "KJ", ("J", "K")),
        ({"A": "JK", "J": "B", "B": "K", "K": ""}, "KJ", ("J",)),
        ({"A": "JK", "K": "B", "B": "J", "J": ""}, "JK", ("K",)),
        ({"A": "JK", "J": "K", "K": "L", "L": ""}, "LK", ("K",)),
        ({"A": "JK", "J": "K", "K": "L", "L": ""}, "LJ", ("J",)),
        ({"A": "JK", "J": "B", "K": "B", "B": "JK"}, "JK", ("J", "K")),
        ({"A": "JK", "J": "J", "K": ""}, "JK", ("J", "K")),
        ({"A": "J", "J": "J"}, "J", ("J",)),
        ({"A": "JKL", "J": "K", "K": "JL", "L": ""}, "LKJ", ("J", "K")),
        ({"A": "JKL", "L": "J", "J": "K", "K": "J"}, "LKJ", ("L",)),
        ({"A": "JK", "J": "A", "K": ""}, "JK", ("J",)),
    ],
    ids=[
        "nothing waits",
        "one waits",
        "apart",
        "one behind the other",
        "behind it in the machine, before it in the file",
        "the first of three does not wait",
        "the middle of three does not wait",
        "a loop through both",
        "a loop of its own keeps nobody waiting",
        "alone in a loop",
        "behind a loop of two",
        "before a loop of two",
        "a join that leads back to the fork",
    ],
)
def test_a_join_waits_for_those_that_lead_to_it_alone(ways, waiting, expected):
    """Whom it can reach itself it does not wait for."""
    assert expected == released(machine(**ways), list(waiting))


def test_joins_that_nobody_knows_come_last_and_never_wait():
    """A deployment may have lost a state at which contexts wait; the order is the same every time."""
    known = machine(A="JK", J="K", K="")
    assert ("J", "Gone", "gone") == released(known, {"gone", "K", "J", "Gone"})
    assert ("Gone",) == released(known, ["Gone", "Gone"])


def random_machine(chance: random.Random) -> Machine:
    """Up to nine states with any transitions between them, in any order of the file."""
    names = list("ABCDEFGHI")[: chance.randint(1, 9)]
    chance.shuffle(names)
    ways = {name: "".join(chance.choices(names, k=chance.choice([0, 1, 1, 2, 3]))) for name in names}
    return machine(**ways)


def ways_between(known: Machine) -> set[tuple[str, str]]:
    """All pairs of states of which the first leads to the second, by Warshall's algorithm."""
    names = [state.name for state in known.states]
    ways = {(state.name, each.to) for state in known.states for each in state.transitions}
    for middle in names:
        for source in names:
            ways |= {(source, to) for to in names if {(source, middle), (middle, to)} <= ways}
    return ways


def kept_waiting(waiting: Iterable[str], ways: set[tuple[str, str]]) -> set[str]:
    """The joins to which another waiting one leads without a way back."""
    return {
        each
        for each in waiting
        for other in waiting
        if other != each and (other, each) in ways and (each, other) not in ways
    }


@pytest.mark.parametrize("seed", range(400))
def test_of_any_joins_in_any_machine_exactly_those_first_in_line_are_released(seed):
    """Never none of some; in the order of the file; and again until nobody waits."""
    chance = random.Random(seed)
    known = random_machine(chance)
    names = [state.name for state in known.states]
    ways = ways_between(known)
    waiting = set(chance.sample(names, chance.randint(1, len(names))))
    rounds = 0
    while waiting:
        now = released(known, waiting)
        assert now
        assert waiting - kept_waiting(waiting, ways) == set(now)
        assert [name for name in names if name in now] == list(now)
        waiting -= set(now)
        rounds += 1
    assert rounds <= len(names)


def test_the_way_to_a_state_is_the_first_of_the_file():
    """Of two transitions of one state the first; a loop of its own counts like any other."""
    assert ("A", "A1") == way_to(machine(A="BJJ", B="J", J=""), "J")
    assert ("B", "B0") == way_to(machine(A="B", B="J", J="J"), "J")
    assert ("J", "J0") == way_to(machine(J="J", A="J"), "J")


def test_there_is_no_way_to_a_state_that_nobody_leads_to():
    """An initial one, or one that there is not."""
    assert way_to(machine(A="B", B=""), "A") is None
    assert way_to(machine(A="B", B=""), "Gone") is None
