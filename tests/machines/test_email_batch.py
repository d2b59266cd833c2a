"""An email batch and, hours later, the machine that validates it."""

from __future__ import annotations

import pytest
from google.cloud import datastore

from machines.email_batch import CHECKED_PAGE, PAGE, VALIDATION_WAIT
from machines.stage import (
    DELIVERIES,
    METHODS,
    RUNS,
    STORMS,
    all_over,
    committed,
    entities,
    finish,
    once,
    started,
    steps,
    storm,
    without_zeros,
)

MACHINES = "email_batch.yaml"
FAN_INS = ("Count entry", "Count", "Verdict")


def subscribe(harness, count):
    """Every fourth of the subscribers wants no email."""
    client = harness.datastore
    for number in range(count):
        subscriber = datastore.Entity(client.key("Subscriber", f"{number:04}"))
        subscriber.update(number=number, email=f"{number}@example.org", wants=number % 4 != 3)
        client.put(subscriber)


def wanted(count):
    return sorted(f"{number}@example.org" for number in range(count) if number % 4 != 3)


def runs_of(count):
    """How often each place runs: the last page of a query is empty where the pages before it are full."""
    sending, checking = count // PAGE + 1, count // CHECKED_PAGE + 1
    return without_zeros(
        {
            "Prepare": 1,
            "Send entry": sending,
            "Send continuation": sending,
            "Send": sending - (count % PAGE == 0),
            "Send empty page": int(count % PAGE == 0),
            "Count entry": int(count > 0),
            "Count": int(count > 0),
            "Check continuation": checking if count else 0,
            "Check": checking if count else 0,
            "Verdict": int(count > 0),
        }
    )


def assert_sent(harness, instance, count):
    """One email to each who wants one, all of them counted, and a verdict of no complaints."""
    emails = entities(harness, "Email")
    assert wanted(count) == sorted(each["to"] for each in emails)
    assert {(instance, "ISSUE 7")} >= {(each["batch"], each["subject"]) for each in emails}
    (batch,) = entities(harness, "Batch")
    sent = len(wanted(count))
    assert (instance, 7, sent, count - sent) == (
        batch.key.name,
        batch["issue"],
        batch["sent"],
        batch["skipped"],
    )
    verdicts = [(each.key.name, dict(each)) for each in entities(harness, "Verdict")]
    clean = {"missing": [], "surplus": [], "checked": count, "of": count}
    assert [(instance, clean)][: min(count, 1)] == verdicts


@pytest.mark.fantasm(159, 161, 172, 174)
@pytest.mark.parametrize("count", [0, 1, 4, 5, 23, 35])
@DELIVERIES
def test_each_subscriber_gets_an_email_and_the_validation_finds_it(harness, count, deliver):
    """Nobody, one, pages that are full, pages that are not; both machines count what they worked through."""
    subscribe(harness, count)
    instance = finish(harness, "EmailBatch/?issue=7", deliver)
    assert_sent(harness, instance, count)
    assert runs_of(count) == RUNS == committed(harness)
    assert (2 if count else 1) == len(entities(harness, "FantasmInstance"))


@METHODS
def test_a_batch_by_either_method(harness, method):
    """The validation's tasks are its own."""
    subscribe(harness, 12)
    instance = finish(harness, "EmailBatch/?issue=7", method=method)
    assert_sent(harness, instance, 12)
    assert runs_of(12) == RUNS


@pytest.mark.fantasm(161)
@pytest.mark.parametrize("count", [0, 5, 10])
def test_an_empty_last_page_halts_its_branch_with_a_note(harness, count):
    """The state is not final: that is no failure."""
    subscribe(harness, count)
    instance = finish(harness, "EmailBatch/?issue=7")
    halted = [each for each in steps(harness, instance) if each["status"] == "halted"]
    assert [("Send", "an empty page: nothing to go on with", 1)] == [
        (each["state"], each["note"], each["attempts"]) for each in halted
    ]


