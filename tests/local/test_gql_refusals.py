"""GQL that is refused: with which message, at which place, and however hostile the text is."""

from __future__ import annotations

import random
from typing import Any

import pytest
from datastore_support import where
from gql_support import aggregation, bound, condition, filter_of, read, refusal, value_of

from fantasm_gcp.local.datastore.gql.lexer import KEYWORDS, MAX_TOKENS
from fantasm_gcp.local.rpc import RpcError

# -- bindings

MISBOUND: list[tuple[str, dict[str, Any], list[Any], str]] = [
    ("SELECT * WHERE a = @x", {}, [], "Absent named binding: x."),
    ("SELECT * WHERE a = @X", {"x": 1}, [], "Absent named binding: X."),
    ("SELECT * WHERE a = @1", {"x": 1}, [], "Absent positional binding: 1."),
    ("SELECT * WHERE a = @2", {}, [1], "Absent positional binding: 2."),
    ("SELECT * WHERE a = @2", {}, [1, 2], "Unused positional binding: 1."),
    ("SELECT * WHERE a = @1", {}, [1, 2], "Unused positional binding: 2."),
    ("SELECT *", {}, [1], "Unused positional binding: 1."),
    ("SELECT * WHERE a = @0", {}, [1], "Invalid binding site @0."),
    ("SELECT * WHERE a = @" + "9" * 5000, {}, [1], "Absent positional binding: 999"),
    ("SELECT * WHERE a = @x", {"x": b"c"}, [], "Binding site @x for value bound to non-value parameter."),
    ("SELECT * LIMIT @x", {"x": "s"}, [], "Binding site @x for limit bound to non-integer value parameter."),
    ("SELECT * LIMIT @x", {"x": -1}, [], "The limit -1 is < 0."),
    ("SELECT * LIMIT @x", {"x": 1 << 31}, [], "The limit 2147483648 is too large."),
    (
        "SELECT * OFFSET @x",
        {"x": 1.0},
        [],
        "Binding site @x for offset bound to non-integer value parameter.",
    ),
    ("SELECT * OFFSET @1 + @1", {}, [b"c"], "Binding site @1 for offset bound to non-value parameter."),
    ("SELECT * OFFSET @1 + 2", {}, [1], 'Encountered "+" after integer offset.'),
    ("SELECT * LIMIT FIRST(@1, @1)", {}, [b"c"], "Binding site @1 for limit bound to non-value parameter."),
    ("SELECT * LIMIT FIRST(@1, @1)", {}, [1], "Binding site @1 for limit bound to non-cursor parameter."),
    ("SELECT * WHERE a IN ARRAY(@x)", {"x": [1]}, [], "@x is a list: an ARRAY cannot contain one."),
    ("SELECT *", {"__x__": 1}, [], 'The GQL query parameter name "__x__" is reserved.'),
    ("SELECT *", {"1x": 1}, [], 'GQL query parameter name "1x" starts with a digit.'),
    ("SELECT *", {"x y": 1}, [], 'GQL query parameter name "x y" contains an invalid character.'),
    ("SELECT *", {"": 1}, [], "The GQL query parameter name is the empty string."),
]


@pytest.mark.parametrize(
    ("text", "named", "positional", "expected"), MISBOUND, ids=lambda part: str(part)[:40]
)
def test_a_binding_that_does_not_fit_is_refused(
    text: str, named: dict[str, Any], positional: list[Any], expected: str
) -> None:
    """Missing, unused by position, of the wrong sort for its place, out of range, or ill named."""
    parameters = {name: bound(value) for name, value in named.items()}
    assert expected in refusal(read, text, parameters, [bound(value) for value in positional])


def test_an_empty_parameter_is_refused() -> None:
    """A parameter that is neither a value nor a cursor is refused, used or not."""
    assert "A GQL query parameter is empty." == refusal(read, "SELECT *", {"x": {}})
    assert "A GQL query parameter is empty." == refusal(read, "SELECT * WHERE a = @1", {}, [{}])


