"""Which joins go first where several wait, and by which way a join is entered."""

from __future__ import annotations

from collections.abc import Collection

from fantasm_gcp.core.definition import Machine


def released(machine: Machine, waiting: Collection[str]) -> tuple[str, ...]:
    """The states at which contexts wait that are to be released now, when nothing else is in flight.

    A state is kept waiting while another one waits that leads to it and to which it does not lead back: who
    is released there may still come. So of joins in one loop all are released together, and where anything
    waits, something is released. They come in the order of the file. A name that the machine does not know
    (any more) leads nowhere: it is always released, and such names come last, in the order of the alphabet.
    """
    known = [state.name for state in machine.states if state.name in waiting]
    leads_to = {name: _reached_from(machine, name) for name in known}
    first = [
        name for name in known if all(other in leads_to[name] for other in known if name in leads_to[other])
    ]
    return (*first, *sorted(set(waiting) - set(known)))


def way_to(machine: Machine, state_name: str) -> tuple[str, str] | None:
    """The state and the event of the first transition of the file that leads to a state; None without one."""
    ways = (
        (state.name, transition.event)
        for state in machine.states
        for transition in state.transitions
        if transition.to == state_name
    )
    return next(ways, None)


def _reached_from(machine: Machine, name: str) -> set[str]:
    """The states that one transition or more lead to: the state itself only if it is in a loop."""
    reached: set[str] = set()
    pending = [name]
    while pending:
        state = machine.state(pending.pop())
        following = {each.to for each in state.transitions} - reached if state else set()
        reached |= following
        pending.extend(following)
    return reached
