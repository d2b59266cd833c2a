"""Reading whole GQL statements: clauses in their fixed order, and aggregations in both of their forms."""

from __future__ import annotations

from fantasm_gcp.local.datastore.entity.messages import invalid
from fantasm_gcp.local.datastore.gql.conditions import read_property, read_where
from fantasm_gcp.local.datastore.gql.lexer import END, INTEGER, NAME, QUOTED_NAME, SITE, Lexer
from fantasm_gcp.local.datastore.gql.literals import read_integer, read_name
from fantasm_gcp.local.datastore.gql.syntax import (
    Aggregate,
    Aggregation,
    Literal,
    Name,
    Select,
    Site,
    Where,
)

_AGGREGATORS = ("COUNT", "COUNT_UP_TO", "SUM", "AVG")


def parse_statement(text: str) -> Select | Aggregate:
    """What a query string says. Raises INVALID_ARGUMENT, with the place, where it is no GQL."""
    tokens = Lexer(text)
    if tokens.take("AGGREGATE"):
        statement: Select | Aggregate = _over(tokens)
    else:
        tokens.expect("SELECT")
        statement = _short_aggregate(tokens) if _begins_aggregation(tokens) else _select(tokens)
    if tokens.peek().kind != END:
        tokens.refuse("what a clause may go on with", END)
    return statement


# -- aggregations


def _begins_aggregation(tokens: Lexer) -> bool:
    first = tokens.peek()
    return first.kind in _AGGREGATORS or (first.kind == NAME and tokens.peek(1).kind == "(")


def _over(tokens: Lexer) -> Aggregate:
    aggregations = _aggregations(tokens)
    tokens.expect("OVER")
    tokens.expect("(")
    tokens.expect("SELECT")
    source = _select(tokens)
    tokens.expect(")")
    return Aggregate(aggregations, source, short=False)


def _short_aggregate(tokens: Lexer) -> Aggregate:
    aggregations = _aggregations(tokens)
    return Aggregate(aggregations, Select(kind=_from(tokens), where=_where(tokens)), short=True)


def _aggregations(tokens: Lexer) -> tuple[Aggregation, ...]:
    found = [_aggregation(tokens)]
    while tokens.take(","):
        found.append(_aggregation(tokens))
    return tuple(found)


def _aggregation(tokens: Lexer) -> Aggregation:
    name = tokens.peek()
    if name.kind == NAME and tokens.peek(1).kind == "(":
        place = tokens.place(name.start)
        raise invalid(f"Unexpected aggregation function: {name.image[:100]} at {place}.")
    aggregator = tokens.expect(*_AGGREGATORS).kind
    tokens.expect("(")
    counted: Name = ()
    bound = None
    if aggregator == "COUNT":
        if tokens.peek().kind in (NAME, QUOTED_NAME):
            raise invalid("Only the entire result set can be counted, with COUNT(*).")
        tokens.expect("*")
    elif aggregator == "COUNT_UP_TO":
        bound = read_integer(tokens)
    else:
        counted = read_property(tokens)
    tokens.expect(")")
    alias = read_name(tokens) if tokens.take("AS") else ""
    operator = {"SUM": "sum", "AVG": "avg"}.get(aggregator, "count")
    return Aggregation(operator, alias, counted, bound)


# -- queries


def _select(tokens: Lexer) -> Select:
    """A query, its ``SELECT`` already taken."""
    projection, distinct = _columns(tokens)
    kind, where = _from(tokens), _where(tokens)
    if tokens.peek().kind == "GROUP":
        raise invalid(f"GROUP BY is not supported, at {tokens.place(tokens.peek().start)}.")
    orders = _orders(tokens)
    limit = _limit(tokens)
    return Select(projection, distinct, kind, where, orders, limit, _offset(tokens))


def _columns(tokens: Lexer) -> tuple[tuple[Name, ...], tuple[Name, ...]]:
    """What to project and what to keep distinct."""
    distinct: tuple[Name, ...] = ()
    plain = tokens.take("DISTINCT")
    if plain and tokens.take("ON"):
        tokens.expect("(")
        distinct, plain = _names(tokens), None
        tokens.expect(")")
    if _begins_aggregation(tokens):
        raise invalid(f"Aggregations cannot stand at {tokens.place(tokens.peek().start)}.")
    if tokens.peek().kind not in ("*", NAME, QUOTED_NAME):
        tokens.refuse("*", "a property")
    if star := tokens.take("*"):
        if plain:
            raise invalid(f'Encountered "*" immediately after DISTINCT, at {tokens.place(star.start)}.')
        return (), distinct
    projection = _names(tokens)
    return projection, projection if plain else distinct


def _names(tokens: Lexer) -> tuple[Name, ...]:
    names = [read_property(tokens)]
    while tokens.take(","):
        names.append(read_property(tokens))
    return tuple(names)


def _from(tokens: Lexer) -> str | None:
    return read_name(tokens) if tokens.take("FROM") else None


def _where(tokens: Lexer) -> Where | None:
    return read_where(tokens) if tokens.take("WHERE") else None


def _orders(tokens: Lexer) -> tuple[tuple[Name, bool], ...]:
    if not tokens.take("ORDER"):
        return ()
    tokens.expect("BY")
    orders = []
    while True:
        name = read_property(tokens)
        direction = tokens.take("ASC", "DESC")
        orders.append((name, direction is not None and direction.kind == "DESC"))
        if not tokens.take(","):
            return tuple(orders)


def _limit(tokens: Lexer) -> tuple[Site | Literal, ...]:
    if not tokens.take("LIMIT"):
        return ()
    name = tokens.take(NAME)
    if name is None:
        return (_position(tokens),)
    if name.image.upper() != "FIRST":
        place = tokens.place(name.start)
        raise invalid(f'Unexpected name "{name.image[:100]}" after LIMIT, at {place}.')
    tokens.expect("(")
    first = _position(tokens)
    tokens.expect(",")
    second = _position(tokens)
    tokens.expect(")")
    return (first, second)


def _offset(tokens: Lexer) -> tuple[Site | Literal, ...]:
    if not tokens.take("OFFSET"):
        return ()
    first = _position(tokens)
    return (first, _position(tokens)) if tokens.take("+") else (first,)


def _position(tokens: Lexer) -> Site | Literal:
    if token := tokens.take(SITE):
        return Site(token)
    if tokens.peek().kind != INTEGER:
        tokens.refuse(INTEGER, SITE)
    return read_integer(tokens)
