"""GQL: what each form of text means as a structured query."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from datastore_backends import PROJECT
from datastore_support import all_of, any_of, by, properties, where
from google.cloud.datastore_v1 import types
from gql_support import (
    aggregation,
    bound,
    condition,
    filter_of,
    key_of,
    message,
    partition,
    query,
    read,
    refusal,
    value_of,
)

from fantasm_gcp.local.datastore.gql import read_gql

SECOND = 1_380_447_020
"""2013-09-29T09:30:20Z"""


# -- statements

A, B = where("a", "EQUAL", 1), where("b", "EQUAL", 2)

STATEMENTS: dict[str, dict[str, Any]] = {
    "SELECT *": {"kind": []},
    "SELECT * FROM K": {},
    "select * from K": {},
    "SELECT*FROM K": {},
    "  SELECT\n*\tFROM\r\nK  ": {},
    "SELECT * FROM `K`": {},
    "SELECT * FROM `select`": {"kind": [{"name": "select"}]},
    "SELECT * FROM first": {"kind": [{"name": "first"}]},
    "SELECT * FROM `a\\nb``c\\`d`": {"kind": [{"name": "a\nb`c`d"}]},
    "SELECT __key__ FROM K": {"projection": properties("__key__")},
    "SELECT __key__": {"kind": [], "projection": properties("__key__")},
    "SELECT a, b FROM K": {"projection": properties("a", "b")},
    "SELECT K.a, x.y, `x`.`y`, `K.a`, K.K.a, `K`.b FROM K": {
        "projection": properties("a", "x.y", "x.y", "K.a", "K.a", "b")
    },
    "SELECT K.a": {"kind": [], "projection": properties("K.a")},
    "SELECT K FROM K": {"projection": properties("K")},
    "SELECT x . y FROM K": {"projection": properties("x.y")},
    "SELECT $a, a$b_9, é, 日本, \U0001f600 FROM K": {
        "projection": properties("$a", "a$b_9", "é", "日本", "\U0001f600")
    },
    "SELECT key, first, blob, datetime, array, project, namespace FROM K": {
        "projection": properties("key", "first", "blob", "datetime", "array", "project", "namespace")
    },
    "SELECT DISTINCT a, b FROM K": {
        "projection": properties("a", "b"),
        "distinct_on": [{"name": "a"}, {"name": "b"}],
    },
    "SELECT DISTINCT ON (K.a) a, b FROM K": {
        "projection": properties("a", "b"),
        "distinct_on": [{"name": "a"}],
    },
    "SELECT DISTINCT ON (a, b) * FROM K": {"distinct_on": [{"name": "a"}, {"name": "b"}]},
    "SELECT * FROM K ORDER BY a": {"order": by("a")},
    "SELECT * FROM K ORDER BY a ASC, K.b DESC, __key__ desc": {"order": by("a", "-b", "-__key__")},
    "SELECT * FROM K LIMIT 5": {"limit": 5},
    "SELECT * FROM K LIMIT 0": {"limit": 0},
    "SELECT * FROM K LIMIT +5 OFFSET 2": {"limit": 5, "offset": 2},
    "SELECT * FROM K OFFSET 2147483647": {"offset": 2147483647},
    "SELECT a FROM K WHERE a = 1 ORDER BY a LIMIT 1 OFFSET 2": {
        "projection": properties("a"),
        "filter": A,
        "order": by("a"),
        "limit": 1,
        "offset": 2,
    },
}


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_statement_means_a_query(text: str) -> None:
    """Every clause has its field, spaces and case of keywords do not matter, the kind may qualify names."""
    assert query(**STATEMENTS[text]) == read(text)


def test_a_limit_of_nothing_is_a_limit() -> None:
    """``LIMIT 0`` asks for no results, which is not the same as no limit."""
    assert read("SELECT * LIMIT 0").HasField("limit")
    assert not read("SELECT *").HasField("limit")


CONDITIONS: dict[str, dict[str, Any]] = {
    "a = 1": A,
    "((a = 1))": A,
    "1 = a": A,
    "a CONTAINS 1": A,
    "1 IN a": A,
    "a IN 1": A,
    "K.a = 1": A,
    "a != 1": where("a", "NOT_EQUAL", 1),
    "a<1": where("a", "LESS_THAN", 1),
    "a<-1": where("a", "LESS_THAN", -1),
    "a <= 1": where("a", "LESS_THAN_OR_EQUAL", 1),
    "a > 1": where("a", "GREATER_THAN", 1),
    "a >= 1": where("a", "GREATER_THAN_OR_EQUAL", 1),
    "1 != a": where("a", "NOT_EQUAL", 1),
    "1 < a": where("a", "GREATER_THAN", 1),
    "1 <= a": where("a", "GREATER_THAN_OR_EQUAL", 1),
    "1 > a": where("a", "LESS_THAN", 1),
    "1 >= a": where("a", "LESS_THAN_OR_EQUAL", 1),
    "a IS NULL": where("a", "EQUAL", None),
    "a is null": where("a", "EQUAL", None),
    "NULL = a": where("a", "EQUAL", None),
    "a IN ARRAY(1, 'x')": where("a", "IN", [1, "x"]),
    "a CONTAINS ARRAY(1)": where("a", "IN", [1]),
    "ARRAY(1) IN a": where("a", "IN", [1]),
    "a IN ARRAY()": where("a", "IN", []),
    "a = ARRAY(1)": where("a", "EQUAL", [1]),
    "a NOT IN ARRAY(1, 2)": where("a", "NOT_IN", [1, 2]),
    "a not contains 1": where("a", "NOT_IN", 1),
    "__key__ HAS ANCESTOR KEY(P, 1)": where("__key__", "HAS_ANCESTOR", key_of(("P", 1))),
    "KEY(P, 1) has descendant K.__key__": where("__key__", "HAS_ANCESTOR", key_of(("P", 1))),
    "a = 1 AND b = 2": all_of(A, B),
    "a=1and b=2": all_of(A, B),
    "a = 1 AND b = 2 AND a = 1": all_of(A, B, A),
    "a = 1 OR b = 2 OR a = 1": any_of(A, B, A),
    "a = 1 OR b = 2 AND a = 1": any_of(A, all_of(B, A)),
    "a = 1 AND b = 2 OR a = 1": any_of(all_of(A, B), A),
    "(a = 1 OR b = 2) AND a = 1": all_of(any_of(A, B), A),
    "a = 1 AND (b = 2 AND a = 1)": all_of(A, all_of(B, A)),
    "(a = 1 AND b = 2) AND (a = 1)": all_of(all_of(A, B), A),
    "(((a = 1) OR (b = 2)) OR a = 1)": any_of(any_of(A, B), A),
    "BLOB = 1": where("BLOB", "EQUAL", 1),
    "KEY.a = 1": where("KEY.a", "EQUAL", 1),
    "a\xa0= 1": where("a\xa0", "EQUAL", 1),
}


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_means_a_filter(text: str) -> None:
    """Operators from either side, AND before OR, one composite for each run of the same word."""
    assert filter_of(CONDITIONS[text]) == condition(text)


# -- literals

VALUES: dict[str, Any] = {
    "0": 0,
    "007": 7,
    "+1": 1,
    "-9223372036854775808": -(1 << 63),
    "9223372036854775807": (1 << 63) - 1,
    "0" * 5000 + "7": 7,
    "1.5": 1.5,
    "-3.": -3.0,
    "+.1": 0.1,
    "314159e-5": 3.14159,
    "6.022E23": 6.022e23,
    "1.e3": 1000.0,
    "1e400": math.inf,
    "TRUE": True,
    "False": False,
    "null": None,
    "''": "",
    "'x''y'": "x'y",
    '"x""y"': 'x"y',
    '"x\'`y"': "x'`y",
    r"'\\ \0 \b \n \r \t \Z \' \" \` \% \_'": "\\ \0 \b \n \r \t \x1a ' \" ` \\% \\_",
    r"'\\n'": "\\n",
    "'x\r\ty'": "x\r\ty",
    "'-- /* # */;'": "-- /* # */;",
    "'\U0001f600'": "\U0001f600",
    "BLOB('')": b"",
    "BLOB('aGk')": b"hi",
    'blob ("_-8")': b"\xff\xef",
    "DATETIME('2013-09-29T09:30:20Z')": {"timestamp_value": {"seconds": SECOND}},
    "DATETIME('2013-09-29t01:30:20.00002-08:00')": {"timestamp_value": {"seconds": SECOND, "nanos": 20_000}},
    "DATETIME('2013-09-29T15:00:20.5+05:30')": {"timestamp_value": {"seconds": SECOND, "nanos": 500_000_000}},
    "DATETIME('1969-12-31T23:59:59.999999z')": {"timestamp_value": {"seconds": -1, "nanos": 999_999_000}},
    "DATETIME('0001-01-01T00:00:00Z')": {"timestamp_value": {"seconds": -62135596800}},
    "DATETIME('9999-12-31T23:59:59Z')": {"timestamp_value": {"seconds": 253402300799}},
    "KEY(P, 1)": key_of(("P", 1)),
    "key(`P q`, 'x', KEY, -1)": key_of(("P q", "x"), ("KEY", -1)),
    "KEY(PROJECT('p'), NAMESPACE('n'), P, 1)": key_of(("P", 1), project="p", namespace="n"),
    "KEY(NAMESPACE('n'), P, 1)": key_of(("P", 1), namespace="n"),
    "KEY(PROJECT(''), P, 1)": key_of(("P", 1)),
    "KEY(PROJECT, 1)": key_of(("PROJECT", 1)),
}


@pytest.mark.parametrize("text", VALUES, ids=lambda text: text[:60])
def test_a_literal_means_a_value(text: str) -> None:
    """Numbers, strings with escapes, words, and the values that are written as functions."""
    expected = filter_of(where("a", "EQUAL", VALUES[text])).property_filter.value
    assert expected == value_of(text)


def test_negative_zero_keeps_its_sign() -> None:
    """``-0.0`` is not ``0.0``: the two sort differently."""
    assert -1.0 == math.copysign(1, value_of("-0.0").double_value)


def test_a_key_is_of_the_querys_namespace_unless_it_names_dimensions() -> None:
    """A key that names its project is of the default namespace, as in the vendor's emulator."""
    text = "SELECT * WHERE __key__ IN ARRAY(KEY(P, 1), KEY(PROJECT('proj'), P, 1), KEY(NAMESPACE('m'), P, 1))"
    found = read_gql(message(text), partition("n"), PROJECT, "other")
    keys = [value.key_value for value in found.filter.property_filter.value.array_value.values]
    assert ["n", "", "m"] == [key.partition_id.namespace_id for key in keys]
    assert {("proj", "other")} == {
        (key.partition_id.project_id, key.partition_id.database_id) for key in keys
    }


