"""Datastore keys across a task boundary and in the arguments of a URL, those of google-cloud-ndb too.

google-cloud-ndb is an optional package: its values are told by the names of their classes' modules, so that
nothing is imported for those who do not use it.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from google.cloud.datastore import Entity, Key

from fantasm_gcp.core.codec import Adapter
from fantasm_gcp.errors import MissingDefinitionError

NDB = "google.cloud.ndb"

_URLSAFE = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_NO_KEY = "it is no text of a key, as key.to_legacy_urlsafe() writes it"


def adapters() -> tuple[Adapter, ...]:
    """How keys cross, and entities as their keys: an entity comes back as its ``Key``.

    So do keys and models of google-cloud-ndb, which come back as its ``Key``.
    """
    return (
        Adapter("datastore-key", _is_key_or_entity, _key_payload, _key_of),
        Adapter("ndb-key", _is_ndb_key_or_model, _ndb_payload, _ndb_key_of),
    )


def parse_key(text: str) -> Key:
    """The key that ``Key.to_legacy_urlsafe()``, or App Engine's ``str(key)`` and ``urlsafe()``, wrote.

    Such text names the default database. Raises ``ValueError`` for any other text.
    """
    if not _URLSAFE.fullmatch(text):
        raise ValueError(_NO_KEY)
    try:
        key: Key = Key.from_legacy_urlsafe(text)  # type: ignore[no-untyped-call]  # the client has no types
    except Exception as error:  # it raises what its protobuf and base64 readers do
        raise ValueError(_NO_KEY) from error
    if key.is_partial:
        raise ValueError("it is the text of an incomplete key")
    return key


def parse_ndb_key(text: str) -> Any:
    """The google-cloud-ndb key that ``key.urlsafe()`` wrote.

    Raises ``ValueError`` for any other text, and ``ImportError`` where google-cloud-ndb is not installed.
    """
    return _ndb_key(parse_key(text))


def _is_key_or_entity(value: Any) -> bool:
    return isinstance(value, Key | Entity)


def _key_payload(value: Any) -> list[Any]:
    if isinstance(value, Entity):
        if value.key is None or value.key.is_partial:
            raise TypeError(
                "is an entity without a complete key, and an entity crosses as its key; put it first"
            )
        value = value.key
    if value.is_partial:
        raise TypeError("is an incomplete key; put its entity first, or use client.allocate_ids")
    return [value.project, value.database, value.namespace, list(value.flat_path)]


def _key_of(payload: Any) -> Key:
    if type(payload) is not list or len(payload) != 4 or type(payload[3]) is not list:
        raise ValueError("the payload of a key is no project, database, namespace and path")
    project, database, namespace, path = payload
    for each in (database, namespace):
        if each is not None and type(each) is not str:
            raise ValueError("the database or namespace of a key is not text")
    if type(project) is not str or not project or len(path) % 2 or any(type(each) is bool for each in path):
        raise ValueError("a key has a project and a complete path")
    return Key(*path, project=project, database=database, namespace=namespace)  # type: ignore[no-untyped-call]  # as above


def _is_ndb_key_or_model(value: Any) -> bool:
    return _is(type(value), f"{NDB}.key", "Key") or _is(type(value), f"{NDB}.model", "Model")


def _is(kind: type[Any], module: str, name: str) -> bool:
    return any(each.__module__ == module and each.__name__ == name for each in kind.__mro__)


def _ndb_payload(value: Any) -> list[Any]:
    key = value
    if _is(type(value), f"{NDB}.model", "Model"):
        key = value._key  # not .key: a model may have a property of that name
        if key is None or key.id() is None:
            raise TypeError("is a model without a complete key, and a model crosses as its key; put it first")
    elif key.id() is None:
        raise TypeError("is an incomplete key; put its model first, or use allocate_ids")
    return [key.project(), key.database(), key.namespace(), list(key.flat())]


def _ndb_key_of(payload: Any) -> Any:
    key = _key_of(payload)
    try:
        return _ndb_key(key)
    except ImportError as error:
        raise MissingDefinitionError(f"definition missing: {error}") from error


def _ndb_key(key: Key) -> Any:
    """The same key for google-cloud-ndb; that needs no connection, and nothing of ndb's current context."""
    try:
        ndb = import_module(NDB)
    except ImportError as error:
        raise ImportError(
            "a key of ndb needs the package google-cloud-ndb: pip install 'fantasm-gcp[ndb]'"
        ) from error
    return ndb.Key(
        flat=list(key.flat_path), project=key.project, database=key.database, namespace=key.namespace
    )
