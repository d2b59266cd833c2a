"""Property masks: which properties of an entity are read, or written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fantasm_gcp.local.datastore.keys import is_reserved
from fantasm_gcp.local.datastore.messages import Entity, invalid

KEY_NAME = "__key__"


def check_mask(paths: Iterable[str], *, for_write: bool = False) -> None:
    """Raises INVALID_ARGUMENT for an empty or reserved path; ``__key__`` is allowed."""
    for path in paths:
        if not path or any(not part for part in path.split(".")):
            raise invalid("A property mask has an empty path.")
        if path != KEY_NAME and is_reserved(path):
            raise invalid(f'The property.name "{path}" is reserved.')
        if for_write and "." in path:
            raise invalid(
                f'A property mask that reaches into an embedded entity is not served locally: "{path}".'
            )


def masked(entity: Any, paths: Iterable[str]) -> Any:
    """The key and the named properties of an entity; ``outer.inner`` keeps a property of an embedded one."""
    kept = Entity()
    if entity.HasField("key"):
        kept.key.CopyFrom(entity.key)
    for path in paths:
        if path in entity.properties:
            kept.properties[path].CopyFrom(entity.properties[path])
            continue
        outer, _, inner = path.partition(".")
        if inner and outer in entity.properties and entity.properties[outer].HasField("entity_value"):
            part = masked(entity.properties[outer].entity_value, [inner])
            kept.properties[outer].entity_value.MergeFrom(part)
    return kept


def overlay(old: Any, new: Any, paths: Iterable[str]) -> Any:
    """The old entity with the named properties taken from the new one; those absent there are removed."""
    result = Entity()
    result.CopyFrom(old)
    for path in paths:
        if path in new.properties:
            result.properties[path].CopyFrom(new.properties[path])
        elif path in result.properties:
            del result.properties[path]
    return result