@pytest.mark.parametrize(
    ("clause", "lexeme"),
    [
        ("WHERE a = 1", "1"),
        ("WHERE a = -1.5", "-1.5"),
        ("WHERE a = 'x'", "'x'"),
        ("WHERE a = TRUE", "TRUE"),
        ("WHERE a IS NULL", "NULL"),
        ("WHERE a = KEY(P, 1)", "KEY"),
        ("WHERE a = BLOB('')", "BLOB"),
        ("WHERE a = DATETIME('2013-09-29T09:30:20Z')", "DATETIME"),
        ("WHERE a IN ARRAY(@x)", "ARRAY"),
        ("LIMIT 5", "5"),
        ("LIMIT FIRST(@c, 5)", "5"),
        ("OFFSET 6", "6"),
        ("OFFSET @c + 6", "6"),
    ],
)
def test_literals_can_be_forbidden(clause: str, lexeme: str) -> None:
    """Without ``allow_literals`` every literal is refused by name, also those of LIMIT and OFFSET."""
    named = {"x": bound(1), "c": bound(b"c")}
    assert f"Disallowed literal: {lexeme}." == refusal(
        read, f"SELECT * FROM K {clause}", named, literals=False
    )
    assert read(f"SELECT * FROM K {clause}", named).kind[0].name == "K"


# -- what is no GQL

