"""What a request says in its form or its JSON, read strictly: a misspelt field is an error, not a default."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest

MOST_BYTES = 65_536
"""Of a form or a JSON object."""

_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Arguments:
    """The fields of one request. Reading one raises ``BadRequest`` when its value is of another kind.

    A field that is left out, null, or empty in a form has its default.
    """

    def __init__(self, given: Mapping[str, Any], known: Collection[str]) -> None:
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                meant = f"; did you mean {close[0]}?" if close else ""
                rest = f"the fields are {', '.join(known)}" if known else "there are no fields here"
                raise BadRequest(f"There is no field {name[:100]!r}: {rest}{meant}")
        self._given = given

    def number(self, name: str, default: float) -> float:
        """A number, finite or not."""
        value = self._value(name)
        if value is None:
            return float(default)
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise _wrong(name, value, "a number")
        try:
            return float(value)
        except (ValueError, OverflowError) as error:
            raise _wrong(name, value, "a number") from error

    def whole(self, name: str, default: int) -> int:
        """A whole number."""
        value = self.number(name, default)
        if not value.is_integer():
            raise _wrong(name, value, "a whole number")
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false; in a form also yes or no."""
        value = self._value(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        if not isinstance(value, str) or value.lower() not in _FLAGS:
            raise _wrong(name, value, "true or false")
        return _FLAGS[value.lower()]

    def text(self, name: str) -> str | None:
        """A text, or None."""
        value = self._value(name)
        if value is not None and not isinstance(value, str):
            raise _wrong(name, value, "a text")
        return value

    def has(self, name: str) -> bool:
        """Whether the field is there, be it null."""
        return name in self._given

    def is_none(self, name: str) -> bool:
        """Whether the field says that there is to be none: null, or in a form "none"."""
        return self._given.get(name) in (None, "none")

    def _value(self, name: str) -> Any:
        value = self._given.get(name)
        return None if value == "" else value


def read_json(known: Collection[str]) -> Arguments:
    """The JSON object of a request, whatever it says its type is; no body at all is an empty one."""
    request.max_content_length = MOST_BYTES
    if not request.get_data():
        return Arguments({}, known)
    try:
        given = request.get_json(force=True)
    except RecursionError as error:
        raise BadRequest("The JSON is nested too deeply.") from error
    except BadRequest as error:
        raise BadRequest('The body is not JSON: send an object such as {"seconds": 60}.') from error
    if not isinstance(given, dict):
        raise BadRequest('The body is JSON but no object: send one such as {"seconds": 60}.')
    return Arguments(given, known)


def read_form(known: Collection[str]) -> Arguments:
    """The form of a request."""
    request.max_content_length = MOST_BYTES
    return Arguments(request.form.to_dict(), known)


def _wrong(name: str, value: object, wanted: str) -> BadRequest:
    shown = repr(value)
    return BadRequest(f"{name} must be {wanted}, and not {shown if len(shown) <= 60 else shown[:59] + '…'}.")
