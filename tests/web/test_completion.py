"""Knowing when an instance is done: waiting for its end, being told of it, and what stems from it."""

from __future__ import annotations

import pytest
from operated import DEFINITIONS, Seen

from fantasm_gcp import StartError, UnknownMachineError
from fantasm_gcp.testing import Harness
from fantasm_gcp.web.waiting import LONGEST


def named(pairs):
    return {f"X-Fantasm-On-{name}": value for name, value in pairs.items()}


@pytest.fixture
def telling():
    """The machines, with webhooks that are configured."""
    settings = {
        "webhook_secret": "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0" * 2,
        "webhook_hosts": ("hooks.example.com",),
        "resume_rate": 7.0,
        "app_engine_version": "v7",
    }
    with Harness(DEFINITIONS, settings=settings) as made:
        yield made


def test_who_waits_for_an_end_is_answered_when_it_comes(operated, start):
    """The answer is that of the end, and comes before the time is over."""
    instance = start("Walk/")
    plain, left = operated.around, [2, 1]

    def meanwhile(rpc, carry_out):
        """Before every third look at the row, a step of the instance runs."""
        looks.append(rpc.method)
        if left and len(looks) % 3 == 0:
            left.pop()
            operated.around = plain
            operated.deliver(operated.next_attempt())
            operated.around = meanwhile
        return carry_out()

    looks, operated.around = [], meanwhile
    before = operated.clock.now
    shown = operated.get(f"instances/{instance}?wait=20")
    assert ("completed", True) == (shown["status"], operated.clock.now - before < 1)
    assert ["Lookup"] * 6 == looks[:6]


def test_who_waits_in_vain_is_answered_when_the_time_is_over(operated, start, post):
    """A paused instance does not end; the answer is what it is."""
    instance = start("Walk/")
    post(f"instances/{instance}/pause")
    before = operated.clock.now
    assert "paused" == operated.get(f"instances/{instance}?wait=2.5")["status"]
    assert pytest.approx(2.5, abs=0.02) == operated.clock.now - before


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
def test_an_instance_that_has_ended_is_answered_at_once(operated, start, post, ending):
    """However it ended."""
    path = {"completed": "Walk/", "failed": "Work/?items=value", "cancelled": "Work/?items=far"}[ending]
    instance = start(path)
    if ending == "cancelled":
        post(f"instances/{instance}/cancel")
    operated.run()
    before = operated.clock.now
    assert ending == operated.get(f"instances/{instance}?wait=25")["status"]
    assert before == operated.clock.now


@pytest.mark.parametrize("wait", ["-1", f"{LONGEST + 0.1}", "x", "nan", "inf", "1e99", "", "²"])
def test_a_wait_that_cannot_be_is_refused(operated, start, wait):
    """400, at once."""
    answer = operated.client.get(f"/fantasm/api/instances/{start('Walk/')}", query_string={"wait": wait})
    assert (400, "wait must be a number of seconds from 0 to 25") == (
        answer.status_code,
        answer.json["error"],
    )


def test_a_start_names_who_is_told_of_its_end(operated, start):
    """By headers, beside those that the machine names; who was told is a link away, and so is the teller."""
    instance = start("Teller/", headers=named({"Complete": " Walk ,Work,, Walk", "Failure": "Light"}))
    shown = operated.get(f"instances/{instance}")
    assert (["Walk", "Work"], ["Light"], []) == tuple(
        shown[name] for name in ("on_complete", "on_failure", "told")
    )
    operated.run()
    shown = operated.get(f"instances/{instance}")
    assert ["Walk", "Work"] == [each["receiver"] for each in shown["told"]]
    children = operated.get(f"instances/{instance}/children")
    assert {each["instance"] for each in shown["told"]} == {
        each["instance"] for each in children["instances"]
    }
    assert {instance} == {each["parent"] for each in children["instances"]}
    assert instance == Seen.take("Second")[0]["instance"]


def test_a_failure_is_told_to_others_than_a_completion(operated, start):
    """And again when a redrive has come to an end of its own."""
    instance = start("Teller/?item=value", headers=named({"Failure": "Walk"}))
    operated.run()
    (told,) = operated.get(f"instances/{instance}")["told"]
    assert "Walk" == told["receiver"]
    assert ["failed"] == [each["status"] for each in Seen.take("Second")]


def test_the_headers_that_name_who_is_told_are_not_kept(operated, start):
    """No task of the instance has them, and neither do instances that it spawns."""
    start("Walk/?spawn=1", headers=named({"Complete": "Work"}) | {"X-Fantasm-Reason": "test"})
    seen = []
    while attempt := operated.next_attempt():
        seen.append({name for name in attempt.delivery.headers if name.startswith("X-Fantasm-On")})
        operated.deliver(attempt)
    assert (True, {frozenset()}) == (len(seen) > 3, set(map(frozenset, seen)))
    works = operated.get("instances?machine=Work")["instances"]
    assert 1 == len(works)


