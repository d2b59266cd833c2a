"""Property transforms: changes that the server computes from what is stored.

Source: ``PropertyTransform`` in the API reference, and for what it leaves open the vendor's Firestore
emulator in Datastore mode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from fantasm_gcp.local.datastore.entity.entities import check_element
from fantasm_gcp.local.datastore.entity.keys import Partition, is_reserved
from fantasm_gcp.local.datastore.entity.masks import check_property_path, made_holder, split_path
from fantasm_gcp.local.datastore.entity.messages import Value, invalid, set_time
from fantasm_gcp.local.datastore.entity.values import encode_value

MAX_TRANSFORMS = 500
"""Transforms of one entity in a commit; each element of an array counts
(https://docs.cloud.google.com/datastore/docs/concepts/limits, retrieved 2026-11)."""

_REQUEST_TIME = 1  # PropertyTransform.ServerValue.REQUEST_TIME
_MIN_INTEGER, _MAX_INTEGER = -(1 << 63), (1 << 63) - 1
_OF_ARRAYS = ("append_missing_elements", "remove_all_from_array")


def check_transforms(transforms: Any, partition: Partition) -> int:
    """How many transforms these count as; elements they add are brought into the form they are stored in.

    Raises INVALID_ARGUMENT for a malformed one, and for too many.
    """
    count = 0
    for transform in transforms:
        names = check_property_path(transform.property)
        for name in names:
            if is_reserved(name):
                raise invalid(f'Invalid property path member name "{name[:100]}".')
        kind = transform.WhichOneof("transform_type")
        if kind is None:
            raise invalid("Operation type must be specified for field transformation.")
        operand = getattr(transform, kind)
        if kind in _OF_ARRAYS:
            for element in operand.values:
                check_element(names[-1], element, partition)
            count += len(operand.values)
        else:
            _check_operand(kind, operand)
            count += 1
    check_count(count)
    return count


def check_count(count: int) -> None:
    """Raises INVALID_ARGUMENT for more transforms than an entity may have in a commit."""
    if count > MAX_TRANSFORMS:
        raise invalid(f"an entity may have at most {MAX_TRANSFORMS} property transforms in a commit")


def _check_operand(kind: str, operand: Any) -> None:
    if kind == "set_to_server_value":
        if operand != _REQUEST_TIME:
            raise invalid("ServerValue type must be specified for set_to_server_value transformation.")
    elif _number(operand) is None:
        raise invalid("Input must be int64 or double.")
    elif operand.meaning:
        raise invalid(f'Meaning "{operand.meaning}" is not valid for a number.')


def apply_transform(entity: Any, transform: Any, now: int, result: Any) -> None:
    """Changes one property of an entity and fills the transform's result; array transforms answer null.

    A property that was excluded from indexes stays so: one over the limits of indexed values could not be
    transformed otherwise.
    """
    names = split_path(transform.property)
    holder, name = made_holder(entity, names), names[-1]
    kind = transform.WhichOneof("transform_type")
    excluded = name in holder.properties and holder.properties[name].exclude_from_indexes
    if kind in _OF_ARRAYS:
        value = _change_array(holder, name, kind, getattr(transform, kind).values)
        result.null_value = 0
    elif kind == "set_to_server_value":
        value = Value(exclude_from_indexes=excluded)
        set_time(value.timestamp_value, now - now % 1000)  # documented: millisecond precision
        result.CopyFrom(value)
    else:
        operand = getattr(transform, kind)
        value = _change_number(holder, name, kind, operand)
        value.exclude_from_indexes = excluded or operand.exclude_from_indexes
        result.CopyFrom(value)
    holder.properties[name].CopyFrom(value)


def _number(value: Any) -> int | float | None:
    match value.WhichOneof("value_type"):
        case "integer_value":
            return int(value.integer_value)
        case "double_value":
            return float(value.double_value)
    return None


def _change_number(entity: Any, name: str, kind: str, operand: Any) -> Any:
    held = _number(entity.properties[name]) if name in entity.properties else None
    given = _number(operand)
    value = Value()
    if held is None or given is None:
        value.CopyFrom(operand)
        return value
    if kind == "increment":
        total = held + given
    elif math.isnan(held) or math.isnan(given):
        total = math.nan
    else:  # of equals, such as 3 and 3.0, the first stays: the stored one, as documented
        total = max(held, given) if kind == "maximum" else min(held, given)
    if isinstance(total, int):
        value.integer_value = min(
            max(total, _MIN_INTEGER), _MAX_INTEGER
        )  # documented: overflow stops at the end
    else:
        value.double_value = total
    return value


def _change_array(entity: Any, name: str, kind: str, operands: Iterable[Any]) -> Any:
    """Arrays compare 3 and 3.0 as equal, as the API documents it; anything but an array counts as empty."""
    value = Value()
    value.array_value.SetInParent()
    held = entity.properties[name].array_value.values if name in entity.properties else ()
    if kind == "remove_all_from_array":
        gone = {_identity(operand) for operand in operands}
        value.array_value.values.extend(element for element in held if _identity(element) not in gone)
        return value
    value.array_value.values.extend(held)
    present = {_identity(element) for element in held}
    for operand in operands:
        if _identity(operand) not in present:
            present.add(_identity(operand))
            value.array_value.values.append(operand)
    return value


def _identity(value: Any) -> object:
    """What two values have in common that count as one element: flags and the type of a number do not."""
    number = _number(value)
    if number is not None:
        return "NaN" if math.isnan(number) else number
    kind = value.WhichOneof("value_type")
    if kind == "entity_value":
        key = value.entity_value.key.SerializeToString(deterministic=True)
        named = value.entity_value.properties.items()
        return (kind, key, frozenset((name, _identity(inner)) for name, inner in named))
    if kind == "array_value":
        return (kind, tuple(map(_identity, value.array_value.values)))
    return (kind, encode_value(value))
