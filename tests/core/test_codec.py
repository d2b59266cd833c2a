"""What crosses a task boundary comes back as it was, and what cannot is refused with its place."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from unittest.mock import MagicMock
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from fantasm_gcp.core.codec import CONTEXT_LIMIT, TAG, Adapter, Codec
from fantasm_gcp.errors import ContextTooLargeError, MissingDefinitionError

CODEC = Codec()
PARIS = ZoneInfo("Europe/Paris")

VALUES = [
    None,
    True,
    False,
    0,
    -(2**80),
    2**63,
    1.5,
    -0.0,
    5e-324,
    math.inf,
    -math.inf,
    "",
    "None",
    "é日\x00\ud800",
    [],
    [None],
    ["one"],
    {},
    [[], {}, [None]],
    {"a": {"b": [1, {"c": ""}]}},
    datetime(2026, 11, 22, 3, 4, 5, 678901),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    datetime(2026, 10, 25, 2, 30, tzinfo=PARIS),
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=PARIS),
    datetime(2026, 10, 25, 2, 30, fold=1),
    date(2026, 2, 28),
    time(23, 59, 59, 999999),
    time(2, 30, fold=1),
    time(2, 30, tzinfo=UTC),
    time(2, 30, tzinfo=PARIS),
    timedelta(days=-1, microseconds=1),
    timedelta.max,
    b"",
    bytes(range(256)),
    Decimal("0.10"),
    Decimal("-Infinity"),
    Decimal("1E+999999"),
    UUID(int=7),
    (),
    (1, (2, [3])),
    set(),
    {1},
    frozenset({b"x"}),
    {(frozenset({"a"}), "b")},
    {1: "a", (2, 3): "b", None: "c"},
    {True: 1, "True": 2},
    {b"key": {1.5: date(2026, 1, 1)}},
    {TAG: ["date", "2026-01-01"]},
    {TAG: {TAG: 1}},
    {"x": {TAG: 1, "y": 2}},
    {TAG: None, 1: TAG},
    [TAG, [TAG, [TAG]]],
]


def same(expected: object, actual: object) -> bool:
    """Equal, of equal types all the way down, and in the same order where there is one."""
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, set | frozenset):
        return expected == actual
    if isinstance(expected, dict):
        return same(list(expected.items()), list(actual.items()))
    if isinstance(expected, list | tuple):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    if isinstance(expected, datetime | time):
        return (repr(expected), expected.tzinfo) == (repr(actual), actual.tzinfo)
    return repr(expected) == repr(actual)


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.fantasm(207, 208, 212, 215)
def test_a_value_comes_back_as_it_was(value):
    """With its type, at every depth."""
    for context in ({"v": value}, {"v": [value]}, {"v": {"w": value}}, {"v": ({"x": value},)}, {TAG: value}):
        assert same(context, CODEC.decode(CODEC.encode(context)))


def test_integers_of_any_length_come_back():
    """Python itself reads no more than 4,300 digits in decimal."""
    for number in (2**10_000 - 1, 2**10_000, -(2**10_001), 10**5_000, -(7**20_000)):
        assert number == CODEC.decode(CODEC.encode({"v": [number]}))["v"][0]


def test_nan_comes_back():
    """It equals nothing, not even itself."""
    assert math.isnan(CODEC.decode(CODEC.encode({"v": math.nan}))["v"])


def test_what_json_has_is_written_as_plain_json():
    """People read it in logs and in the Cloud Console."""
    context = {"a": 1, "b": [None, "é"], "c": {"d": True}}
    assert context == json.loads(CODEC.encode(context))
    assert '{"a":1,"b":[null,"é"],"c":{"d":true}}' == CODEC.encode(context).decode()


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (datetime(2026, 1, 2, 3, 4), ["datetime", "2026-01-02T03:04:00"]),
        (date(2026, 1, 2), ["date", "2026-01-02"]),
        (time(3, 4), ["time", "03:04:00"]),
        (timedelta(1, 2, 3), ["timedelta", [1, 2, 3]]),
        (b"\xff", ["bytes", "/w=="]),
        (Decimal("1.50"), ["decimal", "1.50"]),
        (UUID(int=1), ["uuid", "00000000-0000-0000-0000-000000000001"]),
        (math.inf, ["float", "inf"]),
        ((1, "a"), ["tuple", [1, "a"]]),
        ({2}, ["set", [2]]),
        (frozenset({2}), ["frozenset", [2]]),
        ({1: 2}, ["dict", [[1, 2]]]),
    ],
    ids=repr,
)
def test_the_format_of_stored_contexts_is_this(value, encoded):
    """Contexts in flight were written by the deployment before."""
    assert {"v": {TAG: encoded}} == json.loads(CODEC.encode({"v": value}))


def test_a_set_is_written_in_one_order():
    """Whatever order it has in this process; so an attempt that runs again writes the same bytes."""
    names = [f"name {i}" for i in range(50)]
    shuffled = random.Random(3).sample(names, 50)
    assert CODEC.encode({"v": set(names)}) == CODEC.encode({"v": set(shuffled)})
    assert [["name 0", "name 1"]] == [json.loads(CODEC.encode({"v": set(names)}))["v"][TAG][1][:2]]


def test_the_order_of_a_dict_comes_back():
    """Also where its keys are no text."""
    for pairs in ([("b", 1), ("a", 2)], [(2, "x"), (1, "y")]):
        assert pairs == list(CODEC.decode(CODEC.encode({"v": dict(pairs)}))["v"].items())


@pytest.mark.parametrize(
    ("context", "place"),
    [
        ({"a": object()}, "context['a'] is a builtins.object"),
        ({"a": {"b": [1, object()]}}, "context['a']['b'][1] is a builtins.object"),
        ({"a": (object(),)}, "an item of context['a'] is a builtins.object"),
        ({"a": {object: 1}}, "a key of context['a'] is a builtins.type"),
        ({"a": {(1,): object()}}, "context['a'][tuple] is a builtins.object"),
        ({"a": lambda: 1}, "context['a'] is a builtins.function"),
        ({"a": 1j}, "context['a'] is a builtins.complex"),
        ({"a": Fraction(1, 2)}, "context['a'] is a fractions.Fraction"),
        ({"a": bytearray()}, "context['a'] is a builtins.bytearray"),
        ({"a": range(3)}, "context['a'] is a builtins.range"),
        ({"a": iter([])}, "context['a'] is a builtins.list_iterator"),
        ({"a": deque()}, "context['a'] is a collections.deque"),
        ({"a": UserDict()}, "context['a'] is a collections.UserDict"),
        ({"a": MappingProxyType({})}, "context['a'] is a builtins.mappingproxy"),
        ({"a": MagicMock(spec=datetime)}, "context['a'] is a unittest.mock.MagicMock"),
        ({"a": ValueError("x")}, "context['a'] is a builtins.ValueError"),
    ],
)
def test_what_cannot_cross_is_refused_with_its_place(context, place):
    """The message names the place and what a context takes; pickle is no way out."""
    with pytest.raises(TypeError) as raised:
        CODEC.encode(context)
    assert str(raised.value).startswith(place)
    assert "Decimal" in str(raised.value)


class Text(str):
    """A user's text."""


