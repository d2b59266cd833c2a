"""What crosses a task boundary comes back as it was, and what cannot is refused with its place."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from fantasm_gcp.core.codec import CONTEXT_LIMIT, TAG, decode, encode
from fantasm_gcp.errors import ContextTooLargeError

VALUES = [
    None,
    True,
    0,
    -(2**80),
    1.5,
    -0.0,
    math.inf,
    "",
    "é日\x00\ud800",
    [],
    {},
    [[], {}, [None]],
    {"a": {"b": [1, {"c": ""}]}},
    datetime(2026, 11, 22, 3, 4, 5, 678901),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    date(2026, 2, 28),
    time(23, 59, 59, 999999),
    timedelta(days=-1, microseconds=1),
    b"",
    bytes(range(256)),
    Decimal("0.10"),
    UUID(int=7),
    (),
    (1, (2, [3])),
    set(),
    {1, "a", (2,)},
    frozenset({b"x"}),
    {1: "a", (2, 3): "b", None: "c"},
    {TAG: ["date", "2026-01-01"]},
    {TAG: {TAG: 1}},
    {"x": {TAG: 1, "y": 2}},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_was(value):
    """With its type, at every depth."""
    for context in ({"v": value}, {"v": [value]}, {"v": {"w": value}}, {"v": ({"x": value},)}):
        restored = decode(encode(context))
        assert repr(context) == repr(restored)


def test_nan_comes_back():
    """It equals nothing, not even itself."""
    assert math.isnan(decode(encode({"v": math.nan}))["v"])


def test_what_json_has_is_written_as_plain_json():
    """People read it in logs and in the Cloud Console."""
    context = {"a": 1, "b": [None, "é"], "c": {"d": True}}
    assert context == json.loads(encode(context))
    assert '{"a":1,"b":[null,"é"],"c":{"d":true}}' == encode(context).decode()


@pytest.mark.parametrize(
    ("context", "place"),
    [
        ({"a": object()}, "context['a'] is a builtins.object"),
        ({"a": {"b": [1, object()]}}, "context['a']['b'][1] is a builtins.object"),
        ({"a": (object(),)}, "an item of context['a'] is a builtins.object"),
        ({"a": {object: 1}}, "a key of context['a'] is a builtins.type"),
        ({"a": lambda: 1}, "context['a'] is a builtins.function"),
    ],
)
def test_what_cannot_cross_is_refused_with_its_place(context, place):
    """The message names the place and what a context takes."""
    with pytest.raises(TypeError) as raised:
        encode(context)
    assert str(raised.value).startswith(place)
    assert "Decimal" in str(raised.value)


def test_the_limit_is_ten_mebibytes_of_encoded_context():
    """At the limit it passes, one byte more is refused."""
    frame = len(encode({"v": ""}))
    assert CONTEXT_LIMIT == len(encode({"v": "x" * (CONTEXT_LIMIT - frame)}))
    with pytest.raises(ContextTooLargeError, match="10,485,761"):
        encode({"v": "x" * (CONTEXT_LIMIT - frame + 1)})


def nested(levels, wrap):
    value = "x"
    for _ in range(levels):
        value = wrap(value)
    return {"v": value}


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: {1: v}])
def test_a_hundred_levels_are_taken_and_not_one_more(wrap):
    """The same everywhere, whatever Python's limit is; a value that holds itself is refused."""
    assert nested(100, wrap) == decode(encode(nested(100, wrap)))
    with pytest.raises(TypeError, match="nested too deeply"):
        encode(nested(101, wrap))
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="nested too deeply"):
        encode({"v": endless})


def test_random_contexts_come_back():
    """Two hundred nested values by a seed."""
    source = random.Random(7)

    def value(depth):
        if depth and source.random() < 0.5:
            kind = source.choice((list, tuple, dict))
            items = [value(depth - 1) for _ in range(source.randrange(4))]
            return dict(zip(map(str, range(9)), items, strict=False)) if kind is dict else kind(items)
        return source.choice(VALUES)

    for _ in range(200):
        context = {"v": value(4)}
        assert repr(context) == repr(decode(encode(context)))
