"""What Fantasm's published tutorial prints, made into the form to write, with a warning that shows it.

The tutorial puts ``states:`` beside ``state_machines:`` and writes a transition as two items of a list,
``- to: X`` and ``- event: ok``. Where it is plain what is meant, the tree is mended before it is read;
where it is not, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from fantasm_gcp.core.attributes import attributes_of
from fantasm_gcp.core.findings import Findings, quoted
from fantasm_gcp.core.node import Broken, Mapping, Node, Place, Scalar
from fantasm_gcp.core.node import Sequence as SequenceNode

_PAIR = frozenset(("event", "to"))


def keys_of(node: Mapping) -> set[str]:
    """The names of the attributes that are given, known or not."""
    return {key.text for key, _ in node.entries if isinstance(key, Scalar)}


def with_states_in_machine(root: Mapping, findings: Findings) -> Mapping:
    """A file whose ``states`` stand with the one machine that has none of its own.

    A file without ``states`` is given back as it is, and so is one that says more than once what they are.
    """
    given = [entry for entry in root.entries if _is_key(entry[0], "states")]
    machines = next((value for key, value in root.entries if _is_key(key, "state_machines")), None)
    if len(given) != 1:
        return root
    key, _ = given[0]
    items = machines.items if isinstance(machines, SequenceNode) else ()
    lacking = [
        item for item in items if isinstance(item, Mapping) and not {"states", "import"} & keys_of(item)
    ]
    if len(lacking) != 1:
        findings.error(key.place, "states belong to a machine", _why_not(lacking))
        return _with(root, [entry for entry in root.entries if entry is not given[0]])
    findings.add(
        [
            key.place.warning(
                f"states stand beside state_machines: they are taken for those of {_called(lacking[0])}",
                "indent 'states:' as far as the 'name:' of their machine",
            )
        ]
    )
    mended = [
        _with(item, [*item.entries, given[0]]) if item is lacking[0] and isinstance(item, Mapping) else item
        for item in items
    ]
    assert isinstance(machines, SequenceNode)
    inside = replace(machines, items=tuple(mended))
    return _with(
        root,
        [
            (name, inside if value is machines else value)
            for name, value in root.entries
            if not _is_key(name, "states")
        ],
    )


def _why_not(lacking: Sequence[Mapping]) -> str:
    if not lacking:
        return "write them under the 'name:' of their machine"
    names = " or ".join(_called(each) for each in lacking)
    return f"they could be those of {names}: write each machine's under its 'name:'"


def _called(machine: Mapping) -> str:
    for key, value in machine.entries:
        if _is_key(key, "name") and isinstance(value, Scalar):
            return f"machine {quoted(value.text)}"
    return f"the machine at line {machine.place.line}"


def _is_key(node: Node, name: str) -> bool:
    return isinstance(node, Scalar) and node.text == name


def _with(node: Mapping, entries: Sequence[tuple[Node, Node]]) -> Mapping:
    return replace(node, entries=tuple(entries))


def with_whole_transitions(items: Sequence[Node], findings: Findings) -> Iterator[Node]:
    """The items of a list of transitions, each two halves that follow one another made into one.

    Halves are paired only where all that stand together make pairs: with one too many, nobody could tell
    which belongs to which.
    """
    index = 0
    while index < len(items):
        run = _halves(items, index)
        if not run:
            yield items[index]
            index += 1
            continue
        index += len(run)
        if len({_half(each) for each in run}) == 1:
            yield from run
        elif len(run) % 2 or any(_half(one) == _half(other) for one, other in _pairs(run)):
            yield Broken(
                run[0].place,
                f"{len(run)} items have only one of event and to, and which belong together is not clear",
                "write both of each transition in one item",
            )
        else:
            yield from _joined(run, findings)


def _joined(run: Sequence[Mapping], findings: Findings) -> Iterator[Mapping]:
    for one, other in _pairs(run):
        findings.add([other.place.warning("a transition is written as two items", _one_item(one, other))])
        yield _with(one, [*one.entries, *other.entries])


def _halves(items: Sequence[Node], start: int) -> list[Mapping]:
    """The halves that stand together from an index on."""
    run = []
    for item in islice(items, start, None):
        if not isinstance(item, Mapping) or _half(item) is None:
            break
        run.append(item)
    return run


def _half(item: Mapping) -> str | None:
    """Which of event and to an item has, if it has only one and otherwise what a transition may have."""
    keys = keys_of(item)
    halves = keys & _PAIR
    return next(iter(halves)) if len(halves) == 1 and keys <= attributes_of("transition").keys() else None


def _pairs(run: Sequence[Mapping]) -> Iterator[tuple[Mapping, Mapping]]:
    return zip(run[::2], run[1::2], strict=False)


def _one_item(one: Mapping, other: Mapping) -> str:
    written = {
        key.text: value.text
        for key, value in (*one.entries, *other.entries)
        if isinstance(key, Scalar) and key.text in _PAIR and isinstance(value, Scalar)
    }
    event, to = written.get("event", "..."), written.get("to", "...")
    return f"remove the dash before this, so that it is one: {{event: {_short(event)}, to: {_short(to)}}}"


def _short(text: str) -> str:
    return quoted(text)[1:-1]


def torn_machine_at(item: Node, following: Node | None) -> Place | None:
    """Where a stray dash made two items of one machine: ``- name: M`` and then ``- states: ...``."""
    if not isinstance(item, Mapping) or not isinstance(following, Mapping):
        return None
    required = {"name", "states"}
    first, second = keys_of(item), keys_of(following)
    if first >= required or second >= required or first & second or not first | second >= required:
        return None
    return following.place