# -- bindings

BOUND: list[tuple[str, dict[str, Any], list[Any], dict[str, Any]]] = [
    ("SELECT * FROM K WHERE a = @x", {"x": 1}, [], {"filter": A}),
    ("SELECT * FROM K WHERE @x = a", {"x": 1, "unused": 2}, [], {"filter": A}),
    ("SELECT * FROM K WHERE a = @1 AND b = @2", {}, [1, 2], {"filter": all_of(A, B)}),
    ("SELECT * FROM K WHERE a = @01 AND a = @1", {}, [1], {"filter": all_of(A, A)}),
    ("SELECT * FROM K WHERE a = @é", {"é": 1}, [], {"filter": A}),
    ("SELECT * FROM K WHERE a = @$x", {"$x": 1}, [], {"filter": A}),
    ("SELECT * FROM K WHERE a = @select", {"select": 1}, [], {"filter": A}),
    ("SELECT * FROM K WHERE a IN @x", {"x": [1]}, [], {"filter": where("a", "IN", [1])}),
    ("SELECT * FROM K WHERE a IN @x", {"x": 1}, [], {"filter": A}),
    ("SELECT * FROM K WHERE a = @x", {"x": [1]}, [], {"filter": where("a", "EQUAL", [1])}),
    ("SELECT * FROM K WHERE a IN ARRAY(@1, @1)", {}, [1], {"filter": where("a", "IN", [1, 1])}),
    ("SELECT * FROM K LIMIT @1 OFFSET @2", {}, [7, 3], {"limit": 7, "offset": 3}),
    ("SELECT * FROM K LIMIT @x", {"x": b"c"}, [], {"end_cursor": b"c"}),
    ("SELECT * FROM K LIMIT FIRST(@x, 5)", {"x": b"c"}, [], {"end_cursor": b"c", "limit": 5}),
    ("SELECT * FROM K LIMIT first(5, @x)", {"x": b"c"}, [], {"end_cursor": b"c", "limit": 5}),
    ("SELECT * FROM K LIMIT FIRST(@1, @2)", {}, [b"c", 0], {"end_cursor": b"c", "limit": 0}),
    ("SELECT * FROM K OFFSET @x", {"x": b"c"}, [], {"start_cursor": b"c"}),
    ("SELECT * FROM K OFFSET @x + 17", {"x": b"c"}, [], {"start_cursor": b"c", "offset": 17}),
    ("SELECT * FROM K OFFSET @x + +17", {"x": b"c"}, [], {"start_cursor": b"c", "offset": 17}),
    (
        "SELECT * FROM K LIMIT @1 OFFSET @1 + @2",
        {},
        [b"c", 2],
        {"end_cursor": b"c", "start_cursor": b"c", "offset": 2},
    ),
]


