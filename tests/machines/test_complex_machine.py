"""A complex machine: what runs, in which order, and what is kept of what it logs, line by line."""

from __future__ import annotations

import pytest

from machines.complex_places import FAILING
from machines.stage import ORDER, RUNS, committed, finish, once, steps, twice

MACHINES = "complex_machine.yaml"

INIT = "pseudo-init"
BEGIN = (INIT, INIT, "Begin", ["Begin entry", "Begin"])
WORK = ("Begin", "start", "Work", ["Begin exit", "on start", "Work entry", "Work"])
AGAIN = ("Work", "once-more", "Work", ["Work exit", "on again", "Work entry", "Work"])
CHECK = ("Work", "check", "Check", ["Work exit", "Check entry", "Check"])
BACK = ("Check", "go-back", "Work", ["on back", "Work entry", "Work"])
ONCE = (BEGIN, WORK, AGAIN, AGAIN, CHECK)
ROUND = (BACK, AGAIN, AGAIN, CHECK)
REVIEW = ("Check", "review", "Review", ["on review", "Review"])
STOP = ("Check", "stop", "Stop", ["on stop", "Stop entry", "Stop"])
LEFT = ("Stop", "pseudo-final", "pseudo-final", ["Stop exit"])
ROUTES = {
    "?rounds=0&ending=done": (*ONCE, ("Check", "done", "Done", [])),
    "?rounds=2&ending=stop": (*ONCE, *ROUND, *ROUND, STOP, LEFT),
    "?rounds=1&ending=quiet": (
        *ONCE,
        *ROUND,
        ("Check", "quiet", "Quiet", []),
        ("Quiet", "pseudo-final", "pseudo-final", ["Quiet exit"]),
    ),
    "?rounds=0&ending=review": (*ONCE, REVIEW),
    "?rounds=0&ending=review&after-review=done": (*ONCE, REVIEW, ("Review", "done", "Done", [])),
    "?rounds=0&ending=review&after-review=stop": (*ONCE, REVIEW, ("Review", *STOP[1:]), LEFT),
}
"""The steps of each way through the machine: state left, event, state reached, and the places that ran."""

MODULES = {
    "complex_machine": {
        "Begin entry": "BeginEntry",
        "Begin": "Begin",
        "Begin exit": "BeginExit",
        "on start": "on_start",
        "Work entry": "WorkEntry",
        "Work": "Work",
        "Work exit": "leave_work",
        "Review": "review",
        "Quiet exit": "leave_quietly",
    },
    "complex_states": {
        "Check entry": "enter_check",
        "Check": "Check",
        "on stop": "on_stop",
        "Stop entry": "StopEntry",
        "Stop": "Stop",
        "Stop exit": "StopExit",
    },
    "complex_ways": {"on again": "OnAgain", "on back": "on_back", "on review": "on_review"},
}
ACTIONS = {
    place: f"machines.{module}.{name}" for module, names in MODULES.items() for place, name in names.items()
}
MARKED = {
    "Begin entry": ("DEBUG", ["entry"]),
    "Begin exit": ("WARNING", ["exit", "first"]),
    "on start": ("ERROR", []),
    "Work entry": ("DEBUG", ["entry"]),
    "on again": ("INFO", ["transition"]),
    "on back": ("ERROR", ["transition", "loop"]),
    "Check entry": ("INFO", ["entry"]),
    "Stop exit": ("WARNING", ["exit", "last"]),
    "Quiet exit": ("CRITICAL", ["exit"]),
}
"""Level and tags of the lines of those places where they are not INFO and none."""


@pytest.fixture(autouse=True)
def _nothing_fails():
    FAILING.clear()


def places(route):
    return [place for *_, ran in route for place in ran]


def lines(route):
    """What is kept of a way through the machine: each place numbers its runs."""
    expected, runs = [], {}
    for n, (source, event, target, there) in enumerate(route):
        for place in there:
            runs[place] = runs.get(place, 0) + 1
            said = f"{place} {runs[place]}"
            expected.append(
                (n, source, event, target, ACTIONS[place], *MARKED.get(place, ("INFO", [])), said)
            )
    return expected


def kept(harness, instance):
    found = harness.get(f"instances/{instance}/logs?limit=1000")["logs"]
    names = ("n", "from", "event", "state", "action", "level", "tags", "message")
    return [tuple(each[name] for name in names) for each in found]


def taken(harness, instance):
    """The steps of an instance: state left, event, state reached."""
    return [(each["from"], each["event"], each["state"]) for each in steps(harness, instance)]


@pytest.mark.fantasm(31, 33, 51, 83, 84, 103, 114, 116, 117, 118, 119, 224, 229)
@pytest.mark.parametrize("url", ROUTES)
@pytest.mark.parametrize(("deliver", "method"), [(once, "GET"), (twice, "POST")])
def test_every_way_runs_and_logs_what_lies_on_it_in_order(harness, url, deliver, method):
    """Exits, transitions, entries and actions, of three modules, by the values of constants; each once.

    Their lines are kept with step, transition, action, level, tags and text, in the order in which they ran.
    """
    route = ROUTES[url]
    instance = finish(harness, f"Complex/{url}", deliver, method=method)
    assert places(route) == ORDER
    assert [each[:3] for each in route] == taken(harness, instance)
    assert {place: ORDER.count(place) for place in set(ORDER)} == committed(harness)
    (*_, last) = steps(harness, instance)
    assert ("completed", None) == (last["status"], last["returned"])
    assert lines(route) == kept(harness, instance)


@pytest.mark.parametrize("rounds", [0, 1, 10])
def test_loops_go_round_as_often_as_they_are_told(harness, rounds):
    """Three turns a round: a number that the URL gave as text was made one, by the name of a constant."""
    instance = finish(harness, f"Complex/?rounds={rounds}&ending=stop")
    expected = {
        "Work": 3 * (rounds + 1),
        "Work entry": 3 * (rounds + 1),
        "Work exit": 3 * (rounds + 1),
        "on again": 2 * (rounds + 1),
        "Check": rounds + 1,
        "on back": rounds,
        "Stop exit": 1,
    }
    assert expected == {place: RUNS[place] for place in expected}
    assert 1 + 4 * (rounds + 1) + 2 == len(steps(harness, instance))


ON_THE_WAY = list(dict.fromkeys(places(ROUTES["?rounds=2&ending=stop"])))


@pytest.mark.fantasm(123, 124, 125, 126, 127, 128, 129)
@pytest.mark.parametrize("place", ON_THE_WAY)
def test_a_place_that_fails_once_has_its_step_run_again_up_to_it(harness, place):
    """What ran before it in that step runs again; nothing else does, and the context is as it was."""
    FAILING.add(place)
    route = ROUTES["?rounds=2&ending=stop"]
    instance = finish(harness, "Complex/?rounds=2&ending=stop", once)
    first = next(n for n, (*_, there) in enumerate(route) if place in there)
    there = route[first][3]
    before = places(route[:first])
    assert [*before, *there[: there.index(place) + 1], *places(route[first:])] == ORDER
    assert {each: places(route).count(each) for each in ON_THE_WAY} == committed(harness)
    (*_, last) = steps(harness, instance)
    assert places(route)[:-1] == last["context"]["trail"]
    said = [message.rpartition(" ")[0] for *_, message in kept(harness, instance)]
    assert ORDER == said, "lines of the attempt that failed are kept, too"