REFUSED: list[tuple[str, str]] = [
    ("", "Encountered <EOF> at line 1, column 1. Was expecting: SELECT."),
    ("UPDATE K", 'Encountered "UPDATE" at line 1, column 1'),
    ("\ufeffSELECT *", 'Encountered "\\ufeffSELECT" at line 1, column 1'),
    ("SELECT FROM K", 'Encountered "FROM" at line 1, column 8'),
    ("SELECT * FROM", "Encountered <EOF> at line 1, column 14"),
    ("SELECT *, a FROM K", 'Encountered "," at line 1, column 9'),
    ("SELECT a b FROM K", 'Encountered "b" at line 1, column 10'),
    ("SELECT a. FROM K", 'Encountered "FROM" at line 1, column 11'),
    ("SELECT a.1 FROM K", 'Encountered ".1" at line 1, column 9'),
    ("SELECT 1 FROM K", 'Encountered "1" at line 1, column 8'),
    ("SELECT * FROM K, L", 'Encountered "," at line 1, column 16'),
    ("SELECT * FROM K.L", 'Encountered "." at line 1, column 16'),
    ("SELECT * FROM 'K'", "Encountered \"'K'\" at line 1, column 15"),
    ("SELECT DISTINCT * FROM K", 'Encountered "*" immediately after DISTINCT'),
    ("SELECT DISTINCT ON () * FROM K", 'Encountered ")" at line 1, column 21'),
    ("SELECT DISTINCT ON a a FROM K", 'Encountered "a" at line 1, column 20. Was expecting: "(".'),
    ("SELECT DISTINCT ON (a) DISTINCT b", 'Encountered "DISTINCT" at line 1, column 24'),
    ("SELECT DISTINCT COUNT(*) FROM K", "Aggregations cannot stand at line 1, column 17"),
    ("SELECT a, COUNT(*) FROM K", 'Encountered "COUNT" at line 1, column 11'),
    ("SELECT COUNT(*) FROM K", "RunAggregationQuery"),
    ("AGGREGATE COUNT(*) OVER (SELECT *)", "RunAggregationQuery"),
    ("SELECT FIRST(a) FROM K", "Unexpected aggregation function: FIRST"),
    ("SELECT * FROM K GROUP BY a", "GROUP BY is not supported, at line 1, column 17"),
    ("SELECT * FROM K ORDER a", 'Encountered "a" at line 1, column 23. Was expecting: BY.'),
    ("SELECT * FROM K ORDER BY a WHERE a = 1", 'Encountered "WHERE" at line 1, column 28'),
    ("SELECT * FROM K ORDER BY a ASC DESC", 'Encountered "DESC" at line 1, column 32'),
    ("SELECT * FROM K OFFSET 1 LIMIT 2", 'Encountered "LIMIT" at line 1, column 26'),
    ("SELECT * FROM K LIMIT", "Encountered <EOF> at line 1, column 22"),
    ("SELECT * FROM K LIMIT 1, 2", 'Encountered "," at line 1, column 24'),
    ("SELECT * FROM K LIMIT 5.0", 'Encountered "5.0" at line 1, column 23'),
    ("SELECT * FROM K LIMIT -1", "The limit -1 is < 0."),
    ("SELECT * FROM K LIMIT 2147483648", "The limit 2147483648 is too large."),
    ("SELECT * FROM K LIMIT FIRST(5)", 'Encountered ")" at line 1, column 30'),
    ("SELECT * FROM K LIMIT FIRST(5, 6)", "Expected limit cursor instead of 6."),
    ("SELECT * FROM K LIMIT LAST(5, 6)", 'Unexpected name "LAST" after LIMIT'),
    ("SELECT * FROM K OFFSET 5 + 6", 'Encountered "+" after integer offset.'),
    ("SELECT * FROM K OFFSET @x +17", 'Encountered "+17" at line 1, column 27'),
    ("SELECT * FROM K OFFSET -1", "The offset -1 is < 0."),
    ("SELECT * FROM K;", 'Lexical error at line 1, column 16. Encountered: ";" (59), after: "".'),
    ("SELECT * FROM K -- all", 'Lexical error at line 1, column 18. Encountered: "-" (45), after: "-".'),
    ("SELECT * FROM K /* all */", 'Encountered: "/" (47)'),
    ("SELECT *\x00", 'Encountered: "\\x00" (0)'),
    ("SELECT *\x0bFROM K", 'Encountered: "\\x0b" (11)'),
    ("SELECT * FROM K WHERE a = @ x", 'Encountered: " " (32), after: "@".'),
    ("SELECT * FROM K WHERE a ! = 1", 'Encountered: " " (32), after: "!".'),
    ("SELECT *\nFROM K\r\nWHERE a ~ 1", "Lexical error at line 3, column 9"),
    ("SELECT *\rFROM K\nWHERE a = b", 'Unknown function "b" at line 3, column 11'),
]
WHERE_REFUSED: list[tuple[str, str]] = [
    ("", "Encountered <EOF> at line 1, column 23"),
    ("a", "Encountered <EOF> at line 1, column 24"),
    ("a =", "Encountered <EOF> at line 1, column 26"),
    ("= 1", 'Encountered "=" at line 1, column 23'),
    ("1 = 2", 'Encountered "2" at line 1, column 27'),
    ("a = 1 AND", "Encountered <EOF> at line 1, column 32"),
    ("a = 1 b = 2", 'Encountered "b" at line 1, column 29'),
    ("a = 1x", 'Encountered "x" at line 1, column 28'),
    ("()", 'Encountered ")" at line 1, column 24'),
    ("(a = 1", "Encountered <EOF> at line 1, column 29. Was expecting: AND or OR or"),
    ("a = 1)", 'Encountered ")" at line 1, column 28'),
    ("NOT a = 1", 'Encountered "NOT" at line 1, column 23'),
    ("a <> 1", 'Encountered ">" at line 1, column 26'),
    ("a == 1", 'Encountered "=" at line 1, column 26'),
    ("a LIKE 'x'", 'Encountered "LIKE" at line 1, column 25'),
    ("a IS NOT NULL", 'Encountered "NOT" at line 1, column 28. Was expecting: NULL.'),
    ("NULL IS a", 'Encountered "IS" at line 1, column 28'),
    ("1 NOT IN a", 'Encountered "NOT" at line 1, column 25'),
    ("1 CONTAINS a", 'Encountered "CONTAINS" at line 1, column 25'),
    ("a IN (1, 2)", 'Encountered "(" at line 1, column 28'),
    ("a HAS 1", 'Encountered "1" at line 1, column 29. Was expecting: ANCESTOR or PARENT.'),
    ("__key__ HAS DESCENDANT KEY(P, 1)", 'Encountered "DESCENDANT" at line 1, column 35'),
    ("KEY(P, 1) HAS ANCESTOR __key__", 'Encountered "ANCESTOR" at line 1, column 37'),
    ("__key__ HAS PARENT KEY(P, 1)", "HAS PARENT is not supported"),
    ("KEY(P, 1) HAS CHILD __key__", "HAS CHILD is not supported"),
    ("a = b", 'Unknown function "b" at line 1, column 27'),
    ("a = `b`", 'Encountered "`b`" at line 1, column 27'),
    ("FOO(1) = a", 'Unknown function "FOO" at line 1, column 23'),
    ("select = 1", 'Encountered "select" at line 1, column 23'),
    ("a.order = 1", 'Encountered "order" at line 1, column 25'),
    ("x..y = 1", 'Encountered "." at line 1, column 25'),
    ("a = 'x", 'Lexical error at line 1, column 29. Encountered: <EOF>, after: "\'x".'),
    ("a = 'x\ny'", 'Lexical error at line 1, column 29. Encountered: "\\n" (10)'),
    ("`x\ny` = 1", 'Lexical error at line 1, column 25. Encountered: "\\n" (10)'),
    (r"a = '\R'", 'Lexical error at line 1, column 29. Encountered: "R" (82)'),
    (r"a = '\u0041'", 'Encountered: "u" (117)'),
    ("a = - 1", 'Lexical error at line 1, column 28. Encountered: " " (32), after: "-".'),
    ("a = +-1", 'Encountered "+" at line 1, column 27'),
    ("a = .", 'Encountered "." at line 1, column 27'),
    ("a = 1e", "Invalid double literal: 1e at line 1, column 27."),
    ("a = 9223372036854775808", "Invalid integer literal: 9223372036854775808"),
    ("a = -9223372036854775809", "Invalid integer literal: -9223372036854775809"),
    ("a = " + "9" * 5000, "Invalid integer literal: 999"),
    ("a = BLOB", "Encountered <EOF> at line 1, column 31"),
    ("a = BLOB(@1)", 'Encountered "@1" at line 1, column 32'),
    ("a = BLOB('aGk=')", 'Invalid blob text: "aGk=" at line 1, column 32.'),
    ("a = BLOB('a')", 'Invalid blob text: "a"'),
    ("a = BLOB('+/8')", 'Invalid blob text: "+/8"'),
    ("a = BLOB('aGk\\n')", "Invalid blob text"),
    ("a = DATETIME('2013-09-29 09:30:20Z')", "(does not match pattern)"),
    ("a = DATETIME('2013-09-29T09:30:20')", "(does not match pattern)"),
    ("a = DATETIME('2013-09-29T09:30:20.Z')", "(does not match pattern)"),
    ("a = DATETIME('2013-09-29T09:30:20.1234567Z')", "(does not match pattern)"),
    ("a = DATETIME('٢013-09-29T09:30:20Z')", "(does not match pattern)"),
    ("a = DATETIME('2013-09-29T09:30:20Z\\n')", "(does not match pattern)"),
    ("a = DATETIME('2013-09-29T09:30:20+00:00')", "(zero offset must be Z)"),
    ("a = DATETIME('2013-09-29T09:30:20-00:00')", "(zero offset must be Z)"),
    ("a = DATETIME('2013-02-29T09:30:20Z')", "(parse failure)"),
    ("a = DATETIME('2013-09-29T24:00:00Z')", "(parse failure)"),
    ("a = DATETIME('2013-09-29T09:30:60Z')", "(parse failure)"),
    ("a = DATETIME('0000-09-29T09:30:00Z')", "(parse failure)"),
    ("a = DATETIME('2013-09-29T09:30:20+24:00')", "(parse failure)"),
    ("a = DATETIME('2013-09-29T09:30:20+01:60')", "(parse failure)"),
    ("a = DATETIME('0001-01-01T00:00:00+23:59')", "(parse failure)"),
    ("a = DATETIME('9999-12-31T23:59:59-23:59')", "(parse failure)"),
    ("a = ARRAY(1,)", 'Encountered ")" at line 1, column 35'),
    ("a IN ARRAY(ARRAY(1))", "An ARRAY cannot contain an ARRAY, at line 1, column 34"),
    ("a = KEY()", 'Encountered ")" at line 1, column 31'),
    ("a = KEY(P)", 'Encountered ")" at line 1, column 32'),
    ("a = KEY(P, 1, Q)", 'Encountered ")" at line 1, column 38'),
    ("a = KEY('P', 1)", "Encountered \"'P'\" at line 1, column 31"),
    ("a = KEY(P, 1.5)", 'Encountered "1.5" at line 1, column 34'),
    ("a = KEY(P, @1)", 'Encountered "@1" at line 1, column 34'),
    ("a = KEY(DATASET('p'), P, 1)", 'Unknown partition dimension "DATASET" at line 1, column 31.'),
    ("a = KEY(NAMESPACE('n'), PROJECT('p'), P, 1)", "A key's project must precede its namespace"),
    ("a = KEY(PROJECT('p'), PROJECT('p'), P, 1)", "A key may have at most one project"),
    ("a = KEY(PROJECT('p'))", 'Encountered ")" at line 1, column 43'),
]
REFUSED += [(f"SELECT * FROM K WHERE {text}", expected) for text, expected in WHERE_REFUSED]