@pytest.mark.parametrize(("text", "named", "positional", "fields"), BOUND)
def test_a_binding_stands_for_a_value_or_a_cursor(
    text: str, named: dict[str, Any], positional: list[Any], fields: dict[str, Any]
) -> None:
    """By name or by number, as often as one likes; where a place takes both, what is bound decides."""
    parameters = {name: bound(value) for name, value in named.items()}
    assert query(**fields) == read(text, parameters, [bound(value) for value in positional])


def test_bindings_do_without_literals() -> None:
    """A query of bindings alone runs where literals are forbidden."""
    found = read("SELECT * FROM K WHERE a = @1 LIMIT @1", {}, [bound(1)], literals=False)
    assert query(filter=A, limit=1) == found


# -- aggregations

COUNT = {"count": {}}
AGGREGATIONS: dict[str, dict[str, Any]] = {
    "SELECT COUNT(*) FROM K": {"aggregations": [COUNT]},
    "select count ( * ) as n from K": {"aggregations": [COUNT | {"alias": "n"}]},
    "SELECT COUNT(*) AS `a b`": {"aggregations": [COUNT | {"alias": "a b"}], "nested_query": {}},
    "SELECT COUNT_UP_TO(5) AS n FROM K": {"aggregations": [{"count": {"up_to": 5}, "alias": "n"}]},
    "SELECT COUNT_UP_TO(-1) FROM K": {"aggregations": [{"count": {"up_to": -1}}]},
    "SELECT SUM(K.a), AVG(x.y) AS m FROM K WHERE a = 1": {
        "aggregations": [
            {"sum": {"property": {"name": "a"}}},
            {"avg": {"property": {"name": "x.y"}}, "alias": "m"},
        ],
        "nested_query": {"kind": [{"name": "K"}], "filter": A},
    },
    "AGGREGATE COUNT(*) OVER (SELECT * FROM K)": {"aggregations": [COUNT]},
    "AGGREGATE SUM(K.a) AS s OVER (SELECT K.a FROM K WHERE a = 1 LIMIT 5 OFFSET 1)": {
        "aggregations": [{"sum": {"property": {"name": "K.a"}}, "alias": "s"}],
        "nested_query": {
            "kind": [{"name": "K"}],
            "projection": properties("a"),
            "filter": A,
            "limit": 5,
            "offset": 1,
        },
    },
    "AGGREGATE COUNT(*) OVER (SELECT * FROM K WHERE (a = 1))": {
        "aggregations": [COUNT],
        "nested_query": {"kind": [{"name": "K"}], "filter": A},
    },
}


