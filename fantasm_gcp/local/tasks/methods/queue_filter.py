"""The filter of ListQueues: any field of a Queue, compared as in the filters of Google Cloud Logging.

``state: PAUSED``, ``rate_limits.max_dispatches_per_second >= 5 AND name:mail``, ``NOT (state=RUNNING OR
purge_time>"2026-01-01T00:00:00Z")``. As there, ``OR`` binds closer than ``AND``, which may be left out, text
is compared without regard to case, ``:`` finds a part of a text, ``:*`` says that a field is set, and nothing
but ``NOT`` is true of a field that is not set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from fantasm_gcp.local.tasks import refusals
from fantasm_gcp.local.tasks.messages import Queue
from fantasm_gcp.local.tasks.methods.field_comparison import OPERATORS, Comparison, read_comparison

Predicate: TypeAlias = Callable[[Any], bool]

_MOST_CHARACTERS: Final = 20_000
_MOST_DEPTH: Final = 50

_TOKEN = re.compile(
    r"""(?P<skipped>\s+|--[^\n]*)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<mark><=|>=|!=|[<>=:()])
      | (?P<word>-?[^\s"<>=!:()-][^\s"<>=!:()]*|-)""",
    re.VERBOSE | re.DOTALL,
)


def parse_filter(text: str) -> Predicate:
    """What tells whether a Queue passes a filter; the empty one lets every queue through.

    Raises ``RpcError`` INVALID_ARGUMENT for a text that is no filter, or names no field.
    """
    if len(text) > _MOST_CHARACTERS:
        raise refusals.invalid(f"filter must be no longer than {_MOST_CHARACTERS} characters.")
    tokens = list(_split(text))
    return _Parser(tokens).parse() if tokens else lambda _: True


def _split(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            refuse(f"it cannot be read from {text[at : at + 20]!r} on")
        if match.lastgroup != "skipped":
            yield match.lastgroup, match[0]
        at = match.end()


def refuse(reason: str) -> NoReturn:
    """Raises the refusal of a filter."""
    raise refusals.invalid(f"filter is not valid: {reason}.")


class _Parser:
    """Reads a filter by recursive descent, one method for each level of binding."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def parse(self) -> Predicate:
        whole = self._all()
        if self._at < len(self._tokens):
            refuse(f"{self._tokens[self._at][1]!r} is not expected")
        return whole

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self) -> tuple[str, str]:
        token = self._next()
        self._at += 1
        return token

    def _is_word(self, word: str) -> bool:
        if self._next() == ("word", word):
            self._at += 1
            return True
        return False

    def _all(self) -> Predicate:
        parts = [self._any()]
        while self._is_word("AND") or self._next() not in (("end", ""), ("mark", ")")):
            parts.append(self._any())
        return parts[0] if len(parts) == 1 else lambda queue: all(part(queue) for part in parts)

    def _any(self) -> Predicate:
        parts = [self._one()]
        while self._is_word("OR"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda queue: any(part(queue) for part in parts)

    def _one(self) -> Predicate:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            refuse(f"it is nested more than {_MOST_DEPTH} deep")
        try:
            if self._is_word("NOT") or self._is_word("-"):
                negated = self._one()
                return lambda queue: not negated(queue)
            if self._next() == ("mark", "("):
                self._take()
                inside = self._all()
                if self._take() != ("mark", ")"):
                    refuse("a parenthesis is not closed")
                return inside
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Predicate:
        kind, path = self._take()
        if kind == "word" and path.startswith("-"):
            self._at -= 1
            self._tokens[self._at] = (kind, path[1:])
            negated = self._comparison()
            return lambda queue: not negated(queue)
        if kind != "word":
            refuse(f"a field is expected and not {path!r}" if path else "it ends too soon")
        fields = _fields(path)
        mark, operator = self._take()
        if mark != "mark" or operator not in OPERATORS:
            refuse(f"after {path} an operator is expected, one of {' '.join(OPERATORS)}")
        kind, value = self._take()
        if kind not in ("word", "quoted"):
            refuse(f"after {path} {operator} a value is expected")
        if kind == "quoted":
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
        elif (operator, value) == (":", "*"):
            return lambda queue: any(True for _ in _values(queue, fields, set_only=True))
        holds: Comparison = read_comparison(path, fields[-1], operator, value)
        return lambda queue: any(holds(found) for found in _values(queue, fields, set_only=False))


def _fields(path: str) -> list[FieldDescriptor]:
    """The fields of a path in either spelling."""
    fields: list[FieldDescriptor] = []
    within: Descriptor | None = Queue.DESCRIPTOR
    for name in path.split("."):
        field = None
        if within is not None:
            field = within.fields_by_name.get(name) or within.fields_by_camelcase_name.get(name)
        if field is None:
            refuse(f"{path} is not a field of Queue")
        fields.append(field)
        within = field.message_type
    return fields


def _values(message: Any, fields: list[FieldDescriptor], *, set_only: bool) -> Iterator[Any]:
    """What is at the end of a path: nothing where a field on the way is not set, each of a repeated one."""
    field, *rest = fields
    value = getattr(message, field.name)
    if field.is_repeated:
        found = list(value)
    elif field.has_presence:
        found = [value] if message.HasField(field.name) else []
    else:
        found = [value] if value or not set_only else []
    for each in found:
        if rest:
            yield from _values(each, rest, set_only=set_only)
        else:
            yield each
