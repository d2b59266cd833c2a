"""Keys: what makes one valid, and an encoding of its path as bytes that sort as keys do.

Keys sort by their path, element after element: by kind, then numeric ids before names, ids by number and
names by their UTF-8 bytes; an ancestor sorts before its descendants (documented under "Properties and value
types" of the Datastore documentation as "by path elements (kind, identifier, kind, identifier...)"). The
encoding of an ancestor's path is a prefix of the encoding of its descendants', so that an ancestor query is
one range.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from fantasm_gcp.local.datastore.entity.messages import invalid

MAX_NAME_BYTES = 1500
MAX_KEY_BYTES = 6 * 1024
MAX_PATH_ELEMENTS = 100

_END_OF_TEXT = b"\x00\x01"
_ID, _NAME = b"\x01", b"\x02"
_ID_BIAS = 1 << 63
_RESERVED = re.compile(r"__.*__", re.DOTALL)
_DIMENSION = re.compile(r"[A-Za-z\d.\-_]{0,100}")
_PROJECT = re.compile(r"(?:[A-Za-z\d.\-]{1,100}:)?[A-Za-z\d.\-_]{1,100}")  # a domain may stand before it
_KEY_OVERHEAD, _ID_SIZE = 16, 8
_MOST_GROWTH = 8
"""How many documented bytes a byte of a key's message stands for at most."""


class Partition(NamedTuple):
    """What separates data sets: nothing is ever shared or queried across two partitions."""

    project: str
    database: str
    namespace: str


def is_reserved(name: str) -> bool:
    """Whether a kind, key name or property name is Google's own (``__.*__``)."""
    return name.startswith("__") and _RESERVED.fullmatch(name) is not None


def encode_text(text: bytes) -> bytes:
    """Bytes that sort as ``text`` and say themselves where they end."""
    return text.replace(b"\x00", b"\x00\xff") + _END_OF_TEXT


def decode_text(encoded: bytes, start: int) -> tuple[bytes, int]:
    """The text encoded at ``start``, and the place after it."""
    end = encoded.index(_END_OF_TEXT, start)
    return encoded[start:end].replace(b"\x00\xff", b"\x00"), end + 2


def encode_path(path: Any) -> bytes:
    """The path of a complete key as bytes that sort as keys do."""
    parts = []
    for element in path:
        parts.append(encode_text(element.kind.encode()))
        if element.WhichOneof("id_type") == "name":
            parts.append(_NAME + encode_text(element.name.encode()))
        else:
            parts.append(_ID + (element.id + _ID_BIAS).to_bytes(8, "big"))
    return b"".join(parts)


def decode_path(encoded: bytes, path: Any) -> None:
    """Appends the elements of an encoded path to the path of a ``Key``."""
    at = 0
    while at < len(encoded):
        element = path.add()
        kind, at = decode_text(encoded, at)
        element.kind = kind.decode()
        if encoded[at : at + 1] == _NAME:
            name, at = decode_text(encoded, at + 1)
            element.name = name.decode()
        else:
            element.id = int.from_bytes(encoded[at + 1 : at + 9], "big") - _ID_BIAS
            at += 9


def end_of_element(encoded: bytes, start: int) -> int:
    """The place after the path element encoded at ``start``; ``ValueError`` when there is none."""
    at = decode_text(encoded, start)[1]
    if encoded[at : at + 1] == _NAME:
        return decode_text(encoded, at + 1)[1]
    if encoded[at : at + 1] != _ID or len(encoded) < at + 9:
        raise ValueError("no encoded path element")
    return at + 9


def fill_key(key: Any, partition: Partition, encoded: bytes) -> None:
    """Makes an empty ``Key`` the key of that partition and encoded path."""
    fill_partition(key.partition_id, partition)
    decode_path(encoded, key.path)


def fill_partition(partition_id: Any, partition: Partition) -> None:
    """Makes an empty ``PartitionId`` that of the partition."""
    partition_id.project_id, partition_id.database_id, partition_id.namespace_id = partition


@lru_cache(maxsize=256)
def check_request_names(project: str, database: str) -> None:
    """Raises INVALID_ARGUMENT unless a request may name that project and database."""
    if not project:
        raise invalid("The project id is the empty string.")
    if _PROJECT.fullmatch(project) is None:
        raise invalid(f'"{project[:100]}" is an invalid project id.')
    if database == "(default)":
        raise invalid("'(default)' is not allowed as database id, use '' for the default database.")
    if _DIMENSION.fullmatch(database) is None:
        raise invalid(f'"{database[:100]}" is an invalid database id.')


def resolve_partition(
    partition_id: Any, project: str, database: str, *, for_write: bool = False
) -> Partition:
    """The partition a key or query of a request means.

    An empty project stands for the request's. Raises INVALID_ARGUMENT when it names another project or
    database than the request, or a malformed namespace; with ``for_write`` for a reserved one, too.
    """
    named = Partition(partition_id.project_id, partition_id.database_id, partition_id.namespace_id)
    return _resolved(named, project, database, for_write)


