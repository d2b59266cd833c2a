"""Operators' commands over the HTTP API, through the real engine."""

from __future__ import annotations

import json

import pytest
from operated import Seen

IN_FLIGHT = ("FantasmTask", "FantasmEntry", "FantasmFanIn")
COMMANDS = ["cancel", "pause", "resume", "redrive"]


def rows(harness, kind):
    return list(harness.datastore.query(kind=kind).fetch())


def status(harness, instance):
    return harness.get(f"instances/{instance}")["status"]


def failed(harness, instance):
    return {each["context"]["item"]: each for each in harness.get(f"instances/{instance}")["failed"]["items"]}


def test_a_paused_instance_does_nothing_until_it_is_resumed(operated, start, post):
    """Its step is parked when it comes, without an attempt; resumed, it runs to the end."""
    instance = start("Walk/?a=1")
    assert "paused" == post(f"instances/{instance}/pause")["status"]
    assert 1 == operated.run()
    shown = operated.get(f"instances/{instance}")
    (step,) = shown["in_flight"]["items"]
    assert ("paused", 1, "parked", 0) == (shown["status"], shown["parked"], step["status"], step["attempts"])
    assert 0 == operated.tasks.depth()
    assert "running" == post(f"instances/{instance}/resume")["status"]
    operated.run()
    shown = operated.get(f"instances/{instance}")
    assert ("completed", 0, [{"a": "1"}]) == (shown["status"], shown["parked"], Seen.take("Second"))


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_pausing_and_resuming_again_change_nothing(operated, start, post, command):
    """The answer is that of the first time, and the instance ends as it would have."""
    instance = start("Walk/")
    if command == "resume":
        post(f"instances/{instance}/pause")
        operated.run()
    first = post(f"instances/{instance}/{command}")
    assert first == post(f"instances/{instance}/{command}")
    post(f"instances/{instance}/resume")
    operated.run()
    assert ("completed", 1) == (status(operated, instance), len(Seen.take("Second")))


def test_a_held_state_parks_what_comes_until_it_is_released(operated, start, post):
    """The steps before it run; released, what was parked goes on, and so does what comes after."""
    held = post("holds", machine="Walk", state="Second", note="the printer is out")
    assert ("Walk", "Second", "the printer is out") == (held["machine"], held["state"], held["note"])
    instance = start("Walk/")
    operated.run()
    shown = operated.get(f"instances/{instance}")
    assert ("running", 1, 1) == (shown["status"], shown["parked"], shown["states"]["First"]["done"])
    assert [held] == operated.get("holds")["holds"]
    machine = next(each for each in operated.get("machines")["machines"] if each["machine"] == "Walk")
    assert (None, [None, held]) == (machine["held"], [each["held"] for each in machine["states"]])
    released = post("holds/release", machine="Walk", state="Second")
    operated.run()
    assert ["completed", "completed"] == [
        status(operated, instance),
        operated.client.get(released["status_url"]).json["status"],
    ]
    assert [] == operated.get("holds")["holds"]
    post("holds/release", 404, machine="Walk", state="Second")


def test_a_held_machine_parks_all_of_its_steps(operated, start, post):
    """Holding it again changes the note; another machine goes on."""
    post("holds", data={"machine": "Walk"})
    again = post("holds", data={"machine": "Walk", "note": "later"})
    assert [again] == operated.get("holds")["holds"]
    held, other = start("Walk/"), start("Work/")
    operated.clock.sleep(5)
    operated.run()
    assert ["running", "completed"] == [status(operated, held), status(operated, other)]
    assert 1 == operated.get(f"instances/{held}")["parked"]


def test_a_cancelled_instance_leaves_nothing_behind(operated, start, post):
    """No step, window or entry, and no task: not even one that is scheduled for weeks ahead."""
    instance = start("Work/?items=fine far value fine")
    while not (rows(operated, "FantasmEntry") and failed(operated, instance)):
        operated.deliver(operated.next_attempt())
    while operated.tasks.due():
        operated.deliver(operated.next_attempt())
    assert [True] * 3 == [bool(rows(operated, kind)) for kind in IN_FLIGHT]
    answer = post(f"instances/{instance}/cancel")
    assert ("cancelled", None, "cancelled by an operator") == tuple(
        answer[name] for name in ("status", "ended", "note")
    )
    operated.run()
    assert [[]] * 3 == [rows(operated, kind) for kind in IN_FLIGHT]
    assert 0 == operated.tasks.depth()
    shown = operated.get(f"instances/{instance}")
    assert ("cancelled", True) == (shown["status"], shown["ended"] is not None)
    assert [] == Seen.take("Gather") + Seen.take("Far")
    assert "cancelled" == post(f"instances/{instance}/cancel")["status"]
    operated.run()
    assert [[]] * 3 == [rows(operated, kind) for kind in IN_FLIGHT]


