"""Whole machines: which step hangs under which, in which trace, with which links."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import tracing

from fantasm_gcp.core.names import InstanceId, StepName
from fantasm_gcp.core.records import Entry, instance_key, record_key, task_key
from fantasm_gcp.core.spreading import Bounds
from fantasm_gcp.core.traces import of_text, parse_parent
from fantasm_gcp.engine.ports import Limits
from fantasm_gcp.observing.scope import current
from fantasm_gcp.testing import Crash, Harness

HERE = Path(__file__).parent
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}


@pytest.fixture
def harness():
    tracing.SEEN.clear()
    with Harness(HERE / "tracing.yaml") as made:
        yield made


def lookup(harness, key):
    found = harness.fantasm.services.store.lookup([key])[0]
    return None if found is None else found.row


def record(harness, scope):
    """The record of the step that ran in a scope."""
    return lookup(harness, record_key(StepName(scope.labels["fantasm_step"])))


def start(harness, url, **headers):
    return harness.start(url, headers=headers or HEADERS).json["instance"]


def step_through(harness):
    """Delivers what there is; answers each task's name with the place that its headers name."""
    parents = {}
    for _ in range(100):
        attempt = harness.next_attempt()
        if attempt is None:
            return parents
        parents |= deliver(harness, attempt)
    raise AssertionError("it does not end")


def deliver(harness, attempt):
    sent = {name.lower(): value for name, value in attempt.delivery.headers.items()}
    harness.deliver(attempt)
    return {sent["x-fantasm-step"]: parse_parent(sent["traceparent"], sent.get("tracestate", ""))}


def seen(state):
    return [scope for name, scope in tracing.SEEN if name == state]


def parent(parents, scope):
    """The place that the headers of a scope's task named."""
    return parents[scope.labels["fantasm_step"]]


def test_each_step_of_a_chain_hangs_under_the_one_before(harness):
    """One trace, that of the request; every step's span is its own, and its records keep it."""
    start(harness, "Line/")
    parents = step_through(harness)
    one, two, three = (seen(state)[0] for state in ("One", "Two", "Three"))
    assert (TRACE, SPAN, 1, "vendor=1") == parent(parents, one)
    assert [one.trace, two.trace] == [parent(parents, two), parent(parents, three)]
    assert {TRACE} == {each.trace.id for each in (one, two, three)}
    assert 4 == len({SPAN, one.trace.span, two.trace.span, three.trace.span})
    assert [one.trace, three.trace] == [record(harness, one).trace, record(harness, three).trace]


def test_a_request_without_a_trace_begins_one_of_the_instance(harness):
    """Started twice under one key, with nothing to go by, it is the same one."""
    instance = harness.start("Line/", headers={"Idempotency-Key": "k"}).json["instance"]
    before = lookup(harness, instance_key(InstanceId(instance))).trace
    harness.start("Line/", headers={"Idempotency-Key": "k"})
    parents = step_through(harness)
    assert before == lookup(harness, instance_key(InstanceId(instance))).trace
    assert before == parent(parents, seen("One")[0])
    assert not before.is_sampled


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"X-Cloud-Trace-Context": f"{TRACE}/255;o=1"}, (TRACE, "00000000000000ff", 1, "")),
        ({"X-Cloud-Trace-Context": f"{'a' * 32}/1;o=0", **HEADERS}, (TRACE, SPAN, 1, "vendor=1")),
        ({"X-Cloud-Trace-Context": f"{TRACE}/7", "traceparent": "garbage"}, (TRACE, f"{7:016x}", 0, "")),
    ],
    ids=["of Google", "of both", "of one that is broken"],
)
def test_the_standards_header_counts_before_googles(harness, headers, trace):
    """A broken one counts as none."""
    start(harness, "Line/", **headers)
    step_through(harness)
    assert trace == record_parent(harness, "Line")


def record_parent(harness, machine):
    (entity,) = harness.datastore.query(kind="FantasmInstance").fetch()
    assert machine == entity["machine"]
    return of_text(entity["trace"])


def test_a_start_from_an_action_or_a_view_goes_on_in_the_trace_there(harness):
    """Whoever starts a machine in Python needs to pass nothing."""

    @harness.app.post("/own")
    def own():
        harness.fantasm.start_machine("Line")
        return {"span": current().trace.span, "path": current().request["requestUrl"]}

    answer = harness.client.post("/own?secret=1", headers=HEADERS).json
    assert {"span": SPAN, "path": "/own"} == answer
    assert current() is None
    assert (TRACE, SPAN, 1, "vendor=1") == record_parent(harness, "Line")


