"""How a context crosses a task boundary: JSON, with tags for what JSON lacks.

A value that JSON lacks becomes ``{"__fantasm__": [tag, payload]}``. A dict that could be mistaken for that,
or whose keys are not all text, is written as tagged pairs, so every supported value comes back as it was.
Nothing is imported by a name that was stored, and no constructor of a registered class runs.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fantasm_gcp.core.registered import content_of, could_be_registered, rebuilt
from fantasm_gcp.errors import ContextTooLargeError, MissingDefinitionError

TAG = "__fantasm__"
CONTEXT_LIMIT = 10 * 1024 * 1024
"""Largest encoded context, in bytes."""

DEPTH_LIMIT = 100
"""Most levels of lists and dicts inside each other: Python's own limit is not the same everywhere."""

_REGISTERED = "registered"
_LONGEST_PLAIN_INT = 10_000
"""Bits of the largest integer that is written in decimal: Python reads 4,300 digits at most."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """How values of a vendor's classes cross.

    ``matches`` tells whether a value is one of them; ``encode`` makes of it what a context takes, and raises
    ``TypeError`` with the end of a sentence that begins with the value's place ("is an incomplete key");
    ``decode`` makes the value of that again, and raises ``ValueError`` for what ``encode`` cannot have made.
    """

    tag: str
    matches: Callable[[Any], bool]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


class Codec:
    """Writes contexts and reads them again.

    Beside what JSON has, a context takes datetime, date, time, timedelta, bytes, Decimal, UUID, tuple, set,
    frozenset, dicts with keys of any of these, what ``adapters`` take, and values of the classes in
    ``registered``, which is looked at again on every call. Types are taken exactly: a subclass of ``str``,
    ``int``, ``list`` or ``dict`` that is not registered is refused, because it would come back as something
    else. The one exception is datetime: Datastore and test doubles of the clock answer subclasses of it,
    which come back as datetime. Time zones of ``zoneinfo`` come back as they were, others as their offset.

    Raises ``ValueError`` for two adapters of one tag.
    """

    def __init__(
        self,
        adapters: Sequence[Adapter] = (),
        registered: Mapping[str, type] = MappingProxyType({}),
    ) -> None:
        self._adapters = tuple(adapters)
        self._registered = registered
        self._decoders = dict(_DECODERS)
        for each in adapters:
            if each.tag in self._decoders or each.tag == _REGISTERED:
                raise ValueError(f"tag {each.tag!r} is taken")
            self._decoders[each.tag] = (object, each.decode)

    def encode(self, context: Mapping[str, Any]) -> bytes:
        """A context as compact UTF-8 JSON, the same bytes for the same context.

        Raises ``TypeError`` naming the place of a value that cannot cross a task boundary or is nested too
        deeply, and :class:`ContextTooLargeError` over 10 MiB.
        """
        writer = self._writer()
        plain = {}
        for name, value in context.items():
            if not isinstance(name, str):
                raise TypeError(f"context has the key {name!r}; the names of a context are text")
            plain[str.__str__(name)] = writer.plain(value, f"context[{str.__str__(name)!r}]")
        encoded = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )
        if len(encoded) > CONTEXT_LIMIT:
            raise ContextTooLargeError(
                f"a context may have {CONTEXT_LIMIT:,} bytes when encoded, this one has {len(encoded):,}; "
                "store the large value as an entity of its own and put its key into the context"
            )
        return encoded

    def decode(self, encoded: bytes) -> dict[str, Any]:
        """The context that :meth:`encode` made the bytes of.

        Raises :class:`MissingDefinitionError` where a registered name, a field or member of it, a time zone
        or a kind of value is not known to this deployment, and ``ValueError`` for all other bytes that
        :meth:`encode` cannot have made.
        """
        try:
            plain = json.loads(encoded.decode("utf-8", "surrogatepass"))
            if type(plain) is not dict:
                raise ValueError(f"it is a {type(plain).__name__}")
            return {name: self._restored(value) for name, value in plain.items()}
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"this is no context: {error}") from error

    def text(self, value: Any) -> str:
        """One value as ASCII text: values of the same text are equal and of the same types.

        The order of sets and of dicts does not count. Raises ``TypeError`` as :meth:`encode` does.
        """
        plain = self._writer(ordered=True).plain(value, "the value")
        return _sorting_text(plain)

    def _writer(self, ordered: bool = False) -> _Writer:
        names: dict[type, str] = {}
        for name, kind in list(self._registered.items()):
            names.setdefault(kind, name)
        return _Writer(self._adapters, names, ordered)

    def _restored(self, plain: Any) -> Any:
        kind = type(plain)
        if kind is dict:
            if TAG in plain:
                return self._untagged(plain)
            restored = {}
            for name, value in plain.items():  # no comprehension: each would cost a level of the stack
                restored[name] = self._restored(value)
            return restored
        if kind is list:
            items = []
            for value in plain:
                items.append(self._restored(value))  # noqa: PERF401  as above
            return items
        return plain

    def _untagged(self, plain: dict[str, Any]) -> Any:
        tagged = plain[TAG]
        if len(plain) != 1 or type(tagged) is not list or len(tagged) != 2 or type(tagged[0]) is not str:
            raise ValueError(f"{str(plain)[:100]} is no tagged value")
        tag = tagged[0]
        payload = self._restored(tagged[1])
        if tag == _REGISTERED:
            return self._rebuilt(payload)
        if tag not in self._decoders:
            raise MissingDefinitionError(
                f"definition missing: this deployment knows no kind of value {tag[:50]!r}"
            )
        shape, decoder = self._decoders[tag]
        if shape is not object and type(payload) is not shape:
            raise ValueError(f"the payload of a {tag} is a {type(payload).__name__}")
        return decoder(payload)

    def _rebuilt(self, payload: Any) -> Any:
        if type(payload) is not list or len(payload) not in (2, 3) or type(payload[0]) is not str:
            raise ValueError("the payload of a registered class is no name and content")
        name, content, *beside = payload
        kind = self._registered.get(name)
        if kind is None:
            raise MissingDefinitionError(
                f"definition missing: in this deployment no class is registered as {name[:200]!r}"
            )
        return rebuilt(kind, content, beside[0] if beside else {})


class _Writer:
    """One call's look at what is registered; ``ordered``: dicts are written without regard to their order."""

    def __init__(self, adapters: tuple[Adapter, ...], names: Mapping[type, str], ordered: bool) -> None:
        self._adapters = adapters
        self._names = names
        self._ordered = ordered

    def plain(self, value: Any, place: str, depth: int = 0) -> Any:
        """What JSON has for a value; ``place`` is for the error."""
        if depth > DEPTH_LIMIT:
            raise TypeError(f"{place[:100]}... is nested too deeply: a context takes {DEPTH_LIMIT} levels")
        kind: type[Any] = type(value)
        if value is None or kind is str or kind is bool:
            return value
        if kind is int:
            return value if value.bit_length() <= _LONGEST_PLAIN_INT else {TAG: ["int", hex(value)]}
        if kind is float:
            return value if math.isfinite(value) else {TAG: ["float", repr(value)]}
        if kind is list:
            items = []
            for i, each in enumerate(value):  # no comprehension: each would cost a level of the stack
                items.append(self.plain(each, f"{place}[{i}]", depth + 1))
            return items
        if kind is dict:
            return self._dict(value, place, depth)
        if kind in (tuple, set, frozenset):
            return self._collection(value, place, depth)
        if kind in self._names:
            return self._value_of_class(value, self._names[kind], place, depth)
        return self._leaf(value, kind, place)

    def _dict(self, value: dict[Any, Any], place: str, depth: int) -> Any:
        if TAG not in value and all(type(key) is str for key in value):
            plain = {}
            for key, each in value.items():
                plain[key] = self.plain(each, f"{place}[{key!r}]", depth + 1)
            return plain
        pairs = []
        for key, each in value.items():
            written = self.plain(key, f"a key of {place}", depth + 1)
            pairs.append([written, self.plain(each, f"{place}[{_shown(key)}]", depth + 1)])
        return {TAG: ["dict", sorted(pairs, key=_sorting_text) if self._ordered else pairs]}

    def _collection(self, value: Any, place: str, depth: int) -> Any:
        items = []
        for each in value:
            items.append(self.plain(each, f"an item of {place}", depth + 1))  # noqa: PERF401
        if type(value) is not tuple:
            items.sort(key=_sorting_text)  # the order of a set is another one in every process
        return {TAG: [type(value).__name__, items]}

    def _value_of_class(self, value: Any, name: str, place: str, depth: int) -> Any:
        written = []
        for part in content_of(value):
            if type(part) is dict:
                plain = {}
                for field, each in part.items():
                    plain[field] = self.plain(each, f"{place}.{field}", depth + 1)
                part = plain if TAG not in plain else {TAG: ["dict", [list(each) for each in plain.items()]]}
            written.append(part)
        return {TAG: [_REGISTERED, [name, *written]]}

    def _leaf(self, value: Any, kind: type[Any], place: str) -> Any:
        if issubclass(kind, datetime):
            return _plain_datetime(value)
        if kind is time:
            return _plain_time(value, place)
        if kind in _ENCODERS:
            tag, encoder = _ENCODERS[kind]
            return {TAG: [tag, encoder(value)]}
        for adapter in self._adapters:
            if adapter.matches(value):
                try:
                    payload = adapter.encode(value)
                except TypeError as error:
                    raise TypeError(f"{place} {error}") from error
                return {TAG: [adapter.tag, self.plain(payload, place)]}
        raise TypeError(
            f"{place} is a {kind.__module__}.{kind.__qualname__}, which cannot cross a task boundary; "
            f"{_advice(kind)}"
        )


