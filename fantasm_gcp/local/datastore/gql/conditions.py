"""Reading a ``WHERE``: comparisons under AND, OR and parentheses.

Open parentheses are kept in a list, not on the interpreter's stack: no text, however deep, exhausts that.
"""

from __future__ import annotations

from fantasm_gcp.local.datastore.entity.messages import invalid
from fantasm_gcp.local.datastore.gql.lexer import NAME, QUOTED_NAME, Lexer, Token
from fantasm_gcp.local.datastore.gql.literals import BEGINS_VALUE, VALUE, read_name, read_operand
from fantasm_gcp.local.datastore.gql.syntax import Compound, Condition, Name, Where

MAX_PARENTHESES = 1000
MAX_COMPOUNDS = 100
"""How deep compounds may nest here, a bound for the stack: what is run may nest less deep."""

_COMPARISONS = {
    "=": "EQUAL",
    "!=": "NOT_EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class _Group:
    """What stands between two parentheses: alternatives, each a list of conditions to be met together."""

    def __init__(self) -> None:
        self.alternatives: list[list[Where]] = [[]]

    def close(self) -> Where:
        return _compound("OR", [_compound("AND", parts) for parts in self.alternatives])


def _compound(operator: str, parts: list[Where]) -> Where:
    if len(parts) == 1:
        return parts[0]
    depth = 1 + max(part.depth if isinstance(part, Compound) else 0 for part in parts)
    if depth > MAX_COMPOUNDS:
        raise invalid(f"The conditions are nested deeper than {MAX_COMPOUNDS}.")
    return Compound(operator, tuple(parts), depth)


def read_where(tokens: Lexer) -> Where:
    """A compound condition. Raises INVALID_ARGUMENT where the text is none or nests too deep."""
    groups = [_Group()]
    while True:
        while opened := tokens.take("("):
            groups.append(_Group())
            if len(groups) > MAX_PARENTHESES:
                place = tokens.place(opened.start)
                raise invalid(f"Parentheses are nested deeper than {MAX_PARENTHESES} at {place}.")
        groups[-1].alternatives[-1].append(_condition(tokens))
        while len(groups) > 1 and tokens.take(")"):
            inner = groups.pop().close()
            groups[-1].alternatives[-1].append(inner)
        if tokens.take("OR"):
            groups[-1].alternatives.append([])
        elif not tokens.take("AND"):
            break
    if len(groups) > 1:
        tokens.refuse("AND", "OR", ")")
    return groups[0].close()


def read_property(tokens: Lexer) -> Name:
    """The name of a property, with its dots."""
    parts = [read_name(tokens)]
    while tokens.take("."):
        parts.append(read_name(tokens))
    return tuple(parts)


def _condition(tokens: Lexer) -> Condition:
    token = tokens.peek()
    if token.kind == QUOTED_NAME or (token.kind == NAME and tokens.peek(1).kind != "("):
        return _forward(tokens)
    return _backward(tokens)


def _forward(tokens: Lexer) -> Condition:
    """``property operator value``."""
    name = read_property(tokens)
    if comparison := tokens.take(*_COMPARISONS):
        return Condition(name, _COMPARISONS[comparison.kind], read_operand(tokens))
    if tokens.take("IS"):
        if tokens.peek().kind != "NULL":
            tokens.refuse("NULL")
        return Condition(name, "EQUAL", read_operand(tokens))
    if tokens.take("HAS"):
        _refuse_parent(tokens.expect("ANCESTOR", "PARENT"))
        return Condition(name, "HAS_ANCESTOR", read_operand(tokens))
    if tokens.take("NOT"):
        tokens.expect("IN", "CONTAINS")
        return Condition(name, "NOT_IN", read_operand(tokens))
    if tokens.take("IN", "CONTAINS"):
        return Condition(name, "EQUAL", read_operand(tokens), membership=True)
    tokens.refuse("a comparison", ".")


def _backward(tokens: Lexer) -> Condition:
    """``value operator property``."""
    if tokens.peek().kind not in BEGINS_VALUE:
        tokens.refuse("a property", VALUE, "(")
    operand = read_operand(tokens)
    if comparison := tokens.take(*_COMPARISONS):
        operator = _COMPARISONS[_MIRRORED.get(comparison.kind, comparison.kind)]
        return Condition(read_property(tokens), operator, operand)
    if tokens.take("IN"):
        return Condition(read_property(tokens), "EQUAL", operand, membership=True)
    if tokens.take("HAS"):
        _refuse_parent(tokens.expect("DESCENDANT", "CHILD"))
        return Condition(read_property(tokens), "HAS_ANCESTOR", operand)
    tokens.refuse("a comparison", "IN", "HAS")


def _refuse_parent(relation: Token) -> None:
    if relation.kind in ("PARENT", "CHILD"):  # words of the grammar, of no operator of the API
        raise invalid(f"The operator HAS {relation.kind} is not supported.")
