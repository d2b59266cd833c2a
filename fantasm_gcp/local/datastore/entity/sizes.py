"""The size of an entity, as the documentation adds it up: not that of its message.

Source: "Storage size calculations" of the Datastore documentation
(https://docs.cloud.google.com/datastore/docs/concepts/storage-size, retrieved 2026-11). What it leaves open:
an embedded entity without a key has no size of a key.
"""

from __future__ import annotations

from typing import Any

from fantasm_gcp.local.datastore.entity.keys import key_size, text_size
from fantasm_gcp.local.datastore.entity.messages import invalid

MAX_ENTITY_BYTES = 1_048_572

_ENTITY_OVERHEAD = 32
_MOST_GROWTH = 12
"""How many documented bytes a byte of a message stands for at most: an empty embedded entity is 32 for 4."""

_FIXED = {
    "null_value": 1,
    "boolean_value": 1,
    "integer_value": 8,
    "double_value": 8,
    "timestamp_value": 8,
    "geo_point_value": 16,
}


def check_size(entity: Any) -> None:
    """Raises INVALID_ARGUMENT for an entity of more than 1 MiB - 4 bytes."""
    if entity.ByteSize() * _MOST_GROWTH <= MAX_ENTITY_BYTES:
        return  # adding it up takes longer than all the rest of a small write
    size = entity_size(entity)
    if size > MAX_ENTITY_BYTES:
        raise invalid(f"maximum entity size is {MAX_ENTITY_BYTES} bytes, this one has {size}")


def entity_size(entity: Any) -> int:
    """The documented size of an entity in bytes."""
    size = _ENTITY_OVERHEAD + (key_size(entity.key) if entity.HasField("key") else 0)
    return size + sum(text_size(name) + _value_size(value) for name, value in entity.properties.items())


def _value_size(value: Any) -> int:
    kind = value.WhichOneof("value_type")
    match kind:
        case "string_value":
            return text_size(value.string_value)
        case "blob_value":
            return len(value.blob_value)
        case "key_value":
            return key_size(value.key_value)
        case "entity_value":
            return entity_size(value.entity_value)
        case "array_value":
            return sum(map(_value_size, value.array_value.values))
    return _FIXED[kind]