def _advice(kind: type[Any]) -> str:
    if could_be_registered(kind):
        return f"register {kind.__name__}: write @fantasm_gcp.context_type as its first decorator"
    for base in (str, int, float, list, dict, tuple, set, frozenset, bytes, Decimal, UUID):
        if issubclass(kind, base) and kind is not bool:
            return f"it would come back as a plain {base.__name__}: write {base.__name__}(value)"
    return (
        "a context takes what JSON has, datetime, date, time, timedelta, bytes, Decimal, UUID, set, tuple, "
        "Datastore keys, and registered dataclasses and enums"
    )


def _shown(key: Any) -> str:
    """A dict's key in a place; the ``repr`` of a vendor's key may need a connection."""
    return repr(key) if type(key) in (str, int, float, bool, type(None)) else type(key).__name__


def _sorting_text(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def _plain_datetime(value: datetime) -> Any:
    zone = _zone_name(value.tzinfo)
    if zone is None and not (value.fold and value.tzinfo is None):
        return {TAG: ["datetime", datetime.isoformat(value)]}
    return {TAG: ["zoned", [datetime.isoformat(value.replace(tzinfo=None)), zone, value.fold]]}


def _plain_time(value: time, place: str) -> Any:
    zone = _zone_name(value.tzinfo)
    if zone is None and not isinstance(value.tzinfo, timezone | None):
        kind = type(value.tzinfo)
        raise TypeError(
            f"{place} is a time in a {kind.__module__}.{kind.__qualname__}; use a zoneinfo.ZoneInfo"
        )
    if zone is None and not (value.fold and value.tzinfo is None):
        return {TAG: ["time", value.isoformat()]}
    return {TAG: ["zoned-time", [value.replace(tzinfo=None).isoformat(), zone, value.fold]]}


def _zone_name(zone: tzinfo | None) -> str | None:
    return zone.key if isinstance(zone, ZoneInfo) else None


def _zone(name: Any) -> ZoneInfo | None:
    """A zone by its name; ``zoneinfo`` keeps names inside the machine's own table of zones."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):  # OSError: the name is that of a directory of zones
        raise MissingDefinitionError(
            f"definition missing: this machine knows no time zone {name[:100]!r}"
        ) from None


def _read_zoned(payload: list[Any]) -> datetime:
    text, zone, fold = payload
    return datetime.fromisoformat(text).replace(tzinfo=_zone(zone), fold=fold)


def _read_zoned_time(payload: list[Any]) -> time:
    text, zone, fold = payload
    return time.fromisoformat(text).replace(tzinfo=_zone(zone), fold=fold)


def _read_pairs(payload: list[Any]) -> dict[Any, Any]:
    for pair in payload:
        if type(pair) is not list or len(pair) != 2:
            raise ValueError(f"a pair of a dict is a {type(pair).__name__}")
    return dict(payload)


_ENCODERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    date: ("date", date.isoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
}

_DECODERS: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "datetime": (str, datetime.fromisoformat),
    "zoned": (list, _read_zoned),
    "date": (str, date.fromisoformat),
    "time": (str, time.fromisoformat),
    "zoned-time": (list, _read_zoned_time),
    "timedelta": (list, lambda payload: timedelta(*payload)),
    "bytes": (str, lambda payload: base64.b64decode(payload, validate=True)),
    "decimal": (str, Decimal),
    "uuid": (str, UUID),
    "int": (str, lambda payload: int(payload, 16)),
    "float": (str, float),
    "tuple": (list, tuple),
    "set": (list, set),
    "frozenset": (list, frozenset),
    "dict": (list, _read_pairs),
}
"""For each tag the shape of its payload, and what makes the value of it."""