def test_the_pages_of_a_continuation_hang_under_each_other(harness):
    """The follow-up is made before its page is committed, and hangs under the attempt that made it."""
    start(harness, "Pages/")
    parents = step_through(harness)
    first, second, third = seen("Walk")
    assert (TRACE, SPAN, 1, "vendor=1") == parent(parents, first)
    assert [first.trace, second.trace] == [parent(parents, second), parent(parents, third)]
    assert {first.trace, second.trace, third.trace} == {parent(parents, each) for each in seen("Last")}


def test_forks_hang_under_their_step_and_meet_again_with_links(harness):
    """The window goes on in the trace of who opened it; its entries say where each comes from."""
    start(harness, "Gather/?forks=3")
    parents = {}
    for _ in range(5):  # the split and its parts
        parents |= deliver(harness, harness.next_attempt())
    sources = {of_text(each["trace"]) for each in harness.datastore.query(kind=Entry.kind).fetch()}
    parents |= step_through(harness)
    (split,), parts, (collect,) = seen("Split"), seen("Part"), seen("Collect")
    assert [split.trace] * 4 == [parent(parents, each) for each in parts]
    assert {each.trace for each in parts} == sources
    assert parts[0].trace == parent(parents, collect)
    assert TRACE == collect.trace.id


def test_what_is_sent_on_its_way_in_shares_hangs_under_the_share():
    """Forks and starts that are too many for one commit."""
    tracing.SEEN.clear()
    with Harness(HERE / "tracing.yaml", limits=Limits(spread=Bounds(departures=2))) as harness:
        start(harness, "Brood/?forks=4&children=3")
        parents = step_through(harness)
        (split,) = seen("Split")
        parts, grown = seen("Part"), seen("Grow")
        places = {parent(parents, each) for each in [*parts, *grown]}
        shares = [name for name in parents if "--main_s0-" in name]
        assert (5, 3, True) == (len(parts), len(grown), len(shares) > 1)
        assert [split.trace] * len(shares) == [parents[name] for name in shares]
        assert {lookup(harness, record_key(StepName(name))).trace for name in shares} == places - {
            split.trace
        }
        assert {TRACE} == {place.id for place in places}


def test_a_request_within_a_request_leaves_the_outer_one_as_it_was(harness):
    """A view that calls another one of its own application."""

    @harness.app.get("/inner")
    def inner():
        return current().trace.span

    @harness.app.get("/outer")
    def outer():
        spans = [harness.client.get("/inner", headers={"X-Cloud-Trace-Context": f"{TRACE}/7"}).text]
        return [*spans, current().trace.span]

    with harness.app.app_context():
        assert [f"{7:016x}", SPAN] == harness.client.get("/outer", headers=HEADERS).json
        assert current() is None


def test_a_joins_step_goes_on_in_the_instances_trace(harness):
    """It comes of the end of all branches, and hangs under the start."""
    start(harness, "Meet/")
    parents = step_through(harness)
    (join,) = seen("Join")
    assert (TRACE, SPAN, 1, "vendor=1") == parent(parents, join)


def test_entries_at_a_join_say_where_they_come_from(harness):
    """As those of a window."""
    start(harness, "Meet/")
    for _ in range(3):
        harness.deliver(harness.next_attempt())
    entities = list(harness.datastore.query(kind=Entry.kind).fetch())
    assert {each.trace for each in seen("Part")} == {of_text(each["trace"]) for each in entities}


def test_a_window_that_is_open_for_hours_begins_a_trace_and_links_to_its_opener(harness):
    """What hangs under something that was over long ago is hard to find."""
    start(harness, "Slow/")
    harness.deliver(harness.next_attempt())
    (entity,) = harness.datastore.query(kind="FantasmTask").fetch()
    (split,) = seen("Split")
    assert [split.trace] == [of_text(each) for each in entity["links"]]
    assert (False, True) == (of_text(entity["trace"]).id == TRACE, of_text(entity["trace"]).is_sampled)
    parents = step_through(harness)
    assert of_text(entity["trace"]) == parent(parents, seen("Collect")[0])


def test_up_to_an_hour_of_waiting_is_no_new_trace(harness):
    """Beyond it there is one, with a link; what follows goes on in the new one."""
    start(harness, "Late/")
    parents = step_through(harness)
    one, two, three = (seen(state)[0] for state in ("One", "Two", "Three"))
    assert (TRACE, TRACE, False) == (one.trace.id, two.trace.id, three.trace.id == TRACE)
    assert parent(parents, three).id == three.trace.id
    assert "" == three.trace.state