@pytest.mark.parametrize("text", AGGREGATIONS)
def test_an_aggregation_means_an_aggregation_query(text: str) -> None:
    """The short form takes the kind off its names; around a query it is out of sight, as at the vendor's."""
    fields = {"nested_query": {"kind": [{"name": "K"}]}} | AGGREGATIONS[text]
    assert types.AggregationQuery.pb(types.AggregationQuery(fields)) == aggregation(text)


def test_an_aggregation_heeds_its_bindings() -> None:
    """Literals can be forbidden, parameters must fit and positional ones be used."""
    assert "Disallowed literal: 5." == refusal(aggregation, "SELECT COUNT_UP_TO(5)", literals=False)
    assert "Unused positional binding: 1." == refusal(aggregation, "SELECT COUNT(*)", {}, [bound(1)])
    found = aggregation("SELECT COUNT(*) FROM K WHERE a = @1", {}, [bound(1)], literals=False)
    assert query(filter=A) == found.nested_query


# -- random conditions

OPERATORS = {
    "EQUAL": ("=", "="),
    "NOT_EQUAL": ("!=", "!="),
    "LESS_THAN": ("<", ">"),
    "LESS_THAN_OR_EQUAL": ("<=", ">="),
    "GREATER_THAN": (">", "<"),
    "GREATER_THAN_OR_EQUAL": (">=", "<="),
}
NAMES = {"a": "a", "x.y": "x.y", "K.b": "K.K.b", "is": "`is`", "a b": "K.`a b`", "q`\n": "`q``\\n`"}
SCALARS = [0, -5, 2.5, 1e300, True, None, "", "it's", 'a"b\\%\n\0', b"", b"\xfb\xff", "OR (a = 1)"]


