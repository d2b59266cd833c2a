"""Faults that a fresh reader found: each failed before it was mended."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from pathlib import Path

import grpc
import pytest
import staging
from failing import Script
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.api_core.exceptions import Aborted
from google.cloud import datastore

from fantasm_gcp.core.names import StepName
from fantasm_gcp.engine.redriving import redrive
from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.testing import Harness

HERE = Path(__file__).parent
FSM = HERE.parents[1] / "fsm.yaml"


def harness_of(name):
    return Harness(HERE / f"{name}.yaml")


@pytest.fixture
def failing():
    Script.attempts = []
    with harness_of("failing") as made:
        yield made


@pytest.fixture
def acting():
    staging.Script.act = lambda context: None
    with harness_of("staging") as made:
        yield made


def shown(harness, instance):
    return harness.get(f"instances/{instance}")


def boom(context):
    raise ValueError("boom")


@pytest.mark.parametrize(
    "value",
    [{date(2020, 1, 1): 1}, {(1, 2): "x"}, {b"k": None}, {"n": {1: datetime(2020, 1, 1, tzinfo=UTC)}}],
)
def test_a_context_that_no_url_shows_goes_on_by_get(tmp_path, value):
    """The URL is for people; what it cannot show must not stop the step after its commit."""
    text = "state_machines:\n- name: Two\n  namespace: staging\n  states:\n"
    text += "  - {name: A, action: Acts, initial: true, transitions: [{event: ok, to: B}]}\n"
    text += "  - {name: B, action: Acts, final: true}\n"
    (tmp_path / "fsm.yaml").write_text(text)

    def action(context):
        if context.state_name == "A":
            context["v"] = value
            return "ok"
        assert repr(value) == repr(context["v"])
        return None

    staging.Script.act = action
    with Harness(tmp_path / "fsm.yaml") as harness:
        instance = harness.start("Two/?a=1").json["instance"]
        harness.run(50)
        assert "completed" == shown(harness, instance)["status"]


@pytest.mark.fantasm(163)
def test_a_retried_page_ends_where_its_follow_up_begins(tmp_path):
    """An entity that came into the page meanwhile pushes none out of it."""
    text = FSM.read_text().replace("examples.campaign", "edges")
    (tmp_path / "fsm.yaml").write_text(text)
    with Harness(tmp_path / "fsm.yaml") as harness:
        client = harness.datastore
        put_subscribers(client, "acde")
        harness.start("SendSubscriberEmail/")
        import edges

        edges.fail_once = True
        harness.deliver(harness.next_attempt())
        put_subscribers(client, "b")
        harness.run()
        seen = sorted(each["to"] for each in client.query(kind="OutboxEmail").fetch())
        assert list("abcde") == seen


def put_subscribers(client, names):
    for name in names:
        entity = datastore.Entity(client.key("Subscriber", name))
        entity["email"] = name
        client.put(entity)


def test_a_step_that_comes_late_is_run_whatever_its_age_limit(tmp_path):
    """The age of a step counts from its first attempt, and a window's from none before it closes."""
    text = "state_machines:\n- name: Old\n  namespace: failing\n  task_age_limit: 60\n  states:\n"
    text += "  - {name: Only, action: Only, initial: true, final: true}\n"
    (tmp_path / "fsm.yaml").write_text(text)
    Script.attempts = [boom, boom, boom]
    with Harness(tmp_path / "fsm.yaml") as harness:
        instance = harness.start("Old/").json["instance"]
        harness.clock.sleep(1000)
        harness.deliver(harness.next_attempt())
        assert "running" == shown(harness, instance)["status"]
        harness.clock.sleep(59)
        harness.deliver(harness.next_attempt())
        assert "running" == shown(harness, instance)["status"]
        harness.clock.sleep(2)
        harness.deliver(harness.next_attempt())
        assert "failed" == shown(harness, instance)["status"]


def test_trouble_of_the_infrastructure_uses_up_no_attempts(failing):
    """Deliveries that answered an error for lack of Datastore are not taken for killed workers."""

    def around(rpc, carry_out):
        if rpc.method == "Commit":
            raise RpcError(grpc.StatusCode.ABORTED, "busy")
        return carry_out()

    instance = failing.start("Failing/").json["instance"]
    failing.around = around
    for _ in range(5):
        failing.deliver(failing.next_attempt())
    failing.around = lambda _, carry_out: carry_out()
    failing.run()
    assert ("completed", 1) == (
        shown(failing, instance)["status"],
        shown(failing, instance)["steps"]["items"][0]["attempts"],
    )


def test_an_attempt_is_counted_once_whether_it_answered_or_not(failing):
    """One killed, one failed: two attempts, not three."""
    Script.attempts = [boom]
    instance = failing.start("Patient/").json["instance"]
    failing.tasks.finish(failing.next_attempt(), None)
    failing.deliver(failing.next_attempt())
    assert 2 == shown(failing, instance)["in_flight"]["items"][0]["attempts"]
    failing.run()
    assert 3 == shown(failing, instance)["steps"]["items"][0]["attempts"]


