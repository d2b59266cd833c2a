"""Property transforms: changes that the server computes from what is stored."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from fantasm_gcp.local.datastore.keys import is_reserved
from fantasm_gcp.local.datastore.messages import Value, invalid, set_time
from fantasm_gcp.local.datastore.values import encode_value

MAX_TRANSFORMS = 500

_REQUEST_TIME = 1  # PropertyTransform.ServerValue.REQUEST_TIME
_MIN_INTEGER, _MAX_INTEGER = -(1 << 63), (1 << 63) - 1


def check_transforms(transforms: Any, project: str) -> None:
    """Raises INVALID_ARGUMENT for a malformed transform; key values without a project get the request's."""
    if len(transforms) > MAX_TRANSFORMS:
        raise invalid(f"a mutation may have at most {MAX_TRANSFORMS} property transforms")
    for transform in transforms:
        if not transform.property or "." in transform.property or is_reserved(transform.property):
            raise invalid(f'A transform of the property "{transform.property}" is not served.')
        kind = transform.WhichOneof("transform_type")
        if kind is None:
            raise invalid("A property transform is missing its operation.")
        operand = getattr(transform, kind)
        if kind == "set_to_server_value" and operand != _REQUEST_TIME:
            raise invalid("A property transform has an unknown server value.")
        if kind in ("increment", "maximum", "minimum") and _number(operand) is None:
            raise invalid(f"The operand of {kind} must be an integer or a double.")
        if kind in ("append_missing_elements", "remove_all_from_array"):
            _check_elements(operand.values, project)


def _check_elements(elements: Iterable[Any], project: str) -> None:
    for element in elements:
        if element.WhichOneof("value_type") == "key_value" and not element.key_value.partition_id.project_id:
            element.key_value.partition_id.project_id = project
        encode_value(element)  # refuses lists, entities and unset values


def apply_transform(entity: Any, transform: Any, now: int, result: Any) -> None:
    """Changes one property of an entity and fills the transform's result; array transforms answer null."""
    name = transform.property
    kind = transform.WhichOneof("transform_type")
    excluded = name in entity.properties and entity.properties[name].exclude_from_indexes
    if kind == "set_to_server_value":
        value = Value()
        set_time(value.timestamp_value, now - now % 1000)  # documented: millisecond precision
        result.CopyFrom(value)
    elif kind in ("append_missing_elements", "remove_all_from_array"):
        value = _change_array(entity, name, kind, getattr(transform, kind).values)
        excluded = False
        result.null_value = 0
    else:
        value = _change_number(entity, name, kind, getattr(transform, kind))
        result.CopyFrom(value)
    if excluded:
        value.exclude_from_indexes = True
    entity.properties[name].CopyFrom(value)


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
    number = _number(value)
    if number is not None:
        return "NaN" if math.isnan(number) else number
    if value.WhichOneof("value_type") == "entity_value":
        return value.SerializeToString(deterministic=True)
    return (value.WhichOneof("value_type"), encode_value(value))
