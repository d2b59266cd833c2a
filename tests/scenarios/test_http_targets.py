"""Machines whose tasks go to a URL: counted, retried and given up as those that App Engine delivers."""

from __future__ import annotations

from pathlib import Path

import chain
import grpc
import pytest
from failing import Script
from flask import Flask, abort
from operated import DEFINITIONS as OPERATED
from operated import Seen

from fantasm_gcp.local.rpc import RpcError
from fantasm_gcp.local.tasks import Response
from fantasm_gcp.settings import CLOUD_RUN
from fantasm_gcp.testing import Harness

HERE = Path(__file__).parent
URL = "http://localhost:8080"
APP_ENGINE = "app-engine"
BOTH = pytest.mark.parametrize("target", [APP_ENGINE, URL])


@pytest.fixture(autouse=True)
def fresh():
    """What the actions of other tests were to do is forgotten."""
    Script.attempts = []
    Seen.by_state.clear()


def harness_of(definitions, target=URL, **options):
    return Harness(HERE / definitions, settings={"target": target}, **options)


def boom(context):
    raise ValueError("boom")


def start(harness, path):
    return harness.start(path).json["instance"]


def shown(harness, instance):
    return harness.get(f"instances/{instance}")


def kill(harness):
    """A delivery that reaches the worker and that nobody answers."""
    harness.tasks.finish(harness.next_attempt(), None)


@BOTH
def test_a_failed_attempt_counts_once(target):
    """A limit of one retry is two attempts: the second one runs, and may still succeed."""
    with harness_of("failing.yaml", target) as harness:
        Script.attempts = [boom]
        instance = start(harness, "Failing/")
        harness.run()
        assert "completed" == shown(harness, instance)["status"]
        Script.attempts = [boom, boom, boom]
        instance = start(harness, "Failing/")
        harness.run()
        (step,) = shown(harness, instance)["failed"]["items"]
        assert (2, "ValueError: boom", 1) == (step["attempts"], step["error"], len(Script.attempts))


@BOTH
def test_attempts_that_failed_and_that_never_answered_add_up(tmp_path, target):
    """Four attempts in all, of which every other one is killed."""
    text = (HERE / "failing.yaml").read_text().replace("task_retry_limit: 1", "task_retry_limit: 3")
    (tmp_path / "fsm.yaml").write_text(text)
    with harness_of(tmp_path / "fsm.yaml", target) as harness:
        Script.attempts = [boom] * 3
        instance = start(harness, "Failing/")
        for _ in range(2):
            kill(harness)
            harness.deliver(harness.next_attempt())
        (step,) = shown(harness, instance)["failed"]["items"]
        assert (4, 1, 0) == (step["attempts"], len(Script.attempts), harness.tasks.depth())


@BOTH
def test_attempts_that_nobody_answers_use_up_the_limit(target):
    """A worker that is killed each time."""
    with harness_of("failing.yaml", target) as harness:
        instance = start(harness, "Failing/")
        kill(harness)
        kill(harness)
        harness.run()
        (step,) = shown(harness, instance)["failed"]["items"]
        assert (2, True) == (step["attempts"], "2 of 2 attempts never answered" in step["error"])


@pytest.mark.parametrize(("status", "run"), [(503, 0), (504, 0), (429, 2), (403, 2)])
def test_what_the_platform_answers_in_place_of_the_worker(status, run):
    """5xx is no answer, and uses attempts up; what the platform refuses with 4xx was no attempt."""
    with harness_of("failing.yaml") as harness:
        Script.attempts = [boom, boom]
        instance = start(harness, "Failing/")
        for _ in range(2):
            harness.tasks.finish(harness.next_attempt(), Response(status))
        harness.run()
        assert ("failed", run) == (shown(harness, instance)["status"], 2 - len(Script.attempts))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (APP_ENGINE, {"raise": 500, 500: 500, 503: 500, 429: 429}),
        (URL, {"raise": 424, 500: 424, 503: 424, 429: 424}),
    ],
)
def test_no_answer_slows_a_queue_down_or_is_taken_for_none(target, expected):
    """Whoever of the application answers it: the engine, a fault, or the application's own guard."""

    def application():
        app = Flask("guarded")

        @app.before_request
        def guard():
            if said == ["raise"]:
                raise ZeroDivisionError
            if said:
                abort(said[0])

        return app

    said = []
    with harness_of("failing.yaml", target, application=application) as harness:
        start(harness, "Patient/")
        attempt = harness.next_attempt()
        found = {}
        for each in expected:
            said[:] = [each]
            found[each] = harness.answer(attempt)
        elsewhere = harness.client.get("/fantasm/api/machines").status_code
        said.clear()
    assert (expected, 429) == (found, elsewhere)