def test_what_is_spawned_and_told_goes_on_in_the_same_trace(harness):
    """With and without records, and the machine that is told of the end."""
    instance = start(harness, "Parent/")
    parents = step_through(harness)
    (bear,), (grow,), (hear,) = seen("Bear"), seen("Grow"), seen("Hear")
    (loose,) = seen("One")
    assert [bear.trace, bear.trace] == [parent(parents, grow), parent(parents, loose)]
    assert lookup(harness, instance_key(InstanceId(instance))).trace == parent(parents, hear)
    assert TRACE == hear.trace.id


def test_a_task_that_carries_its_step_carries_the_place_too(harness):
    """What Google's servers make of ``traceparent`` does not matter, nor who sends a header of ours."""
    start(harness, "Loose/")
    while (attempt := harness.next_attempt()) is not None:
        headers = attempt.delivery.headers
        for name in list(headers):
            if name.lower() == "traceparent":
                headers[name] = f"00-{TRACE}-{'9' * 16}-01"
        harness.deliver(attempt)
    one, two, three = (seen(state)[0] for state in ("One", "Two", "Three"))
    assert [TRACE, TRACE] == [one.trace.id, two.trace.id]
    assert TRACE != three.trace.id
    assert "9" * 16 not in {one.trace.span, two.trace.span}


@pytest.mark.parametrize("value", ["[]", "7", "null", "[7]", '{"a": 1}', '["00-zz"]'])
def test_a_carried_place_that_cannot_be_read_is_none_or_refused(harness, value):
    """Only a task of ours has that header; whoever made another up gets no 500."""
    start(harness, "Loose/")
    attempt = harness.next_attempt()
    name = next(each for each in attempt.delivery.headers if each.lower() == "x-fantasm-trace")
    attempt.delivery.headers[name] = value
    assert harness.answer(attempt) in (200, 400)


def test_an_instance_keeps_no_header_that_claims_to_be_its_place(harness):
    """``X-Fantasm-Trace`` is the engine's own."""
    start(harness, "Line/", **{"X-Fantasm-Trace": "mine", "X-Fantasm-Reason": "yes"})
    attempt = harness.next_attempt()
    names = {name.lower() for name in attempt.delivery.headers}
    assert (True, False) == ("x-fantasm-reason" in names, "x-fantasm-trace" in names)


def test_every_attempt_has_a_span_and_all_of_a_step_hang_under_the_same(harness):
    """Also where a task carries its step."""
    for machine in ("Failing", "LooseFailing"):
        tracing.SEEN.clear()
        start(harness, f"{machine}/")
        parents = step_through(harness)
        tries, (last,) = seen("Try"), seen("Last")
        assert {(TRACE, SPAN, 1, "vendor=1")} == {parent(parents, each) for each in tries}
        assert 3 == len({each.trace.span for each in tries})
        assert ["1", "2", "3"] == [each.labels["fantasm_attempt"] for each in tries]
        assert tries[-1].trace == parent(parents, last)


def test_the_last_attempt_at_a_step_without_a_row_is_told_as_the_last(harness, caplog):
    """Nothing is left of the step, so its line and an error are all there is."""
    start(harness, "LooseFailing/?bad=9")
    with caplog.at_level(logging.INFO, "fantasm_gcp"):
        step_through(harness)
    told = [each.fantasm for each in caplog.records if each.name == "fantasm_gcp.steps"]
    assert [("retry", False)] * 3 + [("failed", True)] == [
        (each["verdict"], each["given_up"]) for each in told
    ]
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert [True] == ["is dropped, attempt 4: RuntimeError: bad luck 4" in each for each in errors]


def test_two_deliveries_of_one_attempt_write_the_same_places(harness):
    """The first dies at its commit; the rows of the second are equal in that."""
    start(harness, "Gather/")
    harness.deliver(harness.next_attempt())
    attempt, written = harness.next_attempt(), []

    def around(rpc, carry_out):
        if rpc.method == "Commit":
            rows = [each.insert for each in rpc.request.mutations if each.HasField("insert")]
            written.append([(str(row.key), row.properties["trace"].string_value) for row in rows])
            raise Crash
        return carry_out()

    harness.around = around
    for _ in range(2):
        with pytest.raises(Crash):
            harness.answer(attempt)
    harness.around = lambda _, carry_out: carry_out()
    assert 2 == len(written)
    assert written[0] == written[1]
    assert all(trace for key, trace in written[0] if "FantasmFanIn" not in key)


