"""What is wrong with values of a JSON object that is no message, in the words of Google's HTTP APIs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_MAX_SHOWN = 100
_MAX_LINE = 300
_MAX_ALL = 600
_MAX_FAULTS = 5

_INTEGERS: Final = {
    FieldDescriptor.TYPE_INT32: ("TYPE_INT32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: ("TYPE_INT64", -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: ("TYPE_UINT32", 0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: ("TYPE_UINT64", 0, 2**64 - 1),
}
_FLOATS: Final = {FieldDescriptor.TYPE_DOUBLE: "TYPE_DOUBLE", FieldDescriptor.TYPE_FLOAT: "TYPE_FLOAT"}
_TEXTS: Final = {FieldDescriptor.TYPE_STRING: "TYPE_STRING", FieldDescriptor.TYPE_BYTES: "TYPE_BYTES"}
_TIMES: Final[dict[str, tuple[Any, str]]] = {
    "google.protobuf.Timestamp": (
        Timestamp,
        "Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone offset.",
    ),
    "google.protobuf.Duration": (Duration, "Illegal duration format; duration must end with 's'"),
}


def explain_values(descriptor: Descriptor, given: Mapping[str, Any]) -> str:
    """A line for each value that does not fit its field, 5 at most; "" when each does.

    Names that the message does not have are passed over, and so are places where a list is no list.
    """
    lines = [_shorten(line) for line in islice(_faults(descriptor, given, ""), _MAX_FAULTS)]
    text = _shorten("\n".join(lines), _MAX_ALL)
    return text.encode(errors="replace").decode()  # JSON may hold halves of characters


def find_field(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    """A field by either of its names: camelCase, or as in the proto."""
    found = descriptor.fields_by_camelcase_name.get(name) or descriptor.fields_by_name.get(name)
    assert found is None or isinstance(found, FieldDescriptor)
    return found


def items_of(field: FieldDescriptor, value: Any, path: str) -> Iterable[tuple[str, Any]]:
    """Where a field holds what: one value, those of a list, or those of a map."""
    if isinstance(value, list):
        return ((f"{path}[{index}]", item) for index, item in enumerate(value))
    if isinstance(value, dict) and is_map(field.message_type):
        return ((f"{path}[{key}]", item) for key, item in value.items())
    return [(path, value)]


def is_map(descriptor: Descriptor | None) -> bool:
    """Whether a message is an entry of a map."""
    return descriptor is not None and bool(descriptor.GetOptions().map_entry)


def _faults(descriptor: Descriptor, given: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, value in given.items():
        field = find_field(descriptor, name)
        if field is None:
            continue
        place = f"{path}.{field.name}" if path else field.name
        entry = field.message_type
        kind = entry.fields_by_name["value"] if entry is not None and is_map(entry) else field
        for where, item in items_of(field, value, place):
            if item is None:
                continue
            if kind.message_type is None:
                wrong = _wrong_type(kind, item)
                if wrong:
                    yield f"Invalid value at '{where}' ({wrong}), {_shown(item)}"
            else:
                yield from _message_faults(kind.message_type, item, where, name)


def _message_faults(descriptor: Descriptor, item: Any, where: str, name: str) -> Iterator[str]:
    said = f"Invalid value at '{where}' (type.googleapis.com/{descriptor.full_name}), "
    if descriptor.full_name in _TIMES:
        time, words = _TIMES[descriptor.full_name]
        try:
            time().FromJsonString(item)
        except (ValueError, TypeError, AttributeError):
            yield f"{said}Field '{name}', {words}" if isinstance(item, str) else said + _shown(item)
    elif descriptor.full_name.startswith("google.protobuf."):
        return  # each of these has a JSON of its own
    elif isinstance(item, dict):
        yield from _faults(descriptor, item, where)
    else:
        yield said + _shown(item)


def _wrong_type(field: FieldDescriptor, item: Any) -> str:
    """The type that a value is not of, "" when it is."""
    if field.enum_type is not None:
        known = isinstance(item, int) or item in field.enum_type.values_by_name or _number(item) is not None
        return "" if known else f"type.googleapis.com/{field.enum_type.full_name}"
    if field.type == FieldDescriptor.TYPE_BOOL:
        return "" if isinstance(item, bool) else "TYPE_BOOL"
    if field.type in _TEXTS:
        return "" if isinstance(item, str) else _TEXTS[field.type]
    number = _number(item)
    if field.type in _INTEGERS:
        name, least, most = _INTEGERS[field.type]
        fits = number is not None and least <= number <= most and number == int(number)
        return "" if fits else name
    return _FLOATS.get(field.type, "") if number is None else ""


def _number(item: Any) -> float | int | None:
    """A number, or text that is one; exact for integers."""
    if isinstance(item, bool) or not isinstance(item, int | float | str):
        return None
    try:
        return int(item) if isinstance(item, int | str) else item
    except ValueError:
        try:
            return float(item)
        except ValueError:
            return None


def _shown(item: Any) -> str:
    return _shorten(json.dumps(item, ensure_ascii=False), _MAX_SHOWN)


def _shorten(text: str, most: int = _MAX_LINE) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
