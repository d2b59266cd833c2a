"""Cursors: the position of a result, packed so that it is refused for a query of another order."""

from __future__ import annotations

import zlib

from fantasm_gcp.local.datastore.entity.messages import invalid

_FORMAT = b"\x01"
_CHECK_BYTES = 4

Orders = tuple[tuple[str, bool], ...]


def write_cursor(position: bytes, orders: Orders) -> bytes:
    """A cursor to just after a position; the empty position is before all results."""
    return _FORMAT + _fingerprint(orders, position) + position


def read_cursor(cursor: bytes, orders: Orders) -> bytes:
    """The position in a cursor; INVALID_ARGUMENT when it is not a cursor of a query with these orders."""
    check, position = cursor[1 : 1 + _CHECK_BYTES], cursor[1 + _CHECK_BYTES :]
    if cursor[:1] != _FORMAT or check != _fingerprint(orders, position):
        raise invalid("The cursor is malformed or belongs to a query with another sort order.")
    return position


def _fingerprint(orders: Orders, position: bytes) -> bytes:
    return zlib.crc32(position, zlib.crc32(repr(orders).encode())).to_bytes(_CHECK_BYTES, "big")
