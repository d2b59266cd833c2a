"""Meanings: numbers on a value that say what it stood for in App Engine, kept for old entities and clients.

The API reference names the field and no numbers. Which of them a value may have is as both of the vendor's
emulators answer. One is not of the past: 31 makes an array of doubles a vector, see ``vectors``.
"""

from __future__ import annotations

from typing import Any

from fantasm_gcp.local.datastore.entity.messages import invalid
from fantasm_gcp.local.datastore.entity.values import MEANING_INDEX_VALUE
from fantasm_gcp.local.datastore.entity.vectors import MEANING_VECTOR

_DATE, _TEXT, _BYTES, _USER, _ZLIB = 7, 15, 16, 20, 22
_FIELDS = {
    **dict.fromkeys((1, 2, 3, 4, 5, 6, 8, 10, 11, 12, _TEXT, 17), "string_value"),
    **dict.fromkeys((_DATE, 13, 29, 30), "integer_value"),
    **dict.fromkeys((_BYTES, _ZLIB), "blob_value"),
    _USER: "entity_value",
    23: "geo_point_value",
}
_UNINDEXED = (_TEXT, _ZLIB)
_DATES = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
_USER_PROPERTIES = ("auth_domain", "email", "federated_identity", "federated_provider", "user_id")


def check_meaning(name: str, value: Any, *, in_filter: bool = False) -> None:
    """Raises INVALID_ARGUMENT unless a value that is no array may have the meaning that it has.

    A value read from an index may be filtered by, but not written.
    """
    meaning = value.meaning
    if not meaning:
        return
    if meaning == MEANING_INDEX_VALUE:
        if in_filter:
            return
        raise invalid("Projection property cannot be used.")
    field = "vector" if meaning == MEANING_VECTOR else _FIELDS.get(meaning)
    if field is None:
        raise invalid(f"Unknown value meaning {meaning}.")
    if value.WhichOneof("value_type") != field:
        raise invalid(f'Value "{name}" has a meaning {meaning} which does not match {field} field.')
    if meaning in _UNINDEXED and not value.exclude_from_indexes:
        raise invalid(f"Indexed value has meaning {meaning}.")
    if meaning == _DATE and value.integer_value in _DATES:
        raise invalid("A timestamp of the years 1 to 9999 must be stored as a timestamp_value.")
    if meaning == _USER:
        _check_user(value.entity_value)


def _check_user(entity: Any) -> None:
    """A user of App Engine's: an embedded entity of a few strings that are not indexed."""
    if entity.HasField("key"):
        raise invalid("The user entity has a key.")
    for name, value in entity.properties.items():
        if name not in _USER_PROPERTIES:
            raise invalid(f'The user entity property "{name}" is not allowed.')
        if value.WhichOneof("value_type") != "string_value":
            raise invalid(f'The user entity property "{name}" is the wrong type.')
        if not value.exclude_from_indexes:
            raise invalid(f'The user entity property "{name}" is indexed.')
