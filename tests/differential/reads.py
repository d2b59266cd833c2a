"""Generated queries and aggregations."""

from __future__ import annotations

from typing import Any

from differential.situation import PROPERTIES, Situation

KEY = "__key__"
_COMPARISONS = ("EQUAL", "EQUAL", "LESS_THAN", "LESS_THAN_OR_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL")


def query(situation: Situation) -> dict[str, Any]:
    """A structured query that means something; a few turn out to be refused."""
    chance = situation.chance
    made: dict[str, Any] = {}
    if situation.may("kindless", 0.07):
        return _kindless(situation)
    made["kind"] = [{"name": chance.choice(("K", "K", "L"))}]
    names = [*PROPERTIES, "n"]
    _add_filter(situation, made)
    compared = _compared(made.get("filter", {}))
    if len(compared) > 1 and not situation.may("several inequalities"):
        del made["filter"]
        compared = []
    one_key = any(
        leaf["op"] == "EQUAL" and leaf["property"]["name"] == KEY for leaf in leaves(made.get("filter", {}))
    )
    if chance.random() < 0.5 and (not one_key or situation.may("orders under a key")):
        made["order"] = _orders(situation, names, compared)
    _add_projection(situation, made, names)
    _add_bounds(situation, made)
    return made


def _kindless(situation: Situation) -> dict[str, Any]:
    made: dict[str, Any] = {}
    roll = situation.chance.random()
    if roll < 0.4:
        made["filter"] = _ancestor(situation)
    elif roll < 0.7 and situation.may("key filters"):
        made["filter"] = _key_filter(situation)
    if situation.chance.random() < 0.3:
        made["order"] = [_order(KEY, False)]
    if situation.chance.random() < 0.3:
        made["projection"] = [{"property": {"name": KEY}}]
    _add_bounds(situation, made)
    return made


def _add_filter(situation: Situation, made: dict[str, Any]) -> None:
    roll = situation.chance.random()
    if roll < 0.25:
        return
    if roll < 0.6:
        made["filter"] = _simple(situation)
        return
    made["filter"] = _tree(situation, 2 if roll > 0.85 else 1)


def _tree(situation: Situation, depth: int) -> dict[str, Any]:
    chance = situation.chance
    if depth == 0 or chance.random() < 0.2:
        return _simple(situation)
    operator = "OR" if situation.may("or", 0.4) else "AND"
    parts = [_tree(situation, depth - 1) for _ in range(chance.randint(1, 3))]
    return {"composite_filter": {"op": operator, "filters": parts}}


def _simple(situation: Situation) -> dict[str, Any]:
    chance = situation.chance
    roll = chance.random()
    if roll < 0.1:
        return _ancestor(situation)
    if roll < 0.18 and situation.may("key filters"):
        return _key_filter(situation)
    name = chance.choice(PROPERTIES)
    if roll < 0.22 and situation.may("embedded filters"):
        name = f"{name}.{chance.choice(('p', 'i'))}"
    if roll < 0.3 and situation.may("in"):
        return _filter(name, "IN", _several(situation))
    if roll < 0.34 and situation.may("not in"):
        return _filter(name, "NOT_IN", _several(situation))
    if roll < 0.4 and situation.may("not equal"):
        return _filter(name, "NOT_EQUAL", situation.palette.scalar())
    if roll < 0.48:
        return _filter("t", "EQUAL", situation.palette.scalar())
    return _filter(name, chance.choice(_COMPARISONS), situation.palette.scalar())


def _several(situation: Situation) -> dict[str, Any]:
    count = situation.chance.randint(1, 4)
    return {"array_value": {"values": [situation.palette.scalar() for _ in range(count)]}}


def _ancestor(situation: Situation) -> dict[str, Any]:
    path = [situation.chance.choice(situation.elements)]
    return _filter(KEY, "HAS_ANCESTOR", {"key_value": {"partition_id": situation.partition(), "path": path}})


def _key_filter(situation: Situation) -> dict[str, Any]:
    key = situation.key() | {"partition_id": situation.partition()}
    return _filter(KEY, situation.chance.choice(_COMPARISONS), {"key_value": key})


def _filter(name: str, operator: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"property_filter": {"property": {"name": name}, "op": operator, "value": value}}