def test_a_cancellation_has_a_note(operated, start, post):
    """Why, where somebody says it; an empty one is none, and a second cancellation keeps the first."""
    noted, plain = start("Walk/"), start("Walk/")
    assert "wrong <b>" == post(f"instances/{noted}/cancel", note="wrong <b>")["note"]
    assert "wrong <b>" == post(f"instances/{noted}/cancel", note="again")["note"]
    assert "cancelled by an operator" == post(f"instances/{plain}/cancel", note="")["note"]


def test_a_group_redrive_tells_how_many_match(operated, start, post):
    """By machine, state and fingerprint; with none it is an operation all the same."""
    start("Work/?items=value key value")
    operated.run()
    group = operated.get("failures")["groups"][0]
    same = {"machine": "Work", "fingerprint": group["fingerprint"]}
    others = {"machine": "Walk"}, {"machine": "Work", "state": "Far"}, {"machine": "Work", "state": "Item"}
    answers = [post("redrive", **each) for each in (same, *others)]
    assert [2, 0, 0, 3] == [each["matching"] for each in answers]
    operated.run()
    assert {200} == {operated.client.get(each["status_url"]).status_code for each in answers}


@pytest.mark.parametrize("command", ["cancel", "pause", "resume", "redrive"])
def test_an_instance_that_is_completed_takes_no_command(operated, start, post, command):
    """409 with the reason, and nothing is changed."""
    instance = start("Walk/")
    operated.run()
    before = operated.get(f"instances/{instance}")
    assert "it is completed" in post(f"instances/{instance}/{command}", 409)["error"]
    assert before == operated.get(f"instances/{instance}")


def test_failures_are_grouped_by_machine_state_and_error(operated, start):
    """Counted over all instances, the largest group first, with an example; by machine and by state."""
    for _ in range(2):
        start("Work/?items=value key value")
    start("Teller/?item=key")
    operated.run()
    found = operated.get("failures")
    assert [("Work", "Item", 4), ("Work", "Item", 2), ("Teller", "Only", 1)] == [
        (each["machine"], each["state"], each["count"]) for each in found["groups"]
    ]
    assert ([False] * 3, True) == ([each["more"] for each in found["groups"]], found["complete"])
    assert "ValueError: <b>no</b> luck & no value" == found["groups"][0]["example"]["error"]
    assert 3 == len({each["fingerprint"] + each["machine"] for each in found["groups"]})
    assert ["Teller"] == [each["machine"] for each in operated.get("failures?machine=Teller")["groups"]]
    assert [4, 2] == [each["count"] for each in operated.get("failures?state=Item&machine=Work")["groups"]]
    assert [] == operated.get("failures?machine=Gone")["groups"]


def test_the_failed_steps_of_a_group_are_paged(operated, start):
    """Each once, with error, traceback, attempts and context."""
    started = {start(f"Work/?items=value key&number={n}") for n in range(5)}
    operated.run()
    group = next(each for each in operated.get("failures")["groups"] if "Value" in each["example"]["error"])
    query, cursor, found = f"machine=Work&state=Item&fingerprint={group['fingerprint']}&limit=2", "", []
    while True:
        page = operated.get(f"failures/steps?{query}&cursor={cursor}")
        found += page["steps"]
        cursor = page["cursor"]
        if not cursor:
            break
    assert (5, started) == (len(found), {each["instance"] for each in found})
    assert {("Work", "Item", "failed", 1)} == {
        (each["machine"], each["state"], each["status"], each["attempts"]) for each in found
    }
    assert all("luck" in each["error"] and "in item" in each["traceback"] for each in found)
    assert {"value"} == {each["context"]["item"] for each in found}


def test_a_step_is_redriven_with_an_edited_context(operated, start, post):
    """It runs with what was given, in the form that the API shows contexts in; its instance completes."""
    instance = start("Work/", json={"items": "value", "when": None}, method="POST")
    operated.run()
    step = failed(operated, instance)["value"]
    edited = step["context"] | {"item": "mended", "at": {"__fantasm__": ["date", "2026-11-22"]}}
    path = f"instances/{instance}/steps/{step['step']}/redrive"
    done = {"step": step["step"], "instance": instance, "redriven": True, "skipped": None}
    assert done == post(path, context=edited)
    assert not post(path, context=edited)["redriven"]
    operated.run()
    assert ("completed", [{"items": ["mended"]}]) == (status(operated, instance), Seen.take("Gather"))
    shown = operated.get(f"instances/{instance}/steps/{step['step']}")
    assert (edited, "completed") == (shown["context"], shown["status"])
    post(path, 404)