@pytest.mark.parametrize(("target", "expected"), [(APP_ENGINE, 500), (URL, 424)])
def test_a_step_whose_rows_cannot_be_read_comes_again(target, expected):
    """Datastore is away for a while: no attempt at the step is used up by that."""

    def away(rpc, carry_out):
        raise RpcError(grpc.StatusCode.UNAVAILABLE, "injected")

    with harness_of("failing.yaml", target) as harness:
        instance = start(harness, "Failing/")
        plain, harness.around = harness.around, away
        for _ in range(3):
            attempt = harness.next_attempt()
            status = harness.answer(attempt)
            harness.tasks.finish(attempt, Response(status))
            assert expected == status
        harness.around = plain
        harness.run()
        assert "completed" == shown(harness, instance)["status"]
        assert 1 == shown(harness, instance)["steps"]["items"][0]["attempts"]


def test_a_step_comes_again_where_the_runtime_does_not_tell_the_target():
    """The metadata server does not answer, so nothing is known: neither who calls nor where tasks go."""
    nowhere = {"mode": "", "runtime": CLOUD_RUN, "metadata_host": "127.0.0.1:1"}
    with Harness(HERE / "failing.yaml", settings=nowhere) as harness:
        step = harness.client.post("/fantasm/fsm/Failing/pseudo-init/pseudo-init/Only/")
    assert 424 == step.status_code


def test_headers_of_the_other_target_count_nothing():
    """A caller who may deliver cannot have a step given up by counts of App Engine's."""
    with harness_of("failing.yaml") as harness:
        instance = start(harness, "Failing/")
        attempt = harness.next_attempt()
        attempt.delivery.headers.update(
            {"X-AppEngine-TaskRetryCount": "9", "X-AppEngine-TaskExecutionCount": "0"}
        )
        harness.deliver(attempt)
        assert "completed" == shown(harness, instance)["status"]


def test_a_chain_with_a_fan_in_runs_to_its_end():
    """Pages, a window of three seconds, and a transactional end; nothing is left over."""
    chain.Luck.now = chain.Luck(1, 0.2)
    with harness_of("chain.yaml") as harness:
        instance = start(harness, "Chain/")
        harness.run()
        assert ("completed", []) == (shown(harness, instance)["status"], chain.left_over(harness))
        tally = {each.key.name: each["n"] for each in harness.datastore.query(kind="Tally").fetch()}
        assert {str(item + 1): 1 for item in range(chain.ITEMS)} == tally


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_machine_without_records_runs_to_its_end(method):
    """Its tasks carry everything, in headers or in a body, as text of any language."""
    with harness_of("staging.yaml") as harness:
        harness.start(f"Light/?n=ä€&method={method}")
        harness.run()
        (end,) = harness.datastore.query(kind="Thing").fetch()
        assert ('"ä€"', 2, []) == (end["n"], end["hops"], harness.get("instances")["instances"])


def test_a_machine_without_records_is_given_up_by_its_queue():
    """Two retries are three attempts, whatever these are answered."""
    import staging

    attempts = []

    def act(context):
        attempts.append(context.idempotency_key)
        raise ValueError("boom")

    staging.Script.act = act
    with harness_of("staging.yaml") as harness:
        harness.start("LightFailing/")
        harness.run()
    assert (3, 1) == (len(attempts), len(set(attempts)))


def test_an_end_is_told_to_another_machine():
    """The receiver's tasks go to the same URL."""
    with harness_of(OPERATED) as harness:
        instance = start(harness, "Teller/")
        harness.run()
        (told,) = shown(harness, instance)["told"]
        assert "completed" == shown(harness, told["instance"])["status"]
    assert 1 == len(Seen.take("Second"))
