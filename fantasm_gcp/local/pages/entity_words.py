"""Keys and values of the Datastore in words, and as GQL has them."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from google.protobuf.message import DecodeError

from fantasm_gcp.local.datastore.entity.messages import Key
from fantasm_gcp.local.pages.wording import visible

SHOWN_CHARACTERS: Final = 65_536
"""Of a value, on the page of its entity."""

_CELL = 40
_VECTOR = 31  # the meaning of an array that is a vector: "Search with vector embeddings" of the documentation
_GQL_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
_TYPES = {
    "null_value": "null",
    "boolean_value": "boolean",
    "integer_value": "integer",
    "double_value": "double",
    "timestamp_value": "timestamp",
    "key_value": "key",
    "string_value": "string",
    "blob_value": "blob",
    "geo_point_value": "geo point",
    "array_value": "array",
    "entity_value": "entity",
}


def type_of(value: Any) -> str:
    """The type of a value, as the documentation calls it."""
    kind = value.WhichOneof("value_type")
    if kind == "array_value" and value.meaning == _VECTOR:
        return "vector"
    return _TYPES.get(kind, "no value")


def text_of(value: Any) -> str:
    """A value in full, or its beginning: text as it is, what is nested indented."""
    found = visible(value.string_value) if type_of(value) == "string" else _nested(value, "")
    if len(found) <= SHOWN_CHARACTERS:
        return found
    return f"{found[:SHOWN_CHARACTERS]}… (the first {SHOWN_CHARACTERS:,} of {len(found):,} characters)"


def cell_of(value: Any) -> str:
    """A value in a line of a table."""
    kind = type_of(value)
    if kind == "blob":
        return f"{len(value.blob_value):,} bytes"
    if kind == "key":
        text = words_of_key(value.key_value)
    else:
        # What is cut off is not made readable first: a row may hold a mebibyte.
        text = value.string_value[: _CELL + 1] if kind == "string" else _nested(value, "")
    text = visible(" ".join(text.split()))
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def words_of_key(key: Any) -> str:
    """The path of a key: kinds and identifiers, ancestors first."""
    return visible(" / ".join(f"{each.kind} {_identifier(each)}" for each in key.path))


def gql_of_key(key: Any) -> str:
    """The literal that is this key where its namespace is that of the query."""
    parts = (f"{_gql_name(each.kind)}, {_identifier(each)}" for each in key.path)
    return f"KEY({', '.join(parts)})"


def gql_of_kind(kind: str) -> str:
    """The query for all entities of a kind."""
    return f"SELECT * FROM {_gql_name(kind)}"  # noqa: S608  # GQL, whose text changes nothing


def gql_of_descendants(key: Any) -> str:
    """The query for an entity and all below it."""
    return f"SELECT * WHERE __key__ HAS ANCESTOR {gql_of_key(key)}"


def _gql_name(name: str) -> str:
    return f"`{_escaped(name).replace('`', '``')}`"


def write_key(key: Any) -> str:
    """A key, with its partition, for an address."""
    return base64.urlsafe_b64encode(key.SerializeToString(deterministic=True)).decode()


def read_key(text: str) -> Any:
    """The key of an address; raises ``ValueError`` for what is none."""
    try:
        key = Key.FromString(base64.b64decode(text, altchars=b"-_", validate=True))
    except (binascii.Error, DecodeError, ValueError) as error:
        raise ValueError("the address names no key: begin at the list of kinds") from error
    if not key.path:
        raise ValueError("the address names no key: begin at the list of kinds")
    return key


def _identifier(element: Any) -> str:
    if element.WhichOneof("id_type") == "name":
        quoted = _escaped(element.name).replace("'", "''")
        return f"'{quoted}'"
    return str(element.id)


def _escaped(text: str) -> str:
    return "".join(_GQL_ESCAPES.get(each, each) for each in text)


def _nested(value: Any, indent: str) -> str:
    kind = type_of(value)
    deeper = indent + "  "
    match kind:
        case "string":
            return visible(json.dumps(value.string_value, ensure_ascii=False))
        case "array" | "vector":
            items = [deeper + _nested(each, deeper) for each in value.array_value.values]
            return _enclosed("[", items, indent, "]")
        case "entity":
            members = sorted(value.entity_value.properties.items())
            named = [
                f"{deeper}{visible(json.dumps(name, ensure_ascii=False))}: {_nested(each, deeper)}"
                for name, each in members
            ]
            return _enclosed("{", named, indent, "}")
    return _scalar(kind, value)


def _scalar(kind: str, value: Any) -> str:
    match kind:
        case "boolean":
            return "true" if value.boolean_value else "false"
        case "integer":
            return str(value.integer_value)
        case "double":
            return repr(value.double_value)
        case "timestamp":
            return str(value.timestamp_value.ToJsonString())
        case "key":
            return visible(gql_of_key(value.key_value))
        case "blob":
            content: bytes = value.blob_value
            return content[:SHOWN_CHARACTERS].hex(" ")
        case "geo point":
            return f"{value.geo_point_value.latitude!r}, {value.geo_point_value.longitude!r}"
    return "null"


def _enclosed(opening: str, lines: list[str], indent: str, closing: str) -> str:
    if not lines:
        return opening + closing
    return "\n".join([opening, ",\n".join(lines), indent + closing])
