"""Operators' commands against a running application: what they print, and with which exit status they end."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from click.testing import Result
from dev_child import PATIENCE, Child
from small_application import ACTIONS, DEFINITIONS, write_project

from fantasm_gcp.cli.main import main

MORE = """\
- name: Order                  # fails by the word in its context
  namespace: party_actions
  task_retry_limit: 0
  states:
  - {name: Pay, action: Pay, initial: true, transitions: [{event: paid, to: Ship}, {event: refused, to: Refund}]}
  - {name: Ship, action: Leave, final: true}
  - {name: Refund, action: Leave, final: true}
- name: Letter                 # not before tomorrow
  namespace: party_actions
  states:
  - {name: Write, action: Choose, initial: true, transitions: [{event: 'on', to: Post, countdown: 86400}]}
  - {name: Post, action: Leave, final: true}
- name: Printed                # takes a second, so that it can be paused in between
  namespace: party_actions
  states:
  - {name: Print, action: Choose, initial: true, transitions: [{event: 'on', to: Fold, countdown: 1}]}
  - {name: Fold, action: Leave, final: true}
- name: Meet                   # one of its two does not come before tomorrow
  namespace: party_actions
  states:
  - {name: Open, action: Open, initial: true, transitions: [{event: each, to: Item}]}
  - {name: Item, action: Item, transitions: [{event: early, to: Sum}, {event: late, to: Sleep, countdown: 86400}]}
  - {name: Sleep, action: Leave, final: true}
  - {name: Sum, action: Leave, join: true, final: true}
- name: Shaky                  # is tried again and again
  namespace: party_actions
  task_retry_limit: 1000
  states:
  - {name: Try, action: Try, initial: true, final: true}
- name: Kept                   # is held by one test
  namespace: party_actions
  states:
  - {name: Write, action: Choose, initial: true, transitions: [{event: 'on', to: Post, countdown: 86400}]}
  - {name: Post, action: Leave, final: true}
- name: Light
  namespace: party_actions
  guarantee: at_least_once
  states:
  - {name: Only, action: Leave, initial: true, final: true}
"""

MORE_ACTIONS = """
class Pay(FSMAction):
    def execute(self, context, obj):
        if "fails" in context:
            raise ValueError(f"refused: {context['fails']}")
        return "paid"

class Open(FSMAction):
    def execute(self, context, obj):
        context.fork({"late": "1"})
        return "each"

class Item(FSMAction):
    def execute(self, context, obj):
        return "late" if "late" in context else "early"

class Try(FSMAction):
    def execute(self, context, obj):
        raise ValueError("shaky\\n\\x1b[2J")
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The URL of a running `fantasm dev` with machines that fail, wait and are held."""
    directory = write_project(tmp_path_factory.mktemp("shop") / "party")
    (directory / "fsm.yaml").write_text(DEFINITIONS + MORE)
    (directory / "party_actions.py").write_text(ACTIONS + MORE_ACTIONS)
    with Child(directory, "dev", "--memory", "--port", "0") as child:
        yield child.await_url()
        assert child.stop() == 0


@pytest.fixture
def fantasm(runner, shop):
    """Runs a verb against the application, and checks its exit status."""

    def invoke(*arguments: str, code: int = 0, **options: Any) -> Result:
        answer = runner.invoke(main, [*arguments, "--url", shop], **options)
        assert code == answer.exit_code, answer.output
        return answer

    return invoke


def start(fantasm, *arguments, code=0):
    return json.loads(fantasm("start", *arguments, "--format", "json", code=code).stdout)["instance"]


def shown(fantasm, instance):
    return json.loads(fantasm("show", instance, "--format", "json").stdout)


def failing(fantasm, why="no money"):
    """A failed instance, and its failed step."""
    instance = start(fantasm, "Order", f"fails={why}", "--wait", code=1)
    return instance, shown(fantasm, instance)["failed"]["items"][0]["step"]


def await_that(found):
    """What is found when it is something, asking again and again."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if what := found():
            return what
    raise AssertionError("it never comes")


def await_end(fantasm, instance):
    """The status of an instance at its end."""
    await_that(lambda: shown(fantasm, instance)["ended"])
    return shown(fantasm, instance)["status"]


def test_a_wait_ends_when_the_time_is_over(fantasm, shop):
    """Exit status 3; the first word is the instance still, and it goes on."""
    answer = fantasm("start", "Letter", "--wait", "--timeout", "0.2", code=3)
    first, second = answer.stdout.splitlines()
    assert re.fullmatch(r"Letter-\d{14}-[0-9a-f]{16}: running, has not ended in time", first)
    instance = first.partition(":")[0]
    assert f"{shop}/fantasm/instances/{instance}" == second
    assert "running" == shown(fantasm, instance)["status"]
    told = json.loads(
        fantasm("start", "Letter", "--wait", "--timeout", "0.1", "--format", "json", code=3).stdout
    )
    assert ("running", None) == (told["status"], told["ended"])


