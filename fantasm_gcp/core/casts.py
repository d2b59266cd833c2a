"""``context_types``: what makes values of the text that a URL's arguments are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

from fantasm_gcp.errors import StartError

Cast: TypeAlias = Callable[[str], Any]
"""Makes a value of text. Whatever it raises tells that the text is not of its type."""

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off", ""})
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?")
_DATE_IN_DIGITS = re.compile("[0-9]{8}")
_MOST_SHOWN = 60


def parse_bool(text: str) -> bool:
    """``true``, ``1``, ``yes``, ``on`` and ``false``, ``0``, ``no``, ``off``, in any case; '' is false."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("it is one of true, false, yes, no, on, off, 1 and 0")
    return word in _TRUE


def parse_json(text: str) -> Any:
    return json.loads(text)


def parse_dict(text: str) -> dict[str, Any]:
    """JSON that is an object, as Fantasm took it."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it must be the JSON of an object, like {...}")
    return value


def parse_list(text: str) -> list[Any]:
    """JSON that is an array."""
    value = json.loads(text)
    if not isinstance(value, list):
        raise ValueError(
            "it must be the JSON of an array, like [...]; an argument that is given several times is a list "
            "without a type"
        )
    return value


def parse_datetime(text: str) -> datetime:
    """ISO 8601, like ``2026-01-31T23:59:00Z``; without a time of day it is midnight."""
    _refuse_epoch(text, "2026-01-31T23:59:00Z")
    return datetime.fromisoformat(text)


def parse_date(text: str) -> date:
    """ISO 8601, like ``2026-01-31``."""
    _refuse_epoch(text, "2026-01-31")
    return date.fromisoformat(text)


def _refuse_epoch(text: str, like: str) -> None:
    """Eight digits are a date of ISO 8601; other numbers are not, though some would be read as one."""
    if _NUMBER.fullmatch(text) and not _DATE_IN_DIGITS.fullmatch(text):
        raise ValueError(f"ISO 8601 is taken, like {like}, not epoch seconds")


def parse_time(text: str) -> time:
    """ISO 8601, like ``23:59:00``."""
    return time.fromisoformat(text)


def parse_timedelta(text: str) -> timedelta:
    """A number of seconds."""
    return timedelta(seconds=float(text))


def _casts() -> dict[str, Cast]:
    names: dict[Cast, tuple[str, ...]] = {
        int: ("int", "long", "builtins.int", "__builtin__.int", "types.IntType", "types.LongType"),
        float: ("float", "builtins.float", "__builtin__.float", "types.FloatType"),
        parse_bool: ("bool", "boolean", "builtins.bool", "__builtin__.bool", "types.BooleanType"),
        str: (
            *("str", "unicode", "basestring", "builtins.str", "__builtin__.str", "__builtin__.unicode"),
            *("types.StringType", "types.UnicodeType"),
        ),
        parse_json: ("json", "json.loads", "simplejson.loads"),
        parse_dict: ("dict", "builtins.dict", "__builtin__.dict", "types.DictType"),
        parse_list: ("list", "builtins.list", "__builtin__.list", "types.ListType"),
        parse_datetime: ("datetime", "datetime.datetime"),
        parse_date: ("date", "datetime.date"),
        parse_time: ("time", "datetime.time"),
        parse_timedelta: ("timedelta", "datetime.timedelta"),
        Decimal: ("Decimal", "decimal", "decimal.Decimal"),
        UUID: ("UUID", "uuid", "uuid.UUID"),
    }
    return {name: cast for cast, spellings in names.items() for name in spellings}


BUILT_IN: Mapping[str, Cast] = MappingProxyType(_casts())
"""The names that need no import, Fantasm's among them, and their casts."""

_KEY = "fantasm_gcp.gateways.keys.parse_key"
_NDB_KEY = "fantasm_gcp.gateways.keys.parse_ndb_key"

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "datastore.Key": _KEY,
        "db.Key": _KEY,
        "google.appengine.api.datastore_types.Key": _KEY,
        "google.appengine.ext.db.Key": _KEY,
        "google.cloud.datastore.Key": _KEY,
        "google.cloud.datastore.key.Key": _KEY,
        "ndb.Key": _NDB_KEY,
        "ndb.key.Key": _NDB_KEY,
        "ndb.model.Key": _NDB_KEY,
        "google.appengine.ext.ndb.Key": _NDB_KEY,
        "google.appengine.ext.ndb.key.Key": _NDB_KEY,
        "google.appengine.ext.ndb.model.Key": _NDB_KEY,
        "google.cloud.ndb.Key": _NDB_KEY,
        "google.cloud.ndb.key.Key": _NDB_KEY,
        "google.cloud.ndb.model.Key": _NDB_KEY,
    }
)
"""Names that stand for others, and the dotted callables that they stand for."""

_NO_PICKLE = (
    "it would run whatever the text says; dates, keys and registered dataclasses cross between steps as they "
    "are, and an argument of a URL can be json or any function of text, by its dotted name"
)
_NO_LETTERS = (
    "it would make a list of the text's letters; write list, which takes json, or give the argument several "
    "times"
)

REFUSED: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("pickle", "pickle.loads", "pickle.load", "cPickle", "cPickle.loads", "dill.loads"), _NO_PICKLE
    )
    | dict.fromkeys(("tuple", "set", "types.TupleType"), _NO_LETTERS)
    | dict.fromkeys(("eval", "exec", "builtins.eval", "__builtin__.eval"), "write json")
)
"""Names that are no types of arguments, each with what to write instead, and why."""


def cast_arguments(arguments: Mapping[str, Any], casts: Mapping[str, Cast]) -> dict[str, Any]:
    """Arguments with the text of those in ``casts`` made into values.

    Of a list each item that is text is cast, and a list of one stays a list. What is not text stays as it is:
    it has its type. Raises :class:`StartError` naming the argument, the text and the type.
    """
    return {
        name: _cast(value, casts[name], name) if name in casts else value for name, value in arguments.items()
    }


def _cast(value: Any, cast: Cast, name: str) -> Any:
    if isinstance(value, list):
        return [_cast_text(each, cast, f"{name}[{i}]") for i, each in enumerate(value)]
    return _cast_text(value, cast, name)


def _cast_text(value: Any, cast: Cast, name: str) -> Any:
    if type(value) is not str:  # a member of an enum, say, has its type although it is text, too
        return value
    try:
        return cast(value)
    except Exception as error:  # a cast may be the user's: whatever it raises refuses the text
        kind = getattr(cast, "__name__", type(cast).__name__).removeprefix("parse_")
        shown = value if len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}..."
        raise StartError(f"argument {name[:100]!r}: {shown!r} is no {kind}{_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What a cast said, on one line and not too long."""
    try:
        said = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  an error whose text cannot be had is named by its type
        said = ""
    return f" ({(said or type(error).__name__)[:200]})"
