"""Structured queries as GQL, their values bound: the same query, asked in words."""

from __future__ import annotations

from typing import Any

_OPERATORS = {
    "EQUAL": "=",
    "LESS_THAN": "<",
    "LESS_THAN_OR_EQUAL": "<=",
    "GREATER_THAN": ">",
    "GREATER_THAN_OR_EQUAL": ">=",
    "NOT_EQUAL": "!=",
    "IN": "IN",
    "NOT_IN": "NOT IN",
    "HAS_ANCESTOR": "HAS ANCESTOR",
}


def gql_query(query: dict[str, Any], literals: bool) -> dict[str, Any]:
    """A ``GqlQuery`` that means a generated structured query without cursors, if literals are allowed."""
    values: list[dict[str, Any]] = []
    words = ["SELECT"]
    distinct = [reference["name"] for reference in query.get("distinct_on", ())]
    if distinct:
        words.append(f"DISTINCT ON ({', '.join(map(_quoted, distinct))})")
    shown = [projected["property"]["name"] for projected in query.get("projection", ())]
    words.append(", ".join(map(_quoted, shown)) if shown else "*")
    if "kind" in query:
        words.append(f"FROM {_quoted(query['kind'][0]['name'])}")
    if "filter" in query:
        words.append(f"WHERE {_condition(query['filter'], values)}")
    if "order" in query:
        orders = [f"{_quoted(each['property']['name'])} {each['direction'][:-6]}" for each in query["order"]]
        words.append(f"ORDER BY {', '.join(orders)}")
    if "limit" in query:
        words.append(f"LIMIT {query['limit']['value']}")
    if "offset" in query:
        words.append(f"OFFSET {query['offset']}")
    text = " ".join(words)
    return {"query_string": text, "positional_bindings": values, "allow_literals": literals}


def _quoted(name: str) -> str:
    return "__key__" if name == "__key__" else ".".join(f"`{part}`" for part in name.split("."))


def _condition(node: dict[str, Any], values: list[dict[str, Any]]) -> str:
    if "composite_filter" in node:
        composite = node["composite_filter"]
        parts = [_condition(part, values) for part in composite["filters"]]
        joined = f" {composite['op']} ".join(parts)
        return f"({joined})" if len(parts) > 1 else joined
    leaf = node["property_filter"]
    operator = _OPERATORS[leaf["op"]]
    if leaf["op"] in ("IN", "NOT_IN"):
        bound = [_bound(element, values) for element in leaf["value"]["array_value"]["values"]]
        return f"{_quoted(leaf['property']['name'])} {operator} ARRAY({', '.join(bound)})"
    return f"{_quoted(leaf['property']['name'])} {operator} {_bound(leaf['value'], values)}"


def _bound(value: dict[str, Any], values: list[dict[str, Any]]) -> str:
    values.append({"value": value})
    return f"@{len(values)}"