@pytest.mark.parametrize("form", ["json", "data"])
@pytest.mark.parametrize(("skip", "reached"), [("done", ["Gather"]), ("wait", ["Far"]), ("", [])])
def test_a_step_is_skipped_by_an_event(operated, start, post, form, skip, reached):
    """Its action does not run: the branch goes on as if it had returned the event, or ends."""
    instance = start("Work/?items=value")
    operated.run()
    step = failed(operated, instance)["value"]["step"]
    answer = post(f"instances/{instance}/steps/{step}/redrive", **{form: {"skip": skip}})
    assert (True, skip) == (answer["redriven"], answer["skipped"])
    again = post(f"instances/{instance}/steps/{step}/redrive", **{form: {"skip": skip}})
    assert (False, None) == (again["redriven"], again["skipped"])
    operated.run()
    assert "completed" == status(operated, instance)
    assert reached == list(Seen.by_state)
    shown = operated.get(f"instances/{instance}/steps/{step}")
    assert ("skipped", skip or None) == (shown["status"], shown["returned"])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"data": b"{", "content_type": "application/json"}, 400, "not valid JSON"),
        ({"data": b"[" * 100_000, "content_type": "application/json"}, 400, "not valid JSON"),
        ({"data": b"[1]", "content_type": "application/json"}, 400, "not an object"),
        ({"data": b"x", "content_type": "text/plain"}, 400, "neither a form nor"),
        ({"json": {"context": [1]}}, 400, "not a JSON object"),
        ({"json": {"context": 1}}, 400, "not a JSON object"),
        ({"data": {"context": ""}}, 400, "the context is not JSON"),
        ({"data": {"context": "{'a': 1}"}}, 400, "the context is not JSON"),
        ({"data": {"context": "[" * 50_000}}, 400, "the context is not JSON"),
        ({"json": {"context": {"a": {"__fantasm__": ["nope", 1]}}}}, 400, "the context cannot be"),
        ({"data": {"context": '{"a":' * 120 + "1" + "}" * 120}}, 400, "nested too deeply"),
        ({"json": {"context": {"a": "x" * (10 * 1024 * 1024)}}}, 413, "10,485,760"),
        ({"json": {"skip": "nope"}}, 409, "its events are: 'done', 'wait'"),
        ({"json": {"skip": 1}}, 400, "skip is not a text"),
        ({"json": {"skip": "\ud800"}}, 400, "skip is not a text"),
        ({"json": {"contxt": {}}}, 400, "did you mean 'context'?"),
        ({"data": {"skip": ["done", "wait"]}}, 400, "is given 2 times"),
    ],
)
def test_a_redrive_that_cannot_be_changes_nothing(operated, start, post, options, code, words):
    """What is wrong is said, and the step is as it was."""
    instance = start("Work/?items=value")
    operated.run()
    before = operated.get(f"instances/{instance}")
    step = failed(operated, instance)["value"]["step"]
    assert words in post(f"instances/{instance}/steps/{step}/redrive", code, **options)["error"]
    assert before == operated.get(f"instances/{instance}")


def test_a_context_is_taken_as_the_api_shows_it_however_large(operated, start, post):
    """Two megabytes, more than a row takes, by JSON and by a form."""
    for form in ("json", "data"):
        instance = start("Work/?items=value")
        operated.run()
        step = failed(operated, instance)["value"]["step"]
        context = {"item": "ä" * 1_000_000}
        body = {"context": json.dumps(context, ensure_ascii=False) if form == "data" else context}
        assert post(f"instances/{instance}/steps/{step}/redrive", **{form: body})["redriven"]
        operated.run()
        assert "completed" == status(operated, instance)
        assert [{"items": [context["item"]]}] == Seen.take("Gather")


def test_a_step_of_another_instance_is_not_there(operated, start, post):
    """The path names both, and they have to fit."""
    one, other = start("Work/?items=value"), start("Work/?items=value")
    operated.run()
    step = failed(operated, one)["value"]["step"]
    assert "has no step" in post(f"instances/{other}/steps/{step}/redrive", 404)["error"]
    assert {"value"} == set(failed(operated, one))


