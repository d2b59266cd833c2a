"""The text of a plan's machines as an fsm.yaml, and of the versions of it that are deployed in mid-flight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fantasm_gcp.testing.simulation.features import COUNTDOWNS, FEATURES, collects, pages_of
from fantasm_gcp.testing.simulation.plan import ACTIONS, AGAIN, ASIDE, OK, SIDE, TOLD, Machine, Plan, Stage


@dataclass(frozen=True, slots=True)
class Version:
    """How a deployment differs from the plan.

    ``missing`` is the place of a state that is not there, ``renamed`` that actions have other names,
    ``scattered`` that no state has a fan-in.
    """

    missing: int = 0
    renamed: bool = False
    scattered: bool = False


def render_plan(plan: Plan, version: Version = Version()) -> str:
    """The fsm.yaml of a version of a plan's machines."""
    lines = ["state_machines:"]
    for machine in plan.machines:
        lines += [f"- name: {machine.name}", f"  namespace: {ACTIONS}"]
        if machine.retries is not None:
            lines.append(f"  task_retry_limit: {machine.retries}")
        if machine.tells:
            lines.append(f"  on_complete: {TOLD}")
        lines.append("  states:")
        for stage in stages_of(machine):
            if not _is_missing(machine, stage, version):
                lines += _state(machine, stage, version)
    return "\n".join(lines) + "\n"


def stages_of(machine: Machine) -> tuple[Stage, ...]:
    """The stages of a machine, and that of branches that step aside where there are any."""
    aside = any(each.amount("aside") for each in machine.stages)
    return (*machine.stages, Stage(SIDE)) if aside else machine.stages


def most_missing(plan: Plan) -> int:
    """The last place of a state of the main machine that can be missing; 0 where none can."""
    return max(0, len(plan.machines[0].stages) - 2)


def _is_missing(machine: Machine, stage: Stage, version: Version) -> bool:
    return (
        bool(version.missing)
        and version.missing < len(machine.stages) - 1
        and (machine.stages[version.missing] == stage)
    )


def _state(machine: Machine, stage: Stage, version: Version) -> Iterator[str]:
    attributes = {"action": "act"}
    for each in FEATURES:
        if stage.amount(each.name):
            attributes |= each.attributes(stage.amount(each.name))
    if version.renamed:
        attributes["action"] = {"act": "act_elsewhere", "Paging": "PagingElsewhere"}[attributes["action"]]
    if version.scattered and stage.amount("gather"):
        attributes = {name: value for name, value in attributes.items() if not name.startswith("fan_in")}
    elif collects(stage):
        attributes |= _group(machine, stage)
    if not machine.is_last(stage) and _is_missing(machine, machine.target(stage, OK), version):
        attributes.pop("on_error", None)
    if stage == machine.stages[0]:
        attributes["initial"] = "True"
    if machine.is_last(stage):
        attributes["final"] = "True"
    yield f"  - name: {stage.name}"
    yield from (f"    {name}: {value}" for name, value in attributes.items())
    if not machine.is_last(stage):
        yield "    transitions:"
        for event in _events(stage):
            yield from _transition(machine, stage, event, version)


def _group(machine: Machine, stage: Stage) -> dict[str, str]:
    """Inside of a loop, contexts of different rounds are not to be merged."""
    names = (["round"] if machine.in_loop(stage) else []) + (["colour"] if stage.amount("grouped") else [])
    return {"fan_in_group": "_".join(names)} if names else {}


def _events(stage: Stage) -> list[str]:
    return [OK, *([AGAIN] if stage.amount("loop") else []), *([ASIDE] if stage.amount("aside") else [])]


def _transition(machine: Machine, stage: Stage, event: str, version: Version) -> Iterator[str]:
    """Where its target is missing, the event has another name and skips it: nobody returns it."""
    target = machine.target(stage, event)
    if _is_missing(machine, target, version):
        event, target = f"never-{event}", machine.target(target, OK)
    yield f"    - event: {event}"
    yield f"      to: {target.name}"
    if stage.amount("waits") and not collects(target):
        yield f"      countdown: {COUNTDOWNS[stage.amount('waits') - 1]}"


def summarize(plan: Plan) -> str:
    """What the actions of a plan do beside what its fsm.yaml tells, for people."""
    lines = [f"tasks by {plan.method}" + (", tight limits" if plan.tight else "")]
    for machine in plan.machines:
        for stage in machine.stages:
            shown = {name: amount for name, amount in stage.amounts.items() if name != "pages"}
            items = [f"{pages_of(stage)} items"] if pages_of(stage) else []
            words = ", ".join([*items, *(f"{name} {amount}" for name, amount in shown.items())])
            lines.append(f"{machine.name}.{stage.name}: {words or 'goes on'}")
    return "\n".join(lines)