@pytest.mark.parametrize("timeout", ["0", "-1", "x"])
def test_a_timeout_that_cannot_be_is_wrong_usage(fantasm, timeout):
    """And so is one without --wait."""
    fantasm("start", "Letter", "--wait", "--timeout", timeout, code=2)
    assert "--timeout is for --wait" in fantasm("start", "Letter", "--timeout", "5", code=2).output


def test_a_machine_without_records_cannot_be_waited_for(fantasm):
    """It is started, and has no page."""
    answer = fantasm("start", "Light", "--wait", code=1)
    assert re.fullmatch(
        r"fantasm: Light-\S+ was started, and keeps no records: nobody learns of its end\n", answer.output
    )
    assert 1 == len(fantasm("start", "Light").stdout.splitlines())


def test_a_start_names_who_is_told(fantasm):
    """Each option may be given several times; `show` says who was told, and by which instance."""
    instance = start(
        fantasm,
        "Walk",
        "--on-complete",
        "Errand",
        "--on-complete",
        "Order",
        "--on-failure",
        "Letter",
        "--wait",
    )
    found = shown(fantasm, instance)
    assert (["Errand", "Order"], ["Letter"]) == (found["on_complete"], found["on_failure"])
    told = [each["instance"] for each in found["told"]]
    text = fantasm("show", instance).stdout
    assert f"told: Errand (by {told[0]})\ntold: Order (by {told[1]})" in text
    assert f"spawned by: {instance}" in fantasm("show", told[0]).stdout


@pytest.mark.parametrize(
    ("receiver", "words"),
    [
        ("Wolk", "unknown machine 'Wolk'; did you mean 'Walk'?"),
        ("https://x.example/", "FANTASM_WEBHOOK_SECRET"),
    ],
)
def test_who_cannot_be_told_is_the_application_s_message(fantasm, receiver, words):
    """The machine that is misspelt is the one that is named."""
    assert words in fantasm("start", "Party", "--on-failure", receiver, code=2).output


@pytest.mark.parametrize("receiver", ["", "a b", "a,b", "ü", "a\nb"])
def test_who_cannot_be_in_a_header_is_wrong_usage(fantasm, receiver):
    """Nothing is started then."""
    output = fantasm("start", "Walk", "--on-complete", receiver, code=2).output
    assert "Invalid value for --on-complete" in output


def test_pause_resume_and_cancel_tell_the_status(fantasm):
    """Each may be given again; what cannot be is one line with the reason."""
    instance = start(fantasm, "Letter")
    for verb, status in (
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "running"),
        ("resume", "running"),
    ):
        assert f"{instance}: {status}\n" == fantasm(verb, instance).output
    answer = fantasm("cancel", instance).output
    assert f"{instance}: cancelled, what it has in flight is being deleted\n" == answer
    assert "cancelled" == await_end(fantasm, instance)
    assert f"{instance}: cancelled\n" == fantasm("cancel", instance).output
    output = fantasm("pause", instance, code=2).output
    assert "fantasm: it is cancelled: only what runs can be paused\n" == output
    assert "cancelled" == json.loads(fantasm("cancel", instance, "--format", "json").stdout)["status"]


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_an_instance_that_is_not_there_is_one_line(fantasm, verb):
    """Characters that mean something in a URL stay part of the name."""
    assert "fantasm: there is no instance 'no such?'\n" == fantasm(verb, "no such?", code=2).output


def test_a_paused_instance_shows_what_is_parked(fantasm):
    """In the list and on its own."""
    instance = start(fantasm, "Printed")
    fantasm("pause", instance)
    await_that(lambda: shown(fantasm, instance)["parked"])
    text = fantasm("show", instance).stdout
    assert "parked steps: 1, until" in text
    assert re.search(r"--> (Print|Fold) +parked", text)
    assert instance in fantasm("list", "--status", "paused").stdout
    fantasm("resume", instance)
    assert "completed" == await_end(fantasm, instance)


