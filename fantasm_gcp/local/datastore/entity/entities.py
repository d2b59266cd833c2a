"""What an entity must be to be stored, and what the indexes hold of it.

Every property that is not excluded is indexed by its value, an array by each of its elements, an embedded
entity by its own properties under ``outer.inner``. Limits are those of the documentation
(https://cloud.google.com/datastore/docs/concepts/limits, retrieved 2026-08); what it leaves open is as both
of the vendor's emulators answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from fantasm_gcp.local.datastore.entity.keys import (
    MAX_NAME_BYTES,
    Partition,
    complete_reference,
    is_reserved,
)
from fantasm_gcp.local.datastore.entity.meanings import check_meaning
from fantasm_gcp.local.datastore.entity.messages import invalid, micros_of, set_time
from fantasm_gcp.local.datastore.entity.sizes import check_size
from fantasm_gcp.local.datastore.entity.values import NULL, encode_value
from fantasm_gcp.local.datastore.entity.vectors import check_vector, is_vector

MAX_INDEXED_BYTES = 1500
MAX_UNINDEXED_BYTES = 1_048_487
MAX_INDEX_ENTRIES = 20_000
MAX_DEPTH = 20
"""How deep embedded entities may lie in each other, the outermost of them counted and its holder not."""

type_of = "value_type"
_HOLDERS = ("array_value", "entity_value")

Indexed = Mapping[str, list[bytes]]
"""The indexed values of an entity by property: encoded, distinct, sorted."""


def check_entity(entity: Any, partition: Partition) -> None:
    """Brings an entity of a request into the form it is stored in.

    Dates are rounded down to microseconds, and keys that are values get the request's project and database
    where they name none. Raises INVALID_ARGUMENT when a limit is passed or a value is malformed. The key is
    checked elsewhere.
    """
    _check_properties(entity, partition, 0, 0)
    check_size(entity)


def check_property_name(name: str) -> None:
    """Raises INVALID_ARGUMENT for a name that is empty or too long."""
    if not name:
        raise invalid("The property.name is the empty string.")
    if len(name) * 4 > MAX_NAME_BYTES and len(name.encode()) > MAX_NAME_BYTES:
        raise invalid(f"The property.name is longer than {MAX_NAME_BYTES} bytes.")


def _check_properties(entity: Any, partition: Partition, depth: int, outer: int) -> None:
    """``outer`` is how many bytes the names have, with their dots, of the properties that it is in."""
    properties = entity.properties
    for name in properties:  # ``items()`` takes twice as long
        value = properties[name]
        check_property_name(name)
        if name.startswith("__") and is_reserved(name):
            raise invalid(f'The property.name "{name}" is reserved.')
        size, kind = outer, value.WhichOneof(type_of)
        if outer or kind in _HOLDERS:
            size += len(name.encode())
            if size > MAX_NAME_BYTES:
                raise invalid(f"The flattened property.name is longer than {MAX_NAME_BYTES} bytes.")
        if kind == "array_value":
            _check_array(name, value, partition, depth, size)
        elif kind == "entity_value":
            _check_embedded(name, value, partition, depth, size)
        else:
            check_scalar(name, value, partition)


def _check_array(name: str, value: Any, partition: Partition, depth: int, size: int) -> None:
    if is_vector(value):
        check_vector(value)
        return
    if value.meaning:
        raise invalid("A Value containing a list_value cannot specify a meaning.")
    if value.exclude_from_indexes:
        raise invalid("Exclude from indexes cannot be set on a list value")
    for element in value.array_value.values:
        _check_element(name, element, partition, depth, size)


def check_element(name: str, element: Any, partition: Partition) -> None:
    """Brings an element of an array into the form it is stored in; raises as :func:`check_entity`."""
    _check_element(name, element, partition, 0, len(name.encode()))


def _check_element(name: str, value: Any, partition: Partition, depth: int, size: int) -> None:
    kind = value.WhichOneof(type_of)
    if kind == "array_value":
        raise invalid("list_value cannot contain a Value containing another list_value.")
    if kind == "entity_value":
        _check_embedded(name, value, partition, depth, size)
    else:
        check_scalar(name, value, partition)


def _check_embedded(name: str, value: Any, partition: Partition, depth: int, size: int) -> None:
    if depth == MAX_DEPTH:
        raise invalid(f"At most {MAX_DEPTH} nested entity values are supported.")
    if value.entity_value.HasField("key"):
        complete_reference(value.entity_value.key, partition, complete=None)
    check_meaning(name, value)
    _check_properties(value.entity_value, partition, depth + 1, size + 1)


def check_scalar(name: str, value: Any, partition: Partition, *, in_filter: bool = False) -> None:
    """Brings a value that is neither array nor entity into the form in which it is stored and compared.

    ``name`` is that of its property. Raises INVALID_ARGUMENT when it is malformed or, indexed, too long.
    """
    match value.WhichOneof(type_of):
        case "string_value":
            _check_length(name, len(value.string_value.encode()), value.exclude_from_indexes)
        case "blob_value":
            _check_length(name, len(value.blob_value), value.exclude_from_indexes)
        case "timestamp_value":
            set_time(value.timestamp_value, micros_of(value.timestamp_value))
        case "key_value":
            complete_reference(value.key_value, partition)
        case "geo_point_value":
            _check_degrees("latitude", value.geo_point_value.latitude, 90.0)
            _check_degrees("longitude", value.geo_point_value.longitude, 180.0)
        case None:
            raise invalid(f'The value "{name}" does not contain a value.')
    if value.meaning:
        check_meaning(name, value, in_filter=in_filter)


def _check_degrees(what: str, degrees: float, most: float) -> None:
    if math.isnan(degrees):
        raise invalid(f"Geo point {what} is not a number.")
    if not -most <= degrees <= most:
        raise invalid(f"Geo point {what} outside permitted range -{most} to {most}.")


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
    properties = entity.properties
    for name in properties:
        value, path = properties[name], prefix + name
        if (names is not None and path not in names) or value.exclude_from_indexes:
            continue
        kind = value.WhichOneof(type_of)
        if kind == "entity_value":
            _collect(value.entity_value, path + ".", names, found)
        elif kind != "array_value":
            found.setdefault(path, set()).add(encode_value(value))
        elif not value.array_value.values:
            found.setdefault(path, set()).add(NULL)
        else:
            for element in value.array_value.values:
                if element.exclude_from_indexes:
                    continue
                if element.WhichOneof(type_of) == "entity_value":
                    _collect(element.entity_value, path + ".", names, found)
                else:
                    found.setdefault(path, set()).add(encode_value(element))
