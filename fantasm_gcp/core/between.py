"""The rules between machines: names that are taken, and machines that start one another at their ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fantasm_gcp.core.composed import Receiver
from fantasm_gcp.core.draft import Draft
from fantasm_gcp.core.findings import Findings, one_of
from fantasm_gcp.core.receivers import is_url


def check_reserved(machine: Draft, reserved: Collection[str], findings: Findings) -> None:
    """Records a machine under a name that the library has taken."""
    if machine.get("name") in reserved:
        findings.error(machine.at("name"), f"{machine.label} is built in", "choose another name")


def check_receivers(
    machines: Collection[Draft], reserved: Collection[str], findings: Findings, *, complete: bool
) -> None:
    """Records machines in ``on_complete`` and ``on_failure`` that there are not, and those that never stop.

    ``reserved`` are the machines of the library, which nobody starts in this way. Where the machines are not
    ``complete`` because some could not be read, any name may be one of theirs.
    """
    names = [each.texts["name"] for each in machines if "name" in each.texts]
    complete = complete and len(names) == len(machines)
    for machine in machines:
        for each in (*_machines_in(machine, "on_complete"), *_machines_in(machine, "on_failure")):
            if each.text in reserved:
                findings.error(each.place, f"machine {each.text!r} is built in", "name one of your own")
            elif complete and each.text not in names:
                hint = one_of(each.text, names, "the machines are")
                findings.error(each.place, f"there is no machine {each.text!r}", hint)
    _warn_of_circles(machines, findings)


def _machines_in(machine: Draft, attribute: str) -> tuple[Receiver, ...]:
    return tuple(each for each in machine.get(attribute) or () if not is_url(each.text))


def _warn_of_circles(machines: Collection[Draft], findings: Findings) -> None:
    """Warns where the completion of a machine starts it again, at once or by way of others."""
    starts = {
        each.texts["name"]: {receiver.text for receiver in _machines_in(each, "on_complete")}
        for each in machines
        if "name" in each.texts
    }
    for machine in machines:
        name = machine.texts.get("name")
        for each in _machines_in(machine, "on_complete"):
            if name is not None and name in _started_by(each.text, starts):
                way = "" if each.text == name else f", by way of machine {each.text!r},"
                message = f"{machine.label} starts itself{way} whenever it is completed, so it never stops"
                findings.add(
                    [each.place.warning(message, "an action may start it where there is a reason to")]
                )


def _started_by(name: str, starts: Mapping[str, Collection[str]]) -> set[str]:
    """A machine and all that start when it is completed, and when those are."""
    started = {name}
    pending = [name]
    while pending:
        following = set(starts.get(pending.pop(), ())) - started
        started |= following
        pending.extend(following)
    return started
