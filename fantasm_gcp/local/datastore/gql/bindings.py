"""The parameters of a GQL query, and whether each of them fits the places that name it.

Messages follow those of the vendor's emulators.
"""

from __future__ import annotations

import re
from typing import Any

from fantasm_gcp.local.datastore.entity.keys import is_reserved
from fantasm_gcp.local.datastore.entity.messages import invalid
from fantasm_gcp.local.datastore.gql.lexer import Token
from fantasm_gcp.local.datastore.gql.syntax import Literal, Site

_NAME = re.compile(r"[A-Za-z0-9_$\x80-\U0010ffff]+")
_MOST_DIGITS = 9
_MOST_RESULTS = (1 << 31) - 1


class Bindings:
    """The bindings of one ``GqlQuery`` message, and whether its text may hold literals.

    Raises INVALID_ARGUMENT for a parameter that is empty or has a malformed name.
    """

    def __init__(self, gql: Any) -> None:
        self._named = gql.named_bindings
        self._positional = gql.positional_bindings
        self._literals = gql.allow_literals
        self._used: set[int] = set()
        for name, parameter in self._named.items():
            _check_name(name)
            _check_parameter(parameter)
        for parameter in self._positional:
            _check_parameter(parameter)

    def check_used(self) -> None:
        """Raises INVALID_ARGUMENT when a positional parameter has had no site; named ones need none."""
        for number in range(1, len(self._positional) + 1):
            if number not in self._used:
                raise invalid(f"Unused positional binding: {number}.")

    def check_literal(self, token: Token) -> None:
        """Raises INVALID_ARGUMENT at a literal when there may be none."""
        if not self._literals:
            raise invalid(f"Disallowed literal: {token.image[:100]}.")

    def value(self, site: Site) -> Any:
        """The ``Value`` bound to a site of one."""
        parameter = self._parameter(site)
        if parameter.WhichOneof("parameter_type") != "value":
            raise _misbound(site, "value", "non-value")
        return parameter.value

    def limit(self, positions: tuple[Site | Literal, ...]) -> tuple[int | None, bytes]:
        """The count and the end cursor of a ``LIMIT``; ``None`` and nothing where there is none."""
        if len(positions) < 2:
            return self._count_or_cursor(positions, "limit")
        first = self._position(positions[0], "limit")
        second = self._position(positions[1], "limit")
        if isinstance(first, bytes) and isinstance(second, bytes):
            raise _misbound(positions[1], "limit", "non-value")
        if isinstance(first, bytes) and isinstance(second, int):
            return second, first
        if isinstance(first, int) and isinstance(second, bytes):
            return first, second
        if isinstance(positions[1], Literal):
            raise invalid(f"Expected limit cursor instead of {positions[1].token.image}.")
        raise _misbound(positions[1], "limit", "non-cursor")

    def offset(self, positions: tuple[Site | Literal, ...]) -> tuple[int | None, bytes]:
        """The count and the start cursor of an ``OFFSET``; ``None`` and nothing where there is none."""
        if len(positions) < 2:
            return self._count_or_cursor(positions, "offset")
        cursor = self._position(positions[0], "offset")
        if isinstance(cursor, int):
            raise invalid('Encountered "+" after integer offset.')
        count = self._position(positions[1], "offset")
        if isinstance(count, bytes):
            raise _misbound(positions[1], "offset", "non-value")
        return count, cursor

    def _count_or_cursor(
        self, positions: tuple[Site | Literal, ...], clause: str
    ) -> tuple[int | None, bytes]:
        found = [self._position(position, clause) for position in positions]
        for one in found:
            return (None, one) if isinstance(one, bytes) else (one, b"")
        return None, b""

    def _position(self, position: Site | Literal, clause: str) -> int | bytes:
        if isinstance(position, Literal):
            self.check_literal(position.token)
            return _count(position.value.integer_value, clause)
        parameter = self._parameter(position)
        if parameter.WhichOneof("parameter_type") == "cursor":
            return bytes(parameter.cursor)
        if parameter.value.WhichOneof("value_type") != "integer_value":
            raise _misbound(position, clause, "non-integer value")
        return _count(parameter.value.integer_value, clause)

    def _parameter(self, site: Site) -> Any:
        name = site.token.image[1:]
        if not (name.isascii() and name.isdigit()):
            if name not in self._named:
                raise invalid(f"Absent named binding: {name[:100]}.")
            return self._named[name]
        digits = name.lstrip("0")
        number = int(digits or 0) if len(digits) <= _MOST_DIGITS else _MOST_RESULTS
        if number == 0:
            raise invalid(f"Invalid binding site @{name[:100]}.")
        if number > len(self._positional):
            raise invalid(f"Absent positional binding: {digits[:100]}.")
        self._used.add(number)
        return self._positional[number - 1]


def _count(number: int, clause: str) -> int:
    if number < 0:
        raise invalid(f"The {clause} {number} is < 0.")
    if number > _MOST_RESULTS:
        raise invalid(f"The {clause} {number} is too large.")
    return number


def _misbound(position: Site | Literal, clause: str, what: str) -> Exception:
    name = position.token.image[:100]
    return invalid(f"Binding site {name} for {clause} bound to {what} parameter.")


def _check_name(name: str) -> None:
    if not name:
        raise invalid("The GQL query parameter name is the empty string.")
    if is_reserved(name):
        raise invalid(f'The GQL query parameter name "{name[:100]}" is reserved.')
    if name[0] in "0123456789":
        raise invalid(f'GQL query parameter name "{name[:100]}" starts with a digit.')
    if _NAME.fullmatch(name) is None:
        raise invalid(f'GQL query parameter name "{name[:100]}" contains an invalid character.')


def _check_parameter(parameter: Any) -> None:
    if parameter.WhichOneof("parameter_type") is None:
        raise invalid("A GQL query parameter is empty.")