@pytest.mark.parametrize(("text", "expected"), REFUSED, ids=lambda part: part[:60])
def test_what_is_no_gql_is_refused_with_its_place(text: str, expected: str) -> None:
    """The first thing that cannot stand where it does is named, with line and column."""
    assert expected in refusal(read, text)


@pytest.mark.parametrize("keyword", sorted(KEYWORDS))
def test_a_keyword_is_a_name_only_in_backquotes(keyword: str) -> None:
    """Words of the language, used or reserved, in any case."""
    assert f'Encountered "{keyword.lower()}" at line 1, column 15' in refusal(
        read, f"SELECT * FROM {keyword.lower()}"
    )
    assert keyword == read(f"SELECT * FROM `{keyword}`").kind[0].name


# -- hostile text


def test_a_megabyte_of_parentheses_is_refused() -> None:
    """Nesting is bounded by a list of our own, never by the interpreter's stack."""
    assert "Parentheses are nested deeper than 1000" in refusal(
        read, "SELECT * FROM K WHERE " + "(" * 1_000_000
    )


def test_parentheses_around_one_thing_do_not_nest_filters() -> None:
    """A thousand parentheses around a condition mean the condition."""
    depth = 999
    assert filter_of(where("a", "EQUAL", 1)) == condition("(" * depth + "a = 1" + ")" * depth)


