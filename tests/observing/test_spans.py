"""Spans, where an SDK of OpenTelemetry records them: one for a start, one for each attempt at a step."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fantasm_gcp.observing.spans import Span, consuming, producing

PROGRAM = Path(__file__).with_name("recording.py")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
has_sdk = importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk")
needs_sdk = pytest.mark.skipif(not has_sdk, reason="opentelemetry-sdk is not installed")


@pytest.fixture(scope="module")
def recorded():
    ran = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, timeout=60)
    assert 0 == ran.returncode, ran.stderr
    return json.loads(ran.stdout)


def spans(recorded, run):
    return {each["name"]: each for each in recorded[run]["spans"]}


@needs_sdk
def test_the_spans_of_a_chain_are_a_chain(recorded):
    """The start hangs under the request, the first step under the start, each next under the one before."""
    found = recorded["line"]["spans"]
    assert ["fantasm start Line", "fantasm Line.One", "fantasm Line.Two", "fantasm Line.Three"] == [
        each["name"] for each in found
    ]
    assert ["PRODUCER", *["CONSUMER"] * 3] == [each["kind"] for each in found]
    assert [SPAN, *(each["span"] for each in found[:-1])] == [each["parent"] for each in found]
    assert {(TRACE, "v=1")} == {(each["trace"], each["state"]) for each in found}


@needs_sdk
def test_what_is_logged_in_a_step_has_the_id_of_the_span_that_is_recorded(recorded):
    """The logs of a span are found by it."""
    found = spans(recorded, "line")
    assert [[state, TRACE, found[f"fantasm Line.{state}"]["span"]] for state in ("One", "Two", "Three")] == (
        recorded["line"]["scopes"]
    )


@needs_sdk
def test_a_span_says_which_message_of_which_queue_it_is_about(recorded):
    """In the words of the conventions for messaging, and in ours."""
    attributes = spans(recorded, "line")["fantasm Line.Two"]["attributes"]
    assert ("gcp_cloud_tasks", "default", "Line", "Two", "ok", 1, "completed") == tuple(
        attributes[name]
        for name in (
            "messaging.system",
            "messaging.destination.name",
            "fantasm.machine",
            "fantasm.state",
            "fantasm.event",
            "fantasm.attempt",
            "fantasm.outcome",
        )
    )
    assert attributes["messaging.message.id"].endswith("--One--ok--Two--1")


@needs_sdk
def test_without_a_request_the_start_is_the_root(recorded):
    """Its trace is the one that the SDK made, so that its sampler decides."""
    found = recorded["alone"]["spans"]
    assert [None, *(each["span"] for each in found[:-1])] == [each["parent"] for each in found]
    assert 1 == len({each["trace"] for each in found})


@needs_sdk
def test_what_the_caller_does_not_record_is_not_recorded(recorded):
    """The flag goes along with every task."""
    assert ([], 3) == (recorded["unsampled"]["spans"], len(recorded["unsampled"]["scopes"]))
    assert {TRACE} == {trace for _, trace, _ in recorded["unsampled"]["scopes"]}


@needs_sdk
def test_a_fan_in_links_to_all_that_arrived(recorded):
    """Its parent is the one that opened the window."""
    found = recorded["gather"]["spans"]
    parts = [each["span"] for each in found if each["name"] == "fantasm Gather.Part"]
    (collect,) = [each for each in found if each["name"] == "fantasm Gather.Collect"]
    assert {f"{TRACE}-{span}" for span in parts} == set(collect["links"])
    assert collect["parent"] in parts


@needs_sdk
def test_links_are_bounded_and_what_is_left_out_is_counted(recorded):
    """Of 120 contexts that arrive, from as many steps."""
    (collect,) = [each for each in recorded["many"]["spans"] if each["name"] == "fantasm Gather.Collect"]
    assert (100, 20) == (len(set(collect["links"])), collect["attributes"]["fantasm.links_left_out"])


@needs_sdk
def test_a_window_that_is_open_for_hours_has_another_trace_and_a_link(recorded):
    """Ten contexts of one step come from one place: that is one link, beside the one to who opened it."""
    (collect,) = [each for each in recorded["slow"]["spans"] if each["name"] == "fantasm Slow.Collect"]
    (split,) = [each for each in recorded["slow"]["spans"] if each["name"] == "fantasm Slow.Split"]
    assert {f"{TRACE}-{split['span']}"} == set(collect["links"])
    assert (False, False) == (TRACE == collect["trace"], "fantasm.links_left_out" in collect["attributes"])


@needs_sdk
def test_attempts_that_fail_are_siblings_with_their_exceptions(recorded):
    """All hang under the start."""
    start, *tries = recorded["failing"]["spans"]
    assert 4 == len(tries) == len({each["span"] for each in tries})
    assert {(start["span"], "ERROR", "exception")} == {
        (each["parent"], each["status"], *each["events"]) for each in tries
    }


@needs_sdk
def test_an_exception_without_words_is_an_attempt_that_failed_like_any_other(recorded):
    """The SDK asks it for its words and gets another exception: still the step is given up in time."""
    start, *tries = recorded["rude"]["spans"]
    assert 4 * [(start["span"], "ERROR")] == [(each["parent"], each["status"]) for each in tries]


@needs_sdk
@pytest.mark.parametrize(("when", "spans"), [("start", 0), ("end", 4)])
def test_spans_that_cannot_be_recorded_stop_no_step(recorded, when, spans):
    """What the application has an SDK do may raise whatever it wants."""
    found = recorded[f"broken at the {when}"]
    assert (["One", "Two", "Three"], spans) == ([each[0] for each in found["scopes"]], len(found["spans"]))


@needs_sdk
def test_a_task_that_carries_its_step_is_traced_alike(recorded):
    """Until it waits for hours: then there is another trace, with a link."""
    found = recorded["loose"]["spans"]
    assert [SPAN, found[0]["span"], found[1]["span"]] == [each["parent"] for each in found[:3]]
    assert ([f"{TRACE}-{found[2]['span']}"], False) == (found[3]["links"], found[3]["trace"] == TRACE)


@needs_sdk
def test_a_start_hangs_under_the_span_that_is_open(recorded):
    """That is nearer than the request's."""
    found = spans(recorded, "own")
    assert found["of the view"]["span"] == found["fantasm start Child"]["parent"]
    assert found["fantasm start Child"]["span"] == found["fantasm Child.Grow"]["parent"]


def test_without_an_sdk_there_are_no_spans():
    """And every word to them is lost without harm."""
    with consuming("name", None, (), {}) as span, producing("name", None, {}) as another:
        for each in (span, another, Span()):
            each.links_to([])
            each.says({"a": 1})
            each.failed(ValueError("bad"), "bad")
            assert each.trace is None
