"""The text of a URL's arguments becomes what ``context_types`` says, or the start is refused."""

from __future__ import annotations

import importlib
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest

from fantasm_gcp.core.casts import ALIASES, BUILT_IN, REFUSED, cast_arguments
from fantasm_gcp.core.codec import Codec
from fantasm_gcp.errors import StartError


def cast(name, value):
    return cast_arguments({"a": value}, {"a": BUILT_IN[name]})["a"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("int", "5", 5),
        ("int", "-0", 0),
        ("int", " 5 ", 5),
        ("long", "123456789012345678901234567890", 123456789012345678901234567890),
        ("types.IntType", "7", 7),
        ("types.LongType", "7", 7),
        ("float", "1e3", 1000.0),
        ("types.FloatType", "-1.5", -1.5),
        ("float", "inf", math.inf),
        ("str", "5", "5"),
        ("unicode", "é", "é"),
        ("types.StringType", "", ""),
        ("types.UnicodeType", "None", "None"),
        ("json", '{"1": [1, null, "é"]}', {"1": [1, None, "é"]}),
        ("json", "[]", []),
        ("dict", '{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("types.DictType", "{}", {}),
        ("list", '[1, "x", {}]', [1, "x", {}]),
        ("types.ListType", "[]", []),
        ("json", '"x"', "x"),
        ("json", "null", None),
        ("datetime", "2026-01-31T23:59:00", datetime(2026, 1, 31, 23, 59)),
        ("datetime", "2026-01-31 23:59:00.5", datetime(2026, 1, 31, 23, 59, 0, 500000)),
        ("datetime", "2026-01-31T23:59:00Z", datetime(2026, 1, 31, 23, 59, tzinfo=UTC)),
        (
            "datetime.datetime",
            "2026-01-31T23:59:00-03:30",
            datetime(2026, 1, 31, 23, 59, tzinfo=timezone(timedelta(hours=-3.5))),
        ),
        ("datetime", "2026-01-31", datetime(2026, 1, 31)),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("datetime.date", "20260131", date(2026, 1, 31)),
        ("time", "23:59", time(23, 59)),
        ("datetime.time", "23:59:00.000001", time(23, 59, 0, 1)),
        ("timedelta", "90", timedelta(minutes=1, seconds=30)),
        ("datetime.timedelta", "-0.5", timedelta(seconds=-0.5)),
        ("Decimal", "0.10", Decimal("0.10")),
        ("decimal.Decimal", "1E+3", Decimal("1E+3")),
        ("UUID", "00000000-0000-0000-0000-000000000007", UUID(int=7)),
        ("uuid.UUID", "{00000000000000000000000000000007}", UUID(int=7)),
    ],
)
@pytest.mark.fantasm(205)
def test_text_becomes_a_value_of_the_type(name, text, value):
    """Under the names that Fantasm's users wrote and under plain ones."""
    made = cast(name, text)
    assert (repr(value), type(value)) == (repr(made), type(made))
    assert {"a": made} == Codec().decode(Codec().encode({"a": made}))


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1", "yes", "On"])
@pytest.mark.fantasm(212)
def test_words_for_true(text):
    """In any case."""
    assert cast("bool", text) is True
    assert cast("types.BooleanType", text) is True


@pytest.mark.parametrize("text", ["false", "False", "FALSE", "0", "no", "Off", ""])
@pytest.mark.fantasm(212)
def test_words_for_false(text):
    """In any case; Python's own bool('False') is True."""
    assert cast("bool", text) is False


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("int", ""),
        ("int", "None"),
        ("int", "1.5"),
        ("int", "0x1"),
        ("int", "9" * 5000),
        ("float", "one"),
        ("bool", "maybe"),
        ("bool", " "),
        ("bool", "2"),
        ("json", ""),
        ("json", "{"),
        ("json", "[" * 100_000),
        ("dict", "[1]"),
        ("dict", "null"),
        ("dict", "a=b"),
        ("dict", "{'a': 1}"),
        ("list", "{}"),
        ("list", "1"),
        ("list", "a,b"),
        ("datetime", "1767225600"),
        ("datetime", "1767225600.25"),
        ("date", "1767225600"),
        ("datetime", "yesterday"),
        ("datetime", ""),
        ("date", "2026-02-30"),
        ("date", "2026-01-31T00:00"),
        ("time", "25:00"),
        ("timedelta", "1:30"),
        ("timedelta", "nan"),
        ("timedelta", "inf"),
        ("timedelta", "1e300"),
        ("Decimal", "one"),
        ("UUID", "7"),
    ],
)
def test_text_that_is_no_value_of_the_type_refuses_the_start(name, text):
    """The message names the argument, the text and the type, and is short."""
    with pytest.raises(StartError) as raised:
        cast_arguments({"b": "x", "some-name": text}, {"some-name": BUILT_IN[name]})
    message = str(raised.value)
    assert message.startswith(f"argument 'some-name': {text[:60]!r}"[:40])
    assert f" is no {name} (" in message
    assert len(message) < 400