def quoted(text: str, chance: random.Random) -> str:
    escapes = {"\\": "\\\\", "\n": "\\n", "\0": "\\0"}
    quote = chance.choice("'\"")
    escapes[quote] = chance.choice([quote * 2, "\\" + quote])
    return quote + "".join(escapes.get(char, char) for char in text) + quote


def written(value: Any, chance: random.Random) -> str:
    """A literal for a Python value."""
    match value:
        case None:
            return chance.choice(["NULL", "null"])
        case bool():
            return str(value)
        case str():
            return quoted(value, chance)
        case bytes():
            return {b"": "BLOB('')", b"\xfb\xff": 'blob ( "-_8" )'}[value]
        case list():
            return f"ARRAY({', '.join(written(element, chance) for element in value)})"
    return repr(value).replace("e+", "e")


def comparison(chance: random.Random) -> tuple[dict[str, Any], str]:
    """A property filter, and a text that means it."""
    name = chance.choice(list(NAMES))
    operator = chance.choice([*OPERATORS, "IN", "NOT_IN"])
    if operator in OPERATORS:
        value = chance.choice(SCALARS)
        forward, backward = OPERATORS[operator]
        texts = [f"{NAMES[name]} {forward} {written(value, chance)}"]
        texts.append(f"{written(value, chance)} {backward} {NAMES[name]}")
    else:
        value = chance.choices(SCALARS, k=chance.randint(1, 3))
        texts = [f"{NAMES[name]} {operator.replace('_', ' ')} {written(value, chance)}"]
    return where(name, operator, value), chance.choice(texts)


def compound(chance: random.Random, depth: int) -> tuple[dict[str, Any], str]:
    """A filter, and a text that means it, with parentheses where they are needed and elsewhere."""
    if depth == 0 or chance.random() < 0.3:
        made, text = comparison(chance)
        return made, f"( {text})" if chance.random() < 0.2 else text
    parts = [compound(chance, depth - 1) for _ in range(chance.randint(2, 4))]
    together = chance.random() < 0.5
    texts = []
    for made, text in parts:
        inner = made.get("composite_filter", {"op": None})["op"]
        bare = inner is None or (inner == "AND" and not together and chance.random() < 0.5)
        texts.append(text if bare else f"({text})")
    filters = [made for made, _ in parts]
    return (all_of if together else any_of)(*filters), (" AND " if together else "\nor ").join(texts)


@pytest.mark.parametrize("seed", range(60))
def test_a_random_condition_means_what_it_was_written_for(seed: int) -> None:
    """Filters rendered to text in one of many ways are read back as they were."""
    chance = random.Random(seed)
    for _ in range(5):
        made, text = compound(chance, 4)
        assert filter_of(made) == condition(text), text