def test_what_waits_at_a_join_is_shown(fantasm):
    """How many contexts at which join; and of steps that are over, how many are shown."""
    instance = start(fantasm, "Meet")
    await_that(lambda: shown(fantasm, instance)["at_joins"])
    text = fantasm("show", instance).stdout
    assert ("waits at Sum: 1 context\n" in text, "in no order" in text) == (True, False)
    await_that(lambda: len(shown(fantasm, instance)["steps"]["items"]) == 3)
    text = fantasm("show", instance, "--limit", "2").stdout
    assert "These are 2 of 3 steps that are over, in no order: --limit shows more." in text
    fantasm("cancel", instance)


def test_a_step_that_is_tried_again_shows_its_error(fantasm):
    """On one line, whatever the error has in it."""
    instance = start(fantasm, "Shaky")
    await_that(lambda: [each for each in shown(fantasm, instance)["in_flight"]["items"] if each["error"]])
    text = fantasm("show", instance).stdout
    assert ("--> Try: ValueError: shaky" in text, "\x1b" in text) == (True, False)
    fantasm("cancel", instance)


def test_a_cancellation_says_why(fantasm):
    """`show` has the note."""
    instance = start(fantasm, "Letter")
    fantasm("cancel", instance, "--note", "wrong address")
    assert "note: wrong address\n" in fantasm("show", instance).stdout


def test_what_is_not_there_is_said_in_words(fantasm):
    """To standard error; the table has its heads as before, and JSON is as it was."""
    for arguments, words in (
        (["list", "--machine", "Light"], "no instances\n"),
        (["failures", "--machine", "Letter"], "no failed steps\n"),
    ):
        answer = fantasm(*arguments)
        assert (1, words) == (len(answer.stdout.splitlines()), answer.stderr)
        assert "" == fantasm(*arguments, "--format", "json").stderr
    answer = fantasm("redrive", "--machine", "Letter")
    assert ("no failed step matches now\n", 2) == (answer.stderr, len(answer.stdout.splitlines()))
    answer = fantasm("redrive", "--machine", "Letter", "--format", "json")
    assert ("", 0) == (answer.stderr, json.loads(answer.stdout)["matching"])


def test_a_hold_is_shown_where_it_concerns_an_instance(fantasm):
    """Since when, and why; released, it is not any more."""
    fantasm("hold", "Kept", "--note", "no paper")
    instance = start(fantasm, "Kept")
    text = fantasm("show", instance).stdout
    assert re.search(r"held: all states, since \S+ \S+ UTC: no paper\n", text)
    fantasm("release", "Kept")
    assert "held:" not in fantasm("show", instance).stdout


def test_holds_are_listed_and_released(fantasm, shop):
    """A machine or one of its states; the answer of a release is the instance that does the rest."""
    assert "Errand: held\n" == fantasm("hold", "Errand", "--note", "not now").output
    assert "Errand.Note: held\n" == fantasm("hold", "Errand", "Note").output
    rows = [re.split("  +", each) for each in fantasm("holds").stdout.splitlines()]
    assert ["MACHINE", "STATE", "SINCE (UTC)", "NOTE"] == rows[0]
    assert ["Errand", "(all states)", "not now"] == [rows[1][i] for i in (0, 1, 3)]
    assert ["Errand", "Note"] == rows[2][:2]
    assert 2 == len(json.loads(fantasm("holds", "--format", "json").stdout)["holds"])
    first, second = fantasm("release", "Errand").stdout.splitlines()
    assert first.startswith("FantasmOperation-")
    assert f"{shop}/fantasm/instances/{first}" == second
    fantasm("release", "Errand", "Note")
    assert "nothing is held\n" == fantasm("holds").stderr
    assert "fantasm: 'Errand' is not held\n" == fantasm("release", "Errand", code=2).output
    assert "unknown machine 'Erand'; did you mean 'Errand'?" in fantasm("hold", "Erand", code=2).output


def test_failures_are_listed_in_groups(fantasm):
    """With an example that can be redriven; in two formats, by machine and state."""
    _, step = failing(fantasm)
    rows = fantasm("failures", "--machine", "Order", "--state", "Pay").stdout.splitlines()
    assert ["MACHINE", "STATE", "STEPS", "FINGERPRINT", "ERROR", "EXAMPLE"] == re.split("  +", rows[0])
    assert ["Order", "Pay"] == rows[1].split()[:2]
    assert "ValueError: refused: " in rows[1]
    (group,) = json.loads(fantasm("failures", "--machine", "Order", "--format", "json").stdout)["groups"]
    assert re.fullmatch("[0-9a-f]{16}", group["fingerprint"])
    assert 1 == len(fantasm("failures", "--machine", "Letter").stdout.splitlines())
    fantasm("redrive", step, "--skip", "refused")


