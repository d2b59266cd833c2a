"""Following an instance, and the key that it is started with; in virtual time."""

import json

import pytest
from small_application import write_project

from fantasm_gcp.cli.campaign_key import KEYS_FILE, choose_key
from fantasm_gcp.cli.watching import PATIENCE, follow
from fantasm_gcp.engine.start import start
from fantasm_gcp.testing import Harness


@pytest.fixture
def harness(tmp_path, monkeypatch):
    directory = write_project(tmp_path / "party")
    monkeypatch.syspath_prepend(str(directory))
    made = Harness(directory / "fsm.yaml")
    yield made
    made.close()


def begin(harness, **context):
    return start(harness.fantasm.services, "Walk", context, key="k").instance


def watch(harness, instance, wait):
    shown = []
    end = follow(
        harness.fantasm.history,
        harness.fantasm.definitions.machine("Walk"),
        instance,
        lambda counts, over: shown.append((counts["Leave"].done, over)),
        wait,
        harness.clock,
    )
    return end.how, shown


def delivering(harness):
    def wait(_):
        attempt = harness.next_attempt()
        if attempt:
            harness.deliver(attempt)
        return False

    return wait


def test_it_follows_to_the_end(harness):
    """The counts that are shown last are those of the end."""
    how, shown = watch(harness, begin(harness), delivering(harness))
    assert "completed" == how
    assert (1, True) == shown[-1]
    assert {(0, False), (1, False)} >= set(shown[:-1])


def test_it_tells_a_failed_end(harness):
    """A failed instance is not waited for."""
    assert "failed" == watch(harness, begin(harness, way="wrong"), delivering(harness))[0]


def test_it_gives_up_what_does_not_move(harness):
    """After the time it says, not before."""
    began = harness.clock()

    def wait(seconds):
        harness.clock.sleep(seconds)
        return False

    assert "stuck" == watch(harness, begin(harness), wait)[0]
    assert PATIENCE <= harness.clock() - began < PATIENCE + 1


def test_every_step_begins_the_patience_anew(harness):
    """A slow instance is not a stuck one."""
    pauses = iter([PATIENCE - 1, PATIENCE - 1])

    def wait(_):
        harness.deliver(harness.next_attempt())
        harness.clock.sleep(next(pauses))
        return False

    assert "completed" == watch(harness, begin(harness), wait)[0]


def test_it_stops_when_told_to(harness):
    """Waiting is where a signal is noticed."""
    assert "stopped" == watch(harness, begin(harness), lambda _: True)[0]


def test_a_key_is_kept_while_its_instance_runs(harness, tmp_path):
    """Before the start, and until the end; then there is another."""
    history = harness.fantasm.history
    key = choose_key(tmp_path, "Walk", history)
    assert key == choose_key(tmp_path, "Walk", history)
    start(harness.fantasm.services, "Walk", {}, key=key)
    assert key == choose_key(tmp_path, "Walk", history)
    harness.run()
    assert key != choose_key(tmp_path, "Walk", history)


def test_machines_have_keys_of_their_own(harness, tmp_path):
    """Two demonstrations in one directory do not disturb each other."""
    history = harness.fantasm.history
    walk, party = choose_key(tmp_path, "Walk", history), choose_key(tmp_path, "Party", history)
    assert walk != party
    assert walk == choose_key(tmp_path, "Walk", history)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"Walk": 1}', '{"Walk": ""}', "\udcff"])
def test_a_file_that_is_not_ours_is_replaced(harness, tmp_path, text):
    """A half-written or foreign file costs a campaign's continuation, never the start."""
    (tmp_path / KEYS_FILE).write_bytes(text.encode(errors="surrogateescape"))
    key = choose_key(tmp_path, "Walk", harness.fantasm.history)
    assert {"Walk": key} == json.loads((tmp_path / KEYS_FILE).read_text())


def test_without_a_directory_every_key_is_new(harness):
    """In memory there is nothing to continue."""
    keys = {choose_key(None, "Walk", harness.fantasm.history) for _ in range(10)}
    assert 10 == len(keys)
