"""What an entity must be to be stored, and what the indexes hold of it.

Every property that is not excluded is indexed by its value, an array by each of its elements, an embedded
entity by its own properties under ``outer.inner``. Limits are those of the documentation
(https://cloud.google.com/datastore/docs/concepts/limits, retrieved 2026-08).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fantasm_gcp.local.datastore.keys import MAX_NAME_BYTES, check_path, is_reserved
from fantasm_gcp.local.datastore.messages import invalid, micros_of, set_time
from fantasm_gcp.local.datastore.values import NULL, encode_value

MAX_ENTITY_BYTES = 1_048_572
MAX_INDEXED_BYTES = 1500
MAX_UNINDEXED_BYTES = 1_048_487
MAX_INDEX_ENTRIES = 20_000
MAX_DEPTH = 20

type_of = "value_type"

Indexed = Mapping[str, list[bytes]]
"""The indexed values of an entity by property: encoded, distinct, sorted."""


def check_entity(entity: Any, project: str) -> None:
    """Brings an entity of a request into the form it is stored in.

    Dates are rounded down to microseconds and key values without a project get the request's. Raises
    INVALID_ARGUMENT when a limit is passed or a value is malformed. The key is checked elsewhere.
    """
    _check_properties(entity, project, 1)
    size = entity.ByteSize()
    if size > MAX_ENTITY_BYTES:
        raise invalid(f"maximum entity size is {MAX_ENTITY_BYTES} bytes, this one has {size}")


def _check_properties(entity: Any, project: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise invalid(f"Entities may not be nested deeper than {MAX_DEPTH}.")
    for name, value in entity.properties.items():
        if not name:
            raise invalid("The property.name is the empty string.")
        if len(name) * 4 > MAX_NAME_BYTES and len(name.encode()) > MAX_NAME_BYTES:
            raise invalid(f"The property.name is longer than {MAX_NAME_BYTES} bytes.")
        if is_reserved(name):
            raise invalid(f'The property.name "{name}" is reserved.')
        if value.WhichOneof(type_of) == "array_value":
            if value.exclude_from_indexes and value.array_value.values:
                raise invalid("Exclude from indexes cannot be set on a list value")
            for element in value.array_value.values:
                _check_value(name, element, project, depth)
        else:
            _check_value(name, value, project, depth)


def _check_value(name: str, value: Any, project: str, depth: int) -> None:
    match value.WhichOneof(type_of):
        case "string_value":
            _check_length(name, len(value.string_value.encode()), value.exclude_from_indexes)
        case "blob_value":
            _check_length(name, len(value.blob_value), value.exclude_from_indexes)
        case "timestamp_value":
            set_time(value.timestamp_value, micros_of(value.timestamp_value))
        case "key_value":
            check_path(value.key_value)
            if not value.key_value.partition_id.project_id:
                value.key_value.partition_id.project_id = project
        case "geo_point_value":
            point = value.geo_point_value
            if not (-90 <= point.latitude <= 90 and -180 <= point.longitude <= 180):
                raise invalid(f'The geo point of property "{name}" is outside of [-90, 90], [-180, 180].')
        case "entity_value":
            _check_properties(value.entity_value, project, depth + 1)
        case "array_value":
            raise invalid(f'The list of property "{name}" contains a list.')
        case None:
            raise invalid(f'The value "{name}" does not contain a value.')


def _check_length(name: str, size: int, excluded: bool) -> None:
    limit = MAX_UNINDEXED_BYTES if excluded else MAX_INDEXED_BYTES
    if size > limit:
        raise invalid(f'The value of property "{name}" is longer than {limit} bytes.')


def indexed_values(entity: Any, names: Collection[str] | None = None) -> Indexed:
    """What the indexes hold of a stored entity: of all its properties, or at least of those of these names.

    Names of embedded properties must have those of what they are in beside them, see :func:`with_outer`.
    Raises INVALID_ARGUMENT when that is more than 20,000 entries.
    """
    found: dict[str, set[bytes]] = {}
    _collect(entity, "", names, found)
    if sum(map(len, found.values())) > MAX_INDEX_ENTRIES:
        raise invalid(f"an entity may have at most {MAX_INDEX_ENTRIES} index entries")
    return {name: sorted(values) for name, values in found.items()}


def with_outer(names: Collection[str]) -> frozenset[str]:
    """Names of properties, and of those in which they may be embedded: ``a`` and ``a.b`` for ``a.b.c``."""
    outer = {name[:at] for name in names for at, letter in enumerate(name) if letter == "."}
    return frozenset(outer.union(names))


def _collect(entity: Any, prefix: str, names: Collection[str] | None, found: dict[str, set[bytes]]) -> None:
    for name, value in entity.properties.items():
        path = prefix + name
        if (names is not None and path not in names) or value.exclude_from_indexes:
            continue
        if value.WhichOneof(type_of) != "array_value":
            _collect_value(path, value, names, found)
        elif value.array_value.values:
            for element in value.array_value.values:
                if not element.exclude_from_indexes:
                    _collect_value(path, element, names, found)
        else:
            found.setdefault(path, set()).add(NULL)


def _collect_value(
    path: str, value: Any, names: Collection[str] | None, found: dict[str, set[bytes]]
) -> None:
    if value.WhichOneof(type_of) == "entity_value":
        _collect(value.entity_value, path + ".", names, found)
    else:
        found.setdefault(path, set()).add(encode_value(value))
