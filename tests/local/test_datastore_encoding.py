"""The encodings that everything else compares: they sort as documented and can be read back."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from google.cloud import datastore_v1

from fantasm_gcp.local.datastore.entity.keys import (
    Partition,
    decode_path,
    encode_path,
    end_of_element,
    fill_key,
)
from fantasm_gcp.local.datastore.entity.values import decode_value, encode_value, first_value, invert
from fantasm_gcp.local.rpc import RpcError

Key = datastore_v1.Key.pb()
Value = datastore_v1.Value.pb()


def path_of(*elements: Any) -> Any:
    """A key's path from kinds and identifiers in turn."""
    key = Key()
    for kind, identifier in zip(elements[::2], elements[1::2], strict=True):
        element = key.path.add(kind=kind)
        if isinstance(identifier, str):
            element.name = identifier
        else:
            element.id = identifier
    return key.path


PATHS: list[tuple[Any, ...]] = [
    ("A", -(2**63)),
    ("A", -1),
    ("A", 1),
    ("A", 1, "A", 1),
    ("A", 1, "B", "x"),
    ("A", 2),
    ("A", 255),
    ("A", 256),
    ("A", 2**63 - 1),
    ("A", "\x00"),
    ("A", "\x00\x01"),
    ("A", "\x01"),
    ("A", "a"),
    ("A", "a", "A", 1),
    ("A", "a\x00"),
    ("A", "a\x00b"),
    ("A", "aa"),
    ("A", "z"),
    ("A", "ü"),
    ("A", "\U0001f600"),
    ("A\x00", 1),
    ("AA", 1),
    ("B", 1),
]


def test_paths_sort_by_element_ids_before_names_parents_first() -> None:
    """The encodings of a sorted list are sorted."""
    encoded = [encode_path(path_of(*path)) for path in PATHS]
    assert encoded == sorted(encoded)
    assert len(encoded) == len(set(encoded))


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_read_back_from_its_encoding(path: tuple[Any, ...]) -> None:
    """Nothing is lost, and every element says where it ends."""
    encoded = encode_path(path_of(*path))
    key = Key()
    fill_key(key, Partition("p", "d", "n"), encoded)
    assert list(path_of(*path)) == list(key.path)
    assert ("p", "d", "n") == (
        key.partition_id.project_id,
        key.partition_id.database_id,
        key.partition_id.namespace_id,
    )
    at = 0
    for _ in key.path:
        at = end_of_element(encoded, at)
    assert len(encoded) == at


def random_value(source: random.Random) -> Any:
    """Any scalar, hard cases often."""
    value = Value()
    match source.randrange(8):
        case 0:
            value.null_value = 0
        case 1:
            value.integer_value = source.choice([0, 1, -1, 2**63 - 1, -(2**63), source.getrandbits(40)])
        case 2:
            value.boolean_value = source.random() < 0.5
        case 3:
            value.string_value = "".join(source.choices("\x00\x01aü\U0010ffff", k=source.randrange(4)))
        case 4:
            value.blob_value = bytes(source.choices([0, 1, 255, 97], k=source.randrange(4)))
        case 5:
            value.double_value = source.choice([0.0, -0.0, 1.5, -1e300, 5e-324, float("inf"), float("-inf")])
        case 6:
            value.geo_point_value.latitude = source.choice([-90, 0, 1.5])
            value.geo_point_value.longitude = source.choice([-180, 0, 1.5])
        case 7:
            value.key_value.partition_id.project_id = source.choice(["p", "q"])
            value.key_value.partition_id.namespace_id = source.choice(["", "n"])
            value.key_value.path.extend(path_of(*source.choice(PATHS)))
    return value


@pytest.mark.parametrize("seed", range(5))
def test_joined_encodings_compare_part_by_part(seed: int) -> None:
    """No encoding begins with another, so joining keeps the order and the first part can be told."""
    source = random.Random(seed)
    for _ in range(300):
        left, right = encode_value(random_value(source)), encode_value(random_value(source))
        assert left == right or not left.startswith(right)
        tail = encode_value(random_value(source))
        assert left == first_value(left + tail)
        assert (left < right) == (invert(left) > invert(right))
        assert left == invert(invert(left))


@pytest.mark.parametrize("seed", range(5))
def test_a_value_is_read_back_up_to_what_the_index_keeps(seed: int) -> None:
    """Decoding and encoding again gives the same place in the index."""
    source = random.Random(seed)
    for _ in range(300):
        encoded = encode_value(random_value(source))
        shown = Value()
        decode_value(encoded, shown)
        assert encoded == encode_value(shown)


def test_every_nan_is_one_value() -> None:
    """The sign and the payload of a NaN do not matter; it sorts after infinity."""
    places = set()
    for bits in (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001):
        value = Value(double_value=struct.unpack(">d", bits.to_bytes(8, "big"))[0])
        places.add(encode_value(value))
    assert 1 == len(places)
    assert encode_value(Value(double_value=float("inf"))) < places.pop()


@pytest.mark.parametrize("joined", [b"", b"\x10\x00", b"\x7f", b"\x30abc", b"\x60\x00\x01"])
def test_what_is_no_encoding_is_a_value_error(joined: bytes) -> None:
    """A damaged position is noticed."""
    with pytest.raises(ValueError, match=r"."):
        first_value(joined)


def test_values_without_a_place_are_refused() -> None:
    """Arrays, entities and values with nothing set."""
    array, entity = Value(), Value()
    array.array_value.SetInParent()
    entity.entity_value.SetInParent()
    for value in (array, entity, Value()):
        with pytest.raises(RpcError):
            encode_value(value)


@pytest.mark.parametrize(
    ("seconds", "nanos", "micros"),
    [
        (-62_135_596_800, 0, -62_135_596_800_000_000),
        (253_402_300_799, 999_999_999, 253_402_300_799_999_999),
        (-62_135_596_801, 999_999_999, None),
        (253_402_300_800, 0, None),
        ((1 << 63) - 1, 0, None),
        (-(1 << 63), 0, None),
        (0, 1_000_000_000, None),
        (0, -1, None),
    ],
)
def test_times_are_of_the_years_1_to_9999(seconds: int, nanos: int, micros: int | None) -> None:
    """Production says that the seconds exceed the limit for the field, in filters as in entities."""
    value = Value()
    value.timestamp_value.seconds, value.timestamp_value.nanos = seconds, nanos
    if micros is None:
        with pytest.raises(
            RpcError, match=r"^INVALID_ARGUMENT: Timestamp (seconds|nanos) exceeds limit for field$"
        ):
            encode_value(value)
    else:
        assert encode_value(Value(integer_value=micros)) == encode_value(value)


def test_decoding_appends_to_an_empty_path_only_what_was_encoded() -> None:
    """The empty path is the empty encoding."""
    key = Key()
    decode_path(b"", key.path)
    assert not key.path
