"""Log lines: the fields of Cloud Logging, what Error Reporting is shown, and bounds that always hold."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from fantasm_gcp.core.traces import Trace
from fantasm_gcp.observing.lines import ENTRY_LIMIT, ERROR_EVENT, JsonFormatter, TextFormatter, severity_of
from fantasm_gcp.observing.scope import Scope, within

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FORMATTER = JsonFormatter(lambda: "project", "default", "v1")


def made(message="hello", *args, level=logging.INFO, **attributes):
    record = logging.LogRecord("app", level, "/srv/app.py", 12, message, args, None, "view")
    vars(record).update(attributes)
    return record


def entry(record, formatter=FORMATTER):
    line = formatter.format(record)
    assert "\n" not in line
    assert ENTRY_LIMIT > len(line.encode())
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def raised(error):
    try:
        raise error
    except type(error):
        return sys.exc_info()


def test_a_line_has_the_fields_that_cloud_logging_takes_out():
    """Severity, message, time, and where it was logged."""
    assert {
        "severity": "INFO",
        "message": "hello world",
        "time": "2026-01-02T03:04:05.678901Z",
        "logging.googleapis.com/sourceLocation": {"file": "/srv/app.py", "line": "12", "function": "view"},
        "logger": "app",
    } == entry(made("hello %s", "world", created=1767323045.678901))


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (0, "DEBUG"),
        (10, "DEBUG"),
        (19, "DEBUG"),
        (20, "INFO"),
        (25, "NOTICE"),
        (30, "WARNING"),
        (39, "WARNING"),
        (40, "ERROR"),
        (50, "CRITICAL"),
        (99, "CRITICAL"),
    ],
)
def test_levels_have_severities(level, severity):
    """A level between two is the lower one."""
    assert severity == severity_of(level)


def test_a_line_within_a_scope_names_trace_labels_and_request():
    """The trace by the project that it is in."""
    scope = Scope(Trace(TRACE, SPAN, 1), {"fantasm_machine": "M"}, {"requestMethod": "GET"})
    with within(scope):
        line = entry(made())
    assert f"projects/project/traces/{TRACE}" == line["logging.googleapis.com/trace"]
    assert (SPAN, True) == (
        line["logging.googleapis.com/spanId"],
        line["logging.googleapis.com/trace_sampled"],
    )
    assert ({"fantasm_machine": "M"}, {"requestMethod": "GET"}) == (
        line["logging.googleapis.com/labels"],
        line["httpRequest"],
    )
    assert "httpRequest" not in entry(made())


def test_a_trace_without_span_or_project_is_named_as_far_as_it_is_known():
    """The id alone links lines to each other still."""
    with within(Scope(Trace(TRACE, ""))):
        line = entry(made(), JsonFormatter(lambda: "", "s", ""))
    assert TRACE == line["logging.googleapis.com/trace"]
    assert "logging.googleapis.com/spanId" not in line


def test_an_error_with_a_traceback_is_an_event_of_error_reporting():
    """It is grouped by the traceback, and listed under service and version."""
    line = entry(made("it broke", level=logging.ERROR, exc_info=raised(ValueError("bad"))))
    assert (ERROR_EVENT, {"service": "default", "version": "v1"}) == (line["@type"], line["serviceContext"])
    assert line["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert line["stack_trace"].endswith("ValueError: bad")
    assert "it broke" == line["message"]


def test_what_is_tried_again_is_no_event():
    """Error Reporting takes any line with a ``stack_trace``, so there the traceback is elsewhere."""
    line = entry(made("again", level=logging.WARNING, exc_info=raised(ValueError("bad"))))
    assert {"@type", "stack_trace", "exception", "serviceContext"}.isdisjoint(line)
    assert "ValueError: bad" in line["traceback"]


def test_an_error_without_an_exception_is_no_event():
    """There is nothing to group it by."""
    assert "@type" not in entry(made(level=logging.ERROR))
    assert "@type" not in entry(made(level=logging.ERROR, exc_info=(None, None, None)))


class Wordless:
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


class Hostile(dict):
    def __iter__(self):
        raise RuntimeError("no items")

    def __len__(self):
        return 1


class Pretender(str):
    def encode(self, *_):
        raise RuntimeError("no bytes")


RING: list[object] = []
RING.append({"ring": RING})
DEEP: list[object] = []
for _ in range(5_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "record",
    [
        made("%s and %s", "one"),
        made("no place", "one"),
        made("%d", "text"),
        made("%s", Wordless()),
        made(Wordless()),
        made("\ud800 alone \x00 and \u2028"),
        made("%(name)s", {"name": "\udfff"}),
        made(extra_value=Wordless(), other=Hostile(a=1), ring=RING, deep=DEEP, text=Pretender("x")),
        made(numbers=[float("nan"), float("inf"), 10**400, -(2**63), 1e308], keys={1: 2, (1, 2): 3, None: 4}),
        made(binary=b"\xff", a_set={1}, nothing=None, kind=int, many=list(range(100_000))),
        made(created=float("nan")),
        made(created=1e30),
        made(fantasm=Wordless()),
        made(fantasm={"x" * 1000: "y" * 1_000_000}),
        made("x" * 1_000_000),
        made("\U0001f600" * 200_000),
        made("\x00" * 200_000, level=logging.ERROR, exc_info=raised(ValueError("\x01" * 200_000))),
        made(extra_value="\U0001f600" * 200_000, **{f"name{i}": "x" * 10_000 for i in range(100)}),
        made(exc_info=raised(Exception(Wordless())), level=50),
        made(exc_info=True, level=50),
        made(exc_info=(ValueError, ValueError("no traceback"), None), level=50),
        made(stack_info="Stack:\n  here"),
        made(name=Wordless(), pathname=Wordless(), funcName=None, lineno=None),
    ],
    ids=range(23),
)
def test_any_record_is_a_line_of_bounded_size(record):
    """Arguments that do not fit, surrogates, rings, hostile classes, megabytes: nothing raises."""
    scope = Scope(
        Trace(TRACE, SPAN), {f"label{i}": "\x00" * 10_000 for i in range(50)}, {"requestUrl": "/" * 10**6}
    )
    with within(scope):
        assert entry(record)["message"]
    assert TextFormatter().format(record)


def test_what_is_cut_says_so():
    """Of a message the beginning is kept, of a traceback the end, where the error is."""
    line = entry(made("x" * 300_000, level=40, exc_info=raised(ValueError("y" * 300_000 + "the end"))))
    assert line["message"].endswith("x (cut: the first part of 300,000 characters)")
    assert line["stack_trace"].endswith("the end")
    assert line["stack_trace"].startswith("(cut: the last part of")


def test_extras_are_kept_beside_the_message():
    """But what a label says already is not said again."""
    with within(Scope(labels={"fantasm_state": "A", "fantasm_step": "s"})):
        line = entry(made(state="A", step="t", tags=("x",), fantasm={"verdict": "done"}))
    assert {"step": "t", "tags": ["x"]} == line["extra"]
    assert {"verdict": "done"} == line["fantasm"]


def test_the_text_of_people_names_the_instance():
    """And has the traceback below it."""
    record = made("it broke", level=40, exc_info=raised(ValueError("bad")), created=0)
    with within(Scope(labels={"fantasm_instance": "M-1", "fantasm_state": "A"})):
        first, *rest = TextFormatter().format(record).splitlines()
    assert "1970-01-01T00:00:00.000000Z ERROR    app [M-1 A] it broke" == first
    assert ("Traceback (most recent call last):", "ValueError: bad") == (rest[0], rest[-1])
    assert TextFormatter().format(made(created=0)).endswith("INFO     app hello")
