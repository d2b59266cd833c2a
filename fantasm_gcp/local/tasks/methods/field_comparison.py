"""How one value of a message is compared with the text of a filter: by the type of its field."""

from __future__ import annotations

import operator as op
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import refusals

Comparison: TypeAlias = Callable[[Any], bool]

_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": op.eq,
    "!=": op.ne,
    "<": op.lt,
    "<=": op.le,
    ">": op.gt,
    ">=": op.ge,
    ":": op.eq,
}
OPERATORS: Final = tuple(_ORDERED)
"""What may stand between a field and a value."""

_NUMBERS: Final = frozenset(
    {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_DOUBLE}
)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)
_NANOS = 1_000_000_000


def read_comparison(path: str, field: FieldDescriptor, operator: str, value: str) -> Comparison:
    """Whether a value of the field compares so with what the text stands for.

    Raises ``RpcError`` INVALID_ARGUMENT for a text that is no value of the field's type, and for a field that
    has fields of its own.
    """
    compare = _ORDERED[operator]
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _compare_text(operator, value.casefold())
    if field.enum_type is not None:
        named = field.enum_type.values_by_name.get(value.upper())
        if named is None:
            raise _no_value(path, value)
        return lambda found: compare(found, named.number)
    if field.cpp_type in _NUMBERS:
        if _NUMBER.fullmatch(value) is None:
            raise _no_value(path, value)
        number = float(value)
        return lambda found: compare(found, number)
    for kind in (Timestamp, Duration):
        if field.message_type is kind.DESCRIPTOR:
            moment = _nanos(path, kind(), value)
            return lambda found: compare(found.seconds * _NANOS + found.nanos, moment)
    raise refusals.invalid(f"filter is not valid: {path} is compared by one of its fields.")


def _compare_text(operator: str, value: str) -> Comparison:
    if operator == ":":
        return lambda found: value in found.casefold()
    compare = _ORDERED[operator]
    return lambda found: compare(found.casefold(), value)


def _nanos(path: str, message: Any, value: str) -> int:
    """A moment as RFC 3339 has it, or a span like ``1.5s``."""
    try:
        message.FromJsonString(value)
    except ValueError as error:
        raise _no_value(path, value) from error
    return int(message.seconds) * _NANOS + int(message.nanos)


def _no_value(path: str, value: str) -> RpcError:
    return refusals.invalid(f"filter is not valid: {value!r} is no value of {path}.")
