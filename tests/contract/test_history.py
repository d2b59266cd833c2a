"""What the API and the console read, and scrubbing, on every Datastore there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scrubbed import left, rows, scrub, write

from fantasm_gcp.core.context import Failure
from fantasm_gcp.core.names import (
    MAIN,
    InstanceId,
    StepName,
    entry_name,
    instance_id,
    join_entry_name,
    join_window,
    step_name,
)
from fantasm_gcp.core.records import (
    Collection,
    Commit,
    Entry,
    Hold,
    Instance,
    InstanceStatus,
    LogLine,
    Step,
    Task,
    TaskStatus,
    Upsert,
)
from fantasm_gcp.engine.history import FailureGroup, instance_of, told_by
from fantasm_gcp.errors import RefusedError
from fantasm_gcp.gateways.history import COLLECTED, COLLECTED_SHOWN, GROUPED
from fantasm_gcp.gateways.scrubbing import INSTANCES_PER_PAGE, KEYS_PER_STEP
from fantasm_gcp.testing import Harness

FSM = Path(__file__).parents[1] / "scenarios" / "scrubbing.yaml"


@pytest.fixture
def harness(datastore_backend):
    made = Harness(
        FSM,
        datastore=datastore_backend.channel,
        project=datastore_backend.project,
        namespace=datastore_backend.namespace,
    )
    yield made
    made.close()


def a_line(instance: str, n: int) -> LogLine:
    step = Step(InstanceId(instance), "Talk", MAIN, "Only", "again", "Only", n)
    return LogLine(f"{n}-{instance}", step, "talking.Only", 1_800_000_000.25 - n, 20 + n, f"line {n}")


def put(harness, *lines):
    harness.fantasm.services.store.commit(Commit(tuple(map(Upsert, lines))))


def test_lines_come_back_as_they_were_written(harness):
    """Every field; none and empty ones too."""
    plain = a_line("a", 0)
    full = replace(
        a_line("a", 1), tags=("x", "", "\N{EURO SIGN}" * 500), stack="T\n" * 8000, message="\x00'\"<&"
    )
    put(harness, plain, full)

    page = harness.fantasm.history.logs(InstanceId("a"), 10, "")

    assert {plain, full} == set(page.items)


def test_pages_of_lines_have_each_once(harness):
    """Of one instance, by their cursor, to the end."""
    lines = [a_line("a", n) for n in range(7)]
    put(harness, *lines, a_line("b", 0))
    found, cursor = [], ""
    while len(found) < 20:
        page = harness.fantasm.history.logs(InstanceId("a"), 3, cursor)
        assert len(page.items) <= 3
        found += page.items
        cursor = page.cursor
        if not cursor:
            break

    assert lines == sorted(found, key=lambda each: each.name)
    assert () == harness.fantasm.history.logs(InstanceId("c"), 3, "").items


def test_a_line_that_is_written_again_is_one_line(harness):
    """A commit that is repeated leaves no second one."""
    put(harness, a_line("a", 0))
    put(harness, a_line("a", 0))

    assert 1 == len(harness.fantasm.history.logs(InstanceId("a"), 10, "").items)


def test_a_wrong_cursor_is_refused(harness):
    """Whoever cut the address."""
    with pytest.raises(RefusedError):
        harness.fantasm.history.logs(InstanceId("a"), 10, "\N{EURO SIGN}")


def test_the_api_answers_logs_in_order_of_time(harness):
    """A page is sorted, has a cursor where more may follow, and tells what is known of each line."""
    name = harness.start("Talk/").json["instance"]
    harness.run()
    put(harness, *(a_line(name, n) for n in range(4)))

    shown = harness.get(f"instances/{name}/logs")

    assert ["line 3", "line 2", "line 1", "line 0", "line 0"] == [each["message"] for each in shown["logs"]]
    assert "" == shown["cursor"]
    first = shown["logs"][0]
    assert ("2027-01-15T07:59:57.250Z", "Level 23", [], None) == tuple(
        first[each] for each in ("time", "level", "tags", "stack")
    )
    assert ("Only", "Only", "again", "main", 3, "talking.Only") == tuple(
        first[each] for each in ("state", "from", "event", "branch", "n", "action")
    )
    part = harness.get(f"instances/{name}/logs?limit=2")
    rest = harness.get(f"instances/{name}/logs?limit=9&cursor={part['cursor']}")
    assert (2, 3) == (len(part["logs"]), len(rest["logs"]))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nope/logs", 404),
        ("%F0%9F%91%BB/logs", 404),
        ("x" * 3000 + "/logs", 404),
        ("{name}/logs?limit=0", 400),
        ("{name}/logs?limit=1001", 400),
        ("{name}/logs?cursor=cut", 400),
    ],
)
def test_wrong_requests_for_logs_are_refused(harness, path, status):
    """An instance that is not there, a limit out of bounds, a cursor that is none."""
    name = harness.start("Quiet/").json["instance"]

    answer = harness.client.get(f"/fantasm/api/instances/{path.format(name=name)}")

    assert (status, True) == (answer.status_code, "error" in answer.json)


def a_task(instance, n, status="failed", *, machine="Talk", state="Only", why="f0"):
    step = Step(InstanceId(instance), machine, MAIN, "Only", "again", state, n)
    failure = Failure(f"Error: {why}", "Traceback", why) if why else None
    return Task(step, b'{"n": 1}', "default", "POST", 1_800_000_000.0, TaskStatus(status), failure=failure)


def an_instance(name, parent=None, **more):
    return Instance(
        InstanceId(name),
        "Talk",
        InstanceStatus.RUNNING,
        1_800_000_000.0,
        StepName("first"),
        "hash",
        parent=parent,
        **more,
    )


def put_all(harness, given):
    for first in range(0, len(given), 400):
        put(harness, *given[first : first + 400])


def test_failed_steps_are_grouped(harness):
    """By machine, state and fingerprint, the largest first; what is retried or parked has not failed."""
    tasks = [a_task("a", n, state=("Only", "Other")[n % 3 == 0], why=("f1", "f2")[n % 2]) for n in range(12)]
    tasks += [a_task("b", 0, machine="Quiet"), a_task("b", 1, "queued"), a_task("b", 2, "parked")]
    put(harness, *tasks)
    history = harness.fantasm.history

    found = history.failure_groups("", "")

    assert found.complete
    assert [
        ("Talk", "Only", "f1", 4),
        ("Talk", "Only", "f2", 4),
        ("Quiet", "Only", "f0", 1),
        ("Talk", "Other", "f1", 2),
        ("Talk", "Other", "f2", 2),
    ] == sorted(
        ((each.machine, each.state, each.fingerprint, each.count) for each in found.groups),
        key=lambda each: (each[1] == "Other", -each[3], each[2]),
    )
    assert [4, 4, 2, 2, 1] == [each.count for each in found.groups]
    for each in found.groups:
        at = (each.example.step.machine, each.example.step.target, each.example.failure.fingerprint)
        assert (each.machine, each.state, each.fingerprint) == at
    assert [2, 2] == [each.count for each in history.failure_groups("Talk", "Other").groups]
    assert [1] == [each.count for each in history.failure_groups("Quiet", "").groups]
    assert () == history.failure_groups("Gone", "").groups


@pytest.mark.parametrize("more", [0, 1])
def test_more_failed_steps_than_are_read_are_counted(harness, more):
    """What was read is a sample then: its groups have the numbers that there are, and it says so."""
    tasks = [a_task("a", n, why="f1" if n % 10 else "f2") for n in range(GROUPED + more)]
    put_all(harness, tasks)

    found = harness.fantasm.history.failure_groups("Talk", "")

    assert (more == 0) == found.complete
    expected = [GROUPED - GROUPED // 10, GROUPED // 10 + more]
    assert [("f1", expected[0], False), ("f2", expected[1], False)] == [
        (each.fingerprint, each.count, each.more) for each in found.groups
    ]


def test_a_failed_step_without_an_error_is_in_a_group_of_its_own(harness):
    """Rows are data: one may lack what every failed step has."""
    bare = a_task("a", 0, why="")
    put(harness, bare)

    found = harness.fantasm.history.failure_groups("", "").groups

    assert (FailureGroup("Talk", "Only", "", 1, False, replace(bare, context=b"")),) == found


def test_pages_of_failed_steps_have_each_once(harness):
    """Of a machine, a state and a fingerprint, or of all, with their contexts."""
    mine = [a_task("a", n, why="f1") for n in range(5)]
    put(harness, *mine, a_task("a", 5, why="f2"), a_task("a", 6, state="Other", why="f1"))
    history = harness.fantasm.history
    found, cursor = [], ""
    while len(found) < 20:
        page = history.failures("Talk", "Only", "f1", 2, cursor)
        found += page.items
        cursor = page.cursor
        if not cursor:
            break

    assert mine == sorted(found, key=lambda each: each.step.n)
    assert [7, 6, 6] == [
        len(history.failures(*names, 10, "").items)
        for names in (("", "", ""), ("Talk", "", "f1"), ("Talk", "Only", ""))
    ]
    with pytest.raises(RefusedError):
        history.failures("", "", "", 10, "cut")


def test_steps_are_counted_by_status(harness):
    """Of an instance, of a machine, of a state of it."""
    put(harness, *(a_task("a", n, "parked", state=("Only", "Other")[n % 2]) for n in range(5)))
    put(harness, a_task("a", 5, "waiting"), a_task("b", 0, "parked"))
    count = harness.fantasm.history.count_steps

    assert (5, 1) == (
        count(TaskStatus.PARKED, instance=InstanceId("a")),
        count(TaskStatus.WAITING, instance=InstanceId("a")),
    )
    assert (6, 4, 0) == (
        count(TaskStatus.PARKED, machine="Talk"),
        count(TaskStatus.PARKED, machine="Talk", state="Only"),
        count(TaskStatus.PARKED, machine="Quiet"),
    )
    assert 0 == count(TaskStatus.PARKED, machine="Talk", fingerprint="f1")


def at_join(instance: str, state: str, round_: int, n: int, context: bytes = b'{"n": 1}') -> Entry:
    who = InstanceId(instance)
    name = join_entry_name(who, state, "", round_, StepName(f"source-{n}"), 0)
    return Entry(name, join_window(who, state), StepName(f"source-{n}"), context, joining=who, state=state)


def of_join(instance: str, state: str, round_: int) -> Task:
    collection = Collection("", join_window(InstanceId(instance), state), round=round_)
    return replace(a_task(instance, 0, "failed"), collection=collection)


def test_what_waits_at_joins_is_counted_by_state(harness):
    """Of one instance; what is in windows waits at no join."""
    window = StepName("window")
    inside = Entry(entry_name(window, StepName("s"), 0), window, StepName("s"), b"{}")
    waiting = [at_join("a", "One", 0, n) for n in range(3)] + [at_join("a", "Other", 1, 0)]
    put(harness, inside, *waiting, at_join("b", "One", 0, 0))
    history = harness.fantasm.history

    assert [{"One": 3, "Other": 1}, {"One": 1}, {}] == [
        dict(history.at_joins(InstanceId(each))) for each in ("a", "b", "c")
    ]


def test_a_join_s_step_has_collected_its_round_and_earlier_ones(harness):
    """What came later waits for the next one; a step without a collection has collected nothing."""
    entries = [at_join("a", "One", round_, n, b'{"r":%d}' % round_) for n, round_ in enumerate((0, 1, 1, 2))]
    put(harness, *entries, at_join("a", "Other", 0, 9))
    history = harness.fantasm.history

    found = history.collected(of_join("a", "One", 1))
    assert (3, False, [b'{"r":0}', b'{"r":1}', b'{"r":1}']) == (
        found.count,
        found.more,
        sorted(found.contexts),
    )
    none = history.collected(of_join("b", "One", 0))
    assert (0, False, ()) == (none.count, none.more, none.contexts)
    assert None is history.collected(a_task("a", 1, "failed"))


def test_a_window_s_step_has_collected_its_range(harness):
    """Behind ``after``, up to ``until``; large contexts are read as far as there is room for them."""
    window = StepName("window")
    names = sorted(entry_name(window, StepName(f"s{n}"), 0) for n in range(6))
    put(harness, *(Entry(name, window, StepName("s"), b"x" * 400_000) for name in names))
    step = replace(a_task("a", 0, "failed"), collection=Collection("g", window, names[0], names[4]))

    found = harness.fantasm.history.collected(step)

    assert (4, False, 3) == (found.count, found.more, len(found.contexts))


@pytest.mark.parametrize("more", [0, 1])
def test_many_contexts_are_counted_up_to_a_thousand(harness, more):
    """There it is said that there are more; the first few are read."""
    for begin in range(0, COLLECTED, 250):
        put(harness, *(at_join("a", "One", 0, n) for n in range(begin, begin + 250)))
    put(harness, *(at_join("a", "One", 0, COLLECTED + n) for n in range(more)))

    found = harness.fantasm.history.collected(of_join("a", "One", 0))

    assert (COLLECTED, bool(more), COLLECTED_SHOWN) == (found.count, found.more, len(found.contexts))
    assert {"One": COLLECTED} == dict(harness.fantasm.history.at_joins(InstanceId("a")))


def test_children_are_those_of_one_instance(harness):
    """In pages; grandchildren are not among them."""
    children = [an_instance(f"child-{n}", InstanceId("a")) for n in range(3)]
    put(harness, an_instance("a"), *children, an_instance("grandchild", InstanceId("child-0")))
    history = harness.fantasm.history

    first = history.children(InstanceId("a"), 2, "")
    rest = history.children(InstanceId("a"), 2, first.cursor)

    assert children == sorted((*first.items, *rest.items), key=lambda each: each.id)
    assert (2, ()) == (len(first.items), history.children(InstanceId("grandchild"), 2, "").items)


def test_holds_are_those_of_this_service_the_longest_first(harness):
    """Another service of the project has its own."""
    mine = [Hold("default", "Talk", state, 1000.0 - n, f"n{n}") for n, state in enumerate(("", "Only"))]
    put(harness, *mine)
    assert mine[::-1] == list(harness.fantasm.history.holds())


@pytest.mark.parametrize("machine", ["M", "a--b", "M-20260101000000-x", "x-key-y"])
def test_a_step_s_name_tells_its_instance(machine):
    """Whatever the machine is called; what is no name of a step tells none."""
    for name in (instance_id(machine, 1.5e9, "0123456789abcdef"), f"{machine}-key-{'a1' * 12}"):
        assert name == instance_of(step_name(name, "main_f0-1", "a--b", "x", "y--z", 3))
        assert instance_of(name) is None
    assert [None] * 3 == list(map(instance_of, ("", "x" * 600, "0123abcd-M-20260101000000-0123--main")))


def test_who_was_told_depends_on_the_end():
    """Of one that was told and is not known any more nothing is said."""
    names = [instance_id("W", 1.5e9, f"{n:016x}") for n in range(2)]
    steps = tuple(step_name(each, MAIN, "pseudo-init", "pseudo-init", "Only", 0) for each in names)
    told = an_instance("a", on_complete=("W", "https://x.example/"), on_failure=("Sad",), told=steps)
    done = replace(told, status=InstanceStatus.COMPLETED)
    assert [("W", names[0]), ("https://x.example/", names[1])] == [
        (each.receiver, each.instance) for each in told_by(done)
    ]
    failed = replace(told, status=InstanceStatus.FAILED, told=steps[:1])
    assert [("Sad", names[0])] == [(each.receiver, each.instance) for each in told_by(failed)]
    assert () == told_by(replace(done, told=()))


def test_a_scrub_leaves_what_is_to_stay_and_nothing_else(harness):
    """Instances of every status, one of more rows than a step deletes, more than a page of them."""
    for n in range(INSTANCES_PER_PAGE + 1):
        write(harness, f"small-{n}", started=100 + n)
    write(harness, "large", "failed", steps=KEYS_PER_STEP - 5, lines=10, failed=1, entries=3)
    write(harness, "young", "failed", ended=1, failed=2, lines=1)
    write(harness, "running", "running", ended=None)

    shown = scrub(harness)

    assert "completed" == shown["status"]
    assert {"young", "running"} == left(harness)
    assert {
        ("FantasmInstance", "young"): 1,
        ("FantasmStep", "young"): 1,
        ("FantasmTask", "young"): 2,
        ("FantasmLog", "young"): 1,
    } == {key: count for key, count in rows(harness).items() if key[1] == "young"}
