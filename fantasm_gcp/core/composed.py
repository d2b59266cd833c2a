"""Attributes whose value is more than one scalar: a countdown, types of arguments, names of files, receivers.

Every part has a place of its own, so each mistake is recorded where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from fantasm_gcp.core.attributes import Attribute, Kind
from fantasm_gcp.core.definition import Countdown
from fantasm_gcp.core.findings import Findings, did_you_mean, quoted
from fantasm_gcp.core.node import Broken, Mapping, Node, Place, Scalar, Sequence
from fantasm_gcp.core.receivers import mistake_in
from fantasm_gcp.core.values import UnusableError, read_value

_BOUNDS = ("minimum", "maximum")


@dataclass(frozen=True, slots=True)
class FileName:
    """One name of an ``import``, and where it is written."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Receiver:
    """One name or URL of ``on_complete`` or ``on_failure``, and where it is written."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """One entry of ``context_types``: the argument as written, or what its constant holds, and the type."""

    argument: str
    type: str
    key: Place
    place: Place


def read_countdown(attribute: Attribute, node: Node, place: Place, findings: Findings) -> Countdown | None:
    """A number of seconds, or exactly minimum and maximum; None when a mistake is recorded."""
    if isinstance(node, Sequence):
        findings.error(
            place,
            f"{attribute.name} must be a number of seconds or a mapping, not a list",
            "write it like {minimum: 30, maximum: 60}",
        )
        return None
    if not isinstance(node, Mapping):
        seconds = _single(attribute, node, place, findings)
        return None if seconds is None else Countdown(seconds, seconds)
    bounds, wrong = _bounds(attribute, node, findings)
    for name in _BOUNDS:
        if name not in bounds and not wrong:
            findings.error(place, f"{attribute.name} has no {name}", "write both minimum and maximum")
    if wrong or len(bounds) < len(_BOUNDS):
        return None
    (least, _), (most, at) = bounds["minimum"], bounds["maximum"]
    if least > most:
        findings.error(at, f"maximum {most} of {attribute.name} is less than its minimum {least}")
        return None
    return Countdown(least, most)


def _bounds(
    attribute: Attribute, node: Mapping, findings: Findings
) -> tuple[dict[str, tuple[float, Place]], bool]:
    """What can be read of minimum and maximum, and whether there was a mistake."""
    bounds: dict[str, tuple[float, Place]] = {}
    before = findings.errors
    for key, value in _entries(attribute, node, findings):
        if key.text not in _BOUNDS:
            hint = did_you_mean(key.text, _BOUNDS) or f"known here: {', '.join(_BOUNDS)}"
            findings.error(key.place, f"{attribute.name} has no attribute {quoted(key.text)}", hint)
            continue
        at = _place(key, value)
        part = replace(attribute, name=f"{key.text} of {attribute.name}", required=True)
        bound = _single(part, value, at, findings)
        if bound is not None:
            bounds[key.text] = (bound, at)
    return bounds, findings.errors > before


def read_types(
    attribute: Attribute, node: Node, place: Place, findings: Findings
) -> tuple[ArgumentType, ...] | None:
    """The entries in the order of the file; None when a mistake is recorded."""
    if isinstance(node, Sequence):
        findings.error(
            place, f"{attribute.name} must be a mapping, not a list", "write each as 'argument: type'"
        )
        return None
    if not isinstance(node, Mapping):
        _single(attribute, node, place, findings)
        return None
    before = findings.errors
    types = []
    for key, value in _entries(attribute, node, findings):
        if key.kind != "text" or not key.text:
            findings.error(
                key.place,
                f"the name of an argument must be text, and YAML does not read {quoted(key.text)} as such",
                f'write "{key.text}"' if key.text.isprintable() and key.text else "",
            )
            continue
        at = _place(key, value)
        name = _single(replace(attribute, name="type", kind=Kind.ACTION), value, at, findings)
        if name is not None:
            types.append(ArgumentType(key.text, name, key.place, at))
    return tuple(types) if findings.errors == before else None


def read_files(
    attribute: Attribute, node: Node, place: Place, findings: Findings
) -> tuple[FileName, ...] | None:
    """One name or a list of names, those that can be read; None when there is none."""
    written = _one_or_more(attribute, node, place, findings, "a file's name")
    return tuple(FileName(name, at) for name, at in written) or None


def read_receivers(
    attribute: Attribute, node: Node, place: Place, findings: Findings
) -> tuple[Receiver, ...] | None:
    """One name or URL, or a list of them, each once: those that can be read; None when there is none."""
    first: dict[str, Place] = {}
    for text, at in _one_or_more(attribute, node, place, findings, "a machine's name or a URL"):
        mistake = mistake_in(text)
        if mistake:
            findings.error(at, f"{attribute.name} {quoted(text)} is not allowed", mistake)
        elif text in first:
            findings.error(
                at,
                f"{quoted(text)} is written twice in {attribute.name}",
                f"the first is at line {first[text].line}, column {first[text].column}",
            )
        else:
            first[text] = at
    return tuple(Receiver(text, at) for text, at in first.items()) or None


def _one_or_more(
    attribute: Attribute, node: Node, place: Place, findings: Findings, what: str
) -> list[tuple[str, Place]]:
    """The texts of a single value or of a list, those that can be read, with their places."""
    if isinstance(node, Mapping):
        findings.error(place, f"{attribute.name} must be {what} or a list of them, not a mapping")
        return []
    items = node.items if isinstance(node, Sequence) else (node,)
    if not items:
        findings.error(place, f"{attribute.name} is empty", f"write {what}, or remove the line")
    texts = []
    for item in items:
        at = item.place if isinstance(node, Sequence) else place
        text = _single(attribute, item, at, findings)
        if text is not None:
            texts.append((text, at))
    return texts


COMPOSED: MappingType[Kind, Callable[[Attribute, Node, Place, Findings], Any]] = MappingProxyType(
    {
        Kind.COUNTDOWN: read_countdown,
        Kind.TYPES: read_types,
        Kind.FILES: read_files,
        Kind.RECEIVERS: read_receivers,
    }
)
"""How the kinds of more than one scalar are read; all give None after recording a mistake."""


def _entries(attribute: Attribute, node: Mapping, findings: Findings) -> Iterator[tuple[Scalar, Node]]:
    """The entries whose key is a scalar and not written before; the others are recorded."""
    first: dict[str, Place] = {}
    for key, value in node.entries:
        if not isinstance(key, Scalar):
            message = key.message if isinstance(key, Broken) else f"a key of {attribute.name} must be text"
            findings.error(key.place, message)
        elif key.text in first:
            at = first[key.text]
            findings.error(
                key.place,
                f"{quoted(key.text)} is written twice in {attribute.name}",
                f"the first is at line {at.line}, column {at.column}",
            )
        else:
            first[key.text] = key.place
            yield key, value


def _single(attribute: Attribute, node: Node, place: Place, findings: Findings) -> Any:
    """The value of a part that must be a single one; None when a mistake is recorded."""
    if isinstance(node, Broken):
        findings.error(node.place, node.message, node.hint)
    elif isinstance(node, Scalar):
        try:
            return read_value(attribute, node)
        except UnusableError as unusable:
            findings.error(place, unusable.message, unusable.hint)
    else:
        what = "a list" if isinstance(node, Sequence) else "a mapping"
        findings.error(place, f"{attribute.name} must be a single value, not {what}")
    return None


def _place(key: Scalar, value: Node) -> Place:
    """Where a value begins; one that is not there has no place of its own."""
    return key.place if isinstance(value, Scalar) and not value.text else value.place
