"""What the published tutorial and a user's notes print runs, with today's Datastore client in place of db."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.cloud import datastore

from fantasm_gcp.testing import Harness
from machines.stage import (
    DELIVERIES,
    METHODS,
    RUNS,
    KilledAt,
    all_over,
    committed,
    entities,
    finish,
    forget,
    once,
    started,
    steps,
    without_zeros,
)
from machines.tutorial_mail import SENT, address, subscribe

HERE = Path(__file__).parent
COUNTS = pytest.mark.parametrize("count", [0, 1, 7])
SENDING = pytest.mark.parametrize(
    "version", ["tutorial_send", "tutorial_count", "tutorial_fan_in", "tutorial_moved"]
)
ONE_BY_ONE = {"tutorial_count"}
WITHOUT_COUNT = {"tutorial_send"}
TOGETHER = {"tutorial_fan_in", "tutorial_moved"}


@pytest.fixture(autouse=True)
def _nothing_is_sent():
    SENT.clear()


def counter(harness, kind="EmailBatch"):
    return sum(each["counter"] for each in entities(harness, kind))


def runs_of(version, count):
    """A page for each subscriber and an empty one; a count for each email, or one for all."""
    counts = 0 if version in WITHOUT_COUNT else count if version in ONE_BY_ONE else min(count, 1)
    return without_zeros({"continuation": count + 1, "SendEmail": count + 1, "CountEmail": counts})


def expected_counter(version, count):
    return 0 if version in WITHOUT_COUNT else count


@pytest.mark.fantasm(116, 119)
@DELIVERIES
@METHODS
@pytest.mark.parametrize(
    ("arg1", "states"),
    [
        ("something", ["InitialState", "FinalState"]),
        ("value1", ["InitialState", "ReviewAndRecoverState"]),
        ("recovers", ["InitialState", "ReviewAndRecoverState", "FinalState"]),
    ],
)
def test_the_first_machine_goes_where_its_argument_says(arg1, states, deliver, method):
    """By `ok`, by `review` to its end, or by `review` and on."""
    with Harness(HERE / "tutorial_review.yaml") as harness:
        instance = finish(harness, f"MyMachine?arg1={arg1}", deliver, method=method)
        assert states == [each["state"] for each in steps(harness, instance)]
        assert dict.fromkeys(states, 1) == RUNS == committed(harness)


@pytest.mark.fantasm(116, 159, 161)
@SENDING
@COUNTS
@DELIVERIES
@METHODS
def test_each_subscriber_gets_one_email_and_each_email_counts_once(version, count, deliver, method):
    """However it is started, and whatever is delivered twice; the instance completes."""
    with Harness(HERE / f"{version}.yaml") as harness:
        subscribe(harness.datastore, count)
        finish(harness, "SendSubscriberEmail/", deliver, method=method)
        assert [address(number) for number in range(count)] == sorted(SENT.values())
        assert expected_counter(version, count) == counter(harness)
        assert runs_of(version, count) == RUNS == committed(harness)


@pytest.mark.fantasm(161)
@SENDING
@COUNTS
def test_the_empty_last_page_fails_nothing(version, count):
    """In a state that is not final its branch halts with a note; in a final one it has come to its end."""
    with Harness(HERE / f"{version}.yaml") as harness:
        subscribe(harness.datastore, count)
        instance = finish(harness, "SendSubscriberEmail/")
        sends = [each for each in steps(harness, instance) if each["state"] == "SendEmail"]
        (empty,) = (each for each in sends if each["branch"] == (f"main_c0-{count}" if count else "main"))
        expected = (
            ("completed", "")
            if version in WITHOUT_COUNT
            else ("halted", "an empty page: nothing to go on with")
        )
        assert (*expected, None) == (empty["status"], empty["note"], empty["returned"])
        assert ["completed"] * count == [each["status"] for each in sends if each is not empty]
        assert {1} == {each["attempts"] for each in sends}


@pytest.mark.fantasm(134, 190)
@pytest.mark.parametrize("when", ["before", "after"])
@SENDING
def test_a_worker_that_dies_at_any_rpc_loses_nothing(version, when):
    """Two emails. With a transaction of its own the action may count again on its next attempt, as the tutorial
    warns of side effects; with the step's transaction, which is what the guide has, it counts each once.
    """
    counters = set()
    for n in range(200):
        forget()
        SENT.clear()
        killed = KilledAt(n, when)
        with Harness(HERE / f"{version}.yaml") as harness:
            subscribe(harness.datastore, 2)
            started(harness, "SendSubscriberEmail/")
            killed.deliver(harness)
            all_over(harness)
            assert [address(0), address(1)] == sorted(SENT.values()), n
            found, expected = committed(harness), runs_of(version, 2)
            if version in TOGETHER:  # the second of them may come too late for the window of the first
                assert found.pop("CountEmail") >= expected.pop("CountEmail")
            assert expected == found, n
            counters.add(counter(harness))
        if not killed.struck:
            break
    assert 15 < n < 199
    again = {"tutorial_count": {3}, "tutorial_fan_in": {4}}.get(version, set())
    assert {expected_counter(version, 2), *again} == counters


def test_an_entity_without_properties_is_no_empty_page():
    """It is false where the tutorial asks for it, so the action returns nothing: that has to be seen, not noted."""
    with Harness(HERE / "tutorial_count.yaml") as harness:
        client = harness.datastore
        client.put(datastore.Entity(client.key("Subscriber", "0000")))
        instance = started(harness, "SendSubscriberEmail/")
        once(harness)
        shown = harness.get(f"instances/{instance}")
        assert ("failed", ["SendEmail"]) == (
            shown["status"],
            [each["state"] for each in shown["failed"]["items"]],
        )


@pytest.mark.fantasm(159, 161, 162, 174)
@COUNTS
@DELIVERIES
@METHODS
def test_the_notes_count_all_accounts(count, deliver, method):
    """One branch for each, gathered and counted in one transaction."""
    with Harness(HERE / "accounts.yaml") as harness:
        client = harness.datastore
        for number in range(count):
            account = datastore.Entity(client.key("Accounts", number + 1))
            account["number"] = number
            client.put(account)
        finish(harness, "Accounts/", deliver, method=method)
        assert count == counter(harness, "Batch")
        expected = without_zeros({"AllAccounts": count + 1, "CountAccounts": min(count, 1)})
        assert expected == RUNS == committed(harness)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("tutorial_review", ["states stand beside state_machines"]),
        ("tutorial_send", ["states stand beside state_machines"]),
        ("tutorial_count", ["states stand beside state_machines", "a transition is written as two items"]),
        ("tutorial_fan_in", ["states stand beside state_machines", "a transition is written as two items"]),
        ("tutorial_moved", []),
        ("accounts", []),
    ],
)
def test_the_printed_forms_load_with_warnings_that_show_what_to_write(file, expected):
    """And without them nothing is warned of."""
    with Harness(HERE / f"{file}.yaml") as harness:
        found = [each.message for each in harness.fantasm.definitions.warnings if each.file.endswith(".yaml")]
        assert len(expected) == len(found)
        assert all(message.startswith(start) for message, start in zip(found, expected, strict=True)), found


def test_the_page_after_the_last_subscriber_is_not_waited_for():
    """Emails that are counted do not wait for branches that halt."""
    with Harness(HERE / "tutorial_fan_in.yaml") as harness:
        subscribe(harness.datastore, 7)
        began = harness.clock.now
        started(harness, "SendSubscriberEmail/")
        once(harness)
        assert 3 == pytest.approx(harness.clock.now - began, abs=0.5)
        assert 7 == counter(harness)