def test_rows_from_before_there_were_traces_are_read_and_get_one(harness):
    """All steps of such an instance get the same."""
    start(harness, "Line/")
    for kind in ("FantasmTask", "FantasmInstance"):
        (entity,) = harness.datastore.query(kind=kind).fetch()
        del entity["trace"]
        harness.datastore.put(entity)
    (task,) = harness.datastore.query(kind="FantasmTask").fetch()
    assert lookup(harness, task_key(StepName(task.key.name))).trace is None
    harness.run()
    assert (3, 1) == (len(tracing.SEEN), len({scope.trace.id for _, scope in tracing.SEEN}))
    assert TRACE != tracing.SEEN[0][1].trace.id


def test_actions_run_under_labels_of_which_nothing_is_left(harness):
    """They are those of the step; after the delivery there is no scope."""
    instance = start(harness, "Line/")
    harness.run()
    scope = seen("Two")[0]
    expected = {"fantasm_machine": "Line", "fantasm_state": "Two", "fantasm_event": "ok"}
    assert expected | {"fantasm_instance": instance, "fantasm_attempt": "1"} == {
        name: value for name, value in scope.labels.items() if name != "fantasm_step"
    }
    assert "/fsm/Line/One/ok/Two/" in scope.request["requestUrl"]
    assert current() is None


def lines(caplog):
    return [each for each in caplog.records if each.name == "fantasm_gcp.steps"]


def test_every_delivery_that_is_answered_has_a_line(harness, caplog):
    """It says in words and in fields what ran, what that came to and how long it took."""
    caplog.set_level(logging.INFO, "fantasm_gcp.steps")
    instance = start(harness, "Failing/?bad=1")
    harness.run()
    first, second, third = lines(caplog)
    assert "Failing: start -> Try retry in 0 ms: RuntimeError: bad luck 1" == first.getMessage()
    assert "Failing: start -> Try done, attempt 2 in 0 ms" == second.getMessage()
    assert "Failing: Try.ok -> Last done in 0 ms" == third.getMessage()
    told = first.fantasm
    assert (instance, "Failing", "Try", "retry", 1) == tuple(
        told[name] for name in ("instance", "machine", "state", "verdict", "attempt")
    )
    assert (False, 16) == (told["given_up"], len(told["fingerprint"]))
    assert ("done", "completed", "ok", 1, 2) == tuple(
        second.fantasm[name] for name in ("verdict", "outcome", "returned", "next", "attempt")
    )
    assert all(each.fantasm["queue_delay_ms"] >= 0 for each in lines(caplog))


def test_the_line_of_a_fan_in_says_how_many_came(harness, caplog):
    """Their traces are named where they are others."""
    caplog.set_level(logging.INFO, "fantasm_gcp.steps")
    start(harness, "Gather/?forks=4")
    harness.run()
    (collected,) = [each.fantasm for each in lines(caplog) if each.fantasm["state"] == "Collect"]
    assert (5, None) == (collected["entries"], collected.get("links"))
    caplog.clear()
    start(harness, "Slow/?forks=1")
    harness.run()
    (slow,) = [each.fantasm for each in lines(caplog) if each.fantasm["state"] == "Collect"]
    assert (2, [TRACE], 0) == (slow["entries"], slow["links"], slow["links_left_out"])


def test_a_duplicate_and_a_failure_have_lines_of_their_own(harness, caplog):
    """A delivery of a step that is over is replayed; the last failure says that it is the last."""
    caplog.set_level(logging.INFO, "fantasm_gcp.steps")
    start(harness, "Line/")
    attempt = harness.next_attempt()
    assert [200, 200] == [harness.answer(attempt), harness.answer(attempt)]
    _, replayed = (each.fantasm for each in lines(caplog))
    assert ("replayed", "Line", "One") == (replayed["verdict"], replayed["machine"], replayed["state"])
    caplog.clear()
    start(harness, "Failing/?bad=9")
    harness.run()
    failed = [each.fantasm for each in lines(caplog) if each.fantasm["machine"] == "Failing"]
    assert [("retry", False)] * 3 + [("failed", True)] == [
        (each["verdict"], each["given_up"]) for each in failed
    ]


def test_a_silent_logger_costs_nothing_and_breaks_nothing(harness):
    """Without logging set up no line is made."""
    assert not logging.getLogger("fantasm_gcp.steps").isEnabledFor(logging.INFO)
    start(harness, "Line/")
    assert 3 == harness.run()


def test_immediate_mode_has_labels_too(harness):
    """Every step in the request's own place."""
    answer = harness.start("Line/?__im__=1", headers=HEADERS).json
    assert ["One", "Two", "Three"] == [scope.labels["fantasm_state"] for _, scope in tracing.SEEN]
    assert {(TRACE, SPAN)} == {(scope.trace.id, scope.trace.span) for _, scope in tracing.SEEN}
    assert {answer["instance"]} == {scope.labels["fantasm_instance"] for _, scope in tracing.SEEN}