def test_a_step_unknown_to_a_deployment_waits_whatever_its_limit(failing):
    """Killed workers of a deployment that does not know the state do not use up its attempts."""
    instance = failing.start("Failing/").json["instance"]
    failing.deploy(HERE / "budgets.yaml")
    for _ in range(4):
        failing.tasks.finish(failing.next_attempt(), None)
    failing.deliver(failing.next_attempt())
    (step,) = shown(failing, instance)["in_flight"]["items"]
    assert "definition missing" in step["error"]
    failing.deploy(HERE / "failing.yaml")
    failing.run()


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [ValueError("\ud800"), Mute(), ValueError("x" * 100_000)])
def test_any_error_can_be_kept(failing, error):
    """Lone surrogates, exceptions that cannot be printed, very long ones."""

    def fails(context):
        raise error

    Script.attempts = [fails, fails]
    instance = failing.start("Failing/").json["instance"]
    failing.run()
    (step,) = shown(failing, instance)["failed"]["items"]
    assert step["error"].startswith(type(error).__qualname__)


def test_contention_that_never_ends_is_a_failed_attempt(acting):
    """An action that loses each time is run a few times a delivery, and its error is kept."""
    calls = []

    def action(context):
        calls.append(1)
        raise Aborted("of another service")

    staging.Script.act = action
    instance = acting.start("Transactional/").json["instance"]
    assert "retry" == acting.deliver(acting.next_attempt()).result
    (step,) = shown(acting, instance)["in_flight"]["items"]
    assert (5, 1, True) == (len(calls), step["attempts"], "of another service" in step["error"])


def test_an_action_that_outlives_its_transaction_is_a_failed_attempt(acting):
    """It ran once, and Datastore's words say why it failed."""
    calls = []

    def action(context):
        calls.append(1)
        acting.clock.sleep(300)

    staging.Script.act = action
    instance = acting.start("Transactional/").json["instance"]
    acting.deliver(acting.next_attempt())
    (step,) = shown(acting, instance)["in_flight"]["items"]
    assert (1, 1, True) == (len(calls), step["attempts"], "RefusedError" in step["error"])


@pytest.mark.parametrize("nested", ["transaction", "batch"])
def test_a_transaction_inside_a_transactional_state_is_refused(acting, nested):
    """It would commit by itself; what it was to write is not written."""

    def action(context):
        with getattr(context.datastore, nested)() as inner:
            inner.put(datastore.Entity(context.datastore.key("Thing", "x")))

    staging.Script.act = action
    instance = acting.start("Transactional/").json["instance"]
    acting.deliver(acting.next_attempt())
    (step,) = shown(acting, instance)["in_flight"]["items"]
    assert "one transaction already" in step["error"]
    assert [] == list(acting.datastore.query(kind="Thing").fetch())
    with acting.datastore.transaction():
        pass


def test_a_rollback_that_fails_hides_nothing(acting):
    """The action's error is what is kept."""

    def around(rpc, carry_out):
        if rpc.method == "Rollback":
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "down")
        return carry_out()

    staging.Script.act = boom
    acting.around = around
    instance = acting.start("Transactional/").json["instance"]
    acting.deliver(acting.next_attempt())
    (step,) = shown(acting, instance)["in_flight"]["items"]
    assert "ValueError: boom" == step["error"]


def test_a_staged_entity_is_kept_as_it_was_when_it_was_put(acting):
    """One entity object, changed and put again, is two writes of what it was."""

    def action(context):
        entity = datastore.Entity(context.datastore.key("Thing", "x"))
        for name in "xyz":
            entity.key = context.datastore.key("Thing", name)
            entity["name"] = name
            context.put(entity)

    staging.Script.act = action
    acting.start("Plain/")
    acting.run()
    assert ["x", "y", "z"] == sorted(each["name"] for each in acting.datastore.query(kind="Thing").fetch())


def test_a_moment_read_from_datastore_can_be_carried_on(acting):
    """The client answers a subclass of datetime."""
    moment = DatetimeWithNanoseconds(2026, 1, 1, nanosecond=5000, tzinfo=UTC)
    staging.Script.act = lambda context: context.update(at=moment)
    instance = acting.start("Plain/").json["instance"]
    acting.run()
    assert "completed" == shown(acting, instance)["status"]


def test_a_machine_keeps_its_guarantee_until_its_instances_end(tmp_path):
    """A deployment that asks for another one changes what starts after it."""
    text = (HERE / "budgets.yaml").read_text()
    swapped = text.replace("  guarantee: at_least_once\n", "").replace(
        "- name: Line\n", "- name: Line\n  guarantee: at_least_once\n"
    )
    (tmp_path / "fsm.yaml").write_text(swapped)
    for machine in ("Line", "Light"):
        with harness_of("budgets") as harness:
            instance = harness.start(f"{machine}/").json["instance"]
            harness.deliver(harness.next_attempt())
            harness.deploy(tmp_path / "fsm.yaml")
            assert 2 == harness.run()
            if machine == "Line":
                assert "completed" == shown(harness, instance)["status"]


