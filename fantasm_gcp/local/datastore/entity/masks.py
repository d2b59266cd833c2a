"""Property masks: which properties of an entity are read, or written, at any depth of embedded entities.

A path is names with dots between them. A name that is not of letters, digits and underscores stands in
backquotes, in which a backslash stands for the character after it: ``outer.`in.ner```. Paths end at arrays:
what is inside one cannot be named. Property transforms name their properties so, too. Source:
``PropertyMask`` and ``PropertyTransform`` in the API reference, and for what they leave open the vendor's
Firestore emulator in Datastore mode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fantasm_gcp.local.datastore.entity.keys import is_reserved
from fantasm_gcp.local.datastore.entity.messages import Entity, invalid

KEY_NAME = "__key__"
MAX_PATH_NAMES = 20

_PLAIN, _QUOTED = r"[A-Za-z_][A-Za-z0-9_]*", r"`(?:[^`\\]|\\.)+`"
_NAME = re.compile(f"{_PLAIN}|{_QUOTED}", re.DOTALL)
_PATH = re.compile(rf"(?:{_PLAIN}|{_QUOTED})(?:\.(?:{_PLAIN}|{_QUOTED}))*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def mask_of(request: Any) -> tuple[str, ...] | None:
    """The paths of a reading request's mask, ``None`` without one; raises as :func:`check_mask`."""
    if not request.HasField("property_mask"):
        return None
    check_mask(request.property_mask.paths)
    return tuple(request.property_mask.paths)


def check_mask(paths: Iterable[str]) -> None:
    """Raises INVALID_ARGUMENT for a malformed or reserved path; ``__key__`` alone is allowed."""
    for path in paths:
        for name in check_property_path(path):
            if is_reserved(name) and path != KEY_NAME:
                raise invalid(f'The property_mask.property.name "{name[:100]}" is reserved.')


def check_property_path(path: str) -> tuple[str, ...]:
    """The names in a path to a property; INVALID_ARGUMENT when it is malformed."""
    if not path:
        raise invalid("Invalid empty property path string.")
    if _PATH.fullmatch(path) is None:
        raise invalid(
            f'Invalid property path "{path[:100]}". A name of a path must match '
            r"[a-zA-Z_][a-zA-Z_0-9]* or stand in backquotes: `(?:[^`\\]|(?:\\.))+`"
        )
    names = split_path(path)
    if len(names) > MAX_PATH_NAMES:
        raise invalid(f"paths must have at most {MAX_PATH_NAMES} elements")
    return names


def split_path(path: str) -> tuple[str, ...]:
    """The names in a checked path, without their backquotes and escapes."""
    return tuple(
        _ESCAPED.sub(r"\1", name[1:-1]) if name.startswith("`") else name for name in _NAME.findall(path)
    )


def masked(entity: Any, paths: Iterable[str]) -> Any:
    """The key and the named properties of an entity; paths to what it has not are passed over."""
    kept = Entity()
    if entity.HasField("key"):
        kept.key.CopyFrom(entity.key)
    for path in paths:
        names = split_path(path)
        if (holder := _holder(entity, names)) is not None and names[-1] in holder.properties:
            _copy(entity, kept, names)
    return kept


def overlay(old: Any | None, new: Any, paths: Iterable[str]) -> Any:
    """The old entity with the named properties taken from the new one; those absent there are removed.

    Without an old entity there is only what is named. An embedded entity on the way to a property is created
    where the old entity has none, or has another value.
    """
    result = Entity()
    if old is not None:
        result.CopyFrom(old)
    else:
        result.key.CopyFrom(new.key)
    for path in paths:
        if path == KEY_NAME:
            continue
        names = split_path(path)
        if (source := _holder(new, names)) is not None and names[-1] in source.properties:
            _copy(new, result, names)
        elif (target := _holder(result, names)) is not None and names[-1] in target.properties:
            del target.properties[names[-1]]
    return result


def _holder(entity: Any, names: tuple[str, ...]) -> Any | None:
    """The embedded entity that would hold the property a path ends with, if there is one."""
    for name in names[:-1]:
        if name not in entity.properties or not entity.properties[name].HasField("entity_value"):
            return None
        entity = entity.properties[name].entity_value
    return entity


def made_holder(entity: Any, names: tuple[str, ...]) -> Any:
    """The embedded entity that holds the property a path ends with, created where there is another value."""
    for name in names[:-1]:
        value = entity.properties[name]
        if not value.HasField("entity_value"):
            value.Clear()
            value.entity_value.SetInParent()
        entity = value.entity_value
    return entity


def _copy(source: Any, target: Any, names: tuple[str, ...]) -> None:
    """Gives one entity the property at the end of a path that another has, and what it takes to hold it."""
    for name in names[:-1]:
        original, copied = source.properties[name], target.properties[name]
        if not copied.HasField("entity_value"):
            copied.Clear()
            copied.exclude_from_indexes, copied.meaning = original.exclude_from_indexes, original.meaning
            copied.entity_value.SetInParent()
        source, target = original.entity_value, copied.entity_value
    target.properties[names[-1]].CopyFrom(source.properties[names[-1]])
