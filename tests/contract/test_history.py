"""Reading logs, and scrubbing, on every Datastore there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scrubbed import left, rows, scrub, write

from fantasm_gcp.core.names import MAIN, InstanceId
from fantasm_gcp.core.records import Commit, LogLine, Step, Upsert
from fantasm_gcp.errors import RefusedError
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
