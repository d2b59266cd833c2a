"""Between HTTP and messages: a request from path, query and body, and the JSON of a response.

The rules are those of ``google/api/http.proto`` and of the JSON mapping of proto3, with Google's parameters
for every API (``alt``, ``fields``, ``prettyPrint``, ``key`` and so on), of which ``alt`` alone has an effect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from fantasm_gcp.local.http.json_faults import explain_values, find_field, is_map, items_of
from fantasm_gcp.local.rpc import RpcError

MAX_PARAMETERS: Final = 1000

_SYSTEM_PARAMETERS = frozenset(
    {
        *("access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser"),
        *("uploadType", "upload_protocol", "userIp", "xgafv"),
    }
)
_JSON_STRINGS = frozenset(
    f"google.protobuf.{name}"
    for name in (
        *("Timestamp", "Duration", "FieldMask", "BoolValue", "BytesValue", "DoubleValue", "FloatValue"),
        *("Int32Value", "Int64Value", "StringValue", "UInt32Value", "UInt64Value"),
    )
)
_FIELD_MASK = "google.protobuf.FieldMask"
_UNKNOWN_FIELD = re.compile(r'has no field named "(.*?)" at "\w+\.?(.*?)"\.\n', re.DOTALL)
_MAX_REASON = 500
_MAX_SHOWN = 100

# Of both alphabets, with padding or without, and broken into lines as some programs do. How long it may be is
# what Parse sees to.
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]*(?:=\s*){0,2}")

Parameters = list[tuple[str, str]]


def bad_request(message: str) -> RpcError:
    """The refusal of a request that cannot be read."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, message)


def parse_query(query: str) -> tuple[Parameters, dict[str, str]]:
    """The parameters that fill fields, and Google's own for every API, these without their dollar sign."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError as error:
        raise bad_request("The query is not UTF-8.") from error
    except ValueError as error:
        raise bad_request(f"The query has more than {MAX_PARAMETERS} parameters.") from error
    fields, system = [], {}
    for name, value in pairs:
        if name.removeprefix("$") in _SYSTEM_PARAMETERS or name.startswith("$"):
            system[name.removeprefix("$")] = value
        else:
            fields.append((name, value))
    return fields, system


def fill_from_json(message: Any, body: bytes) -> None:
    """Merges a JSON object into a message; nothing at all counts as an empty object.

    Names of fields may be camelCase or as in the proto. Raises ``RpcError`` INVALID_ARGUMENT for what is no
    JSON, for an unknown field, and for a value that does not fit.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise bad_request("Invalid JSON payload received. It is not UTF-8.") from error
    if not text.strip():
        return
    if not text.lstrip(" \t\r\n").startswith("{"):
        raise bad_request("Invalid JSON payload received. It is no object.")
    try:
        json_format.Parse(text, message)
        if _has_bytes(message.DESCRIPTOR):
            _check_bytes(message.DESCRIPTOR, json.loads(text), "")
    except _NOT_JSON as error:
        raise bad_request(_explain(error, message.DESCRIPTOR, text)) from error


@cache
def _has_bytes(descriptor: Descriptor) -> bool:
    """Whether a message may hold a field of bytes, in itself or further in."""
    seen, left = {descriptor.full_name}, [descriptor]
    while left:
        for field in left.pop().fields:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return True
            if field.message_type is not None and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                left.append(field.message_type)
    return False


def _check_bytes(descriptor: Descriptor, given: Mapping[str, Any], path: str) -> None:
    """Refuses bytes that are not base64: Parse leaves out what is none, and takes the rest for the value.

    ``given`` is the JSON of a message that was parsed, so its names and kinds are right.
    """
    for name, value in given.items():
        field = find_field(descriptor, name)
        if field is not None:
            for place, item in items_of(field, value, f"{path}.{field.name}" if path else field.name):
                _check_item(field, item, place)


