"""Machines to draw: the documented examples, and seeded random ones with everything a file can say."""

from __future__ import annotations

import random
import string

from fantasm_gcp.core.definition import Machine, State, Transition


def state(name: str, *transitions: tuple[str, str], **roles: object) -> State:
    """A state from pairs of event and target."""
    return State(name, transitions=tuple(Transition(*each) for each in transitions), **roles)  # type: ignore[arg-type]


def machine(name: str, *states: State) -> Machine:
    """A machine from its states."""
    return Machine(name, states)


SUBSCRIBER = machine(
    "SendSubscriberEmail",
    state("SendEmail", ("ok", "CountEmail"), initial=True, continuation=True, action="emails.SendEmail"),
    state("CountEmail", final=True, fan_in=3.0, transactional=True),
)
REVIEW = machine(
    "MyMachine",
    state("InitialState", ("review", "ReviewAndRecoverState"), ("ok", "FinalState"), initial=True),
    state("ReviewAndRecoverState", ("ok", "FinalState"), final=True),
    state("FinalState", final=True),
)
HARVEST = machine(
    "Harvest",
    state("List", ("page", "Fetch"), ("nothing", "Report"), initial=True, continuation=True),
    state("Fetch", ("ok", "Report"), ("gone", "Report"), on_error="gone"),
    state("Report", final=True, join=True, transactional=True),
)
LOOPS = machine(
    "Loops",
    state("A", ("go", "B"), ("again", "A"), ("once-more", "A"), initial=True, continuation=True),
    state("B", ("back", "A"), ("on", "C"), ("also-on", "C"), ("third", "C")),
    state("C", ("restart", "A"), ("self", "C"), final=True, fan_in=0.5),
    state("Alone", final=True),
    state("Lonely", ("self", "Lonely")),
)
SINGLE = machine("One", state("Only", initial=True, final=True))


def random_machine(seed: int, states: int | None = None, transitions: int | None = None) -> Machine:
    """A machine with cycles, self loops, parallel arrows, lonely states and long names; the same per seed."""
    chance = random.Random(seed)
    count = states or chance.randint(1, 24)
    names = [_name(chance, number) for number in range(count)]
    leaving: list[list[Transition]] = [[] for _ in names]
    for number in range(transitions if transitions is not None else chance.randint(0, 3 * count)):
        event = _name(chance, number) if chance.random() < 0.1 else f"e{number}"
        leaving[chance.randrange(count)].append(Transition(event, chance.choice(names)))
    initial = chance.randrange(count)
    made = [
        State(
            name,
            initial=number == initial,
            final=chance.random() < 0.3,
            continuation=chance.random() < 0.2,
            fan_in=chance.choice([None, None, None, 0.25, 3.0, 3600.0]),
            join=chance.random() < 0.1,
            transactional=chance.random() < 0.2,
            transitions=tuple(leaving[number]),
        )
        for number, name in enumerate(names)
    ]
    return Machine(f"Random{seed}", tuple(made))


def _name(chance: random.Random, number: int) -> str:
    length = chance.choice([1, 6, 12, 18, 46])
    return f"{''.join(chance.choices(string.ascii_letters + string.digits + '-', k=length))}-{number}"


def pairs(drawn: Machine) -> list[tuple[str, str, str]]:
    """Every transition as source, event and target, in the order of the file."""
    return [(each.name, step.event, step.to) for each in drawn.states for step in each.transitions]
