"""The code of a team that moved: old spellings throughout, other imports, and nothing else."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime

import pytest
from google.cloud import datastore

from fantasm_gcp.testing import Harness
from machines.stage import RUNS, committed, entities, finish, once, started, steps, twice

MACHINES = "moved.yaml"
CLOSED = 5
ACCOUNTS = 7
COUNTED = {
    "FindAccounts entry": 3,
    "FindAccounts": 3,
    "SplitAccounts": 5,
    "Bill": ACCOUNTS - 1,
    "Total": 1,
    "SendInvoice": ACCOUNTS - 1,
    "Sent": ACCOUNTS - 1,
    "Archive": 1,
}
"""Seven accounts in pages of 3, 3 and 1, each of these in pages of up to 2; one of them is closed."""

BOTH_WAYS = pytest.mark.parametrize(("deliver", "method"), [(once, "GET"), (once, "POST"), (twice, "POST")])


def open_accounts(harness, count=ACCOUNTS):
    client = harness.datastore
    for number in range(1, count + 1):
        account = datastore.Entity(client.key("Account", number))
        account.update(number=number, closed=number == CLOSED)
        client.put(account)


@pytest.fixture
def queues(harness):
    """The queues of all tasks, by the machine and the state that they lead to."""
    found = {}

    def around(rpc, carry_out):
        if rpc.method == "CreateTask":
            path = rpc.request.task.app_engine_http_request.relative_uri.partition("?")[0].split("/")
            found.setdefault(f"{path[3]} {path[-2]}", Counter())[rpc.request.parent.rpartition("/")[2]] += 1
        return carry_out()

    harness.around = around
    return found


@pytest.mark.fantasm(137, 142, 162, 168, 169, 172)
@BOTH_WAYS
def test_the_app_runs_as_it_did(harness, queues, deliver, method):
    """Every account that is not closed is billed once, with one invoice; the totals are right."""
    open_accounts(harness)
    instance = finish(harness, "BillAccounts/?month=7&dry=False", deliver, method=method)
    assert COUNTED == committed(harness)
    assert {**COUNTED, "Bill": ACCOUNTS} == RUNS
    (bill,) = entities(harness, "Bill")
    assert (instance, ACCOUNTS, ACCOUNTS - 1) == (bill.key.name, bill["accounts"], bill["billed"])
    assert [1, 1, 1, 2, 2, 2] == bill["sizes"]
    invoices = entities(harness, "Invoice")
    assert {(number, 7, "BillAccounts") for number in range(1, ACCOUNTS + 1) if number != CLOSED} == {
        (each["account"], each["month"], each["reason"]) for each in invoices
    }
    assert ACCOUNTS - 1 == len(invoices)


@pytest.mark.fantasm(93, 147, 217)
@BOTH_WAYS
def test_queues_are_those_that_were_set(harness, queues, deliver, method):
    """The machine's until setQueue, what it set afterwards; queueName for a machine's every task."""
    open_accounts(harness)
    finish(harness, "BillAccounts/?month=7", deliver, method=method)
    assert {
        "BillAccounts FindAccounts": {"billing"},
        "BillAccounts SplitAccounts": {"slow"},
        "BillAccounts Bill": {"slow"},
        "BillAccounts Total": {"slow"},
        "SendInvoice Send": {"mail"},
        "SendInvoice Sent": {"mail"},
        "Archive Archive": {"default"},
    } == {place: set(each) for place, each in queues.items()}


@pytest.mark.fantasm(94, 141)
def test_an_invoice_waits_for_its_countdown(harness):
    """And knows, as text of the URL never could, when its instance was started."""
    open_accounts(harness, 1)
    began = harness.clock.now
    finish(harness, "BillAccounts/?month=7")
    (invoice,) = entities(harness, "Invoice")
    at = datetime.fromisoformat(invoice["started"])
    assert at.tzinfo is None
    assert 0 == pytest.approx(
        (at.replace(tzinfo=UTC) - datetime.fromtimestamp(began, UTC)).total_seconds(), abs=1
    )
    assert 65 <= harness.clock.now - began <= 71


@pytest.mark.fantasm(222, 223)
@BOTH_WAYS
def test_the_closed_account_halts_its_branch_with_one_line(harness, caplog, deliver, method):
    """At the level that was given by its old name."""
    caplog.set_level(logging.INFO, "fantasm_gcp.engine")
    open_accounts(harness)
    instance = finish(harness, "BillAccounts/?month=7", deliver, method=method)
    halted = [each for each in steps(harness, instance) if each["status"] == "halted"]
    assert [("Bill", f"account {CLOSED} is closed")] == [(each["state"], each["note"]) for each in halted]
    said = [each.levelno for each in caplog.records if "is closed" in each.getMessage()]
    assert [logging.ERROR] == said


@pytest.mark.fantasm(224, 225, 228)
@BOTH_WAYS
def test_its_lines_are_kept(harness, deliver, method):
    """One for each page of accounts, and the halt; what lies below the level that was set is not."""
    open_accounts(harness)
    instance = finish(harness, "BillAccounts/?month=7", deliver, method=method)
    lines = harness.get(f"instances/{instance}/logs")["logs"]
    expected = {"month 7: 3 accounts": 2, "month 7: 1 accounts": 1, "account 5 is closed": 1}
    assert expected == Counter(each["message"] for each in lines)
    assert {("INFO", ("accounts",)), ("ERROR", ())} == {
        (each["level"], tuple(each["tags"])) for each in lines
    }


@pytest.mark.fantasm(12, 15, 22, 58, 84, 85)
def test_old_attributes_load_and_mean_what_they_meant(harness):
    """A limit by its old name, types of Python 2 and of App Engine, constants: with warnings, not errors."""
    machine = harness.fantasm.definitions.machine("BillAccounts")
    assert (3, "exactly_once") == (machine.retry.task_retry_limit, machine.guarantee)
    find, split = machine.states[:2]
    assert [("found", 3), ("split", 1)] == [
        (each.event, each.retry.task_retry_limit) for each in (*find.transitions, *split.transitions)
    ]
    assert ["month", "dry", "agent"] == [name for name, _ in machine.context_types]
    warned = [(each.line, each.message) for each in harness.fantasm.definitions.warnings]
    old = "max_retries is an old name"
    assert [(2, "enable_capabilities_check has no effect"), (7, old), (30, old)] == warned


@pytest.mark.fantasm(205)
def test_arguments_are_cast_as_they_were(harness):
    """A number, a truth, and the encoded text of an App Engine key, with which the app was linked."""
    key = datastore.Key("Agent", 7, project="test")
    agent = key.to_legacy_urlsafe().decode()
    instance = started(harness, f"BillAccounts/?month=7&dry=False&agent={agent}")
    once(harness)
    (first,) = steps(harness, instance)
    assert (7, False) == (first["context"]["month"], first["context"]["dry"])
    assert "Agent" in str(first["context"]["agent"])


@pytest.mark.parametrize("deliver", [once, twice])
def test_without_accounts_nothing_is_billed(harness, deliver):
    """The one page is empty, and final."""
    finish(harness, "BillAccounts/?month=7", deliver)
    assert {"FindAccounts entry": 1, "FindAccounts": 1} == RUNS


@pytest.mark.fantasm(83, 84)
@pytest.mark.parametrize("event", ["GO", "GO_ON", "Ways.GO_ON"])
def test_a_constant_event_is_looked_up_in_the_machines_namespace(tmp_path, event):
    """Fantasm looks there whatever namespace the state has: such an app must not fail when it runs."""
    text = f"""
state_machines:
- name: Namespaces
  namespace: machines.moved_namespaces
  states:
  - name: First
    namespace: machines.moved_states
    action: First
    initial: True
    transitions:
    - event: {event}
      to: Last
  - name: Last
    action: Last
    final: True
"""
    (tmp_path / "fsm.yaml").write_text(text)
    with Harness(tmp_path / "fsm.yaml") as harness:
        finish(harness, "Namespaces/")
        assert {"First": 1, "Last": 1} == RUNS


@pytest.mark.fantasm(51)
def test_a_transitions_action_is_looked_up_in_the_machines_namespace(tmp_path):
    """Unless the transition has one of its own; the state's is for the state's own actions, in Fantasm."""
    text = """
state_machines:
- name: Namespaces
  namespace: machines.moved_namespaces
  states:
  - name: First
    namespace: machines.moved_states
    action: First
    initial: True
    transitions:
    - event: go-on
      to: Last
      action: OnTheWay
  - name: Last
    action: Last
    final: True
"""
    (tmp_path / "fsm.yaml").write_text(text)
    with Harness(tmp_path / "fsm.yaml") as harness:
        finish(harness, "Namespaces/")
        assert {"First": 1, "OnTheWay": 1, "Last": 1} == RUNS