@pytest.mark.parametrize(
    ("path", "headers", "code", "words"),
    [
        ("Walk/", named({"Complete": "Wolk"}), 404, "unknown machine 'Wolk'"),
        ("Walk/", named({"Failure": "https://hooks.example.com/"}), 400, "FANTASM_WEBHOOK_SECRET"),
        ("Walk/", named({"Complete": "hooks.example.com/x"}), 400, "begins with https://"),
        ("Walk/", named({"Complete": "http://hooks.example.com/"}), 400, "https://"),
        ("Light/", named({"Complete": "Walk"}), 400, "keeps no records"),
        ("Walk/?__im__=1", named({"Complete": "Work"}), 400, "nobody can be told"),
    ],
)
def test_who_cannot_be_told_stops_the_start(operated, path, headers, code, words):
    """Nothing is started then."""
    answer = operated.start(path, headers=headers)
    assert (code, True) == (answer.status_code, words in answer.json["error"]), answer.text
    assert [] == operated.get("instances")["instances"]


def test_webhooks_and_the_rate_and_the_version_are_those_of_the_settings(telling):
    """A URL of an allowed host may be told; another one not."""
    url = "https://hooks.example.com/done?key=1"
    answer = telling.start("Walk/", headers=named({"Complete": url}))
    shown = telling.get(f"instances/{answer.json['instance']}")
    assert [url] == shown["on_complete"]
    refused = telling.start("Walk/", headers=named({"Complete": "https://elsewhere.example.com/"}))
    assert (400, True) == (refused.status_code, "FANTASM_WEBHOOK_HOSTS" in refused.json["error"])
    services = telling.fantasm.services
    assert (7.0, "v7.default") == (services.limits.resume_rate, services.pin)


def test_without_a_version_nothing_is_pinned(operated):
    """Elsewhere than on App Engine."""
    assert operated.fantasm.services.pin is None


def test_python_starts_name_who_is_told(operated):
    """One, as text, or a list; a comma in a text separates nothing."""
    fantasm = operated.fantasm
    (one,) = fantasm.start_machine("Walk", {}, on_complete="Work", on_failure=["Work", "Light", "Work"])
    shown = operated.get(f"instances/{one.instance}")
    assert (["Work"], ["Work", "Light"]) == (shown["on_complete"], shown["on_failure"])
    with pytest.raises(StartError, match="cannot be told"):
        fantasm.start_machine("Walk", {}, on_complete="Work, Light")
    with pytest.raises(UnknownMachineError):
        fantasm.start_machine("Walk", {}, on_failure=["Wolk"])
    with pytest.raises(StartError, match="engine's own"):
        fantasm.start_machine("Walk", {}, headers=named({"Complete": "Work"}))


def test_children_are_paged(operated, start):
    """Each once, by the cursor; of an instance that is not there: 404."""
    instance = start("Walk/?spawn=5")
    operated.run()
    found, cursor = [], ""
    while True:
        page = operated.get(f"instances/{instance}/children?limit=2&cursor={cursor}")
        found += [each["instance"] for each in page["instances"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert (5, 5) == (len(found), len(set(found)))
    assert 404 == operated.client.get("/fantasm/api/instances/nope/children").status_code
    assert [] == operated.get(f"instances/{found[0]}/children")["instances"]


def test_an_instance_tells_whether_its_definition_is_still_the_one(operated, start, tmp_path):
    """Another deployment may have changed the machine, or not have it at all."""
    walk, work = start("Walk/"), start("Work/")
    assert operated.get(f"instances/{walk}")["definition_current"]
    text = DEFINITIONS.read_text().replace(
        "{event: 'on', to: Second}", "{event: 'on', to: Second, countdown: 1}"
    )
    (tmp_path / "fsm.yaml").write_text(text.replace("name: Work ", "name: Job "))
    operated.deploy(tmp_path / "fsm.yaml")
    listed = {each["instance"]: each["definition_current"] for each in operated.get("instances")["instances"]}
    assert {walk: False, work: False} == listed


def test_machines_tell_what_they_do_at_an_end(operated):
    """Every attribute that a definition may have is there to be read."""
    machines = {each["machine"]: each for each in operated.get("machines")["machines"]}
    teller = machines["Teller"]
    assert (["Walk"], [], False, None) == tuple(
        teller[name] for name in ("on_complete", "on_failure", "pin_version", "held")
    )
    state = machines["Walk"]["states"][0]
    assert (False, None, None, None) == tuple(
        state[name] for name in ("join", "fan_in_max", "on_error", "held")
    )
