"""Drawing machines from a tape: small ones, of few steps."""

from __future__ import annotations

from dataclasses import replace

from fantasm_gcp.testing.simulation.features import FEATURES, SPAWNING, Draft
from fantasm_gcp.testing.simulation.oracle import expect
from fantasm_gcp.testing.simulation.plan import CHILD, MAIN, TOLD, Machine, Plan, Stage
from fantasm_gcp.testing.simulation.tape import Track

MOST_STAGES = 6
MOST_VISITS = 11
"""Tokens that come through the stages of a plan, all together: about as many steps as it has."""

_STAGES = (1.0, 2.0, 4.0, 4.0, 3.0, 1.0)
_RETRIES = (None, 2, 1, 0)


def draw_plan(shape: Track) -> Plan:
    """Machines whose every choice is read from the track; all zeros are one machine of one state."""
    method = ("POST", "GET")[shape.draw(2)]
    tight = bool(shape.draw(2, (3, 1)))
    main = Machine(MAIN, (Stage("S0"),), _draw_retries(shape), bool(shape.draw(2, (5, 1))))
    plan = _grown(Plan((main,), method, tight), 0, shape)
    if any(each.amount(name) for each in plan.machines[0].stages for name in SPAWNING):
        plan = _grown(plan, 1, shape)
    told = (Machine(TOLD, (Stage("T0"),)),) if main.tells else ()
    return replace(plan, machines=(*plan.machines, *told))


def _draw_retries(shape: Track) -> int | None:
    return _RETRIES[shape.draw(len(_RETRIES), (5, 4, 2, 1))]


def _grown(plan: Plan, place: int, shape: Track) -> Plan:
    """The plan with a machine drawn stage by stage; a feature that would make it too large is left out."""
    child = place > 0
    count = 1 + (shape.draw(3, (3, 2, 1)) if child else shape.draw(MOST_STAGES, _STAGES))
    retries = _draw_retries(shape) if child else plan.machines[0].retries
    stages: tuple[Stage, ...] = ()
    for i in range(count):
        stage = Stage(f"{'CS'[not child]}{i}")
        for each in FEATURES:
            draft = Draft(stages, i + 1 == count, child, stage.amounts)
            amount = shape.draw(each.most + 1, each.weights)
            if amount and each.fits(draft):
                wished = Stage(stage.name, {**stage.amounts, each.name: amount})
                stage = wished if _is_small(plan, place, (*stages, wished), retries) else stage
        stages = (*stages, stage)
    return _with(plan, place, stages, retries)


def _with(plan: Plan, place: int, stages: tuple[Stage, ...], retries: int | None) -> Plan:
    old = plan.machines[0] if not place else Machine(CHILD, ())
    machine = replace(old, stages=stages, retries=retries)
    return replace(plan, machines=(*plan.machines[:place], machine))


def _is_small(plan: Plan, place: int, stages: tuple[Stage, ...], retries: int | None) -> bool:
    """Whether a draft stays small once it has its last stage, and the machine that it spawns one."""
    drafted = _with(plan, place, (*stages, Stage("end")), retries)
    others = (Machine(CHILD, (Stage("C0"),)),) if not place else ()
    others = (*others, Machine(TOLD, (Stage("T0"),)))
    drafted = replace(drafted, machines=(*drafted.machines, *others))
    return expect(drafted, MOST_VISITS) is not None