class Number(int):
    """A user's number."""


class Items(list):
    """A user's list."""


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("a"), "str"),
        (Number(1), "int"),
        (Items(), "list"),
        (OrderedDict(), "dict"),
        (defaultdict(int), "dict"),
        (Counter("a"), "dict"),
    ],
    ids=repr,
)
def test_a_subclass_of_what_json_has_is_refused_instead_of_coming_back_as_something_else(value, plain):
    """The message says what to write to have the plain value cross."""
    with pytest.raises(TypeError, match=rf"would come back as a plain {plain}: write {plain}\(value\)"):
        CODEC.encode({"a": value})


def test_a_subclass_of_datetime_crosses_as_a_datetime():
    """Datastore answers one, and test doubles of the clock are others."""

    class Moment(datetime):
        pass

    restored = CODEC.decode(CODEC.encode({"v": Moment(2026, 1, 2, 3, tzinfo=UTC)}))["v"]
    assert (datetime(2026, 1, 2, 3, tzinfo=UTC), datetime) == (restored, type(restored))


def test_a_time_whose_zone_would_be_lost_is_refused():
    """A time of day without a date has no offset by which another zone could cross."""

    class Zone(type(UTC).__base__):
        def utcoffset(self, moment):
            return None if moment is None else timedelta(hours=1)

        dst = utcoffset

    moment = datetime(2026, 1, 2, 3, tzinfo=Zone())
    assert moment == CODEC.decode(CODEC.encode({"v": moment}))["v"]
    with pytest.raises(TypeError, match=r"context\['v'\] is a time in a .*Zone; use a zoneinfo.ZoneInfo"):
        CODEC.encode({"v": time(3, tzinfo=Zone())})