def leaves(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The property filters of a filter."""
    if "property_filter" in node:
        return [node["property_filter"]]
    return [leaf for part in node.get("composite_filter", {}).get("filters", ()) for leaf in leaves(part)]


def _compared(node: dict[str, Any]) -> list[str]:
    """The properties with an inequality, each once."""
    unequal = [leaf for leaf in leaves(node) if leaf["op"] not in ("EQUAL", "IN", "HAS_ANCESTOR")]
    return list(dict.fromkeys(leaf["property"]["name"] for leaf in unequal))


def _order(name: str, descending: bool) -> dict[str, Any]:
    return {"property": {"name": name}, "direction": "DESCENDING" if descending else "ASCENDING"}


def _orders(situation: Situation, names: list[str], compared: list[str]) -> list[dict[str, Any]]:
    chance = situation.chance
    chosen = chance.sample(names, chance.choice((1, 1, 2)))
    if chance.random() < 0.2:
        chosen.append(KEY)
    first = compared if chance.random() < 0.85 else []
    named = list(dict.fromkeys([*first, *chosen]))
    if KEY in named and not situation.may("orders after the key"):
        named = named[: named.index(KEY) + 1]
    orders = [_order(name, chance.random() < 0.4) for name in named]
    last = orders[-1]
    if (
        KEY not in (*first, *chosen)
        and last["direction"] == "DESCENDING"
        and not situation.may("ties of descending orders")
    ):
        orders.append(_order(KEY, False))
    return orders


def _add_projection(situation: Situation, made: dict[str, Any], names: list[str]) -> None:
    chance = situation.chance
    if chance.random() < 0.15:
        made["projection"] = [{"property": {"name": KEY}}]
    elif situation.may("projections", 0.2):
        chosen = chance.sample(names, chance.choice((1, 1, 2)))
        ordered = [order["property"]["name"] for order in made.get("order", ())]
        if set(ordered) - {*chosen, KEY} and not situation.may("orders beside projections"):
            chosen = [name for name in ordered if name != KEY]
        if len(chosen) > 1 and not ordered and not situation.may("unsorted projections"):
            chosen = chosen[:1]
        made["projection"] = [{"property": {"name": name}} for name in chosen]
        if situation.may("distinct", 0.4):
            made["distinct_on"] = [{"name": name} for name in chosen[: chance.randint(1, 2)]]
    elif situation.may("distinct entities", 0.03):
        made["distinct_on"] = [{"name": chance.choice(names)}]


def _add_bounds(situation: Situation, made: dict[str, Any]) -> None:
    chance = situation.chance
    if chance.random() < 0.35:
        made["limit"] = {"value": chance.choice((0, 1, 1, 2, 3, 100))}
    if chance.random() < 0.15:
        made["offset"] = chance.choice((1, 2, 50))


def malformed_query(situation: Situation) -> dict[str, Any]:
    """A query that is refused whatever is stored."""
    kind = [{"name": "K"}]
    value = situation.palette.scalar()
    return situation.chance.choice(
        (
            {"kind": [{"name": "K"}, {"name": "L"}]},
            {"kind": [{"name": ""}]},
            {"kind": kind, "filter": _filter("", "EQUAL", value)},
            {"kind": kind, "filter": _filter(KEY, "EQUAL", {"string_value": "a"})},
            {"kind": kind, "filter": _filter("p", "IN", {"array_value": {"values": []}})},
            {"kind": kind, "filter": _filter("p", "OPERATOR_UNSPECIFIED", value)},
            {"kind": kind, "filter": _filter("p", "HAS_ANCESTOR", {"key_value": situation.key()})},
            {"kind": kind, "filter": _filter("p", "EQUAL", {"array_value": {"values": [value]}})},
            {"kind": kind, "filter": _filter("p", "EQUAL", {"entity_value": {}})},
            {"kind": kind, "filter": {"composite_filter": {"op": "AND", "filters": []}}},
            {"kind": kind, "filter": {"composite_filter": {"op": "OPERATOR_UNSPECIFIED", "filters": []}}},
            {"kind": kind, "filter": {}},
            {"kind": kind, "offset": -1},
            {"kind": kind, "limit": {"value": -1}},
            {"kind": kind, "start_cursor": b"no cursor"},
            {"kind": kind, "order": [{"property": {"name": ""}}]},
            {"kind": kind, "distinct_on": [{"name": KEY}]},
            {"kind": kind, "projection": [{"property": {"name": ""}}]},
            {
                "kind": kind,
                "projection": [{"property": {"name": "p"}}],
                "filter": _filter("p", "EQUAL", value),
            },
            {"kind": kind, "distinct_on": [{"name": "p"}], "order": [_order("q", False)]},
            {"filter": _filter("p", "EQUAL", value)},
            {"order": [_order("p", False)]},
            {"order": [_order(KEY, True)]},
            {"kind": kind, "order": [_order("p", False), _order("p", True)]},
        )
    )


def metadata_query(situation: Situation) -> dict[str, Any]:
    """A query for the kinds, namespaces or properties there are."""
    chance = situation.chance
    kind = chance.choice(("__kind__", "__namespace__", "__property__"))
    made: dict[str, Any] = {"kind": [{"name": kind}]}
    if kind == "__property__":
        roll = chance.random()
        if roll < 0.3:
            parent = {"partition_id": situation.partition(), "path": [{"kind": "__kind__", "name": "K"}]}
            made["filter"] = _filter(KEY, "HAS_ANCESTOR", {"key_value": parent})
        if roll > 0.6:
            made["projection"] = [{"property": {"name": "property_representation"}}]
    if chance.random() < 0.3:
        made["projection"] = [{"property": {"name": KEY}}]
    _add_bounds(situation, made)
    return made


def aggregations(situation: Situation) -> list[dict[str, Any]]:
    """What to aggregate over a query."""
    chance = situation.chance
    made: list[dict[str, Any]] = []
    for place in range(chance.randint(1, 3)):
        roll = chance.random()
        name = chance.choice(PROPERTIES) if situation.may("sums of everything", 0.5) else "n"
        one: dict[str, Any]
        if roll < 0.3:
            one = {"count": {}}
        elif roll < 0.5:
            one = {"count": {"up_to": {"value": chance.choice((0, 1, 2, 50))}}}
        else:
            one = {("sum" if roll < 0.75 else "avg"): {"property": {"name": name}}}
        if chance.random() < 0.6:
            one["alias"] = f"a{place}"
        made.append(one)
    return made