def test_filters_may_nest_only_so_deep() -> None:
    """Compounds within compounds are refused where a message could not be sent any more."""
    deep = 101
    assert "nested deeper than 100" in refusal(condition, "a = 1 AND (" * deep + "a = 1" + ")" * deep)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "a," * MAX_TOKENS + "a",
        "SELECT " + "a." * MAX_TOKENS + "a",
        "SELECT * WHERE " + "a = 1 OR " * MAX_TOKENS + "a = 1",
        "SELECT * WHERE a IN ARRAY(" + "1," * MAX_TOKENS + "1)",
    ],
    ids=["names", "dots", "conditions", "elements"],
)
def test_endless_text_is_refused(text: str) -> None:
    """More tokens than any query could use are not read to their end."""
    assert f"more than {MAX_TOKENS} tokens" in refusal(read, text)


def test_arrays_within_arrays_are_refused_at_once() -> None:
    """However many there are, the second is the last that is read."""
    assert "line 1, column 32" in refusal(read, "SELECT * WHERE a = ARRAY(" + "      ARRAY(" * 100_000)


def test_long_strings_are_read() -> None:
    """A string literal of a megabyte of escapes and doubled quotes is a string of half of it."""
    assert "'\n" * 250_000 == value_of("'" + "''\\n" * 250_000 + "'").string_value


def test_messages_do_not_repeat_long_text() -> None:
    """A refusal shows the beginning of what it refuses."""
    for text in (
        "SELECT * " + "x" * 1_000_000,
        "SELECT '" + "x" * 1_000_000,
        "SELECT * LIMIT " + "x" * 10_000,
    ):
        assert 400 > len(refusal(read, text))