@pytest.mark.parametrize("name", ["datetime", "date"])
@pytest.mark.parametrize("text", ["0", "-1", "1767225600", "1767225600.5", "1501010911200"])
def test_epoch_seconds_are_no_date(name, text):
    """Not even digits that ISO 8601 could be made of with an effort: they would be of another year."""
    with pytest.raises(StartError, match=r"ISO 8601 is taken, like 2026-01-31.*, not epoch seconds"):
        cast(name, text)


@pytest.mark.fantasm(208, 214)
def test_of_a_list_each_item_is_cast_and_a_list_of_one_stays_one():
    """A list comes of an argument that is given several times, or of JSON."""
    casts = {"ids": BUILT_IN["int"], "one": BUILT_IN["int"], "none": BUILT_IN["int"]}
    arguments = {"ids": ["1", "2", 3], "one": ["5"], "none": []}
    assert {"ids": [1, 2, 3], "one": [5], "none": []} == cast_arguments(arguments, casts)
    with pytest.raises(StartError, match=r"^argument 'ids\[1\]': 'x' is no int"):
        cast_arguments({"ids": ["1", "x"]}, casts)


class Word(StrEnum):
    A = "a"


@pytest.mark.parametrize("value", [5, None, True, 1.5, {"x": "1"}, ("1",), b"1", date(2026, 1, 1), Word.A])
def test_what_is_not_text_stays_as_it_is(value):
    """A context given in Python, or as JSON, has its types; a member of an enum is one, though it is text."""
    assert value is cast("int", value)


def test_arguments_without_a_type_stay_text_and_types_without_an_argument_do_nothing():
    """The given mapping is left alone."""
    arguments = {"a": "1", "b": "1"}
    assert {"a": 1, "b": "1"} == cast_arguments(arguments, {"a": int, "z": int})
    assert {"a": "1", "b": "1"} == arguments


class Custom:
    def __init__(self, text):
        if text == "bad":
            raise OSError("no\nsuch thing")
        self.text = text


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError


def speechless(text):
    raise Speechless


@pytest.mark.fantasm(214)
def test_a_class_of_the_users_is_called_with_the_text():
    """Whatever it raises refuses the start, on one line; an error that cannot be shown is named."""
    assert "x" == cast_arguments({"a": "x"}, {"a": Custom})["a"].text
    assert ["x"] == [each.text for each in cast_arguments({"a": ["x"]}, {"a": Custom})["a"]]
    with pytest.raises(StartError, match=r"^argument 'a': 'bad' is no Custom \(no such thing\)$"):
        cast_arguments({"a": "bad"}, {"a": Custom})
    with pytest.raises(StartError, match=r"^argument 'a': 'bad' is no speechless \(Speechless\)$"):
        cast_arguments({"a": "bad"}, {"a": speechless})


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_leads_to_something_that_can_be_called(name):
    """It is imported only when somebody writes the name."""
    module, _, function = ALIASES[name].rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_name_has_one_meaning():
    """And what is refused says what to write instead."""
    assert set() == set(BUILT_IN) & set(ALIASES)
    assert set() == set(REFUSED) & (set(BUILT_IN) | set(ALIASES))
    assert {"pickle", "pickle.loads"} <= set(REFUSED)
    assert all("json" in advice for advice in REFUSED.values())
