"""Values that cross a task boundary: each comes back as it was, by GET and POST, and through a fan-in."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import kept
import pytest
from google.cloud import datastore
from ledger import Ledger
from runs import finish

MACHINES = "crossing.yaml"
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])
VALUES = {
    "text": "a",
    "scripts": "é日\U0001f600",
    "empty": "",
    "line": "a\r\nb\t ",
    "url": "a&b=c?d#e%20f+g",
    "true": True,
    "false": False,
    "none": None,
    "number": 7,
    "large": 2**70,
    "real": 0.1,
    "list": ["a", "b"],
    "list of one": ["a"],
    "list in a list": [[1], []],
    "no list": [],
    "mixed": [1, "1", None, True, 1.0],
    "dict": {"a": {"b": [1]}, "": 0},
    "keys": {1: "a", "1": "b"},
    "bytes": b"\x00\xff",
    "tuple": (1, (2,)),
    "set": {1, 2},
    "moment": datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC),
    "naive": datetime(2026, 2, 3),
    "moments": [datetime(2026, 2, 3, tzinfo=UTC)],
    "date": date(2026, 2, 3),
    "time": time(1, 2, 3),
    "wait": timedelta(days=-1, seconds=1),
    "decimal": Decimal("1.10"),
    "uuid": UUID(int=7),
}
"""The names have blanks, which a URL has to quote as well."""

KEYS = {
    "key": datastore.Key("Parent", 1, "Child", "x", project="test"),
    "key list": [datastore.Key("Child", 2, project="test", namespace="n")],
    "key dict": {"k": datastore.Key("Child", 2, project="test")},
}


@pytest.mark.fantasm(207, 208, 212, 215)
@METHODS
@pytest.mark.parametrize("machine", ["Crossing", "Meeting"])
@pytest.mark.parametrize("values", [VALUES, KEYS], ids=["values", "keys"])
def test_values_come_back_as_they_were(harness, machine, values, method):
    """Of equal value and of the same type, without any context_types; none is lost, none becomes text."""
    kept.Carries.values = values
    finish(harness, f"{machine}/", method=method)
    seen = Ledger.seen[0][0] if machine == "Meeting" else Ledger.seen[0]
    assert list(values) == list(seen)
    for name, value in values.items():
        assert (name, repr(value)) == (name, repr(seen[name]))
        assert value == seen[name]


@pytest.mark.fantasm(232)
def test_a_collected_context_keeps_keys_and_times(harness):
    """Alone and in lists."""
    kept.Carries.values = KEYS | {name: VALUES[name] for name in ("moment", "moments")}
    finish(harness, "Meeting/")
    assert [kept.Carries.values] == Ledger.seen[0]


@pytest.mark.fantasm(91, 207)
@METHODS
def test_arguments_are_text_and_lists_of_text(harness, method):
    """A context without any is empty; what is given several times is a list, in its order."""
    kept.Carries.values = {}
    finish(harness, "Crossing/", method=method)
    finish(harness, "Crossing/?a=1&b=x&b=&b=x&c=", method=method)
    assert [{}, {"a": "1", "b": ["x", "", "x"], "c": ""}] == Ledger.seen