def test_the_names_of_a_context_are_text():
    """A member of an enum that is text counts as its text, and a number does not."""
    from enum import StrEnum

    class Name(StrEnum):
        COUNT = "count"

    assert {"count": 1} == CODEC.decode(CODEC.encode({Name.COUNT: 1}))
    with pytest.raises(TypeError, match="context has the key 1; the names of a context are text"):
        CODEC.encode({1: 2})


def test_the_limit_is_ten_mebibytes_of_encoded_context():
    """At the limit it passes, one byte more is refused."""
    frame = len(CODEC.encode({"v": ""}))
    assert CONTEXT_LIMIT == len(CODEC.encode({"v": "x" * (CONTEXT_LIMIT - frame)}))
    with pytest.raises(ContextTooLargeError, match="10,485,761"):
        CODEC.encode({"v": "x" * (CONTEXT_LIMIT - frame + 1)})


def nested(levels, wrap):
    value = "x"
    for _ in range(levels):
        value = wrap(value)
    return {"v": value}


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: {1: v}])
def test_a_hundred_levels_are_taken_and_not_one_more(wrap):
    """The same everywhere, whatever Python's limit is; a value that holds itself is refused."""
    assert nested(100, wrap) == CODEC.decode(CODEC.encode(nested(100, wrap)))
    with pytest.raises(TypeError, match="nested too deeply"):
        CODEC.encode(nested(101, wrap))
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="nested too deeply"):
        CODEC.encode({"v": endless})


def values_by(source: random.Random, depth: int) -> object:
    if depth and source.random() < 0.6:
        items = [values_by(source, depth - 1) for _ in range(source.randrange(4))]
        kind = source.choice(("list", "tuple", "dict", "pairs", "set"))
        if kind == "dict":
            return {source.choice(("a", "b", TAG, "", "é")): each for each in items}
        keys = [each for each in (*items, 1, (2,), None) if hashable(each)]
        if kind == "pairs":
            return dict(zip(keys, items, strict=False))
        return {"list": list, "tuple": tuple}[kind](items) if kind != "set" else set(keys)
    return source.choice(VALUES)


def hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("seed", range(10))
def test_random_contexts_come_back(seed):
    """A thousand nested values, and their bytes are the same when they are written again."""
    source = random.Random(seed)
    for _ in range(100):
        context = {"v": values_by(source, 5)}
        encoded = CODEC.encode(context)
        restored = CODEC.decode(encoded)
        assert same(context, restored)
        assert encoded == CODEC.encode(restored)