def test_a_final_page_that_was_not_empty_needs_an_event(tmp_path):
    """Only an empty page may end a branch in a state that is not final."""
    text = "state_machines:\n- name: Pages\n  namespace: edges\n  states:\n"
    text += "  - {name: Page, action: Quiet, initial: true, continuation: true, transitions: [{event: ok, to: End}]}\n"
    text += "  - {name: End, final: true}\n"
    (tmp_path / "fsm.yaml").write_text(text)
    with Harness(tmp_path / "fsm.yaml") as harness:
        instance = harness.start("Pages/").json["instance"]
        harness.run()
        assert "NoEventError" in shown(harness, instance)["failed"]["items"][0]["error"]


def test_a_task_of_an_earlier_epoch_leaves_the_step_alone(failing):
    """The redriven step has a task of its own; the old one, delivered late, does not use up its attempts."""
    Script.attempts = [boom, boom]
    instance = failing.start("Failing/").json["instance"]
    old = failing.next_attempt()
    failing.answer(old)
    failing.answer(old)
    (step,) = shown(failing, instance)["failed"]["items"]
    redrive(failing.fantasm.services, StepName(step["step"]))
    Script.attempts = [boom]
    assert 200 == failing.answer(old)
    assert 1 == len(Script.attempts)
    failing.run()
    assert "completed" == shown(failing, instance)["status"]


def test_all_steps_in_flight_can_be_listed(tmp_path):
    """Page by page, each list by its own cursor."""
    with harness_of("gathering") as harness:
        instance = harness.start("Gathering/?items=5").json["instance"]
        for _ in range(5):
            name = next(each for each in harness.tasks.due() if "_w0" not in each)
            harness.tasks.finish(harness.tasks.lease(name), None) if "c0-4" in name else harness.deliver(
                harness.tasks.lease(name)
            )
        first = harness.get(f"instances/{instance}?limit=1")
        rest = harness.get(f"instances/{instance}?limit=1&in_flight_cursor={first['in_flight']['cursor']}")
        names = {each["step"] for page in (first, rest) for each in page["in_flight"]["items"]}
        assert (2, 1) == (len(names), len(rest["steps"]["items"]))


def test_a_chain_without_records_repeats_items_rather_than_losing_them(tmp_path):
    """A retried page of a machine at_least_once that ends earlier has a follow-up of its own."""
    import edges

    text = "state_machines:\n- name: Light\n  namespace: edges\n  guarantee: at_least_once\n  states:\n"
    text += "  - {name: Send, action: SendEmail, initial: true, continuation: true, final: true, transitions: [{event: ok, to: End}]}\n"
    text += "  - {name: End, final: true}\n"
    (tmp_path / "fsm.yaml").write_text(text)
    with Harness(tmp_path / "fsm.yaml") as harness:
        put_subscribers(harness.datastore, "acde")
        harness.start("Light/")
        edges.fail_once = True
        harness.deliver(harness.next_attempt())
        put_subscribers(harness.datastore, "b")
        harness.run()
        assert set("abcde") == {each["to"] for each in harness.datastore.query(kind="OutboxEmail").fetch()}


DAY = 24 * 3600


def with_large_context(harness):
    """A first attempt at a step whose context lies in payload rows."""
    noise = (
        random.Random(1).randbytes(900_000).hex()
    )  # compresses to half, which is still too large for a row
    instance = harness.start("Line/", method="POST", json={"noise": noise}).json["instance"]
    return instance, harness.next_attempt()


def payloads(harness):
    return list(harness.datastore.query(kind="FantasmPayload").fetch())


def test_a_payload_that_is_used_is_not_forgotten(tmp_path):
    """One with less than 200 days left is written anew by the next row that has it."""
    with harness_of("budgets") as harness:
        _, attempt = with_large_context(harness)
        harness.clock.sleep(210 * DAY)
        harness.deliver(attempt)
        (expires,) = {each["expires"].timestamp() for each in payloads(harness)}
        assert 390 * DAY < expires - harness.clock()


def test_a_step_whose_payload_was_deleted_fails_and_says_so(tmp_path):
    """It is listed, not retried for ever, and its page can be read."""
    with harness_of("budgets") as harness:
        instance, attempt = with_large_context(harness)
        for each in payloads(harness):
            harness.datastore.delete(each.key)
        harness.deliver(attempt)
        (failed,) = shown(harness, instance)["failed"]["items"]
        assert "the step's context is gone" in failed["error"]
        assert (
            200 == harness.client.get(f"/fantasm/api/instances/{instance}/steps/{failed['step']}").status_code
        )
