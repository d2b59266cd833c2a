"""What the engine leaves behind when everything has ended, and what must not be there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

IN_FLIGHT = ("FantasmTask", "FantasmEntry", "FantasmFanIn")
CLOCK_SECONDS = 0.001
"""Times are kept in microseconds; two of the same moment may differ by their rounding."""


def instances_of(client: Any) -> dict[str, Any]:
    """The rows of all instances by their ids."""
    return {each["instance"]: each for each in client.query(kind="FantasmInstance").fetch()}


def wrong_instances(instances: Mapping[str, Any], started: Mapping[str, str], told: str) -> list[str]:
    """Instances that are not what they should be, or not there, or more than should be.

    ``started`` are those that were started from outside, with their machines, ``told`` the machine that is
    told of their ends. Others need a parent.
    """
    wrong = [f"{each} ({started[each]}) is not there" for each in started.keys() - instances.keys()]
    for name, row in instances.items():
        status, ended, parent = row["status"], row.get("ended"), row.get("parent")
        if status != "completed" or ended is None:
            wrong.append(f"{name} ({row['machine']}) is {status}, ended {ended}")
        if (name in started) == (parent is not None):
            wrong.append(f"{name} ({row['machine']}) was started by {parent}")
        if parent is None or ended is None:
            continue
        of_parent = instances.get(parent, {}).get("ended")
        if row["machine"] != told and (of_parent is None or of_parent < ended):
            wrong.append(f"{parent} ended at {of_parent}, its child {name} at {ended}")
    return wrong


def wrong_records(records: Sequence[Any], instances: Mapping[str, Any]) -> list[str]:
    """Records that do not fit together: each step is over once, was sent on its way once, and in time."""
    names = {each.key.name for each in records}
    first = {row["first_step"] for row in instances.values()}
    sent = Counter(name for row in records for name in {*row.get("next", ()), *row.get("ahead", ())})
    wrong = [f"{each} is over, but has no record" for each in (first | sent.keys()) - names]
    wrong += [f"{each} was sent {times} times" for each, times in sent.items() if times > 1]
    for row in records:
        name, owner = row.key.name, instances.get(row["instance"])
        # A join is released by the end of the branches before it, not by a step.
        if name not in first | sent.keys() and not row["branch"].startswith("join"):
            wrong.append(f"{name} was sent by nobody")
        if owner is None:
            wrong.append(f"{name} is of no instance")
        elif owner.get("ended") and (row["ended"] - owner["ended"]).total_seconds() > CLOCK_SECONDS:
            wrong.append(f"{name} ended at {row['ended']}, its instance at {owner['ended']}")
    return wrong


def rows_left(client: Any) -> list[str]:
    """Rows that only what is in flight has."""
    return [
        f"{kind} {each.key.name} is left: {dict(each) if kind == 'FantasmTask' else ''}"
        for kind in IN_FLIGHT
        for each in client.query(kind=kind).fetch()
    ]