def test_the_text_of_a_value_tells_types_apart_and_orders_not():
    """Groups of a fan-in are told apart by it: 1 and "1" are two groups."""
    values = [1, "1", 1.0, True, None, "None", "", [], (), {}, set(), frozenset(), [1], (1,), {1}, {"1": 1}]
    values += [{1: 1}, b"1", Decimal(1), date(2026, 1, 1), "2026-01-01", {TAG: ["date", "2026-01-01"]}]
    assert len(values) == len({CODEC.text(each) for each in values})
    assert CODEC.text({"a": 1, "b": {"c": 2, "d": 3}}) == CODEC.text({"b": {"d": 3, "c": 2}, "a": 1})
    assert CODEC.text({1: 2, (3,): {4: 5, 6: 7}}) == CODEC.text({(3,): {6: 7, 4: 5}, 1: 2})
    names = [f"name {i}" for i in range(50)]
    assert CODEC.text(set(names)) == CODEC.text(set(random.Random(3).sample(names, 50)))
    assert CODEC.text("é\ud800").isascii()
    with pytest.raises(TypeError, match=r"the value\[0\] is a builtins.object"):
        CODEC.text([object()])


def tagged(tag: object, *payload: object) -> bytes:
    return json.dumps({"v": {TAG: [tag, *payload]}}).encode()


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"v": ' + b"9" * 5_000 + b"}",
        json.dumps({"v": {TAG: 1}}).encode(),
        json.dumps({"v": {TAG: []}}).encode(),
        json.dumps({"v": {TAG: ["date", "2026-01-01"], "more": 1}}).encode(),
        tagged("date"),
        tagged("date", "2026-01-01", 1),
        tagged(1, 2),
        tagged(None, 2),
        tagged(["date"], 2),
        tagged("date", 1),
        tagged("date", "yesterday"),
        tagged("date", "2026-02-30"),
        tagged("datetime", None),
        tagged("datetime", "2026-02-28T25:00"),
        tagged("time", {}),
        tagged("timedelta", 1),
        tagged("timedelta", ["a"]),
        tagged("timedelta", [1] * 20),
        tagged("timedelta", [10**20, 0, 0]),
        tagged("bytes", 1),
        tagged("bytes", "not base64!"),
        tagged("bytes", "é"),
        tagged("decimal", 1),
        tagged("decimal", "one"),
        tagged("decimal", ["os"]),
        tagged("uuid", "1"),
        tagged("uuid", [1]),
        tagged("int", "0xg"),
        tagged("int", 5),
        tagged("float", "one"),
        tagged("float", []),
        tagged("tuple", "ab"),
        tagged("tuple", {"a": 1}),
        tagged("set", [[1]]),
        tagged("set", [{}]),
        tagged("set", "ab"),
        tagged("frozenset", 1),
        tagged("tuple", {TAG: ["set", [1]]}),
        tagged("dict", {"a": 1}),
        tagged("dict", ["ab"]),
        tagged("dict", [["a"]]),
        tagged("dict", [[[], 1]]),
        tagged("dict", [{TAG: ["tuple", [1, 2]]}]),
        tagged("zoned", ["2026-01-01T00:00:00", "../../etc/passwd", 0]),
        tagged("zoned", ["2026-01-01T00:00:00", "/etc/passwd", 0]),
        tagged("zoned", ["2026-01-01T00:00:00", 5, 0]),
        tagged("zoned", ["2026-01-01T00:00:00", "Europe/Paris", 7]),
        tagged("zoned", ["2026-01-01T00:00:00"]),
        tagged("zoned-time", [1, 2, 3]),
        tagged("registered", "os.system"),
        tagged("registered", []),
        tagged("registered", ["os.system"]),
        tagged("registered", [["os.system"], 1]),
        tagged("registered", ["a", 1, 2, 3]),
    ],
    ids=lambda encoded: encoded[:60],
)
def test_bytes_that_no_context_has_are_one_kind_of_error(encoded):
    """Malformed, with tags that are none, or with payloads of another shape."""
    with pytest.raises(ValueError, match="this is no context: "):
        CODEC.decode(encoded)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (tagged("pickle", "gASV"), "knows no kind of value 'pickle'"),
        (tagged("__import__", "os"), "knows no kind of value '__import__'"),
        (tagged("datastore-key", ["p", None, None, ["K", 1]]), "knows no kind of value 'datastore-key'"),
        (tagged("registered", ["os.system", "true"]), "no class is registered as 'os.system'"),
        (tagged("registered", ["builtins.eval", {}]), "no class is registered as 'builtins.eval'"),
        (tagged("zoned", ["2026-01-01T00:00:00", "Mars/Olympus", 0]), "no time zone 'Mars/Olympus'"),
        (tagged("zoned", ["2026-01-01T00:00:00", "America", 0]), "no time zone 'America'"),
    ],
    ids=str,
)
def test_names_that_this_deployment_does_not_know_are_a_missing_definition(encoded, message):
    """Another deployment may know them; none is imported or looked up elsewhere."""
    with pytest.raises(MissingDefinitionError, match=message):
        CODEC.decode(encoded)


