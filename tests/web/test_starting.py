"""Starting by URL: what becomes the context, what is refused, what is answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fantasm_gcp.builtin import MACHINES as BUILT_IN
from fantasm_gcp.testing import Harness

FSM = Path(__file__).parents[2] / "fsm.yaml"
MIB = 1024 * 1024


@pytest.fixture
def harness():
    made = Harness(FSM)
    yield made
    made.close()


def context_of(harness, answer):
    (step,) = harness.get(f"instances/{answer.json['instance']}")["in_flight"]["items"]
    return step["context"]


def in_flight(harness):
    return len(list(harness.datastore.query(kind="FantasmTask").fetch()))


@pytest.mark.fantasm(94)
def test_a_start_answers_the_instance_and_where_to_look(harness):
    """The answer is JSON; its URLs answer."""
    answer = harness.start("MyMachine?arg1=value")
    assert (200, "MyMachine", True) == (answer.status_code, answer.json["machine"], answer.json["created"])
    assert answer.json["instance"].startswith("MyMachine-20270115080000-")
    assert 200 == harness.client.get(answer.json["status_url"]).status_code
    assert 200 == harness.client.get(answer.json["console_url"]).status_code


@pytest.mark.parametrize(("arg1", "final"), [("something", "FinalState"), ("else", "ReviewAndRecoverState")])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_sample_machine_chooses_its_way(harness, arg1, final, method):
    """``something`` takes ok, anything else review; by GET and by POST."""
    answer = harness.start(f"MyMachine/?arg1={arg1}", method=method)
    harness.run()
    shown = harness.get(f"instances/{answer.json['instance']}")
    assert "completed" == shown["status"]
    assert {"InitialState", final} == {each["state"] for each in shown["steps"]["items"]}


@pytest.mark.fantasm(91, 207)
def test_query_arguments_become_the_context(harness):
    """Text stays text, an argument given twice is a list, empty values and other scripts survive."""
    answer = harness.start("MyMachine/?a=1&b=x&b=y&c=&d=%C3%A9%E6%97%A5")
    assert {"a": "1", "b": ["x", "y"], "c": "", "d": "é日"} == context_of(harness, answer)


def test_a_form_and_a_json_object_become_the_context(harness):
    """The body of a POST wins where the query has the same name; JSON keeps its types."""
    form = harness.start("MyMachine/?a=1&b=2", method="POST", data={"b": "3"})
    assert {"a": "1", "b": "3"} == context_of(harness, form)
    values = {"a": 1, "b": None, "c": [1.5, True], "d": {"e": ""}}
    body = harness.start("MyMachine/", method="POST", json=values)
    assert values == context_of(harness, body)


@pytest.mark.fantasm(139)
@pytest.mark.parametrize(
    ("url", "started_by", "expected"),
    [
        ("MyMachine/?a=1", "GET", "GET"),
        ("MyMachine/?a=1", "POST", "POST"),
        ("MyMachine/?a=1&method=POST", "GET", "POST"),
        ("MyMachine/?a=1&method=get", "POST", "GET"),
    ],
)
def test_the_method_of_the_start_is_that_of_all_tasks(harness, url, started_by, expected):
    """GET and POST are preserved; ``method`` chooses, and is no part of the context."""
    answer = harness.start(url, method=started_by)
    assert {"a": "1"} == context_of(harness, answer)
    seen = []
    while attempt := harness.next_attempt():
        seen.append(
            (attempt.delivery.method, "?a=1" in attempt.delivery.url, b'"a":"1"' in attempt.delivery.body)
        )
        harness.deliver(attempt)
    is_get = expected == "GET"
    assert [(expected, is_get, not is_get)] * 2 == seen


@pytest.mark.fantasm(100, 102)
def test_names_of_tasks_and_urls_show_instance_state_and_event(harness):
    """What people see in the Cloud Console and in logs."""
    instance = harness.start("MyMachine/?arg1=something").json["instance"]
    first = harness.next_attempt()
    assert first.task.endswith(f"-{instance}--main--pseudo-init--pseudo-init--InitialState--0")
    assert first.delivery.url.startswith("/fantasm/fsm/MyMachine/pseudo-init/pseudo-init/InitialState/?")
    harness.deliver(first)
    second = harness.next_attempt()
    assert second.task.endswith(f"-{instance}--main--InitialState--ok--FinalState--1")
    assert second.delivery.url.startswith("/fantasm/fsm/MyMachine/InitialState/ok/FinalState/?")


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("MyMachine/?__st__=1", {}, "'__st__' is reserved"),
        ("MyMachine/?=1", {}, "malformed"),
        ("MyMachine/?a%00b=1", {}, "malformed"),
        ("MyMachine/?" + "a" * 501 + "=1", {}, "malformed"),
        ("MyMachine/?method=PUT", {}, "method='PUT'"),
        ("MyMachine/", {"data": b"x", "method": "POST", "content_type": "text/plain"}, "the body is text/plain"),
        ("MyMachine/", {"data": b"x", "method": "POST"}, "the body is no content type"),
        ("MyMachine/", {"data": b"{", "method": "POST", "content_type": "application/json"}, "not valid JSON"),
        ("MyMachine/", {"data": b"[" * 100_000, "method": "POST", "content_type": "application/json"}, "not valid JSON"),
        ("MyMachine/", {"data": b'{"a":' + b"[" * 102 + b"]" * 102 + b"}", "method": "POST", "content_type": "application/json"}, "nested too deeply"),
        ("MyMachine/", {"data": b"--x\r\nContent-Disp", "method": "POST", "content_type": "multipart/form-data; boundary=x"}, "no valid form"),
        ("MyMachine/", {"json": [1], "method": "POST"}, "not an object"),
        ("MyMachine/", {"json": {"__x": 1}, "method": "POST"}, "reserved"),
        ("MyMachine/", {"json": {"\ud800": 1}, "method": "POST"}, "malformed"),
        ("MyMachine/", {"headers": {"Idempotency-Key": ""}}, "Idempotency-Key"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_context_is_refused(harness, url, options, words):
    """400 with the reason, and nothing is started."""
    answer = harness.start(url, **options)
    assert 400 == answer.status_code
    assert words in answer.json["error"]
    assert 0 == in_flight(harness)


def test_a_file_is_no_argument(harness, tmp_path):
    """A form with a file in it is refused."""
    (tmp_path / "f").write_text("x")
    with open(tmp_path / "f", "rb") as file:
        answer = harness.start("MyMachine/", method="POST", data={"f": file})
    assert 400 == answer.status_code


@pytest.mark.fantasm(89)
def test_an_unknown_machine_is_not_found_and_the_known_ones_are_named(harness):
    """404 with the machine names."""
    answer = harness.start("Nope/")
    assert 404 == answer.status_code
    assert ["SendSubscriberEmail", "MyMachine", *BUILT_IN] == answer.json["machines"]
    assert "Nope" == answer.json["machine"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 405), ("PUT", 405), ("DELETE", 405)])
def test_only_get_and_post_start(harness, method, status):
    """Looking with HEAD starts nothing."""
    assert status == harness.start("MyMachine/", method=method).status_code
    assert 0 == in_flight(harness)


@pytest.mark.parametrize("size", [30_000, 2 * MIB, 10 * MIB - 100])
@pytest.mark.parametrize("filler", ["compressible", "random"])
def test_a_context_has_no_limit_below_10_mib(harness, size, filler):
    """It runs to its end and comes out as it went in, however it is stored."""
    text = "x" * size if filler == "compressible" else random_text(size)
    answer = harness.start("MyMachine/", method="POST", json={"arg1": "something", "big": text})
    assert 200 == answer.status_code
    harness.run()
    instance = answer.json["instance"]
    shown = harness.get(f"instances/{instance}")
    assert "completed" == shown["status"]
    (last,) = (each["step"] for each in shown["steps"]["items"] if each["state"] == "FinalState")
    assert text == harness.get(f"instances/{instance}/steps/{last}")["context"]["big"]


def random_text(size):
    import random

    return random.Random(1).randbytes(size // 2).hex().ljust(size, "x")[:size]


def test_a_context_over_10_mib_is_refused(harness):
    """413, and nothing is started: as JSON, as a form, and as a body that is far too long to be read."""
    for options in (
        {"json": {"big": "x" * (10 * MIB)}},
        {"data": {"big": "x" * (10 * MIB)}},
        {"data": b"x" * (31 * MIB), "content_type": "application/json"},
    ):
        assert 413 == harness.start("MyMachine/", method="POST", **options).status_code
    assert 0 == in_flight(harness)


def test_the_same_start_twice_is_one_instance(harness):
    """An idempotency key makes the second start answer the first one's instance."""
    first = harness.start("MyMachine/?a=1", headers={"Idempotency-Key": "k"})
    harness.run()
    second = harness.start("MyMachine/?a=1", headers={"Idempotency-Key": "k"})
    other = harness.start("MyMachine/?a=1", headers={"Idempotency-Key": "l"})
    assert first.json["instance"] == second.json["instance"] != other.json["instance"]
    assert (True, False, True) == (first.json["created"], second.json["created"], other.json["created"])


def test_a_long_context_stays_out_of_the_url(harness):
    """A GET task has a URL that servers take; the row has the context."""
    answer = harness.start("MyMachine/", method="POST", json={"a": "é" * 3000, "method": "GET"})
    attempt = harness.next_attempt()
    assert ("GET", 2083) > (attempt.delivery.method, len(attempt.delivery.url))
    assert "?" not in attempt.delivery.url
    harness.deliver(attempt)
    harness.run()
    assert "completed" == harness.get(f"instances/{answer.json['instance']}")["status"]


def test_the_console_address_of_a_machine_without_records_is_left_out(tmp_path):
    """A machine that keeps nothing to look at answers its id alone."""
    with Harness(Path(__file__).parents[1] / "scenarios" / "budgets.yaml") as harness:
        answer = harness.start("Light/")
    assert {"instance", "machine", "created"} == set(answer.json)
    assert json.dumps(answer.json)