def _check_item(field: FieldDescriptor, item: Any, path: str) -> None:
    if field.message_type is not None and is_map(field.message_type):
        field = field.message_type.fields_by_name["value"]
    if field.type == FieldDescriptor.TYPE_BYTES and isinstance(item, str):
        if _BASE64.fullmatch(item) is None:
            shown = item[:_MAX_SHOWN]
            raise bad_request(
                f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for \"{shown}\""
            )
    elif isinstance(item, dict) and field.message_type is not None and _has_bytes(field.message_type):
        _check_bytes(field.message_type, item, path)


# Parse says that it wraps the others; not every release of protobuf does.
_NOT_JSON = (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError)


def _explain(error: BaseException, descriptor: Descriptor, given: str | Mapping[str, Any]) -> str:
    """What is wrong with a request, in Google's words where they are known."""
    unknown = _UNKNOWN_FIELD.search(str(error))
    if unknown is not None:
        place = f" at '{_snake(unknown[2])}'" if unknown[2] else ""
        return f'Invalid JSON payload received. Unknown name "{unknown[1]}"{place}: Cannot find field.'
    try:
        wrong = explain_values(descriptor, json.loads(given) if isinstance(given, str) else given)
    except (ValueError, TypeError, AttributeError, RecursionError):  # no JSON, or nested too deeply
        wrong = ""
    if wrong:
        return wrong
    reason = " ".join(str(error).split())
    return f"Invalid JSON payload received. {reason[:_MAX_REASON]}"


def _snake(path: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", path)


def _camel(path: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), path)


def fill_from_parameters(message: Any, parameters: Iterable[tuple[str, str]]) -> None:
    """Merges parameters of a query into a message: ``a.b=1`` for a field of a field, repeated for a list."""
    merged: dict[str, Any] = {}
    for name, value in parameters:
        _put(merged, message.DESCRIPTOR, name, value)
    if not merged:
        return
    try:
        json_format.ParseDict(merged, message)
    except _NOT_JSON as error:
        reason = _explain(error, message.DESCRIPTOR, merged)
        raise bad_request(reason.replace("JSON payload", "value")) from error


def _put(merged: dict[str, Any], descriptor: Descriptor, name: str, value: str) -> None:
    """Puts one parameter where the JSON of the message has it."""
    *outer, last = name.split(".")
    place = merged
    for part in outer:
        field = _field(descriptor, part, name)
        if field.message_type is None or field.is_repeated or field.message_type.full_name in _JSON_STRINGS:
            raise _unbound(name)
        descriptor = field.message_type
        place = place.setdefault(field.json_name, {})
    field = _field(descriptor, last, name)
    if field.message_type is not None and field.message_type.full_name not in _JSON_STRINGS:
        raise _unbound(name)
    leaf: Any = value
    if field.type == FieldDescriptor.TYPE_BOOL:
        if value not in ("true", "false"):
            raise bad_request(f"Invalid value at '{name}' (TYPE_BOOL), \"{value[:_MAX_REASON]}\"")
        leaf = value == "true"
    elif field.message_type is not None and field.message_type.full_name == _FIELD_MASK:
        leaf = _camel(value)  # Google's Node.js client sends the paths as in the proto
    if field.is_repeated:
        place.setdefault(field.json_name, []).append(leaf)
    elif field.json_name in place:
        raise bad_request(f"Invalid value. The parameter '{name}' is not repeated, but is there twice.")
    else:
        place[field.json_name] = leaf


def _field(descriptor: Descriptor, name: str, whole: str) -> FieldDescriptor:
    field = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
    if field is None:
        raise _unbound(whole)
    return field


def _unbound(name: str) -> RpcError:
    name = name[:_MAX_REASON]
    return bad_request(
        f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
        f"Field '{name}' could not be found in request message."
    )


def fill_from_path(message: Any, values: Mapping[str, str]) -> None:
    """Sets the fields that the path names, over whatever the body says."""
    for path, value in values.items():
        *outer, last = path.split(".")
        place = message
        for part in outer:
            place = getattr(place, part)
        setattr(place, last, value)


def render_json(message: Any, *, numeric_enums: bool) -> bytes:
    """The JSON of a response, indented as Google's; fields with default values are left out."""
    text = json_format.MessageToJson(message, use_integers_for_enums=numeric_enums, ensure_ascii=False)
    return (text + "\n").encode()
