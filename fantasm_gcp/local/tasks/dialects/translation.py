"""Messages of one version of an API as messages of another: fields go by their names, not their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

Odd: TypeAlias = Callable[[Any, Any, str], None]
"""What is done about a field that the other version does not have: it gets both messages and the name."""


def carry(source: Any, target: Any, odd: Odd) -> None:
    """Sets in ``target`` what is set in ``source``; presence counts, so an empty message stays one."""
    if source.DESCRIPTOR is target.DESCRIPTOR:
        target.CopyFrom(source)
        return
    fields = target.DESCRIPTOR.fields_by_name
    for field, value in source.ListFields():
        if field.name in fields:
            _carry_field(field, value, target, odd)
        else:
            odd(source, target, field.name)


def _carry_field(field: FieldDescriptor, value: Any, target: Any, odd: Odd) -> None:
    if field.message_type is None:
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        else:
            setattr(target, field.name, value)
        return
    place = getattr(target, field.name)
    if field.message_type.GetOptions().map_entry:
        place.MergeFrom(value)  # in no map of these APIs do the versions differ
    elif field.is_repeated:
        for each in value:
            carry(each, place.add(), odd)
    else:
        place.SetInParent()
        carry(value, place, odd)
