"""An encoding of indexed values as bytes that sort as Datastore sorts values.

Values of different types sort by type: null, fixed-point numbers (integers and, as their microseconds,
dates), booleans, byte sequences (blobs and, as their UTF-8, strings), floating-point numbers, geographical
points (latitude first), keys. Source: "Properties and value types" of the Datastore documentation
(https://cloud.google.com/appengine/docs/standard/go/datastore/entity-property-reference, retrieved 2026-11).
So an integer never equals a double, an integer equals the date of that many microseconds, and a string equals
the blob of its UTF-8; the vendor's emulator agrees, and adds: an empty array is found as null, -0.0 sorts
before 0.0, NaN after infinity and equal to itself.

Every encoding says itself where it ends, so encodings can be joined and still compare part by part.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from fantasm_gcp.local.datastore.entity.keys import (
    Partition,
    decode_path,
    decode_text,
    encode_path,
    encode_text,
    end_of_element,
)
from fantasm_gcp.local.datastore.entity.messages import invalid, micros_of

NULL, FIXED, BOOLEAN, BYTES, DOUBLE, GEO, KEY = b"\x05", b"\x10", b"\x20", b"\x30", b"\x40", b"\x50", b"\x60"
END_OF_PATH = b"\x00\x00"

MEANING_INDEX_VALUE = 18
"""Marks a value that was read from an index: it may have lost what told it from another type."""

_BIAS = 1 << 63
_SIGN = 1 << 63
_ALL_ONES = (1 << 64) - 1
_INVERTED = bytes(255 - byte for byte in range(256))
_SIZES = {NULL: 1, FIXED: 9, BOOLEAN: 2, DOUBLE: 9, GEO: 17}


def encode_value(value: Any) -> bytes:
    """The sort position of a scalar ``Value``.

    Raises INVALID_ARGUMENT for arrays, entities and values with nothing set, which have none.
    """
    match value.WhichOneof("value_type"):
        case "string_value":
            return BYTES + encode_text(value.string_value.encode())
        case "integer_value":
            return FIXED + _encode_integer(value.integer_value)
        case "boolean_value":
            return BOOLEAN + (b"\x01" if value.boolean_value else b"\x00")
        case "null_value":
            return NULL
        case "timestamp_value":
            return FIXED + _encode_integer(micros_of(value.timestamp_value))
        case "double_value":
            return DOUBLE + _encode_double(value.double_value)
        case "key_value":
            return KEY + encode_key(value.key_value)
        case "blob_value":
            return BYTES + encode_text(value.blob_value)
        case "geo_point_value":
            point = value.geo_point_value
            return GEO + _encode_double(point.latitude) + _encode_double(point.longitude)
        case "array_value":
            raise invalid("A list value is not allowed")
        case "entity_value":
            raise invalid("An entity value is not allowed")
    raise invalid("The value does not contain a value.")


def encode_key(key: Any) -> bytes:
    """The sort position of a complete key as a value: its partition, then its path."""
    partition = key.partition_id
    return (
        encode_text(partition.project_id.encode())
        + encode_text(partition.database_id.encode())
        + encode_text(partition.namespace_id.encode())
        + encode_path(key.path)
        + END_OF_PATH
    )


def _encode_integer(number: int) -> bytes:
    return (number + _BIAS).to_bytes(8, "big")


def _encode_double(number: float) -> bytes:
    bits = int.from_bytes(struct.pack(">d", math.nan if math.isnan(number) else number), "big")
    return (bits ^ (_ALL_ONES if bits & _SIGN else _SIGN)).to_bytes(8, "big")


def _decode_integer(encoded: bytes) -> int:
    return int.from_bytes(encoded, "big") - _BIAS


def decode_number(encoded: bytes) -> int | float:
    """The number of an encoding that begins with FIXED or DOUBLE; whatever follows it is passed over."""
    rest = encoded[1:9]
    return _decode_integer(rest) if encoded[:1] == FIXED else _decode_double(rest)


def _decode_double(encoded: bytes) -> float:
    bits = int.from_bytes(encoded, "big")
    plain = bits ^ (_SIGN if bits & _SIGN else _ALL_ONES)
    number: float = struct.unpack(">d", plain.to_bytes(8, "big"))[0]
    return number


def decode_value(encoded: bytes, value: Any) -> None:
    """Fills a ``Value`` as a projection shows it: from the index alone.

    As in production a date comes back as its microseconds and a blob of valid UTF-8 as a string, with the
    meaning that says so.
    """
    tag, rest = encoded[:1], encoded[1:]
    value.meaning = MEANING_INDEX_VALUE
    if tag == NULL:
        value.null_value = 0
    elif tag == FIXED:
        value.integer_value = _decode_integer(rest)
    elif tag == BOOLEAN:
        value.boolean_value = rest == b"\x01"
    elif tag == BYTES:
        text = decode_text(rest, 0)[0]
        try:
            value.string_value = text.decode()
        except UnicodeDecodeError:
            value.blob_value = text
    elif tag == DOUBLE:
        value.double_value = _decode_double(rest)
    elif tag == GEO:
        value.geo_point_value.latitude = _decode_double(rest[:8])
        value.geo_point_value.longitude = _decode_double(rest[8:])
    else:
        _decode_key(rest, value.key_value)


def _decode_key(encoded: bytes, key: Any) -> None:
    project, at = decode_text(encoded, 0)
    database, at = decode_text(encoded, at)
    namespace, at = decode_text(encoded, at)
    partition = Partition(project.decode(), database.decode(), namespace.decode())
    key.partition_id.project_id, key.partition_id.database_id, key.partition_id.namespace_id = partition
    decode_path(encoded[at : -len(END_OF_PATH)], key.path)


def invert(encoded: bytes) -> bytes:
    """Bytes that sort the other way round; applying it twice gives the original."""
    return encoded.translate(_INVERTED)


def first_value(joined: bytes) -> bytes:
    """The first of several joined encodings.

    Raises ``ValueError`` when ``joined`` does not begin with one.
    """
    tag = joined[:1]
    if tag == BYTES:
        return joined[: decode_text(joined, 1)[1]]
    if tag == KEY:
        return joined[: _end_of_key(joined, 1)]
    size = _SIZES.get(tag)
    if size is None or len(joined) < size:
        raise ValueError("no encoded value")
    return joined[:size]


def _end_of_key(encoded: bytes, at: int) -> int:
    for _ in range(3):
        at = decode_text(encoded, at)[1]
    while encoded[at : at + 2] != END_OF_PATH:
        at = end_of_element(encoded, at)
    return at + len(END_OF_PATH)
