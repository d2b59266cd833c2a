"""Ten thousand changed definition files: each is a definition or a list of problems with places."""

from __future__ import annotations

import random

import pytest
from fsm_texts import EVERYTHING, TUTORIAL_FAN_IN, TUTORIAL_REVIEW, TUTORIAL_SEND, VALID
from mutations import mutated

from fantasm_gcp.core.definition import Definitions, Machine
from fantasm_gcp.core.parse import BUILT_IN_MACHINES
from fantasm_gcp.errors import DefinitionError, Problem
from fantasm_gcp.loader import BUILT_IN_FILE, parse_text

CONSTANTS = """\
OK = "ok"
NUMBER = 3
BAD = "not a name"
class Events:
    OK = "fine"
    NUMBER = 3
def __getattr__(name):
    raise OSError(name)
"""
PART = "state_machines: [{name: Part, states: [{name: S, initial: on, final: on}]}]\n"
ANCHORS = """\
import: [part.yaml, ./part.yaml]
state_machines:
- &mail
  name: Mail
  namespace: {constants}
  context_types: {OK: int, b: datetime}
  queue: 'mails'
  task_retry_limit: 5
  states:
  - &send
    name: Send
    action: Send
    initial: true
    transitions: &ways
    - {event: Events.OK, to: Count, queue: counts}
    - event: OK
      to: Send
      countdown: {minimum: 1, maximum: 2}
  - {<<: *send, name: Again, initial: off}
  - name: Count
    action: >-
      Count
    final: true
    fan_in: 3
    transitions: *ways
- {<<: *mail, name: Copy}
"""
MUTATIONS = 10_000


def outcome(text: str, file: str) -> tuple[Definitions | None, tuple[Problem, ...]]:
    """The definitions, if the text can be used, and all that was found in it."""
    try:
        found = parse_text(text, file)
    except DefinitionError as error:
        return None, error.problems
    return found, found.warnings


def check_places(problems: tuple[Problem, ...], text: str, file: str) -> None:
    """Every problem has a place that exists, in the file or in what it imports, and can be shown."""
    lines = len(text.splitlines()) + 1
    for each in problems:
        assert each.message, each
        assert 1 <= each.line, each
        assert 1 <= each.column <= len(each.source) + 1, each
        assert each.file != file or each.line <= lines, each
        assert (3 if each.source.strip() else 1) == len(str(each).splitlines()), each


def check_receivers(found: Definitions, machine: Machine) -> None:
    """Who is told is a machine of the file or a URL, once; and there are records to tell it by."""
    for receivers in (machine.on_complete, machine.on_failure):
        assert len(set(receivers)) == len(receivers)
        assert all(each in found.machines or "://" in each for each in receivers)
    needs = [state.join or state.on_error or state.fan_in for state in machine.states]
    assert "exactly_once" == machine.guarantee or not any([*needs, machine.on_complete, machine.on_failure])


def check_definitions(found: Definitions) -> None:
    """What is promised of definitions holds for those that come out of a damaged file as well."""
    assert found.root.startswith("/")
    assert not found.root.endswith("/")
    for machine in found:
        assert machine.name not in BUILT_IN_MACHINES
        assert [machine.initial] == [state for state in machine.states if state.initial]
        assert len({state.name for state in machine.states}) == len(machine.states)
        assert any(state.final for state in machine.states)
        check_receivers(found, machine)
        for state in machine.states:
            assert (machine.name, "states", state.name) in found.places
            assert state.final or state.action
            assert 1 >= (state.fan_in is not None) + state.join + state.continuation
            assert not (state.join and state.initial)
            assert state.collects or (state.fan_in_group, state.fan_in_max) == (None, None)
            assert state.fan_in_max is None or 1 <= state.fan_in_max <= 500
            assert not (state.exit and (state.continuation or state.collects))
            assert state.on_error is None or state.transition(state.on_error)
            assert len({each.event for each in state.transitions}) == len(state.transitions)
            for transition in state.transitions:
                to = machine.state(transition.to)
                assert to is not None
                assert not (to.collects and transition.countdown)
                least, most = transition.retry.min_backoff_seconds, transition.retry.max_backoff_seconds
                assert least is None or most is None or least <= most


@pytest.mark.parametrize("seed", range(4))
def test_changed_files_make_definitions_or_problems_and_nothing_else(package, tmp_path, seed):
    """No other exception, whatever is done to a file; half of the changes get past YAML itself."""
    constants = package(names=CONSTANTS) + ".names"
    (tmp_path / "part.yaml").write_text(PART)
    (tmp_path / "circle.yaml").write_text("import: circle.yaml\n" + PART)
    file = str(tmp_path / "fsm.yaml")
    corpus = [VALID, EVERYTHING, EVERYTHING, TUTORIAL_REVIEW, TUTORIAL_SEND, TUTORIAL_FAN_IN]
    corpus += [ANCHORS.replace("{constants}", constants), BUILT_IN_FILE.read_text()]
    chance = random.Random(20261122 + seed)
    counts = {"fine": 0, "refused": 0, "yaml": 0}
    for _ in range(MUTATIONS // 4):
        text = mutated(chance.choice(corpus), chance)
        found, problems = outcome(text, file)
        check_places(problems, text, file)
        if found is not None:
            check_definitions(found)
            counts["fine"] += 1
        else:
            assert any(problem.severity == "error" for problem in problems)
            counts["yaml" if problems[0].message.startswith("YAML error") else "refused"] += 1
    assert counts["yaml"] < MUTATIONS // 4 // 2 < counts["refused"] + counts["fine"], counts
    assert min(counts.values()) > MUTATIONS // 4 // 50, counts
