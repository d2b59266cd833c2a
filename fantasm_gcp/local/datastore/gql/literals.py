"""Reading the values of GQL: numbers, strings, keys, blobs, dates, arrays and binding sites."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any

from fantasm_gcp.local.datastore.entity.messages import Value, invalid, set_time
from fantasm_gcp.local.datastore.gql.lexer import (
    DOUBLE,
    INTEGER,
    NAME,
    QUOTED_NAME,
    SITE,
    STRING,
    Lexer,
    Token,
    unquote,
)
from fantasm_gcp.local.datastore.gql.syntax import ArrayLiteral, KeyLiteral, Literal, Operand, Site
from fantasm_gcp.local.rpc import RpcError

_INTEGERS = range(-(1 << 63), 1 << 63)
_MOST_DIGITS = len(str(1 << 63))
_BLOB = re.compile(r"[A-Za-z0-9_-]*")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    r"(?:[Zz]|[+-](?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2}))"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIMENSIONS = frozenset({"PROJECT", "DATABASE", "NAMESPACE"})
_SIMPLE = (INTEGER, DOUBLE, STRING, "TRUE", "FALSE", "NULL")

BEGINS_VALUE = frozenset({*_SIMPLE, SITE, NAME})
"""The kinds of tokens that :func:`read_operand` takes first."""

VALUE = "a value"
"""How messages name what :func:`read_operand` reads."""


def read_operand(tokens: Lexer) -> Operand:
    """A value. Raises INVALID_ARGUMENT where there is none or it is malformed."""
    if token := tokens.take(SITE):
        return Site(token)
    if token := tokens.take(*_SIMPLE):
        return Literal(token, _simple(token, tokens))
    return _call(tokens.take(NAME) or tokens.refuse(VALUE), tokens)


def read_integer(tokens: Lexer) -> Literal:
    """An integer literal."""
    token = tokens.expect(INTEGER)
    return Literal(token, _simple(token, tokens))


def read_name(tokens: Lexer) -> str:
    """A name without dots: that of a kind or an alias."""
    token = tokens.expect(NAME, QUOTED_NAME)
    return unquote(token.image) if token.kind == QUOTED_NAME else token.image


def _simple(token: Token, tokens: Lexer) -> Any:
    if token.kind == INTEGER:
        return Value(integer_value=_integer(token, tokens))
    if token.kind == DOUBLE:
        return Value(double_value=_double(token, tokens))
    if token.kind == STRING:
        return Value(string_value=unquote(token.image))
    if token.kind == "NULL":
        return Value(null_value=0)
    return Value(boolean_value=token.kind == "TRUE")


def _integer(token: Token, tokens: Lexer) -> int:
    # Python refuses to read thousands of digits, whatever their value.
    digits = token.image.lstrip("+-").lstrip("0") or "0"
    number = int(digits[:_MOST_DIGITS])
    if token.image.startswith("-"):
        number = -number
    if len(digits) > _MOST_DIGITS or number not in _INTEGERS:
        raise _malformed("integer literal", token, tokens)
    return number


def _double(token: Token, tokens: Lexer) -> float:
    try:
        return float(token.image)
    except ValueError:
        raise _malformed("double literal", token, tokens) from None


def _malformed(what: str, token: Token, tokens: Lexer) -> RpcError:
    return invalid(f"Invalid {what}: {token.image[:100]} at {tokens.place(token.start)}.")


def _call(token: Token, tokens: Lexer) -> Operand:
    """A synthetic literal, its name already taken."""
    match token.image.upper():
        case "KEY":
            return _key(token, tokens)
        case "ARRAY":
            return _array(token, tokens)
        case "BLOB":
            return Literal(token, Value(blob_value=_blob(tokens)))
        case "DATETIME":
            value = Value()
            set_time(value.timestamp_value, _micros(tokens))
            return Literal(token, value)
    raise invalid(f'Unknown function "{token.image[:100]}" at {tokens.place(token.start)}.')


def _text(tokens: Lexer) -> tuple[str, Token]:
    """What the one string in parentheses says."""
    tokens.expect("(")
    token = tokens.expect(STRING)
    tokens.expect(")")
    return unquote(token.image), token


def _blob(tokens: Lexer) -> bytes:
    text, token = _text(tokens)
    if _BLOB.fullmatch(text) is None or len(text) % 4 == 1:
        raise invalid(f'Invalid blob text: "{text[:100]}" at {tokens.place(token.start)}.')
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _micros(tokens: Lexer) -> int:
    """Microseconds since the epoch of an RFC 3339 time, as narrow as the reference has it."""
    text, token = _text(tokens)
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            raise ValueError("does not match pattern")
        if match["hours"] == match["minutes"] == "00":
            raise ValueError("zero offset must be Z")
        return _read_date(text, match["minutes"])
    except ValueError as error:
        place = tokens.place(token.start)
        raise invalid(f'Invalid datetime text ({error}): "{text[:100]}" at {place}.') from None


def _read_date(text: str, offset_minutes: str | None) -> int:
    try:
        if offset_minutes is not None and offset_minutes > "59":
            raise ValueError("an offset has less than 60 minutes")
        since = datetime.fromisoformat(text.upper()).astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError):
        raise ValueError("parse failure") from None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _array(token: Token, tokens: Lexer) -> ArrayLiteral:
    tokens.expect("(")
    elements: list[Operand] = []
    if tokens.take(")"):
        return ArrayLiteral(token, ())
    while True:
        inner = tokens.peek()
        if inner.kind == NAME and inner.image.upper() == "ARRAY":
            raise invalid(f"An ARRAY cannot contain an ARRAY, at {tokens.place(inner.start)}.")
        elements.append(read_operand(tokens))
        if tokens.expect(",", ")").kind == ")":
            return ArrayLiteral(token, tuple(elements))


def _key(token: Token, tokens: Lexer) -> KeyLiteral:
    tokens.expect("(")
    dimensions: dict[str, str] = {}
    while tokens.peek().kind == NAME and tokens.peek(1).kind == "(":
        name = tokens.next()
        _check_dimension(name, dimensions, tokens)
        dimensions[name.image.upper()] = _text(tokens)[0]
        tokens.expect(",")
    path: list[tuple[str, int | str]] = []
    while True:
        kind = read_name(tokens)
        tokens.expect(",")
        identifier = tokens.expect(INTEGER, STRING)
        path.append(
            (kind, _integer(identifier, tokens) if identifier.kind == INTEGER else unquote(identifier.image))
        )
        if tokens.expect(",", ")").kind == ")":
            return KeyLiteral(token, tuple(dimensions.items()), tuple(path))


def _check_dimension(name: Token, earlier: dict[str, str], tokens: Lexer) -> None:
    dimension = name.image.upper()
    if dimension not in _DIMENSIONS:
        problem = f'Unknown partition dimension "{name.image[:100]}"'
    elif dimension in earlier:
        problem = f"A key may have at most one {dimension.lower()}: another"
    elif dimension == "PROJECT" and "NAMESPACE" in earlier:
        problem = "A key's project must precede its namespace: it stands"
    else:
        return
    raise invalid(f"{problem} at {tokens.place(name.start)}.")
