"""Values of classes that the user registered: what of them crosses a task boundary, and how they are rebuilt.

Dataclasses and named tuples cross by the names of their fields, enums by the names of their members. No
constructor runs on the way back, so ``__post_init__`` has its effects once, where the value was made.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum, Flag
from functools import cached_property
from typing import Any

from fantasm_gcp.errors import MissingDefinitionError

_HEAP_TYPE = 1 << 9
"""CPython's ``Py_TPFLAGS_HEAPTYPE``: set on every class that a ``class`` statement made."""


def refusal(kind: type[Any]) -> str:
    """Why values of a class cannot cross a task boundary; empty where they can."""
    if issubclass(kind, Enum) or is_named_tuple(kind):
        return ""
    if not is_dataclass(kind):
        return "is no dataclass, enum or named tuple; write the decorator above @dataclass"
    for base in kind.__mro__[:-1]:
        if not base.__flags__ & _HEAP_TYPE:
            return f"is a {base.__name__}, whose content would be lost: make it a field"
    return ""


def could_be_registered(kind: type[Any]) -> bool:
    """Whether registering a class would let its values cross."""
    return not refusal(kind)


def is_named_tuple(kind: type[Any]) -> bool:
    return issubclass(kind, tuple) and isinstance(getattr(kind, "_fields", None), tuple)


def content_of(value: Any) -> list[Any]:
    """What crosses of a value: its fields or member, and where there are any, its attributes beside them.

    Values of cached properties stay behind: they are computed again.
    """
    kind = type(value)
    if isinstance(value, Flag):
        return [_bits(value)]
    if isinstance(value, Enum):
        return [value.name]
    if is_named_tuple(kind):
        content = dict(zip(kind._fields, value, strict=True))
        beside = _state(value)
    else:
        names = [each.name for each in fields(kind)]
        content = {name: getattr(value, name) for name in names if hasattr(value, name)}
        beside = {name: each for name, each in _state(value).items() if name not in names}
    beside = {name: each for name, each in beside.items() if not _is_cached_property(kind, name)}
    return [content, beside] if beside else [content]


def rebuilt(kind: type[Any], content: Any, beside: Any) -> Any:
    """The value that :func:`content_of` told the content of.

    A field that was added since takes its default. Raises :class:`MissingDefinitionError` for a member, or a
    field, that the class does not have here: another deployment may; ``ValueError`` for what is no content
    of the class.
    """
    if issubclass(kind, Enum):
        return _flag(kind, content) if issubclass(kind, Flag) else _member(kind, content)
    if type(content) is not dict or type(beside) is not dict:
        raise ValueError(f"the fields of a {kind.__qualname__} are a {type(content).__name__}")
    if is_named_tuple(kind):
        value = tuple.__new__(kind, _items(kind, content))
    else:
        value = object.__new__(kind)
        for name, each in _field_values(kind, content).items():
            object.__setattr__(value, name, each)  # as frozen dataclasses themselves do it
    for name, each in beside.items():
        if type(name) is not str or name.startswith("__"):
            raise ValueError(f"a {kind.__qualname__} has no attribute of such a name")
        object.__setattr__(value, name, each)
    return value


def _state(value: Any) -> dict[str, Any]:
    """Attributes of an object, in its ``__dict__`` and in slots."""
    state = object.__getstate__(value)
    inside, slots = state if isinstance(state, tuple) else (state, None)
    return {**(inside or {}), **(slots or {})}


def _is_cached_property(kind: type[Any], name: str) -> bool:
    return any(isinstance(vars(base).get(name), cached_property) for base in kind.__mro__)


def _field_values(kind: type[Any], content: dict[str, Any]) -> dict[str, Any]:
    known = {each.name: each for each in fields(kind)}
    _refuse_unknown(kind, content, known)
    added = {name: each for name, each in known.items() if name not in content}
    return content | {name: _default(kind, each) for name, each in added.items() if _is_set_at_first(each)}


def _is_set_at_first(field: Field[Any]) -> bool:
    """A field that no constructor sets may be without a value."""
    return field.init or field.default is not MISSING or field.default_factory is not MISSING


def _default(kind: type[Any], field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    if field.default_factory is not MISSING:
        return field.default_factory()
    raise _missing(kind, f"says nothing of its field {field.name!r}, which has no default")


def _items(kind: type[Any], content: dict[str, Any]) -> list[Any]:
    """The items of a named tuple, in their order."""
    names: tuple[str, ...] = kind._fields
    _refuse_unknown(kind, content, names)
    known = kind._field_defaults | content
    for name in names:
        if name not in known:
            raise _missing(kind, f"says nothing of its field {name!r}, which has no default")
    return [known[name] for name in names]


def _refuse_unknown(kind: type[Any], content: dict[str, Any], known: Any) -> None:
    for name in content:
        if name not in known:
            raise _missing(kind, f"has a field {str(name)[:100]!r} that this deployment's has not")


def _member(kind: type[Any], name: Any) -> Any:
    if type(name) is not str:
        raise ValueError(f"a member of {kind.__qualname__} is a {type(name).__name__}")
    try:
        return kind.__members__[name]
    except KeyError:
        raise _missing(kind, f"is the member {name[:100]!r}, which this deployment's has not") from None


def _bits(value: Flag) -> list[str | int]:
    """The names of a flag's bits, and as a number those that have no name."""
    rest = value.value
    names: list[str | int] = []
    for name, member in type(value).__members__.items():
        if member.value and member.value & rest == member.value:
            names.append(name)
            rest &= ~member.value
    return [*names, rest] if rest else names


def _flag(kind: type[Flag], bits: Any) -> Any:
    if type(bits) is not list:
        raise ValueError(f"the bits of a {kind.__qualname__} are a {type(bits).__name__}")
    number = 0
    for each in bits:
        number |= each if type(each) is int else _member(kind, each).value
    value = kind(number)
    if type(value) is not kind:
        raise ValueError(f"a {kind.__qualname__} does not have the bits {number}")
    return value


def _missing(kind: type[Any], what: str) -> MissingDefinitionError:
    return MissingDefinitionError(f"definition missing: a {kind.__module__}.{kind.__qualname__} {what}")