def test_all_failed_steps_of_an_instance_are_redriven(operated, start, post):
    """Those that fail again fail again; the command may be given again."""
    instance = start("Work/?items=value key fine")
    operated.run()
    assert "failed" == status(operated, instance)
    for _ in range(2):
        assert "running" == post(f"instances/{instance}/redrive")["status"]
        operated.run()
        assert ("failed", {"value", "key"}) == (status(operated, instance), set(failed(operated, instance)))
    assert {2} == {each["epoch"] for each in failed(operated, instance).values()}


def test_failed_steps_are_redriven_by_machine_state_and_fingerprint(operated, start, post):
    """Only those: the others keep their epoch. The answer is the instance that does it."""
    one, two = start("Work/?items=value key"), start("Work/?items=value")
    teller = start("Teller/?item=value")
    operated.run()
    step = failed(operated, one)["value"]
    answer = post("redrive", machine="Work", state="Item", fingerprint=step["fingerprint"])
    operated.run()
    assert "completed" == operated.client.get(answer["status_url"]).json["status"]
    assert 200 == operated.client.get(answer["console_url"]).status_code
    assert [("key", 0), ("value", 1), ("value", 1), ("value", 0)] == [
        (item, step["epoch"])
        for instance in (one, two, teller)
        for item, step in sorted(failed(operated, instance).items())
    ]


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        ("redrive", {}, 400, "machine is missing"),
        ("redrive", {"machine": ""}, 400, "machine is missing"),
        ("redrive", {"machine": "Wolk"}, 404, "unknown machine 'Wolk'"),
        ("redrive", {"machine": "Work", "state": "Itm"}, 404, "has no state 'Itm'"),
        ("redrive", {"machine": "Work", "sate": "Item"}, 400, "did you mean 'state'?"),
        ("redrive", {"machine": "Work", "fingerprint": "x y"}, 400, "fingerprint"),
        ("redrive", {"machine": 7}, 400, "machine is not a text"),
        ("holds", {}, 400, "machine is missing"),
        ("holds", {"machine": "Wolk"}, 404, "unknown machine 'Wolk'"),
        ("holds", {"machine": "Work", "state": "Itm"}, 404, "has no state 'Itm'"),
        ("holds", {"machine": "Light"}, 409, "keeps no records"),
        ("holds", {"machine": "Work", "note": "x" * 1001}, 400, "1,001 characters"),
        ("holds", {"machine": "Work", "note": "\udcff"}, 400, "note is not a text"),
        ("holds/release", {"machine": "Work"}, 404, "'Work' is not held"),
        ("holds/release", {"machine": "Work", "state": "Item"}, 404, "Work.Item is not held"),
        *((f"instances/nope/{each}", {}, 404, "there is no instance 'nope'") for each in COMMANDS),
        ("instances/\U0001f600/cancel", {}, 404, "there is no instance"),
        ("instances/nope/steps/nope/redrive", {}, 404, "there is no instance 'nope'"),
        ("instances/nope/pause", {"note": "x"}, 400, "takes nothing"),
        ("instances/nope/cancel", {"note": "x" * 1001}, 400, "1,001 characters"),
        ("instances/nope/cancel", {"note": 1}, 400, "note is not a text"),
    ],
)
def test_wrong_commands_are_answered_plainly(operated, post, path, body, code, words):
    """A status that fits, one sentence, and nothing is written."""
    assert words in post(path, code, json=body)["error"]
    assert [[], [], []] == [
        rows(operated, kind) for kind in ("FantasmInstance", "FantasmTask", "FantasmHold")
    ]


def test_a_step_that_is_not_there_is_said_so(start, post):
    """Of an instance that is there."""
    instance = start("Walk/")
    for step in ("nope", "x" * 2000, "\U0001f600"):
        assert "has no step" in post(f"instances/{instance}/steps/{step}/redrive", 404)["error"]


@pytest.mark.parametrize(
    "path",
    [
        *(f"instances/x/{each}" for each in COMMANDS),
        "instances/x/steps/y/redrive",
        "redrive",
        "holds/release",
    ],
)
def test_commands_are_given_by_post_alone(operated, path):
    """Looking changes nothing: 405, with the method that does."""
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = operated.client.open(f"/fantasm/api/{path}", method=method)
        assert (405, "POST") == (answer.status_code, answer.headers["Allow"])


def test_a_command_that_meets_a_dead_store_may_be_given_again(operated, start, post):
    """500 with a plain message; the next time it is carried out."""
    instance = start("Walk/")

    def around(rpc, carry_out):
        raise ZeroDivisionError("secret")

    before, operated.around = operated.around, around
    assert "secret" not in post(f"instances/{instance}/pause", 500)["error"]
    operated.around = before
    assert "paused" == post(f"instances/{instance}/pause")["status"]