def test_mutilated_contexts_never_end_in_another_error():
    """Bytes are cut, swapped and changed at random; what still is a context may come back as one."""
    source = random.Random(11)
    for _ in range(3000):
        encoded = bytearray(CODEC.encode({"v": source.choice(VALUES), "w": source.choice(VALUES)}))
        for _ in range(source.randrange(1, 4)):
            at = source.randrange(len(encoded))
            change = source.randrange(3)
            if change == 0:
                encoded[at] = source.choice(b'[]{}",:0a')
            elif change == 1:
                del encoded[at : at + source.randrange(1, 5)]
                encoded = encoded or bytearray(b"0")
            else:
                encoded[at:at] = source.choice((b"1", b'"', b"[", b"null", b"{}"))
        try:
            restored = CODEC.decode(bytes(encoded))
        except (ValueError, MissingDefinitionError):
            continue
        assert type(restored) is dict


class Point:
    """A vendor's class."""

    def __init__(self, x, y):
        self.x, self.y = x, y


def point_payload(value):
    if value.x is None:
        raise TypeError("is a point without a place")
    return {"x": value.x, "y": value.y, TAG: "inside"}


POINT = Adapter(
    tag="point",
    matches=lambda value: isinstance(value, Point),
    encode=point_payload,
    decode=lambda payload: Point(payload["x"], payload["y"]),
)


def test_an_adapter_lets_a_vendors_values_cross():
    """Its payload may hold whatever a context takes; at the last level, too."""
    codec = Codec([POINT])
    restored = codec.decode(codec.encode({"v": [Point(date(2026, 1, 1), {2: (3,)})]}))["v"][0]
    assert (Point, date(2026, 1, 1), {2: (3,)}) == (type(restored), restored.x, restored.y)
    deep = codec.decode(codec.encode({"v": nested(100, lambda v: [v if v != "x" else Point(1, 2)])["v"]}))[
        "v"
    ]
    for _ in range(100):
        (deep,) = deep
    assert 1 == deep.x
    assert codec.text(Point(1, {2, 3})) == codec.text(Point(1, {3, 2}))
    with pytest.raises(ValueError, match="this is no context"):
        codec.decode(tagged("point", {"x": 1}))


def test_what_an_adapter_refuses_is_refused_with_its_place():
    """It says what is wrong, the codec says where."""
    with pytest.raises(TypeError, match=r"^context\['v'\]\[0\] is a point without a place$"):
        Codec([POINT]).encode({"v": [Point(None, 1)]})


@pytest.mark.parametrize("tag", ["date", "registered", "point"])
def test_a_tag_belongs_to_one_kind_of_value(tag):
    """Two adapters of one tag, or of a tag of the codec's own, are an error where they are given."""
    with pytest.raises(ValueError, match=f"tag '{tag}' is taken"):
        Codec([POINT, Adapter(tag, POINT.matches, POINT.encode, POINT.decode)])