@pytest.mark.fantasm(149, 151)
def test_the_validation_begins_when_its_countdown_is_over(harness):
    """Six hours after the emails were counted; until then it is one task that waits."""
    subscribe(harness, 12)
    parent = started(harness, "EmailBatch/?issue=7")
    while (moment := harness.tasks.next_time()) is not None and moment < harness.clock.now + 3600:
        harness.deliver(harness.next_attempt())
    assert (1, 0) == (RUNS["Count"], RUNS["Check"])
    assert 1 == harness.tasks.depth()
    counted = harness.clock.now
    harness.deliver(harness.next_attempt())
    assert 1 == RUNS["Check"]
    assert counted + VALIDATION_WAIT == pytest.approx(harness.clock.now, abs=0.1)
    once(harness)
    all_over(harness)
    (child,) = (each for each in entities(harness, "FantasmInstance") if each["machine"] == "ValidateBatch")
    assert parent == child["parent"]


def test_a_page_that_comes_late_is_counted_apart_and_orders_no_second_validation(harness):
    """Its window is another one; the validation has a name, under which it was ordered already."""
    subscribe(harness, 12)
    instance = started(harness, "EmailBatch/?issue=7")
    while RUNS["Send"] == 0:
        harness.deliver(harness.next_attempt())
    held = harness.next_attempt()
    assert "--Send--" in held.task
    while RUNS["Count"] == 0:
        harness.deliver(harness.next_attempt())
    assert 1 == RUNS["Send"]
    harness.deliver(held)
    once(harness)
    all_over(harness)
    assert_sent(harness, instance, 12)
    assert {**runs_of(12), "Count entry": 2, "Count": 2} == RUNS == committed(harness)
    assert 2 == len(entities(harness, "FantasmInstance"))


def test_the_validation_finds_what_is_missing_and_what_is_too_much(harness):
    """Somebody meddles with the outbox in the hours between."""
    subscribe(harness, 12)
    instance = started(harness, "EmailBatch/?issue=7")
    while RUNS["Count"] == 0:
        harness.deliver(harness.next_attempt())
    client = harness.datastore
    for each in entities(harness, "Email"):
        if each["to"] == "8@example.org":
            client.delete(each.key)
        if each["to"] == "2@example.org":
            again, unwanted = datastore.Entity(client.key("Email")), datastore.Entity(client.key("Email"))
            again.update(each)
            unwanted.update({**each, "to": "3@example.org"})
            client.put_multi([again, unwanted])
    once(harness)
    all_over(harness)
    (verdict,) = entities(harness, "Verdict")
    expected = {
        "missing": ["8@example.org"],
        "surplus": ["2@example.org", "3@example.org"],
        "checked": 12,
        "of": 12,
    }
    assert (instance, expected) == (verdict.key.name, dict(verdict))


def test_batches_at_the_same_time_do_not_mix(harness):
    """Two issues, a validation for each."""
    subscribe(harness, 7)
    first = started(harness, "EmailBatch/?issue=1")
    second = started(harness, "EmailBatch/?issue=2")
    once(harness)
    all_over(harness)
    assert {place: 2 * count for place, count in runs_of(7).items()} == RUNS
    assert {(first, 1, 6, 1), (second, 2, 6, 1)} == {
        (each.key.name, each["issue"], each["sent"], each["skipped"]) for each in entities(harness, "Batch")
    }
    assert {(first, 7, 7), (second, 7, 7)} == {
        (each.key.name, each["checked"], each["of"]) for each in entities(harness, "Verdict")
    }


@pytest.mark.fantasm(150, 190, 192)
@STORMS
def test_a_storm_changes_nothing(harness, seed):
    """Each place counts as often as on a calm day, but for fan-ins, which may have more than one window."""
    subscribe(harness, 13)
    instance = finish(harness, "EmailBatch/?issue=7", storm(seed), method=("GET", "POST")[seed % 2])
    assert_sent(harness, instance, 13)
    found, expected = committed(harness), runs_of(13)
    for place in FAN_INS:
        assert found.pop(place) >= expected.pop(place)
    assert expected == found
    assert 2 == len(entities(harness, "FantasmInstance"))
