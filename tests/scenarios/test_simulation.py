"""Simulated runs: the engine holds by 2,000 seeds, and the simulation itself sees what it is to see."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from simulated_worlds import DOCTORED, DOCTORED_AT_REST, sound_world

import fantasm_gcp
from fantasm_gcp.core.records import Entry, Hold, Instance, Record, Task, Window
from fantasm_gcp.loader import parse_text
from fantasm_gcp.testing import Harness
from fantasm_gcp.testing.simulation.drawing import MOST_VISITS, draw_plan
from fantasm_gcp.testing.simulation.features import FEATURES
from fantasm_gcp.testing.simulation.invariants import violations, violations_at_rest
from fantasm_gcp.testing.simulation.journal import Journal
from fantasm_gcp.testing.simulation.oracle import expect
from fantasm_gcp.testing.simulation.rendering import Version, most_missing, render_plan
from fantasm_gcp.testing.simulation.report import render_run, render_schedule
from fantasm_gcp.testing.simulation.run import simulate, simulate_seed
from fantasm_gcp.testing.simulation.shrinking import shrink
from fantasm_gcp.testing.simulation.tape import Tape, parse_tape, render_tape

SEEDS = 2_000
PARTS = 4
PACKAGE = Path(fantasm_gcp.__file__).parent
PROGRAM = (sys.executable, "-m", "fantasm_gcp.testing.simulation")


def run_program(*arguments: str, package: Path = PACKAGE, hash_seed: str = "0") -> tuple[int, str]:
    """The exit status and the words of the program, with a package that may be a changed copy."""
    environ = {"PYTHONPATH": str(package.parent), "PYTHONHASHSEED": hash_seed}
    command = [*PROGRAM, *arguments]
    result = subprocess.run(
        command, env=environ, cwd=package.parent, capture_output=True, text=True, check=False, timeout=600
    )
    return result.returncode, result.stdout + result.stderr[-2000:]


@pytest.fixture(scope="module")
def parts():
    """What the program says of each part of the seeds, two at a time."""
    each = SEEDS // PARTS
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_program, str(each), "--from", str(i * each)) for i in range(PARTS)]
        return [run.result() for run in runs]


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_or_doubled_whatever_happens_to_a_machine(parts, part):
    """Random machines, faults, commands and deployments leave behind what the model says."""
    status, words = parts[part]
    assert 0 == status, words


def test_equal_seeds_give_equal_runs():
    """The same machine and the same events, in their order."""
    for seed in range(20, 25):
        first, second = (simulate_seed(seed) for _ in range(2))
        assert first.tape == second.tape
        assert list(render_schedule(first.schedule)) == list(render_schedule(second.schedule))


def test_a_tape_replays_the_run_that_it_was_written_in():
    """Also as text, and in other processes, whose hashes are other ones."""
    run = simulate_seed(31)
    tape = render_tape(run.tape)
    assert list(render_schedule(run.schedule)) == list(
        render_schedule(simulate(Tape(parse_tape(tape))).schedule)
    )
    _, *replayed = (run_program("--tape", tape, hash_seed=hash_seed) for hash_seed in "123")
    assert replayed[0] == replayed[1]
    assert (0, render_run(run, "replayed: nothing is broken")) == replayed[0]


def test_an_empty_tape_is_the_simplest_run():
    """One state, delivered once, without a fault."""
    run = simulate(Tape())
    assert ((), 1, 1) == (run.broken, len(run.plan.machines), len(run.plan.machines[0].stages))
    deliveries = [each for each in run.schedule if each.what == "begins"]
    assert ["#1 start one", "#2"] == [deliveries[0].who, deliveries[1].who.partition(" ")[0]]
    assert 2 == len(deliveries)


@pytest.mark.parametrize("text", ["", "1/2", "a////", "-1////", "1*-2////", "1*999999999////", "1//////"])
def test_what_is_no_tape_is_refused(text):
    """A text that was cut off, or is no tape at all, is not read as some other run."""
    with pytest.raises(ValueError):
        parse_tape(text)


def test_every_machine_that_is_drawn_is_small_and_loads_in_every_version():
    """Without an error, whatever the deployment; and each feature is drawn now and then."""
    drawn = Counter[str]()
    for seed in range(400):
        plan = draw_plan(Tape(chance=random.Random(seed)).shape)
        drawn.update(name for machine in plan.machines for stage in machine.stages for name in stage.amounts)
        missing = [Version(missing=place) for place in range(1, most_missing(plan) + 1)]
        for version in (Version(), Version(renamed=True), Version(scattered=True), *missing):
            parse_text(render_plan(plan, version), "fsm.yaml")
        assert MOST_VISITS + len(plan.machines) >= expect(plan).visits.total() / 3
    assert {each.name for each in FEATURES} == set(drawn)


def test_the_journal_is_a_true_copy(tmp_path):
    """What was seen to be committed is what the Datastore server has."""
    journal = Journal()
    text = (Path(__file__).parent / "chain.yaml").read_text()
    (tmp_path / "fsm.yaml").write_text(text)
    chain = pytest.importorskip("chain")
    chain.Luck.now = chain.Luck(1, 0.3)
    with Harness(tmp_path / "fsm.yaml", around=journal.note) as harness:
        harness.start("Chain/")
        harness.run()
        harness.around = lambda _, carry_out: carry_out()
        for kind in (Instance, Task, Record, Window, Entry, Hold):
            there = {each.key.name: each for each in harness.datastore.query(kind=kind.kind).fetch()}
            assert there.keys() == journal.rows[kind.kind].keys()
            assert all(
                each.get("status")
                == (journal.rows[kind.kind][name].properties["status"].string_value or None)
                for name, each in there.items()
            )


# -- the invariants


def test_a_sound_world_has_no_violations():
    """What the doctored ones are made of is all right."""
    world, expected = sound_world()
    assert ([], []) == (violations(world, expected), violations_at_rest(world))


@pytest.mark.parametrize("what", DOCTORED)
def test_each_kind_of_violation_is_seen(what):
    """One change of a sound world is one that is told."""
    world, expected = sound_world()
    doctor, words = DOCTORED[what]
    doctor(world)
    assert [words] == [words for each in violations(world, expected) if words in each][:1]


@pytest.mark.parametrize("what", DOCTORED_AT_REST)
def test_each_kind_of_violation_is_seen_while_nothing_goes_on(what):
    """What nobody will deliver, and ends that nobody noticed."""
    world, _ = sound_world()
    doctor, words = DOCTORED_AT_REST[what]
    doctor(world)
    assert [words] == [words for each in violations_at_rest(world) if words in each][:1]


def test_what_was_stopped_may_be_less_but_never_more():
    """Of a cancelled instance nothing has to have happened, and nothing twice."""
    world, expected = sound_world()
    world.relaxed = True
    world.visits["Main", "S1", 0, "t"] -= 1
    assert [] == violations(world, expected)
    world.visits["Main", "S1", 0, "t"] += 2
    assert 1 == len(violations(world, expected))


# -- the shrinker


def test_shrinking_leaves_what_is_needed():
    """Of a long tape the two choices that break something remain, as early and as low as they can be."""
    chance = random.Random(0)
    tracks = [[chance.randrange(6) for _ in range(60)] for _ in range(Tape.TRACKS)]

    def again(tape):
        drawn = [[track.draw(6) for _ in range(60)] for track in (tape.shape, tape.moves, tape.faults)]
        broken = ("both",) if max(drawn[0]) >= 3 and max(drawn[2]) >= 4 else ()
        return SimpleNamespace(tape=tape.drawn, broken=broken)

    shrunk = shrink(again(Tape(tracks)), again)
    assert ((3,), (), (4,), (), ()) == shrunk.tape


def test_shrinking_stops_after_as_many_runs_as_it_may_take():
    """Its bound is a number of runs, not a time."""
    runs = []

    def again(tape):
        runs.append(tape)
        [tape.moves.draw(9) for _ in range(500)]
        return SimpleNamespace(tape=tape.drawn, broken=("the first",) if len(runs) == 1 else ())

    shrink(again(Tape([(), [8] * 500])), again, most=25)
    assert 26 == len(runs)


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory):
    """A copy of the package in which a duplicate of a finished step does not enqueue what follows."""
    package = tmp_path_factory.mktemp("engine") / "fantasm_gcp"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    module = package / "engine" / "replaying.py"
    source = module.read_text()
    assert 1 == source.count("enqueue_in_flight(services, record.next)")
    module.write_text(source.replace("enqueue_in_flight(services, record.next)", "pass"))
    return package


def test_a_broken_engine_is_found_and_the_run_shrunk_to_what_matters(forgetful):
    """The report has the machine, the schedule, the invariant and the command that runs it again."""
    status, words = run_program("200", "--shrink", "400", package=forgetful)
    assert 1 == status
    assert re.match(r"seed \d+: lost: ", words)
    for expected in ("broken: lost: ", "state_machines:", "  <- killed ", "CreateTask"):
        assert expected in words
    schedule = [line for line in words.splitlines() if re.match(r" *\d+\.\d\d  ", line)]
    assert 30 >= len(schedule), words
    tape = re.search(r"--tape '(.*)'", words)[1]
    assert 1 == run_program("--tape", tape, package=forgetful)[0]
    assert 0 == run_program("--tape", tape)[0]


def test_importing_the_harness_does_not_import_the_simulation():
    """Users' tests pay for what they use."""
    code = "import sys, fantasm_gcp.testing; print([name for name in sys.modules if 'simulation' in name])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == result.stdout.strip()