# -- aggregations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM K", "The GQL query has no aggregations"),
        ("SELECT COUNT(a) FROM K", "COUNT(*)"),
        ("AGGREGATE COUNT(a) OVER (SELECT *)", "COUNT(*)"),
        ("SELECT COUNT FROM K", 'Encountered "FROM" at line 1, column 14'),
        ("SELECT COUNT_UP_TO(@1) FROM K", 'Encountered "@1" at line 1, column 20'),
        ("SELECT COUNT_UP_TO(5.0) FROM K", 'Encountered "5.0" at line 1, column 20'),
        ("SELECT COUNT_UP_TO(9223372036854775808)", "Invalid integer literal"),
        ("SELECT SUM(*) FROM K", 'Encountered "*" at line 1, column 12'),
        ("SELECT MIN(a) FROM K", "Unexpected aggregation function: MIN"),
        ("SELECT COUNT(*), MIN(a) FROM K", "Unexpected aggregation function: MIN"),
        ("SELECT COUNT(*), a FROM K", 'Encountered "a" at line 1, column 18'),
        ("SELECT COUNT(*) c FROM K", 'Encountered "c" at line 1, column 17'),
        ("SELECT COUNT(*) AS a.b FROM K", 'Encountered "." at line 1, column 21'),
        ("SELECT COUNT(*) AS select FROM K", 'Encountered "select" at line 1, column 20'),
        ("SELECT COUNT(*) FROM K ORDER BY a", 'Encountered "ORDER" at line 1, column 24'),
        ("SELECT COUNT(*) FROM K LIMIT 5", 'Encountered "LIMIT" at line 1, column 24'),
        ("AGGREGATE OVER (SELECT *)", 'Encountered "OVER" at line 1, column 11'),
        ("AGGREGATE COUNT(*)", "Encountered <EOF> at line 1, column 19"),
        ("AGGREGATE COUNT(*) OVER SELECT *", 'Encountered "SELECT" at line 1, column 25'),
        ("AGGREGATE COUNT(*) OVER ((SELECT *))", 'Encountered "(" at line 1, column 26'),
        ("AGGREGATE COUNT(*) OVER (SELECT * WHERE a = 1", "Encountered <EOF> at line 1, column 46"),
        ("AGGREGATE COUNT(*) OVER (SELECT *) LIMIT 5", 'Encountered "LIMIT" at line 1, column 36'),
        ("AGGREGATE COUNT(*) OVER (SELECT COUNT(*))", "Aggregations cannot stand at line 1, column 33"),
        ("AGGREGATE COUNT(*) OVER (AGGREGATE COUNT(*))", 'Encountered "AGGREGATE" at line 1, column 26'),
    ],
)
def test_a_malformed_aggregation_is_refused(text: str, expected: str) -> None:
    """Also where RunQuery would have taken the text."""
    assert expected in refusal(aggregation, text)


# -- damage


def code_of(text: str) -> str:
    """OK, or the code with which a text and two parameters are refused."""
    try:
        read(text, {}, [bound(1), bound(b"c")])
    except RpcError as error:
        return error.code.name
    return "OK"


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_is_refused_or_read(seed: int) -> None:
    """Text cut, doubled and stirred at random gives a query or INVALID_ARGUMENT, nothing else."""
    chance = random.Random(seed)
    whole = "SELECT DISTINCT ON (a) a.`b` FROM K WHERE (a IN ARRAY(1, 'x''\\n') OR KEY(P, 1) HAS DESCENDANT "
    whole += "__key__) AND @1 != c ORDER BY a DESC LIMIT FIRST(@2, -1) OFFSET @2 + +1.5e-3"
    codes = set()
    for _ in range(100):
        cut = sorted(chance.choices(range(len(whole)), k=3))
        pieces = [whole[: cut[0]], whole[cut[0] : cut[1]], whole[cut[1] : cut[2]], whole[cut[2] :]]
        text = (
            "".join(chance.choices(pieces, k=4))
            if chance.random() < 0.5
            else "".join(pieces[:1] + pieces[2:])
        )
        codes.add(code_of(text))
    assert codes <= {"OK", "INVALID_ARGUMENT"}
