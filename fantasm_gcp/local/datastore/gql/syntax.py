"""What a GQL query says, before its bindings are known and its names are resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fantasm_gcp.local.datastore.gql.lexer import Token

Name = tuple[str, ...]
"""The parts of a property name between its dots, the kind perhaps among them."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place for a parameter: ``@name``, or ``@1`` for the first positional one."""

    token: Token


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written out; ``value`` is a raw ``Value``."""

    token: Token
    value: Any


@dataclass(frozen=True, slots=True)
class KeyLiteral:
    """``KEY(...)``: the dimensions it names (project, database, namespace) and its path."""

    token: Token
    dimensions: tuple[tuple[str, str], ...]
    path: tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    """``ARRAY(...)``."""

    token: Token
    elements: tuple[Operand, ...]


Operand = Site | Literal | KeyLiteral | ArrayLiteral


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison, the property on its left: ``operator`` is a name of ``PropertyFilter.Operator``.

    ``membership`` says that a list means any of its elements (``IN``, ``CONTAINS``) and not itself.
    """

    name: Name
    operator: str
    operand: Operand
    membership: bool = False


@dataclass(frozen=True, slots=True)
class Compound:
    """Several conditions under ``AND`` or ``OR``; ``depth`` counts the compounds below, itself included."""

    operator: str
    parts: tuple[Where, ...]
    depth: int


Where = Condition | Compound


@dataclass(frozen=True, slots=True)
class Select:
    """A query for entities. ``projection`` is empty for ``*``; ``kind`` is ``None`` without a ``FROM``.

    ``limit`` and ``offset`` have one or two positions, or none.
    """

    projection: tuple[Name, ...] = ()
    distinct: tuple[Name, ...] = ()
    kind: str | None = None
    where: Where | None = None
    orders: tuple[tuple[Name, bool], ...] = ()
    limit: tuple[Site | Literal, ...] = ()
    offset: tuple[Site | Literal, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregation:
    """``operator`` is a field of ``AggregationQuery.Aggregation``.

    ``bound`` is that of ``COUNT_UP_TO``, ``name`` the property of the others, which is not given for a count.
    """

    operator: str
    alias: str
    name: Name = ()
    bound: Literal | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Aggregations over a query, in the short form (``SELECT COUNT(*) FROM``) or around it (``OVER``)."""

    aggregations: tuple[Aggregation, ...]
    source: Select
    short: bool