@lru_cache(maxsize=1024)
def _resolved(named: Partition, project: str, database: str, for_write: bool) -> Partition:
    if (named.project or project, named.database or database) != (project, database):
        asked = f"{project}/{database}" if database else project
        given = named.project or project
        given = f"{given}/{named.database}" if named.database else given
        raise invalid(f"mismatched databases within request: {asked} vs. {given}")
    _check_dimension("namespace", named.namespace)
    partition = Partition(project, database, named.namespace)
    if for_write and any(map(is_reserved, partition)):
        what, name = next((w, n) for w, n in zip(partition._fields, partition, strict=True) if is_reserved(n))
        raise invalid(f'The {what} id "{name}" is reserved.')
    return partition


def _check_dimension(what: str, name: str) -> None:
    if _DIMENSION.fullmatch(name) is None:
        raise invalid(f'Illegal string "{name[:101]}" in {what} id.')


def complete_reference(key: Any, partition: Partition, *, complete: bool | None = True) -> None:
    """Checks a key that is a value, or that of an embedded entity, and gives it the partition that it means.

    Without a project it is of the request's, and of its database unless it names one. It may be of another
    project or database, and reserved. Raises INVALID_ARGUMENT as :func:`check_path` does, and for malformed
    names of the partition.
    """
    check_path(key, complete=complete)
    named = key.partition_id
    if named.project_id and _PROJECT.fullmatch(named.project_id) is None:
        raise invalid(f'"{named.project_id[:100]}" is an invalid project id.')
    _check_dimension("database", named.database_id)
    _check_dimension("namespace", named.namespace_id)
    if not named.project_id:
        named.project_id = partition.project
        named.database_id = named.database_id or partition.database


def key_size(key: Any) -> int:
    """The size of a key in bytes, as documented under "Storage size calculations"; an id takes 8 bytes.

    Source: https://docs.cloud.google.com/datastore/docs/concepts/storage-size (retrieved 2026-11).
    """
    namespace = key.partition_id.namespace_id
    size = _KEY_OVERHEAD + (text_size(namespace) if namespace else 0)
    for element in key.path:
        size += text_size(element.kind) + (text_size(element.name) if element.name else _ID_SIZE)
    return size


def text_size(text: str) -> int:
    """The size of a string in bytes, as documented: that of its UTF-8, and one more."""
    return len(text.encode()) + 1


def check_path(key: Any, *, complete: bool | None = True, for_write: bool = False) -> None:
    """Raises INVALID_ARGUMENT unless a key's path is well formed.

    ``complete`` is what its last element must be (``None``: either); with ``for_write`` reserved kinds and
    names are refused.
    """
    if not key.path:
        raise invalid("Key path is empty.")
    if len(key.path) > MAX_PATH_ELEMENTS:
        raise invalid(f"Key path is too long. Cannot exceed {MAX_PATH_ELEMENTS} elements.")
    last = len(key.path) - 1
    for place, element in enumerate(key.path):
        check_kind(element.kind, for_write=for_write)
        identifier = element.WhichOneof("id_type")
        if identifier == "name":
            _check_name(element.name, for_write)
        elif identifier == "id" and element.id == 0:
            raise invalid("Key path id is invalid. Must not be zero.")
        if identifier is None and (place < last or complete is True):
            raise invalid(f"Key path element must not be incomplete: {_shown(key.path)}")
        if identifier is not None and place == last and complete is False:
            raise invalid(f"Key path element must not be complete: {_shown(key.path)}")
    if key.ByteSize() * _MOST_GROWTH > MAX_KEY_BYTES and key_size(key) > MAX_KEY_BYTES:
        raise invalid(f"The key is longer than {MAX_KEY_BYTES} bytes.")


def _shown(path: Any) -> str:
    elements = (f"{element.kind}: {element.name or element.id or ''}" for element in path)
    return f"[{', '.join(elements)}]"


def check_kind(kind: str, *, for_write: bool = False) -> None:
    """Raises INVALID_ARGUMENT for a kind that is empty or too long; with ``for_write`` for a reserved one."""
    if not kind:
        raise invalid("The kind is the empty string.")
    if len(kind.encode()) > MAX_NAME_BYTES:
        raise invalid(f"The kind is longer than {MAX_NAME_BYTES} bytes.")
    if for_write and is_reserved(kind):
        raise invalid(f'The kind "{kind}" is reserved.')


def _check_name(name: str, for_write: bool) -> None:
    if not name:
        raise invalid("The key path element name is the empty string.")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise invalid(f"The key path element name is longer than {MAX_NAME_BYTES} bytes.")
    if for_write and is_reserved(name):
        raise invalid(f'The key path element name "{name}" is reserved.')
