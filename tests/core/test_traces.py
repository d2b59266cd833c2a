"""Places in traces: the two headers they come in, the texts they are kept as, the ids that are made."""

from __future__ import annotations

import pytest

from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.traces import (
    MOST_LINKS,
    STATE_LIMIT,
    Trace,
    begun_after_waiting,
    begun_by,
    bounded,
    headers_of,
    of_text,
    parse_cloud,
    parse_parent,
    parse_state,
    render_parent,
    span_of,
    to_text,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f"00-{TRACE}-{SPAN}-ff", 3),
        (f"00-{TRACE}-{SPAN}-fe", 2),
        (f"01-{TRACE}-{SPAN}-ff", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", 1),
        (f"fe-{TRACE}-{SPAN}-00-", 0),
    ],
)
def test_a_parent_is_read_with_the_flags_that_have_a_meaning(header, flags):
    """Any flags byte is valid; of a later version only what is known of all versions is kept."""
    assert Trace(TRACE, SPAN, flags) == parse_parent(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01.",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00_{TRACE}_{SPAN}_01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"00-{'٣' * 32}-{SPAN}-01",
    ],
)
def test_what_the_standard_calls_invalid_is_no_parent(header):
    """Zeros, capitals, another length, the forbidden version, two headers joined to one."""
    assert parse_parent(header) is None


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (f"{TRACE}/255;o=1", Trace(TRACE, "00000000000000ff", 1)),
        (f"{TRACE}/255;o=0", Trace(TRACE, "00000000000000ff")),
        (f"{TRACE}/255", Trace(TRACE, "00000000000000ff")),
        (f"{TRACE.upper()}/18446744073709551615;o=1", Trace(TRACE, "f" * 16, 1)),
        (f"{TRACE}/0;o=1", Trace(TRACE, "", 1)),
        (f"{TRACE};o=1", Trace(TRACE, "", 1)),
        (TRACE, Trace(TRACE, "")),
        (f"{TRACE}/18446744073709551616;o=1", None),
        (f"{'0' * 32}/1;o=1", None),
        (f"{TRACE}/ff;o=1", None),
        (f"{TRACE}/-1", None),
        (f"{TRACE}/", None),
        (f"{TRACE}/1;o=", None),
        (f"{TRACE}/1;o=1;x", None),
        (f"{TRACE[1:]}/1", None),
        (f"{TRACE}/٣", None),
        ("", None),
    ],
)
def test_googles_own_header_is_read(header, place):
    """Its span is a decimal number of 64 bits, which may be missing or 0."""
    assert place == parse_cloud(header)


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("", ""),
        ("congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
        ("rojo=00f067aa0ba902b7,\tcongo=t61 ,", "rojo=00f067aa0ba902b7,congo=t61"),
        ("fw529a3039@dt=FfAAAA", "fw529a3039@dt=FfAAAA"),
        ("a=with blanks inside", "a=with blanks inside"),
        ("UPPER=1", ""),
        ("a=1,a=2", ""),
        ("a", ""),
        ("a=", ""),
        ("a=b=c", ""),
        ("a=1\r\nSet-Cookie: x", ""),
        ("a=ü", ""),
        (f"{'k' * 257}=1", ""),
        (f"a={'v' * 257}", ""),
        (",".join(f"k{i}=1" for i in range(32)), ",".join(f"k{i}=1" for i in range(32))),
        (",".join(f"k{i}=1" for i in range(33)), ""),
    ],
)
def test_a_state_is_passed_along_or_left_out(header, kept):
    """Members, their keys and values are checked; an invalid one spoils the whole header."""
    assert kept == parse_state(header)


def test_of_a_state_that_is_too_long_long_members_go_first():
    """Then those at the end: what is left has 512 characters at most."""
    long, short = f"long={'v' * 200}", [f"k{i:02}={'v' * 40}" for i in range(12)]
    assert ",".join(short[:11]) == parse_state(",".join([long, *short]))
    assert STATE_LIMIT >= len(parse_state(",".join(f"k{i}={'v' * 100}" for i in range(30)))) > 400
    assert f"a={'v' * 256}" == parse_state(f"a={'v' * 256},b={'v' * 256}")


def test_a_parent_with_a_broken_state_stays_a_parent():
    """The standard has the state alone left out."""
    assert Trace(TRACE, SPAN, 1) == parse_parent(f"00-{TRACE}-{SPAN}-01", "NOT VALID")
    assert Trace(TRACE, SPAN, 1, "a=1") == parse_parent(f"00-{TRACE}-{SPAN}-01", "a=1")


@pytest.mark.parametrize("place", [Trace(TRACE, SPAN), Trace(TRACE, SPAN, 3), Trace(TRACE, SPAN, 1, "a=b c")])
def test_a_place_is_the_same_after_it_was_kept_and_sent(place):
    """As the text of rows, and as headers."""
    headers = headers_of(place)
    assert place == of_text(to_text(place))
    assert place == parse_parent(headers["traceparent"], headers.get("tracestate", ""))


@pytest.mark.parametrize("text", [None, "", "  ", "nothing", 7, ["00"], f"00-{TRACE}-{SPAN}"])
def test_what_is_no_text_of_a_place_is_none(text):
    """A row from before there were traces, or a header that somebody made up."""
    assert of_text(text) is None


def test_no_header_has_flags_that_are_not_known():
    """Whatever came in: the standard asks for zeros."""
    assert f"00-{TRACE}-{SPAN}-03" == render_parent(Trace(TRACE, SPAN, 255))
    assert {} == headers_of(None)


def test_made_ids_are_valid_and_depend_on_all_that_tells_them_apart():
    """Every attempt of every epoch of every step has a span of its own, always the same."""
    step = StepName("abc-Machine-1--main--A--ok--B--1")
    spans = [span_of(step, epoch, attempt) for epoch in range(3) for attempt in range(3)]
    assert spans == [span_of(step, epoch, attempt) for epoch in range(3) for attempt in range(3)]
    assert 9 == len({*spans, span_of(StepName("other"), 0, 0)}) - 1
    begun = begun_by(InstanceId("Machine-1"))
    assert begun == parse_parent(render_parent(begun))


def test_an_instance_begins_in_the_trace_of_its_request():
    """Where that names no span, the start stands for one; without a request there is a trace of its own."""
    instance = InstanceId("Machine-1")
    alone = begun_by(instance)
    assert Trace(TRACE, SPAN, 1) == begun_by(instance, Trace(TRACE, SPAN, 1))
    assert Trace(TRACE, alone.span, 1) == begun_by(instance, Trace(TRACE, "", 1))
    assert not alone.is_sampled
    assert alone.id != begun_by(InstanceId("Machine-2")).id


def test_after_a_long_wait_there_is_another_trace_recorded_as_the_one_before():
    """The state belongs to the trace before, and is not passed on."""
    before = Trace(TRACE, SPAN, 1, "a=1")
    after = begun_after_waiting(StepName("step"), before)
    assert (True, True, "") == (after.is_sampled, after.id != before.id, after.state)


def test_links_are_bounded_and_each_place_is_linked_to_once():
    """How many are left out is told."""
    links = [Trace(TRACE, f"{i:016x}") for i in range(1, MOST_LINKS + 6)]
    kept, left = bounded([*links, *links])
    assert (tuple(links[:MOST_LINKS]), 5) == (kept, left)
    assert ((), 0) == bounded([])
