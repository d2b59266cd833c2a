"""The classes whose values may cross a task boundary, beside those that every context takes.

They are known to the whole process, as classes are: the module that defines one registers it on import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, overload

from fantasm_gcp.core.registered import refusal

T = TypeVar("T", bound=type[Any])

_classes: dict[str, type[Any]] = {}

REGISTERED: Mapping[str, type[Any]] = MappingProxyType(_classes)
"""All registered classes by the names that stand in stored contexts; it shows later registrations too."""


@overload
def context_type(cls: T, /) -> T: ...
@overload
def context_type(*, name: str) -> Callable[[T], T]: ...


def context_type(cls: T | None = None, /, *, name: str | None = None) -> T | Callable[[T], T]:
    """Lets values of a class cross a task boundary: a dataclass, an enum or a named tuple.

    Use it as ``@context_type`` above ``@dataclass``, or as ``@context_type(name="shop.Money")``. The name is
    stored with every value; by default it is the class's module and qualified name, so give one where the
    class may move. A class that has several names is written under the first and read under all.

    Registering the same class again changes nothing, and a class of the same module and qualified name takes
    the place of the earlier one, as when a module is reloaded. Raises ``TypeError`` for other classes, and
    ``ValueError`` for a name that another class has.
    """
    if cls is not None:
        return _registered(cls, name)
    if name is None:
        raise TypeError("context_type takes a class, or the keyword argument name")
    return lambda decorated: _registered(decorated, name)


def _registered(cls: T, name: str | None) -> T:
    if not isinstance(cls, type):
        raise TypeError(f"context_type takes a class, not {cls!r}")
    reason = refusal(cls)
    if reason:
        raise TypeError(f"{_qualified(cls)} {reason}")
    key = _qualified(cls) if name is None else name
    if not isinstance(key, str) or not key:
        raise TypeError(f"name={name!r}: the name of a class is text")
    earlier = _classes.get(key)
    if earlier is not None and _qualified(earlier) != _qualified(cls):
        raise ValueError(f"{key!r} is the name of {_qualified(earlier)}; give {_qualified(cls)} another name")
    _classes[key] = cls
    return cls


def _qualified(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