def test_a_step_is_redriven_with_a_context_of_a_file(fantasm, tmp_path):
    """Or of standard input; what it does then is the application's."""
    (tmp_path / "context.json").write_text('{"money": "\N{EURO SIGN}"}', encoding="utf-8")
    for context, given in ((str(tmp_path / "context.json"), None), ("-", '{"money": "\N{EURO SIGN}"}')):
        instance, step = failing(fantasm)
        answer = fantasm("redrive", step, "--context", context, input=given)
        assert f"{step}: runs again\n" == answer.stdout
        assert "completed" == await_end(fantasm, instance)
        over = {each["state"]: each["context"] for each in shown(fantasm, instance)["steps"]["items"]}
        assert {"Pay": {"money": "\N{EURO SIGN}"}, "Ship": {"money": "\N{EURO SIGN}"}} == over


@pytest.mark.parametrize(("event", "states"), [("refused", {"Pay", "Refund"}), ("", {"Pay"})])
def test_a_step_is_skipped(fantasm, event, states):
    """By an event, or by the end of its branch; `show` has the outcome."""
    instance, step = failing(fantasm)
    done = f"goes on by {event}" if event else "its branch ends"
    assert f"{step}: is skipped, {done}\n" == fantasm("redrive", step, "--skip", event).output
    assert "completed" == await_end(fantasm, instance)
    assert states == {each["state"] for each in shown(fantasm, instance)["steps"]["items"]}
    assert re.search(r"Pay +skipped", fantasm("show", instance).stdout)


def test_failed_steps_are_redriven_by_instance_and_machine(fantasm, shop):
    """Of an instance the status is told, of a machine the instance that does it."""
    instance, step = failing(fantasm)
    assert f"{instance}: running\n" == fantasm("redrive", "--instance", instance).output
    assert "failed" == await_end(fantasm, instance)
    fingerprint = shown(fantasm, instance)["failed"]["items"][0]["fingerprint"]
    answer = fantasm("redrive", "--machine", "Order", "--state", "Pay", "--fingerprint", fingerprint)
    first, second = answer.stdout.splitlines()
    assert f"{shop}/fantasm/instances/{first}" == second
    assert "completed" == await_end(fantasm, first)
    assert 2 == shown(fantasm, instance)["failed"]["items"][0]["epoch"]
    fantasm("redrive", step, "--skip", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of STEP, --instance and --machine"),
        (["s", "--machine", "Order"], "one of STEP, --instance and --machine"),
        (["--instance", "x", "--machine", "Order"], "one of STEP, --instance and --machine"),
        (["--instance", "x", "--skip", ""], "--skip is for STEP"),
        (["--machine", "Order", "--context", "-"], "--context is for STEP"),
        (["--instance", "x", "--state", "Pay"], "--state is for --machine"),
        (["s", "--fingerprint", "f"], "--fingerprint is for --machine"),
        (["s", "--context", "nope.json"], "No such file"),
        (["s", "--context", "-"], "this is not JSON"),
    ],
)
def test_a_redrive_of_nothing_or_too_much_is_wrong_usage(fantasm, arguments, words):
    """Before anything is asked."""
    assert words in fantasm("redrive", *arguments, code=2, input="{").output


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("nope", "fantasm: 'nope' is no name of a step"),
        (f"01234567-Order-20260101000000-{'0' * 16}--main--a--b--c--1", "fantasm: there is no instance"),
    ],
)
def test_a_step_that_is_not_there_is_one_line(fantasm, step, words):
    """Whether it is a name or not."""
    assert words in fantasm("redrive", step, code=2).output


def test_a_context_that_is_no_object_is_wrong_usage(fantasm):
    """A list, for one."""
    assert "not an object" in fantasm("redrive", "s", "--context", "-", code=2, input="[1]").output


def test_a_cancelled_instance_is_no_good_end(fantasm):
    """Who waits for it is told by exit status 1."""
    instance = start(fantasm, "Letter", "--key", "only one")
    fantasm("cancel", instance)
    answer = fantasm("start", "Letter", "--key", "only one", "--wait", code=1)
    assert f"{instance}: cancelled  (started before, with the same key)" == answer.stdout.splitlines()[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["failures"],
        ["holds"],
        ["hold", "M"],
        ["release", "M"],
        ["cancel", "x"],
        ["redrive", "--machine", "M"],
    ],
)
def test_no_server_asks_whether_one_is_running(runner, arguments):
    """Port 1 of this machine is nobody's."""
    answer = runner.invoke(main, [*arguments, "--url", "http://127.0.0.1:1"])
    assert (2, True) == (answer.exit_code, "is fantasm dev running?" in answer.output)
